"""The one door to Hydra: from names and overrides to frozen Experiments.

``conf/`` is the vocabulary (groups of options), ``experiments/<study>/<arm>.yaml`` are the sentences.
Hydra composes them with what the caller typed; then one strict model checks everything at once, and
nothing past this package sees a Hydra or OmegaConf object.

Experiment files may come from strangers. They are read and scanned here (``experiment.scan``) and
handed to Hydra as data in its config store, ahead of every folder, so Hydra never opens such a file.
A refused file is stored as its own refusal, which surfaces when somebody chooses it. What the caller
types on her own command line is hers: there, all of Hydra is allowed.
"""

from __future__ import annotations

from fedcredit.config.command import hydra_main, json_schema
from fedcredit.config.composing import compose
from fedcredit.config.files import conf_folder, config_groups, experiment_names

__all__ = ["compose", "conf_folder", "config_groups", "experiment_names", "hydra_main", "json_schema"]

"""fedcredit: federated credit-risk research with differential privacy."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fedcredit.errors import InputError

if TYPE_CHECKING:
    from fedcredit.experiment.record import RunRecord

os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
os.environ.setdefault("FLWR_DISABLE_UPDATE_CHECK", "1")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

__version__ = "0.1.0"
__all__ = ["InputError", "__version__", "run"]


def run(
    experiment: str | None = None, overrides: Sequence[str] = (), *, progress: bool = True, report: bool = True
) -> RunRecord:
    """Compose and run one experiment, as ``fedcredit run`` does.

    Args:
        experiment: ``<study>/<arm>``, for example ``"taiwan/loan_level"``; None for the defaults.
        overrides: what would stand on the command line, for example ``["seed=3", "privacy.target_epsilon=2"]``.
        progress: whether to show the run as it goes.
        report: whether to draw the run's page and its pictures; ``fedcredit show`` makes a page that is missing.

    Returns:
        The record of the run.

    Raises:
        InputError: for a mistake in the experiment, its schema or its table.
    """
    from fedcredit.config import compose

    composed = compose(experiment, overrides)
    from fedcredit.experiment.runner import run as run_experiment

    return run_experiment(composed, progress=progress, report=report)

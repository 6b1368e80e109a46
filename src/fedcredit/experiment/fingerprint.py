"""The name of an experiment is what it means, not when or how it ran.

The fingerprint hashes the whole resolved meaning, never the difference from some defaults, together
with the checksum of the loan table and its schema and the version of the random streams. The runtime,
the trainer, the results folder and the given name are left out: they say how fast, where and under
which title.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from fedcredit import seeds
from fedcredit.experiment.spec import Evaluation, Experiment

_VERSION = "fedcredit/experiment/2"
_LATER_OF_EVALUATION = ("sections", "profit", "approval_rate", "charged")
_NOT_MEANING = {"name", "runtime", "trainer", "results_dir", "ledger_dir", "tracking"}
_UNSAID: Mapping[str, object] = {"split": {"kind": "hashed"}, "encoding": None}
_UNSAID_OF_A_MARKET = ("num_months", 36)
_UNSAID_OF_A_NETWORK = ("focal_gamma", 0.0)
_NEVER = object()


def meaning(experiment: Experiment) -> dict[str, object]:
    """Return the part of an experiment that decides its numbers, as plain data.

    A key that came later is left out where it asks for nothing, so that it does not rename older runs.

    Args:
        experiment: the experiment.

    Returns:
        Nested plain data; infinite values are the strings ``"Infinity"``.
    """
    text = experiment.model_dump_json(exclude=_NOT_MEANING)
    plain: dict[str, object] = json.loads(text, parse_constant=str)
    return without_unsaid(plain)


def without_unsaid(meaning: Mapping[str, object]) -> dict[str, object]:
    """Leave out what was added to the description later, where it has the value that went without saying before.

    So experiments that say nothing new keep their names.

    Args:
        meaning: nested plain data of an experiment.

    Returns:
        The same without those entries.
    """
    kept = {key: value for key, value in meaning.items() if _UNSAID.get(key, _NEVER) != value}
    portfolio = kept.get("portfolio")
    if isinstance(portfolio, Mapping):
        kept["portfolio"] = {key: value for key, value in portfolio.items() if (key, value) != _UNSAID_OF_A_MARKET}
    network = kept.get("network")
    if isinstance(network, Mapping):
        kept["network"] = {key: value for key, value in network.items() if (key, value) != _UNSAID_OF_A_NETWORK}
    evaluation = kept.get("evaluation")
    if isinstance(evaluation, Mapping):
        later = json.loads(Evaluation().model_dump_json(include=set(_LATER_OF_EVALUATION)))
        kept["evaluation"] = {key: value for key, value in evaluation.items() if later.get(key, _NEVER) != value}
    return kept


def fingerprint(experiment: Experiment, *, data_checksum: str) -> str:
    """Hash the meaning of an experiment and the data it is about.

    Args:
        experiment: the experiment.
        data_checksum: checksum of the canonical table and its schema.

    Returns:
        SHA-256 in hexadecimal, 64 characters.
    """
    content = {"version": _VERSION, "streams": seeds.VERSION, "meaning": meaning(experiment), "data": data_checksum}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

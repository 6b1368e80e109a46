"""The name of an experiment is what it means, not when or how it ran.

The fingerprint hashes the whole resolved meaning, never the difference from some defaults, together
with the checksum of the loan table and its schema and the version of the random streams. The runtime,
the trainer, the results folder and the given name are left out: they say how fast, where and under
which title.
"""

from __future__ import annotations

import hashlib
import json

from fedcredit import seeds
from fedcredit.experiment.spec import Experiment

_VERSION = "fedcredit/experiment/2"
_LATER = (("evaluation", "charged"),)
_NOT_MEANING = {"name", "runtime", "trainer", "results_dir"}


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
    if plain.get("encoding") is None:
        plain.pop("encoding", None)
    for section, key in _LATER:
        part = plain[section]
        if isinstance(part, dict) and part.get(key) is None:
            part.pop(key, None)
    return plain


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

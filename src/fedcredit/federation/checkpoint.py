"""A snapshot on disk, so that a killed run goes on from its last kept round with the same bits.

One safetensors file: the arrays of the snapshot, and as its metadata the rounds, the ledgers' heads, the experiment
and a digest of all that. It is written under another name, put on the disk and renamed; the ledgers it speaks of
reach the disk first, so a snapshot never knows more releases than the ledgers do.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from fedcredit.federation.rounds import RoundRecord
from fedcredit.federation.snapshot import Iterate, Snapshot
from fedcredit.privacy.accounting import storage
from fedcredit.privacy.accounting.ledger import ledgers_in

CHECKPOINT_FILE = "checkpoint.safetensors"
CHECKPOINT_VARIABLE = "FEDCREDIT_CHECKPOINT"
_FORMAT = "1"
_SHARE = 0.02
_FIRST_COST_SECONDS = 0.005
_RULE = "rule."
_ROUNDS: TypeAdapter[tuple[RoundRecord, ...]] = TypeAdapter(tuple[RoundRecord, ...])
_HEADS: TypeAdapter[dict[str, str]] = TypeAdapter(dict[str, str])
Arrays = Mapping[str, NDArray[Any]]


class CheckpointError(ValueError):
    """A checkpoint that is damaged, or of another run; the message says which."""


@dataclass(frozen=True, kw_only=True)
class Owner:
    """Whose checkpoint it is: ``computed_by`` names trainer and device, whose bits must not be mixed."""

    fingerprint: str
    computed_by: str


@final
class Checkpoints:
    """Keeps a run's snapshots, the newest over the one before."""

    def __init__(self, folder: Path, owner: Owner) -> None:
        """Keep no snapshot yet.

        Args:
            folder: the run's results folder, with its ledgers.
            owner: whose snapshots they are.
        """
        self._folder = folder
        self._owner = owner
        self._every_round = os.environ.get(CHECKPOINT_VARIABLE) == "round"
        self._cost = _FIRST_COST_SECONDS
        self._last = time.perf_counter()

    def __call__(self, take: Callable[[], Snapshot]) -> None:
        """Take and keep a snapshot, where this takes at most a fiftieth of the time since the last one.

        With ``FEDCREDIT_CHECKPOINT=round`` every round is kept.

        Args:
            take: takes a snapshot.
        """
        started = time.perf_counter()
        if not self._every_round and self._cost > _SHARE * (started - self._last):
            return
        for path in ledgers_in(self._folder):
            storage.make_durable(path)
        write_checkpoint(self._folder, take(), self._owner)
        self._last = time.perf_counter()
        self._cost = self._last - started


def write_checkpoint(folder: Path, snapshot: Snapshot, owner: Owner) -> None:
    """Write a snapshot over the one before, whole, on the disk, and only then renamed.

    Args:
        folder: the run's results folder.
        snapshot: where the federation stands.
        owner: whose it is.
    """
    from safetensors.numpy import save

    arrays = {
        "parameters": snapshot.iterate.parameters,
        "released": snapshot.iterate.released,
        **{f"{_RULE}{name}": array for name, array in snapshot.rule.items()},
    }
    told = {
        "format": _FORMAT,
        "fingerprint": owner.fingerprint,
        "computed_by": owner.computed_by,
        "rounds": _ROUNDS.dump_json(snapshot.rounds).decode(),
        "ledger_heads": json.dumps(dict(snapshot.ledger_heads), sort_keys=True),
    }
    content = save(
        {name: np.asarray(array, order="C") for name, array in arrays.items()},
        metadata={**told, "digest": _digest(arrays, told)},
    )
    storage.replace_durably(folder / CHECKPOINT_FILE, content)


def read_checkpoint(folder: Path, owner: Owner) -> Snapshot | None:
    """Read the snapshot of an interrupted run.

    Args:
        folder: the run's results folder.
        owner: whose it must be.

    Returns:
        The snapshot; None where none was kept.

    Raises:
        CheckpointError: if the file is damaged or of another run.
    """
    path = folder / CHECKPOINT_FILE
    if not path.is_file():
        return None
    arrays, told = _read(path)
    if told.get("format") != _FORMAT:
        raise CheckpointError(f"{path} has format {told.get('format')!r}; this version reads {_FORMAT!r}")
    if told.pop("digest", None) != _digest(arrays, told):
        raise CheckpointError(f"{path} is damaged: its content is not what its digest says")
    for key, expected in vars(owner).items():
        if told.get(key) != expected:
            raise CheckpointError(f"{path} is of another run: {key} is {told.get(key)!r}, this run has {expected!r}")
    try:
        rounds, heads = _ROUNDS.validate_json(told["rounds"]), _HEADS.validate_json(told["ledger_heads"])
    except (KeyError, ValidationError) as error:
        raise CheckpointError(f"{path} is damaged: its rounds or its ledgers' heads are not what it keeps") from error
    return Snapshot(
        rounds=rounds,
        iterate=_iterate(arrays, path),
        rule={name.removeprefix(_RULE): array for name, array in arrays.items() if name.startswith(_RULE)},
        ledger_heads=heads,
    )


def _iterate(arrays: Arrays, path: Path) -> Iterate:
    found = [arrays.get(name) for name in ("parameters", "released")]
    sizes = {None if array is None or array.ndim != 1 else array.size for array in found}
    if len(sizes) != 1 or None in sizes or any(array is None or array.dtype != np.float32 for array in found):
        raise CheckpointError(f"{path} is damaged: its weights are not two vectors of one length in single precision")
    parameters, released = (array for array in found if array is not None)
    if not (np.isfinite(parameters).all() and np.isfinite(released).all()):
        raise CheckpointError(f"{path} is damaged: it holds weights that are no finite numbers")
    return Iterate(parameters=parameters, released=released)


def set_aside(folder: Path) -> Path:
    """Move a refused checkpoint out of the way, beside itself.

    Args:
        folder: the results folder that holds it.

    Returns:
        Its new place, named by its content.
    """
    path = folder / CHECKPOINT_FILE
    kept = path.with_name(f"{CHECKPOINT_FILE}.refused-{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}")
    path.replace(kept)
    return kept


def _read(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged: it is not a whole safetensors file") from error


def _digest(arrays: Arrays, told: Mapping[str, str]) -> str:
    found = hashlib.sha256(json.dumps(dict(told), sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        found.update(f"{name} {array.dtype.str} {array.shape}".encode())
        found.update(np.asarray(array, order="C").tobytes())
    return found.hexdigest()

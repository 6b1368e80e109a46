"""Checkpoints that are damaged, foreign or hostile: refused with one reason, kept aside, and never unpickled."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from canary import armed
from numpy.typing import NDArray
from safetensors.numpy import save

from fedcredit.experiment import resume
from fedcredit.federation import checkpoint
from fedcredit.federation.checkpoint import CHECKPOINT_FILE, CheckpointError, Owner, read_checkpoint, write_checkpoint
from fedcredit.federation.snapshot import Iterate, Snapshot

OWNER = Owner(fingerprint="f" * 64, computed_by="compiled on cpu")
SIZE = 5
WEIGHTS = np.arange(SIZE, dtype=np.float32)
SOUND = Snapshot(
    rounds=(),
    iterate=Iterate(parameters=WEIGHTS, released=WEIGHTS),
    rule={"average": WEIGHTS, "step": np.array([3.0])},
    ledger_heads={"north": "0" * 64},
)


def sound() -> bytes:
    folder = Path(os.environ["FEDCREDIT_TEST_FOLDER"])
    write_checkpoint(folder, SOUND, OWNER)
    return (folder / CHECKPOINT_FILE).read_bytes()


def forged(arrays: Mapping[str, NDArray[Any]] | None = None, **told: str | None) -> bytes:
    """A checkpoint whose digest is right whatever it says: what someone who knows the format can write."""
    own = {"parameters": WEIGHTS, "released": WEIGHTS, "rule.average": WEIGHTS} if arrays is None else dict(arrays)
    says: dict[str, str | None] = {
        "format": "1", "fingerprint": OWNER.fingerprint, "computed_by": OWNER.computed_by, "rounds": "[]",
        "ledger_heads": "{}", **told,
    }  # fmt: skip
    kept = {key: value for key, value in says.items() if value is not None}
    return save(own, metadata={**kept, "digest": checkpoint._digest(own, kept)})


class _Calls:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (os.path.join(os.environ["FEDCREDIT_TEST_FOLDER"], "sentinel"),)


def _npz(**arrays: object) -> bytes:
    sink = io.BytesIO()
    np.savez(sink, **{name: np.asarray(array) for name, array in arrays.items()})
    return sink.getvalue()


def _npy() -> bytes:
    sink = io.BytesIO()
    np.save(sink, np.array([_Calls()], dtype=object), allow_pickle=True)
    return sink.getvalue()


def _torch() -> bytes:
    import torch

    sink = io.BytesIO()
    torch.save({"parameters": _Calls()}, sink)
    return sink.getvalue()


def _head(header: bytes, body: bytes = b"", *, length: int | None = None) -> bytes:
    return (len(header) if length is None else length).to_bytes(8, "little") + header + body


def _one(dtype: str = "F32", shape: object = (5,), offsets: object = (0, 20)) -> bytes:
    header = {"parameters": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}
    return _head(json.dumps(header).encode(), bytes(20))


MALFORMED: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "one byte": lambda: b"\x00",
    "text": lambda: b"a checkpoint",
    "json": lambda: b"{}",
    "cut in the length": lambda: sound()[:4],
    "cut in the header": lambda: sound()[:40],
    "cut in the arrays": lambda: sound()[:-7],
    "longer than it says": lambda: sound() + b"more",
    "a bit of the length": lambda: bytes([sound()[0] ^ 1]) + sound()[1:],
    "a bit of the header": lambda: sound()[:30] + bytes([sound()[30] ^ 1]) + sound()[31:],
    "a bit of a weight": lambda: sound()[:-3] + bytes([sound()[-3] ^ 1]) + sound()[-2:],
    "zeros": lambda: bytes(4096),
    "a header of all there is": lambda: _head(b"{}", length=2**63 - 1),
    "a header of nested lists": lambda: _head(b"[" * 100_000),
    "a header that is no mapping": lambda: _head(b"[1]"),
    "a header that is no json": lambda: _head(b"{'a': 1}"),
    "an array beyond the file": lambda: _one(offsets=(0, 2**40)),
    "an array before the file": lambda: _one(offsets=(20, 0)),
    "an array of another size": lambda: _one(shape=(6,)),
    "an array of a huge shape": lambda: _one(shape=(2**40, 2**40)),
    "an array of an unknown type": lambda: _one(dtype="PICKLE"),
    "arrays that overlap": lambda: _head(
        json.dumps(
            {name: {"dtype": "F32", "shape": [5], "data_offsets": [0, 20]} for name in ("parameters", "released")}
        ).encode(),
        bytes(20),
    ),
    "no metadata": lambda: save({"parameters": WEIGHTS, "released": WEIGHTS}),
    "a pickle": lambda: pickle.dumps(_Calls()),
    "an old pickle": lambda: b"cos\nmkdir\n(S'sentinel'\ntR.",
    "an archive of arrays": lambda: _npz(parameters=WEIGHTS, released=WEIGHTS),
    "an archive of objects": lambda: _npz(parameters=np.array([_Calls()], dtype=object)),
    "an array of objects": _npy,
    "a checkpoint of torch": _torch,
    "of another format": lambda: forged(format="2"),
    "of another run": lambda: forged(fingerprint="e" * 64),
    "of another trainer": lambda: forged(computed_by="reference on cpu"),
    "without a fingerprint": lambda: forged(fingerprint=None),
    "without rounds": lambda: forged(rounds=None),
    "rounds that are no json": lambda: forged(rounds="[{"),
    "rounds that are no list": lambda: forged(rounds="{}"),
    "rounds of another kind": lambda: forged(rounds='[{"server_round": 1}]'),
    "rounds of nested lists": lambda: forged(rounds="[" * 100_000),
    "without ledgers": lambda: forged(ledger_heads=None),
    "ledgers that are no json": lambda: forged(ledger_heads="{"),
    "ledgers that are a list": lambda: forged(ledger_heads="[1]"),
    "ledgers that are numbers": lambda: forged(ledger_heads='{"north": 1}'),
    "ledgers of nested lists": lambda: forged(ledger_heads="[" * 100_000),
    "without weights": lambda: forged({"released": WEIGHTS}),
    "without a release": lambda: forged({"parameters": WEIGHTS}),
    "weights of two dimensions": lambda: forged({"parameters": WEIGHTS[None], "released": WEIGHTS}),
    "weights in double": lambda: forged({"parameters": WEIGHTS.astype(np.float64), "released": WEIGHTS}),
    "weights as whole numbers": lambda: forged({"parameters": WEIGHTS, "released": WEIGHTS.astype(np.int32)}),
    "weights that are no number": lambda: forged({"parameters": WEIGHTS * np.float32("nan"), "released": WEIGHTS}),
    "infinite weights": lambda: forged({"parameters": WEIGHTS, "released": WEIGHTS + np.float32("inf")}),
    "two lengths": lambda: forged({"parameters": WEIGHTS, "released": WEIGHTS[:3]}),
    "of another network": lambda: forged({"parameters": WEIGHTS[:3], "released": WEIGHTS[:3]}),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "scratch").mkdir()
    monkeypatch.setenv("FEDCREDIT_TEST_FOLDER", str(tmp_path / "scratch"))
    (tmp_path / "run").mkdir()
    return tmp_path / "run"


def test_the_sound_one_and_a_forged_one_of_the_same_content_are_read(folder: Path) -> None:
    for content in (sound(), forged()):
        (folder / CHECKPOINT_FILE).write_bytes(content)
        found = read_checkpoint(folder, OWNER)
        assert found is not None
        assert found.iterate.parameters.tobytes() == WEIGHTS.tobytes()


@pytest.mark.parametrize("make", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_checkpoint_is_set_aside_with_a_reason_and_runs_nothing(
    make: Callable[[], bytes], folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    content = make()
    (folder / CHECKPOINT_FILE).write_bytes(content)
    monkeypatch.setattr(resume, "owner_of", lambda prepared: OWNER)
    prepared: Any = SimpleNamespace(network=SimpleNamespace(num_parameters=SIZE))
    with armed(may_write=folder) as fired, caplog.at_level(logging.WARNING, logger="fedcredit.resume"):
        assert resume.last_snapshot(prepared, folder, {}) is None
    assert fired == []
    (told,) = (entry.getMessage() for entry in caplog.records if entry.name == "fedcredit.resume")
    assert "it is refused and kept as" in told
    assert len(told) < 1200
    (kept,) = folder.iterdir()
    assert kept.read_bytes() == content
    assert hashlib.sha256(content).hexdigest()[:8] in kept.name
    assert list((folder.parent / "scratch").glob("sentinel")) == []


def test_a_pickle_would_run_where_it_is_believed(folder: Path) -> None:
    with armed() as fired:
        pickle.loads(MALFORMED["a pickle"]())
    assert "os.mkdir" in {event for event, _ in fired}


def test_no_checkpoint_is_none(folder: Path) -> None:
    assert read_checkpoint(folder, OWNER) is None
    (folder / CHECKPOINT_FILE).write_bytes(b"x")
    with pytest.raises(CheckpointError, match="damaged"):
        read_checkpoint(folder, OWNER)

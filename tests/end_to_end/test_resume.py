"""A run that is killed at any instant goes on, and ends in the bits of one that was not."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

from fedcredit.config import compose
from fedcredit.errors import InputError
from fedcredit.experiment.files import run_folder
from fedcredit.experiment.prepare import prepare
from fedcredit.experiment.record import RunRecord, read_record
from fedcredit.experiment.resume import owner_of
from fedcredit.experiment.runner import run
from fedcredit.federation import checkpoint
from fedcredit.federation.checkpoint import CHECKPOINT_FILE, Owner, read_checkpoint, write_checkpoint
from fedcredit.federation.snapshot import Snapshot
from fedcredit.privacy.accounting.chain import BrokenLedgerError
from fedcredit.privacy.accounting.ledger import ledgers_in

pytestmark = pytest.mark.usefixtures("credit_data")

SMALL = (
    "portfolio=german",
    "partition=iid",
    "network=tanh16",
    "partition.num_institutions=3",
    "privacy.target_delta=1e-4",
    "privacy.target_epsilon=4",
    "network.hidden=[4]",
    "training.num_rounds=6",
    "evaluation.every=3",
    "evaluation.references=[alone]",
)
ARMS = (("seed=1",), ("seed=2", "strategy=fedyogi"))
RULES = ("strategy=server_adam", "strategy=fedavgm", "strategy=flower_fedadam", "strategy=flower_fedavgm")
NUM_KILLS = 12
MANY_KILLS = 200
# Where a process may die: before and after each kind of call that changes the disk, early, amid and late in the study.
CALLS = {"os.fsync": (1, 4, 12, 20), "os.replace": (1, 3, 5, 8), "os.link": (1, 3)}
FAULTS = {
    **{
        f"{when} {call} {number}": {"call": call, "number": number, "when": when}
        for call, numbers in CALLS.items()
        for number in numbers
        for when in ("before", "after")
    },
    **{
        f"{when} at write {number}": {"call": "os.write", "number": number, "when": when}
        for number in (4, 20, 41)
        for when in ("full", "torn")
    },
    "full at fsync 9": {"call": "os.fsync", "number": 9, "when": "full"},
    "full at rename 4": {"call": "os.replace", "number": 4, "when": "full"},
    "checkpoint cut to half": {"cut": CHECKPOINT_FILE, "call": "os.replace", "number": 5, "when": "after"},
    "rounds cut to half": {"cut": "rounds.jsonl", "call": "os.replace", "number": 5, "when": "after"},
}


def _overrides(folder: Path, *more: str) -> list[str]:
    return [*SMALL, f"results_dir={folder}", *more]


def _meaning(record: RunRecord) -> RunRecord:
    """A record without its times and places."""
    rounds = tuple({**told, "train_seconds": 0} for told in record.rounds)
    experiment = {**record.experiment, "results_dir": ""}
    return replace(record, rounds=rounds, seconds={}, environment={}, experiment=experiment)


def _left(folder: Path) -> dict[str, Any]:
    """Everything that must come out the same, of every run below a folder."""
    left: dict[str, Any] = {}
    for path in sorted(folder.rglob("record.json")):
        place = path.parent
        left[str(place.relative_to(folder))] = (
            _meaning(read_record(place)),
            load_bits(place),
            {ledger.name: ledger.read_bytes() for ledger in ledgers_in(place)},
            [json.loads(line)["epsilon_spent"] for line in (place / "rounds.jsonl").read_text().splitlines()],
        )
    return left


class Study:
    """A server of forked studies, and what an undisturbed study leaves."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("interrupted.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._told, self._answers = self._process.stdin, self._process.stdout
        assert self._ask(folder / "whole") == "ready"
        self.whole = _left(folder / "whole")

    def attempt(self, name: str, fault: dict[str, Any] | None) -> str:
        return self._ask(self._folder / name, fault)

    def left(self, name: str) -> dict[str, Any]:
        return _left(self._folder / name)

    def cut(self, name: str, file: str) -> None:
        found = [path for path in (self._folder / name).rglob(file) if not (path.parent / "record.json").exists()]
        assert found
        for path in found:
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    def check_that_all_is_charged(self, name: str) -> None:
        """Every private computation that began is an intent on the disk."""
        noted = self._folder / f"{name}.noted"
        draws = set(noted.read_text().splitlines()) if noted.exists() else set()
        ledgers = (self._folder / name).rglob("ledger/*.jsonl")
        intents = [line for path in ledgers for line in path.read_text().splitlines() if '"kind":"intent"' in line]
        assert len(draws) <= len(intents)

    def close(self) -> None:
        self._told.close()
        self._answers.close()
        self._process.wait(timeout=60)

    def _ask(self, folder: Path, fault: dict[str, Any] | None = None) -> str:
        arms = [_overrides(folder, *arm) for arm in ARMS]
        task = {"arms": arms, "noted": f"{folder}.noted", "fault": fault}
        self._told.write(json.dumps(task) + "\n")
        self._told.flush()
        return self._answers.readline().strip()


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Study]:
    opened = Study(tmp_path_factory.mktemp("interrupted"))
    yield opened
    opened.close()


def _kill_and_resume(study: Study, name: str, *, seed: int, most: float = 0.9) -> int:
    """Aim one to three kills at a study, let it end, and return how many hit it at work."""
    draw, hits = random.Random(seed), 0
    for _ in range(draw.randint(1, 3)):
        hits += study.attempt(name, {"seconds": draw.uniform(0.0, most)}) == "killed"
        study.check_that_all_is_charged(name)
    assert study.attempt(name, None) == "done"
    assert study.left(name) == study.whole
    return hits


def test_a_study_killed_at_random_instants_ends_in_the_same_bits(study: Study) -> None:
    hits = [_kill_and_resume(study, f"kill-{seed}", seed=seed) for seed in range(NUM_KILLS)]
    assert sum(hit > 0 for hit in hits) >= NUM_KILLS // 2


@pytest.mark.long
def test_two_hundred_random_kills_end_in_the_same_bits(study: Study) -> None:
    hits, num_studies = 0, 0
    while hits < MANY_KILLS:
        hits += _kill_and_resume(study, f"kills-{num_studies}", seed=1000 + num_studies)
        num_studies += 1
        assert num_studies <= 2 * MANY_KILLS, f"only {hits} of the kills hit a study at work"


@pytest.mark.parametrize("name", FAULTS)
def test_a_study_that_ends_at_a_fault_point_ends_in_the_same_bits(study: Study, name: str) -> None:
    fault = dict(FAULTS[name])
    cut = fault.pop("cut", None)
    assert study.attempt(name, fault) != "done"
    if cut is not None:
        study.cut(name, cut)
    study.check_that_all_is_charged(name)
    assert study.attempt(name, None) == "done"
    assert study.left(name) == study.whole


def test_there_are_at_least_thirty_named_fault_points() -> None:
    assert len(FAULTS) >= 30


class InterruptionError(Exception):
    """Raised between two rounds."""


def _interrupt(monkeypatch: pytest.MonkeyPatch, *, after_round: int) -> None:
    monkeypatch.setenv("FEDCREDIT_CHECKPOINT", "round")
    kept = write_checkpoint

    def write(folder: Path, snapshot: Snapshot, owner: Owner) -> None:
        kept(folder, snapshot, owner)
        if snapshot.server_round == after_round:
            raise InterruptionError

    monkeypatch.setattr(checkpoint, "write_checkpoint", write)


def _interrupted(folder: Path, monkeypatch: pytest.MonkeyPatch, *more: str, after_round: int = 4) -> Path:
    """Run until a checkpoint is kept and return the results folder."""
    experiment = compose(None, _overrides(folder, *more))
    with monkeypatch.context() as patch:
        _interrupt(patch, after_round=after_round)
        with pytest.raises(InterruptionError):
            run(experiment, progress=False, report=False)
    return next(folder.rglob(CHECKPOINT_FILE)).parent


@pytest.mark.parametrize("rule", RULES)
def test_every_server_rule_goes_on_from_its_own_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rule: str
) -> None:
    more = (rule, "privacy.target_epsilon=8")
    run(compose(None, _overrides(tmp_path / "whole", *more)), progress=False, report=False)
    _interrupted(tmp_path / "broken", monkeypatch, *more)
    trained: list[int] = []
    answer = checkpoint.Checkpoints.__call__
    monkeypatch.setattr(checkpoint.Checkpoints, "__call__", lambda self, take: trained.append(1) or answer(self, take))
    run(compose(None, _overrides(tmp_path / "broken", *more)), progress=False, report=False)
    assert len(trained) == 2, "only the rounds after the fourth were run again"
    assert _left(tmp_path / "broken") == _left(tmp_path / "whole")


def test_a_run_that_need_not_resume_begins_at_round_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _interrupted(tmp_path, monkeypatch)
    rounds: list[int] = []
    answer = checkpoint.Checkpoints.__call__
    monkeypatch.setattr(checkpoint.Checkpoints, "__call__", lambda self, take: rounds.append(1) or answer(self, take))
    run(compose(None, _overrides(tmp_path)), progress=False, report=False, resume=False)
    assert len(rounds) == 6


def test_a_finished_run_keeps_no_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDCREDIT_CHECKPOINT", "round")
    experiment = compose(None, _overrides(tmp_path))
    record = run(experiment, progress=False, report=False)
    assert not (run_folder(experiment, record.fingerprint).path / CHECKPOINT_FILE).exists()


@pytest.mark.parametrize("where", [0, 100, -1])
def test_a_damaged_checkpoint_is_refused_in_one_line_and_kept_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, where: int
) -> None:
    folder = _interrupted(tmp_path, monkeypatch)
    content = bytearray((folder / CHECKPOINT_FILE).read_bytes())
    content[where] ^= 1
    (folder / CHECKPOINT_FILE).write_bytes(content)
    run(compose(None, _overrides(tmp_path)), progress=False, report=False)
    assert [record.levelname for record in caplog.records if record.name == "fedcredit.resume"] == ["WARNING"]
    assert "is damaged" in caplog.text
    assert len(list(folder.glob(f"{CHECKPOINT_FILE}.refused-*"))) == 1


def test_a_checkpoint_of_another_run_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    foreign = _interrupted(tmp_path / "foreign", monkeypatch, "seed=9")
    folder = _interrupted(tmp_path / "own", monkeypatch)
    (folder / CHECKPOINT_FILE).write_bytes((foreign / CHECKPOINT_FILE).read_bytes())
    run(compose(None, _overrides(tmp_path / "own")), progress=False, report=False)
    assert "is of another run: fingerprint is" in caplog.text


def test_a_ledger_that_lost_lines_the_checkpoint_knows_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = _interrupted(tmp_path, monkeypatch)
    (folder / "rounds.jsonl").write_text("")
    ledger = ledgers_in(folder)[0]
    ledger.write_bytes(b"".join(ledger.read_bytes().splitlines(keepends=True)[:3]))
    with pytest.raises(BrokenLedgerError, match="line 3 "):
        run(compose(None, _overrides(tmp_path)), progress=False, report=False)


def test_a_checkpoint_comes_back_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = _interrupted(tmp_path, monkeypatch, after_round=3)
    experiment = compose(None, _overrides(tmp_path))
    owner = owner_of(prepare(experiment))
    found = read_checkpoint(folder, owner)
    assert found is not None
    assert found.server_round == 3
    write_checkpoint(tmp_path, found, owner)
    again = read_checkpoint(tmp_path, owner)
    assert again is not None
    assert (again.rounds, again.ledger_heads) == (found.rounds, found.ledger_heads)
    assert set(again.rule) == set(found.rule) == {"parameters", "average", "first_moment", "second_moment", "step"}
    assert all(again.rule[name].tobytes() == array.tobytes() for name, array in found.rule.items())


def test_ray_goes_on_from_what_another_runtime_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(compose(None, _overrides(tmp_path / "whole")), progress=False, report=False)
    folder = _interrupted(tmp_path / "broken", monkeypatch, after_round=5)
    folder.rename(folder.with_name("ray-compiled"))
    record = run(compose(None, _overrides(tmp_path / "broken", "runtime=ray")), progress=False, report=False)
    whole = next((tmp_path / "whole").rglob("inline-compiled"))
    assert load_bits(folder.with_name("ray-compiled")) == load_bits(whole)
    assert [told["server_round"] for told in record.rounds] == [1, 2, 3, 4, 5, 6]
    log = (folder.with_name("ray-compiled") / "rounds.jsonl").read_text()
    assert len(log.splitlines()) == 6


def load_bits(folder: Path) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in load_file(folder / "weights.safetensors").items()}


def test_a_results_folder_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="results_dir"):
        run(compose(None, _overrides(tmp_path / "file")), progress=False, report=False)

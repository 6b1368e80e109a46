"""The ledger of mode deployed over hundreds of histories: runs on the same loans that die and start again.

A life of a process opens the ledger, charges a few releases of one run and ends, or dies at any write or fsync; power
may be lost with it. The truth is what a judge outside would count: steps whose private gradients began, for each run,
also those of releases that are asked for again, because fresh noise makes them new. What died in the middle of being
written down may be in the ledger or not.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fedcredit.privacy.accounting import storage
from fedcredit.privacy.accounting.dataset_ledger import DatasetLedger
from fedcredit.privacy.accounting.events import Events, GaussianSteps
from fedcredit.privacy.accounting.ledger import NoiseDrawsError, Release, read_ledger
from fedcredit.privacy.accounting.run_ledger import RunAccount

HISTORIES = 500
LIVES = 8
RUNS = ("a" * 64, "b" * 64, "c" * 64)


class CrashError(BaseException):
    """The machine stops here."""


class Disk:
    """Stands in for ``os`` in the storage module: real files, fsync as bookkeeping, and a planned crash."""

    def __init__(self, chance: random.Random) -> None:
        self.chance, self.left = chance, -1
        self.durable: dict[int, int] = {}

    def __getattr__(self, name: str) -> object:
        return getattr(os, name)

    def _stops(self) -> bool:
        self.left -= 1
        return self.left == 0

    def write(self, handle: int, data: bytes) -> int:
        if self._stops():
            os.write(handle, data[: self.chance.randint(0, len(data))])
            raise CrashError
        return os.write(handle, data)

    def fsync(self, handle: int) -> None:
        if self._stops():
            raise CrashError
        self.durable[os.fstat(handle).st_ino] = os.fstat(handle).st_size

    def ftruncate(self, handle: int, size: int) -> None:
        if self._stops():
            raise CrashError
        os.ftruncate(handle, size)

    def lose_power(self, path: Path) -> None:
        """Keep what was synced, and any part of what was not."""
        if path.exists():
            size = path.stat().st_size
            os.truncate(path, self.chance.randint(min(self.durable[path.stat().st_ino], size), size))


def num_steps(events: Events) -> int:
    return sum(event.num_steps for event in events)


class History:
    """The lives of one lender's ledger, with the truth and what may be charged beyond it kept beside."""

    def __init__(self, path: Path, disk: Disk) -> None:
        self.path, self.disk, self.chance = path, disk, disk.chance
        self.truth: Counter[str] = Counter()
        self.unsure: Counter[str] = Counter()
        self.last: Counter[str] = Counter()
        self.crashes = 0

    def run(self) -> None:
        for _ in range(LIVES):
            self.disk.left = self.chance.randint(1, 20)
            try:
                self._live(self.chance.choice(RUNS))
            except CrashError:
                self.crashes += 1
                if self.chance.random() < 0.5:
                    self.disk.lose_power(self.path)
            self.disk.left = -1
            self._check()

    @contextmanager
    def _opened(self) -> Iterator[DatasetLedger]:
        begin = not self.path.exists()
        with DatasetLedger.open(self.path, institution="First Bank", dataset="d" * 64, begin=begin) as ledger:
            yield ledger

    def _live(self, run: str) -> None:
        with self._opened() as ledger:
            account = RunAccount(ledger, fingerprint=run)
            for server_round in range(1, self.chance.randint(2, 5)):
                steps = GaussianSteps(
                    sampling_probability=0.25, noise_multiplier=2.0, num_steps=self.chance.choice([1, 4])
                )
                release = Release(name="federation", server_round=server_round, event=steps, digest="e" * 64)
                self._intend(account, release, run)
                if self.chance.random() < 0.8:
                    self._commit(account, release, run)

    def _intend(self, account: RunAccount, release: Release, run: str) -> None:
        self.unsure[run] += release.event.num_steps
        account.intend(release)
        self.unsure[run] -= release.event.num_steps
        self.truth[run] += release.event.num_steps

    def _commit(self, account: RunAccount, release: Release, run: str) -> None:
        extra = self.chance.choice([0] * 8 + [-1, 3])
        self.unsure[run] += max(0, extra)
        try:
            account.commit(release, num_noise_draws=release.event.num_steps + extra)
        except NoiseDrawsError:
            assert extra
            self.truth[run] += max(0, extra)
        self.unsure[run] -= max(0, extra)

    def _check(self) -> None:
        with self._opened() as ledger:
            spent = Counter({run: num_steps(RunAccount(ledger, fingerprint=run).events()) for run in RUNS})
            everything = ledger.events()
        for run in RUNS:
            assert max(self.truth[run], self.last[run]) <= spent[run] <= self.truth[run] + self.unsure[run]
        assert num_steps(everything) == spent.total()
        assert read_ledger(self.path).events() == everything
        self.last = spent


def test_no_crash_takes_the_spent_below_the_truth_and_runs_and_restarts_add_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crashes = torn = 0
    for seed in range(HISTORIES):
        disk = Disk(random.Random(seed))
        monkeypatch.setattr(storage, "os", disk)
        history = History(tmp_path / str(seed) / "bank.jsonl", disk)
        history.run()
        crashes += history.crashes
        torn += len(list(history.path.parent.glob("*.torn-*")))
    assert crashes > 3 * HISTORIES
    assert torn > HISTORIES / 4

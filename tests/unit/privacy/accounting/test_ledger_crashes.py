"""The ledger against crashes at every write and fsync, and against tampering."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fedcredit.privacy.accounting import storage
from fedcredit.privacy.accounting.events import Events, GaussianSteps
from fedcredit.privacy.accounting.ledger import NoiseDrawsError, PrivacyLedger, Release, read_ledger

HISTORIES = 500
OPERATIONS = 50


class CrashError(BaseException):
    """The machine stops here."""


@dataclass
class Disk:
    """Stands in for ``os`` in the storage module: real files, fsync as bookkeeping, and a planned crash.

    ``durable`` is how many bytes of a file survive a loss of power. At the planned call a write leaves a
    random part of its bytes, a fsync or truncation is not done, and nothing after it happens.
    """

    chance: random.Random
    durable: dict[int, int] = field(default_factory=dict)
    calls: int = 0
    crash_at: int = -1

    def __getattr__(self, name: str) -> object:
        return getattr(os, name)

    def _stops(self) -> bool:
        self.calls += 1
        return self.calls == self.crash_at

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
        size = path.stat().st_size
        kept = min(size, self.durable.get(path.stat().st_ino, 0))
        os.truncate(path, self.chance.randint(kept, size))


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Disk]:
    def make(seed: int) -> Disk:
        made = Disk(random.Random(seed))
        monkeypatch.setattr(storage, "os", made)
        return made

    return make


def opened(path: Path, *, sync_every_line: bool = True) -> PrivacyLedger:
    return PrivacyLedger.open(
        path, institution="First Bank", fingerprint="f" * 64, mode="simulated", sync_every_line=sync_every_line
    )


def steps(events: Events) -> Counter[tuple[float, float]]:
    counts: Counter[tuple[float, float]] = Counter()
    for event in events:
        counts[event.sampling_probability, event.noise_multiplier] += event.num_steps
    return counts


def some_release(chance: random.Random) -> Release:
    event = GaussianSteps(
        sampling_probability=chance.choice([0.25, 1.0]), noise_multiplier=2.0, num_steps=chance.choice([1, 5])
    )
    name = chance.choice(["federation", "reference.alone"])
    return Release(name=name, server_round=chance.randint(1, 6), event=event, digest="a")


class History:
    """A random history of one ledger, with the truth kept beside it.

    The truth is what a judge outside would count: every release whose private gradients began, once for each
    distinct noise (an identical replay has the same), and the draws beyond it that a faulty trainer told of.
    Where lines are synced in groups and power is lost, it is what had happened when a result was last kept.
    """

    def __init__(self, path: Path, disk: Disk, *, sync_every_line: bool = True) -> None:
        self.sync_every_line = sync_every_line
        self.kept: Counter[tuple[float, float]] = Counter()
        self.kept_noise: set[Release] = set()
        self.kept_head: str | None = None
        self.path, self.disk, self.chance = path, disk, disk.chance
        self.ledger: PrivacyLedger | None = None
        self.begun: Counter[tuple[float, float]] = Counter()
        self.same_noise: set[Release] = set()
        self.last: Counter[tuple[float, float]] = Counter()
        self.crashes = 0

    def run(self) -> None:
        for _ in range(OPERATIONS):
            self.disk.crash_at = self.disk.calls + self.chance.randint(1, 12) if self.chance.random() < 0.35 else -1
            try:
                self._operate()
            except CrashError:
                self._crash()
            self._check()

    def _operate(self) -> None:
        if self.ledger is None:
            self.ledger = opened(self.path, sync_every_line=self.sync_every_line)
        release = some_release(self.chance)
        self.ledger.intend(release)
        self._begin(release)
        what = self.chance.random()
        if what < 0.15:
            self._crash()
        elif what < 0.25:
            extra = self.chance.choice([-1, 1, 7])
            with pytest.raises(NoiseDrawsError):
                self.ledger.commit(release, num_noise_draws=release.event.num_steps + extra)
            self.begun[_kind(release)] += max(0, extra)
            self.same_noise.discard(release)
        elif what < 0.95:
            self.ledger.commit(release, num_noise_draws=release.event.num_steps)
        else:
            self.kept_head = self.ledger.settled_head()
            self.kept, self.kept_noise = self.begun.copy(), self.same_noise.copy()

    def _begin(self, release: Release) -> None:
        if release not in self.same_noise:
            self.same_noise.add(release)
            self.begun[_kind(release)] += release.event.num_steps

    def _crash(self) -> None:
        self.crashes += 1
        self.ledger = None
        if self.chance.random() < 0.5 and self.path.exists():
            self.disk.lose_power(self.path)
            if not self.sync_every_line:
                self.begun, self.same_noise, self.last = self.kept.copy(), self.kept_noise.copy(), self.kept.copy()

    def _check(self) -> None:
        self.disk.crash_at = -1
        if self.path.exists():
            if self.ledger is None:
                self.ledger = opened(self.path, sync_every_line=self.sync_every_line)
                assert read_ledger(self.path, head=self.kept_head).events() == self.ledger.events()
            spent = steps(self.ledger.events())
            assert spent >= self.begun
            assert spent >= self.last
            self.last = spent


def _kind(release: Release) -> tuple[float, float]:
    return release.event.sampling_probability, release.event.noise_multiplier


@pytest.mark.parametrize("sync_every_line", [True, False])
def test_no_crash_at_any_write_or_fsync_takes_the_spent_below_the_truth(
    tmp_path: Path, disk: Callable[[int], Disk], sync_every_line: bool
) -> None:
    crashes = torn = 0
    for seed in range(HISTORIES):
        history = History(tmp_path / str(seed) / "bank.jsonl", disk(seed), sync_every_line=sync_every_line)
        history.run()
        crashes += history.crashes
        torn += len(list((tmp_path / str(seed)).glob("*.torn-*")))
    assert crashes > 5 * HISTORIES
    assert torn > HISTORIES / 5


class FullDisk(Disk):
    """Fails half-way through a write, or at fsync."""

    at_fsync = False

    def write(self, handle: int, data: bytes) -> int:
        if self.at_fsync:
            return os.write(handle, data)
        if len(data) > 40:
            return os.write(handle, data[:40])
        raise OSError(28, "No space left on device")

    def fsync(self, handle: int) -> None:
        raise OSError(5, "Input/output error")


@pytest.mark.parametrize("at_fsync", [False, True])
def test_failing_disk_leaves_the_file_as_it_was_and_the_release_is_not_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_fsync: bool
) -> None:
    path = tmp_path / "bank.jsonl"
    ledger = opened(path)
    release = some_release(random.Random(0))
    before = path.read_bytes()
    failing = FullDisk(random.Random(0))
    failing.at_fsync = at_fsync
    with monkeypatch.context() as patch:
        patch.setattr(storage, "os", failing)
        for _ in range(2):
            with pytest.raises(OSError, match="Input/output error" if at_fsync else "No space left"):
                ledger.intend(release)
            assert path.read_bytes() == before
    ledger.intend(release)
    assert read_ledger(path).events() == (release.event,)


def test_line_written_by_another_process_since_the_last_reading_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "bank.jsonl"
    opened(path)
    size = path.stat().st_size
    other = opened(path)
    other.intend(some_release(random.Random(0)))
    before = path.read_bytes()
    with pytest.raises(storage.CollisionError):
        storage.append(path, b"{}\n", size=size, durable=True)
    with pytest.raises(storage.CollisionError):
        storage.set_aside(path, start=10, size=size)
    assert path.read_bytes() == before

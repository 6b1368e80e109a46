"""The lines of a ledger: what each means, how it is read back, and what it costs.

Format 1, sealed as `chain` describes: ``header`` says whose ledger it is; ``intent`` holds a release;
``commit`` and ``fault`` name the intent's line and the number of noise draws. A fault is a commit
whose draws are not those of its event. The numbers of `GaussianSteps` are members of the intent; any other event
is one member, ``event``, with its kind, so that a version that does not know the kind refuses the line.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fedcredit.privacy.accounting import storage
from fedcredit.privacy.accounting.chain import GENESIS, broken, seal, unseal
from fedcredit.privacy.accounting.events import (
    Event,
    Events,
    GaussianSteps,
    MixtureGaussianSteps,
    merge,
    one_step,
)
from fedcredit.privacy.accounting.releases import check_release

FORMAT = 1
MIXTURE = "mixture_gaussian_steps"
_NUMBERS = ("sampling_probability", "noise_multiplier", "num_steps")


@dataclass(frozen=True, kw_only=True)
class Release:
    """One release of one lender.

    Attributes:
        name: what it is for, of the table in `releases`.
        server_round: the round, from 1 (0 where there are no rounds).
        event: what it does to private loans.
        digest: digest of (fingerprint, name, round, incoming weights).
    """

    name: str
    server_round: int
    event: Event
    digest: str

    def __post_init__(self) -> None:
        """Refuse a name that no release has."""
        check_release(self.name)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One line after the header: ``intent``, ``commit`` or ``fault`` of a release.

    ``fingerprint`` names the run where several share a ledger, and ``target_delta`` is what it promises at; otherwise
    the header and the run's record do.
    """

    kind: str
    release: Release
    num_noise_draws: int | None
    fingerprint: str | None = None
    target_delta: float | None = None


@dataclass
class Book:
    """The lines of one file read so far, and the place where its next line is written.

    Attributes:
        path: the file.
        header: the first line.
        entries: the other lines, in order.
        digests: digest of each line.
        size: bytes read.
        free: line of the last intent of each release that may be repeated without charge.
        digests_of: (name, round) -> digest of its last intent.
        committed: lines of intents that were followed by a commit or fault.
        steps: what the entries cost so far: by release name, how often each event of one step.
        last_round: the largest round of an entry.
    """

    path: Path
    header: dict[str, Any] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    digests: list[str] = field(default_factory=list)
    size: int = 0
    free: dict[Release, int] = field(default_factory=dict)
    digests_of: dict[tuple[str, int], str] = field(default_factory=dict)
    committed: set[int] = field(default_factory=set)
    steps: dict[str, Counter[Event]] = field(default_factory=dict)
    last_round: int = 0

    @property
    def head(self) -> str:
        """The digest of the last line."""
        return self.digests[-1] if self.digests else GENESIS

    def events(self, name: str | None, *, through_round: int | None = None) -> Events:
        """Return what the entries cost: `charges`, merged, from the running sums where all of them count.

        Args:
            name: one kind of release, or None for all of them.
            through_round: the last round that counts; None for all of them.

        Returns:
            Merged events.

        Raises:
            ValueError: if no release has that name.
        """
        if name is not None:
            check_release(name)
        if through_round is not None and through_round < self.last_round:
            within = (entry for entry in self.entries if entry.release.server_round <= through_round)
            return merge(charges(within, name))
        kinds = [steps for kind, steps in self.steps.items() if name in (None, kind)]
        return merge(step.times(count) for steps in kinds for step, count in steps.items())

    def absorb(self, data: bytes) -> None:
        """Verify and note more lines.

        Args:
            data: what follows in the file, in whole lines.

        Raises:
            InputError: naming the first line that does not verify.
        """
        first_line = len(self.digests) + 1
        for body, digest in unseal(data, previous=self.head, first_line=first_line, path=self.path):
            try:
                self._note(body, line=len(self.digests) + 1)
            except (KeyError, TypeError, ValueError) as error:
                raise broken(self.path, len(self.digests) + 1, "is not a line of this format") from error
            self.digests.append(digest)
        self.size += len(data)

    def catch_up(self) -> None:
        """Read what another process of the same run has appended.

        Raises:
            InputError: if the file shrank, or a new line does not verify.
        """
        size = os.stat(self.path).st_size  # a Path takes three times as long, twice a release
        if size == self.size:
            return
        if size < self.size:
            raise broken(self.path, len(self.digests), "is missing: the file shrank while it was in use")
        with self.path.open("rb") as file:
            file.seek(self.size)
            self.absorb(file.read())

    def append(self, body: Mapping[str, object], *, durable: bool) -> None:
        """Write and note a line; the operating system has it on return.

        Args:
            body: its members.
            durable: whether the line must also be on the disk when this returns.

        Raises:
            InputError: if another process wrote to the file since it was read.
            OSError: if the line cannot be written; nothing of it is left.
        """
        line, digest = seal(body, previous=self.head)
        try:
            storage.append(self.path, line, size=self.size, durable=durable)
        except storage.CollisionError as error:
            raise broken(self.path, len(self.digests) + 1, "was written by another process meanwhile") from error
        self._note(body, line=len(self.digests) + 1)
        self.digests.append(digest)
        self.size += len(line)

    def _note(self, body: Mapping[str, Any], *, line: int) -> None:
        kind = body["kind"]
        if line == 1:
            if kind != "header" or body["format"] != FORMAT:
                raise ValueError(kind)
            self.header = dict(body)
        elif kind == "intent":
            release = Release(
                name=body["name"], server_round=body["server_round"], event=_event_of(body), digest=body["release"]
            )
            self.free[release] = line
            self.digests_of[release.name, release.server_round] = release.digest
            run = None if body.get("fingerprint") is None else str(body["fingerprint"])
            delta = None if body.get("target_delta") is None else float(body["target_delta"])
            self._add(Entry(kind=kind, release=release, num_noise_draws=None, fingerprint=run, target_delta=delta))
        else:
            self._settle(kind, body["intent"], body["num_noise_draws"])

    def _settle(self, kind: str, intent: int, num_noise_draws: int) -> None:
        entry = self.entries[intent - 2] if 2 <= intent < len(self.entries) + 2 else None
        if kind not in ("commit", "fault") or entry is None or entry.kind != "intent":
            raise ValueError(kind)
        self.committed.add(intent)
        if kind == "fault":
            self.free.pop(entry.release, None)
        self._add(replace(entry, kind=kind, num_noise_draws=num_noise_draws))

    def _add(self, entry: Entry) -> None:
        self.entries.append(entry)
        self.last_round = max(self.last_round, entry.release.server_round)
        steps = self.steps.setdefault(entry.release.name, Counter())
        for event in charges((entry,), None):
            steps[one_step(event)] += event.num_steps


def intent_body(release: Release) -> dict[str, object]:
    """Write a release as the line that charges it.

    Args:
        release: what is about to happen.

    Returns:
        The members of the line.
    """
    return {
        "kind": "intent",
        "name": release.name,
        "server_round": release.server_round,
        **event_body(release.event),
        "release": release.digest,
    }


def event_body(event: Event) -> dict[str, object]:
    """Write an event as members of a line.

    Args:
        event: any event.

    Returns:
        Its numbers; under ``event``, with its kind, where it is not `GaussianSteps`.
    """
    numbers: dict[str, object] = {
        "sampling_probability": float(event.sampling_probability),
        "noise_multiplier": float(event.noise_multiplier),
        "num_steps": event.num_steps,
    }
    if isinstance(event, MixtureGaussianSteps):
        return {"event": {"kind": MIXTURE, **numbers, "max_rows": event.max_rows}}
    return numbers


def _event_of(body: Mapping[str, Any]) -> Event:
    if "event" not in body:
        return GaussianSteps(**{name: body[name] for name in _NUMBERS})
    told = body["event"]
    if told["kind"] != MIXTURE or any(name in body for name in _NUMBERS):
        raise ValueError(told["kind"])
    return MixtureGaussianSteps(**{name: told[name] for name in (*_NUMBERS, "max_rows")})


def is_faulty(release: Release, num_noise_draws: int) -> bool:
    """Say whether noise was drawn another number of times than a release's event says.

    Args:
        release: as intended; without noise it costs infinity whatever is drawn.
        num_noise_draws: how often noise was drawn.

    Returns:
        Whether its commit is a fault.
    """
    return release.event.noise_multiplier > 0.0 and num_noise_draws != release.event.num_steps


def charges(entries: Iterable[Entry], name: str | None) -> Iterator[Event]:
    """List what entries cost: every intent in full, and noise draws beyond an intent.

    Args:
        entries: lines of a ledger.
        name: one kind of release, or None for all of them.

    Yields:
        Events, not merged.

    Raises:
        ValueError: if no release has that name.
    """
    if name is not None:
        check_release(name)
    for entry in entries:
        if name is not None and entry.release.name != name:
            continue
        event = entry.release.event
        if entry.kind == "intent":
            yield event
        elif entry.num_noise_draws is not None and entry.num_noise_draws > event.num_steps:
            yield replace(event, num_steps=entry.num_noise_draws - event.num_steps)

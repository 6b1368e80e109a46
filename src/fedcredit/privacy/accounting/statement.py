"""Epsilon as it is told: with its unit, relation, delta, accountant, mode, coverage, and overlaps.

The headline is the worst single lender. It is right for a borrower with one loan at one lender, so it
never stands without the lines for a borrower with a loan at each of two and three lenders, whose
losses compose; where borrower keys are known, nor without the one for the most lenders of any borrower.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from fedcredit.privacy.accounting.accountants import Epsilon, epsilon, quick_epsilon
from fedcredit.privacy.accounting.events import Events, GaussianSteps, merge
from fedcredit.privacy.reading import Reading, percent, read, worst_reading

OVERLAPS = (2, 3)
_MAX_CHOICES = 2000
_RELATIONS = {"zero_out": "a loan is replaced by nothing, the number of loans is public"}
_MODES = {
    "simulated": "seeded noise: it holds against an adversary without the seed; ledgers are on the disk before records",
    "deployed": "noise from the operating system, which nobody can draw again; every release is on the disk before its "
    "first gradient; all lenders in one process on one machine",
}
_ACCOUNTANTS = {"pld": "privacy-loss distribution", "rdp": "Renyi divergence", "closed_form": "exact Gaussian"}
_WORDS = {1: "one", 2: "two", 3: "three"}


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """What borrower keys say about the training loans of a federation.

    Attributes:
        num_lenders: at how many lenders the same borrower has training loans, at most; at least 1.
        num_loans: how many training loans a borrower has at one lender, at most; at least 1.
    """

    num_lenders: int
    num_loans: int

    def text(self, unit: str) -> str:
        """Return it as a line of a statement."""
        lenders = f"more than {_WORDS.get(self.num_lenders, self.num_lenders)} lender{'s' * (self.num_lenders > 1)}"
        loans = f"more than {self.num_loans} {unit}{'s' * (self.num_loans > 1)}"
        return f"no borrower has training {unit}s at {lenders}, or {loans} at one lender"


@dataclass(frozen=True, kw_only=True)
class EpsilonStatement:
    """An epsilon with everything it needs to be read.

    Attributes:
        unit: the privacy unit, ``"loan"``.
        relation: the neighbouring relation, ``"zero_out"``.
        target_delta: the delta of every line.
        mode: ``"simulated"``.
        covers: what was released, in words.
        per_lender: the bound for a loan at each lender.
        worst: the largest of them.
        overlap: number of lenders -> bound for a borrower with a loan at each of the worst so many;
            only for as many lenders as there are.
        num_lenders: how many lenders there are.
        reading: number of lenders, also 1 -> what the best attacker makes of a loan at each of them.
        known_overlap: what borrower keys say; None where there are none.
    """

    unit: str
    relation: str
    target_delta: float
    mode: str
    covers: str
    per_lender: Mapping[str, Epsilon]
    worst: Epsilon
    overlap: Mapping[int, Epsilon]
    num_lenders: int
    reading: Mapping[int, Reading]
    known_overlap: Overlap | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the statement as plain values; an infinite epsilon stays a float infinity."""
        return {
            **asdict(self),
            "overlap": {str(count): asdict(bound) for count, bound in self.overlap.items()},
            "reading": {str(count): found.to_json() for count, found in self.reading.items()},
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> EpsilonStatement:
        """Read a statement back.

        Args:
            content: as `to_json` returns it, also after a trip through JSON text.

        Returns:
            An equal statement.
        """
        return cls(
            **{
                **content,
                "per_lender": {name: Epsilon(**bound) for name, bound in content["per_lender"].items()},
                "worst": Epsilon(**content["worst"]),
                "overlap": {int(count): Epsilon(**bound) for count, bound in content["overlap"].items()},
                "reading": {int(count): Reading.from_json(item) for count, item in content["reading"].items()},
                "known_overlap": None if content["known_overlap"] is None else Overlap(**content["known_overlap"]),
            }
        )

    def lines(self) -> list[str]:
        """Return the statement as lines of text: the epsilons, then what they mean."""
        bounds = [(1, self.worst), *sorted(self.overlap.items())]
        lowest = min(bound.value for bound in self.per_lender.values())
        told = [f"epsilon {_number(b.value)} for a borrower with one {self.unit} at {at_lenders(k)}" for k, b in bounds]
        if _number(lowest) != _number(self.worst.value):
            told[0] += f" (lenders from {_number(lowest)} to {_number(self.worst.value)})"
        accountants = sorted({_ACCOUNTANTS[bound.accountant] for _, bound in bounds})
        return [
            *told,
            f"upper bounds at delta {self.target_delta:g} by {' and '.join(accountants)}{self._grids()}",
            f"unit: {self.unit} (several {self.unit}s of a borrower at one lender cost more); "
            f"relation: {self.relation} ({_RELATIONS.get(self.relation, 'see the record')})",
            f"mode: {self.mode} ({_MODES.get(self.mode, 'see the record')})",
            *self._reading_lines(),
            *self._overlap_lines(),
            f"covers: {self.covers}",
        ]

    def _overlap_lines(self) -> list[str]:
        if self.known_overlap is None:
            return []
        return [f"borrower keys, read in the clear by this simulation: {self.known_overlap.text(self.unit)}"]

    def _reading_lines(self) -> list[str]:
        """Say what an attacker makes of it; the worst lender's reading is that of the worst by each figure."""
        rates = " / ".join(f"{100 * rate:g}" for rate in self.reading[1].false_positive_rates)
        hits = "; ".join(
            f"{' / '.join(percent(rate) for rate in found.true_positive_rates)} % "
            f"(advantage {percent(found.advantage)} %) for a {self.unit} at {at_lenders(count)}"
            for count, found in sorted(self.reading.items())
        )
        return [
            f"at {rates} % false alarms an attacker recognises at most {hits}",
            self.reading[1].sentence(unit=self.unit),
        ]

    def _grids(self) -> str:
        grids = sorted({bound.grid for bound in (self.worst, *self.overlap.values()) if bound.grid is not None})
        return f" (grid {' and '.join(f'{grid:.2g}' for grid in grids)})" if grids else ""


def state(
    ledgers: Mapping[str, Sequence[GaussianSteps]],
    *,
    delta: float,
    unit: str,
    relation: str,
    mode: str,
    covers: str,
    known_overlap: Overlap | None = None,
) -> EpsilonStatement:
    """Price what the ledgers say.

    Which lenders are the worst two and three is decided by the Renyi bound of their composed events;
    what they cost together is then the bound of `accountants.epsilon`.

    Args:
        ledgers: lender -> events of its ledger; at least one lender.
        delta: above 0 and below 1, the same for every line.
        unit: the privacy unit.
        relation: the neighbouring relation.
        mode: ``"simulated"``.
        covers: what was released, in words.
        known_overlap: what borrower keys say, where there are any; a borrower at more than three lenders
            gets a line of its own.

    Returns:
        The statement. Lenders with equal events are priced once.

    Raises:
        ValueError: if there is no lender, none has an event, or ``delta`` is outside its range.
    """
    merged = _spent(ledgers)
    prices = {events: epsilon(events, delta=delta) for events in set(merged.values())}
    together = _worst_choices(list(merged.values()), delta, known_overlap)
    return EpsilonStatement(
        unit=unit,
        relation=relation,
        target_delta=delta,
        mode=mode,
        covers=covers,
        per_lender={name: prices[events] for name, events in merged.items()},
        worst=max(prices.values(), key=lambda bound: bound.value),
        overlap={count: epsilon(events, delta=delta) for count, events in together.items()},
        num_lenders=len(merged),
        reading={
            1: worst_reading(read(events) for events in prices),
            **{count: read(events) for count, events in together.items()},
        },
        known_overlap=known_overlap,
    )


def at_lenders(count: int) -> str:
    """Say where a borrower has loans.

    Args:
        count: at how many lenders, at least 1.

    Returns:
        For example ``"each of two lenders"``.
    """
    return "one lender" if count == 1 else f"each of {_WORDS.get(count, str(count))} lenders"


def worst_epsilon(ledgers: Mapping[str, Sequence[GaussianSteps]], *, delta: float) -> Epsilon:
    """Price what ledgers say for a loan at the worst-off lender.

    Args:
        ledgers: lender -> events of its ledger; at least one lender with an event.
        delta: above 0 and below 1.

    Returns:
        The largest bound.

    Raises:
        ValueError: as `state`.
    """
    prices = [epsilon(events, delta=delta) for events in set(_spent(ledgers).values())]
    return max(prices, key=lambda bound: bound.value)


def _spent(ledgers: Mapping[str, Sequence[GaussianSteps]]) -> dict[str, Events]:
    """Merge events; where nobody has one, something was read under a wrong name or not charged at all."""
    if not ledgers:
        raise ValueError("ledgers is empty; a statement needs the ledger of at least one lender")
    merged = {name: merge(ledgers[name]) for name in sorted(ledgers)}
    if not any(merged.values()):
        raise ValueError(f"no ledger of {len(merged)} lenders has an event; a release that is priced was charged first")
    return merged


def _worst_choices(lenders: Sequence[Events], delta: float, known: Overlap | None) -> dict[int, Events]:
    """Number of lenders -> what the worst so many have done together."""
    counts = {*OVERLAPS, *(() if known is None or known.num_lenders < 2 else (known.num_lenders,))}
    return {count: _worst_together(lenders, count, delta) for count in sorted(counts) if count <= len(lenders)}


def _worst_together(lenders: Sequence[Events], count: int, delta: float) -> Events:
    choices = {merge(itertools.chain.from_iterable(choice)) for choice in _choices(lenders, count, delta)}
    return max(sorted(choices), key=lambda events: quick_epsilon(events, delta=delta).value)


def _choices(lenders: Sequence[Events], count: int, delta: float) -> Iterator[tuple[Events, ...]]:
    """Choices of lenders; where there are too many, from the lenders that are dearest alone."""
    ranked = sorted(lenders, key=lambda events: (-quick_epsilon(events, delta=delta).value, events))
    pool = len(ranked)
    while math.comb(pool, count) > _MAX_CHOICES:
        pool -= 1
    return itertools.combinations(ranked[:pool], count)


def _number(value: float) -> str:
    return "infinite (no privacy)" if math.isinf(value) else f"{_rounded_up(value):.3f}"


def _rounded_up(value: float) -> float:
    return math.ceil(value * 1000.0 - 1e-9) / 1000.0

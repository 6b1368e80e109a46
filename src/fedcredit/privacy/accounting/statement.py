"""Epsilon as it is told: with its unit, relation, delta, accountant, mode, coverage, and overlaps.

The headline is the worst single lender. It is right for a borrower with one loan at one lender, so it
never stands without the lines for a borrower with a loan at each of two and three lenders, whose
losses compose.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from fedcredit.privacy.accounting.accountants import Epsilon, epsilon, quick_epsilon
from fedcredit.privacy.accounting.events import Events, GaussianSteps, merge

OVERLAPS = (2, 3)
_MAX_CHOICES = 2000
_RELATIONS = {"zero_out": "a loan is replaced by nothing, the number of loans is public"}
_MODES = {"simulated": "seeded noise: it holds against an adversary without the seed"}
_ACCOUNTANTS = {"pld": "privacy-loss distribution", "rdp": "Renyi divergence", "closed_form": "exact Gaussian"}
_WORDS = {1: "one lender", 2: "each of two lenders", 3: "each of three lenders"}


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

    def to_json(self) -> dict[str, Any]:
        """Return the statement as plain values; an infinite epsilon stays a float infinity."""
        return {**asdict(self), "overlap": {str(count): asdict(bound) for count, bound in self.overlap.items()}}

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
            }
        )

    def lines(self) -> list[str]:
        """Return the statement as lines of text: the epsilons, then what they mean."""
        bounds = [(1, self.worst), *sorted(self.overlap.items())]
        lowest = min(bound.value for bound in self.per_lender.values())
        told = [f"epsilon {_number(b.value)} for a borrower with one {self.unit} at {_WORDS[k]}" for k, b in bounds]
        if _number(lowest) != _number(self.worst.value):
            told[0] += f" (lenders from {_number(lowest)} to {_number(self.worst.value)})"
        accountants = sorted({_ACCOUNTANTS[bound.accountant] for _, bound in bounds})
        return [
            *told,
            f"upper bounds at delta {self.target_delta:g} by {' and '.join(accountants)}{self._grids()}",
            f"unit: {self.unit} (several {self.unit}s of a borrower at one lender cost more); "
            f"relation: {self.relation} ({_RELATIONS.get(self.relation, 'see the record')})",
            f"mode: {self.mode} ({_MODES.get(self.mode, 'see the record')})",
            f"covers: {self.covers}",
        ]

    def _grids(self) -> str:
        grids = sorted({bound.grid for bound in (self.worst, *self.overlap.values()) if bound.grid is not None})
        return f" (grid {' and '.join(f'{grid:.2g}' for grid in grids)})" if grids else ""


def state(
    ledgers: Mapping[str, Sequence[GaussianSteps]], *, delta: float, unit: str, relation: str, mode: str, covers: str
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

    Returns:
        The statement. Lenders with equal events are priced once.

    Raises:
        ValueError: if there is no lender, none has an event, or ``delta`` is outside its range.
    """
    merged = _spent(ledgers)
    prices = {events: epsilon(events, delta=delta) for events in set(merged.values())}
    return EpsilonStatement(
        unit=unit,
        relation=relation,
        target_delta=delta,
        mode=mode,
        covers=covers,
        per_lender={name: prices[events] for name, events in merged.items()},
        worst=max(prices.values(), key=lambda bound: bound.value),
        overlap=_overlap(list(merged.values()), delta),
        num_lenders=len(merged),
    )


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


def _overlap(lenders: Sequence[Events], delta: float) -> dict[int, Epsilon]:
    counts = [count for count in OVERLAPS if count <= len(lenders)]
    return {count: epsilon(_worst_together(lenders, count, delta), delta=delta) for count in counts}


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

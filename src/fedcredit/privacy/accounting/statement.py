"""Epsilon as it is stated: with its unit, relation, delta, accountant, mode, coverage, and overlaps.

The headline is the worst single lender. It is right for a borrower with one loan at one lender, so it
never stands without the lines for a borrower with a loan at each of two and three lenders, whose
losses compose; where borrower keys are known, nor without those for the borrowers there are, with all their
loans at the lenders that they share (`holdings`).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from fedcredit.privacy.accounting.accountants import Epsilon, epsilon, quick_epsilon
from fedcredit.privacy.accounting.events import Event, Events, merge, order, several_rows
from fedcredit.privacy.accounting.holdings import Holding, WorstOff, worst_off
from fedcredit.privacy.reading import Reading, read, worst_reading

OVERLAPS = (2, 3)
_MAX_CHOICES = 2000


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """What borrower keys say about the training loans of a federation.

    Attributes:
        num_lenders: at how many lenders the same borrower has training loans, at most; at least 1.
        num_loans: how many training loans a borrower has at one lender, at most; at least 1.
    """

    num_lenders: int
    num_loans: int


@dataclass(frozen=True, kw_only=True)
class EpsilonStatement:
    """An epsilon with everything it needs to be read.

    Attributes:
        unit: the privacy unit: ``"loan"``, ``"borrower"`` (all training loans of a borrower at one lender) or
            ``"institution"``.
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
        trust: ``"local"`` where lenders trust themselves alone, ``"secure_sum"`` or ``"central"``.
        collusion: where lenders share noise, number of other lenders that tell theirs -> bound for one loan.
        notes: what else these figures need to be read, in full sentences.
        worst_off: number of lenders -> the borrower of this table that loses most at so many of its lenders, with
            all its loans; empty where there are no borrower keys.
        max_loans: how many loans of a borrower are kept at one lender, where that is bounded.
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
    trust: str = "local"
    notes: tuple[str, ...] = ()
    collusion: Mapping[int, Epsilon] = field(default_factory=dict)
    worst_off: Mapping[int, WorstOff] = field(default_factory=dict)
    max_loans: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the statement as plain values; an infinite epsilon stays a float infinity."""
        return {
            **asdict(self),
            "overlap": {str(count): asdict(bound) for count, bound in self.overlap.items()},
            "reading": {str(count): found.to_json() for count, found in self.reading.items()},
            "notes": list(self.notes),
            "collusion": {str(count): asdict(bound) for count, bound in self.collusion.items()},
            "worst_off": {
                str(count): {"epsilon": asdict(found.epsilon), "num_loans": list(found.num_loans)}
                for count, found in self.worst_off.items()
            },
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
                "worst_off": {
                    int(count): WorstOff(epsilon=Epsilon(**item["epsilon"]), num_loans=tuple(item["num_loans"]))
                    for count, item in content["worst_off"].items()
                },
                "known_overlap": None if content["known_overlap"] is None else Overlap(**content["known_overlap"]),
                "notes": tuple(content.get("notes", ())),
                "collusion": {int(k): Epsilon(**bound) for k, bound in content.get("collusion", {}).items()},
            }
        )


def state(
    ledgers: Mapping[str, Sequence[Event]],
    *,
    delta: float,
    unit: str,
    relation: str,
    mode: str,
    covers: str,
    known_overlap: Overlap | None = None,
    trust: str = "local",
    notes: Sequence[str] = (),
    collusion: Mapping[int, Epsilon] | None = None,
    holdings: Collection[Holding] | None = None,
    max_loans: int | None = None,
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
        trust: who is trusted with what; with ``"secure_sum"`` the ledgers all tell of the same sums, in which a
            borrower at several lenders has several rows.
        notes: what else the figures need to be read.
        collusion: where lenders share noise, what it costs when so many of them tell theirs.
        holdings: what each borrower has, as `overlap.known_holdings` counts it, where that is known.
        max_loans: how many loans of a borrower are kept at one lender, where that is bounded.

    Returns:
        The statement. Lenders with equal events are priced once.

    Raises:
        ValueError: if there is no lender, none has an event, or ``delta`` is outside its range.
    """
    merged = _spent(ledgers)
    prices = {events: epsilon(events, delta=delta) for events in set(merged.values())}
    in_one_sum = trust == "secure_sum"
    together = _worst_choices(list(merged.values()), delta, known_overlap, in_one_sum=in_one_sum)
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
        trust=trust,
        notes=tuple(notes),
        collusion=dict(collusion or {}),
        worst_off=worst_off(merged, holdings, is_about_loans=unit == "loan", delta=delta) if holdings else {},
        max_loans=max_loans,
    )


def worst_epsilon(ledgers: Mapping[str, Sequence[Event]], *, delta: float) -> Epsilon:
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


def _spent(ledgers: Mapping[str, Sequence[Event]]) -> dict[str, Events]:
    """Merge events; where nobody has one, something was read under a wrong name or not charged at all."""
    if not ledgers:
        raise ValueError("ledgers is empty; a statement needs the ledger of at least one lender")
    merged = {name: merge(ledgers[name]) for name in sorted(ledgers)}
    if not any(merged.values()):
        raise ValueError(f"no ledger of {len(merged)} lenders has an event; a release that is priced was charged first")
    return merged


def _worst_choices(
    lenders: Sequence[Events], delta: float, known: Overlap | None, *, in_one_sum: bool
) -> dict[int, Events]:
    """Number of lenders -> what the worst so many have done together."""
    counts = {*OVERLAPS, *(() if known is None or known.num_lenders < 2 else (known.num_lenders,))}
    worst = _worst_rows if in_one_sum else _worst_together
    return {count: worst(lenders, count, delta) for count in sorted(counts) if count <= len(lenders)}


def _worst_together(lenders: Sequence[Events], count: int, delta: float) -> Events:
    choices = {merge(itertools.chain.from_iterable(choice)) for choice in _choices(lenders, count, delta)}
    return max(sorted(choices, key=_order), key=lambda events: quick_epsilon(events, delta=delta).value)


def _worst_rows(lenders: Sequence[Events], count: int, delta: float) -> Events:
    choices = {merge(several_rows(event, count) for event in events) for events in lenders}
    return max(sorted(choices), key=lambda events: quick_epsilon(events, delta=delta).value)


def _choices(lenders: Sequence[Events], count: int, delta: float) -> Iterator[tuple[Events, ...]]:
    """Choices of lenders; where there are too many, from the lenders that are dearest alone."""
    ranked = sorted(lenders, key=lambda events: (-quick_epsilon(events, delta=delta).value, _order(events)))
    pool = len(ranked)
    while math.comb(pool, count) > _MAX_CHOICES:
        pool -= 1
    return itertools.combinations(ranked[:pool], count)


def _order(events: Events) -> list[tuple[bool, int, float, float, int]]:
    return [order(event) for event in events]

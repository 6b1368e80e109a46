"""Epsilon where releases read different loans of a lender: training, validation and test loans.

Loans are dealt into these parts by a keyed hash of their borrower, so a borrower with known keys is in one part
at every lender: the parts compose in parallel, and the bound is that of the dearest part. Without borrower keys a
borrower's loans may be in different parts, and the lines for several lenders are of the dearest choice of parts.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from fedcredit.privacy.accounting.accountants import Epsilon, epsilon
from fedcredit.privacy.accounting.events import Events, merge
from fedcredit.privacy.accounting.holdings import Holding, WorstOff
from fedcredit.privacy.accounting.releases import PARTS, RELEASES, STATED, TRAIN, parts_of
from fedcredit.privacy.accounting.statement import EpsilonStatement, Overlap, state, worst_epsilon
from fedcredit.privacy.reading import worst_reading

EventsOf = Callable[[str], Events]


def events_by_part(events_of: EventsOf, *, names: Iterable[str] = STATED) -> dict[str, Events]:
    """Gather what was done to each part of a lender's loans.

    Args:
        events_of: what a ledger holds under a release's name.
        names: the releases that count.

    Returns:
        Part -> merged events; training loans always, other parts where something read them.
    """
    counted = [(name, events_of(name)) for name in names]
    found = {part: merge(event for name, own in counted if part in parts_of(name) for event in own) for part in PARTS}
    return {part: events for part, events in found.items() if events or part == TRAIN}


def dearest_epsilon(events_of: EventsOf, *, delta: float, everything: bool = False) -> Epsilon:
    """Price the loans of a lender that were read most.

    Args:
        events_of: what its ledger holds under a release's name.
        delta: above 0 and below 1.
        everything: whether private references count too.

    Returns:
        The largest bound over the parts.
    """
    parts = events_by_part(events_of, names=RELEASES if everything else STATED)
    return max((epsilon(events, delta=delta) for events in parts.values()), key=lambda bound: bound.value)


def dearest_of_all(ledgers: Mapping[str, EventsOf], *, delta: float, everything: bool = False) -> Epsilon:
    """Price the loans that were read most, of all lenders; lenders with equal events are priced once.

    Args:
        ledgers: lender -> what its ledger holds under a release's name; at least one with an event.
        delta: above 0 and below 1.
        everything: whether private references count too.

    Returns:
        The largest bound over lenders and parts.

    Raises:
        ValueError: as `state`.
    """
    names = RELEASES if everything else STATED
    found = {lender: events_by_part(events_of, names=names) for lender, events_of in ledgers.items()}
    spent = {f"{lender}\0{part}": events for lender, parts in found.items() for part, events in parts.items()}
    return worst_epsilon(spent, delta=delta)


def state_parts(
    ledgers: Mapping[str, EventsOf],
    *,
    delta: float,
    unit: str,
    relation: str,
    mode: str,
    covers: str,
    known: Mapping[str, Overlap | None],
    holdings: Mapping[str, Collection[Holding] | None] | None = None,
    trust: str = "local",
    notes: Sequence[str] = (),
    collusion: Mapping[int, Epsilon] | None = None,
    max_loans: int | None = None,
    is_one_part: bool = False,
) -> EpsilonStatement:
    """Price what the ledgers say, for a borrower in the dearest part.

    Args:
        ledgers: lender -> what its ledger holds under a release's name; at least one lender.
        delta: above 0 and below 1, the same for every line.
        unit: the privacy unit.
        relation: the neighbouring relation.
        mode: ``"simulated"``.
        covers: what was released, in words.
        known: part -> what borrower keys say of its loans, None where there are none.
        holdings: part -> what each borrower has in it, where that is known.
        trust: as for `state`.
        notes: as for `state`.
        collusion: as for `state`.
        max_loans: as for `state`.
        is_one_part: whether a borrower's loans are in one part at every lender although ``known`` says nothing: so it
            is with borrower keys that nobody has read yet.

    Returns:
        The statement; with nothing but training loans read, that of `state`.

    Raises:
        ValueError: as `state`.
    """

    def stated(chosen: Mapping[str, Events], part: str | None) -> EpsilonStatement:
        return state(
            chosen, delta=delta, unit=unit, relation=relation, mode=mode, covers=covers, trust=trust, notes=notes,
            collusion=collusion, max_loans=max_loans, known_overlap=None if part is None else known.get(part),
            holdings=None if part is None or holdings is None else holdings.get(part),
        )  # fmt: skip

    found = {lender: events_by_part(events_of) for lender, events_of in ledgers.items()}
    present = [part for part in PARTS if any(part in parts for parts in found.values())]
    by_part = {part: {lender: parts.get(part, ()) for lender, parts in found.items()} for part in present}
    statements = [stated(by_part[part], part) for part in present]
    if len(statements) == 1:
        return statements[0]
    merged = _dearest(statements)
    if is_one_part or known.get(TRAIN) is not None:
        return merged
    mixed = stated({f"{lender}\0{part}": events for part in present for lender, events in by_part[part].items()}, None)
    counts = merged.overlap.keys()
    return replace(
        merged,
        overlap={count: mixed.overlap[count] for count in counts},
        reading={1: merged.reading[1], **{count: mixed.reading[count] for count in counts}},
    )


def _dearest(statements: list[EpsilonStatement]) -> EpsilonStatement:
    def largest(bounds: Iterable[Epsilon]) -> Epsilon:
        return max(bounds, key=lambda bound: bound.value)

    counts = sorted({count for told in statements for count in told.overlap})
    return replace(
        statements[0],
        per_lender={name: largest(told.per_lender[name] for told in statements) for name in statements[0].per_lender},
        worst=largest(told.worst for told in statements),
        overlap={count: largest(t.overlap[count] for t in statements if count in t.overlap) for count in counts},
        reading={
            count: worst_reading(told.reading[count] for told in statements if count in told.reading)
            for count in (1, *counts)
        },
        worst_off=_worst_off(statements),
    )


def _worst_off(statements: Sequence[EpsilonStatement]) -> dict[int, WorstOff]:
    """Find who loses most: with borrower keys, all loans of a borrower are in one part."""
    found: dict[int, WorstOff] = {}
    for told in statements:
        for count, one in told.worst_off.items():
            if count not in found or one.epsilon.value > found[count].epsilon.value:
                found[count] = one
    return dict(sorted(found.items()))

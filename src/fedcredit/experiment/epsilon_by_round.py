"""Epsilon as rounds go by, ranges before them included, for a borrower at one, two and three lenders, from ledgers."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fedcredit.experiment.ledger_files import files_of_a_record, read_ledgers
from fedcredit.experiment.record import RunRecord
from fedcredit.experiment.wording import statement_of
from fedcredit.privacy.accounting.accountants import quick_epsilon
from fedcredit.privacy.accounting.book import charges
from fedcredit.privacy.accounting.events import Event, Events, merge, several_rows
from fedcredit.privacy.accounting.ledger import LedgerContent
from fedcredit.privacy.accounting.releases import AS_ROUNDS_GO_BY
from fedcredit.privacy.accounting.statement import OVERLAPS

_NUM_POINTS = 20
_POOL = 12


@dataclass(frozen=True, kw_only=True)
class Spending:
    """Quick upper bounds by round: ``rounds`` and, for each number of lenders, one epsilon a round."""

    rounds: tuple[int, ...]
    by_lenders: Mapping[int, tuple[float, ...]]


def spending_of(record: RunRecord, folder: Path) -> Spending | None:
    """Read how a run's epsilon grew.

    Args:
        record: the run.
        folder: its results folder, with its ledgers.

    Returns:
        About twenty rounds; ``None`` without privacy, or for a run that shares its ledgers with others.

    Raises:
        InputError: if a ledger is missing or does not verify.
    """
    statement = statement_of(record)
    if statement is None or record.mode != "simulated":
        return None
    per_lender = [_by_round(ledger) for ledger in read_ledgers(files_of_a_record(folder, record))]
    rounds = sorted({number for spent in per_lender for number in spent if number > 0})
    shown = rounds[:: -(-len(rounds) // _NUM_POINTS)] if rounds else []
    shown += [] if shown[-1:] == rounds[-1:] else rounds[-1:]
    totals = {last: [_until(spent, last) for spent in per_lender] for last in shown}
    delta, in_one_sum = statement.target_delta, statement.trust == "secure_sum"
    by_lenders = {}
    for count in (1, *OVERLAPS) if rounds else ():
        if count > statement.num_lenders:
            break
        chosen = _dearest(totals[rounds[-1]], count, delta, in_one_sum=in_one_sum)
        by_lenders[count] = tuple(_price(totals[last], chosen, count, delta, in_one_sum=in_one_sum) for last in shown)
    return Spending(rounds=tuple(shown), by_lenders=by_lenders) if rounds else None


def _dearest(ledgers: Sequence[Events], count: int, delta: float, *, in_one_sum: bool) -> tuple[int, ...]:
    """Choose the lenders that cost most together at the end, among the dozen that cost most alone."""
    alone = sorted(range(len(ledgers)), key=lambda place: -quick_epsilon(ledgers[place], delta=delta).value)
    choices = itertools.combinations(alone[:_POOL], 1 if in_one_sum else count)
    return max(choices, key=lambda chosen: _price(ledgers, chosen, count, delta, in_one_sum=in_one_sum))


def _price(ledgers: Sequence[Events], chosen: Iterable[int], count: int, delta: float, *, in_one_sum: bool) -> float:
    """Price what lenders did together; in one sum, a borrower at several lenders has as many rows."""
    events = merge(event for place in chosen for event in ledgers[place])
    rows = merge(several_rows(event, count) for event in events) if in_one_sum and count > 1 else events
    return quick_epsilon(rows, delta=delta).value


def _by_round(ledger: LedgerContent) -> dict[int, list[Event]]:
    found: dict[int, list[Event]] = defaultdict(list)
    told = [entry for entry in ledger.entries if entry.release.name in AS_ROUNDS_GO_BY]
    for number in sorted({entry.release.server_round for entry in told}):
        found[number] = list(charges((entry for entry in told if entry.release.server_round == number), None))
    return {number: events for number, events in found.items() if events}


def _until(spent: Mapping[int, list[Event]], last: int) -> Events:
    return merge(event for number, events in spent.items() if number <= last for event in events)

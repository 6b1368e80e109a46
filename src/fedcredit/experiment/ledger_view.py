"""Ledgers priced in a table, release by release."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fedcredit.errors import InputError
from fedcredit.experiment.ledger_files import LedgerFile, ledger_files, read_ledgers
from fedcredit.experiment.wording import Table, epsilon_text, readable
from fedcredit.privacy.accounting.accountants import epsilon
from fedcredit.privacy.accounting.events import Events, rows_of
from fedcredit.privacy.accounting.ledger import LedgerContent
from fedcredit.privacy.accounting.releases import RELEASES


def show_table(place: Path, *, delta: float | None = None) -> Table:
    """Price the ledgers of a place.

    Args:
        place: as for `ledger_files`.
        delta: above 0 and below 1; by default the one that the runs in these ledgers promise at.

    Returns:
        The table of `spending_table`.

    Raises:
        InputError: if a ledger does not verify, ``delta`` is outside its range, or it is not given and the runs tell
            of none, or of several.
    """
    if delta is not None and not 0.0 < delta < 1.0:
        raise InputError(f"delta is {delta:g}; allowed is above 0 and below 1")
    files = ledger_files(place)
    ledgers = read_ledgers(files)
    return spending_table(ledgers, delta=_promised_delta(place, files, ledgers) if delta is None else delta)


def spending_table(ledgers: Sequence[LedgerContent], *, delta: float) -> Table:
    """Price ledgers: one row for each release of each lender, and one for all of them together.

    Args:
        ledgers: verified contents, at least one.
        delta: above 0 and below 1.

    Returns:
        The table.
    """
    rows = []
    for ledger in ledgers:
        present = [name for name in RELEASES if any(entry.release.name == name for entry in ledger.entries)]
        for name in [*present, *([None] if len(present) != 1 else [])]:
            rows.append(_spending_row(ledger, name, delta))
    return Table(
        title="What the ledgers say",
        headings=("lender", "release", "intents", "uncommitted", "faults", "steps: rate x noise", "epsilon", "by"),
        num_labels=2,
        rows=tuple(rows),
        notes=_notes(ledgers, delta),
    )


def _promised_delta(place: Path, files: Sequence[LedgerFile], ledgers: Sequence[LedgerContent]) -> float:
    """Find the delta of the run whose place it is, or of all runs that share its ledgers."""
    told = {file.target_delta for file in files} - {None}
    told = told or {entry.target_delta for ledger in ledgers for entry in ledger.entries} - {None}
    found = sorted(delta for delta in told if delta is not None)
    if len(found) != 1:
        which = f"its runs promise at delta {' and '.join(f'{delta:g}' for delta in found)}" if found else (
            "nothing beside it says at which delta its run promises"
        )  # fmt: skip
        raise InputError(f"{place}: {which}, and an epsilon needs one; name it with --delta")
    return found[0]


def _spending_row(ledger: LedgerContent, name: str | None, delta: float) -> tuple[str, ...]:
    lines = {n: e for n, e in enumerate(ledger.entries, start=2) if name is None or e.release.name == name}
    kinds = [entry.kind for entry in lines.values()]
    price = epsilon(ledger.events(name), delta=delta)
    return (
        readable(ledger.institution),
        "all of them" if name is None else name,
        f"{kinds.count('intent'):,}",
        f"{sum(entry.kind == 'intent' and line not in ledger.settled for line, entry in lines.items()):,}",
        f"{kinds.count('fault'):,}",
        _events_text(ledger.events(name)),
        epsilon_text(price.value),
        price.accountant,
    )


def _events_text(events: Events) -> str:
    return (
        "; ".join(
            f"{e.num_steps}: {e.sampling_probability:.4g} x {e.noise_multiplier:.4g}"
            + (f", {rows_of(e)} rows of one borrower" if rows_of(e) > 1 else "")
            for e in events
        )
        or "none"
    )


def _notes(ledgers: Sequence[LedgerContent], delta: float) -> tuple[str, ...]:
    def said(what: str) -> str:
        return " and ".join(sorted({str(getattr(ledger, what)) for ledger in ledgers}))

    runs = {(entry.fingerprint or ledger.fingerprint)[:16] for ledger in ledgers for entry in ledger.entries}
    return (
        f"Upper bounds at delta {delta:g}; unit: {said('unit')}; relation: {said('relation')}; mode: {said('mode')}.",
        f"Runs: {', '.join(sorted(runs))}.",
        "Every intent is charged in full, committed or not; steps add up over intents and over draws beyond them.",
    )

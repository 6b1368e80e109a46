"""The cost of looking: what all runs of a study together tell about the same loans.

Who compares arms and keeps the best one has looked at all of them. So a study is priced from the ledgers of all its
runs, their private references included, and of runs beside them that it does not show; for a private table this, and
not the best arm's epsilon, is what was spent.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedcredit.errors import InputError
from fedcredit.experiment.deployed import DEPLOYED
from fedcredit.experiment.epsilon_over_runs import price_together, runs_beside, runs_shown, table_of
from fedcredit.experiment.record import RunRecord
from fedcredit.experiment.wording import ABSENT, Table, delta_of, epsilon_of, epsilon_text, statement_of
from fedcredit.privacy.accounting.accountants import Epsilon
from fedcredit.privacy.accounting.statement_wording import at_lenders

_UNITS = ("loan", "borrower", "institution")
_ACCOUNTANTS = {"pld": "privacy-loss distribution", "rdp": "Renyi divergence", "closed_form": "exact Gaussian"}


@dataclass(frozen=True, kw_only=True)
class Looking:
    """What was spent on one table of loans.

    Attributes:
        table: what the loans are.
        is_public: whether anyone may have them.
        num_private: runs with a ledger, also those that the study does not show.
        num_beside: those of them that the study does not show.
        num_open: runs of the study without privacy.
        one: the dearest run of the study, its federation alone.
        unit: what all private runs protect: the smallest of their privacy units.
        relation: the neighbouring relation.
        whole: number of lenders -> all private runs together, their references included, for a borrower with one unit
            at each of so many; empty without a private run.
    """

    table: str
    is_public: bool
    num_private: int
    num_beside: int
    num_open: int
    one: Epsilon | None
    unit: str
    relation: str
    whole: Mapping[int, Epsilon]


@dataclass(frozen=True, kw_only=True)
class Cost:
    """The cost of looking at a study, one answer a table of loans; or why it is unknown."""

    found: tuple[Looking, ...] = ()
    unknown: str = ""


def known_cost(records: Sequence[RunRecord], results: Path) -> Cost:
    """Price a study, and refuse one of private loans that cannot be priced.

    Args:
        records: the runs it shows, at least one.
        results: as for `cost_of_looking`.

    Returns:
        The cost; for public loans whose ledgers are not there, why it is unknown.

    Raises:
        InputError: if private runs on private loans cannot be priced together.
    """
    try:
        return Cost(found=cost_of_looking(records, results))
    except InputError as error:
        refuse_the_best_alone(records, why=str(error))
        return Cost(unknown=f"The epsilon of all runs together is not known: {error}.")


def cost_of_looking(records: Sequence[RunRecord], results: Path) -> tuple[Looking, ...]:
    """Price a study from its ledgers, one answer a table of loans.

    Args:
        records: the runs it shows, at least one.
        results: the folder that holds ``<study>/<arm>/<fingerprint>/...``, with the ledgers in it.

    Returns:
        The costs, tables in the order of the records.

    Raises:
        InputError: if a run's ledger is missing or does not verify.
    """
    tables: dict[str, list[RunRecord]] = {}
    for record in records:
        tables.setdefault(table_of(record.experiment), []).append(record)
    folders = [results / study for study in dict.fromkeys(record.name.partition("/")[0] for record in records)]
    return tuple(_looking(table, found, results, folders) for table, found in tables.items())


def looking_table(found: Sequence[Looking]) -> Table:
    """Set the epsilon of one run beside that of the whole study.

    Args:
        found: from `cost_of_looking`, at least one.

    Returns:
        Two rows a table of loans.
    """
    several = len(found) > 1
    rows: list[tuple[str, ...]] = []
    notes: list[str] = []
    for item in found:
        suffix = f", {item.table}" if several else ""
        rows.append((f"one run, the dearest{suffix}", "1", *_texts(item.one)))
        for count, bound in item.whole.items():
            place = "" if item.unit == "institution" else f", a borrower at {at_lenders(count)}"
            rows.append((f"all private runs together{place}{suffix}", f"{item.num_private:,}", *_texts(bound)))
        if item.num_open:
            rows.append((f"runs without privacy{suffix}", f"{item.num_open:,}", "inf", ABSENT))
        notes += _notes(item)
    deltas = sorted({bound.target_delta for item in found for bound in item.whole.values()})
    heading = f"epsilon (delta {', '.join(f'{delta:g}' for delta in deltas)})" if deltas else "epsilon"
    return Table(
        title="The cost of looking",
        headings=("what was released", "runs", heading, "by"),
        num_labels=1,
        rows=tuple(rows),
        notes=tuple(dict.fromkeys(notes)),
    )


def looking_headline(found: Sequence[Looking]) -> tuple[tuple[str, str], ...]:
    """Return what stands for a study, whichever of its arms is kept: never the epsilon of one run alone.

    Args:
        found: from `cost_of_looking`.

    Returns:
        Pairs of label and text.
    """
    pairs: list[tuple[str, str]] = []
    for item in found:
        suffix = f", {item.table}" if len(found) > 1 else ""
        if item.whole and item.one is not None:
            together = f"{epsilon_text(item.whole[1].value)} (delta {item.whole[1].target_delta:g})"
            pairs.append((f"epsilon, all {item.num_private} private runs together{suffix}", together))
            pairs.append((f"epsilon, one run, the dearest{suffix}", epsilon_text(item.one.value)))
        if item.num_open:
            pairs.append((f"runs without privacy{suffix}", f"{item.num_open}: no bound"))
    return tuple(pairs)


def refuse_the_best_alone(records: Sequence[RunRecord], *, why: str) -> None:
    """Refuse to show private runs on private loans without the cost of all of them.

    Args:
        records: the runs of a study whose ledgers cannot be read.
        why: what is wrong with them.

    Raises:
        InputError: if one of them is a private run on loans that are not public.
    """
    for record in records:
        if not math.isinf(epsilon_of(record)) and not is_public(record.experiment):
            raise InputError(
                f"{record.name} is on private loans, and a study of them is shown only with the epsilon of all its "
                f"runs together, which their ledgers tell; {why}"
            )


def is_public(experiment: Mapping[str, Any]) -> bool:
    """Say whether an experiment's loans are public.

    Args:
        experiment: as a record keeps it.

    Returns:
        What their schema says; false for a deployed run, and where the schema cannot be read any more.
    """
    portfolio = experiment["portfolio"]
    if experiment.get("mode") == DEPLOYED:
        return False
    if portfolio["kind"] in ("csv", "parquet"):
        from fedcredit.data.schema import read_schema

        try:
            return read_schema(portfolio["schema_file"]).public
        except (InputError, OSError):
            return False
    if portfolio["kind"] == "market":
        return True
    from fedcredit.data.tables import public_schema

    return public_schema(portfolio["table"]).public


def _looking(table: str, records: Sequence[RunRecord], results: Path, folders: Iterable[Path]) -> Looking:
    private = [record for record in records if not math.isinf(epsilon_of(record))]
    deltas = [delta for record in private if (delta := delta_of(record)) is not None]
    spent = [*runs_shown(private, results), *runs_beside(table, private, folders)]
    whole = price_together(spent, min(deltas)) if deltas else {}
    statements = [statement for record in private if (statement := statement_of(record)) is not None]
    units = {statement.unit for statement in statements}
    if units == {"institution"}:
        whole = {1: whole[1]}
    worst = max(private, key=epsilon_of, default=None)
    return Looking(
        table=table,
        is_public=all(is_public(record.experiment) for record in records),
        num_private=len(spent),
        num_beside=sum(not run.is_shown for run in spent),
        num_open=len(records) - len(private),
        one=None if worst is None else _stated(worst),
        unit=min(units, key=_UNITS.index, default=""),
        relation=" and ".join(sorted({statement.relation for statement in statements})),
        whole=whole,
    )


def _stated(record: RunRecord) -> Epsilon:
    assert record.statement is not None
    return Epsilon(**record.statement["worst"])  # type: ignore[arg-type]


def _texts(found: Epsilon | None) -> tuple[str, str]:
    if found is None:
        return ABSENT, ABSENT
    return epsilon_text(found.value), _ACCOUNTANTS[found.accountant]


def _notes(item: Looking) -> Iterator[str]:
    if item.whole:
        yield (
            f"Upper bounds from the ledgers; unit: {item.unit}; relation: {item.relation}. One run: what its "
            "federation released, for a borrower at one lender. All private runs: every update and every private "
            "reference of every run that was made on these loans, composed."
        )
    if item.num_beside:
        yield f"{item.num_beside} of the private runs are not shown here; they were made, so they count."
    if item.is_public:
        yield (
            "These loans are public or simulated: nobody loses by the comparison. On private loans the figure to state "
            "for any arm that is chosen after looking at all of them would be that of all runs together."
        )
    else:
        yield (
            "These loans are private: whichever arm is kept, what was spent on them is the epsilon of all runs "
            "together. The epsilon of a single run stands beside its figures to tell arms apart, not as the price."
        )

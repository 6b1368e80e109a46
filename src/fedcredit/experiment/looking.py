"""The cost of looking: what all runs of a study together tell about the same loans.

Who compares arms and keeps the best one has looked at all of them. So a study is priced from the ledgers of all its
runs, their private references included, and of runs beside them that it does not show; for a private table this, and
not the best arm's epsilon, is what was spent.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fedcredit.errors import InputError
from fedcredit.experiment.deployed import DEPLOYED
from fedcredit.experiment.ledger_view import files_of_a_record, read_ledgers
from fedcredit.experiment.record import RECORD_FILE, RunRecord
from fedcredit.experiment.wording import ABSENT, Table, delta_of, epsilon_of, epsilon_text
from fedcredit.privacy.accounting.accountants import Epsilon, epsilon
from fedcredit.privacy.accounting.events import Events, MixtureGaussianSteps, merge
from fedcredit.privacy.accounting.ledger import LEDGER_FOLDER, LedgerContent, ledgers_in, read_ledger

_STAYING = ("natural", "bands")
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
        whole: all private runs together, their references included; for a loan at one lender.
    """

    table: str
    is_public: bool
    num_private: int
    num_beside: int
    num_open: int
    one: Epsilon | None
    whole: Epsilon | None


@dataclass(frozen=True, kw_only=True)
class _Spent:
    """The ledgers of one run: lender -> everything it spent."""

    lenders: Mapping[str, Events]
    partition: object
    is_shown: bool


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
        tables.setdefault(_table(record.experiment), []).append(record)
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
        rows.append(
            (f"all private runs together, on the same loans{suffix}", f"{item.num_private:,}", *_texts(item.whole))
        )
        if item.num_open:
            rows.append((f"runs without privacy{suffix}", f"{item.num_open:,}", "inf", ABSENT))
        notes += _notes(item)
    deltas = sorted({item.whole.target_delta for item in found if item.whole is not None})
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
        if item.whole is not None and item.one is not None:
            together = f"{epsilon_text(item.whole.value)} (delta {item.whole.target_delta:g})"
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
    spent = [*_shown(private, results), *_beside(table, private, folders)]
    prices = [epsilon(events, delta=min(deltas)) for events in _together(spent)] if deltas else []
    worst = max(private, key=epsilon_of, default=None)
    return Looking(
        table=table,
        is_public=all(is_public(record.experiment) for record in records),
        num_private=len(spent),
        num_beside=sum(not run.is_shown for run in spent),
        num_open=len(records) - len(private),
        one=None if worst is None else _stated(worst),
        whole=max(prices, key=lambda bound: bound.value, default=None),
    )


def _stated(record: RunRecord) -> Epsilon:
    assert record.statement is not None
    return Epsilon(**record.statement["worst"])  # type: ignore[arg-type]


def _shown(private: Sequence[RunRecord], results: Path) -> Iterator[_Spent]:
    """Read what each run spent; runs that share a dataset's ledgers are one, with all that these hold."""
    seen: set[Path] = set()
    for record in private:
        files = [file for file in files_of_a_record(folder_of(record, results), record) if file.path not in seen]
        seen |= {file.path for file in files} if record.mode == DEPLOYED else set()
        if files:
            lenders = _lenders(read_ledgers(files))
            yield _Spent(lenders=lenders, partition=_partition(record.experiment), is_shown=True)


def _beside(table: str, private: Sequence[RunRecord], folders: Iterable[Path]) -> Iterator[_Spent]:
    """Read what runs spent that lie beside those that are shown: other seeds, earlier tries, unfinished ones."""
    import yaml

    shown = {(record.fingerprint[:16], _runtime(record)) for record in private}
    for path in sorted(path for folder in folders for path in folder.glob(f"*/*/*/{LEDGER_FOLDER}")):
        run = path.parent
        paths = ledgers_in(run)
        if (run.parent.name, run.name) in shown or not paths or not (run / "experiment.yaml").is_file():
            continue
        experiment = yaml.safe_load((run / "experiment.yaml").read_text(encoding="utf-8"))
        if _table(experiment) == table:
            lenders = _lenders([read_ledger(file) for file in paths])
            yield _Spent(lenders=lenders, partition=_partition(experiment), is_shown=False)


def _together(spent: Sequence[_Spent]) -> set[Events]:
    """Compose runs, for each lender that a loan may be at.

    Where every run gives a loan to the same lender, each lender's runs are composed. Elsewhere a loan may be at any
    lender in any run, and each run is taken as one that dominates all its lenders: the highest rate, the least noise
    and the most steps.
    """
    if len({repr(run.partition) for run in spent}) == 1 and len({tuple(sorted(run.lenders)) for run in spent}) == 1:
        return {merge(event for run in spent for event in run.lenders[name]) for name in spent[0].lenders}
    return {merge(event for run in spent for event in _dominating(list(run.lenders.values())))}


def _dominating(lenders: Sequence[Events]) -> Events:
    if len(set(lenders)) == 1:
        return lenders[0]
    events = [event for found in lenders for event in found]
    steps = max(sum(event.num_steps for event in found) for found in lenders)
    rows = [event for event in events if isinstance(event, MixtureGaussianSteps)]
    most = replace(
        max(rows, key=lambda event: event.max_rows) if rows else events[0],
        sampling_probability=max(event.sampling_probability for event in events),
        noise_multiplier=min(event.noise_multiplier for event in events),
        num_steps=steps,
    )
    return (most,)


def _lenders(ledgers: Sequence[LedgerContent]) -> dict[str, Events]:
    return {ledger.institution: ledger.events() for ledger in ledgers}


def folder_of(record: RunRecord, results: Path) -> Path:
    """Name the folder of a run below a results folder.

    Args:
        record: the run.
        results: the folder that holds ``<study>/<arm>``.

    Returns:
        The folder.

    Raises:
        InputError: if it is not there.
    """
    folder = results / record.name / record.fingerprint[:16] / _runtime(record)
    if not (folder / RECORD_FILE).is_file():
        raise InputError(f"{folder} is not there, and its ledgers are part of what the study cost; restore it")
    return folder


def _runtime(record: RunRecord) -> str:
    from fedcredit.experiment.files import run_folder
    from fedcredit.experiment.validate import experiment_from_data

    return run_folder(experiment_from_data(record.experiment), record.fingerprint).path.name


def _table(experiment: Mapping[str, Any]) -> str:
    """Name the loans of an experiment; views and shocks of one market are about the same borrowers."""
    portfolio = experiment["portfolio"]
    if portfolio["kind"] == "market":
        return f"simulated market {portfolio['market_seed']}"
    return str(portfolio["table"] if portfolio["kind"] == "table" else portfolio["path"])


def _partition(experiment: Mapping[str, Any]) -> object:
    """What decides a loan's lender."""
    partition = experiment["partition"]
    return (partition, None if partition["kind"] in _STAYING else experiment["split_seed"])


def _texts(found: Epsilon | None) -> tuple[str, str]:
    if found is None:
        return ABSENT, ABSENT
    return epsilon_text(found.value), _ACCOUNTANTS[found.accountant]


def _notes(item: Looking) -> Iterator[str]:
    yield (
        "Upper bounds for one loan at one lender, from the ledgers. One run: what its federation released. All private "
        "runs: every update and every private reference of every run that was made on these loans, composed."
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

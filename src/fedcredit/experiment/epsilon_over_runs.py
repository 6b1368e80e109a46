"""What runs of a study have spent on the same loans, read from their ledgers and composed over the runs."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fedcredit.errors import InputError
from fedcredit.experiment.deployed import DEPLOYED
from fedcredit.experiment.ledger_files import files_of_a_record, read_ledgers
from fedcredit.experiment.record import RECORD_FILE, RunRecord
from fedcredit.privacy.accounting.accountants import Epsilon, epsilon, quick_epsilon
from fedcredit.privacy.accounting.events import Event, Events, MixtureGaussianSteps, merge, several_rows
from fedcredit.privacy.accounting.ledger import LEDGER_FOLDER, LedgerContent, ledgers_in, read_ledger
from fedcredit.privacy.accounting.statement import OVERLAPS

_STAYING = ("natural", "bands")
_POOL = 12


@dataclass(frozen=True, kw_only=True)
class SpentRun:
    """The ledgers of one run: lender -> everything it spent; in one sum all of them tell of the same releases."""

    lenders: Mapping[str, Events]
    partition: object
    in_one_sum: bool
    is_shown: bool


def runs_shown(private: Sequence[RunRecord], results: Path) -> Iterator[SpentRun]:
    """Read what each run spent; runs that share a dataset's ledgers are one, with all that these hold.

    Args:
        private: runs with privacy.
        results: the folder that holds ``<study>/<arm>``.

    Yields:
        One of each, ledgers verified.

    Raises:
        InputError: if a run or a ledger is missing, or one does not verify.
    """
    seen: set[Path] = set()
    for record in private:
        files = [file for file in files_of_a_record(folder_of(record, results), record) if file.path not in seen]
        seen |= {file.path for file in files} if record.mode == DEPLOYED else set()
        if files:
            lenders = _lenders(read_ledgers(files))
            yield _spent(record.experiment, lenders, is_shown=True)


def runs_beside(table: str, private: Sequence[RunRecord], folders: Iterable[Path]) -> Iterator[SpentRun]:
    """Read what runs spent that lie beside those that are shown: other seeds, earlier tries, unfinished ones.

    Args:
        table: the loans that they must be on, as `table_of` names them.
        private: the runs that are shown.
        folders: folders of studies.

    Yields:
        One of each that has ledgers.

    Raises:
        InputError: if a ledger does not verify.
    """
    import yaml

    shown = {(record.fingerprint[:16], _runtime(record)) for record in private}
    for path in sorted(path for folder in folders for path in folder.glob(f"*/*/*/{LEDGER_FOLDER}")):
        run = path.parent
        paths = ledgers_in(run)
        if (run.parent.name, run.name) in shown or not paths or not (run / "experiment.yaml").is_file():
            continue
        experiment = yaml.safe_load((run / "experiment.yaml").read_text(encoding="utf-8"))
        if table_of(experiment) == table:
            lenders = _lenders([read_ledger(file) for file in paths])
            yield _spent(experiment, lenders, is_shown=False)


def price_together(spent: Sequence[SpentRun], delta: float) -> dict[int, Epsilon]:
    """Price all runs for a borrower at one, two and three lenders, as a statement does for one run.

    Args:
        spent: at least one run.
        delta: above 0 and below 1.

    Returns:
        Upper bounds by number of lenders; only for as many as there are.
    """
    found = {1: max((epsilon(events, delta=delta) for events in _together(spent, 1)), key=lambda bound: bound.value)}
    for count in OVERLAPS:
        if choices := _together(spent, count):
            worst = max(sorted(choices, key=repr), key=lambda events: quick_epsilon(events, delta=delta).value)
            found[count] = epsilon(worst, delta=delta)
    return found


def _together(spent: Sequence[SpentRun], count: int) -> set[Events]:
    """Compose runs, for each choice of lenders that a borrower may be at; none where there are not so many lenders.

    Where every run gives a loan to the same lender, the runs of each choice are composed. Elsewhere a loan may be at
    any lender in any run, and each run is taken as one that dominates all its lenders: the highest rate, the least
    noise and the most steps.
    """
    if min(len(run.lenders) for run in spent) < count and not any(run.in_one_sum for run in spent):
        return set()
    if len({repr(run.partition) for run in spent}) == 1 and len({tuple(sorted(run.lenders)) for run in spent}) == 1:
        dearest = sorted(spent[0].lenders, key=lambda name: (-_rough(spent, name), name))[:_POOL]
        choices = itertools.combinations(dearest, min(count, len(dearest)))
        return {merge(event for run in spent for event in _rows_at(run, chosen, count)) for chosen in choices}
    return {merge(event for run in spent for event in _dominated(run, count))}


def _rows_at(run: SpentRun, chosen: Sequence[str], count: int) -> Iterable[Event]:
    """List what lenders did; in one sum, a borrower at several of them has as many rows."""
    if run.in_one_sum and count > 1:
        return [several_rows(event, count) for event in run.lenders[chosen[0]]]
    return [event for name in chosen for event in run.lenders[name]]


def _dominated(run: SpentRun, count: int) -> Iterable[Event]:
    events = _dominating(list(run.lenders.values()))
    if run.in_one_sum and count > 1:
        return [several_rows(event, count) for event in events]
    return [event.times(count) for event in events]


def _rough(spent: Sequence[SpentRun], name: str) -> float:
    """Rank a lender by the privacy losses of its steps: rate over noise, squared."""
    return sum(
        event.num_steps * (event.sampling_probability / max(event.noise_multiplier, 1e-12)) ** 2
        for run in spent
        for event in run.lenders[name]
    )


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


def _spent(experiment: Mapping[str, Any], lenders: Mapping[str, Events], *, is_shown: bool) -> SpentRun:
    in_one_sum = experiment["privacy"].get("trust") == "secure_sum"
    return SpentRun(lenders=lenders, partition=_partition(experiment), in_one_sum=in_one_sum, is_shown=is_shown)


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


def table_of(experiment: Mapping[str, Any]) -> str:
    """Name the loans of an experiment; views and shocks of one market are about the same borrowers.

    Args:
        experiment: as a record or its yaml holds it.

    Returns:
        The same name for the same loans.
    """
    portfolio = experiment["portfolio"]
    if portfolio["kind"] == "market":
        return f"simulated market {portfolio['market_seed']}"
    return str(portfolio["table"] if portfolio["kind"] == "table" else portfolio["path"])


def _partition(experiment: Mapping[str, Any]) -> object:
    """What decides a loan's lender."""
    partition = experiment["partition"]
    return (partition, None if partition["kind"] in _STAYING else experiment["split_seed"])

"""Verbs on whole studies: run what is missing, look how far it is, report, and hold it against what is expected."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from fedcredit.cli.words import DONE, FAILED, MISTAKE, console

if TYPE_CHECKING:
    from fedcredit.experiment.looking import Cost
    from fedcredit.experiment.record import RunRecord
    from fedcredit.experiment.spec import Experiment
    from fedcredit.experiment.studies import Progress, Study
    from fedcredit.experiment.sweep import Launcher, SweepResult

T = TypeVar("T")
COMPARE_HELP = "Compare arms over seeds: means, intervals, and paired differences against one of them."


class Output(StrEnum):
    """How a comparison is printed."""

    TABLE = "table"
    CSV = "csv"
    LATEX = "latex"


study_app = typer.Typer(help="Whole studies: run, status, report, expect.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="a folder of experiments/, for example privacy_budgets")]
Seeds = Annotated[str | None, typer.Option(help="1,2,3 instead of the study's own seeds")]
Words = Annotated[list[str] | None, typer.Argument(help="overrides for every arm, as for run")]


@study_app.command(name="run", help="Run what is missing of a study, every arm on every seed; killed, it goes on.")
def run_study(name: Name, words: Words = None, seeds: Seeds = None) -> int:
    """Run a study's arms over worker processes, and write its report."""
    study, lines = _lines(name, words, seeds)
    result = _swept(lines)
    _say_failures(result)
    typer.echo(f"{result.cost_line()}\n")
    records = result.records()
    if records:
        _report(study, records)
    kinds = {outcome.kind for _, outcome in result.failures()}
    return FAILED if "failed" in kinds else MISTAKE if kinds else DONE


@study_app.command(name="status", help="Say how far each arm on each seed has come; nothing is run.")
def status(name: Name, words: Words = None, seeds: Seeds = None) -> int:
    """Print one line for each arm and seed; exit code 1 while something is missing."""
    from fedcredit.experiment.show import TableView
    from fedcredit.experiment.wording import Table

    study, lines = _lines(name, words, seeds)
    found = _progress(lines)
    rows = tuple(
        (told.experiment.name, str(told.experiment.split_seed), told.state, str(told.folder)) for told in found
    )
    finished = sum(told.is_finished for told in found)
    table = Table(
        title=f"{study.name}: {finished} of {len(found)} runs finished",
        headings=("arm", "seed", "state", "folder"),
        num_labels=2,
        rows=rows,
        droppable=("folder",),
    )
    console().print(TableView(table))
    return DONE if finished == len(found) else FAILED


@study_app.command(name="report", help="Compare the finished runs of a study, and write its report.")
def report(name: Name, words: Words = None, seeds: Seeds = None) -> None:
    """Print the study's table and the path of its page."""
    study, lines = _lines(name, words, seeds)
    _report(study, _finished(study, lines))


@study_app.command(name="expect", help="Take the finished runs as what is expected from now on: writes expected.yaml.")
def expect(name: Name, words: Words = None, seeds: Seeds = None) -> None:
    """Write ``expected.yaml`` from finished runs."""
    from fedcredit.experiment.expectations import expectations, write_expectations

    study, lines = _lines(name, words, seeds)
    chosen = _seeds(seeds) or study.told.seeds
    typer.echo(str(write_expectations(study, expectations(study, _finished(study, lines), seeds=chosen))))


def compare_places(
    places: Annotated[list[str], typer.Argument(help="results folders, folders above some, or names of studies")],
    by: Annotated[str, typer.Option(help="a key to order arms by, for example privacy.target_epsilon")] = "",
    reference: Annotated[str | None, typer.Option(help="the arm that differences are taken against")] = None,
    metric: Annotated[list[str] | None, typer.Option(help="a path into a record; may repeat")] = None,
    confidence: Annotated[float, typer.Option(help="of the intervals")] = 0.95,
    output: Annotated[Output, typer.Option(help="how to print it")] = Output.TABLE,
) -> None:
    """Print a comparison of all finished runs of some places, and on standard error what looking at them costs."""
    from fedcredit.experiment.compare import METRICS, compare
    from fedcredit.experiment.compare_view import comparison_csv, comparison_latex, comparison_table
    from fedcredit.experiment.show import TableView, print_cost

    runs = [run for place in places for run in _runs_of(place)]
    records = [record for record, _ in runs]
    chosen = tuple(metric) if metric else METRICS
    found = compare(records, by=by, reference=reference, metrics=chosen, confidence=confidence)
    costs = _costs(runs)
    if output is Output.TABLE:
        console().print(TableView(comparison_table(found)))
    else:
        typer.echo((comparison_csv if output is Output.CSV else comparison_latex)(found), nl=False)
    for cost in costs:
        print_cost(cost, console(stderr=output is not Output.TABLE))


def _runs_of(place: str) -> list[tuple[RunRecord, Path]]:
    """Read runs, each with the folder that holds ``<study>/<arm>/...``."""
    from fedcredit.experiment.record import read_record, record_folders

    if not Path(place).exists() and is_study(place):
        study, lines = _lines(place, None, None)
        return [(record, Path(str(record.experiment["results_dir"]))) for record in _finished(study, lines)]
    found = []
    for folder in record_folders([Path(place)]):
        above = folder.absolute().parents
        found.append((read_record(folder), above[min(3, len(above) - 1)]))
    return found


def _costs(runs: Sequence[tuple[RunRecord, Path]]) -> list[Cost]:
    """Price the runs of each results folder together.

    Raises:
        InputError: if private runs on private loans cannot be priced together.
    """
    from fedcredit.experiment.looking import known_cost

    by_results: dict[Path, list[RunRecord]] = {}
    for record, results in runs:
        by_results.setdefault(results, []).append(record)
    return [known_cost(records, results) for results, records in by_results.items()]


def judge_study(name: str, *, switches: Sequence[str], into: Path | None, as_json: bool) -> int:
    """Run the arms of ``expected.yaml`` on its seeds, and say figure by figure whether they came out.

    Args:
        name: the study.
        switches: overrides of ``runtime`` and ``trainer``.
        into: where runs are kept; the experiments' own results folder by default.
        as_json: json instead of a table.

    Returns:
        The exit code: 1 if a figure is outside its tolerance.
    """
    import json

    from fedcredit.experiment.differences import DIFFERENT
    from fedcredit.experiment.expectations import judge, judgement_table
    from fedcredit.experiment.record import to_jsonable
    from fedcredit.experiment.reproduce import check_switch
    from fedcredit.experiment.show import TableView
    from fedcredit.experiment.studies import study_lines

    for switch in switches:
        check_switch(switch)
    study = _study(name)
    expected = study.expected()
    arms = sorted({figure.arm for figure in expected.figures})
    place = [] if into is None else [f"results_dir={into}"]
    lines = [*study_lines(study, seeds=expected.seeds, arms=arms), *switches, *place]
    result = _swept(lines)
    _say_failures(result)
    judged = judge(expected, result.records())
    if as_json:
        told = [{**item.expected.model_dump(), "measured": item.measured, "verdict": item.verdict} for item in judged]
        typer.echo(json.dumps(to_jsonable(told), indent=2))
    else:
        console().print(TableView(judgement_table(study, judged)))
    return FAILED if result.failures() or any(item.verdict == DIFFERENT for item in judged) else DONE


def is_study(name: str) -> bool:
    """Whether a word names a study rather than a place."""
    from fedcredit.config.files import experiment_names

    return any(arm.partition("/")[0] == name for arm in experiment_names())


def _study(name: str) -> Study:
    from fedcredit.config.files import experiment_names, experiment_roots
    from fedcredit.experiment.studies import open_study

    return open_study(name, names=experiment_names(), folders=experiment_roots())


def _lines(name: str, words: Sequence[str] | None, seeds: str | None) -> tuple[Study, list[str]]:
    from fedcredit.experiment.studies import study_lines

    study = _study(name)
    return study, [*study_lines(study, seeds=_seeds(seeds) or study.told.seeds), *(words or ())]


def _seeds(text: str | None) -> tuple[int, ...]:
    from fedcredit.errors import InputError

    if text is None:
        return ()
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() for part in parts):
        raise InputError(f"--seeds is {text!r}; write whole numbers with commas between, for example 1,2,3")
    return tuple(dict.fromkeys(int(part) for part in parts))


def _swept(lines: Sequence[str]) -> SweepResult:
    from rich.console import Console

    from fedcredit.experiment.sweep import run_sweep

    return _composed(lines, lambda arms, launcher: run_sweep(arms, launcher, console=Console(stderr=True)))


def _composed(lines: Sequence[str], sweep: Callable[[Sequence[Experiment], Launcher], T]) -> T:
    from fedcredit.config import hydra_main

    def never(experiment: Experiment) -> T:
        raise AssertionError(f"{experiment.name} was taken for a single run")

    result = hydra_main(["--multirun", *lines], job=never, sweep=sweep)
    assert result is not None
    return result


def _progress(lines: Sequence[str]) -> list[Progress]:
    from fedcredit.experiment.studies import progress_of

    return _composed(lines, lambda experiments, _: progress_of(experiments))


def _finished(study: Study, lines: Sequence[str]) -> list[RunRecord]:
    from fedcredit.errors import InputError
    from fedcredit.experiment.record import read_record

    found = [read_record(told.folder) for told in _progress(lines) if told.is_finished]
    if not found:
        raise InputError(f"study {study.name} has no finished run; fedcredit study run {study.name} makes them")
    return found


def _report(study: Study, records: Sequence[RunRecord]) -> None:
    from fedcredit.experiment.looking import known_cost
    from fedcredit.experiment.report import REPORT_FILE, write_study_report
    from fedcredit.experiment.show import print_study

    folder = Path(str(records[0].experiment["results_dir"])) / study.name
    against = None if study.told.reference is None else f"{study.name}/{study.told.reference}"
    cost = known_cost(records, folder.parent)
    page = write_study_report(records, folder / REPORT_FILE, against=against, cost=cost)
    print_study(records, console(), report=page, against=against, cost=cost)


def _say_failures(result: SweepResult) -> None:
    for label, outcome in result.failures():
        typer.echo(f"error: {label}: {outcome.text}", err=True)

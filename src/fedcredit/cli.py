"""The command line: verbs only; what is heavy is imported inside the verb that needs it."""

from __future__ import annotations

import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import click
import typer

from fedcredit.errors import InputError, RunFailedError

if TYPE_CHECKING:
    from rich.console import Console

    from fedcredit.data.market.settings import MarketSettings
    from fedcredit.experiment.record import RunRecord
    from fedcredit.experiment.spec import Experiment

_WIDTH_OF_A_FILE = 140
DONE, FAILED, MISTAKE, INTERRUPTED = 0, 1, 2, 130

app = typer.Typer(
    name="fedcredit",
    help="Federated credit-risk research with differential privacy.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
data_app = typer.Typer(
    help="Loan tables: draft a schema, name a table's content, simulate a market.", no_args_is_help=True
)
config_app = typer.Typer(help="What an experiment file may say.", no_args_is_help=True)
app.add_typer(data_app, name="data")
app.add_typer(config_app, name="config")


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """An arm of a sweep that ended in a user's mistake; the other arms go on."""

    name: str
    message: str


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: the command line without the program's name; that of the process by default.

    Returns:
        Exit code: 0 done, 1 failed, 2 a mistake the user can mend, 130 interrupted.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    command = typer.main.get_command(app)
    return guarded(lambda: command.main(args=given, prog_name="fedcredit", standalone_mode=False))


def guarded(command: Callable[[], object]) -> int:
    """Call a command and turn whatever it raises into one message and an exit code, never a traceback.

    Args:
        command: called without arguments; an integer it returns is the exit code.

    Returns:
        The exit code.
    """
    try:
        code = command()
    except InputError as error:
        typer.echo(f"error: {error}", err=True)
        return MISTAKE
    except RunFailedError as error:
        typer.echo(f"error: {error}", err=True)
        return FAILED
    except click.ClickException as error:
        typer.echo(f"error: {error.format_message()} (fedcredit --help lists the verbs)", err=True)
        return MISTAKE
    except (KeyboardInterrupt, click.Abort):
        typer.echo("interrupted; a started run begins again when it is asked for again", err=True)
        return INTERRUPTED
    except Exception as error:
        typer.echo(_crash(error), err=True)
        return FAILED
    return code if isinstance(code, int) else DONE


@app.command(
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []},
    help="Run an experiment, or a sweep with -m: experiments=<study>/<arm> key=value ... (run --help lists all keys).",
)
def run(context: typer.Context) -> int:
    """Hand the rest of the command line to Hydra, and print what the runs came to."""
    from fedcredit.config import hydra_main

    sweep = any(argument in ("-m", "--multirun", "hydra.mode=MULTIRUN") for argument in context.args)
    if sweep:
        return _close_sweep(hydra_main(context.args, job=_arm))
    for record in hydra_main(context.args, job=_single):
        _print_run(record)
    return DONE


@app.command(help="Print a finished run again from its results folder, or all runs below some folders side by side.")
def show(
    folders: Annotated[list[Path], typer.Argument(help="results, results/<study>, or a run's own folder")],
    against: Annotated[str | None, typer.Option(help="the arm that gaps over splits are taken against")] = None,
) -> None:
    """Print the records below the folders."""
    from fedcredit.experiment.record import read_record, record_folders
    from fedcredit.experiment.report import REPORT_FILE
    from fedcredit.experiment.show import print_run, print_study

    places = record_folders(folders)
    records = [read_record(place) for place in places]
    if len(records) == 1 and against is None:
        print_run(records[0], _console(), report=places[0] / REPORT_FILE)
    else:
        print_study(records, _console(), against=against)


@data_app.command(help="Draft a schema for a table of your own (csv or parquet); prints yaml.")
def describe(file: Annotated[Path, typer.Argument(help="a csv or parquet file")]) -> None:
    """Print a schema draft that marks what its owner must decide."""
    from fedcredit.data.draft import draft_schema

    typer.echo(draft_schema(file), nl=False)


@data_app.command(
    help="Print the checksum of a table's content: the same for csv and parquet, and any order of columns."
)
def checksum(file: Annotated[Path, typer.Argument(help="a csv or parquet file")]) -> None:
    """Print the canonical checksum of a table."""
    from fedcredit.data.checksum import canonical_checksum
    from fedcredit.data.files import read_csv, read_parquet

    read = read_parquet if file.suffix == ".parquet" else read_csv
    typer.echo(canonical_checksum(read(file)))


@data_app.command(help="Simulate a market of lenders and write it as parquet, a folder per lender.")
def simulate(
    folder: Annotated[Path, typer.Argument(help="a new or an empty folder")],
    borrowers: Annotated[int, typer.Option(help="how many borrowers")] = 60_000,
    seed: Annotated[int, typer.Option(help="the market's seed")] = 1,
    shock: Annotated[str, typer.Option(help="none, mild or pandemic")] = "none",
    shock_month: Annotated[int, typer.Option(help="the first bad month")] = 18,
    forbearance: Annotated[bool, typer.Option(help="grant payment holidays while it lasts")] = False,
    snapshot_month: Annotated[list[int] | None, typer.Option(help="month looked at, 6 to 23; may repeat [17]")] = None,
) -> None:
    """Write a simulated market."""
    from fedcredit.data.market.write import write_market
    from fedcredit.experiment.display import RunDisplay

    settings = _market(borrowers, seed, shock, shock_month, forbearance)
    with RunDisplay(enabled=sys.stderr.isatty()) as display:
        months = tuple(snapshot_month or (17,))
        manifest = write_market(folder, settings, snapshot_months=months, progress=display.stage)
    typer.echo(f"market of {borrowers} borrowers at {len(settings.lenders)} lenders: {manifest}")


@data_app.command(
    help="Measure a simulated market against the twelve bands of real portfolios; exit code 1 if one fails."
)
def check(
    borrowers: Annotated[int, typer.Option(help="how many borrowers; all bands need about 400,000")] = 400_000,
    seed: Annotated[int, typer.Option(help="the market's seed")] = 1,
    shock: Annotated[str, typer.Option(help="none, mild or pandemic")] = "none",
    shock_month: Annotated[int, typer.Option(help="the first bad month")] = 18,
    forbearance: Annotated[bool, typer.Option(help="grant payment holidays while it lasts")] = False,
) -> int:
    """Print the bands."""
    from fedcredit.experiment.display import RunDisplay
    from fedcredit.experiment.market_check import measure, print_bands

    settings = _market(borrowers, seed, shock, shock_month, forbearance)
    with RunDisplay(enabled=sys.stderr.isatty()) as display:
        figures = measure(settings, progress=display.stage)
    print_bands(figures, _console())
    return DONE if all(figure.passes for figure in figures) else FAILED


def _market(borrowers: int, seed: int, shock: str, shock_month: int, forbearance: bool) -> MarketSettings:
    from fedcredit.data.market.settings import MarketSettings, as_shock

    return MarketSettings(
        num_borrowers=borrowers, seed=seed, shock=as_shock(shock), shock_month=shock_month, forbearance=forbearance
    )


@config_app.command(help="Print the JSON Schema of experiments, for editors that complete yaml.")
def schema() -> None:
    """Print the JSON Schema of an experiment."""
    import json

    from fedcredit.config import json_schema

    typer.echo(json.dumps(json_schema(), indent=2))


def _single(experiment: Experiment) -> RunRecord:
    from fedcredit.experiment.runner import run as run_experiment

    return run_experiment(experiment, progress=True)


def _arm(experiment: Experiment) -> RunRecord | Refusal:
    """Run one arm of a sweep in a worker process, with one line when it is done."""
    from fedcredit.experiment.runner import run as run_experiment

    try:
        record = run_experiment(experiment, progress=False)
    except InputError as error:
        return Refusal(name=experiment.name, message=str(error))
    auc = record.evaluation.overall.auc
    typer.echo(
        f"{experiment.name} seed {experiment.seed} split {experiment.split_seed}: AUC {auc:.4f}"
        if auc
        else experiment.name
    )
    return record


def _print_run(record: RunRecord) -> None:
    from fedcredit.experiment.files import run_folder
    from fedcredit.experiment.report import REPORT_FILE
    from fedcredit.experiment.show import print_run
    from fedcredit.experiment.validate import experiment_from_data

    folder = run_folder(experiment_from_data(record.experiment), record.fingerprint)
    print_run(record, _console(), report=folder.path / REPORT_FILE)


def _close_sweep(results: Sequence[RunRecord | Refusal]) -> int:
    """Print the arms side by side, write the study's report, and say what was refused."""
    from fedcredit.experiment.report import REPORT_FILE, write_study_report
    from fedcredit.experiment.show import print_study

    refusals = [result for result in results if isinstance(result, Refusal)]
    records = [result for result in results if not isinstance(result, Refusal)]
    if records:
        studies = {record.name.partition("/")[0] for record in records}
        folder = Path(str(records[0].experiment["results_dir"])) / (studies.pop() if len(studies) == 1 else "multirun")
        print_study(records, _console(), report=write_study_report(records, folder / REPORT_FILE))
    for refusal in refusals:
        typer.echo(f"error: {refusal.name}: {refusal.message}", err=True)
    return MISTAKE if refusals else DONE


def _console() -> Console:
    from rich.console import Console

    return Console() if sys.stdout.isatty() else Console(width=_WIDTH_OF_A_FILE)


def _crash(error: Exception) -> str:
    """Keep the traceback in a file: a message of a library might hold a cell of a loan table, so it is not printed."""
    with tempfile.NamedTemporaryFile("w", prefix="fedcredit-traceback-", suffix=".txt", delete=False) as file:
        file.write("".join(traceback.format_exception(error)))
    return f"fedcredit stopped on an error of its own ({type(error).__name__}); the traceback is in {file.name}"


if __name__ == "__main__":
    sys.exit(main())

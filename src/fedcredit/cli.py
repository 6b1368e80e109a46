"""The command line: verbs only; what is heavy is imported inside the verb that needs it."""

from __future__ import annotations

import sys
import tempfile
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import click
import typer

from fedcredit.errors import InputError

if TYPE_CHECKING:
    from fedcredit.experiment.record import RunRecord
    from fedcredit.experiment.spec import Experiment

DONE, FAILED, MISTAKE, INTERRUPTED = 0, 1, 2, 130

app = typer.Typer(
    name="fedcredit",
    help="Federated credit-risk research with differential privacy.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
data_app = typer.Typer(help="Loan tables: draft a schema, name a table's content.", no_args_is_help=True)
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
    try:
        command = typer.main.get_command(app)
        code = command.main(args=list(arguments or sys.argv[1:]), prog_name="fedcredit", standalone_mode=False)
    except InputError as error:
        typer.echo(f"error: {error}", err=True)
        return MISTAKE
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
    results = hydra_main(context.args, job=_arm if sweep else _single)
    if sweep:
        return _close_sweep(results)
    return DONE


@app.command(help="Print a finished run again, from its results folder.")
def show(
    folder: Annotated[Path, typer.Argument(help="results/<study>/<arm>/<fingerprint>/<runtime>-<trainer>")],
) -> None:
    """Print the record of a results folder."""
    from rich.console import Console

    from fedcredit.experiment.compare import print_run
    from fedcredit.experiment.record import read_record

    print_run(read_record(folder), Console())


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
    from fedcredit.data.tables import canonical_checksum, read_table

    typer.echo(canonical_checksum(read_table(file)))


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


def _close_sweep(results: Sequence[RunRecord | Refusal]) -> int:
    from rich.console import Console

    from fedcredit.experiment.compare import print_study

    refusals = [result for result in results if isinstance(result, Refusal)]
    records = [result for result in results if not isinstance(result, Refusal)]
    if records:
        print_study(records, Console())
    for refusal in refusals:
        typer.echo(f"error: {refusal.name}: {refusal.message}", err=True)
    return MISTAKE if refusals else DONE


def _crash(error: Exception) -> str:
    """Keep the traceback in a file: a message of a library might hold a cell of a loan table, so it is not printed."""
    with tempfile.NamedTemporaryFile("w", prefix="fedcredit-traceback-", suffix=".txt", delete=False) as file:
        file.write("".join(traceback.format_exception(error)))
    return f"fedcredit stopped on an error of its own ({type(error).__name__}); the traceback is in {file.name}"


if __name__ == "__main__":
    sys.exit(main())

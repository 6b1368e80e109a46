"""The command line: verbs only; what is heavy is imported inside the verb that needs it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import click
import typer

from fedcredit.cli import attacking, deciding, ledgers, reproducing, studies, tables, tuning, using, watching
from fedcredit.cli.argument_help import with_argument_help
from fedcredit.cli.words import DONE, FAILED, INTERRUPTED, MISTAKE, composed, console
from fedcredit.collecting import seldom_collected
from fedcredit.errors import InputError, RunFailedError, crash_message

if TYPE_CHECKING:
    from fedcredit.experiment.record import RunRecord
    from fedcredit.experiment.spec import Experiment
    from fedcredit.experiment.sweep import Launcher, SweepResult

_RESUME = {"--resume": True, "--no-resume": False}
_BY_HELP = "kind, lender, level, vertical: against the true PD; rival: at equal epsilon; rare: few defaults; ring"


class Grouping(StrEnum):
    """What lenders are put together by."""

    KIND = "kind"
    LENDER = "lender"
    LEVEL = "level"
    VERTICAL = "vertical"
    RIVAL = "rival"
    RARE = "rare"
    RING = "ring"


app = typer.Typer(
    name="fedcredit",
    help="Federated credit-risk research with differential privacy.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
config_app = typer.Typer(help="What an experiment file may say.", no_args_is_help=True)
app.add_typer(tables.data_app, name="data")
app.add_typer(config_app, name="config")
app.add_typer(ledgers.ledger_app, name="ledger")
app.add_typer(studies.study_app, name="study")
app.command(name="compare", help=studies.COMPARE_HELP)(studies.compare_places)
app.command(help=reproducing.HELP)(reproducing.reproduce)
app.command(help=attacking.HELP)(attacking.attack)
app.command(help=deciding.DECIDE_HELP)(deciding.decide)
app.command(help=deciding.PRICE_HELP)(deciding.price)
app.command(help=deciding.CHURN_HELP)(deciding.churn)
app.command(help=tuning.HELP)(tuning.tune)
app.command(help=watching.HELP)(watching.watch)
app.command(help=using.SCORE_HELP)(using.score)
app.command(help=using.EXPORT_HELP)(using.export)
app.command(help=using.PASSPORT_HELP)(using.passport)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: the command line without the program's name; that of the process by default.

    Returns:
        Exit code: 0 done, 1 failed, 2 a mistake the user can mend, 130 interrupted.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    command = with_argument_help(typer.main.get_command(app))
    with seldom_collected():
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
        if message := _said_once(error.format_message()):  # empty where the help was printed instead
            typer.echo(f"error: {message} (fedcredit --help lists the verbs)", err=True)
        return MISTAKE
    except (KeyboardInterrupt, click.Abort):
        typer.echo("interrupted; a started run goes on from its last kept round when it is asked for again", err=True)
        return INTERRUPTED
    except Exception as error:
        typer.echo(crash_message(error), err=True)
        return FAILED
    return code if isinstance(code, int) else DONE


def _said_once(message: str) -> str:
    """Leave out the suggestion that typer and click both add, word for word."""
    said, mark, suggestion = message.rpartition("Did you mean")
    return said.rstrip() if mark and said.rstrip().endswith(mark + suggestion) else message


@app.command(
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []},
    help="Run an experiment, or a sweep with -m: experiments=<study>/<arm> key=value ... (run --help lists all keys).",
)
def run(context: typer.Context) -> int:
    """Hand the rest of the command line to Hydra, and print what the runs came to."""
    from fedcredit.config import hydra_main

    resume = [_RESUME[word] for word in context.args if word in _RESUME][-1:] != [False]
    words = [word for word in context.args if word not in _RESUME]
    code = hydra_main(words, job=partial(_single, resume=resume), sweep=partial(_sweep, resume=resume))
    return DONE if code is None else code


@app.command(help="Say what a run would promise and cost, without training: <study>/<arm> key=value ...")
def plan(
    words: Annotated[list[str] | None, typer.Argument(help="an experiment and overrides, as for run")] = None,
    num_loans: Annotated[
        list[str] | None, typer.Option(help="training loans of a lender, name=count; then no table is opened")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="json instead of text")] = False,
) -> int:
    """Print the plan of a run; exit code 2 if the run would be refused."""
    from fedcredit.experiment.display import RunDisplay
    from fedcredit.experiment.outlook import look_ahead, parse_counts
    from fedcredit.experiment.outlook_view import outlook_json, print_outlook

    experiment = composed(words or ())
    with RunDisplay(enabled=True) as display:
        outlook = look_ahead(experiment, num_loans=parse_counts(num_loans or ()), progress=display.stage)
    if as_json:
        typer.echo(outlook_json(outlook), nl=False)
    else:
        print_outlook(outlook, console())
    return DONE if outlook.refusal is None else MISTAKE


@app.command(
    help="Plant canaries in what a trainer releases and hold the claimed epsilon against them; exit code 1 refutes."
)
def audit(
    words: Annotated[list[str], typer.Argument(help="an experiment and overrides, as for run; or a results folder")],
    canaries: Annotated[int, typer.Option(help="more see more, and take longer")] = 1000,
    confidence: Annotated[float, typer.Option(help="that no true claim is contradicted")] = 0.95,
    seed: Annotated[int, typer.Option(help="of coins, sampling, noise and split")] = 1,
    folder: Annotated[
        Path | None, typer.Option(help="for audit.json and audit.png; <results_dir>/audits/<study>/<arm> by default")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="json instead of text")] = False,
) -> int:
    """Audit an experiment or a finished run; exit code 1 if a claim is contradicted."""
    from fedcredit.experiment.audit_run import audit_words
    from fedcredit.experiment.audit_view import audit_json, print_audit, write_audit

    done = audit_words(words, compose=composed, num_canaries=canaries, confidence=confidence, seed=seed)
    picture = write_audit(done.audit, done.folder if folder is None else folder)
    if as_json:
        typer.echo(audit_json(done.audit), nl=False)
    else:
        print_audit(done.audit, console())
        typer.echo(f"\npicture: {picture}")
    return FAILED if done.audit.is_contradicted else DONE


@app.command(help="Print a finished run again from its results folder, or all runs below some folders side by side.")
def show(
    folders: Annotated[list[Path], typer.Argument(help="results, results/<study>, or a run's own folder")],
    against: Annotated[str | None, typer.Option(help="the arm that gaps over splits are taken against")] = None,
    by: Annotated[
        Grouping | None,
        typer.Option(help=_BY_HELP),
    ] = None,
    picture: Annotated[Path | None, typer.Option(help="with --by: draw the kinds of lenders into this png")] = None,
) -> None:
    """Print the records below the folders."""
    from fedcredit.experiment.record import readable_records, record_folders
    from fedcredit.experiment.show import print_run, print_study

    found, warnings = readable_records(record_folders(folders))
    for warning in warnings:
        typer.echo(f"warning: {warning}", err=True)
    records = [record for _, record in found]
    if by is not None:
        from fedcredit.experiment.groupings import grouped
        from fedcredit.experiment.show import TableView

        console().print(TableView(grouped(records, by.value)))
        if picture is not None:
            _write_group_picture(records, picture)
    elif len(records) == 1 and against is None:
        from fedcredit.experiment.report import report_of

        print_run(records[0], console(), report=report_of(records[0], found[0][0]))
    else:
        from fedcredit.experiment.looking import known_cost

        results = found[0][0].resolve().parents[3]
        print_study(records, console(), against=against, cost=known_cost(records, results))


def _write_group_picture(records: Sequence[RunRecord], path: Path) -> None:
    from fedcredit.experiment.group_figure import group_figure
    from fedcredit.experiment.painted import paint

    drawn = group_figure(records)
    if drawn is None:
        raise InputError("picture needs runs on the simulated market at two budgets or more")
    path.write_bytes(paint(drawn).png)
    typer.echo(f"\npicture: {path}")


@config_app.command(help="Print the JSON Schema of experiments, for editors that complete yaml.")
def schema() -> None:
    """Print the JSON Schema of an experiment."""
    import json

    from fedcredit.config import json_schema

    typer.echo(json.dumps(json_schema(), indent=2))


def _single(experiment: Experiment, *, resume: bool) -> int:
    from fedcredit.experiment.runner import run as run_experiment

    _print_run(run_experiment(experiment, progress=True, resume=resume))
    return DONE


def _print_run(record: RunRecord) -> None:
    from fedcredit.experiment.files import run_folder
    from fedcredit.experiment.report import REPORT_FILE
    from fedcredit.experiment.show import print_run
    from fedcredit.experiment.validate import experiment_from_data

    folder = run_folder(experiment_from_data(record.experiment), record.fingerprint)
    print_run(record, console(), report=folder.path / REPORT_FILE)


def _sweep(experiments: Sequence[Experiment], launcher: Launcher, *, resume: bool) -> int:
    """Run a sweep; print the arms side by side, write the study's report, and say what failed."""
    from rich.console import Console

    from fedcredit.experiment.sweep import run_arm, run_sweep

    job = partial(run_arm, resume=resume)
    result = run_sweep(experiments, launcher, console=Console(stderr=True), job=job)
    _print_sweep(result)
    failures = result.failures()
    for label, outcome in failures:
        typer.echo(f"error: {label}: {outcome.text}", err=True)
    if any(outcome.kind == "failed" for _, outcome in failures):
        return FAILED
    return MISTAKE if failures else DONE


def _print_sweep(result: SweepResult) -> None:
    records = result.records()
    if records:
        from fedcredit.experiment.looking import known_cost
        from fedcredit.experiment.report import REPORT_FILE, write_study_report
        from fedcredit.experiment.show import print_study

        studies = {record.name.partition("/")[0] for record in records}
        folder = Path(str(records[0].experiment["results_dir"])) / (studies.pop() if len(studies) == 1 else "multirun")
        cost = known_cost(records, folder.parent)
        page = write_study_report(records, folder / REPORT_FILE, cost=cost)
        print_study(records, console(), report=page, cost=cost)
    typer.echo(f"\n{result.cost_line()}")

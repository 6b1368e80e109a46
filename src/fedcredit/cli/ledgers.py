"""The verbs of ledgers: show, verify, export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fedcredit.cli.words import DONE, FAILED, console

ledger_app = typer.Typer(help="What runs have spent: show, verify or export their ledgers.", no_args_is_help=True)


@ledger_app.command(name="show", help="Print releases, events and epsilon of each lender's ledger.")
def show_ledgers(
    place: Annotated[Path, typer.Argument(help="a results folder, or a ledger file")],
    delta: Annotated[float | None, typer.Option(help="by default that of the runs in the ledgers")] = None,
) -> None:
    """Print a table of what ledgers say."""
    from fedcredit.experiment.ledger_view import show_table
    from fedcredit.experiment.show import TableView

    console().print(TableView(show_table(place, delta=delta)))


@ledger_app.command(name="verify", help="Check ledgers line by line; exit code 1 names the first bad line of each.")
def verify(place: Annotated[Path, typer.Argument(help="a results folder, or a ledger file")]) -> int:
    """Verify ledgers and say which line is the first bad one."""
    from fedcredit.experiment.ledger_files import ledger_files, verify_ledgers

    verdicts = verify_ledgers(ledger_files(place))
    for verdict in verdicts:
        typer.echo(verdict.text)
    return DONE if all(verdict.is_sound for verdict in verdicts) else FAILED


@ledger_app.command(name="export", help="Print ledgers as csv or json, one row a line; nothing unverified is printed.")
def export(
    place: Annotated[Path, typer.Argument(help="a results folder, or a ledger file")],
    as_json: Annotated[bool, typer.Option("--json", help="json instead of csv")] = False,
) -> None:
    """Print the lines of ledgers."""
    from fedcredit.experiment.ledger_export import export_csv, export_json
    from fedcredit.experiment.ledger_files import ledger_files, read_ledgers

    ledgers = read_ledgers(ledger_files(place))
    typer.echo((export_json if as_json else export_csv)(ledgers), nl=False)

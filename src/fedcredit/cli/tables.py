"""The verbs of loan tables: draft a schema, name a content, simulate and check a market."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedcredit.cli.words import DONE, FAILED, console

if TYPE_CHECKING:
    from fedcredit.data.market.settings import MarketSettings

data_app = typer.Typer(
    help="Loan tables: draft a schema, name a table's content, simulate a market.", no_args_is_help=True
)


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
    from fedcredit.data.checksum import canonical_checksum, with_typed_cells
    from fedcredit.data.files import read_csv, read_parquet

    is_parquet = file.suffix.lower() in (".parquet", ".pq")
    typer.echo(canonical_checksum(read_parquet(file) if is_parquet else with_typed_cells(read_csv(file))))


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
    print_bands(figures, console())
    return DONE if all(figure.passes for figure in figures) else FAILED


def _market(borrowers: int, seed: int, shock: str, shock_month: int, forbearance: bool) -> MarketSettings:
    from fedcredit.data.market.settings import MarketSettings, as_shock

    return MarketSettings(
        num_borrowers=borrowers, seed=seed, shock=as_shock(shock), shock_month=shock_month, forbearance=forbearance
    )

"""The verbs that turn finished runs into decisions and money."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedcredit.cli.recalibrating import with_commands
from fedcredit.cli.words import console

if TYPE_CHECKING:
    from fedcredit.experiment.decisions.levels import LevelAt
    from fedcredit.experiment.wording import Table

DECIDE_HELP = "Decide by a finished run: approvals, limits, losses, capital, tranches; --panel: the months."
PRICE_HELP = "What privacy costs in money: finished runs of several budgets against lenders alone, in basis points."
CHURN_HELP = "How many approvals, limits and reasons flip when a run is trained again with another seed."


class Grouping(StrEnum):
    """What the rows of a table are."""

    kind = "kind"
    lender = "lender"


Folders = Annotated[list[Path], typer.Argument(help="results, results/<study>, or runs' own folders")]
By = Annotated[Grouping, typer.Option(help="kinds of lenders, or single lenders")]
Json = Annotated[bool, typer.Option("--json", help="json instead of text and page")]
Page = Annotated[bool, typer.Option("--page/--no-page", help="write a page with figures beside the runs")]
Margin = Annotated[float, typer.Option(help="earned on a good loan over its life, of its amount")]
Lgd = Annotated[float, typer.Option(help="lost on a bad one, of its amount")]


def decide(
    run: Annotated[Path, typer.Argument(help="a finished run's folder")],
    own_level: Annotated[bool, typer.Option(help="add each lender's own intercept, fitted and kept inside")] = False,
    charged_level: Annotated[bool, typer.Option(help="apply the correction that the run released, charged")] = False,
    panel: Annotated[bool, typer.Option(help="simulated market: alarms, collections, provisions, rings")] = False,
    past_approval: Annotated[
        float | None, typer.Option(help="hide outcomes beyond this share that a past policy approved; infer them")
    ] = None,
    margin: Margin = 0.06,
    lgd: Lgd = 0.75,
    page: Page = True,
    as_json: Json = False,
) -> None:
    """Decide on the held-out loans of a run."""
    from fedcredit.credit.approval import Terms
    from fedcredit.credit.lending import LendingPolicy
    from fedcredit.experiment.decisions.decide_view import print_decided
    from fedcredit.experiment.decisions.deciding import decide as decide_on
    from fedcredit.experiment.decisions.levels import WrongLevelError
    from fedcredit.experiment.decisions.months_view import reject_table
    from fedcredit.experiment.decisions.panel_view import month_parts, months_of
    from fedcredit.experiment.decisions.reject_study import checked_rate, reject_study
    from fedcredit.experiment.decisions.rescoring import rescored
    from fedcredit.experiment.display import RunDisplay

    at = _level(own_level=own_level, charged_level=charged_level)
    place, terms, past = _one_run(run), Terms(margin_rate=margin, lgd_rate=lgd), checked_rate(past_approval)
    with RunDisplay(enabled=sys.stderr.isatty()) as display:
        opened = rescored(place, progress=display.stage)
        try:
            decided = decide_on(opened, at=at, policy=LendingPolicy(terms=terms))
        except WrongLevelError as error:
            raise with_commands(error, panel=panel) from None
        months = months_of(opened, terms=terms, progress=display.stage) if panel else None
        rejects = None if past is None else reject_study(opened, accepted_rate=past, terms=terms)
    if as_json:
        more = {name: found for name, found in (("months", months), ("rejects", rejects)) if found is not None}
        _print_json({"decided": decided, **more} if more else decided)
        return
    print_decided(decided, console())
    _print_tables([] if rejects is None else [reject_table(rejects)])
    if months is not None:
        _print_tables([table for _, tables in month_parts(months) for table in tables])
    if page:
        from fedcredit.experiment.decisions.pages import write_decisions

        _print_path(write_decisions(opened.record, place, decided, months, rejects))


def _level(*, own_level: bool, charged_level: bool) -> LevelAt:
    from fedcredit.errors import InputError
    from fedcredit.experiment.decisions.levels import LevelAt

    if own_level and charged_level:
        raise InputError("--own-level and --charged-level are two levels; give one of them")
    return LevelAt.OWN if own_level else LevelAt.CHARGED if charged_level else LevelAt.RELEASED


def _one_run(folder: Path) -> Path:
    from fedcredit.errors import InputError
    from fedcredit.experiment.record import record_folders

    found = record_folders([folder])
    if len(found) > 1:
        raise InputError(f"{folder} holds {len(found)} runs; name one of them, for example {found[0]}")
    return found[0]


def price(
    folders: Folders,
    by: By = Grouping.kind,
    panel: Annotated[bool, typer.Option(help="simulated market: early warning by budget, month by month")] = False,
    margin: Margin = 0.06,
    lgd: Lgd = 0.75,
    page: Page = True,
    as_json: Json = False,
) -> None:
    """Compare budgets in money."""
    from fedcredit.credit.approval import Terms
    from fedcredit.credit.lending import LendingPolicy
    from fedcredit.experiment.decisions.churn import decision_churn, repeated_runs
    from fedcredit.experiment.decisions.price_of_privacy import price_of_privacy
    from fedcredit.experiment.decisions.price_view import churn_table, price_tables
    from fedcredit.experiment.display import RunDisplay
    from fedcredit.experiment.record import record_folders

    policy = LendingPolicy(terms=Terms(margin_rate=margin, lgd_rate=lgd))
    places = record_folders(folders)
    with RunDisplay(enabled=sys.stderr.isatty()) as display:
        found = price_of_privacy(places, policy=policy, with_months=panel, progress=display.stage)
        repeated = [place for group in repeated_runs(places) for place in group]
        churned = decision_churn(repeated, policy=policy, progress=display.stage) if repeated else []
    if as_json:
        _print_json({**vars(found), "churn": churned})
        return
    _print_warnings(found.warnings)
    _print_tables([*price_tables(found, by=by.value), *([churn_table(churned, by=by.value)] if churned else [])])
    if page:
        from fedcredit.experiment.decisions.pages import write_price

        _print_path(write_price(found, churned, folders, by=by.value))


def churn(folders: Folders, by: By = Grouping.kind, as_json: Json = False) -> None:
    """Count decisions that are chance."""
    from fedcredit.experiment.decisions.churn import decision_churn
    from fedcredit.experiment.decisions.price_view import churn_table
    from fedcredit.experiment.display import RunDisplay
    from fedcredit.experiment.record import record_folders

    places = record_folders(folders)
    with RunDisplay(enabled=sys.stderr.isatty()) as display:
        found = decision_churn(places, progress=display.stage)
    if as_json:
        _print_json(found)
    else:
        _print_tables([churn_table(found, by=by.value)])


def _print_json(found: object) -> None:
    import json

    from fedcredit.experiment.record import to_jsonable

    typer.echo(json.dumps(to_jsonable(found), indent=2, allow_nan=False))


def _print_tables(tables: Sequence[Table]) -> None:
    from fedcredit.experiment.show import TableView

    out = console()
    for table in tables:
        out.print(TableView(table))


def _print_warnings(warnings: Sequence[str]) -> None:
    from rich.text import Text

    for warning in warnings:
        console().print(Text(f"WARNING {warning}", style="bold red"))


def _print_path(path: Path) -> None:
    from rich.text import Text

    console().print(Text(f"\npage: {path}"), soft_wrap=True)

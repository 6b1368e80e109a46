"""The pages of decisions: HTML that asks nothing of a network, beside the run or the study that it is about."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path

from fedcredit.errors import InputError
from fedcredit.experiment.decisions.churn import Churn
from fedcredit.experiment.decisions.decide_figures import decided_figures
from fedcredit.experiment.decisions.decide_view import decided_tables
from fedcredit.experiment.decisions.deciding import Decided
from fedcredit.experiment.decisions.months_view import reject_table
from fedcredit.experiment.decisions.panel_figures import FIGURES_OF, month_figures
from fedcredit.experiment.decisions.panel_view import Months, month_parts
from fedcredit.experiment.decisions.price_figures import budget_text, price_figures
from fedcredit.experiment.decisions.price_of_privacy import ALL, PriceOfPrivacy
from fedcredit.experiment.decisions.price_view import By, churn_table, price_tables
from fedcredit.experiment.decisions.reject_study import RejectStudy
from fedcredit.experiment.figures import Figure
from fedcredit.experiment.page import Section, render
from fedcredit.experiment.record import RunRecord
from fedcredit.experiment.report import DECISIONS_FILE, REPORT_FILE, run_report
from fedcredit.experiment.wording import ABSENT

PRICE_FILE = "price.html"
_OPEN = (
    "Everything here reads held-out loans in the clear, as the evaluation of a simulation does; no epsilon covers it. "
    "Margin, loss given default and the effects of actions are assumptions."
)


def write_decisions(
    record: RunRecord, folder: Path, decided: Decided, months: Months | None = None, rejects: RejectStudy | None = None
) -> Path:
    """Write the page of a run's decisions and its pictures, and link it in the run's report if there is one.

    Args:
        record: the run.
        folder: its results folder.
        decided: its decisions.
        months: those of the simulated market's months.
        rejects: what was learned about applicants that a past policy refused.

    Returns:
        The path of the page, ``decisions.html``; the pictures are ``plots/decide_*.png`` and ``.svg``.

    Raises:
        InputError: if the folder cannot be written.
    """
    figures = (*decided_figures(decided), *(() if months is None else month_figures(months)))
    path = write_page(decisions_page(decided, figures, months, rejects), figures, folder / DECISIONS_FILE)
    if (folder / REPORT_FILE).is_file():
        _whole(run_report(record, folder), folder / REPORT_FILE)
    return path


def decisions_page(
    decided: Decided, figures: Sequence[Figure], months: Months | None = None, rejects: RejectStudy | None = None
) -> str:
    """Return the page of a run's decisions.

    Args:
        decided: the decisions.
        figures: what is drawn.
        months: those of the simulated market's months.
        rejects: what was learned about applicants that a past policy refused.

    Returns:
        HTML.
    """
    drawn = {figure.name: figure for figure in figures}
    approvals, swaps, pool, *spreads = decided_tables(decided)

    def named(*names: str) -> tuple[Figure, ...]:
        return tuple(drawn[name] for name in names if name in drawn)

    sections = [
        Section(title="Before any figure is used", paragraphs=(*decided.warnings, _OPEN)),
        Section(title="Approval", figures=named("decide_profit", "decide_swaps"), tables=(approvals, swaps)),
        Section(title="Refused applicants", tables=() if rejects is None else (reject_table(rejects),)),
        Section(title="The pool and its tranches", figures=named("decide_losses"), tables=(pool,)),
        Section(title="Diversification", tables=tuple(spreads)),
    ]
    if months is not None:
        sections += [
            Section(title=title, figures=named(*FIGURES_OF.get(title, ())), tables=tuple(tables))
            for title, tables in month_parts(months)
        ]
    return render(
        title=f"Decisions of {decided.name}",
        told=f"fingerprint {decided.fingerprint}",
        headline=_headline(decided),
        sections=sections,
        details=(),
    )


def write_price(found: PriceOfPrivacy, churned: Sequence[Churn], places: Sequence[Path], *, by: By) -> Path:
    """Write the page of the price of privacy and its pictures, into the `common_folder` of the runs.

    Args:
        found: the comparison.
        churned: how often trainings of one experiment decide otherwise; empty where none was repeated.
        places: the folders that were given.
        by: ``kind`` of lender (and all together), or ``lender``.

    Returns:
        The path of the page, ``price.html``; the pictures are ``plots/price_*.png`` and ``.svg``.

    Raises:
        InputError: if the folder cannot be written.
    """
    figures = price_figures(found, churned=churned, by=by)
    return write_page(price_page(found, churned, figures, by=by), figures, common_folder(places) / PRICE_FILE)


def common_folder(places: Sequence[Path]) -> Path:
    """Return the folder that holds all of some folders, or the first of them where that is not below this one.

    Args:
        places: folders, at least one.

    Returns:
        Its path.
    """
    common = Path(os.path.commonpath([place.resolve() for place in places]))
    return places[0].resolve() if Path.cwd().is_relative_to(common) else common


def price_page(found: PriceOfPrivacy, churned: Sequence[Churn], figures: Sequence[Figure], *, by: By) -> str:
    """Return the page of the price of privacy.

    Args:
        found: the comparison.
        churned: how often trainings of one experiment decide otherwise.
        figures: what is drawn.
        by: ``kind`` of lender (and all together), or ``lender``.

    Returns:
        HTML.
    """
    drawn = {figure.name: figure for figure in figures}
    lending, same, alone, none, break_even, *others = price_tables(found, by=by)

    def named(*names: str) -> tuple[Figure, ...]:
        return tuple(drawn[name] for name in names if name in drawn)

    budgets = sorted({price.epsilon for price in found.prices})
    return render(
        title="The price of privacy",
        told="Lending by federated networks of several budgets, against each lender alone and against no privacy.",
        headline=(
            ("epsilon", ", ".join(budget_text(epsilon) for epsilon in budgets)),
            ("seeds", str(found.num_seeds)),
            ("lenders", str(len({price.group for price in found.prices} - {ALL} - set(found.kinds.values())))),
        ),
        sections=(
            Section(title="Before any figure is used", paragraphs=found.warnings),
            Section(title="Does federating pay?", figures=named("price_profit_alone", "price_profit_same"),
                    tables=(alone, same)),
            Section(title="Where it stops paying", figures=named("price_break_even"), tables=(break_even,)),
            Section(title="What privacy costs", figures=named("price_profit_none", "price_capital", "price_early"),
                    tables=(none, *others)),
            Section(title="Decision churn", figures=named("price_churn"),
                    tables=(churn_table(churned, by=by),) if churned else ()),
            Section(title="Lending", tables=(lending,), paragraphs=(_OPEN,)),
        ),
        details=(),
    )  # fmt: skip


def write_page(page: str, figures: Sequence[Figure], path: Path) -> Path:
    """Write a page and its pictures, each whole and then renamed.

    Args:
        page: HTML.
        figures: what is drawn on it.
        path: of the page; its folder exists.

    Returns:
        The same path.

    Raises:
        InputError: if the folder cannot be written.
    """
    from fedcredit.experiment.painted import write_plots

    try:
        write_plots(figures, path.parent)
        _whole(page, path)
    except OSError as error:
        raise InputError(
            f"{path.parent} cannot be written ({error.strerror}); copy it to a place you may write to, or give "
            "--no-page"
        ) from error
    return path


def _headline(decided: Decided) -> list[tuple[str, str]]:
    book = decided.portfolio
    ratio = decided.level.ratio
    worth = book.true_profit_per_100_asked if book.true_profit_per_100_asked is not None else book.profit_per_100_asked
    return [
        ("target epsilon", "none" if math.isinf(decided.epsilon) else f"{decided.epsilon:g}"),
        ("mean PD / bad rate", ABSENT if ratio is None else f"{ratio:.2f}"),
        ("approved", f"{100 * book.approval_rate:.1f} %"),
        ("profit per 100 asked", ABSENT if worth is None else f"{worth:.2f}"),
        ("expected loss, bp", ABSENT if book.expected_loss_bp is None else f"{book.expected_loss_bp:.0f}"),
        ("capital, bp", ABSENT if book.capital_bp is None else f"{book.capital_bp:.0f}"),
        ("lenders", str(len(decided.lenders))),
        ("level", decided.at.value),
    ]


def _whole(page: str, path: Path) -> None:
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.write_text(page, encoding="utf-8")
    unfinished.replace(path)

"""What is drawn of a price is what its table says."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from fedcredit.experiment.decisions.churn import Churn
from fedcredit.experiment.decisions.pages import common_folder, price_page
from fedcredit.experiment.decisions.price_figures import price_figures
from fedcredit.experiment.decisions.price_of_privacy import AGAINST, BreakEven, Paired, Price, PriceOfPrivacy
from fedcredit.experiment.figures import Chart, Rows
from fedcredit.experiment.inline_svg import inline_svg
from fedcredit.experiment.painted import paint

PROFIT = "true_profit_per_100_asked"


def _price(group: str, epsilon: float, gap: float) -> Price:
    paired = Paired(value=gap, half_width=2.0, num_seeds=5)
    return Price(
        group=group,
        epsilon=epsilon,
        figures={PROFIT: 4.0},
        differences={against: {PROFIT: paired, "capital_bp": paired} for against in AGAINST},
    )


@pytest.fixture
def found() -> PriceOfPrivacy:
    """Two kinds at two budgets; one breaks even at 3, the other always pays."""
    groups = ("all", "bank", "bnpl", "bank_1")
    gaps = {math.inf: 5.0, 8.0: 4.0, 1.0: -1.0}
    return PriceOfPrivacy(
        prices=tuple(_price(group, epsilon, gap) for group in groups for epsilon, gap in gaps.items()),
        break_even=tuple(
            BreakEven(group=group, against=AGAINST[1], verdict=told, epsilon=epsilon, clearly_pays=(), clearly_costs=())
            for group, told, epsilon in (("all", "3", 3.0), ("bank", "pays at all budgets", None))
        ),
        profit=PROFIT,
        kinds={"bank_1": "bank", "bnpl_1": "bnpl"},
        num_seeds=5,
    )


def test_profit_is_drawn_by_kind_with_its_intervals_the_strictest_budget_first(found: PriceOfPrivacy) -> None:
    drawn = {figure.name: figure for figure in price_figures(found)}
    chart = drawn["price_profit_alone"]
    assert isinstance(chart, Chart)
    assert [text for _, text in chart.ticks] == ["1", "8", "none"]
    assert [trace.label for trace in chart.panels[0].traces] == ["all", "bank", "bnpl"]
    assert [(mark.low, mark.y, mark.high) for mark in chart.panels[0].traces[0].marks] == [
        (-3.0, -1.0, 1.0), (2.0, 4.0, 6.0), (3.0, 5.0, 7.0),
    ]  # fmt: skip
    none = drawn["price_profit_none"]
    assert isinstance(none, Chart)
    assert [text for _, text in none.ticks] == ["1", "8"]


def test_a_group_that_always_pays_has_a_row_without_a_break_even(found: PriceOfPrivacy) -> None:
    rows = next(figure for figure in price_figures(found) if figure.name == "price_break_even")
    assert isinstance(rows, Rows)
    assert rows.series[0].values == [3.0, None]
    assert "no crossing" in inline_svg(rows)


def test_the_price_page_holds_all_its_figures_and_asks_for_nothing(found: PriceOfPrivacy) -> None:
    churned = [
        Churn(group="all", is_lender=False, epsilon=eps, num_seeds=5, num_loans=9, approval_rate=0.9,
              approvals_flipped_rate=rate, ever_flipped_rate=rate, limits_changed_rate=rate, reasons_changed_rate=None)
        for eps, rate in ((8.0, 0.01), (1.0, 0.02))
    ]  # fmt: skip
    figures = price_figures(found, churned=churned)
    assert {figure.name for figure in figures} == {
        "price_profit_alone", "price_profit_same", "price_profit_none", "price_capital", "price_break_even",
        "price_churn",
    }  # fmt: skip
    page = price_page(found, churned, figures, by="kind")
    assert all(f'id="figure-{figure.name}"' in page for figure in figures)
    assert "http" not in page.replace("http-equiv", "")
    assert all(paint(figure).png.startswith(b"\x89PNG") for figure in figures[:1])


def test_a_price_is_written_where_all_its_runs_are_and_never_above(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    runs = here / "results" / "market"
    assert common_folder([runs]) == runs
    assert common_folder([runs / "a", runs / "b" / "c"]) == runs
    assert common_folder([runs, tmp_path / "elsewhere"]) == runs

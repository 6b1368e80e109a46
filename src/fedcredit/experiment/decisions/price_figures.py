"""The figures of the price of privacy: profit and other money by epsilon, break-even, and churn."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from fedcredit.experiment.decisions.beside_money import AHEAD, EARLY
from fedcredit.experiment.decisions.churn import Churn
from fedcredit.experiment.decisions.price_of_privacy import (
    AGAINST,
    ALL,
    Paired,
    Price,
    PriceOfPrivacy,
)
from fedcredit.experiment.decisions.price_view import By, is_shown
from fedcredit.experiment.figures import Chart, Figure, Mark, Panel, Rows, Series, Trace, rows_figure
from fedcredit.experiment.wording import readable

_MOST_GROUPS = 12


def price_figures(found: PriceOfPrivacy, *, churned: Sequence[Churn] = (), by: By = "kind") -> tuple[Figure, ...]:
    """Declare the figures of the price of privacy.

    Args:
        found: the comparison.
        churned: how often trainings of one experiment decide otherwise.
        by: ``kind`` of lender (and all together), or ``lender``.

    Returns:
        Those that there are numbers for: ``price_profit_alone`` (against each lender alone without privacy),
        ``price_profit_same``, ``price_profit_none``, ``price_capital``, ``price_early`` (where months were followed),
        ``price_break_even`` and ``price_churn``.
    """
    prices = [price for price in found.prices if is_shown(price.group, found, by)]
    figures = (
        _gaps(prices, AGAINST[1], found.profit, "price_profit_alone", "Profit against alone without privacy"),
        _gaps(prices, AGAINST[0], found.profit, "price_profit_same", "Profit against alone at the same epsilon"),
        _gaps(prices, AGAINST[2], found.profit, "price_profit_none", "What privacy costs: profit"),
        _gaps(prices, AGAINST[2], "capital_bp", "price_capital", "What privacy costs: capital"),
        _early(prices),
        _break_even(found, by),
        _churn(churned, by),
    )
    return tuple(figure for figure in figures if figure is not None)


def budget_ticks(budgets: Sequence[float]) -> dict[float, float]:
    """Place budgets on an axis, the strictest on the left, one step apart.

    Args:
        budgets: epsilons; infinite for none.

    Returns:
        Budget -> place.
    """
    return {budget: float(place) for place, budget in enumerate(sorted(set(budgets)))}


def budget_text(epsilon: float) -> str:
    """Write a budget."""
    return "none" if math.isinf(epsilon) else f"{epsilon:g}"


def _gaps(prices: Sequence[Price], against: str, figure: str, name: str, title: str) -> Chart | None:
    is_profit = figure != "capital_bp"
    seen = {
        (price.group, price.epsilon): gap
        for price in prices
        if (gap := price.differences[against].get(figure)) is not None
        and not (against == AGAINST[2] and math.isinf(price.epsilon))
    }
    places = budget_ticks([epsilon for _, epsilon in seen])
    if not places:
        return None
    groups = list(dict.fromkeys(group for group, _ in seen))[:_MOST_GROUPS]
    traces = tuple(
        _trace(group, order, len(groups), {e: gap for (own, e), gap in seen.items() if own == group}, places)
        for order, group in enumerate(groups)
    )
    of = "of all that was asked for" if is_profit else "of approved amount"
    ends = (min(places.values()) - 0.4, 0.0, max(places.values()) + 0.4, 0.0)
    return Chart(
        name=name,
        title=title,
        description=f"Federated minus {against}, basis points {of}, paired seed by seed, with 95 % t intervals that "
        "are not adjusted for their number; above the dashed line federating "
        f"{'earns more' if is_profit else 'needs more capital'}.",
        axis="epsilon of a run (none: no privacy)",
        panels=(Panel(label="difference, bp", traces=traces, dashes=(ends,)),),
        ticks=tuple((place, budget_text(epsilon)) for epsilon, place in places.items()),
        hidden=tuple(trace.label for trace in traces[4:]),
    )


def _trace(group: str, order: int, num: int, gaps: Mapping[float, Paired], places: Mapping[float, float]) -> Trace:
    shift = 0.09 * (order - (num - 1) / 2)
    marks = []
    for epsilon, gap in sorted(gaps.items()):
        half = gap.half_width
        told = f"epsilon {budget_text(epsilon)}: {gap.value:+.1f}{'' if half is None else f' ± {half:.1f}'} bp"
        marks.append(
            Mark(
                x=places[epsilon] + shift,
                y=gap.value,
                low=None if half is None else gap.value - half,
                high=None if half is None else gap.value + half,
                told=told,
            )
        )
    return Trace(label=readable(group), place=order, marks=tuple(marks), kind="line")


def _early(prices: Sequence[Price]) -> Chart | None:
    shown = [price for price in prices if price.figures.get(EARLY) is not None]
    places = budget_ticks([price.epsilon for price in shown])
    if not places:
        return None

    def panel(label: str, figure: str) -> Panel:
        groups = list(dict.fromkeys(price.group for price in shown))[:_MOST_GROUPS]
        traces = []
        for order, group in enumerate(groups):
            own = sorted((price for price in shown if price.group == group), key=lambda price: price.epsilon)
            values = [(price.epsilon, value) for price in own if (value := price.figures.get(figure)) is not None]
            marks = tuple(
                Mark(
                    x=places[epsilon],
                    y=100.0 * value,
                    told=f"epsilon {budget_text(epsilon)}: {100 * value:.1f} % of defaults",
                )
                for epsilon, value in values
            )
            traces.append(Trace(label=readable(group), place=order, marks=marks, kind="line"))
        return Panel(label=label, traces=tuple(trace for trace in traces if trace.marks))

    return Chart(
        name="price_early",
        title="Early warning by epsilon",
        description="Share of defaults that are alarmed three and six months before, by as many alarms as the rule "
        "enters M1 raises, at each lender's level of each bucket; means over seeds.",
        axis="epsilon of a run (none: no privacy)",
        panels=(panel("3 months before, %", EARLY), panel("6 months before, %", AHEAD)),
        ticks=tuple((place, budget_text(epsilon)) for epsilon, place in places.items()),
    )


def _break_even(found: PriceOfPrivacy, by: By) -> Rows | None:
    """Draw where federating stops paying; groups for which it always or never pays have a row without a mark."""
    items = [item for item in found.break_even if is_shown(item.group, found, by) and item.against == AGAINST[1]]
    labels = [f"{readable(item.group)}\n{item.verdict if item.epsilon is None else 'from here on'}" for item in items]
    figure = rows_figure(
        "price_break_even",
        "Break-even epsilon, against alone without privacy",
        "epsilon",
        labels,
        [
            Series(
                label="federating pays from here on",
                place=0,
                values=[item.epsilon for item in items],
                intervals=[None] * len(items),
                kind="bars",
            )
        ],
        plain=[f"group no. {number}" for number in range(1, len(items) + 1)],
        description="The smallest epsilon from which on federating earns a group at least what its lenders earn alone "
        "without privacy, by profit of all that was asked for; interpolated between means.",
    )
    if figure is None:
        return None
    return Rows(**{**{name: getattr(figure, name) for name in figure.__dataclass_fields__}, "absent": "no crossing"})


def _churn(churned: Sequence[Churn], by: By) -> Chart | None:
    shown = [item for item in churned if item.group == ALL or by == "lender" or not item.is_lender]
    places = budget_ticks([item.epsilon for item in shown])
    if not places:
        return None
    groups = list(dict.fromkeys(item.group for item in shown))[:_MOST_GROUPS]
    traces = tuple(
        Trace(
            label=readable(group),
            place=order,
            kind="line",
            marks=tuple(
                Mark(
                    x=places[item.epsilon],
                    y=100.0 * item.approvals_flipped_rate,
                    told=f"epsilon {budget_text(item.epsilon)}: {100 * item.approvals_flipped_rate:.1f} % of approvals "
                    f"flip, {100 * item.limits_changed_rate:.1f} % of limits change",
                )
                for item in sorted(shown, key=lambda item: item.epsilon)
                if item.group == group
            ),
        )
        for order, group in enumerate(groups)
    )
    return Chart(
        name="price_churn",
        title="Decision churn by epsilon",
        description="Share of loans that one training approves and another refuses, mean over pairs of trainings that "
        "differ in seed alone; at none, batches and initial weights alone differ.",
        axis="epsilon of a run (none: no privacy)",
        panels=(Panel(label="approvals that flip, %", traces=traces, from_zero=True),),
        ticks=tuple((place, budget_text(epsilon)) for epsilon, place in places.items()),
        hidden=tuple(trace.label for trace in traces[4:]),
    )

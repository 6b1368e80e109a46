"""The figures of a market's months: alarms, provisions and recoveries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fedcredit.experiment.decisions.panel_actions import Collected
from fedcredit.experiment.decisions.panel_alarms import LEADS, Alarms
from fedcredit.experiment.decisions.panel_cash import Cash
from fedcredit.experiment.decisions.panel_limits import LimitMonths
from fedcredit.experiment.decisions.panel_pool import AS_IT_WENT, PoolSale
from fedcredit.experiment.decisions.panel_provisions import ProvisionedMonth
from fedcredit.experiment.decisions.panel_view import Months
from fedcredit.experiment.figures import Chart, Figure, Mark, Panel, Trace

_BASIS_POINTS, _THOUSAND = 1e4, 1e-3
FIGURES_OF = {
    "Early warning": ("decide_lead", "decide_alarms"),
    "Limits": ("decide_limits",),
    "Provisions": ("decide_provisions",),
    "Promised and collected": ("decide_collected", "decide_recovery"),
    "A sold pool": ("decide_waterfall", "decide_waterfall_stressed"),
}


def month_figures(months: Months) -> tuple[Figure, ...]:
    """Declare the figures of a market's months.

    Args:
        months: what was decided in them.

    Returns:
        Those that there are numbers for, named as ``FIGURES_OF`` lists them.
    """
    found = (
        _lead(months.alarms),
        _timeline(months.alarms),
        _limits(months.limits),
        _provisions(months.provisions),
        _collected(months.cash),
        _recovery(months.collections),
        *(_waterfall(months.pool, name) for name in months.pool.paid),
    )
    return tuple(figure for figure in found if figure is not None)


def lines(series: Mapping[str, Sequence[tuple[float, float]]], told: str) -> tuple[Trace, ...]:
    """Draw one line a series.

    Args:
        series: label -> places and values.
        told: what a reader is told of a point, with ``{x:g}`` and ``{y}``.

    Returns:
        Traces of those that hold a point.
    """
    return tuple(
        Trace(
            label=label,
            place=place,
            marks=tuple(Mark(x=x, y=y, told=told.format(x=x, y=f"{y:,.4g}")) for x, y in points),
            kind="line",
        )
        for place, (label, points) in enumerate(series.items())
        if points
    )


def _lead(found: Alarms) -> Chart | None:
    if not found.alarmed_before:
        return None
    shares = {
        name: [(float(-lead), 100.0 * share) for lead, share in zip(LEADS, rates, strict=True)]
        for name, rates in found.alarmed_before.items()
    }
    traces = tuple(
        Trace(
            label=name,
            place=place,
            marks=tuple(
                Mark(x=x, y=y, told=f"{y:.1f} % of defaults alarmed at least {-x:g} months before") for x, y in points
            ),
            kind="line",
        )
        for place, (name, points) in enumerate(shares.items())
    )
    return Chart(
        name="decide_lead",
        title="How early defaults are alarmed",
        description="Share of defaults that were alarmed at least so many months before, by the rule and by as many "
        "alarms of the network; 3 months and more is early.",
        axis="months before the default",
        panels=(Panel(label="defaults alarmed, %", traces=traces, from_zero=True),),
        ticks=tuple((float(-lead), str(lead)) for lead in LEADS[::3]),
    )


def _timeline(found: Alarms) -> Chart | None:
    months = [float(month) for month in found.months]
    series = {
        name: list(zip(months, map(float, counts), strict=True)) for name, counts in found.alarms_by_month.items()
    }
    series["defaults"] = list(zip(months, map(float, found.defaults_by_month), strict=True))
    traces = lines(series, "month {x:g}: {y}")
    return Chart(
        name="decide_alarms",
        title="First alarms and defaults month by month",
        description="First alarms of held-out accounts in each month, by the rule and by as many alarms of the "
        "network, and defaults; in the first month all accounts are new to every rule.",
        axis="month",
        panels=(Panel(label="accounts", traces=traces, from_zero=True),),
    )


def _provisions(found: Sequence[ProvisionedMonth]) -> Chart | None:
    if not found:
        return None

    def of(name: str) -> list[tuple[float, float]]:
        return [(float(item.month), _BASIS_POINTS * getattr(item, name) / item.exposure_amount) for item in found]

    series = {
        "lost": of("realised_amount"),
        "expected, balances stay": of("replaced_amount"),
        "down scenario": of("down_amount"),
        "booked": of("provision_amount"),
    }
    shock = next((float(item.month) for item in found if item.is_in_shock), None)
    told = "" if shock is None else f" The named shock is on from month {shock:g}."
    return Chart(
        name="decide_provisions",
        title="Provisions and what was then lost",
        description="At the end of a month, in bp of what held-out accounts owe: booked, expected within 12 months "
        f"where balances stay, the down scenario alone, and what was lost in the 12 months that followed.{told}",
        axis="month",
        panels=(Panel(label="bp of exposure", traces=lines(series, "month {x:g}: {y} bp"), from_zero=True),),
    )


def _recovery(found: Collected) -> Chart | None:
    points = [(float(month), 100.0 * share) for month, share in enumerate(found.recovered_by_month, start=1)]
    traces = lines({"come back": points}, "{x:g} months after default: {y} % of the exposure at default")
    if not traces:
        return None
    return Chart(
        name="decide_recovery",
        title="Recovery after default",
        description="Share of the exposure at default that has come back, months after it.",
        axis="months after default",
        panels=(Panel(label="come back, %", traces=traces, from_zero=True),),
    )


def _limits(found: LimitMonths) -> Chart | None:
    def points(means: Sequence[float | None]) -> list[tuple[float, float]]:
        return [(float(m), mean) for m, mean in zip(found.months, means, strict=True) if mean is not None]

    traces = lines(
        {"as first set": points(found.static_by_month), "changed month by month": points(found.dynamic_by_month)},
        "month {x:g}: {y} on average",
    )
    if not traces:
        return None
    return Chart(
        name="decide_limits",
        title="Limits over the months",
        description="Mean limit of held-out accounts that are not in default, where limits stay as they were first set "
        "and where they follow risk and arrears with hysteresis.",
        axis="month",
        panels=(Panel(label="mean limit", traces=traces),),
    )


def _collected(found: Cash) -> Chart | None:
    series = {
        f"opened {name}": [(float(age), 100.0 * rate) for age, rate in enumerate(rates) if rate is not None]
        for name, rates in found.collected_by_age.items()
    }
    traces = lines(series, "{x:g} months on book: {y} % of what was promised until then")
    if not traces:
        return None
    return Chart(
        name="decide_collected",
        title="Collected of what was promised",
        description="Cash that came in over what plans promised until then, by months on book and months of opening: "
        "static pools. Above 100 % more has been paid than was due yet.",
        axis="months on book",
        panels=(Panel(label="collected, %", traces=traces),),
    )


def _waterfall(found: PoolSale, name: str) -> Chart | None:
    paid = found.paid[name]
    months = range(1, len(paid.bought_amount) + 1)

    def of(amounts: Mapping[str, Sequence[float]]) -> dict[str, list[tuple[float, float]]]:
        return {
            tranche: [(float(month), _THOUSAND * value) for month, value in zip(months, values, strict=True)]
            for tranche, values in amounts.items()
        }

    cash = {
        tranche: [a + b for a, b in zip(values, paid.principal_amount[tranche], strict=True)]
        for tranche, values in paid.interest_amount.items()
    }
    is_stressed = name != AS_IT_WENT
    struck = "" if paid.triggered_month is None else f" The trigger strikes in month {paid.triggered_month}."
    return Chart(
        name="decide_waterfall_stressed" if is_stressed else "decide_waterfall",
        title=f"Waterfall, {name}",
        description="Paid to each tranche in each month after the sale (interest and principal), and what each is "
        f"still owed; new loans are bought while the deal revolves.{struck}",
        axis="months after the sale",
        panels=(
            Panel(label="paid, thousands", from_zero=True,
                  traces=lines(of(cash | {"new loans": paid.bought_amount}), "month {x:g}: {y} thousand")),
            Panel(label="still owed, thousands", from_zero=True,
                  traces=lines(of(paid.outstanding_amount), "month {x:g}: {y} thousand")),
        ),
    )  # fmt: skip

"""The figures of a run's decisions: profit by cut-off, swap sets, and the pool's loss with its tranches."""

from __future__ import annotations

import math

from fedcredit.experiment.decisions.curves import LossCurve, ProfitCurve
from fedcredit.experiment.decisions.deciding import Decided
from fedcredit.experiment.figures import MAX_ROWS, Chart, Figure, Mark, Panel, Rows, Series, Trace, rows_figure
from fedcredit.experiment.wording import readable


def decided_figures(decided: Decided) -> tuple[Figure, ...]:
    """Declare the figures of a run's decisions.

    Args:
        decided: the decisions.

    Returns:
        Those that there are numbers for: ``decide_profit``, ``decide_swaps`` and ``decide_losses``.
    """
    found = (_profit(decided.profit_curves), _swaps(decided), _losses(decided))
    return tuple(figure for figure in found if figure is not None)


def _profit(curves: tuple[ProfitCurve, ...]) -> Chart | None:
    if not curves:
        return None
    traces = []
    for place, curve in enumerate(curves):
        label = readable(curve.model)
        marks = tuple(
            Mark(
                x=100.0 * point.approval_rate,
                y=point.profit_per_100_asked,
                told=f"{100 * point.approval_rate:.1f} % approved, {point.profit_per_100_asked:.3f} per 100 asked",
            )
            for point in curve.points
        )
        traces.append(Trace(label=label, place=place, marks=marks, kind="line"))
        at = curve.at_cut_off
        told = f"{100 * at.approval_rate:.1f} % approved, {at.profit_per_100_asked:.3f} per 100 asked"
        chosen = Mark(x=100.0 * at.approval_rate, y=at.profit_per_100_asked, told=told)
        traces.append(Trace(label=f"cut-off, {label}", place=place + 2, marks=(chosen,)))
    judged = "at the true PD" if curves[0].is_true else "as outcomes went"
    return Chart(
        name="decide_profit",
        title="Profit by how many are approved",
        description=f"Profit per 100 of all that was asked for, {judged}, the safest loans approved first; single "
        "marks are what the profit cut-off approves.",
        axis="approved, %",
        panels=(Panel(label="profit per 100 asked", traces=tuple(traces)),),
    )


def _swaps(decided: Decided) -> Rows | None:
    drawn = [(name, item) for name, item in decided.lenders.items() if item.swap_set is not None][:MAX_ROWS]
    labels, values = [], []
    for name, item in drawn:
        swap = item.swap_set
        assert swap is not None
        labels.append(f"{readable(name)}\nin {swap.num_swapped_in}, out {swap.num_swapped_out}")
        values.append(swap.profit_change_amount)
    return rows_figure(
        "decide_swaps",
        "Swap set: change of profit by lender",
        "change of profit, as outcomes went",
        labels,
        [
            Series(
                label="from its own network to the shared one", place=0, values=values, intervals=[None] * len(values)
            )
        ],
        plain=[f"lender no. {number}" for number in range(1, len(labels) + 1)],
        description="Change of profit, in the table's currency, where a lender decides by the shared network in place "
        "of its own, one row a lender; below its name the loans that are swapped in and out.",
    )


def _losses(decided: Decided) -> Chart | None:
    curve = decided.loss_curve
    if curve is None:
        return None
    places = [-math.log10(chance) for chance in curve.exceeded]
    ends = (min(places) - 0.3, max(places) + 0.3)
    attached = {readable(name): 100.0 * low for name, low in decided.attachment_rate.items() if low > 0.0}
    dashes = tuple((ends[0], low, ends[1], low) for low in attached.values())
    begins = ", ".join(f"{name} from {low:g} %" for name, low in attached.items())
    return Chart(
        name="decide_losses",
        title="Loss of the pool and its tranches",
        description="Loss of the pool that is passed with the probability below it, in % of the pool, in a large even "
        f"pool (Vasicek) and loan by loan in simulation; dashed lines are where tranches begin to lose: {begins}.",
        axis="probability that the loss is greater",
        panels=(Panel(label="loss of the pool, %", traces=_loss_traces(curve, places), dashes=dashes, from_zero=True),),
        ticks=((0.301, "50 %"), (1.0, "10 %"), (2.0, "1 %"), (3.0, "0.1 %"), (4.0, "0.01 %")),
    )


def _loss_traces(curve: LossCurve, places: list[float]) -> tuple[Trace, ...]:
    found = []
    for place, (label, rates) in enumerate(
        (("large even pool", curve.large_pool_rate), ("loan by loan", curve.simulated_rate))
    ):
        marks = tuple(
            Mark(x=x, y=100.0 * rate, told=f"loss above {100 * rate:.2f} % with probability {100 * chance:g} %")
            for x, chance, rate in zip(places, curve.exceeded, rates, strict=True)
            if rate is not None
        )
        found.append(Trace(label=label, place=place, marks=marks, kind="line"))
    return tuple(found)

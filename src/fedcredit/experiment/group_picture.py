"""The picture of a study on simulated markets: ranking by budget, a panel for each kind of lender."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fedcredit.experiment.by_group import half_width
from fedcredit.experiment.canvas import Picture, Theme, draw, legend_below
from fedcredit.experiment.market_records import ORACLE, RUN, TruthRecord
from fedcredit.experiment.record import RunRecord
from fedcredit.experiment.repeats import mean_over_splits
from fedcredit.experiment.wording import epsilon_of, epsilon_text

# Model, its label, and the place of its colour and marker.
_SERIES = ((ORACLE, "true PD", 4), ("pooled", "pooled", 2), (RUN, "federated", 0), ("alone", "alone", 1))
_MARKERS = ("o", "s", "D", "^", "v")


def group_picture(records: Sequence[RunRecord]) -> Picture | None:
    """Draw what each kind of lender reaches at each budget: alone, federated, pooled, and by the true PD.

    Args:
        records: finished runs.

    Returns:
        The picture ``study_kinds``; ``None`` unless all runs are of simulated markets, at two budgets or more.
    """
    truths = [(_budget(record), record.truth) for record in records if record.truth is not None]
    budgets = sorted({budget for budget, _ in truths})
    if len(truths) < len(records) or len(budgets) < 2:
        return None
    kinds = list(dict.fromkeys(kind for _, truth in truths for kind in truth.kinds.values()))
    by_budget = {budget: [truth for own, truth in truths if own == budget] for budget in budgets}
    repeated = max(len(found) for found in by_budget.values()) > 1
    bars = ", mean and 95 % interval over markets" if repeated else ""
    title = "What each kind of lender can rank"

    def paint(figure: Figure, colours: Theme) -> None:
        panels = figure.subplots(len(kinds), 1, sharex=True, squeeze=False)[:, 0]
        for axes, kind in zip(panels, kinds, strict=True):
            _panel(axes, kind, by_budget, colours)
        panels[-1].set_xticks(range(len(budgets)), [epsilon_text(budget).rstrip("0").rstrip(".") for budget in budgets])
        panels[-1].set_xlabel("epsilon of every lender (inf: no privacy)")
        figure.suptitle(title, x=0.01, horizontalalignment="left")
        figure.supylabel(f"AUC within lenders{bars}", fontsize=8.5)
        legend_below(figure, panels[-1])

    light, dark = draw(paint, height=1.2 + 1.5 * len(kinds))
    description = (
        f"AUC within lenders{bars}, by epsilon, one panel a kind: {', '.join(name for _, name, _ in _SERIES)}."
    )
    return Picture(name="study_kinds", title=title, description=description, png=light, dark_png=dark)


def _budget(record: RunRecord) -> float:
    """Round what was spent, so that runs of one target share a place."""
    spent = epsilon_of(record)
    return spent if math.isinf(spent) else float(f"{spent:.2g}")


def _panel(axes: Axes, kind: str, by_budget: Mapping[float, Sequence[TruthRecord]], colours: Theme) -> None:
    for order, (model, label, place) in enumerate(_SERIES):
        points = []
        for position, found in enumerate(by_budget.values()):
            groups = [truth.models.get(model, {}).get(kind) for truth in found]
            mean = mean_over_splits([item.auc for item in groups if item is not None and item.auc is not None])
            if mean is not None:
                points.append((position + 0.05 * (order - 1.5), mean.value, half_width(mean) or 0.0))
        if points:
            places, values, halves = zip(*points, strict=True)
            axes.errorbar(
                places, values, yerr=halves, color=colours.series[place], marker=_MARKERS[place], markersize=4,
                linewidth=1.2, elinewidth=1.0, label=label,
            )  # fmt: skip
    axes.set_title(kind.replace("_", " "), loc="left", fontsize=9)
    axes.yaxis.set_major_locator(MaxNLocator(4))

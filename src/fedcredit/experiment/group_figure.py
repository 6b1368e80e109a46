"""The figure of a study on simulated markets: ranking by budget, a panel for each kind of lender."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from fedcredit.experiment.by_group import half_width
from fedcredit.experiment.figures import Chart, Mark, Panel, Trace
from fedcredit.experiment.market_records import ORACLE, RUN, TruthRecord
from fedcredit.experiment.record import RunRecord
from fedcredit.experiment.repeats import mean_over_splits
from fedcredit.experiment.wording import epsilon_of, epsilon_text

# Model, its label, and the place of its colour and marker.
_SERIES = ((ORACLE, "true PD", 4), ("pooled", "pooled", 2), (RUN, "federated", 0), ("alone", "alone", 1))


def group_figure(records: Sequence[RunRecord]) -> Chart | None:
    """Declare what each kind of lender reaches at each budget: alone, federated, pooled, and by the true PD.

    Args:
        records: finished runs.

    Returns:
        The figure ``study_kinds``; ``None`` unless all runs are of simulated markets, at two budgets or more.
    """
    truths = [(_budget(record), record.truth) for record in records if record.truth is not None]
    budgets = sorted({budget for budget, _ in truths})
    if len(truths) < len(records) or len(budgets) < 2:
        return None
    kinds = list(dict.fromkeys(kind for _, truth in truths for kind in truth.kinds.values()))
    by_budget = {budget: [truth for own, truth in truths if own == budget] for budget in budgets}
    repeated = max(len(found) for found in by_budget.values()) > 1
    bars = ", mean and 95 % interval over markets" if repeated else ""
    return Chart(
        name="study_kinds",
        title="What each kind of lender can rank",
        description=f"AUC within lenders{bars}, by epsilon, one panel a kind: "
        f"{', '.join(name for _, name, _ in _SERIES)}.",
        axis="epsilon of every lender (inf: no privacy)",
        panels=tuple(_panel(kind, by_budget) for kind in kinds),
        ticks=tuple(
            (float(place), epsilon_text(budget).rstrip("0").rstrip(".")) for place, budget in enumerate(budgets)
        ),
    )


def _budget(record: RunRecord) -> float:
    """Round what was spent, so that runs of one target share a place."""
    spent = epsilon_of(record)
    return spent if math.isinf(spent) else float(f"{spent:.2g}")


def _panel(kind: str, by_budget: Mapping[float, Sequence[TruthRecord]]) -> Panel:
    traces = []
    for order, (model, label, place) in enumerate(_SERIES):
        marks = []
        for position, found in enumerate(by_budget.values()):
            groups = [truth.models.get(model, {}).get(kind) for truth in found]
            mean = mean_over_splits([item.auc for item in groups if item is not None and item.auc is not None])
            if mean is not None:
                half = half_width(mean) or 0.0
                marks.append(
                    Mark(
                        x=position + 0.05 * (order - 1.5),
                        y=mean.value,
                        low=mean.value - half,
                        high=mean.value + half,
                        told=f"{mean.value:.4f} ± {half:.4f}",
                    )
                )
        if marks:
            traces.append(Trace(label=label, place=place, marks=tuple(marks), kind="line"))
    return Panel(label=f"{kind.replace('_', ' ')}: AUC within lenders", traces=tuple(traces))

"""The credit reviews of the arms of a study, side by side: money, capture, fairness and drift at each budget."""

from __future__ import annotations

from collections.abc import Sequence

from fedcredit.credit.fairness import Fairness
from fedcredit.credit.review import Review
from fedcredit.experiment.arms import arm_labels
from fedcredit.experiment.record import RunRecord
from fedcredit.experiment.study import in_order
from fedcredit.experiment.wording import (
    ABSENT,
    Table,
    epsilon_of,
    epsilon_text,
    figure_text,
    interval_text,
    readable,
    with_interval,
)


def study_review_table(records: Sequence[RunRecord]) -> Table | None:
    """Return what a committee would compare between arms.

    Args:
        records: finished runs.

    Returns:
        One row a run that has a review; ``None`` where none has one.
    """
    ordered = in_order(records)
    reviewed = [
        (label, record, record.review)
        for label, record in zip(arm_labels(ordered), ordered, strict=True)
        if record.review is not None
    ]
    if not reviewed:
        return None
    groups = list(dict.fromkeys(name for _, _, review in reviewed for name in review.fairness or {}))
    rows = tuple(
        (
            readable(label),
            epsilon_text(epsilon_of(record)),
            *_worth(review),
            *(_gap((review.fairness or {}).get(name)) for name in groups),
            ABSENT if review.drift is None else f"{review.drift.score.psi:.4f}",
        )
        for label, record, review in reviewed
    )
    return Table(
        title="Credit review of the arms",
        headings=(
            "arm", "epsilon", "H-measure", "expected maximum profit", "profit interval", "capture, riskiest decile",
            *(f"equal opportunity gap, {name}" for name in groups), "PSI of the score",
        ),
        num_labels=1,
        rows=rows,
        notes=("Profit per unit lent; gaps at the cut-off of evaluation.approval_rate, with bootstrap intervals.",),
    )  # fmt: skip


def _worth(review: Review) -> tuple[str, str, str, str]:
    found = review.profit
    if found is None or found.maximum_profit is None or not found.deciles:
        return ABSENT, ABSENT, ABSENT, ABSENT
    return (
        figure_text(found.h_measure),
        figure_text(found.maximum_profit.profit_rate),
        interval_text(found.maximum_profit_interval, digits=4),
        figure_text(found.deciles[0].captured_rate, digits=3),
    )


def _gap(found: Fairness | None) -> str:
    gap = None if found is None else found.equal_opportunity
    return ABSENT if gap is None else with_interval(gap.difference, gap.interval)

"""Pictures that compare the arms of a study."""

from __future__ import annotations

from collections.abc import Sequence

from fedcredit.credit.evaluation import Evaluation
from fedcredit.experiment.canvas import Picture, label_of
from fedcredit.experiment.group_picture import group_picture
from fedcredit.experiment.record import RunRecord
from fedcredit.experiment.rows import MAX_ROWS, auc_series, ratio_series, row_picture, within_series
from fedcredit.experiment.wording import SHORT_REFERENCE_NAMES, delta_of, epsilon_of, epsilon_text, nearest_pooled


def study_pictures(records: Sequence[RunRecord]) -> tuple[Picture, ...]:
    """Draw the arms of a study side by side.

    Args:
        records: finished runs, in the order of their rows; the first 30 are drawn.

    Returns:
        The pictures ``study_kinds`` (simulated markets alone), ``study_auc``, ``study_within`` and ``study_levels``.
    """
    shown = records[:MAX_ROWS]
    labels, suffix = _labels(shown), _suffix(shown)
    overall = [record.evaluation.overall for record in shown]
    pooled = nearest_pooled(shown)
    aucs, within = [auc_series("federated", 0, overall)], [within_series("federated", 0, overall)]
    for place, name in ((2, pooled), (3, "pooled_trees")):
        if _has(shown, name) and (place == 2 or name != pooled):
            aucs.append(auc_series(SHORT_REFERENCE_NAMES[name], place, _references(shown, name)))
    for place, name in ((1, "alone"), (2, pooled)):
        if _has(shown, name):
            within.append(within_series(SHORT_REFERENCE_NAMES[name], place, _references(shown, name)))
    levels = [ratio_series("federated", 0, overall)]
    drawn = (
        group_picture(shown),
        row_picture("study_auc", f"AUC by arm{suffix}", "AUC on all held-out loans", labels, aucs),
        row_picture("study_within", f"AUC within lenders by arm{suffix}", "mean AUC by loans", labels, within),
        row_picture("study_levels", f"Level by arm{suffix}", "mean PD / bad rate", labels, levels, ratio=True),
    )
    return tuple(picture for picture in drawn if picture is not None)


def _labels(records: Sequence[RunRecord]) -> list[str]:
    labels = []
    for number, record in enumerate(records, start=1):
        arm = label_of(record.name.rpartition("/")[2], otherwise=f"arm {number}")
        labels.append(f"{arm}\nepsilon {epsilon_text(epsilon_of(record))}")
    return labels


def _suffix(records: Sequence[RunRecord]) -> str:
    deltas = sorted({delta for delta in map(delta_of, records) if delta is not None})
    return f"\nepsilon at delta {', '.join(f'{delta:g}' for delta in deltas)}" if deltas else ""


def _has(records: Sequence[RunRecord], name: str) -> bool:
    return any(name in record.references for record in records)


def _references(records: Sequence[RunRecord], name: str) -> list[Evaluation | None]:
    found = [record.references.get(name) for record in records]
    return [None if reference is None else reference.evaluation.overall for reference in found]

"""Arms compared over seeds: means with intervals, and paired differences against one of them.

Runs that differ in seeds alone are repeats of one arm. What tells arms apart is computed from their experiments.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fedcredit.errors import InputError
from fedcredit.experiment.arms import arm_labels, split_of
from fedcredit.experiment.differences import leaves
from fedcredit.experiment.record import RunRecord, as_json
from fedcredit.experiment.studies import figure_at
from fedcredit.experiment.wording import ABSENT

METRICS = (
    "evaluation.overall.auc",
    "evaluation.overall.ks",
    "evaluation.overall.brier",
    "evaluation.overall.mean_pd_over_bad_rate",
)
_NOT_MEANING = ("name", "runtime", "trainer", "results_dir", "ledger_dir", "tracking", "seed", "split_seed")
Split = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Mean:
    """A mean over splits with its t interval; ``None`` for fewer than two splits."""

    value: float
    low: float | None
    high: float | None
    num_splits: int


@dataclass(frozen=True, kw_only=True)
class Difference:
    """An arm minus the reference arm, paired split by split.

    Attributes:
        mean: over the splits that both have.
        p_value: of a paired t test; ``None`` for fewer than two splits.
        adjusted_p_value: by Holm's method over all differences of the same metric.
    """

    mean: Mean
    p_value: float | None
    adjusted_p_value: float | None


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One arm: its label, what it was compared by, its figures by metric, and its differences by metric."""

    label: str
    by: str
    figures: Mapping[str, Mean | None]
    differences: Mapping[str, Difference | None]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Arms side by side.

    Attributes:
        arms: in the order of what they are compared by.
        by: the key they are compared by; empty for their labels.
        reference: label of the arm that differences are taken against; ``None`` where there are none.
        metrics: paths into a record.
        confidence: of the intervals.
        differing: key -> arm label -> value, for every key that is not the same in all arms.
    """

    arms: tuple[Arm, ...]
    by: str
    reference: str | None
    metrics: tuple[str, ...]
    confidence: float
    differing: Mapping[str, Mapping[str, str]]

    def rows(self) -> list[dict[str, Any]]:
        """Return one plain row for each arm and metric."""
        return [_row(self, arm, metric) for arm in self.arms for metric in self.metrics]

    def frame(self) -> Any:  # noqa: ANN401
        """Return `rows` as a pandas data frame."""
        import pyarrow as pa

        return pa.Table.from_pylist(self.rows()).to_pandas()


def compare(
    records: Sequence[RunRecord],
    *,
    by: str = "",
    reference: str | None = None,
    metrics: Sequence[str] = METRICS,
    confidence: float = 0.95,
) -> Comparison:
    """Compare finished runs.

    Args:
        records: at least one.
        by: a key of their experiments, for example ``"privacy.target_epsilon"``; arms are ordered by it.
        reference: label of an arm, or its value of ``by``; no differences by default.
        metrics: paths into a record, for example ``"references.alone.evaluation.overall.auc"``.
        confidence: of the intervals, in (0, 1).

    Returns:
        The comparison.

    Raises:
        InputError: if there is no run, no such key, metric or arm, or ``confidence`` is out of range.
    """
    if not records:
        raise InputError("records holds no run; give at least one finished run")
    if not 0.0 < confidence < 1.0:
        raise InputError(f"confidence is {confidence}; allowed is above 0 and below 1, for example 0.95")
    groups = _by_label(records)
    keys = {label: _key_of(next(iter(runs.values())), by) for label, runs in groups.items()}
    ordered = sorted(groups, key=lambda label: (_sortable(keys[label]), label))
    opponent = None if reference is None else _named(reference, ordered, keys)
    values = {label: _values(groups[label], metrics) for label in ordered}
    figures = {label: {m: _mean(list(values[label][m].values()), confidence) for m in metrics} for label in ordered}
    differences: dict[str, dict[str, Difference | None]] = {label: {} for label in ordered}
    if opponent is not None:
        for metric in metrics:
            found = {
                label: _difference(values[label][metric], values[opponent][metric], confidence)
                for label in ordered
                if label != opponent
            }
            for label, difference in _adjusted(found).items():
                differences[label][metric] = difference
    return Comparison(
        arms=tuple(
            Arm(label=label, by=keys[label], figures=figures[label], differences=differences[label])
            for label in ordered
        ),
        by=by,
        reference=opponent,
        metrics=tuple(metrics),
        confidence=confidence,
        differing=_differing({label: next(iter(groups[label].values())) for label in ordered}),
    )


def _by_label(records: Sequence[RunRecord]) -> dict[str, dict[Split, RunRecord]]:
    groups: dict[str, dict[Split, RunRecord]] = {}
    for label, record in zip(arm_labels(records), records, strict=True):
        groups.setdefault(label, {}).setdefault(split_of(record), record)
    return groups


def _values(runs: Mapping[Split, RunRecord], metrics: Sequence[str]) -> dict[str, dict[Split, float]]:
    plain = {split: as_json(record) for split, record in runs.items()}
    found = {metric: {split: figure_at(told, metric) for split, told in plain.items()} for metric in metrics}
    return {
        metric: {split: value for split, value in values.items() if value is not None and math.isfinite(value)}
        for metric, values in found.items()
    }


def _mean(values: Sequence[float], confidence: float) -> Mean | None:
    if not values:
        return None
    centre = float(np.mean(values))
    if len(values) < 2:
        return Mean(value=centre, low=None, high=None, num_splits=1)
    from scipy.stats import t

    error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    reach = float(t.ppf(0.5 + confidence / 2.0, len(values) - 1)) * error
    return Mean(value=centre, low=centre - reach, high=centre + reach, num_splits=len(values))


def _difference(mine: Mapping[Split, float], theirs: Mapping[Split, float], confidence: float) -> Difference | None:
    gaps = [mine[split] - theirs[split] for split in sorted(set(mine) & set(theirs))]
    mean = _mean(gaps, confidence)
    if mean is None:
        return None
    return Difference(mean=mean, p_value=_p_value(gaps), adjusted_p_value=None)


def _p_value(gaps: Sequence[float]) -> float | None:
    if len(gaps) < 2:
        return None
    error = float(np.std(gaps, ddof=1)) / math.sqrt(len(gaps))
    if error == 0.0:
        return 1.0 if np.mean(gaps) == 0.0 else 0.0
    from scipy.stats import t

    return float(2.0 * t.sf(abs(float(np.mean(gaps))) / error, len(gaps) - 1))


def _adjusted(found: Mapping[str, Difference | None]) -> dict[str, Difference | None]:
    """Adjust p-values for their number by Holm's method (Scandinavian Journal of Statistics 6 (1979) 65)."""
    tested = sorted(
        (
            (difference.p_value, label)
            for label, difference in found.items()
            if difference and difference.p_value is not None
        )
    )
    adjusted, running = {}, 0.0
    for place, (p_value, label) in enumerate(tested):
        running = max(running, min(1.0, (len(tested) - place) * p_value))
        adjusted[label] = running
    return {
        label: difference
        if difference is None
        else Difference(mean=difference.mean, p_value=difference.p_value, adjusted_p_value=adjusted.get(label))
        for label, difference in found.items()
    }


def _key_of(record: RunRecord, by: str) -> str:
    if not by:
        return ""
    value: object = record.experiment
    for step in by.split("."):
        if not isinstance(value, Mapping) or step not in value:
            known = ", ".join(sorted(map(str, value))) if isinstance(value, Mapping) else "no keys"
            raise InputError(f"--by {by}: an experiment has no {step!r} there; it has {known}")
        value = value[step]
    return next(iter(str(item) for _, item in leaves(value)), "null") if not isinstance(value, list) else str(value)


def _sortable(text: str) -> tuple[int, float, str]:
    try:
        return (0, -float(text), "")
    except ValueError:
        return (1, 0.0, text)


def _named(reference: str, labels: Sequence[str], keys: Mapping[str, str]) -> str:
    matches = [
        label
        for label in labels
        if reference in (label, label.partition("/")[2]) or (keys[label] and keys[label] == reference)
    ]
    if len(matches) != 1:
        raise InputError(
            f"reference {reference!r} names {len(matches)} arms; there are {', '.join(labels)}. Give one of these, or "
            "a value of --by that one arm alone has"
        )
    return matches[0]


def _differing(records: Mapping[str, RunRecord]) -> dict[str, dict[str, str]]:
    found = {
        label: {
            path: str(value)
            for path, value in leaves({k: v for k, v in record.experiment.items() if k not in _NOT_MEANING})
        }
        for label, record in records.items()
    }
    paths = sorted({path for values in found.values() for path in values})
    return {
        path: {label: values.get(path, ABSENT) for label, values in found.items()}
        for path in paths
        if len({values.get(path) for values in found.values()}) > 1
    }


def _row(comparison: Comparison, arm: Arm, metric: str) -> dict[str, Any]:
    mean, gap = arm.figures[metric], arm.differences.get(metric)
    return {
        "arm": arm.label,
        "by": arm.by,
        "metric": metric,
        "num_splits": mean.num_splits if mean else 0,
        "mean": mean.value if mean else None,
        "low": mean.low if mean else None,
        "high": mean.high if mean else None,
        "difference": gap.mean.value if gap else None,
        "difference_low": gap.mean.low if gap else None,
        "difference_high": gap.mean.high if gap else None,
        "p_value": gap.p_value if gap else None,
        "adjusted_p_value": gap.adjusted_p_value if gap else None,
        "reference": comparison.reference,
    }

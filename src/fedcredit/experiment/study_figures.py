"""Figures that compare the arms of a study."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from fedcredit.credit.discrimination import Interval
from fedcredit.credit.evaluation import Evaluation
from fedcredit.experiment.by_group import half_width
from fedcredit.experiment.figures import MAX_ROWS, Chart, Figure, Mark, Panel, Rows, Series, Trace, rows_figure
from fedcredit.experiment.group_figure import group_figure
from fedcredit.experiment.record import RunRecord
from fedcredit.experiment.repeats import Split, arms_by_split, mean_over_splits
from fedcredit.experiment.run_figures import auc_by_round, calibration_chart, calibration_marks, epsilon_by_round
from fedcredit.experiment.wording import (
    SHORT_REFERENCE_NAMES,
    delta_of,
    epsilon_of,
    epsilon_text,
    nearest_pooled,
    readable,
)

Runs = Mapping[Split, RunRecord]
Found = Callable[[RunRecord], Evaluation | None]
_CONFIDENCE = 0.95
_MAX_CURVES = 8


def study_figures(records: Sequence[RunRecord]) -> tuple[Figure, ...]:
    """Declare what shows the arms of a study side by side.

    Args:
        records: finished runs, in the order of their rows; the first 30 arms are drawn.

    Returns:
        Those that the runs have numbers for: ``study_frontier`` (arms at two epsilons or more), ``study_kinds``
        (simulated markets alone), ``study_auc``, ``study_within``, ``study_levels``, ``study_rounds`` and
        ``study_calibration``.
    """
    arms = dict(list(arms_by_split(records).items())[:MAX_ROWS])
    names = _names(arms)
    shown = [record for runs in arms.values() for record in runs.values()]
    figures = (
        _frontier(arms, names, nearest_pooled(shown)),
        group_figure(shown),
        *_rows(arms, names, nearest_pooled(shown)),
        _rounds(arms, names),
        _calibration(arms, names),
    )
    return tuple(figure for figure in figures if figure is not None)


def _names(arms: Mapping[str, Runs]) -> list[str]:
    of_one_study = len({label.partition("/")[0] for label in arms}) == 1
    return [readable(label.partition("/")[2] if of_one_study else label) for label in arms]


def _frontier(arms: Mapping[str, Runs], names: Sequence[str], pooled: str) -> Chart | None:
    """Set what each arm reaches against its epsilon, the strictest on the left."""
    ranked = sorted(zip(names, arms.values(), strict=True), key=lambda item: _epsilon(item[1]))
    if len({epsilon_text(_epsilon(runs)) for _, runs in ranked}) < 2:
        return None
    models: list[tuple[str, int, Found]] = [("federated", 0, lambda run: run.evaluation.overall)]
    for place, name in ((1, "alone"), (2, pooled), (4, "oracle")):
        if any(name in run.references for _, runs in ranked for run in runs.values()):
            models.append((SHORT_REFERENCE_NAMES[name], place, _reference(name)))
    traces = []
    for order, (label, place, found) in enumerate(models):
        shift = 0.06 * (order - (len(models) - 1) / 2)
        marks = [
            Mark(x=number + shift, y=value, low=low, high=high, told=f"{name}, {_told(value, low, high)}")
            for number, (name, runs) in enumerate(ranked)
            if (mean := _mean(runs, found, "within_auc")) is not None
            for value, low, high in [mean]
        ]
        traces.append(Trace(label=label, place=place, marks=tuple(marks), kind="line"))
    deltas = sorted({delta for _, runs in ranked for run in runs.values() if (delta := delta_of(run)) is not None})
    at = f", delta {', '.join(f'{delta:g}' for delta in deltas)}" if deltas else ""
    return Chart(
        name="study_frontier",
        title="Privacy and utility",
        description="AUC within lenders (mean of the lenders' own, by loans) by epsilon of the arm, of one run"
        f"{_over_splits(arms)}: {', '.join(label for label, _, _ in models)}.",
        axis=f"epsilon of one run{at} (inf: no privacy)",
        panels=(Panel(label="AUC within lenders", traces=tuple(trace for trace in traces if trace.marks)),),
        ticks=tuple(
            (float(number), epsilon_text(_epsilon(runs)).rstrip("0").rstrip("."))
            for number, (_, runs) in enumerate(ranked)
        ),
    )


def _rows(arms: Mapping[str, Runs], names: Sequence[str], pooled: str) -> list[Rows | None]:
    labels = [
        f"{name}\nepsilon {epsilon_text(_epsilon(runs))}" for name, runs in zip(names, arms.values(), strict=True)
    ]
    plain = [f"arm {number}" for number in range(1, len(arms) + 1)]
    own: Found = lambda run: run.evaluation.overall  # noqa: E731
    area = [_series("federated", 0, arms, own, "auc")]
    within = [_series("federated", 0, arms, own, "within_auc")]
    for place, name in ((2, pooled), (3, "pooled_trees")):
        if place == 2 or name != pooled:
            area.append(_series(SHORT_REFERENCE_NAMES[name], place, arms, _reference(name), "auc"))
    for place, name in ((1, "alone"), (2, pooled)):
        within.append(_series(SHORT_REFERENCE_NAMES[name], place, arms, _reference(name), "within_auc"))
    levels = [_series("federated", 0, arms, own, "mean_pd_over_bad_rate")]

    def figure(name: str, title: str, axis: str, series: Sequence[Series], *, is_ratio: bool = False) -> Rows | None:
        drawn = [item for item in series if any(value is not None for value in item.values)]
        told = f"{axis}, one row an arm{_over_splits(arms)}: {', '.join(item.label for item in drawn)}."
        return rows_figure(name, title, axis, labels, drawn, plain=plain, is_ratio=is_ratio, description=told)

    return [
        figure("study_auc", "AUC by arm", "AUC on all held-out loans", area),
        figure("study_within", "AUC within lenders by arm", "mean AUC by loans", within),
        figure("study_levels", "Level by arm", "mean PD / bad rate", levels, is_ratio=True),
    ]


def _series(label: str, place: int, arms: Mapping[str, Runs], found: Found, metric: str) -> Series:
    values: list[float | None] = []
    spans: list[Interval | None] = []
    for runs in arms.values():
        mean = _mean(runs, found, metric)
        usable = mean is not None and (metric != "mean_pd_over_bad_rate" or mean[0] > 0.0)
        value, low, high = mean if mean is not None and usable else (None, None, None)
        positive = low is not None and (metric != "mean_pd_over_bad_rate" or low > 0.0)
        values.append(value)
        spans.append(
            Interval(lower=low, upper=high, confidence=_confidence(runs))
            if low is not None and high is not None and positive
            else None
        )
    return Series(label=label, place=place, values=values, intervals=spans)


def _mean(runs: Runs, found: Found, metric: str) -> tuple[float, float | None, float | None] | None:
    """Average a metric over splits with its interval; of one split, take the interval of its held-out loans."""
    evaluations = [item for run in runs.values() if (item := found(run)) is not None]
    values = [value for item in evaluations if (value := getattr(item, metric)) is not None]
    mean = mean_over_splits(values)
    if mean is None:
        return None
    half = half_width(mean)
    if half is not None:
        return mean.value, mean.value - half, mean.value + half
    span = getattr(evaluations[0], f"{metric}_interval", None)
    return (mean.value, None, None) if span is None else (mean.value, span.lower, span.upper)


def _rounds(arms: Mapping[str, Runs], names: Sequence[str]) -> Chart | None:
    """Draw the first split of each arm: ranking and spending, round by round."""
    first = [(name, next(iter(runs.values()))) for name, runs in zip(names, arms.values(), strict=True)][:_MAX_CURVES]
    panels = []
    for label, of in (("AUC, validation loans", auc_by_round), ("epsilon of one run", epsilon_by_round)):
        traces = [
            Trace(label=name, place=place, marks=marks, kind="line")
            for place, (name, record) in enumerate(first)
            if (marks := of(record))
        ]
        if traces:
            panels.append(Panel(label=label, traces=tuple(traces), from_zero=of is epsilon_by_round))
    if not panels:
        return None
    return Chart(
        name="study_rounds",
        title="Rounds by arm",
        description="AUC on validation loans, and the epsilon spent so far by the worst-off lender as a quick upper "
        "bound; the first split of each arm.",
        axis="round",
        panels=tuple(panels),
    )


def _calibration(arms: Mapping[str, Runs], names: Sequence[str]) -> Chart | None:
    traces = [
        Trace(label=name, place=place, marks=calibration_marks(record.evaluation.overall.calibration_curve))
        for place, (name, runs) in enumerate(zip(names, arms.values(), strict=True))
        for record in [next(iter(runs.values()))]
        if place < _MAX_CURVES
    ]
    hidden = tuple(trace.label for trace in traces[1:-1])
    return calibration_chart("study_calibration", "Calibration by arm, first split", traces, hidden=hidden)


def _reference(name: str) -> Found:
    def found(run: RunRecord) -> Evaluation | None:
        reference = run.references.get(name)
        return None if reference is None else reference.evaluation.overall

    return found


def _epsilon(runs: Runs) -> float:
    return max(epsilon_of(run) for run in runs.values())


def _confidence(runs: Runs) -> float:
    span = next(iter(runs.values())).evaluation.overall.auc_interval
    return _CONFIDENCE if len(runs) > 1 or span is None else span.confidence


def _over_splits(arms: Mapping[str, Runs]) -> str:
    most = max((len(runs) for runs in arms.values()), default=0)
    return f", mean over {most} splits" if most > 1 else ""


def _told(value: float, low: float | None, high: float | None) -> str:
    if low is None or high is None or math.isnan(low):
        return f"{value:.4f}"
    return f"{value:.4f} [{low:.4f}, {high:.4f}]"

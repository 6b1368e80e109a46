"""Pictures of one run, as PNG: the rounds, the lenders' AUCs, the calibration, the lenders' levels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from pydantic import JsonValue

from fedcredit.credit.calibration import CurveBin
from fedcredit.credit.evaluation import Evaluation, FederationEvaluation
from fedcredit.experiment.canvas import Picture, Theme, draw, label_of, legend_below
from fedcredit.experiment.record import RunRecord
from fedcredit.experiment.review_plots import review_pictures
from fedcredit.experiment.rows import MAX_ROWS, Series, ratio_series, row_picture
from fedcredit.experiment.wording import SHORT_REFERENCE_NAMES, delta_of, epsilon_of, nearest_pooled, sampled_by


@dataclass(frozen=True, kw_only=True)
class _History:
    """Figures by round: ``(server_round, value)``."""

    auc: list[tuple[int, float]]
    epsilon: list[tuple[int, float]]


def run_pictures(record: RunRecord) -> tuple[Picture, ...]:
    """Draw the pictures of one run.

    Args:
        record: the run.

    Returns:
        The pictures that the record has figures for: ``rounds``, ``lenders``, ``calibration``,
        ``levels``, and those of the credit review.
    """
    drawn = (_rounds(record), _lenders(record), _calibration(record), _levels(record), *review_pictures(record.review))
    return tuple(picture for picture in drawn if picture is not None)


def write_plots(pictures: Sequence[Picture], folder: Path) -> tuple[Path, ...]:
    """Write the pictures of a run into ``plots/`` of its results folder.

    Args:
        pictures: what ``run_pictures`` drew.
        folder: the results folder, which exists.

    Returns:
        The paths, ``plots/<name>.png``, each whole and then renamed.
    """
    directory = folder / "plots"
    directory.mkdir(exist_ok=True)
    paths = []
    for picture in pictures:
        path = directory / f"{picture.name}.png"
        unfinished = path.with_suffix(".png.unfinished")
        unfinished.write_bytes(picture.png)
        unfinished.replace(path)
        paths.append(path)
    return tuple(paths)


def _rounds(record: RunRecord) -> Picture | None:
    history, delta = _history(record), delta_of(record)
    if not history.auc and not history.epsilon:
        return None

    def paint(figure: Figure, colours: Theme) -> None:
        panels = [
            (points, label, colour)
            for points, label, colour in (
                (history.auc, "AUC, validation loans", colours.series[0]),
                (history.epsilon, f"epsilon, delta {delta:g}" if delta is not None else "epsilon", colours.series[1]),
            )
            if points
        ]
        axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
        for panel, (points, label, colour) in zip(axes, panels, strict=True):
            panel.plot(*zip(*points, strict=True), color=colour, linewidth=1.6, marker="o", markersize=3)
            panel.set_ylabel(label)
            panel.margins(x=0.03, y=0.12)
        if history.epsilon:
            _mark_statement(axes[-1], epsilon_of(record), colours)
        title = "AUC and epsilon over rounds" if history.epsilon else "AUC over rounds (no privacy)"
        figure.suptitle(title, x=0.01, horizontalalignment="left")
        axes[-1].set_xlabel("round")
        axes[-1].xaxis.set_major_locator(MaxNLocator(integer=True))

    description = (
        "AUC on validation loans, and the epsilon spent by the worst-off lender as a quick upper bound; "
        "the dashed line is the statement's tighter one."
        if history.epsilon
        else "AUC on validation loans, by round."
    )
    height = 3.6 if history.auc and history.epsilon else 2.4
    light, dark = draw(paint, height=height)
    return Picture(name="rounds", title="Rounds", description=description, png=light, dark_png=dark)


def _mark_statement(axes: Axes, epsilon: float, colours: Theme) -> None:
    axes.set_ylim(bottom=0.0)
    if math.isfinite(epsilon):
        axes.axhline(epsilon, color=colours.quiet, linewidth=0.9, linestyle=(0, (4, 3)))


def _lenders(record: RunRecord) -> Picture | None:
    names, labels = _rows_of(record, everyone="mean by loans")
    pooled = nearest_pooled([record])
    series = [_lender_series("federated", 0, record.evaluation, names)]
    for place, name in enumerate(("alone", pooled), start=1):
        if name in record.references:
            series.append(_lender_series(SHORT_REFERENCE_NAMES[name], place, record.references[name].evaluation, names))
    return row_picture("lenders", "AUC by lender", "AUC on held-out loans", labels, series)


def _lender_series(label: str, place: int, found: FederationEvaluation, names: Sequence[str | None]) -> Series:
    """Take the mean of the lenders' own AUCs for all of them, so that all rows compare within lenders."""
    rows = _by_name(found, names)
    return Series(
        label=label,
        place=place,
        values=[
            None if item is None else item.within_auc if name is None else item.auc
            for name, item in zip(names, rows, strict=True)
        ],
        intervals=[
            None if item is None or name is None else item.auc_interval for name, item in zip(names, rows, strict=True)
        ],
    )


def _levels(record: RunRecord) -> Picture | None:
    names, labels = _rows_of(record, everyone="all loans")
    series = [ratio_series("shared model", 0, _by_name(record.evaluation, names))]
    if record.own_intercept is not None:
        series.append(ratio_series("own intercept", 1, _by_name(record.own_intercept, names)))
    return row_picture("levels", "Mean PD over bad rate by lender", "mean PD / bad rate", labels, series, ratio=True)


def _calibration(record: RunRecord) -> Picture | None:
    curves = [("shared model", record.evaluation.overall.calibration_curve)]
    if record.own_intercept is not None:
        curves.append(("own intercepts", record.own_intercept.overall.calibration_curve))
    if not any(curve for _, curve in curves):
        return None

    def paint(figure: Figure, colours: Theme) -> None:
        axes = figure.subplots()
        for place, (label, curve) in enumerate(curves):
            _draw_curve(axes, curve, label=label, colour=colours.series[place], marker="os"[place])
        end = 1.05 * max(max(item.mean_pd, item.bad_rate_interval.upper) for _, curve in curves for item in curve)
        axes.plot([0, end], [0, end], color=colours.quiet, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
        axes.set(
            xlim=(0, end), ylim=(0, end), aspect="equal", xlabel="mean PD in the bin", ylabel="bad rate in the bin"
        )
        figure.suptitle("Calibration, all held-out loans", x=0.01, horizontalalignment="left")
        legend_below(figure, axes)

    description = "Bad rate against mean PD in bins of equal count, with intervals; the dashed line is right."
    light, dark = draw(paint, height=4.6)
    return Picture(name="calibration", title="Calibration", description=description, png=light, dark_png=dark)


def _draw_curve(axes: Axes, curve: Sequence[CurveBin], *, label: str, colour: str, marker: str) -> None:
    for item in curve:
        interval = item.bad_rate_interval
        axes.plot([item.mean_pd] * 2, [interval.lower, interval.upper], color=colour, linewidth=1.1, alpha=0.8)
    rates = [item.bad_rate for item in curve]
    axes.plot([item.mean_pd for item in curve], rates, marker, color=colour, markersize=4.5, label=label)


def _rows_of(record: RunRecord, *, everyone: str) -> tuple[list[str | None], list[str]]:
    """Choose the rows of a picture: all lenders (``None``), then the largest lenders, largest first."""
    numbered = list(enumerate(record.contracts, start=1))
    largest = sorted(numbered, key=lambda item: -item[1].num_loans)[: MAX_ROWS - 1]
    names: list[str | None] = [contract.institution for _, contract in largest]
    sampled = sampled_by(record)
    labels = [
        f"{label_of(contract.institution, otherwise=f'lender no. {number}')}\n{contract.num_loans:,} train {sampled}"
        for number, contract in largest
    ]
    if len(numbered) == 1:
        return names, labels
    count = f"{len(numbered)} lenders"
    scope = count if len(largest) == len(numbered) else f"{count}, largest {len(largest)} below"
    shown = f"{everyone}\n{scope}"
    return [None, *names], [shown, *labels]


def _by_name(found: FederationEvaluation, names: Sequence[str | None]) -> list[Evaluation | None]:
    return [found.overall if name is None else found.institutions.get(name) for name in names]


def _history(record: RunRecord) -> _History:
    auc, epsilon = [], []
    for item in record.rounds:
        number, spent = _number(item.get("server_round")), _number(item.get("epsilon_spent"))
        area = _number(_part(_part(item.get("evaluation"), "overall"), "auc"))
        if number is not None and area is not None:
            auc.append((int(number), area))
        if number is not None and spent is not None and math.isfinite(spent):
            epsilon.append((int(number), spent))
    return _History(auc=auc, epsilon=epsilon)


def _part(value: JsonValue, key: str) -> JsonValue:
    return value.get(key) if isinstance(value, Mapping) else None


def _number(value: JsonValue) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None

"""Pictures with one row a lender or an arm, and one marker with its interval a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from fedcredit.credit.discrimination import Interval
from fedcredit.credit.evaluation import Evaluation
from fedcredit.experiment.canvas import Picture, Theme, draw, legend_below

MAX_ROWS = 30
_MARKERS = ("o", "s", "D", "^", "v")
# Ticks of a ratio axis: (up to this ratio of its ends, these ticks).
_TICKS = (
    (2.5, (0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5, 1.75, 2.0)),
    (30.0, (0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 7.0, 10.0, 20.0)),
    (float("inf"), (0.001, 0.01, 0.1, 0.3, 1.0, 3.0, 10.0, 100.0, 1000.0)),
)


@dataclass(frozen=True, kw_only=True)
class Series:
    """One figure a row with its interval; ``None`` where a row has none.

    ``place`` fixes its colour and its marker, so that a model looks the same in every picture.
    """

    label: str
    place: int
    values: Sequence[float | None]
    intervals: Sequence[Interval | None]


def row_picture(
    name: str,
    title: str,
    axis: str,
    labels: Sequence[str],
    series: Sequence[Series],
    *,
    ratio: bool = False,
) -> Picture | None:
    """Draw a picture of rows.

    Args:
        name: of its file.
        title: above it.
        axis: what the figures are.
        labels: of the rows, top down.
        series: one or more models, each with one figure a row.
        ratio: whether the figures are ratios, which are right at 1.

    Returns:
        The picture, or ``None`` if no row has a figure.
    """
    ends = [end for item in series for end in _ends(item)]
    if not ends:
        return None
    level = next((interval for item in series for interval in item.intervals if interval is not None), None)
    brackets = "" if level is None else f", {100 * level.confidence:g} % intervals"
    description = f"{axis}{brackets}, one row each: {', '.join(item.label for item in series)}."
    absent = "no default in held-out loans" if ratio else "no AUC: one outcome only"

    def paint(figure: Figure, colours: Theme) -> None:
        axes = figure.subplots()
        _draw_rows(axes, labels, series, colours, absent=absent)
        axes.xaxis.set_major_locator(MaxNLocator(6))
        if ratio:
            _ratio_axis(axes, ends)
        figure.suptitle(title, x=0.01, horizontalalignment="left")
        axes.set_xlabel(f"{axis}{brackets}")
        if len(series) > 1:
            legend_below(figure, axes)

    height = _rows_height(len(labels), len(series))
    light, dark = draw(paint, height=height)
    return Picture(name=name, title=title, description=description, png=light, dark_png=dark)


def auc_series(label: str, place: int, found: Sequence[Evaluation | None]) -> Series:
    """Take the AUCs with their intervals.

    Args:
        label: of the model.
        place: of its colour and marker.
        found: an evaluation a row, ``None`` where there is none.

    Returns:
        The series.
    """
    return Series(
        label=label,
        place=place,
        values=[None if item is None else item.auc for item in found],
        intervals=[None if item is None else item.auc_interval for item in found],
    )


def within_series(label: str, place: int, found: Sequence[Evaluation | None]) -> Series:
    """Take the mean of the lenders' own AUCs, weighted by loans.

    Args:
        label: of the model.
        place: of its colour and marker.
        found: an evaluation a row, ``None`` where there is none.

    Returns:
        The series.
    """
    values = [None if item is None else item.within_auc for item in found]
    return Series(label=label, place=place, values=values, intervals=[None] * len(values))


def ratio_series(label: str, place: int, found: Sequence[Evaluation | None]) -> Series:
    """Take mean PD over bad rate, but for ratios of zero, which have no place on a logarithmic axis.

    Args:
        label: of the model.
        place: of its colour and marker.
        found: an evaluation a row, ``None`` where there is none.

    Returns:
        The series.
    """
    drawn = [item if item is not None and item.mean_pd_over_bad_rate else None for item in found]
    return Series(
        label=label,
        place=place,
        values=[None if item is None else item.mean_pd_over_bad_rate for item in drawn],
        intervals=[None if item is None else item.mean_pd_over_bad_rate_interval for item in drawn],
    )


def _draw_rows(axes: Axes, labels: Sequence[str], series: Sequence[Series], colours: Theme, *, absent: str) -> None:
    step = 0.7 / max(len(series), 1)
    for order, item in enumerate(series):
        offset = (order - (len(series) - 1) / 2) * step
        colour, marker = colours.series[item.place], _MARKERS[item.place]
        drawn = [(row + offset, value) for row, value in enumerate(item.values) if value is not None]
        spans = [(row + offset, span) for row, span in enumerate(item.intervals) if span is not None]
        heights, lower = [height for height, _ in spans], [span.lower for _, span in spans]
        axes.hlines(heights, lower, [span.upper for _, span in spans], color=colour, linewidth=1.3)
        figures, places = [value for _, value in drawn], [height for height, _ in drawn]
        axes.plot(figures, places, marker, color=colour, markersize=4.5, label=item.label)
    for row in range(len(labels)):
        if all(item.values[row] is None for item in series):
            axes.annotate(
                absent, (0.02, row), xycoords=("axes fraction", "data"), va="center", color=colours.quiet, fontsize=8.5
            )
    axes.set_yticks(range(len(labels)), list(labels))
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", visible=False)
    for row in range(1, len(labels)):
        axes.axhline(row - 0.5, color=colours.grid, linewidth=0.6, zorder=0.5)


def _rows_height(num_rows: int, num_series: int) -> float:
    """Return the inches that rows of markers need."""
    return 1.35 + num_rows * (0.16 + 0.12 * num_series)


def _ratio_axis(axes: Axes, values: Sequence[float]) -> None:
    """Make the x axis logarithmic and plainly written, with a line at 1."""
    axes.set_xscale("log")
    low, high = min([0.8, *values]) / 1.08, max([1.25, *values]) * 1.08
    axes.set_xlim(low, high)
    ticks = next(ticks for reach, ticks in _TICKS if high / low <= reach)
    axes.xaxis.set_major_locator(FixedLocator([tick for tick in ticks if low <= tick <= high]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.axvline(1.0, color=matplotlib.rcParams["text.color"], linewidth=0.9, linestyle=(0, (4, 3)))


def _ends(series: Series) -> list[float]:
    intervals = [interval for interval in series.intervals if interval is not None]
    ends = [value for value in series.values if value is not None]
    return ends + [interval.lower for interval in intervals] + [interval.upper for interval in intervals]

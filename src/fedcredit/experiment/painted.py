"""Figures for papers: painted by matplotlib as PNG and SVG, and written into ``plots/``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from fedcredit.experiment.canvas import Picture, draw, label_of, legend_below
from fedcredit.experiment.figures import Chart, Figure, Panel, Rows, Series, Trace, ends, ratio_ends, ratio_ticks, reach
from fedcredit.experiment.palette import NUM_COLOURS, Theme

PLOTS_FOLDER = "plots"
_MARKERS = ("o", "s", "D", "^", "v")
_DASHED = (0, (4, 3))


def paint(figure: Figure) -> Picture:
    """Paint a figure.

    Args:
        figure: what to draw.

    Returns:
        The picture, the same for the same figure.
    """
    if isinstance(figure, Rows):
        height = 1.35 + len(figure.labels) * (0.16 + 0.12 * max(2, len(figure.series)))
        png, svg = draw(lambda canvas, colours: _paint_rows(figure, canvas, colours), height=height)
    else:
        height = 4.6 if figure.is_square else 1.1 + 1.7 * len(figure.panels)
        png, svg = draw(lambda canvas, colours: _paint_chart(figure, canvas, colours), height=height)
    return Picture(name=figure.name, title=figure.title, description=figure.description, png=png, svg=svg)


def write_plots(figures: Sequence[Figure], folder: Path) -> tuple[Path, ...]:
    """Write figures into ``plots/`` of a folder.

    Args:
        figures: what to draw.
        folder: a results folder or that of a study, which exists.

    Returns:
        The paths, ``plots/<name>.png`` and ``.svg``, each whole and then renamed.
    """
    directory = folder / PLOTS_FOLDER
    directory.mkdir(exist_ok=True)
    paths = []
    for figure in figures:
        picture = paint(figure)
        for ending, content in (("png", picture.png), ("svg", picture.svg)):
            path = directory / f"{picture.name}.{ending}"
            unfinished = path.with_suffix(f".{ending}.unfinished")
            unfinished.write_bytes(content)
            unfinished.replace(path)
            paths.append(path)
    return tuple(paths)


def _paint_chart(chart: Chart, canvas: Canvas, colours: Theme) -> None:
    panels = canvas.subplots(len(chart.panels), 1, sharex=True, squeeze=False)[:, 0]
    for axes, panel in zip(panels, chart.panels, strict=True):
        for trace in panel.traces:
            _paint_trace(axes, trace, colours)
        for x0, y0, x1, y1 in panel.dashes:
            axes.plot([x0, x1], [y0, y1], color=colours.quiet, linewidth=0.9, linestyle=_DASHED, zorder=1)
        _vertical(axes, panel, is_short=len(chart.panels) > 1)
    last = panels[-1]
    if chart.is_square:
        end = max(last.get_xlim()[1], last.get_ylim()[1])
        last.set(xlim=(0.0, end), ylim=(0.0, end), aspect="equal")
    elif chart.ticks:
        last.set_xticks([place for place, _ in chart.ticks], [text for _, text in chart.ticks])
    else:
        last.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    last.set_xlabel(chart.axis)
    canvas.suptitle(chart.title, x=0.01, horizontalalignment="left")
    if len({trace.label for panel in chart.panels for trace in panel.traces}) > 1:
        legend_below(canvas, panels)


def _vertical(axes: Axes, panel: Panel, *, is_short: bool) -> None:
    axes.set_ylim(*reach(panel))
    axes.yaxis.set_major_locator(MaxNLocator(4 if is_short else 6))
    if is_short:
        axes.set_title(panel.label, loc="left", fontsize=9)
    else:
        axes.set_ylabel(panel.label)


def _paint_trace(axes: Axes, trace: Trace, colours: Theme) -> None:
    colour, marker = _look(trace.place, colours)
    places, values = [mark.x for mark in trace.marks], [mark.y for mark in trace.marks]
    spans = [(mark.x, mark.low, mark.high) for mark in trace.marks if mark.low is not None and mark.high is not None]
    whisker = colours.ink if trace.kind == "bars" else colour
    axes.vlines([x for x, _, _ in spans], [low for _, low, _ in spans], [high for _, _, high in spans], color=whisker,
                linewidth=1.1, zorder=3)  # fmt: skip
    label = label_of(trace.label, otherwise=f"no. {trace.place + 1}", most=40)
    if trace.kind == "bars":
        axes.bar(places, values, color=colour, width=0.7, label=label)
    else:
        line = "-" if trace.kind == "line" else "none"
        axes.plot(places, values, marker, linestyle=line, color=colour, linewidth=1.3, markersize=4, label=label)


def _paint_rows(figure: Rows, canvas: Canvas, colours: Theme) -> None:
    axes = canvas.subplots()
    for order, item in enumerate(figure.series):
        offset = 0.0 if item.kind != "points" else (order - (len(figure.series) - 1) / 2) * 0.7 / len(figure.series)
        _paint_series(axes, item, offset, colours)
    for row in range(len(figure.labels)):
        if all(item.values[row] is None for item in figure.series):
            axes.annotate(figure.absent, (0.02, row), xycoords=("axes fraction", "data"), va="center",
                          color=colours.quiet, fontsize=8.5)  # fmt: skip
    axes.set_yticks(range(len(figure.labels)), _row_labels(figure))
    axes.set_ylim(len(figure.labels) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", visible=False)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    if figure.is_ratio:
        _ratio_axis(axes, figure, colours)
    axes.set_xlabel(figure.axis)
    canvas.suptitle(figure.title, x=0.01, horizontalalignment="left")
    if len(figure.series) > 1:
        legend_below(canvas, [axes])


def _paint_series(axes: Axes, item: Series, offset: float, colours: Theme) -> None:
    colour, marker = _look(item.place, colours)
    drawn = [(row + offset, value) for row, value in enumerate(item.values) if value is not None]
    heights, values = [height for height, _ in drawn], [value for _, value in drawn]
    if item.kind == "bars":
        axes.barh(heights, values, color=colour, height=0.6, label=item.label)
    elif item.kind == "limits":
        axes.plot(values, heights, "|", color=colour, markersize=11, markeredgewidth=2, label=item.label)
    else:
        spans = [(row + offset, span) for row, span in enumerate(item.intervals) if span is not None]
        axes.hlines([height for height, _ in spans], [span.lower for _, span in spans],
                    [span.upper for _, span in spans], color=colour, linewidth=1.3)  # fmt: skip
        axes.plot(values, heights, marker, color=colour, markersize=4.5, label=item.label)


def _ratio_axis(axes: Axes, figure: Rows, colours: Theme) -> None:
    """Make the x axis logarithmic and plainly written, with a line at 1."""
    low, high = ratio_ends(ends(figure.series))
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.xaxis.set_major_locator(FixedLocator(ratio_ticks(low, high)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.axvline(1.0, color=colours.ink, linewidth=0.9, linestyle=_DASHED)


def _row_labels(figure: Rows) -> list[str]:
    found = []
    for label, plain in zip(figure.labels, figure.plain, strict=True):
        first, _, second = label.partition("\n")
        lines = [label_of(first, otherwise=plain), label_of(second, otherwise="", most=40)]
        found.append("\n".join(line for line in lines if line))
    return found


def _look(place: int, colours: Theme) -> tuple[str, str]:
    return colours.series[place % NUM_COLOURS], _MARKERS[place % len(_MARKERS)]

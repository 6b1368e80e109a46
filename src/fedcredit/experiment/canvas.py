"""How a picture looks: colours that a colour-blind reader can part, one marker a series, light or dark."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from fedcredit.credit.discrimination import Interval
from fedcredit.experiment.wording import readable

WIDTH_INCHES = 4.4
MAX_ROWS = 30
_DOTS_PER_INCH = 200
_MAX_LABEL = 22
_MAX_LEGEND_LINE = 42
_COARSE_TICKS = (0.001, 0.01, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 100.0, 1000.0)
_FINE_TICKS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0, 2.5, 3.0)
_MARKERS = ("o", "s", "D", "^", "v")
# Okabe and Ito, "Color universal design" (2008); lighter tints of the same hues on a dark ground.
_COLOURS = {
    False: ("#0072B2", "#D55E00", "#009E73", "#9F4A7A", "#6B6B6B"),
    True: ("#56B4E9", "#F0A04B", "#3FD0A0", "#E39CC3", "#A8A8A8"),
}
_INK = {False: ("#1c1c1c", "#5a5a5a", "#dddddd", "#ffffff"), True: ("#ececec", "#b4b4b4", "#3d4248", "#181b1f")}


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A finished picture: a name for its file, what it shows in words, and the PNG's bytes."""

    name: str
    title: str
    description: str
    png: bytes


@dataclass(frozen=True, kw_only=True)
class Series:
    """One figure a row with its interval; ``None`` where a row has none."""

    label: str
    values: Sequence[float | None]
    intervals: Sequence[Interval | None]


@dataclass(frozen=True, kw_only=True)
class Theme:
    """Colours of the series in order, and of ink, quiet ink, grid lines and ground."""

    series: tuple[str, ...]
    ink: str
    quiet: str
    grid: str
    ground: str


def theme(*, dark: bool) -> Theme:
    """Return the colours for a light or a dark ground.

    Args:
        dark: which of the two.

    Returns:
        The colours.
    """
    ink, quiet, grid, ground = _INK[dark]
    return Theme(series=_COLOURS[dark], ink=ink, quiet=quiet, grid=grid, ground=ground)


def draw(paint: Callable[[Figure, Theme], None], *, height: float, dark: bool) -> bytes:
    """Paint a picture and return it as PNG, untouched by a reader's matplotlib settings.

    Args:
        paint: fills the figure.
        height: of the figure, in inches.
        dark: whether the ground is dark.

    Returns:
        The bytes of the PNG, the same for the same picture.
    """
    colours = theme(dark=dark)
    with matplotlib.style.context(["default", _settings(colours)]):
        figure = Figure(figsize=(WIDTH_INCHES, height), dpi=_DOTS_PER_INCH, layout="constrained")
        FigureCanvasAgg(figure)
        paint(figure, colours)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def draw_rows(axes: Axes, labels: Sequence[str], series: Sequence[Series], colours: Theme, *, absent: str) -> None:
    """Draw one row a label, top down, with one marker a series and its interval as a line.

    Args:
        axes: where to draw.
        labels: of the rows.
        series: up to five, each with one value a label.
        colours: the theme.
        absent: what stands in a row without any figure.
    """
    step = 0.7 / max(len(series), 1)
    for place, item in enumerate(series):
        offset = (place - (len(series) - 1) / 2) * step
        colour, marker = colours.series[place], _MARKERS[place]
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


def rows_height(num_rows: int, num_series: int) -> float:
    """Return the height that rows of markers need.

    Args:
        num_rows: rows drawn.
        num_series: markers in a row.

    Returns:
        Inches.
    """
    return 1.35 + num_rows * (0.16 + 0.12 * num_series)


def legend_below(figure: Figure, axes: Axes) -> None:
    """Put the legend below the axes, in one line if it fits.

    Args:
        figure: the figure.
        axes: the axes whose series are named.
    """
    handles, labels = axes.get_legend_handles_labels()
    fits = sum(len(label) + 4 for label in labels) <= _MAX_LEGEND_LINE
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels) if fits else 2, frameon=False)


def ratio_axis(axes: Axes, values: Sequence[float]) -> None:
    """Make the x axis one of ratios: logarithmic, plainly written, with a line at 1.

    Args:
        axes: the axes.
        values: the ratios and ends of intervals that are drawn.
    """
    axes.set_xscale("log")
    low, high = min([0.8, *values]) / 1.08, max([1.25, *values]) * 1.08
    axes.set_xlim(low, high)
    shown = [[tick for tick in ticks if low <= tick <= high] for ticks in (_COARSE_TICKS, _FINE_TICKS)]
    axes.xaxis.set_major_locator(FixedLocator(shown[0] if len(shown[0]) > 3 else shown[1]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.axvline(1.0, color=matplotlib.rcParams["text.color"], linewidth=0.9, linestyle=(0, (4, 3)))


def label_of(name: str, *, otherwise: str) -> str:
    """Return a name short enough for a picture, in letters that its font has.

    Args:
        name: any text.
        otherwise: what stands for a name that the font cannot write.

    Returns:
        The label.
    """
    known = get_font(findfont(FontProperties(family="DejaVu Sans"))).get_charmap()
    shown = readable(name)
    if any(ord(letter) not in known for letter in shown):
        return otherwise
    return shown if len(shown) <= _MAX_LABEL else f"{shown[: _MAX_LABEL - 1]}\N{HORIZONTAL ELLIPSIS}"


def _settings(colours: Theme) -> dict[str, object]:
    return {
        "font.family": "DejaVu Sans",
        "font.size": 9,
        "text.parse_math": False,
        "text.color": colours.ink,
        "figure.titlesize": 10,
        "figure.titleweight": "bold",
        "axes.labelcolor": colours.ink,
        "axes.edgecolor": colours.quiet,
        "axes.facecolor": colours.ground,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": colours.grid,
        "grid.linewidth": 0.6,
        "figure.facecolor": colours.ground,
        "savefig.facecolor": colours.ground,
        "xtick.color": colours.ink,
        "ytick.color": colours.ink,
        "legend.fontsize": 8.5,
    }

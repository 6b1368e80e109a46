"""How a picture for a paper looks, and its bytes as PNG and as SVG."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font

from fedcredit.experiment.palette import Theme, theme
from fedcredit.experiment.wording import readable

WIDTH_INCHES = 4.4
_DOTS_PER_INCH = 200
_MAX_LABEL = 22
_MAX_LEGEND_LINE = 42


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A finished picture: a name for its file, what it shows in words, and its bytes as PNG and as SVG."""

    name: str
    title: str
    description: str
    png: bytes
    svg: bytes


def draw(paint: Callable[[Figure, Theme], None], *, height: float) -> tuple[bytes, bytes]:
    """Paint a picture once and return it as PNG and SVG, untouched by a reader's matplotlib settings.

    Args:
        paint: fills the figure, in colours of the theme alone.
        height: of the figure, in inches.

    Returns:
        The bytes of the PNG and of the SVG, the same for the same picture.
    """
    colours = theme(dark=False)
    with matplotlib.style.context(["default", _settings(colours)]):
        figure = Figure(figsize=(WIDTH_INCHES, height), dpi=_DOTS_PER_INCH, layout="constrained")
        FigureCanvasAgg(figure)
        paint(figure, colours)
        _lay_out(figure)
        return _saved(figure, "png"), _saved(figure, "svg")


def legend_below(figure: Figure, panels: Iterable[Axes]) -> None:
    """Put the legend below the axes, in one line if it fits.

    Args:
        figure: the figure.
        panels: the axes whose series are named, each name once.
    """
    found = [pair for axes in panels for pair in zip(*axes.get_legend_handles_labels(), strict=True)]
    named = {label: handle for handle, label in reversed(found)}
    labels = list(dict.fromkeys(label for _, label in found))
    handles = [named[label] for label in labels]
    fits = sum(len(label) + 4 for label in labels) <= _MAX_LEGEND_LINE
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels) if fits else 2, frameon=False)


def label_of(name: str, *, otherwise: str, most: int = _MAX_LABEL) -> str:
    """Return a name short enough for a picture, in letters that its font has.

    Args:
        name: any text.
        otherwise: what stands for a name that the font cannot write.
        most: letters; a longer name is cut.

    Returns:
        The label.
    """
    known = get_font(findfont(FontProperties(family="DejaVu Sans"))).get_charmap()
    shown = readable(name)
    if any(ord(letter) not in known for letter in shown):
        return otherwise
    return shown if len(shown) <= most else f"{shown[: most - 1]}\N{HORIZONTAL ELLIPSIS}"


def _lay_out(figure: Figure) -> None:
    """Find the places of all parts once; saving would do it twice, with a drawing for each."""
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        figure.set_layout_engine("none")


def _saved(figure: Figure, ending: str) -> bytes:
    buffer = io.BytesIO()
    if ending == "png":
        figure.savefig(buffer, format="png", metadata={"Software": None}, pil_kwargs={"compress_level": 3})
    else:
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def _settings(colours: Theme) -> dict[str, object]:
    return {
        "font.family": "DejaVu Sans",
        "svg.hashsalt": "fedcredit",
        "svg.fonttype": "none",
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
        "xtick.color": colours.ink,
        "ytick.color": colours.ink,
        "legend.fontsize": 8.5,
    }

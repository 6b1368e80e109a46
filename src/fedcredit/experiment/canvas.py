"""How a picture looks: colours that a colour-blind reader can part, one marker a series, light or dark."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import is_color_like, to_hex
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font

from fedcredit.experiment.wording import readable

WIDTH_INCHES = 4.4
_DOTS_PER_INCH = 200
_MAX_LABEL = 22
_COLOURED = ("color", "facecolor", "edgecolor", "markerfacecolor", "markeredgecolor")
_MAX_LEGEND_LINE = 42
# Okabe and Ito, "Color universal design" (2008); lighter tints of the same hues on a dark ground.
_COLOURS = {
    False: ("#0072B2", "#D55E00", "#009E73", "#9F4A7A", "#6B6B6B"),
    True: ("#56B4E9", "#F0A04B", "#3FD0A0", "#E39CC3", "#A8A8A8"),
}
_INK = {False: ("#1c1c1c", "#5a5a5a", "#dddddd", "#ffffff"), True: ("#ececec", "#b4b4b4", "#3d4248", "#181b1f")}


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A finished picture: a name for its file, what it shows in words, and its PNG on a light and a dark ground."""

    name: str
    title: str
    description: str
    png: bytes
    dark_png: bytes


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


def draw(paint: Callable[[Figure, Theme], None], *, height: float) -> tuple[bytes, bytes]:
    """Paint a picture once and return it as PNG on both grounds, untouched by a reader's matplotlib settings.

    Args:
        paint: fills the figure, in colours of the theme alone.
        height: of the figure, in inches.

    Returns:
        The bytes of the PNG on a light and on a dark ground, the same for the same picture.
    """
    colours = theme(dark=False)
    with matplotlib.style.context(["default", _settings(colours)]):
        figure = Figure(figsize=(WIDTH_INCHES, height), dpi=_DOTS_PER_INCH, layout="constrained")
        FigureCanvasAgg(figure)
        paint(figure, colours)
        _lay_out(figure)
        light = _png(figure)
        _recolour(figure, dict(zip(_all(colours), _all(theme(dark=True)), strict=True)))
        return light, _png(figure)


def legend_below(figure: Figure, axes: Axes) -> None:
    """Put the legend below the axes, in one line if it fits.

    Args:
        figure: the figure.
        axes: the axes whose series are named.
    """
    handles, labels = axes.get_legend_handles_labels()
    fits = sum(len(label) + 4 for label in labels) <= _MAX_LEGEND_LINE
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels) if fits else 2, frameon=False)


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


def _lay_out(figure: Figure) -> None:
    """Find the places of all parts once; saving would do it twice, with a drawing for each."""
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        figure.set_layout_engine("none")


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _recolour(figure: Figure, other: Mapping[str, str]) -> None:
    """Give every part of a painted figure its colour of another theme; painting again would cost twice as much."""
    for artist in figure.findobj():
        for name in _COLOURED:
            if hasattr(artist, f"get_{name}") and hasattr(artist, f"set_{name}"):
                found = getattr(artist, f"get_{name}")()
                colour = found[0] if isinstance(found, np.ndarray) and len(found) else found
                if is_color_like(colour) and to_hex(colour).lower() in other:
                    getattr(artist, f"set_{name}")(other[to_hex(colour).lower()])


def _all(colours: Theme) -> tuple[str, ...]:
    own = (*colours.series, colours.ink, colours.quiet, colours.grid, colours.ground)
    return tuple(colour.lower() for colour in own)


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
        "xtick.color": colours.ink,
        "ytick.color": colours.ink,
        "legend.fontsize": 8.5,
    }

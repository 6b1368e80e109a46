"""Figures as inline SVG: a few kilobytes each, in colours of the page, every mark told to who points at it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from html import escape

from fedcredit.credit.discrimination import Interval
from fedcredit.experiment.figures import (
    Chart,
    Figure,
    Mark,
    Rows,
    Series,
    Trace,
    ends,
    even_ticks,
    ratio_ends,
    ratio_ticks,
    reach,
)
from fedcredit.experiment.palette import NUM_COLOURS
from fedcredit.experiment.wording import readable

WIDTH = 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 12, 20, 36
_PANEL, _ONE_PANEL, _GAP = 150, 220, 30
_LABELS = 134
_LETTERS = 17
# Centred on 0, 0; one shape a series, so that colour is never alone in telling them apart.
_SHAPES = (
    "M-3.4 0a3.4 3.4 0 1 0 6.8 0a3.4 3.4 0 1 0-6.8 0z",
    "M-3-3h6v6h-6z",
    "M0-4.2l4.2 4.2l-4.2 4.2l-4.2-4.2z",
    "M0-4l4 7h-8z",
    "M0 4l4-7h-8z",
)
Scale = Callable[[float], float]


def inline_svg(figure: Figure) -> str:
    """Draw a figure.

    Args:
        figure: what to draw.

    Returns:
        An ``<svg>`` element; text in it is escaped.
    """
    height, body = _rows(figure) if isinstance(figure, Rows) else _chart(figure)
    label = escape(f"{figure.title}. {figure.description}", quote=True)
    return f'<svg viewBox="0 0 {WIDTH} {height:g}" role="img" aria-label="{label}">{"".join(body)}</svg>'


def legend_of(figure: Figure) -> tuple[tuple[str, int, str, str], ...]:
    """Name the series of a figure.

    Args:
        figure: what is drawn.

    Returns:
        Label, number of its colour, path of its marker, and whether it is shown at first (``"true"``, ``"false"``);
        nothing where there is one series alone.
    """
    series: list[tuple[str, int]]
    if isinstance(figure, Rows):
        series = [(item.label, item.place) for item in figure.series]
    else:
        series = list(dict.fromkeys((trace.label, trace.place) for panel in figure.panels for trace in panel.traces))
    hidden = figure.hidden if isinstance(figure, Chart) else ()
    found = tuple((label, _colour(place), _shape(place), str(label not in hidden).lower()) for label, place in series)
    return found if len(found) > 1 else ()


def _chart(chart: Chart) -> tuple[float, Iterator[str]]:
    tall = _ONE_PANEL if len(chart.panels) == 1 else _PANEL
    tall = WIDTH - _LEFT - _RIGHT if chart.is_square else tall
    across = _across(chart)
    across_to = _line(across[0], across[1], _LEFT, WIDTH - _RIGHT)
    height = _TOP + len(chart.panels) * tall + (len(chart.panels) - 1) * _GAP + _BOTTOM

    def body() -> Iterator[str]:
        for number, panel in enumerate(chart.panels):
            top = _TOP + number * (tall + _GAP)
            low, high = across if chart.is_square else reach(panel)
            up = _line(low, high, top + tall, top)
            yield _text(4, top - 7, panel.label, "start", "q")
            yield from _grid(up, even_ticks(low, high, 6 if chart.is_square else 5))
            yield from _bottom_ticks(chart, across, across_to, top + tall, labels=number == len(chart.panels) - 1)
            for x0, y0, x1, y1 in panel.dashes:
                yield f'<path class="d" d="M{across_to(x0):.1f} {up(y0):.1f}L{across_to(x1):.1f} {up(y1):.1f}"/>'
            for trace in panel.traces:
                yield _trace(trace, across_to, up, hidden=trace.label in chart.hidden)
        yield _text((_LEFT + WIDTH) / 2, height - 4, chart.axis, "middle", "q")

    return height, body()


def _across(chart: Chart) -> tuple[float, float]:
    places = [mark.x for panel in chart.panels for trace in panel.traces for mark in trace.marks]
    places += [tick for tick, _ in chart.ticks]
    if chart.is_square:
        heights = [reach(panel)[1] for panel in chart.panels]
        return 0.0, max(*places, *heights)
    low, high = min(places), max(places)
    if chart.ticks:
        return low - 0.5, high + 0.5
    margin = 0.03 * (high - low) or 0.5
    return low - margin, high + margin


def _bottom_ticks(chart: Chart, across: tuple[float, float], to: Scale, foot: float, *, labels: bool) -> Iterator[str]:
    ticks = chart.ticks or tuple((tick, f"{tick:g}") for tick in even_ticks(*across, 6))
    yield f'<path class="g" d="M{_LEFT} {foot:.1f}H{WIDTH - _RIGHT}"/>'
    for tick, text in ticks if labels else ():
        yield _text(to(tick), foot + 14, text, "middle", "")


def _grid(up: Scale, ticks: Sequence[float]) -> Iterator[str]:
    path = "".join(f"M{_LEFT} {up(tick):.1f}H{WIDTH - _RIGHT}" for tick in ticks)
    yield f'<path class="g" d="{path}"/>'
    for tick in ticks:
        yield _text(_LEFT - 5, up(tick) + 4, f"{tick:g}", "end", "")


def _trace(trace: Trace, to: Scale, up: Scale, *, hidden: bool) -> str:
    parts = []
    if trace.kind == "line" and len(trace.marks) > 1:
        path = "L".join(f"{to(mark.x):.1f} {up(mark.y):.1f}" for mark in trace.marks)
        parts.append(f'<path class="l" d="M{path}"/>')
    shape = _shape(trace.place)
    parts += [_mark(mark, trace, shape, to, up) for mark in trace.marks]
    return _series(trace.label, trace.place, parts, hidden=hidden)


def _mark(mark: Mark, trace: Trace, shape: str, to: Scale, up: Scale) -> str:
    x, y = to(mark.x), up(mark.y)
    span = "" if mark.low is None or mark.high is None else f"M{x:.1f} {up(mark.low):.1f}V{up(mark.high):.1f}"
    if trace.kind == "bars":
        half = 0.35 * abs(to(1.0) - to(0.0))
        drawn = f'<path class="b" d="M{x - half:.1f} {up(0.0):.1f}V{y:.1f}h{2 * half:.1f}V{up(0.0):.1f}z"/>'
        whisker = f'<path class="w" d="{span}"/>' if span else ""
        return _told(f"{trace.label}: {mark.told}", drawn + whisker)
    drawn = f'<path d="{shape}" transform="translate({x:.1f} {y:.1f})"/>'
    return _told(f"{trace.label}: {mark.told}", (f'<path class="i" d="{span}"/>' if span else "") + drawn)


def _rows(figure: Rows) -> tuple[float, Iterator[str]]:
    step = max(30.0, 12.0 + 9.0 * len(figure.series))
    height = 8 + step * len(figure.labels) + _BOTTOM
    found = ends(figure.series)
    low, high = ratio_ends(found) if figure.is_ratio else _padded(found, figure.series)
    to = _scale(figure, low, high)
    ticks = ratio_ticks(low, high) if figure.is_ratio else even_ticks(low, high, 5)
    foot = height - _BOTTOM

    def body() -> Iterator[str]:
        yield f'<path class="g" d="{"".join(f"M{to(tick):.1f} 4V{foot:.1f}" for tick in ticks)}"/>'
        for tick in ticks:
            yield _text(to(tick), foot + 14, f"{tick:g}", "middle", "")
        for number, label in enumerate(figure.labels):
            yield from _row_label(label, 8 + step * (number + 0.5))
            if all(item.values[number] is None for item in figure.series):
                yield _text(_LABELS + 6, 12 + step * (number + 0.5), figure.absent, "start", "q")
        if figure.is_ratio:
            yield f'<path class="d" d="M{to(1.0):.1f} 4V{foot:.1f}"/>'
        for order, item in enumerate(figure.series):
            offset = 0.0 if item.kind != "points" else (order - (len(figure.series) - 1) / 2) * 9.0
            parts = [
                _row_mark(item, number, 8 + step * (number + 0.5) + offset, to, low, figure)
                for number in range(len(figure.labels))
            ]
            yield _series(item.label, item.place, parts, hidden=False)
        yield _text((_LABELS + WIDTH) / 2, height - 4, figure.axis, "middle", "q")

    return height, body()


def _row_mark(item: Series, row: int, y: float, to: Scale, low: float, figure: Rows) -> str:
    value, span = item.values[row], item.intervals[row]
    if value is None:
        return ""
    x = to(value)
    told = f"{figure.labels[row].partition(chr(10))[0]}, {item.label}: {value:.4g}{_brackets(span)}"
    if item.kind == "bars":
        return _told(told, f'<path class="b" d="M{to(low):.1f} {y - 7:.1f}H{x:.1f}v14H{to(low):.1f}z"/>')
    if item.kind == "limits":
        return _told(told, f'<path class="i wide" d="M{x:.1f} {y - 9:.1f}v18"/>')
    line = "" if span is None else f'<path class="i" d="M{to(span.lower):.1f} {y:.1f}H{to(span.upper):.1f}"/>'
    return _told(told, f'{line}<path d="{_shape(item.place)}" transform="translate({x:.1f} {y:.1f})"/>')


def _row_label(label: str, y: float) -> Iterator[str]:
    first, _, second = label.partition("\n")
    yield _text(_LABELS - 8, y if second else y + 4, _short(first), "end", "")
    if second:
        yield _text(_LABELS - 8, y + 12, _short(second, 20), "end", "q small")


def _padded(values: Sequence[float], series: Sequence[Series]) -> tuple[float, float]:
    low, high = min(values), max(values)
    margin = 0.04 * (high - low) or 0.02 * abs(high) or 0.1
    return (0.0 if any(item.kind == "bars" for item in series) else low - margin), high + margin


def _scale(figure: Rows, low: float, high: float) -> Scale:
    if not figure.is_ratio:
        return _line(low, high, _LABELS, WIDTH - _RIGHT)
    from math import log

    inner = _line(log(low), log(high), _LABELS, WIDTH - _RIGHT)
    return lambda value: inner(log(value))


def _line(low: float, high: float, first: float, last: float) -> Scale:
    return lambda value: first + (value - low) / (high - low) * (last - first)


def _series(label: str, place: int, parts: Sequence[str], *, hidden: bool) -> str:
    name = escape(label, quote=True)
    return f'<g class="s{_colour(place)}{" off" if hidden else ""}" data-series="{name}">{"".join(parts)}</g>'


def _told(text: str, drawn: str) -> str:
    return f'<g class="m" data-told="{escape(readable(text), quote=True)}">{drawn}</g>'


def _text(x: float, y: float, text: str, anchor: str, kind: str) -> str:
    classes = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{classes}>{escape(readable(text))}</text>'


def _short(text: str, letters: int = _LETTERS) -> str:
    return text if len(text) <= letters else f"{text[: letters - 1]}\N{HORIZONTAL ELLIPSIS}"


def _brackets(span: Interval | None) -> str:
    return "" if span is None else f" [{span.lower:.4g}, {span.upper:.4g}]"


def _colour(place: int) -> int:
    return place % NUM_COLOURS


def _shape(place: int) -> str:
    return _SHAPES[place % len(_SHAPES)]

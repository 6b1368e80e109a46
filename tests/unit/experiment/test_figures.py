"""Figures as data, as inline SVG and as pictures for papers."""

from __future__ import annotations

import itertools
import math
import re
import struct
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedcredit.experiment.canvas import label_of
from fedcredit.experiment.figures import MAX_ROWS, Chart, Figure, Mark, Panel, Rows, Trace, even_ticks
from fedcredit.experiment.inline_svg import WIDTH, inline_svg, legend_of
from fedcredit.experiment.painted import paint, write_plots
from fedcredit.experiment.palette import theme
from fedcredit.experiment.record import RunRecord
from fedcredit.experiment.run_figures import run_figures
from fedcredit.experiment.study_figures import study_figures

MakeRecord = Callable[..., RunRecord]

_ODD = ("<script>alert(1)</script>", "a" * 300, "$\\frac{", "\u5fae\u4f17\u94f6\u884c", 'b" onload="x', "\x1b[31m\n")


def _names(figures: Sequence[Figure]) -> list[str]:
    return [figure.name for figure in figures]


def _elements(figure: Figure) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(inline_svg(figure)).iter())


def _size(png: bytes) -> tuple[int, int]:
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", png[16:24])
    return width, height


def test_a_run_has_its_figures_and_those_without_numbers_are_left_out(made_up: MakeRecord) -> None:
    assert _names(run_figures(made_up())) == ["rounds", "reading", "lenders", "calibration", "levels"]
    assert _names(run_figures(made_up(epsilon=None))) == ["rounds", "lenders", "calibration", "levels"]
    record = made_up(lenders=("a", "b"), without_defaults=("a", "b"), references=(), own_intercept=False)
    assert _names(run_figures(record)) == ["rounds", "reading", "calibration"]
    assert _names(run_figures(replace(record, rounds=()))) == ["reading", "calibration"]


def test_every_mark_stands_in_the_picture_and_tells_its_value(made_up: MakeRecord) -> None:
    record = made_up()
    for figure in run_figures(record):
        elements = _elements(figure)
        height = float(elements[0].attrib["viewBox"].split()[3])
        told = [element.attrib["data-told"] for element in elements if "data-told" in element.attrib]
        assert told
        assert all(re.search(r"\d", text) for text in told)
        places = [element.attrib["transform"] for element in elements if "transform" in element.attrib]
        for x, y in (map(float, re.findall(r"-?[\d.]+", place)) for place in places):
            assert 0 <= x <= WIDTH
            assert 0 <= y <= height
    rounds = _elements(run_figures(record)[0])
    assert "AUC: round 20, AUC 0.7500" in [element.attrib.get("data-told") for element in rounds]


def test_a_mark_is_drawn_where_its_axes_say() -> None:
    """Marks on a known line: the drawing is affine, so equal steps stay equal and the dashed line goes through them."""
    marks = tuple(Mark(x=x, y=2.0 * x, told=str(x)) for x in (0.0, 1.0, 3.0))
    panel = Panel(label="y", traces=(Trace(label="t", place=0, marks=marks),), dashes=((0.0, 0.0, 3.0, 6.0),))
    chart = Chart(name="n", title="t", description="d", axis="x", panels=(panel,))
    elements = _elements(chart)
    places = [
        tuple(map(float, re.findall(r"-?[\d.]+", element.attrib["transform"])))
        for element in elements
        if "transform" in element.attrib
    ]
    (x0, y0), (x1, y1), (x3, y3) = places
    assert (x3 - x0) == pytest.approx(3 * (x1 - x0), abs=0.2)
    assert (y3 - y0) == pytest.approx(3 * (y1 - y0), abs=0.2)
    assert y3 < y0
    dash = next(element.attrib["d"] for element in elements if element.attrib.get("class") == "d")
    assert list(map(float, re.findall(r"-?[\d.]+", dash))) == pytest.approx([x0, y0, x3, y3], abs=0.2)


@pytest.mark.parametrize("lenders", [("only one",), _ODD, tuple(f"lender {n}" for n in range(MAX_ROWS + 5))])
def test_odd_long_single_and_many_lenders_are_drawn(made_up: MakeRecord, lenders: tuple[str, ...]) -> None:
    for figure in run_figures(made_up(lenders=lenders, references=("alone",), num_rounds=5)):
        text = inline_svg(figure)
        assert {element.tag for element in _elements(figure)} <= {"svg", "g", "path", "text"}
        assert "<script" not in text
        assert "onload=" not in re.sub(r'"[^"]*"|>[^<]*<', "", text)
        assert "nan" not in re.sub(r'data-told="[^"]*"|>[^<]*<', "", text)


@given(
    low=st.floats(-1e6, 1e6, allow_nan=False),
    width=st.floats(1e-6, 1e6, allow_nan=False),
    most=st.integers(2, 9),
)
def test_ticks_lie_within_the_axis_evenly_and_are_not_too_many(low: float, width: float, most: int) -> None:
    ticks = even_ticks(low, low + width, most)
    margin = 1e-6 * max(abs(low), width)
    assert len(ticks) <= most + 1
    assert all(low - margin <= tick <= low + width + margin for tick in ticks)
    steps = [after - before for before, after in itertools.pairwise(ticks)]
    assert all(math.isclose(step, steps[0], rel_tol=1e-5, abs_tol=1e-9 * abs(low)) for step in steps)


def test_a_legend_names_each_series_once_and_hides_what_is_asked_for(made_up: MakeRecord) -> None:
    arms = [made_up(name=f"budgets/{name}", epsilon=epsilon) for name, epsilon in (("a", 1.0), ("b", 2.0), ("c", None))]
    figures = {figure.name: figure for figure in study_figures(arms)}
    legend = legend_of(figures["study_calibration"])
    assert [(label, pressed) for label, _, _, pressed in legend] == [("a", "true"), ("b", "false"), ("c", "true")]
    hidden = [
        element.attrib["data-series"]
        for element in _elements(figures["study_calibration"])
        if "off" in element.attrib.get("class", "").split()
    ]
    assert hidden == ["b"]
    assert len({(colour, marker) for _, colour, marker, _ in legend}) == 3
    assert legend_of(figures["study_levels"]) == ()


def test_a_study_has_its_frontier_only_where_budgets_differ(made_up: MakeRecord) -> None:
    one, other = made_up(name="budgets/one"), made_up(name="budgets/open", epsilon=None)
    assert "study_frontier" not in _names(study_figures([one]))
    found = study_figures([other, one])
    assert _names(found)[:4] == ["study_frontier", "study_auc", "study_within", "study_levels"]
    frontier = found[0]
    assert isinstance(frontier, Chart)
    assert [text for _, text in frontier.ticks] == ["1", "inf"]
    mark = frontier.panels[0].traces[0].marks[0]
    assert mark.y == one.evaluation.overall.within_auc
    many = [made_up(name=f"budgets/arm_{n}", references=("alone",), num_rounds=5) for n in range(MAX_ROWS + 3)]
    assert all(len(figure.labels) == MAX_ROWS for figure in study_figures(many) if isinstance(figure, Rows))


def test_the_frontier_has_an_interval_over_splits(made_up: MakeRecord) -> None:
    def arm(name: str, epsilon: float | None, seed: int) -> RunRecord:
        record = made_up(name=name, epsilon=epsilon, seed=seed)
        return replace(record, experiment={**record.experiment, "split_seed": seed})

    runs = [arm(f"b/{name}", epsilon, seed) for name, epsilon in (("a", 1.0), ("b", None)) for seed in (5, 6, 7)]
    frontier = study_figures(runs)[0]
    assert isinstance(frontier, Chart)
    mark = frontier.panels[0].traces[0].marks[0]
    values = [run.evaluation.overall.within_auc for run in runs[:3]]
    mean = sum(value for value in values if value is not None) / 3
    spread = math.sqrt(sum((value - mean) ** 2 for value in values if value is not None) / 2)
    assert mark.y == pytest.approx(mean)
    assert mark.high is not None
    assert mark.high - mark.y == pytest.approx(4.302653 * spread / math.sqrt(3), rel=1e-5)  # t(2), 97.5 %


def test_pictures_for_papers_come_as_png_and_svg(made_up: MakeRecord, tmp_path: Path) -> None:
    figures = [*run_figures(made_up(num_rounds=5)), *study_figures([made_up(), made_up(epsilon=None)])]
    paths = write_plots(figures, tmp_path)
    assert [path.name for path in paths] == [f"{name}.{end}" for name in _names(figures) for end in ("png", "svg")]
    assert sorted(path.name for path in (tmp_path / "plots").iterdir()) == sorted(path.name for path in paths)
    for path in paths:
        if path.suffix == ".png":
            width, height = _size(path.read_bytes())
            assert width == 880
            assert 300 < height < 6000
        else:
            assert ElementTree.parse(path).getroot().tag.endswith("svg")


def test_the_same_figure_gives_the_same_bytes_whatever_the_reader_has_set(made_up: MakeRecord) -> None:
    figure = run_figures(made_up(num_rounds=5))[0]
    before = paint(figure)
    with matplotlib.rc_context({"font.size": 20, "axes.facecolor": "red", "svg.hashsalt": "other"}):
        assert paint(figure) == before


def test_letters_that_the_font_lacks_are_stood_in_for(made_up: MakeRecord) -> None:
    rows = run_figures(made_up(lenders=_ODD, num_rounds=5))[2]
    assert isinstance(rows, Rows)
    picture = paint(rows)
    assert "lender no. 4" in rows.plain
    assert "\u5fae" not in picture.svg.decode()
    assert label_of("Harbour Bank", otherwise="lender no. 1") == "Harbour Bank"
    assert len(label_of("x" * 500, otherwise="lender no. 1")) < 30
    assert label_of("\u5fae\u4f17\u94f6\u884c", otherwise="lender no. 4") == "lender no. 4"
    assert label_of("a\x1b[31m", otherwise="lender no. 4").isprintable()


def _luminance(colour: str) -> float:
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.03928 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return sum(weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("dark", [False, True])
def test_every_colour_stands_out_from_its_ground(dark: bool) -> None:
    """WCAG 2.2: 3 to 1 for marks (1.4.11), 4.5 to 1 for text (1.4.3)."""
    colours = theme(dark=dark)
    for colour, least in [*((item, 3.0) for item in colours.series), (colours.ink, 4.5), (colours.quiet, 4.5)]:
        high, low = sorted((_luminance(colour), _luminance(colours.ground)), reverse=True)
        assert (high + 0.05) / (low + 0.05) >= least

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import matplotlib
import pytest

from fedcredit.experiment import canvas
from fedcredit.experiment.canvas import Picture, label_of, theme
from fedcredit.experiment.plots import run_pictures, write_plots
from fedcredit.experiment.record import RunRecord
from fedcredit.experiment.rows import MAX_ROWS
from fedcredit.experiment.study_plots import study_pictures

MakeRecord = Callable[..., RunRecord]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def _size(png: bytes) -> tuple[int, int]:
    assert png.startswith(_SIGNATURE)
    width, height = struct.unpack(">II", png[16:24])
    return width, height


def _names(pictures: Sequence[Picture]) -> list[str]:
    return [picture.name for picture in pictures]


def test_a_run_has_its_four_pictures(made_up: MakeRecord) -> None:
    pictures = run_pictures(made_up())
    assert _names(pictures) == ["rounds", "lenders", "calibration", "levels"]
    for picture in pictures:
        width, height = _size(picture.png)
        assert _size(picture.dark_png) == (width, height)
        assert width == 880
        assert height > 300
        assert picture.description


def test_the_same_record_gives_the_same_bytes_whatever_the_reader_has_set(made_up: MakeRecord) -> None:
    record = made_up(num_rounds=5)
    before = run_pictures(record)
    with matplotlib.rc_context({"font.size": 20, "axes.facecolor": "red", "text.usetex": False}):
        assert run_pictures(record) == before
    assert all(picture.dark_png != picture.png for picture in before)


def test_a_recoloured_picture_is_the_one_painted_in_the_other_colours(
    made_up: MakeRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing keeps a colour of the light ground, and nothing moves."""
    records = [made_up(num_rounds=5), made_up(epsilon=None, lenders=("a", "b"), without_defaults=("a",))]

    def drawn() -> list[Picture]:
        return [*run_pictures(records[0]), *run_pictures(records[1]), *study_pictures(records)]

    usual = drawn()
    for name in ("_COLOURS", "_INK"):
        monkeypatch.setattr(canvas, name, {dark: getattr(canvas, name)[not dark] for dark in (False, True)})
    swapped = drawn()
    assert [(picture.name, picture.png) for picture in swapped] == [(item.name, item.dark_png) for item in usual]
    assert [picture.dark_png for picture in swapped] == [item.png for item in usual]


def test_pictures_come_as_files_in_the_results_folder(made_up: MakeRecord, tmp_path: Path) -> None:
    paths = write_plots(run_pictures(made_up(num_rounds=5)), tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in paths] == [
        "plots/rounds.png",
        "plots/lenders.png",
        "plots/calibration.png",
        "plots/levels.png",
    ]
    assert sorted(path.name for path in (tmp_path / "plots").iterdir()) == sorted(path.name for path in paths)
    write_plots(run_pictures(made_up(num_rounds=5)), tmp_path)


def test_without_privacy_the_rounds_have_no_epsilon_panel(made_up: MakeRecord) -> None:
    private, without = (run_pictures(made_up(epsilon=epsilon))[0] for epsilon in (1.0, None))
    assert _size(without.png)[1] < _size(private.png)[1]


@pytest.mark.parametrize(
    "lenders",
    [
        ("only one",),
        ("<script>alert(1)</script>", "a" * 300, "$\\frac{", "\u5fae\u4f17\u94f6\u884c", "tab\tand\nnewline\x1b[31m"),
        tuple(f"lender {number}" for number in range(MAX_ROWS + 5)),
    ],
)
def test_odd_long_single_and_many_lenders_are_drawn(made_up: MakeRecord, lenders: tuple[str, ...]) -> None:
    record = made_up(lenders=lenders, references=("alone",), num_rounds=5)
    for picture in run_pictures(record):
        width, height = _size(picture.png)
        assert width == 880
        assert height < 6000


def test_figures_that_do_not_exist_leave_their_picture_out(made_up: MakeRecord) -> None:
    record = made_up(lenders=("a", "b"), without_defaults=("a", "b"), references=(), own_intercept=False)
    assert _names(run_pictures(record)) == ["rounds", "calibration"]
    assert _names(run_pictures(replace(record, rounds=()))) == ["calibration"]


def test_a_study_has_a_row_an_arm(made_up: MakeRecord) -> None:
    few = study_pictures([made_up(), made_up(epsilon=None)])
    many = study_pictures([made_up(references=("alone",), num_rounds=5)] * (MAX_ROWS + 3))
    assert _names(few) == ["study_auc", "study_within", "study_levels"]
    assert _size(many[0].png)[1] > _size(few[0].png)[1]


def test_labels_are_short_printable_and_in_the_letters_of_the_font() -> None:
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

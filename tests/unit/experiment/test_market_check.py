from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from fedcredit.cli import main
from fedcredit.data.market.figures import TITLES, Figure
from fedcredit.experiment.market_check import print_bands


def test_a_band_passes_when_all_its_figures_do() -> None:
    console = Console(file=StringIO(), width=140)
    inside = [Figure(band=band, name="a", value=0.5, low=0.0, high=1.0) for band in TITLES]
    outside = Figure(band=7, name="b", value=1.5, low=0.0, high=1.0)
    unknown = Figure(band=9, name="c", value=float("nan"), low=0.0, high=float("inf"))
    print_bands([*inside, outside, unknown], console)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "10 of 12 bands pass" in shown
    assert shown.count("FAIL") == 1
    assert shown.count("too small a market") == 1
    assert "at least 0" in shown


def test_a_market_too_small_for_the_bands_ends_with_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", "--borrowers", "6000"]) == 1
    shown = capsys.readouterr().out
    assert all(title in shown for title in TITLES.values())
    assert "too small a market" in shown

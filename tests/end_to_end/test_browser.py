"""Reports in a headless Chromium: everything is drawn, nothing overflows, nothing is asked of a network."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from browser import look, photograph

from fedcredit.config import compose
from fedcredit.experiment.epsilon_over_runs import folder_of
from fedcredit.experiment.record import RunRecord
from fedcredit.experiment.report import report_of, write_study_report
from fedcredit.experiment.runner import run

pytestmark = [pytest.mark.long, pytest.mark.usefixtures("credit_data")]

GERMAN = (
    "portfolio=german", "partition=iid", "partition.num_institutions=3", "privacy.target_delta=1e-4",
    "training.num_rounds=6", "evaluation.every=2", "evaluation.references=[alone,pooled,pooled_trees]",
    "evaluation.sections=[profit,segments,fairness,drift,reasons]",
)  # fmt: skip
MARKET = (
    "portfolio.num_borrowers=4000", "partition.min_loans=1", "training.num_rounds=4", "evaluation.every=2",
    "evaluation.references=[alone,pooled,oracle]", "privacy.target_delta=1e-4",
)  # fmt: skip
FIGURES = {
    "run": {"rounds", "reading", "lenders", "levels", "calibration", "deciles", "segments", "groups", "drift"},
    "study": {"frontier", "auc", "within", "levels", "rounds", "calibration"},
    "market": {"frontier", "kinds", "auc", "within", "levels", "rounds", "calibration"},
}


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Write a run's, a study's and a market study's report."""
    results = tmp_path_factory.mktemp("results")

    def study(name: str, overrides: tuple[str, ...], seeds: tuple[int, ...]) -> tuple[list[RunRecord], Path]:
        records = [
            run(compose(None, [*overrides, f"name={name}/arm_{epsilon}", f"privacy.target_epsilon={epsilon}",
                               f"split_seed={seed}", f"results_dir={results}"]), progress=False, report=False)
            for epsilon in ("2", "inf")
            for seed in seeds
        ]  # fmt: skip
        return records, write_study_report(records, results / name / "report.html")

    records, german = study("german", GERMAN, (1, 2))
    _, market = study("markets", MARKET, (1,))
    return {"run": report_of(records[0], folder_of(records[0], results)), "study": german, "market": market}


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("which", list(FIGURES))
def test_a_report_is_whole_in_a_browser(pages: dict[str, Path], which: str, width: int, dark: bool) -> None:
    assert pages[which].stat().st_size < 3_000_000
    seen = look(pages[which], width=width, dark=dark)
    assert (seen["errors"], seen["console"]) == ([], [])
    assert (seen["width"], seen["dark"]) == (width, dark)
    assert seen["ground"] == ("rgb(24, 27, 31)" if dark else "rgb(255, 255, 255)")
    assert (seen["overflow"], seen["wide"]) == (0, [])
    prefix = "figure-" if which == "run" else "figure-study_"
    assert set(seen["figures"]) == {f"{prefix}{name}" for name in FIGURES[which]}
    for name, figure in seen["figures"].items():
        assert figure["width"] > min(300, width - 60), name
        assert figure["height"] > 80, name
        assert figure["marks"] > 0, name
        assert figure["inside"] == figure["marks"], name
        assert any(letter.isdigit() for letter in figure["tip"]), name
        assert figure["tipInside"], name
        assert figure["cut"] == [], name
        if "toggled" in figure:
            before, after, again = figure["toggled"]
            assert after < before, name
            assert again == before, name


def test_a_page_that_calls_out_or_overflows_is_caught(tmp_path: Path) -> None:
    """The planted faults: a script that the page's policy forbids, an error of its own, and a box too wide."""
    page = tmp_path / "bad.html"
    page.write_text(
        "<!doctype html><html><head><meta http-equiv='Content-Security-Policy' content=\"default-src 'none'; "
        "script-src 'unsafe-inline'; style-src 'unsafe-inline'\"></head><body><div style='width: 2000px'>wide</div>"
        "<img src='https://example.invalid/x.png'><script>undefinedName()</script></body></html>"
    )
    seen = look(page, width=390, dark=False)
    assert any("undefinedName" in text for text in seen["errors"])
    assert any("img-src" in text for text in seen["errors"])
    assert seen["console"]
    assert seen["overflow"] > 0


def test_a_screenshot_is_what_was_asked_for(pages: dict[str, Path], tmp_path: Path) -> None:
    photograph(pages["study"], tmp_path / "study.png", width=390, height=800, dark=True)
    assert struct.unpack(">II", (tmp_path / "study.png").read_bytes()[16:24]) == (390, 800)

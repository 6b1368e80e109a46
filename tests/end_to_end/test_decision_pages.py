"""Pages of decisions in a headless Chromium: everything is drawn, nothing overflows, nothing is asked of a network."""

from __future__ import annotations

from pathlib import Path

import pytest
from browser import look

from fedcredit.cli import main
from fedcredit.config import compose
from fedcredit.experiment.record import record_folders
from fedcredit.experiment.report import report_of
from fedcredit.experiment.runner import run

pytestmark = pytest.mark.long

SMALL = (
    "portfolio.num_borrowers=4000", "portfolio.num_banks=1", "portfolio.num_bnpl=1",
    "portfolio.num_consumer_finance=1", "training.num_rounds=6", "evaluation.sections=[]",
    "evaluation.references=[alone]",
)  # fmt: skip
DECIDED = {
    "profit", "swaps", "losses", "lead", "alarms", "limits", "provisions", "collected", "recovery", "waterfall",
    "waterfall_stressed",
}  # fmt: skip
PRICED = {"profit_alone", "profit_same", "profit_none", "capital", "early"}


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Decide on a small market without privacy, and price epsilon 1 on it."""
    results = tmp_path_factory.mktemp("results")
    for arm in ("no_privacy", "epsilon_1"):
        run(compose(f"privacy_budgets/{arm}", [*SMALL, f"results_dir={results}"]), report=False)
    folder = record_folders([results / "privacy_budgets" / "no_privacy"])[0]
    assert main(["decide", str(folder), "--own-level", "--panel"]) == 0
    assert main(["price", str(results), "--panel"]) == 0
    return {"decide": folder / "decisions.html", "price": results / "price.html"}


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("which", ["decide", "price"])
def test_a_page_of_decisions_is_whole_in_a_browser(pages: dict[str, Path], which: str, width: int, dark: bool) -> None:
    assert pages[which].stat().st_size < 3_000_000
    seen = look(pages[which], width=width, dark=dark)
    assert (seen["errors"], seen["console"]) == ([], [])
    assert (seen["width"], seen["dark"]) == (width, dark)
    assert (seen["overflow"], seen["wide"]) == (0, [])
    expected = {f"figure-{which}_{name}" for name in (DECIDED if which == "decide" else PRICED)}
    assert expected <= set(seen["figures"])
    for name, figure in seen["figures"].items():
        assert figure["width"] > min(300, width - 60), name
        assert figure["marks"] > 0, name
        assert figure["inside"] == figure["marks"], name
        assert figure["cut"] == [], name
        assert any(letter.isdigit() for letter in figure["tip"]), name


def test_the_report_of_a_run_leads_to_its_decisions(pages: dict[str, Path]) -> None:
    from fedcredit.experiment.record import read_record

    folder = pages["decide"].parent
    assert '<a href="decisions.html">' in report_of(read_record(folder), folder).read_text(encoding="utf-8")

from __future__ import annotations

import base64
import functools
import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from fedcredit.errors import InputError
from fedcredit.experiment.looking import Cost, known_cost
from fedcredit.experiment.record import RunRecord
from fedcredit.experiment.report import report_of, run_report, study_report, write_report, write_study_report
from fedcredit.experiment.wording import epsilon_text

MakeRecord = Callable[..., RunRecord]

_ADDRESS = re.compile(r'(?:src|href|srcset|action|data|poster)="([^"]*)"')


class _Page(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


@functools.cache
def _ordinary_page(made_up: MakeRecord) -> str:
    return run_report(made_up())


def test_the_page_holds_its_pictures_and_asks_nothing_of_a_network(made_up: MakeRecord) -> None:
    page = _ordinary_page(made_up)
    found = _Page(page)
    assert found.tags.count("figure") == 5
    assert found.tags.count("svg") > 5
    assert all(address.startswith("#") for address in _ADDRESS.findall(page))
    assert "default-src 'none'" in page
    assert "img" not in found.tags
    assert "url(" not in page
    assert "@import" not in page
    assert "http://" not in page
    assert "https://" not in page


def test_the_page_lets_its_own_script_run_and_no_other(made_up: MakeRecord) -> None:
    page = _ordinary_page(made_up)
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    assert policy[1] == f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"


def test_pages_are_small_and_links_within_lead_somewhere(made_up: MakeRecord) -> None:
    lenders = tuple(f"lender {number}" for number in range(12))
    arms = [made_up(name=f"budgets/arm_{number}", epsilon=1.0 + number) for number in range(6)]
    for page in (run_report(made_up(lenders=lenders)), study_report(arms, cost=Cost())):
        assert len(page.encode()) < 1_000_000
        anchors = set(re.findall(r'<section id="([^"]*)"', page))
        links = re.findall(r'<a href="#([^"]*)"', page)
        assert len(links) == len(set(links)) >= 4
        assert set(links) == anchors


def test_names_and_remarks_are_text_and_never_markup(made_up: MakeRecord) -> None:
    attack = "<script>alert(1)</script>"
    record = made_up(lenders=(attack, 'b" onmouseover="x', "{{ 7 * 7 }}"), name="made_up/arm")
    record = replace(record, remarks=(attack,), statement_lines=(attack,), environment={attack: attack})
    page = run_report(record)
    found = _Page(page)
    assert found.tags.count("script") == 1
    assert attack not in page
    assert found.text.count(attack) >= 4
    assert 'b" onmouseover="x' in found.text
    assert "{{ 7 * 7 }}" in found.text


def test_the_statement_stands_there_verbatim_and_the_figures_with_it(made_up: MakeRecord) -> None:
    record = made_up()
    text = _Page(_ordinary_page(made_up)).text
    for line in (*record.statement_lines, *record.remarks, record.name, record.fingerprint):
        assert line in text
    overall = record.evaluation.overall
    assert f"{overall.auc:.3f} [{overall.auc_interval.lower:.3f}, {overall.auc_interval.upper:.3f}]" in text
    assert "1.000 (delta 1e-05)" in text
    for heading in ("Lenders", "References", "All held-out loans", "Contracts and noise", "How to reproduce"):
        assert heading in text
    for word in ("target_epsilon: 1.0", "numpy: 2.4.6", "train: 12.25", "9.4810"):
        assert word in text


def test_without_privacy_the_page_says_so(made_up: MakeRecord) -> None:
    text = _Page(run_report(made_up(epsilon=None))).text
    assert "promises no privacy" in text
    assert "none: no privacy" in text
    assert "target_epsilon: .inf" in text


@pytest.mark.parametrize(
    "options",
    [
        {"lenders": ("only one",), "references": ()},
        {"without_defaults": ("Harbour Bank", "Lotus Pay", "Northern Credit"), "own_intercept": False},
        {"lenders": ("x" * 400, "\u5fae\u4f17\u94f6\u884c"), "num_rounds": 1},
    ],
)
def test_odd_runs_have_a_page_too(made_up: MakeRecord, options: Mapping[str, object]) -> None:
    record = made_up(**options)
    text = _Page(run_report(record)).text
    for contract in record.contracts:
        assert contract.institution in text


def test_a_page_is_written_whole_over_the_old_one(made_up: MakeRecord, tmp_path: Path) -> None:
    record = made_up(num_rounds=2)
    (tmp_path / "report.html").write_text("old")
    path = write_report(record, tmp_path)
    assert path == tmp_path / "report.html"
    page = path.read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert page.endswith("</html>\n")
    assert sorted(item.name for item in tmp_path.iterdir()) == ["plots", "report.html"]


def test_a_page_that_is_missing_is_made_when_it_is_asked_for(made_up: MakeRecord, tmp_path: Path) -> None:
    record = made_up(num_rounds=2)
    assert report_of(record, tmp_path).read_text(encoding="utf-8") == run_report(record)
    (tmp_path / "report.html").write_text("a page that is there stays")
    assert report_of(record, tmp_path).read_text() == "a page that is there stays"


def test_a_page_that_cannot_be_written_is_one_clear_message(made_up: MakeRecord, tmp_path: Path) -> None:
    (tmp_path / "plots").write_text("no folder")
    with pytest.raises(InputError, match=r"holds no report.html and cannot be written"):
        report_of(made_up(num_rounds=2), tmp_path)


def test_a_study_compares_its_arms(made_up: MakeRecord, tmp_path: Path) -> None:
    records = [made_up(name=f"budgets/epsilon_{epsilon:g}", epsilon=epsilon) for epsilon in (1.0, 8.0)]
    records.append(made_up(name="budgets/<b>open</b>", epsilon=None))
    path = write_study_report(records, tmp_path / "budgets" / "report.html")
    page = path.read_text(encoding="utf-8")
    text = _Page(page).text
    assert page == study_report(list(reversed(records)), cost=known_cost(records, tmp_path))
    assert "b" not in _Page(page).tags
    for record in records:
        assert record.name.partition("/")[2] in text
        assert record.fingerprint in text
    table = text[text.index("Arms of budgets") :]
    assert table.index("<b>open</b>") < table.index("epsilon_8") < table.index("epsilon_1")
    assert "privacy.target_epsilon" in text[text.index("What differs between the configs") :]
    assert text.count(records[0].remarks[0]) == 1


def test_a_study_without_runs_is_refused() -> None:
    with pytest.raises(InputError, match="holds no run"):
        study_report([], cost=Cost())


@pytest.mark.parametrize(
    ("epsilon", "text"),
    [
        (1.0, "1.000"),
        (0.99951, "1.000"),
        (0.9991, "1.000"),
        (0.999, "0.999"),
        (7.98701, "7.988"),
        (float("inf"), "inf"),
    ],
)
def test_an_epsilon_is_an_upper_bound_and_rounded_up(epsilon: float, text: str) -> None:
    assert epsilon_text(epsilon) == text

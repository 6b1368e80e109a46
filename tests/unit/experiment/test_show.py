from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from fedcredit.errors import InputError
from fedcredit.experiment.record import RunRecord
from fedcredit.experiment.show import print_run, print_study
from fedcredit.experiment.study import study_table
from fedcredit.experiment.summary import lender_table, reference_table

MakeRecord = Callable[..., RunRecord]


def _printed(width: int, show: Callable[..., None], *arguments: object, **options: object) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=False, color_system=None)
    show(*arguments, console, **options)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_no_line_is_wider_than_the_terminal_and_no_figure_is_broken(made_up: MakeRecord, width: int) -> None:
    record = made_up(lenders=("Harbour Bank", "x" * 150, "\u5fae\u4f17\u94f6\u884c"))
    for text in (_printed(width, print_run, record), _printed(width, print_study, [record, made_up(epsilon=None)])):
        assert max(map(len, text.splitlines())) <= width
        assert f"{record.evaluation.overall.auc:.3f}" in text


def test_a_wide_terminal_shows_every_column_and_a_narrow_one_says_what_it_left_out(made_up: MakeRecord) -> None:
    record = made_up()
    wide, narrow = (_printed(width, print_run, record) for width in (160, 80))
    assert "Left out" not in wide
    assert "Left out for want of width:" in narrow
    interval = record.evaluation.institutions["Lotus Pay"].auc_interval
    text = f"[{interval.lower:.3f}, {interval.upper:.3f}]"
    assert text in wide


def test_a_run_shows_its_statement_references_remarks_and_report(made_up: MakeRecord) -> None:
    record = made_up()
    text = _printed(200, print_run, record, report=Path("results/made_up/report.html"))
    for line in (*record.statement_lines, *record.remarks, "each lender alone", "results/made_up/report.html"):
        assert line in text


def test_names_cannot_colour_or_steer_the_terminal(made_up: MakeRecord) -> None:
    record = made_up(lenders=("[red]loud[/red]", "esc\x1b[2Jape", "bell\x07", "[/]"))
    record = replace(record, remarks=("[bold]remark\x1b[0m",), statement_lines=("[link=x]line",))
    text = _printed(200, print_run, record)
    assert "\x1b" not in text
    assert "\x07" not in text
    for name in ("[red]loud[/red]", "[/]", "[bold]remark", "[link=x]line"):
        assert name in text


@pytest.mark.parametrize(
    "options",
    [
        {"lenders": ("only one",)},
        {"epsilon": None},
        {"references": ()},
        {"own_intercept": False},
        {"without_defaults": ("Harbour Bank", "Lotus Pay", "Northern Credit")},
    ],
)
def test_odd_runs_are_shown(made_up: MakeRecord, options: Mapping[str, object]) -> None:
    record = made_up(**options)
    assert record.contracts[0].institution in _printed(100, print_run, record)
    assert record.name.partition("/")[2] in _printed(100, print_study, [record])


def test_every_row_has_a_cell_a_heading(made_up: MakeRecord) -> None:
    for options in ({}, {"references": ()}, {"own_intercept": False}, {"references": ("alone",), "epsilon": None}):
        record = made_up(**options)
        for table in (lender_table(record), reference_table(record), study_table([record, made_up(epsilon=2.0)])):
            assert {len(row) for row in table.rows} == {len(table.headings)}
            assert len(set(table.headings)) == len(table.headings)


def test_lenders_alone_are_never_credited_with_knowing_the_lender(made_up: MakeRecord) -> None:
    record = made_up()
    overall = record.references["alone"].evaluation.overall
    for table in (reference_table(record), study_table([record])):
        cells = [cell for row in table.rows for cell in row]
        assert "0.654" in cells
        assert f"{overall.within_auc:.3f}" in cells
        assert f"{overall.auc:.3f}" not in cells
        assert any("count knowing the lender as skill" in note for note in table.notes)


def test_arms_stand_from_the_least_to_the_most_private(made_up: MakeRecord) -> None:
    records = [made_up(name=f"budgets/e{epsilon}", epsilon=epsilon) for epsilon in (1.0, 8.0, 0.5)]
    records.append(made_up(name="budgets/open", epsilon=None))
    table = study_table(records)
    assert [row[0] for row in table.rows] == ["open", "e8.0", "e1.0", "e0.5"]
    assert [row[1] for row in table.rows] == ["inf", "8.000", "1.000", "0.500"]
    assert table.headings[1] == "epsilon (delta 1e-05)"


def test_a_reference_that_is_the_same_for_every_arm_is_said_once(made_up: MakeRecord) -> None:
    records = [made_up(epsilon=1.0), made_up(epsilon=None)]
    trees = records[0].references["pooled_trees"].evaluation.overall.auc
    table = study_table(records)
    assert "AUC pooled boosted trees" not in table.headings
    assert any(f"boosted trees, no privacy: {trees:.3f}" in note for note in table.notes)
    other = made_up(epsilon=2.0, references=("alone",))
    assert "AUC pooled boosted trees" in study_table([*records, other]).headings


def test_arms_of_several_splits_and_studies_are_told_apart(made_up: MakeRecord) -> None:
    first = made_up(name="one/arm")
    second = replace(first, experiment={**first.experiment, "split_seed": 2})
    table = study_table([first, second, replace(first, name="two/arm")])
    assert [row[:2] for row in table.rows] == [("one/arm", "1 / 1"), ("one/arm", "2 / 1"), ("two/arm", "1 / 1")]


def test_a_study_without_runs_is_refused() -> None:
    with pytest.raises(InputError, match="holds no run"):
        study_table([])


def test_a_statement_of_another_version_is_refused(made_up: MakeRecord) -> None:
    record = made_up()
    with pytest.raises(InputError, match="not of this version"):
        study_table([replace(record, statement={"worst": 3.0})])
    with pytest.raises(InputError, match="not of this version"):
        study_table([replace(record, statement={"worst": {"value": "x", "target_delta": 1e-5}})])

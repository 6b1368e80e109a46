from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from fedcredit.credit.evaluation import evaluate
from fedcredit.errors import InputError
from fedcredit.experiment.groupings import grouped
from fedcredit.experiment.market_records import RingFigures, RingRecord
from fedcredit.experiment.rare import few_defaults, rare_table
from fedcredit.experiment.record import RunRecord

MakeRecord = Callable[..., RunRecord]


def test_lenders_with_few_defaults_are_named_and_said_to_be_read_in_the_clear() -> None:
    (sentence,) = few_defaults({"bank_a": 12, "bnpl_a": 300, "bank_b": 29, "bank_c": 30})
    assert "bank_a 12, bank_b 29 training defaults" in sentence
    assert "read in the clear by this simulation" in sentence
    assert "bank_c" not in sentence
    assert few_defaults({"bnpl_a": 300}) == ()
    assert few_defaults({}) == ()


def test_the_lender_with_fewest_defaults_comes_first_and_all_of_them_last(made_up: MakeRecord) -> None:
    counts = {"Harbour Bank": 200, "Lotus Pay": 9, "Northern Credit": 60}
    rows = rare_table([replace(made_up(), training_defaults=counts)]).rows
    assert [(row[0], row[2]) for row in rows] == [
        ("Lotus Pay (few)", "9"), ("Northern Credit", "60"), ("Harbour Bank", "200"), ("all", "269"),
    ]  # fmt: skip


def test_without_counts_no_lender_is_called_few(made_up: MakeRecord) -> None:
    rows = rare_table([made_up()]).rows
    assert not any("few" in row[0] for row in rows)
    assert {row[2] for row in rows[:-1]} == {"–"}  # noqa: RUF001


def test_capture_is_the_share_of_defaults_in_the_riskiest_tenth() -> None:
    default = [0] * 90 + [1, 1, 1, 0, 0, 0, 0, 0, 0, 0]
    pd = [0.01 + 0.001 * place for place in range(100)]
    assert evaluate(pd, default).captured_rate == 1.0
    assert evaluate(pd, default[::-1]).captured_rate == 0.0
    assert evaluate(pd, [0] * 100).captured_rate is None
    assert evaluate([0.1] * 100, default).captured_rate is None
    assert evaluate(pd[:9], default[-9:]).captured_rate is None


def test_rivals_stand_at_the_epsilon_of_their_run(made_up: MakeRecord) -> None:
    rows = grouped([made_up(epsilon=1.0), made_up(epsilon=4.0)], "rival").rows
    assert [(row[0], row[1]) for row in rows[:2]] == [("this run", "4.000"), ("each lender alone", "4.000")]
    assert [row[1] for row in rows].count("1.000") == 5
    assert next(row for row in rows if "boosted trees" in row[0])[2] == "inf"


def test_rivals_need_a_reference_and_any_grouping_a_run(made_up: MakeRecord) -> None:
    with pytest.raises(InputError, match="no run has a reference"):
        grouped([made_up(references=())], "rival")
    with pytest.raises(InputError, match="holds no run"):
        grouped([], "rare")
    with pytest.raises(InputError, match=r"portfolio\.view=application"):
        grouped([made_up()], "ring")


def test_rings_are_averaged_over_splits_and_lenders_queues_added_up(made_up: MakeRecord) -> None:
    def figures(num_ring: int, num_found: int) -> RingFigures:
        return RingFigures(
            num_accounts=100, num_ring=num_ring, num_reviewed=10,
            found_rate=num_found / num_ring, precision_rate=num_found / 10,
        )  # fmt: skip

    groups = {"all": figures(8, 4), "a": figures(2, 2), "b": figures(6, 3)}
    rings = RingRecord(capacity_share=0.01, methods={"scores alone": groups})
    (row,) = grouped([replace(made_up(), rings=rings)], "ring").rows
    assert row[2:] == ("0.50", "0.400", "0.62", "0.250")

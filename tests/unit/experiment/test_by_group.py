from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from fedcredit.errors import InputError
from fedcredit.experiment.by_group import group_table, half_width
from fedcredit.experiment.group_figure import group_figure
from fedcredit.experiment.market_records import ALL, ORACLE, OWN_INTERCEPT, RUN, TruthFigures, TruthRecord
from fedcredit.experiment.record import RunRecord
from fedcredit.experiment.repeats import MeanOverSplits

MakeRecord = Callable[..., RunRecord]
KINDS = {"Harbour Bank": "bank", "Lotus Pay": "bnpl", "Northern Credit": "bnpl"}


def figures(auc: float) -> TruthFigures:
    return TruthFigures(
        num_loans=100, auc=auc, ks=auc - 0.4, profit_rate=0.001, auc_share=None, log_loss=None, regret=None,
        log_loss_share=None, mean_pd_over_true=1.1, slope=None, intercept=None,
    )  # fmt: skip


def on_a_market(record: RunRecord, *, seed: int, shift: float = 0.0) -> RunRecord:
    groups = (ALL, "bank", "bnpl", *KINDS)
    areas = {RUN: 0.8, OWN_INTERCEPT: 0.8, "alone": 0.7, "pooled": 0.81, ORACLE: 0.9}
    models = {model: dict.fromkeys(groups, figures(auc + shift)) for model, auc in areas.items()}
    return replace(
        record,
        experiment={**record.experiment, "portfolio": {"kind": "market", "market_seed": seed}},
        truth=TruthRecord(kinds=KINDS, models=models),
    )


def test_markets_are_repeats_of_one_arm_and_gaps_are_paired(made_up: MakeRecord) -> None:
    runs = [on_a_market(made_up(), seed=seed, shift=0.02 * seed) for seed in (1, 2, 3)]
    table = group_table(runs, "kind")
    assert [row[:2] for row in table.rows] == [("bank", "federated"), ("bnpl", "federated"), (ALL, "federated")]
    # A spread of .02 over three markets: t(2) = 4.303 times .02 / sqrt(3) is .050; the paired gap has none.
    assert table.rows[0][3] == "0.840 ± 0.050"
    assert table.rows[0][4] == "+0.100 ± 0.000"


def test_an_arm_without_privacy_stands_with_its_references(made_up: MakeRecord) -> None:
    table = group_table([on_a_market(made_up(epsilon=None), seed=1)], "lender")
    assert [row[1] for row in table.rows[:4]] == ["each lender alone", "federated", "pooled", "true PD"]
    assert {row[0] for row in table.rows} == set(KINDS)


def test_runs_without_a_truth_are_refused(made_up: MakeRecord) -> None:
    with pytest.raises(InputError, match="needs runs on the simulated market"):
        group_table([made_up()], "kind")
    assert group_figure([made_up(), made_up(epsilon=None)]) is None


def test_the_picture_needs_two_budgets(made_up: MakeRecord) -> None:
    private, free = on_a_market(made_up(), seed=1), on_a_market(made_up(epsilon=None), seed=1)
    assert group_figure([private, on_a_market(made_up(), seed=2)]) is None
    drawn = group_figure([private, free])
    assert drawn is not None
    assert [panel.label.partition(":")[0] for panel in drawn.panels] == ["bank", "bnpl"]
    assert "one panel a kind" in drawn.description


def test_one_market_has_no_interval() -> None:
    assert half_width(MeanOverSplits(value=0.8, standard_error=None, num_splits=1)) is None

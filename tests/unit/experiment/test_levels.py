from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from fedcredit.errors import InputError
from fedcredit.experiment.groupings import grouped
from fedcredit.experiment.market_records import ALL, ORACLE, OWN_INTERCEPT, OWN_ORACLE, RUN, TruthFigures, TruthRecord
from fedcredit.experiment.record import RunRecord
from fedcredit.experiment.wording import ABSENT

MakeRecord = Callable[..., RunRecord]


def figures(ratio: float) -> TruthFigures:
    return TruthFigures(
        num_loans=100, auc=0.8, ks=0.4, profit_rate=0.001, auc_share=None, log_loss=None, regret=None,
        log_loss_share=None, mean_pd_over_true=ratio, slope=None, intercept=None,
    )  # fmt: skip


def on_a_market(record: RunRecord, *, seed: int, own: float) -> RunRecord:
    lenders = sorted(record.evaluation.institutions)
    ratios = {RUN: 2.0, OWN_INTERCEPT: own, OWN_ORACLE: 1.05, ORACLE: 1.0}
    return replace(
        record,
        experiment={**record.experiment, "portfolio": {"kind": "market", "market_seed": seed}},
        training_defaults=dict.fromkeys(lenders, 10 * seed),
        truth=TruthRecord(
            kinds=dict.fromkeys(lenders, "bank"),
            models={model: dict.fromkeys((ALL, *lenders), figures(ratio)) for model, ratio in ratios.items()},
        ),
    )


def test_levels_are_means_over_markets_with_their_range_and_those_within_a_tenth_are_counted(
    made_up: MakeRecord,
) -> None:
    runs = [on_a_market(made_up(), seed=seed, own=own) for seed, own in ((1, 0.95), (2, 1.2))]
    lenders = len(runs[0].evaluation.institutions)
    table = grouped(runs, "level")
    first, last = table.rows[0], table.rows[-1]
    assert len(table.rows) == lenders + 1
    assert first[3:7] == ("15", "2.00 (2.00 to 2.00)", "1.07 (0.95 to 1.20)", "1.05 (1.05 to 1.05)")
    assert last[0] == "within"
    assert last[4:7] == (f"0 of {2 * lenders}", f"{lenders} of {2 * lenders}", f"{2 * lenders} of {2 * lenders}")


def test_the_true_pd_over_the_bad_rate_follows_from_the_two_ratios_of_the_run(made_up: MakeRecord) -> None:
    run = on_a_market(made_up(), seed=1, own=1.0)
    names = sorted(run.evaluation.institutions)
    known = [run.evaluation.institutions[name].mean_pd_over_bad_rate for name in names]
    for name, to_bad_rate, row in zip(names, known, grouped([run], "level").rows, strict=False):
        value = ABSENT if to_bad_rate is None else "{0:.2f} ({0:.2f} to {0:.2f})".format(to_bad_rate / 2.0)
        assert row[-1] == value, name


def test_runs_without_a_truth_or_without_own_intercepts_are_refused(made_up: MakeRecord) -> None:
    with pytest.raises(InputError, match="needs runs on the simulated market"):
        grouped([made_up()], "level")
    run = on_a_market(made_up(), seed=1, own=1.0)
    assert run.truth is not None
    older = {model: groups for model, groups in run.truth.models.items() if model != OWN_ORACLE}
    with pytest.raises(InputError, match="with evaluation"):
        grouped([replace(run, truth=replace(run.truth, models=older))], "level")

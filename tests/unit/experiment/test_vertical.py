from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from fedcredit.errors import InputError
from fedcredit.experiment.groupings import grouped
from fedcredit.experiment.market_records import ALL, ORACLE, RUN, TruthFigures, TruthRecord
from fedcredit.experiment.market_tables import truth_table
from fedcredit.experiment.open_references import encoded_elsewhere
from fedcredit.experiment.record import RunRecord
from fedcredit.experiment.vertical import vertical_gain

MakeRecord = Callable[..., RunRecord]
AREAS = {RUN: 0.8, ORACLE: 0.9, "pooled_network": 0.81, "joined_network": 0.82}


def figures(auc: float) -> TruthFigures:
    return TruthFigures(
        num_loans=100, auc=auc, ks=0.4, profit_rate=0.001, auc_share=None, log_loss=None, regret=None,
        log_loss_share=None, mean_pd_over_true=1.0, slope=None, intercept=None,
    )  # fmt: skip


def on_a_market(record: RunRecord, *, seed: int, added: float) -> RunRecord:
    lenders = sorted(record.evaluation.institutions)
    areas = AREAS | {"joined_network": AREAS["pooled_network"] + added}
    return replace(
        record,
        experiment={**record.experiment, "portfolio": {"kind": "market", "market_seed": seed}},
        truth=TruthRecord(
            kinds=dict.fromkeys(lenders, "bank"),
            models={model: dict.fromkeys((ALL, "bank", *lenders), figures(auc)) for model, auc in areas.items()},
        ),
    )


def test_what_is_added_is_paired_market_by_market(made_up: MakeRecord) -> None:
    runs = [on_a_market(made_up(), seed=seed, added=added) for seed, added in ((1, 0.01), (2, 0.02), (3, 0.03))]
    rows = grouped(runs, "vertical").rows
    assert [row[1:3] for row in rows] == [
        (group, model) for group in ("bank", ALL) for model in ("network", "boosted trees")
    ]
    # A spread of .01 over three markets: t(2) = 4.303 times .01 / sqrt(3) is .0248.
    assert rows[-2][5] == "+0.0200 ± 0.0248"
    assert rows[-1][5] == "–"  # noqa: RUF001
    assert "+0.0200 of AUC to a pooled network." in truth_table(runs[1]).notes[-1]


def test_runs_without_both_forms_of_a_model_are_refused(made_up: MakeRecord) -> None:
    assert vertical_gain(made_up(), "network", ALL) is None
    with pytest.raises(InputError, match="joined_network"):
        grouped([made_up()], "vertical")


def test_what_is_held_elsewhere_is_encoded_row_by_row_between_0_and_1() -> None:
    held = np.array([[0, 0.0, 0], [1, 5000.0, 0], [9, 1e9, 4], [2, -3.0, 1]], dtype=np.float64)
    found = encoded_elsewhere(held)
    assert found.dtype == np.float32
    assert found.min() == 0.0
    assert found.max() == 1.0
    assert found[0].tolist() == [0.0, 0.0, 0.0, 0.0]
    assert found[2].tolist() == [1.0, 1.0, 1.0, 1.0]
    assert np.array_equal(encoded_elsewhere(held[1:2])[0], found[1])

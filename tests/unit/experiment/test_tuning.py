from __future__ import annotations

from pathlib import Path

import pytest

from fedcredit.config import compose
from fedcredit.errors import InputError
from fedcredit.experiment.spec import Experiment
from fedcredit.experiment.tuning import check_tuning, tune, tuned_lines
from fedcredit.privacy.accounting.selection import Repetitions

SMALL = (
    "portfolio=german",
    "partition=iid",
    "partition.num_institutions=3",
    "privacy.target_delta=1e-4",
    "privacy.target_epsilon=2",
    "training.num_rounds=4",
    "training.local.sampling_probability=1.0",
    "trainer=vectorised",
    "evaluation.references=[]",
)
CHARGED = "evaluation.charged.score_histogram.loans=validation"

pytestmark = pytest.mark.usefixtures("credit_data")


def _arm(*overrides: str, folder: Path = Path("results")) -> Experiment:
    return compose(None, [*SMALL, f"results_dir={folder}", *overrides])


@pytest.mark.parametrize(
    ("overrides", "metric", "told"),
    [
        ((CHARGED,), "validation.auc", "no ledger knows"),
        ((CHARGED,), "auc", "no ledger knows"),
        ((), "charged.auc", "needs the charged score histogram"),
        (("evaluation.charged.score_histogram.loans=test",), "charged.auc", "validation"),
        ((CHARGED, "evaluation.references=[alone]"), "charged.auc", "references"),
        ((CHARGED, "privacy.target_epsilon=inf"), "charged.auc", "no price"),
    ],
)
def test_a_choice_whose_price_would_be_wrong_is_refused(overrides: tuple[str, ...], metric: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        check_tuning([_arm(*overrides)], metric)


def test_the_best_run_is_kept_and_priced_between_one_run_and_all_of_them(tmp_path: Path) -> None:
    rates = (0.01, 0.1)
    arms = [_arm(CHARGED, f"strategy.server_optimiser.learning_rate={rate}", folder=tmp_path) for rate in rates]
    repetitions = Repetitions(law="geometric", mean=3.0)
    told: list[str] = []
    tuned = tune(arms, metric="charged.ks", repetitions=repetitions, tell=told.append)
    assert len(told) == tuned.num_runs >= 1
    assert [price.num_lenders for price in tuned.prices] == [1, 2, 3]
    assert all(price.one < price.best for price in tuned.prices)
    if tuned.value is not None:
        shown = [float(line.rpartition(" ")[2]) for line in told if not line.endswith("hidden")]
        assert tuned.value == pytest.approx(max(shown), abs=1e-4)
        assert tuned.folder is not None
    lines = tuned_lines(tuned, repetitions, "charged.ks")
    assert sum(line.startswith("epsilon") for line in lines) == 3
    assert any("delta 0.0001" in line and "zero_out" in line for line in lines)

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, logit

from fedcredit.credit.discrimination import auc, ks
from fedcredit.credit.expected import (
    Foreseen,
    expected_auc,
    expected_ks,
    expected_log_loss,
    expected_profit,
    mean_pd_over_true,
    true_slope_and_intercept,
)
from fedcredit.credit.profit import UNSECURED, expected_maximum_profit
from fedcredit.errors import InputError


def loans(count: int = 400, *, error: float = 0.5, digits: int = 1) -> Foreseen:
    rng = np.random.default_rng(4)
    truth = rng.normal(-2.0, 1.2, count)
    return Foreseen(pd=expit(np.round(truth + rng.normal(0, error, count), digits)), true_pd=expit(truth))


def test_certain_outcomes_give_the_metrics_of_the_sample() -> None:
    outcome = np.random.default_rng(1).random(300) < 0.2
    pd = loans(300).pd
    certain = Foreseen(pd=pd, true_pd=outcome.astype(float))
    assert expected_auc(certain) == pytest.approx(auc(pd, outcome), abs=1e-12)
    profit = expected_maximum_profit(pd, outcome, terms=UNSECURED)
    assert profit is not None
    assert expected_profit(certain) == pytest.approx(profit.profit_rate, abs=1e-12)
    sample = ks(pd, outcome)
    assert sample is not None
    assert expected_ks(certain) == pytest.approx(sample.value, abs=1e-12)


def test_the_expected_auc_is_the_slow_sum_over_pairs() -> None:
    found = loans(60)
    wins = pairs = 0.0
    for i in range(60):
        for j in range(60):
            if i != j:
                weight = found.true_pd[i] * (1 - found.true_pd[j])
                pairs += weight
                wins += weight * (0.5 * (found.pd[i] == found.pd[j]) + (found.pd[i] > found.pd[j]))
    assert expected_auc(found) == pytest.approx(wins / pairs, abs=1e-12)


def test_drawn_outcomes_average_to_the_expected_auc() -> None:
    """2,000 draws; their mean is within four standard errors, and a metric against the rank order is not."""
    found, rng = loans(), np.random.default_rng(9)
    draws = np.array([auc(found.pd, rng.random(400) < found.true_pd) for _ in range(2000)])
    error = draws.std() / np.sqrt(len(draws))
    assert abs(draws.mean() - (expected_auc(found) or 0.0)) < 4 * error
    assert abs(draws.mean() - (expected_auc(Foreseen(pd=found.true_pd, true_pd=found.true_pd)) or 0.0)) > 20 * error


def test_no_prediction_beats_the_true_pd() -> None:
    found = loans()
    oracle = Foreseen(pd=found.true_pd, true_pd=found.true_pd)
    for metric, best in ((expected_auc, max), (expected_profit, max), (expected_log_loss, min)):
        theirs, own = metric(oracle), metric(found)
        assert theirs is not None
        assert own is not None
        assert best(theirs, own) == theirs != own
    line = true_slope_and_intercept(oracle)
    assert line is not None
    assert (line.slope, line.intercept) == (pytest.approx(1.0), pytest.approx(0.0, abs=1e-9))
    assert mean_pd_over_true(oracle) == 1.0


def test_a_stretched_and_shifted_prediction_is_found_out() -> None:
    truth = loans().true_pd
    line = true_slope_and_intercept(Foreseen(pd=expit(2.0 * logit(truth) + 1.0), true_pd=truth))
    assert line is not None
    assert (line.slope, line.intercept) == (pytest.approx(0.5), pytest.approx(-0.5))


def test_what_does_not_exist_is_none() -> None:
    nothing, sound = Foreseen(pd=[], true_pd=[]), Foreseen(pd=[0.1, 0.2], true_pd=[0.0, 0.0])
    for metric in (expected_auc, expected_ks, expected_profit, mean_pd_over_true, true_slope_and_intercept):
        assert metric(nothing) is None
    for ranking in (expected_auc, expected_ks, mean_pd_over_true):
        assert ranking(sound) is None
    assert expected_log_loss(nothing) is None


def test_what_is_no_probability_is_refused() -> None:
    with pytest.raises(InputError, match="true_pd is outside"):
        Foreseen(pd=[0.1], true_pd=[1.5])
    with pytest.raises(InputError, match="same length"):
        Foreseen(pd=[0.1], true_pd=[0.1, 0.2])

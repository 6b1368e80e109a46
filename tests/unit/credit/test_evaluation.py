from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from fedcredit.credit.evaluation import (
    Evaluation,
    evaluate,
    evaluate_federation,
    federation_auc_gap,
    federation_within_auc_gap,
    with_own_intercepts,
)
from fedcredit.credit.scored import Scored
from fedcredit.errors import InputError


def _lender(seed: int, num_loans: int, *, level: float = -1.5, error: float = 0.0) -> Scored:
    rng = np.random.default_rng(seed)
    signal = rng.normal(0.0, 1.0, num_loans)
    return Scored(pd=expit(signal + level + error), default=rng.random(num_loans) < expit(signal + level))


def _exists(evaluation: Evaluation) -> set[str]:
    return {name for name, value in vars(evaluation).items() if value is not None and value != ()}


def test_every_metric_exists_for_ordinary_loans_and_they_agree_with_each_other() -> None:
    scored = _lender(1, 2000)
    found = evaluate(scored.pd, scored.default, confidence=0.9, num_bins=20)
    assert _exists(found) == set(vars(found)) - {"within_auc"}
    assert found.auc is not None
    assert found.gini == pytest.approx(2 * found.auc - 1)
    assert found.mean_pd is not None
    assert found.bad_rate == found.num_defaults / found.num_loans
    assert found.mean_pd_over_bad_rate == pytest.approx(found.mean_pd / found.bad_rate)
    assert found.auc_interval is not None
    assert found.auc_interval.confidence == 0.9
    assert found.auc_interval.lower < found.auc < found.auc_interval.upper
    assert len(found.calibration_curve) == 20


def test_a_lender_without_defaults_keeps_what_exists() -> None:
    found = evaluate([0.1, 0.2, 0.3], [0, 0, 0])
    assert _exists(found) == {
        "num_loans", "num_defaults", "bad_rate", "brier", "log_loss", "ece", "mean_pd", "calibration_curve",
    }  # fmt: skip


def test_a_lender_of_defaults_alone_has_a_ratio_too() -> None:
    found = evaluate([0.4, 0.5], [1, 1])
    assert found.mean_pd_over_bad_rate == pytest.approx(0.45)
    assert found.auc is None


def test_a_lender_without_held_out_loans_has_counts_alone() -> None:
    assert _exists(evaluate([], [])) == {"num_loans", "num_defaults"}


def test_numbers_are_plain_python_numbers() -> None:
    scored = _lender(2, 200)
    found = evaluate(scored.pd.astype(np.float32), scored.default)
    assert {type(value) for value in vars(found).values()} <= {int, float, tuple, type(None), type(found.auc_interval)}


def test_federation_puts_all_loans_together_in_any_order_of_lenders() -> None:
    loans = {"b": _lender(3, 300), "a": _lender(4, 500), "empty": Scored(pd=[], default=[])}
    found = evaluate_federation(loans)
    assert found == evaluate_federation(dict(reversed(list(loans.items()))))
    assert list(found.institutions) == ["a", "b", "empty"]
    assert found.overall.num_loans == 800
    assert found.institutions["b"] == evaluate(loans["b"].pd, loans["b"].default)


def test_within_auc_is_the_loan_weighted_mean_over_lenders_that_have_one() -> None:
    loans = {
        "a": Scored(pd=[0.1, 0.2, 0.3], default=[0, 0, 1]),
        "b": Scored(pd=[0.6, 0.9], default=[1, 0]),
        "none": Scored(pd=[0.5], default=[0]),
    }
    assert evaluate_federation(loans).overall.within_auc == pytest.approx((3 * 1.0 + 2 * 0.0) / 5)
    assert evaluate_federation({"none": loans["none"]}).overall.within_auc is None


def test_auc_over_all_loans_rewards_ranking_between_lenders_and_within_auc_does_not() -> None:
    rng = np.random.default_rng(5)
    low = Scored(pd=rng.uniform(0.0, 0.1, 4000), default=rng.random(4000) < 0.05)
    high = Scored(pd=rng.uniform(0.4, 0.5, 4000), default=rng.random(4000) < 0.45)
    found = evaluate_federation({"low": low, "high": high}).overall
    assert found.auc is not None
    assert found.auc > 0.7
    assert found.within_auc == pytest.approx(0.5, abs=0.05)


def test_gap_to_another_prediction_is_paired_over_all_loans() -> None:
    loans = {"a": _lender(6, 1500), "b": _lender(7, 500)}
    rng = np.random.default_rng(8)
    worse = {name: Scored(pd=rng.random(item.num_loans), default=item.default) for name, item in loans.items()}
    gap = federation_auc_gap(loans, worse)
    first, second = evaluate_federation(loans).overall.auc, evaluate_federation(worse).overall.auc
    assert gap is not None
    assert first is not None
    assert second is not None
    assert gap.value == pytest.approx(first - second)
    assert gap.interval.lower > 0


def test_gap_refuses_other_lenders_and_other_loans() -> None:
    loans = {"a": _lender(6, 50)}
    with pytest.raises(InputError, match="the same lenders"):
        federation_auc_gap(loans, {"b": loans["a"]})
    flipped = Scored(pd=loans["a"].pd, default=~loans["a"].default)
    with pytest.raises(InputError, match="the same loans in the same order"):
        federation_auc_gap(loans, {"a": flipped})


def test_own_intercepts_repair_each_level_and_leave_each_ranking() -> None:
    held_out = {"low": _lender(10, 6000, error=1.2), "high": _lender(11, 6000, level=0.5, error=-0.9)}
    fitted_on = {"low": _lender(12, 6000, error=1.2), "high": _lender(13, 6000, level=0.5, error=-0.9)}
    before = evaluate_federation(held_out).institutions
    after = evaluate_federation(with_own_intercepts(held_out, fitted_on=fitted_on)).institutions
    for name in held_out:
        assert abs(before[name].mean_pd_over_bad_rate - 1) > 0.2  # type: ignore[operator]
        assert after[name].mean_pd_over_bad_rate == pytest.approx(1, abs=0.1)
        assert after[name].auc == pytest.approx(before[name].auc, abs=1e-12)


def test_a_lender_whose_own_loans_cannot_fix_a_level_keeps_the_shared_one() -> None:
    held_out = {"a": _lender(14, 100), "b": _lender(15, 100)}
    moved = with_own_intercepts(held_out, fitted_on={"a": Scored(pd=[0.2, 0.3], default=[0, 0])})
    assert moved["a"] is held_out["a"]
    assert moved["b"] is held_out["b"]


def test_a_federation_without_lenders_is_refused() -> None:
    with pytest.raises(InputError, match="holds no lender"):
        evaluate_federation({})


def test_gap_within_lenders_is_the_loan_weighted_mean_of_independent_paired_gaps() -> None:
    loans = {"a": _lender(6, 1500), "b": _lender(7, 500), "no bad": Scored(pd=[0.2, 0.3], default=[0, 0])}
    rng = np.random.default_rng(8)
    other = {name: Scored(pd=rng.random(item.num_loans), default=item.default) for name, item in loans.items()}
    gap = federation_within_auc_gap(loans, other, confidence=0.9)
    parts = [federation_auc_gap({name: loans[name]}, {name: other[name]}) for name in ("a", "b")]
    assert gap is not None
    assert gap.value == pytest.approx((1500 * parts[0].value + 500 * parts[1].value) / 2000)  # type: ignore[union-attr]
    variance = (0.75 * parts[0].standard_error) ** 2 + (0.25 * parts[1].standard_error) ** 2  # type: ignore[union-attr]
    assert gap.standard_error == pytest.approx(np.sqrt(variance))
    assert gap.interval.upper - gap.value == pytest.approx(1.6448536 * gap.standard_error)


def test_knowing_the_lender_alone_widens_the_gap_over_all_loans_and_not_the_gap_within() -> None:
    rng = np.random.default_rng(9)
    signal = {"low": rng.normal(-2.5, 0.5, 3000), "high": rng.normal(0.0, 0.5, 3000)}
    default = {name: rng.random(3000) < expit(logits) for name, logits in signal.items()}
    level_blind = {
        name: Scored(pd=expit(logits - logits.mean()), default=default[name]) for name, logits in signal.items()
    }
    level_wise = {name: Scored(pd=expit(logits), default=default[name]) for name, logits in signal.items()}
    everywhere, within = federation_auc_gap(level_wise, level_blind), federation_within_auc_gap(level_wise, level_blind)
    assert everywhere is not None
    assert within is not None
    assert everywhere.value > 0.05
    assert within.value == pytest.approx(0, abs=1e-12)


def test_gap_within_lenders_does_not_exist_without_both_outcomes_and_refuses_other_loans() -> None:
    loans = {"a": Scored(pd=[0.2, 0.3], default=[0, 0])}
    assert federation_within_auc_gap(loans, loans) is None
    with pytest.raises(InputError, match="the same lenders"):
        federation_within_auc_gap(loans, {})
    with pytest.raises(InputError, match="confidence is"):
        federation_within_auc_gap(loans, loans, confidence=1.0)

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from fedcredit.credit.calibration import (
    brier,
    calibration_curve,
    calibration_slope_and_intercept,
    ece,
    log_loss,
    mean_pd_over_bad_rate,
    own_intercept,
    shift_logits,
)
from fedcredit.errors import InputError

Loan = tuple[float, bool]
_LOANS = st.lists(st.tuples(st.integers(0, 12).map(lambda i: i / 12), st.booleans()), min_size=1, max_size=40)
_ANY_PD = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40)


def _columns(loans: Sequence[Loan]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    return np.array([pd for pd, _ in loans]), np.array([bad for _, bad in loans])


def _drawn(seed: int, num_loans: int, *, slope: float = 1.0, shift: float = 0.0) -> tuple[NDArray[np.float64], ...]:
    """Loans whose true logit is slope * logit(pd) + shift."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(-2.0, 1.0, num_loans)
    return expit(logits), (rng.random(num_loans) < expit(slope * logits + shift)).astype(np.float64)


def test_anchor_value_of_the_brier_score() -> None:
    """From the project's notes on credit metrics, section 4.2."""
    i = np.arange(1, 1001)
    pd = 0.002 + 0.2 * (i / 1000) ** 3
    assert brier(pd, ((7919 * i) % 1000) / 1000 < pd) == pytest.approx(0.0459335, abs=5e-8)


@given(_LOANS)
def test_brier_and_log_loss_are_means_over_loans(loans: Sequence[Loan]) -> None:
    pd, default = _columns(loans)
    assert brier(pd, default) == pytest.approx(np.mean((pd - default) ** 2), abs=1e-12)
    clipped = np.clip(pd, np.finfo(float).eps, 1 - np.finfo(float).eps)
    assert log_loss(pd, default) == pytest.approx(-np.mean(np.log(np.where(default, clipped, 1 - clipped))), rel=1e-9)


@given(st.integers(1, 12), st.integers(1, 8), st.integers(0, 2**32 - 1))
def test_ece_of_distinct_scores_is_that_of_equal_slices(num_bins: int, per_bin: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    pd = (rng.permutation(num_bins * per_bin) + 0.5) / (num_bins * per_bin)
    default = rng.random(pd.size) < 0.4
    order = np.argsort(pd)
    slices = np.array_split(order, num_bins)
    slow = sum(abs(default[part].mean() - pd[part].mean()) * part.size for part in slices) / pd.size
    assert ece(pd, default, num_bins=num_bins) == pytest.approx(slow, abs=1e-12)
    assert [item.num_loans for item in calibration_curve(pd, default, num_bins=num_bins)] == [per_bin] * num_bins


@given(_LOANS, st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_bins_keep_equal_scores_together_and_ignore_the_order_of_loans(
    loans: Sequence[Loan], num_bins: int, seed: int
) -> None:
    pd, default = _columns(loans)
    order = np.random.default_rng(seed).permutation(pd.size)
    curve, shuffled = (
        calibration_curve(pd[rows], default[rows], num_bins=num_bins) for rows in (np.arange(pd.size), order)
    )
    assert ece(pd, default, num_bins=num_bins) == pytest.approx(ece(pd[order], default[order], num_bins=num_bins))
    assert [item.num_loans for item in curve] == [item.num_loans for item in shuffled]
    assert sum(item.num_loans for item in curve) == pd.size
    assert len(curve) <= min(num_bins, np.unique(pd).size)
    for before, after in itertools.pairwise(curve):
        assert before.mean_pd < after.mean_pd


@given(_LOANS, st.integers(1, 12))
def test_ece_and_bad_rate_follow_from_the_curve(loans: Sequence[Loan], num_bins: int) -> None:
    pd, default = _columns(loans)
    curve = calibration_curve(pd, default, num_bins=num_bins)
    gaps = sum(item.num_loans * abs(item.bad_rate - item.mean_pd) for item in curve)
    assert ece(pd, default, num_bins=num_bins) == pytest.approx(gaps / pd.size, abs=1e-12)
    assert sum(item.num_loans * item.bad_rate for item in curve) == pytest.approx(default.sum())
    for item in curve:
        assert 0 <= item.bad_rate_interval.lower <= item.bad_rate + 1e-12
        assert item.bad_rate - 1e-12 <= item.bad_rate_interval.upper <= 1


def test_wilson_interval_of_the_curve() -> None:
    """10 of 50 at 95 %: 0.1124 to 0.3304 (Newcombe, Statistics in Medicine 17, 1998, method 3)."""
    (item,) = calibration_curve(np.full(50, 0.2), np.arange(50) < 10)
    assert (item.bad_rate_interval.lower, item.bad_rate_interval.upper) == pytest.approx((0.1124, 0.3304), abs=5e-5)


def test_ratio_interval_covers_at_its_level_and_one_without_the_bad_rate_would_not() -> None:
    """Within .03 of .95 over 2,000 trials: false alarm below 1e-5 for a true coverage of .945 to .955."""
    rng, trials = np.random.default_rng(11), 2000
    truth = 0.7
    hits = planted_hits = 0
    for _ in range(trials):
        real = expit(rng.normal(-1.5, 1.0, 400))
        default, pd = rng.random(400) < real, truth * real
        ratio = mean_pd_over_bad_rate(pd, default)
        assert ratio is not None
        assert ratio.interval is not None
        hits += ratio.interval.lower <= truth <= ratio.interval.upper
        half = 1.96 * pd.std() / np.sqrt(400) / pd.mean()
        planted_hits += abs(np.log(ratio.value / truth)) <= half
    assert abs(hits / trials - 0.95) < 0.03
    assert abs(planted_hits / trials - 0.95) >= 0.03


def test_ratio_without_a_default_a_second_loan_or_any_pd() -> None:
    assert mean_pd_over_bad_rate([0.1, 0.2], [0, 0]) is None
    assert mean_pd_over_bad_rate([], []) is None
    single, zero = mean_pd_over_bad_rate([0.25], [1]), mean_pd_over_bad_rate([0.0, 0.0], [0, 1])
    assert single is not None
    assert zero is not None
    assert (single.value, single.interval) == (0.25, None)
    assert (zero.value, zero.interval) == (0.0, None)


@pytest.mark.parametrize(("slope", "shift"), [(1.0, 0.0), (0.5, 0.4), (1.8, -1.0)])
def test_recalibration_finds_the_planted_line_and_agrees_with_scikit_learn(slope: float, shift: float) -> None:
    pd, default = _drawn(5, 20_000, slope=slope, shift=shift)
    found = calibration_slope_and_intercept(pd, default)
    assert found is not None
    # Standard errors are below .035 and .075 here: four of them.
    assert found.slope == pytest.approx(slope, abs=0.14)
    assert found.intercept == pytest.approx(shift, abs=0.3)
    other = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(logit(pd)[:, None], default)
    assert found.slope == pytest.approx(other.coef_[0, 0], rel=1e-4)
    assert found.intercept == pytest.approx(other.intercept_[0], abs=1e-4)


@given(_ANY_PD)
def test_recalibration_is_where_the_likelihood_is_flat_or_absent(loans: Sequence[Loan]) -> None:
    pd, default = _columns(loans)
    found = calibration_slope_and_intercept(pd, default)
    if found is None:
        return
    logits = logit(np.clip(pd, np.finfo(float).eps, 1 - np.finfo(float).eps))
    residual = expit(found.slope * logits + found.intercept) - default
    assert residual.sum() == pytest.approx(0, abs=1e-5)
    assert (residual * logits).sum() == pytest.approx(0, abs=1e-5 * max(1, np.abs(logits).max()))


def test_recalibration_does_not_exist_for_one_class_one_score_or_parted_classes() -> None:
    assert calibration_slope_and_intercept([0.1, 0.2], [0, 0]) is None
    assert calibration_slope_and_intercept([0.2, 0.2, 0.2], [0, 1, 0]) is None
    assert calibration_slope_and_intercept([0.1, 0.2, 0.8], [0, 0, 1]) is None
    assert calibration_slope_and_intercept([0.1, 0.2, 0.2, 0.8], [0, 0, 1, 1]) is None
    assert calibration_slope_and_intercept([0.1, 0.2, 0.8], [1, 1, 0]) is None


@given(_ANY_PD)
def test_own_intercept_makes_mean_pd_the_bad_rate_and_keeps_the_order(loans: Sequence[Loan]) -> None:
    pd, default = _columns(loans)
    shift = own_intercept(pd, default)
    if default.all() or not default.any():
        assert shift is None
        return
    assert shift is not None
    moved = shift_logits(pd, shift)
    assert moved.mean() == pytest.approx(default.mean(), abs=1e-9)
    assert np.all(np.diff(moved[np.argsort(pd, kind="stable")]) >= 0)


def test_own_intercept_finds_the_planted_shift() -> None:
    pd, default = _drawn(9, 20_000, shift=-0.8)
    assert own_intercept(pd, default) == pytest.approx(-0.8, abs=0.15)


def test_a_shift_of_nothing_changes_nothing() -> None:
    assert shift_logits([0.1, 0.5, 0.9], 0.0) == pytest.approx([0.1, 0.5, 0.9], abs=1e-15)


def test_no_loans_give_no_metric() -> None:
    for metric in (brier, log_loss, ece, calibration_slope_and_intercept, own_intercept):
        assert metric([], []) is None
    assert calibration_curve([], []) == ()


def test_one_class_still_has_the_metrics_that_exist() -> None:
    pd, default = [0.1, 0.3], [0, 0]
    assert brier(pd, default) == pytest.approx(0.05)
    assert log_loss(pd, default) == pytest.approx(-(np.log(0.9) + np.log(0.7)) / 2)
    assert ece(pd, default) == pytest.approx(0.2)


@pytest.mark.parametrize("num_bins", [0, -3])
def test_a_number_of_bins_below_one_is_refused(num_bins: int) -> None:
    for metric in (ece, calibration_curve):
        with pytest.raises(InputError, match=f"num_bins is {num_bins}"):
            metric([0.1, 0.2], [0, 1], num_bins=num_bins)


def test_a_pd_that_is_not_a_number_is_refused() -> None:
    metrics = (
        brier,
        log_loss,
        ece,
        calibration_curve,
        mean_pd_over_bad_rate,
        calibration_slope_and_intercept,
        own_intercept,
    )
    for metric in metrics:
        with pytest.raises(InputError, match="not a number for 1 of 2 loans"):
            metric([0.1, float("nan")], [0, 1])


def test_a_line_that_exists_is_found_whatever_the_last_digits_are() -> None:
    for number in range(40):
        draw = np.random.default_rng(number)
        logits = draw.normal(-1.0, 0.08, size=70)
        default = draw.random(70) < expit(3.0 * logits + 2.0)
        fits = [calibration_slope_and_intercept(expit(logits + shift), default) for shift in 1e-9 * np.arange(50)]
        slopes = [fit.slope for fit in fits if fit is not None]
        assert len(slopes) == 50
        assert max(slopes) - min(slopes) < 1e-4

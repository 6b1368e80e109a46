"""Bounds from counts of guesses, each against a slow or exact version of itself."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from fedcredit.privacy.accounting.accountants import PrivacyLosses
from fedcredit.privacy.accounting.events import GaussianSteps
from fedcredit.privacy.auditing import tradeoff
from fedcredit.privacy.auditing.bounds import (
    clopper_pearson,
    fdp_refuted,
    highest_refuted,
    one_run_epsilon,
    rates_epsilon,
)
from fedcredit.privacy.auditing.tradeoff import ClaimFamily, TradeOff, trade_off

RATES = np.linspace(0.0, 1.0, 20_001)
GAUSSIAN = TradeOff(
    false_positive_rates=stats.norm.cdf(stats.norm.ppf(RATES) - 1.0), true_positive_rates=RATES
)  # unit Gaussians one apart


def slowly_refuted(curve: TradeOff, canaries: int, guesses: int, correct: int, significance: float) -> bool:
    """The paper's recursion as it is written there: arrays r and h, from the number of right guesses down."""
    h, r = [0.0] * (correct + 1), [0.0] * (correct + 1)
    h[correct], r[correct] = significance * (guesses - correct) / canaries, significance * correct / canaries
    for i in range(correct - 1, -1, -1):
        h[i] = max(h[i + 1], float(curve.smallest_false_positive_rate(np.array(r[i + 1]))))
        r[i] = min(r[i + 1] + i / (guesses - i) * (h[i] - h[i + 1]), 1.0)
    return r[0] + h[0] > guesses / canaries


def test_many_counts_at_once_are_refuted_as_each_alone_by_the_slow_recursion() -> None:
    rng = np.random.default_rng(3)
    guesses = rng.integers(1, 120, size=200)
    correct = rng.binomial(guesses, rng.uniform(0.7, 1.0, size=200))
    found = fdp_refuted(GAUSSIAN, num_canaries=120, guesses=guesses, correct=correct, significance=0.05)
    slow = [slowly_refuted(GAUSSIAN, 120, int(g), int(c), 0.05) for g, c in zip(guesses, correct, strict=True)]
    assert found.tolist() == slow
    assert 20 < sum(slow) < 180


def test_trade_off_curve_of_one_gaussian_is_the_closed_form() -> None:
    event = GaussianSteps(sampling_probability=1.0, noise_multiplier=1.0, num_steps=1)
    found = trade_off((event,)).smallest_false_positive_rate(RATES)
    exact = stats.norm.cdf(stats.norm.ppf(RATES) - 1.0)
    assert np.all(found <= exact + 1e-9), "an upper bound on any test"
    assert np.all(found >= exact - 2e-3)


def test_the_boundary_of_three_losses_is_that_of_their_likelihood_ratio_tests_and_power_rises_strictly() -> None:
    losses = PrivacyLosses(losses=np.log([0.5, 1.0, 2.0]), probabilities=np.array([0.125, 0.25, 0.5]), infinite=0.125)
    alarm, power = tradeoff._boundary(losses)
    assert alarm == pytest.approx([0.0, 0.25, 0.5, 0.75, 1.0], rel=1e-12)
    assert power == pytest.approx([0.125, 0.625, 0.875, 1.0, 1.0], rel=1e-12)
    assert np.all(np.diff(power) > 0.0)


def test_curve_is_convex_and_symmetric_where_the_losses_of_the_two_directions_are_not() -> None:
    curve = trade_off((GaussianSteps(sampling_probability=0.1, noise_multiplier=0.7, num_steps=30),))
    x, y = curve.true_positive_rates, curve.false_positive_rates
    slopes = np.diff(y) / np.diff(x)
    assert np.all(np.diff(slopes) >= -1e-6 * (1.0 + np.abs(slopes[1:])))
    mirrored = 1.0 - np.interp(1.0 - RATES, y, x)
    assert np.max(np.abs(mirrored - curve.smallest_false_positive_rate(RATES))) < 1e-3


def test_ladder_search_ends_between_a_refuted_rung_and_rungs_that_are_not() -> None:
    family = ClaimFamily(
        events=(GaussianSteps(sampling_probability=1.0, noise_multiplier=2.0, num_steps=1),), delta=1e-5
    )
    for guesses, correct, is_above in ((40, 40, True), (90, 65, False)):
        counts = {"num_canaries": 100, "guesses": np.array([guesses]), "correct": np.array([correct])}
        rung, place = highest_refuted(family, **counts, significance=0.05)
        assert rung is not None
        assert (rung > 0, place) == (is_above, 0)
        near = [fdp_refuted(family.curve(rung + more), **counts, significance=0.05)[0] for more in (-9, 0, 1, 5, 30)]
        assert near == [True, True, False, False, False]
    nothing = highest_refuted(
        family, num_canaries=100, guesses=np.array([100]), correct=np.array([50]), significance=0.05
    )
    assert nothing == (None, 0)


def test_one_run_bound_at_delta_zero_is_that_of_a_biased_coin() -> None:
    bound = one_run_epsilon(num_canaries=100, guesses=60, correct=55, delta=0.0, significance=0.05)
    chance = stats.beta.ppf(0.05, 55, 6)
    assert bound == pytest.approx(math.log(chance / (1.0 - chance)), abs=1e-9)


def test_delta_and_wrong_guesses_only_lower_the_one_run_bound() -> None:
    def bound(correct: int, delta: float) -> float:
        return one_run_epsilon(num_canaries=500, guesses=100, correct=correct, delta=delta, significance=0.05)

    assert bound(99, 0.0) > bound(99, 1e-5) > bound(99, 1e-3) > 0.0
    assert bound(99, 1e-5) > bound(90, 1e-5) > bound(50, 1e-5) == 0.0


def test_clopper_pearson_holds_the_rate_as_often_as_it_says() -> None:
    for rate in (0.01, 0.3, 0.5):
        intervals = [clopper_pearson(count, 60, significance=0.1) for count in range(61)]
        weights = stats.binom.pmf(np.arange(61), 60, rate)
        missed = sum(w for i, w in zip(intervals, weights, strict=True) if not i.lower <= rate <= i.upper)
        assert missed <= 0.1


def test_rates_bound_uses_the_worse_end_of_both_rates() -> None:
    bound = rates_epsilon(hits=50, misses=50, alarms=0, passes=100, delta=1e-5, significance=0.05)
    power, price = stats.beta.ppf(0.025, 50, 51), stats.beta.ppf(0.975, 1, 100)
    assert bound == pytest.approx(math.log((power - 1e-5) / price))
    assert rates_epsilon(hits=0, misses=9, alarms=0, passes=9, delta=1e-5, significance=0.05) == 0.0

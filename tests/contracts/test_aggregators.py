"""Laws that every aggregator keeps, and those that tell them apart."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fedcredit.experiment.spec import Mean, Median, TrimmedMean
from fedcredit.federation.aggregate import Aggregator, aggregate

AGGREGATORS: dict[str, Aggregator] = {
    "mean": Mean(),
    "median": Median(),
    "trimmed mean": TrimmedMean(trim_fraction=0.2),
    "untrimmed mean": TrimmedMean(trim_fraction=0.0),
}
every_aggregator = pytest.mark.parametrize("spec", AGGREGATORS.values(), ids=AGGREGATORS)


@st.composite
def rounds(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    lenders, size = draw(st.integers(1, 12)), draw(st.integers(1, 6))
    source = np.random.Generator(np.random.PCG64(draw(st.integers(0, 2**32))))
    return source.normal(size=(lenders, size)), source.uniform(0.01, 1.0, size=lenders)


@every_aggregator
@settings(max_examples=50)
@given(given_round=rounds())
def test_the_result_lies_between_the_updates(spec: Aggregator, given_round: tuple[np.ndarray, np.ndarray]) -> None:
    updates, weights = given_round
    result = aggregate(spec, updates, weights)
    assert result.dtype == np.float64
    assert np.all(result >= updates.min(axis=0) - 1e-12)
    assert np.all(result <= updates.max(axis=0) + 1e-12)


@every_aggregator
@settings(max_examples=50)
@given(given_round=rounds(), shift=st.floats(-5, 5), scale=st.floats(0.1, 5))
def test_a_common_shift_and_scale_pass_through(
    spec: Aggregator, given_round: tuple[np.ndarray, np.ndarray], shift: float, scale: float
) -> None:
    updates, weights = given_round
    moved = aggregate(spec, scale * updates + shift, weights)
    assert np.allclose(moved, scale * aggregate(spec, updates, weights) + shift, atol=1e-9)


@every_aggregator
def test_equal_updates_are_their_own_aggregate(spec: Aggregator) -> None:
    update = np.array([1.0, -2.0, 0.5])
    assert np.allclose(aggregate(spec, np.tile(update, (6, 1)), np.arange(1.0, 7.0)), update, atol=1e-15)


@every_aggregator
def test_one_lender_is_its_own_aggregate_to_the_bit(spec: Aggregator) -> None:
    update = np.array([0.1, -2.7, 1e-30])
    assert np.array_equal(aggregate(spec, update[None, :], np.array([0.37])), update)


@every_aggregator
def test_the_inputs_are_left_alone(spec: Aggregator) -> None:
    updates, weights = np.arange(12.0).reshape(4, 3), np.full(4, 0.25)
    aggregate(spec, updates, weights)
    assert np.array_equal(updates, np.arange(12.0).reshape(4, 3))
    assert np.array_equal(weights, np.full(4, 0.25))


@every_aggregator
@pytest.mark.parametrize(
    ("updates", "weights"),
    [
        (np.empty((0, 3)), np.empty(0)),
        (np.zeros(3), np.ones(3)),
        (np.zeros((2, 3)), np.ones(3)),
        (np.zeros((2, 3)), np.ones((2, 1))),
    ],
)
def test_wrong_shapes_are_refused(spec: Aggregator, updates: np.ndarray, weights: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"allowed is \[K, P\]"):
        aggregate(spec, updates, weights)


@pytest.mark.parametrize("weights", [[0.0, 0.0], [-1.0, 2.0], [np.nan, 1.0], [np.inf, 1.0]])
def test_weights_that_are_no_weights_are_refused(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="weights must be finite"):
        aggregate(Mean(), np.ones((2, 3)), np.array(weights))


def test_the_mean_renormalises_the_contract_weights_of_those_present() -> None:
    updates = np.array([[1.0, 10.0], [2.0, 20.0], [4.0, 40.0]])
    weights = np.array([0.5, 0.3, 0.2])
    present = aggregate(Mean(), updates[:2], weights[:2])
    assert np.allclose(present, (0.5 * updates[0] + 0.3 * updates[1]) / 0.8)
    assert np.allclose(present, np.average(updates[:2], axis=0, weights=weights[:2]))


@settings(max_examples=30)
@given(given_round=rounds())
def test_the_trimmed_mean_is_scipys(given_round: tuple[np.ndarray, np.ndarray]) -> None:
    updates, weights = given_round
    for fraction in (0.0, 0.1, 0.2, 0.4):
        ours = aggregate(TrimmedMean(trim_fraction=fraction), updates, weights)
        assert np.allclose(ours, stats.trim_mean(updates, fraction, axis=0), atol=1e-12)


@pytest.mark.parametrize("spec", [Median(), TrimmedMean(trim_fraction=0.2)])
@pytest.mark.parametrize("attack", [1e30, -1e30])
def test_two_of_ten_lenders_cannot_move_a_robust_aggregate_far(spec: Aggregator, attack: float) -> None:
    honest = np.random.Generator(np.random.PCG64(5)).normal(size=(10, 4))
    attacked = honest.copy()
    attacked[[2, 7]] = attack
    weights = np.full(10, 0.1)
    assert np.all(np.abs(aggregate(spec, attacked, weights)) <= np.abs(honest).max())
    assert np.all(np.abs(aggregate(Mean(), attacked, weights)) > 1e28)


@pytest.mark.statistical
def test_the_variance_of_the_mean_is_that_of_the_weighted_noise() -> None:
    # With divisor q n_k and weights n_k / n, lender k's noise has standard deviation sigma C / (q n_k), and the
    # aggregate's variance is sigma^2 C^2 K / (q n)^2: pooled training at sigma sqrt(K). The sum of squares over
    # its expectation is chi-square; two sides of 5e-7 each: error rate 1e-6. A 2 % wrong scale is seen.
    sizes, sigma, clip, rate, draws = np.array([400, 100, 250, 50]), 1.7, 2.5, 0.25, 200_000
    source = np.random.Generator(np.random.PCG64(11))
    noise = source.normal(size=(len(sizes), draws)) * (sigma * clip / (rate * sizes))[:, None]
    result = aggregate(Mean(), noise, sizes / sizes.sum())
    expected = sigma**2 * clip**2 * len(sizes) / (rate * sizes.sum()) ** 2
    low, high = stats.chi2.ppf([5e-7, 1 - 5e-7], draws)
    assert low < np.sum(result**2) / expected < high
    assert not low < np.sum((1.02 * result) ** 2) / expected < high

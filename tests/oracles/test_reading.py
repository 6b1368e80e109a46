"""What an epsilon means to an attacker, against closed forms, riskcal, quadrature and simulated attacks."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from fedcredit.privacy.accounting.accountants import privacy_losses, quick_epsilon
from fedcredit.privacy.accounting.events import GaussianSteps
from fedcredit.privacy.reading import FALSE_POSITIVE_RATES, Reading, percent, read, true_positive_rates


def steps(rate: float, noise: float, count: int) -> GaussianSteps:
    return GaussianSteps(sampling_probability=rate, noise_multiplier=noise, num_steps=count)


def running_example(noise: float) -> list[GaussianSteps]:
    return [steps(0.043, noise, 460)]


# riskcal 1.5.1 on the running example (n = 3,000, q = 0.043, 460 steps).
ANCHORS = [
    (0.6, 0.778, 0.356, 0.608, 0.803),
    (1.0, 0.429, 0.032, 0.130, 0.318),
    (1.5, 0.265, 0.009, 0.052, 0.171),
    (2.0, 0.192, 0.005, 0.034, 0.125),
]


@pytest.mark.parametrize(("noise", "advantage", "at_tenth", "at_one", "at_five"), ANCHORS)
def test_running_example_reads_as_measured(
    noise: float, advantage: float, at_tenth: float, at_one: float, at_five: float
) -> None:
    found = read(running_example(noise))
    assert found.advantage == pytest.approx(advantage, abs=1e-3)
    assert found.true_positive_rates == pytest.approx((at_tenth, at_one, at_five), abs=1e-3)


@pytest.mark.parametrize(
    "events",
    [
        running_example(0.6),
        running_example(1.0),
        [steps(0.25, 9.5, 100)],
        [steps(0.25, 5.0, 20), steps(1.0, 4.2, 1)],
        [steps(0.01, 0.5, 30), steps(0.2, 3.0, 50)],
    ],
)
def test_readings_are_those_of_riskcal(events: list[GaussianSteps]) -> None:
    from dp_accounting.pld import privacy_loss_distribution as pld
    from riskcal.analysis.conversions import get_advantage_from_pld, get_beta_from_pld

    composed = None
    for event in events:
        one = pld.from_gaussian_mechanism(
            event.noise_multiplier, value_discretization_interval=1e-3, sampling_prob=event.sampling_probability
        ).self_compose(event.num_steps)
        composed = one if composed is None else composed.compose(one)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = [1.0 - float(get_beta_from_pld(composed, alpha=rate)) for rate in FALSE_POSITIVE_RATES]
    found = read(events)
    assert found.true_positive_rates == pytest.approx(theirs, rel=1e-4)
    assert found.advantage == pytest.approx(float(get_advantage_from_pld(composed)), rel=1e-9)


@pytest.mark.parametrize("rate", [0.02, 0.3, 0.9])
@pytest.mark.parametrize("noise", [0.7, 1.5, 4.0])
def test_one_sampled_step_is_at_most_a_thousandth_above_quadrature(rate: float, noise: float) -> None:
    # The likelihood ratio rises with the outcome, so every most powerful test is a threshold on it.
    used, unused = stats.norm(1.0, noise), stats.norm(0.0, noise)

    def mixture_above(threshold: float) -> float:
        return float((1.0 - rate) * unused.sf(threshold) + rate * used.sf(threshold))

    above = [mixture_above(unused.isf(alpha)) for alpha in FALSE_POSITIVE_RATES]
    below = []
    for alpha in FALSE_POSITIVE_RATES:
        threshold = _threshold_with_mixture_below(alpha, rate, noise)
        below.append(float(unused.cdf(threshold)))
    exact = np.maximum(above, below)
    variation, _ = integrate.quad(lambda x: rate * abs(used.pdf(x) - unused.pdf(x)) / 2.0, -30 * noise, 30 * noise + 1)
    found = read([steps(rate, noise, 1)])
    assert np.all(np.array(found.true_positive_rates) >= exact - 1e-9)
    assert found.true_positive_rates == pytest.approx(list(exact), abs=1e-3)
    assert variation - 1e-9 <= found.advantage <= variation + 1e-3


def _threshold_with_mixture_below(alpha: float, rate: float, noise: float) -> float:
    from scipy.optimize import brentq

    def gap(x: float) -> float:
        return float((1 - rate) * stats.norm.cdf(x, 0.0, noise) + rate * stats.norm.cdf(x, 1.0, noise) - alpha)

    return float(brentq(gap, -40 * noise, 40 * noise + 1, xtol=1e-13))


@pytest.mark.parametrize("noise", [0.5, 2.0, 20.0])
def test_unsampled_steps_have_the_closed_form_and_the_grid_is_just_above_it(noise: float) -> None:
    events = [steps(1.0, noise, 4)]
    closed = read(events)
    losses, _ = privacy_losses(events, grid=1e-3)
    on_grid = true_positive_rates(losses, FALSE_POSITIVE_RATES)
    separation = 2.0 / noise
    exact = stats.norm.cdf(stats.norm.ppf(FALSE_POSITIVE_RATES) + separation)
    assert closed.true_positive_rates == pytest.approx(list(exact), rel=1e-12)
    assert closed.advantage == pytest.approx(2 * stats.norm.cdf(separation / 2) - 1, rel=1e-12)
    assert np.all(on_grid >= exact - 1e-12)
    assert on_grid == pytest.approx(exact, abs=1e-3)


@pytest.mark.statistical
def test_best_attack_on_simulated_runs_reaches_the_reading_and_does_not_pass_it() -> None:
    # 200,000 runs of 40 steps each way. Passing the bound by chance: below 1e-9 at six standard errors of a
    # rate; a reading that claimed 5 % less than the truth at 5 % false alarms would fail (the attack is optimal).
    rate, noise, count, runs = 0.2, 1.2, 40, 200_000
    rng = np.random.default_rng(20261125)
    scores = []
    for used in (0.0, 1.0):
        score = np.zeros(runs)
        for _ in range(count):
            outcome = used * (rng.random(runs) < rate) + noise * rng.standard_normal(runs)
            score += np.log1p(rate * np.expm1((outcome - 0.5) / noise**2))
        scores.append(score)
    found = read([steps(rate, noise, count)])
    for alpha, bound in zip(FALSE_POSITIVE_RATES, found.true_positive_rates, strict=True):
        reached = float(np.mean(scores[1] > np.quantile(scores[0], 1.0 - alpha)))
        slope = 8.0  # a false-alarm rate off by one standard error moves the hits by at most this much of it
        error = np.sqrt(bound * (1 - bound) / runs) + slope * np.sqrt(alpha * (1 - alpha) / runs)
        assert bound - 6 * error - 1e-3 <= reached <= bound + 6 * error
    grid = np.linspace(-5, 5, 401)
    best = max(float(np.mean(scores[1] > t) - np.mean(scores[0] > t)) for t in grid)
    assert found.advantage - 0.01 <= best <= found.advantage + 6 * np.sqrt(0.5 / runs)


@settings(max_examples=30, deadline=None)
@given(
    st.floats(0.01, 1.0), st.floats(0.5, 10.0), st.integers(1, 60), st.floats(1.05, 3.0), st.integers(1, 30),
)  # fmt: skip
def test_more_steps_or_less_noise_never_read_better_and_epsilon_bounds_every_reading(
    rate: float, noise: float, count: int, factor: float, more: int
) -> None:
    found = read([steps(rate, noise, count)])
    for other in (read([steps(rate, noise, count + more)]), read([steps(rate, noise / factor, count)])):
        assert other.advantage >= found.advantage - 1e-3
        pairs = zip(other.true_positive_rates, found.true_positive_rates, strict=True)
        assert all(worse >= better - 1e-3 for worse, better in pairs)
    bound = quick_epsilon([steps(rate, noise, count)], delta=1e-5).value
    for alpha, hits in zip(FALSE_POSITIVE_RATES, found.true_positive_rates, strict=True):
        assert alpha - 1e-12 <= hits <= 1.0
        assert hits <= min(1.0, np.exp(bound) * alpha + 1e-5) + 1e-3
    assert found.advantage <= np.tanh(bound / 2) + 1e-5 + 1e-3


def test_nothing_and_everything() -> None:
    assert read([]) == Reading(advantage=0.0, true_positive_rates=FALSE_POSITIVE_RATES)
    assert read([steps(0.1, 0.0, 1)]) == Reading(advantage=1.0, true_positive_rates=(1.0, 1.0, 1.0))
    assert read([steps(0.5, 0.2, 20)]).advantage > 0.999


def test_sentence_is_plain_and_rounds_up() -> None:
    text = read(running_example(1.0)).sentence(unit="loan")
    assert "recognises at most 13.0 in 100 that were" in text
    assert "right at most 71.5 % of the time" in text
    assert "epsilon" not in text
    assert percent(0.12991) == "13.0"
    assert percent(0.1) == "10.0"
    assert percent(1.0) == "100.0"
    assert percent(0.00101) == "0.2"

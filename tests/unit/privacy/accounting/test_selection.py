"""The price of the best run, against an exact computation on a small discrete mechanism."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fedcredit.errors import InputError
from fedcredit.privacy.accounting.accountants import quick_epsilon
from fedcredit.privacy.accounting.events import GaussianSteps
from fedcredit.privacy.accounting.selection import (
    Law,
    RenyiCurve,
    Repetitions,
    curve_of,
    of_all,
    of_the_best,
    worst_run,
)

LAWS: tuple[Law, ...] = ("logarithmic", "geometric", "poisson")
RUN = (GaussianSteps(sampling_probability=0.25, noise_multiplier=9.481, num_steps=100),)


def _generating(law: Law, mean: float, gamma: float, x: np.ndarray) -> np.ndarray:
    """The probability generating function of the number of runs."""
    if law == "poisson":
        return np.exp(mean * (x - 1.0))
    if law == "geometric":
        return gamma * x / (1.0 - (1.0 - gamma) * x)
    return np.log1p(-(1.0 - gamma) * x) / math.log(gamma)


def _best(run: np.ndarray, law: Law, mean: float, gamma: float) -> np.ndarray:
    """The exact law of the largest of a random number of outcomes; for Poisson also of none, last."""
    up_to = np.concatenate([[0.0], np.cumsum(run)])
    at_most = _generating(law, mean, gamma, np.minimum(up_to, 1.0))
    chosen = np.diff(at_most)
    return np.append(chosen, at_most[0]) if law == "poisson" else chosen


def _renyi(p: np.ndarray, q: np.ndarray, orders: np.ndarray) -> np.ndarray:
    held = (p > 0.0) & (q > 0.0)
    exponents = orders[:, None] * np.log(p[held]) + (1.0 - orders[:, None]) * np.log(q[held])
    return np.logaddexp.reduce(exponents, axis=1) / (orders - 1.0)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("mean", [2.0, 10.0, 60.0])
def test_the_bound_holds_for_the_best_of_a_small_mechanism_and_a_single_run_is_too_cheap(law: Law, mean: float) -> None:
    """Randomised response among six outcomes, the best outcome once likely and once unlikely."""
    repetitions = Repetitions(law=law, mean=mean)
    orders = curve_of(RUN).orders
    orders = orders[orders <= 64]
    weights = np.ones(6)
    weights[-1] = math.exp(0.3)
    first, second = weights / weights.sum(), np.roll(weights, 3) / weights.sum()
    exceeded = False
    for p, q in ((first, second), (second, first)):
        divergences = np.maximum(_renyi(p, q, orders), _renyi(q, p, orders))
        bound = of_the_best(RenyiCurve(orders=orders, divergences=divergences), repetitions).divergences
        gamma = repetitions._gamma()
        exact = _renyi(_best(p, law, mean, gamma), _best(q, law, mean, gamma), orders)
        assert np.all(exact <= bound + 1e-9)
        exceeded |= bool(np.any(exact > divergences + 1e-9))
    assert exceeded


@pytest.mark.parametrize("law", LAWS)
def test_numbers_of_runs_follow_their_law(law: Law) -> None:
    repetitions = Repetitions(law=law, mean=8.0)
    grid = (np.arange(200_000) + 0.5) / 200_000
    drawn = np.array([repetitions.draw(float(uniform)) for uniform in grid[::10]])
    assert drawn.mean() == pytest.approx(8.0, rel=0.01)
    assert drawn.min() == (0 if law == "poisson" else 1)
    share = float(_generating(law, 8.0, repetitions._gamma(), np.array([0.5]))[0])
    assert np.mean(0.5**drawn) == pytest.approx(share, abs=2e-3)


def test_the_best_of_many_costs_a_few_runs() -> None:
    run = curve_of(RUN)
    one = run.epsilon(1e-5)
    assert one == pytest.approx(quick_epsilon(RUN, delta=1e-5).value, rel=1e-3)
    best = of_the_best(run, Repetitions(law="geometric", mean=30.0)).epsilon(1e-5)
    assert one < best < 4.0 * one
    assert best < 0.5 * of_all(run, 30).epsilon(1e-5)


def test_the_worst_setting_and_the_costliest_lenders_count() -> None:
    dear = (GaussianSteps(sampling_probability=0.25, noise_multiplier=5.0, num_steps=100),)
    found = worst_run([[RUN, RUN, dear], [RUN, RUN, RUN]], num_lenders=2)
    assert np.allclose(found.divergences, curve_of((*RUN, *dear)).divergences)
    assert np.allclose(worst_run([[RUN]], num_lenders=1).divergences, curve_of(RUN).divergences)


@pytest.mark.parametrize(("law", "mean"), [("geometric", 1.0), ("fixed", 10.0), ("poisson", math.inf)])
def test_what_has_no_price_is_refused(law: Law, mean: float) -> None:
    with pytest.raises(InputError, match="allowed"):
        Repetitions(law=law, mean=mean)

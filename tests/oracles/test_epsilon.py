"""Epsilon against other people's accountants and against formulas in many digits."""

from __future__ import annotations

import itertools
import warnings

import dp_accounting
import mpmath
import pytest
from dp_accounting.pld import PLDAccountant
from dp_accounting.rdp import RdpAccountant, compute_epsilon

from fedcredit.privacy.accounting.accountants import epsilon, epsilon_curve, pld_epsilon, quick_epsilon
from fedcredit.privacy.accounting.events import GaussianSteps

DELTA = 1e-5

RATES, NOISES, COUNTS = (
    (0.002, 0.01, 0.043, 0.1, 0.25, 0.5),
    (0.8, 1.0, 1.3, 1.7, 2.2, 3.0, 4.0, 6.0, 8.0, 12.0),
    (1, 10, 50, 200, 460),
)


def steps(rate: float, noise: float, count: int) -> GaussianSteps:
    return GaussianSteps(sampling_probability=rate, noise_multiplier=noise, num_steps=count)


def library_event(event: GaussianSteps) -> dp_accounting.DpEvent:
    step = dp_accounting.PoissonSampledDpEvent(
        event.sampling_probability, dp_accounting.GaussianDpEvent(event.noise_multiplier)
    )
    return dp_accounting.SelfComposedDpEvent(step, event.num_steps)


PARAMETERS = [
    (0.043, 1.0, 460),
    *itertools.product([0.004, 0.25, 0.9], [0.8, 2.0, 8.0], [1, 50]),
]


@pytest.mark.parametrize(("rate", "noise", "count"), PARAMETERS)
def test_both_bounds_equal_dp_accounting(rate: float, noise: float, count: int) -> None:
    event = steps(rate, noise, count)
    grid = 1e-4 if (rate, count) == (0.043, 460) else 1e-3
    losses, renyi = PLDAccountant(value_discretization_interval=grid), RdpAccountant(orders=range(2, 64))
    losses.compose(library_event(event))
    renyi.compose(library_event(event))
    assert pld_epsilon([event], delta=DELTA, grid=grid) == pytest.approx(losses.get_epsilon(DELTA), abs=1e-6)
    assert quick_epsilon([event], delta=DELTA).value <= renyi.get_epsilon(DELTA) + 1e-12


def test_events_of_several_kinds_compose_as_in_dp_accounting() -> None:
    events = [steps(0.043, 1.0, 100), steps(1.0, 5.0, 3), steps(0.25, 10.0, 100)]
    accountant = PLDAccountant(value_discretization_interval=1e-3)
    for event in events:
        accountant.compose(library_event(event))
    assert pld_epsilon(events, delta=DELTA, grid=1e-3) == pytest.approx(accountant.get_epsilon(DELTA), abs=2e-3)


@pytest.mark.parametrize(("rate", "noise", "count"), [(0.043, 1.0, 460), (0.25, 9.481, 100), (1.0, 3.0, 10)])
@pytest.mark.parametrize("delta", [1e-3, 1e-6, 1e-9])
def test_conversion_of_renyi_divergences_equals_dp_accounting(
    rate: float, noise: float, count: int, delta: float
) -> None:
    accountant = RdpAccountant()
    accountant.compose(library_event(steps(rate, noise, count)))
    expected, _ = compute_epsilon(accountant.orders, accountant.rdp, delta)
    assert quick_epsilon([steps(rate, noise, count)], delta=delta).value == pytest.approx(expected, abs=1e-10)


def delta_of_one_step(rate: float, noise: float, value: float) -> mpmath.mpf:
    """Hockey-stick divergence of one sampled Gaussian in 50 digits, the larger of its two directions."""
    with mpmath.workdps(50):
        q, sigma, ratio = mpmath.mpf(rate), mpmath.mpf(noise), mpmath.exp(value)

        def tails(point: mpmath.mpf) -> tuple[mpmath.mpf, mpmath.mpf]:
            without = mpmath.ncdf(-point / sigma)
            return (1 - q) * without + q * mpmath.ncdf((1 - point) / sigma), without

        point = sigma**2 * mpmath.log((ratio - (1 - q)) / q) + 0.5
        with_loan, without = tails(point)
        deltas = [with_loan - ratio * without]
        if 1 / ratio > 1 - q:
            with_loan, without = tails(sigma**2 * mpmath.log((1 / ratio - (1 - q)) / q) + 0.5)
            deltas.append((1 - without) - ratio * (1 - with_loan))
        return max(deltas)


ONE_STEP = [*itertools.product([0.01, 0.25, 0.7], [1.0, 3.0]), (0.999, 4.0)]
MORE_STEPS = sorted(
    {*itertools.product([0.01, 0.03, 0.1, 0.25, 0.5, 0.7, 0.9], [0.8, 1.0, 1.5, 2.0, 3.0, 5.0, 0.6])} - {*ONE_STEP}
)


@pytest.mark.parametrize(
    ("rate", "noise"), [*ONE_STEP, *(pytest.param(*case, marks=pytest.mark.long) for case in MORE_STEPS)]
)
def test_one_sampled_step_equals_its_formula_in_fifty_digits(rate: float, noise: float) -> None:
    value = epsilon([steps(rate, noise, 1)], delta=DELTA).value
    exact = float(mpmath.findroot(lambda x: delta_of_one_step(rate, noise, x) / DELTA - 1, value))
    assert value == pytest.approx(exact, rel=1e-4)
    assert value >= exact - 1e-9


@pytest.mark.parametrize(("noise", "count"), [(0.6, 460), (1.0, 460), (3.0, 1), (20.0, 100), (500.0, 1)])
def test_unsampled_gaussians_equal_balle_and_wang_in_fifty_digits(noise: float, count: int) -> None:
    value = epsilon([steps(1.0, noise, count)], delta=DELTA).value
    with mpmath.workdps(50):
        sigma = mpmath.mpf(noise) / mpmath.sqrt(count)
        half, shift = 1 / (2 * sigma), sigma * mpmath.mpf(value)
        delta = mpmath.ncdf(half - shift) - mpmath.exp(value) * mpmath.ncdf(-half - shift)
    assert float(delta / mpmath.mpf(DELTA)) == pytest.approx(1.0, rel=1e-6)
    assert delta <= DELTA


@pytest.mark.parametrize(("rate", "noise", "count"), [(0.043, 1.0, 460), (0.25, 2.892, 100)])
def test_opacus_prv_agrees(rate: float, noise: float, count: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from opacus.accountants import PRVAccountant

        accountant = PRVAccountant()
        accountant.history = [(noise, rate, count)]
        theirs = accountant.get_epsilon(DELTA)
    assert epsilon([steps(rate, noise, count)], delta=DELTA).value == pytest.approx(theirs, abs=0.03)


@pytest.mark.long
def test_on_three_hundred_points_the_bounds_are_ordered_and_opacus_prv_agrees() -> None:
    """PRV is asked where it is quick and sound: epsilon from .1 to 12."""
    agreed, points = 0, list(itertools.product(RATES, NOISES, COUNTS))
    assert len(points) == 300
    for rate, noise, count in points:
        events = [steps(rate, noise, count)]
        losses, renyi = pld_epsilon(events, delta=DELTA, grid=1e-3), quick_epsilon(events, delta=DELTA).value
        # A coarse grid loosens many steps at a small rate.
        assert renyi >= losses - 1e-9 or renyi >= pld_epsilon(events, delta=DELTA, grid=1e-4) - 1e-9
        if 0.1 < losses < 12.0:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                from opacus.accountants import PRVAccountant

                accountant = PRVAccountant()
                accountant.history = [(noise, rate, count)]
                assert epsilon(events, delta=DELTA).value == pytest.approx(accountant.get_epsilon(DELTA), abs=0.03)
            agreed += 1
    assert agreed >= 150


def test_opacus_per_round_accountant_says_what_ours_says_of_one_round_and_less_than_the_run() -> None:
    # Flower's Opacus example: a fresh accountant for each message; 4,000 rows, batch 32, one epoch a round.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from opacus.accountants import RDPAccountant

        def opacus_epsilon(rounds: int) -> float:
            accountant = RDPAccountant()
            accountant.history = [(1.0, 1 / 125, 125 * rounds)]
            return float(accountant.get_epsilon(DELTA))

        theirs = [opacus_epsilon(rounds) for rounds in (1, 3, 10, 100)]
    assert theirs == pytest.approx([1.12, 1.32, 1.86, 5.88], abs=0.01)
    ours = [bound.value for bound in epsilon_curve(steps(1 / 125, 1.0, 125), [1, 3, 10, 100], DELTA)]
    assert ours == pytest.approx(theirs, abs=0.02)

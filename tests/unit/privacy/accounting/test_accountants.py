from __future__ import annotations

import inspect
import itertools
import math
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcredit.privacy.accounting import accountants
from fedcredit.privacy.accounting.accountants import epsilon, epsilon_curve, pld_epsilon, quick_epsilon
from fedcredit.privacy.accounting.events import Event, Events, GaussianSteps, MixtureGaussianSteps

DELTA = 1e-5


def steps(rate: float, noise: float, count: int) -> GaussianSteps:
    return GaussianSteps(sampling_probability=rate, noise_multiplier=noise, num_steps=count)


HALVES = math.log1p(4.0 * math.expm1(1.0))
RUNNING_EXAMPLE = steps(0.043, 1.0, 460)


@pytest.mark.parametrize(("lenders", "expected"), [(1, 6.10), (2, 8.81), (3, 11.06)])
def test_running_example_at_one_two_and_three_lenders(lenders: int, expected: float) -> None:
    # Measured with dp-accounting 0.6.0 for the running example: q .043, 460 steps, sigma 1, delta 1e-5.
    bound = epsilon([RUNNING_EXAMPLE] * lenders, delta=DELTA)
    assert bound.value == pytest.approx(expected, abs=0.005)
    assert (bound.accountant, bound.target_delta) == ("pld", DELTA)
    assert bound.grid is not None
    assert bound.grid <= 1e-4


@pytest.mark.parametrize(
    ("noise", "renyi", "pld"),
    # dp-accounting 0.6.0, rate .043, 460 steps, delta 1e-5, both to two decimals.
    [
        (0.6, 22.60, 20.08), (0.7, 15.18, 13.53), (0.8, 11.00, 9.83), (1.0, 6.76, 6.10),
        (1.2, 4.81, 4.36), (1.5, 3.36, 3.06), (2.0, 2.24, 2.05),
    ],
)  # fmt: skip
def test_published_table_of_noise_multipliers(noise: float, renyi: float, pld: float) -> None:
    events = [steps(0.043, noise, 460)]
    assert quick_epsilon(events, delta=DELTA).value == pytest.approx(renyi, abs=0.006)
    assert epsilon(events, delta=DELTA).value == pytest.approx(pld, abs=0.006)


@pytest.mark.parametrize(("delta", "expected"), [(1e-3, 4.22), (1e-4, 5.21), (1e-6, 6.92)])
def test_running_example_at_other_deltas(delta: float, expected: float) -> None:
    # Source as above.
    assert epsilon([RUNNING_EXAMPLE], delta=delta).value == pytest.approx(expected, abs=0.006)


def test_unsampled_gaussians_have_a_closed_form() -> None:
    # 460 Gaussians at delta 1e-5: 321 at sigma 1, and 790.40 at sigma .6, where a grid says 791.34.
    assert epsilon([steps(1.0, 1.0, 460)], delta=DELTA).value == pytest.approx(321, abs=0.5)
    bound = epsilon([steps(1.0, 0.6, 460)], delta=DELTA)
    assert bound.value == pytest.approx(790.40, abs=0.005)
    assert (bound.accountant, bound.grid) == ("closed_form", None)


def test_unsampled_gaussians_add_in_inverse_variance() -> None:
    both = epsilon([steps(1.0, 3.0, 9), steps(1.0, 4.0, 48)], delta=DELTA).value
    assert both == pytest.approx(epsilon([steps(1.0, 0.5, 1)], delta=DELTA).value, rel=1e-9)


def test_no_noise_costs_infinity_and_no_events_cost_nothing() -> None:
    assert epsilon([steps(0.1, 0.0, 1), RUNNING_EXAMPLE], delta=DELTA).value == math.inf
    assert quick_epsilon([steps(1.0, 0.0, 1)], delta=DELTA).value == math.inf
    assert epsilon([], delta=DELTA).value == 0.0
    assert quick_epsilon([], delta=DELTA).value == 0.0
    assert pld_epsilon([], delta=DELTA, grid=1e-3) == 0.0


@pytest.mark.parametrize(
    ("rate", "noise", "count"),
    [
        *itertools.product([0.001, 0.02, 0.25, 0.9], [0.7, 1.5, 5.0], [1, 30, 300]),
        *itertools.product([0.043, 0.5], [1.0, 20.0], [10, 1000]),
        (1e-4, 0.5, 10_000),
        (0.25, 17.7, 100),
    ],
)
def test_renyi_is_never_below_the_privacy_loss_distribution(rate: float, noise: float, count: int) -> None:
    events = [steps(rate, noise, count)]
    assert quick_epsilon(events, delta=DELTA).value >= pld_epsilon(events, delta=DELTA, grid=1e-3) - 1e-9


@pytest.mark.parametrize(("rate", "noise", "count"), [(0.02, 1.5, 30), (0.25, 5.0, 400), (0.9, 5.0, 30)])
def test_reported_is_the_smaller_bound_and_halving_the_grid_changes_little(
    rate: float, noise: float, count: int
) -> None:
    events = [steps(rate, noise, count)]
    reported = epsilon(events, delta=DELTA)
    assert reported.grid is not None
    same = pld_epsilon(events, delta=DELTA, grid=reported.grid)
    assert reported.value == min(same, quick_epsilon(events, delta=DELTA).value)
    assert pld_epsilon(events, delta=DELTA, grid=reported.grid / 2.0) == pytest.approx(same, rel=0.005)


def test_grid_is_refined_until_it_no_longer_matters() -> None:
    # On a grid of 1e-4 this is .214, and .2095 on 2e-5: many steps at a small rate loosen a coarse grid.
    events = [steps(0.001, 5.0, 100_000)]
    bound = epsilon(events, delta=DELTA)
    assert bound.grid is not None
    assert bound.grid < 1e-4
    assert pld_epsilon(events, delta=DELTA, grid=1e-4) == pytest.approx(0.2139, abs=1e-4)
    assert bound.value == pytest.approx(0.2095, rel=0.002)


def prices_by_grid(monkeypatch: pytest.MonkeyPatch, price: Callable[[float], float]) -> list[float]:
    """Put a price of its grid alone in the place of the real one, on a finest grid of 1; give the grids it is asked."""
    asked = []

    def priced(events: Events, *, delta: float, grid: float) -> float:
        asked.append(grid)
        return price(grid)

    monkeypatch.setattr(accountants, "finest_grid", lambda events: 1.0)
    monkeypatch.setattr(accountants, "pld_epsilon", priced)
    return asked


def test_a_price_that_never_settles_is_refined_by_halves_down_to_the_finest_grid_and_no_further(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = prices_by_grid(monkeypatch, lambda grid: grid)
    assert accountants._refined_pld((RUNNING_EXAMPLE,), DELTA, 8.0) == (1.0, 1.0)
    assert asked == [80.0, 8.0, 4.0, 2.0, 1.0]
    assert accountants._refined_pld((RUNNING_EXAMPLE,), DELTA, 3.0) == (1.5, 1.5)
    assert accountants._refined_pld((RUNNING_EXAMPLE,), DELTA, 0.1) == (1.0, 1.0)


@pytest.mark.parametrize(("coarse", "grid"), [(201.0, 8.0), (199.0, 8.0), (200.0, 8.0), (201.1, 4.0), (198.9, 4.0)])
def test_a_price_is_settled_where_a_finer_grid_moves_it_by_half_a_percent_or_less(
    monkeypatch: pytest.MonkeyPatch, coarse: float, grid: float
) -> None:
    prices_by_grid(monkeypatch, lambda grid: coarse if grid > 8.0 else 200.0)
    assert accountants._refined_pld((RUNNING_EXAMPLE,), DELTA, 8.0) == (200.0, grid)


@pytest.mark.parametrize(
    ("events", "expected"),
    # At noise 0.1 (a tenth of a row's clipping norm) a loss has variance 100 and a step reaches 50 + 100 = 150.
    [
        ([(1.0, 0.1, 1, 1)], 150 / 2**21),  # more than (20 * 10 + 150) / 2**23
        ([(1.0, 0.1, 100, 1)], (20 * 100 + 150) / 2**23),
        ([(1.0, 0.1, 99, 1), (1.0, 0.1, 1, 1)], (20 * 100 + 150) / 2**23),
        ([(1.0, 1.0, 10_000 - 400, 1), (1.0, 0.5, 100, 1)], (20 * 100 + 22) / 2**23),
        ([(1.0, 0.04, 1, 1)], 562.5 / 2**21),  # variance 625, a step reaches 312.5 + 250
        ([(1.0, 0.04, 16, 1)], (20 * 100 + 562.5) / 2**23),
        # sampled by half, at 1 / sigma^2 = w = ln(1 + 4 (e - 1)) the variance ln(1 + (exp(w) - 1) / 4) is 1
        ([(0.5, HALVES**-0.5, 10_000, 1)], (20 * 100 + 0.5 * HALVES + 10.0 * HALVES**0.5) / 2**23),
        ([(0.5, 520**-0.5, 100, 1)], (20 * 52_000**0.5 + 260 + 10 * 520**0.5) / 2**23),  # w itself from 500 on
        ([(0.25, 0.2, 1, 2)], 150 / 2**21),
        ([(0.25, 0.4, 1, 4)], 150 / 2**21),
        ([(0.25, 0.8, 1, 8)], 2 * 150 / 2**21),
        ([(0.25, 8.0, 1, 8), (1.0, 0.1, 1, 1)], 2 * 150 / 2**21),
    ],
)
def test_the_finest_grid_has_2_23_points_for_a_run_and_2_21_for_a_step_fewer_with_more_than_four_rows(
    events: list[tuple[float, float, int, int]], expected: float
) -> None:
    found = accountants.finest_grid(tuple(steps_of_rows(*event) for event in events))
    assert found == pytest.approx(expected, rel=1e-9)


def steps_of_rows(rate: float, noise: float, count: int, rows: int) -> Event:
    if rows == 1:
        return steps(rate, noise, count)
    return MixtureGaussianSteps(sampling_probability=rate, noise_multiplier=noise, num_steps=count, max_rows=rows)


def test_renyi_alone_counts_where_rounding_in_the_transform_would_show() -> None:
    bound = epsilon([RUNNING_EXAMPLE], delta=1e-11)
    assert bound.accountant == "rdp"
    assert bound == quick_epsilon([RUNNING_EXAMPLE], delta=1e-11)


def test_mixed_events_compose_across_rate_noise_and_sampling() -> None:
    parts = [RUNNING_EXAMPLE, steps(1.0, 5.0, 1), steps(0.25, 10.0, 100)]
    mixed = epsilon(parts, delta=DELTA).value
    alone = [epsilon([part], delta=DELTA).value for part in parts]
    assert max(alone) < mixed < sum(alone)
    assert mixed == epsilon(reversed(parts), delta=DELTA).value


def test_rounds_compose_and_one_round_is_not_the_run() -> None:
    # One epoch of 4,000 rows in batches of 32 a round, sigma 1, delta 1e-5, RDP of Opacus 1.6.0:
    # 1.12 after one round (shown for ever by an accountant born each round), 1.32, 1.86, 5.88.
    per_round = steps(32 / 4000, 1.0, 125)
    curve = [bound.value for bound in epsilon_curve(per_round, [0, 1, 3, 10, 100], DELTA)]
    assert curve == pytest.approx([0.0, 1.12, 1.32, 1.86, 5.88], abs=0.02)
    for count, quick in zip([1, 3, 10, 100], curve[1:], strict=True):
        composed = epsilon([per_round] * count, delta=DELTA).value
        assert composed == epsilon([per_round.times(count)], delta=DELTA).value
        assert composed <= quick


def two_of(values: list[float]) -> st.SearchStrategy[list[float]]:
    return st.lists(st.sampled_from(values), min_size=2, max_size=2).map(sorted)


@settings(max_examples=1000)
@given(
    two_of([1e-4, 0.003, 0.04, 0.25, 0.8, 1.0]), two_of([0.6, 1.0, 1.7, 4.0, 12.0]), two_of([1, 2, 10, 99, 100, 5000])
)
def test_epsilon_never_falls_with_steps_or_rate_and_never_rises_with_noise(
    rates: list[float], noises: list[float], counts: list[int]
) -> None:
    cheap = quick_epsilon([steps(rates[0], noises[1], counts[0])], delta=DELTA).value
    for dearer in (
        (rates[1], noises[1], counts[0]),
        (rates[0], noises[0], counts[0]),
        (rates[0], noises[1], counts[1]),
    ):
        assert quick_epsilon([steps(*dearer)], delta=DELTA).value >= cheap * (1.0 - 1e-9)


def test_replace_one_and_central_limit_accountants_are_not_offered() -> None:
    for function in (epsilon, quick_epsilon, pld_epsilon, epsilon_curve):
        assert not {"relation", "neighboring_relation", "accountant"} & set(inspect.signature(function).parameters)
    assert "REPLACE" not in inspect.getsource(accountants)


@pytest.mark.parametrize("delta", [0.0, 1.0, -1e-5, math.nan])
def test_delta_outside_its_range_is_refused(delta: float) -> None:
    for price in (epsilon, quick_epsilon):
        with pytest.raises(ValueError, match="delta is"):
            price([RUNNING_EXAMPLE], delta=delta)


@pytest.mark.parametrize("grid", [0.0, -1.0, math.inf, math.nan])
def test_grid_outside_its_range_is_refused(grid: float) -> None:
    with pytest.raises(ValueError, match="grid is"):
        epsilon([RUNNING_EXAMPLE], delta=DELTA, grid=grid)


@pytest.mark.parametrize(("rate", "noise", "count"), [(1e-9, 1.0, 1000), (0.5, 1000.0, 1), (1 - 1e-9, 8.0, 10)])
def test_odd_corners_give_a_finite_bound(rate: float, noise: float, count: int) -> None:
    bound = epsilon([steps(rate, noise, count)], delta=1e-6)
    assert 0.0 <= bound.value <= quick_epsilon([steps(rate, noise, count)], delta=1e-6).value + 1e-9


@pytest.mark.parametrize(("noise", "steps"), [(1e-155, 2), (1e-160, 1), (1e8, 10**6)])
def test_a_divergence_that_is_no_number_or_negative_never_makes_a_release_free(noise: float, steps: int) -> None:
    event = GaussianSteps(sampling_probability=0.25, noise_multiplier=noise, num_steps=steps)
    assert quick_epsilon([event], delta=1e-11).value > 0.0
    assert epsilon([event], delta=1e-11).value > 0.0

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import dp_accounting
import numpy as np
import pytest
from dp_accounting.pld import privacy_loss_distribution
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.stats import binom, norm

from fedcredit.errors import InputError
from fedcredit.privacy.accounting import mixture
from fedcredit.privacy.accounting.accountants import epsilon, pld_epsilon, quick_epsilon
from fedcredit.privacy.accounting.book import intent_body
from fedcredit.privacy.accounting.calibration import calibrate
from fedcredit.privacy.accounting.events import (
    Event,
    GaussianSteps,
    MixtureGaussianSteps,
    for_rows,
    merge,
    rows_of,
    simplest,
)
from fedcredit.privacy.accounting.ledger import NoiseDrawsError, PrivacyLedger, Release, read_ledger
from fedcredit.privacy.reading import read

DELTA = 1e-5


def steps(rate: float, noise: float, count: int, rows: int) -> MixtureGaussianSteps:
    return MixtureGaussianSteps(sampling_probability=rate, noise_multiplier=noise, num_steps=count, max_rows=rows)


def hockey_stick(event: MixtureGaussianSteps, epsilon: float, *, added: bool) -> float:
    """The divergence of one step by adaptive quadrature of the densities themselves."""
    shift, sigma = np.arange(event.max_rows + 1), event.noise_multiplier
    chances = binom.pmf(shift, event.max_rows, event.sampling_probability)

    def excess(x: float) -> float:
        with_rows, without = float(chances @ norm.pdf(x, shift, sigma)), float(norm.pdf(x, 0.0, sigma))
        first, second = (without, with_rows) if added else (with_rows, without)
        return first - math.exp(epsilon) * second

    low, high = -12.0 * sigma, event.max_rows + 12.0 * sigma
    if excess(low) > 0.0 and excess(high) > 0.0:
        pieces = np.linspace(low, high, 20)
    elif excess(low) <= 0.0 and excess(high) <= 0.0:
        return 0.0
    else:
        threshold = brentq(excess, low, high, xtol=1e-14, rtol=1e-15)
        pieces = np.linspace(*((low, threshold) if added else (threshold, high)), 20)
    return math.fsum(quad(excess, *ends, epsabs=1e-15, epsrel=1e-13)[0] for ends in itertools.pairwise(pieces))


@pytest.mark.parametrize(
    ("sigma", "rows", "expected"),
    # dp-accounting 0.6.0's mixture of Gaussians on a grid of 1e-4: q .043, 460 steps, delta 1e-5.
    [(1.0, 2, 13.994), (1.0, 3, 23.3), (1.0, 5, 46.1), (2.0, 2, 4.5), (2.0, 3, 7.3), (2.0, 5, 13.6)],
)
def test_running_example_for_a_borrower_with_several_rows(sigma: float, rows: int, expected: float) -> None:
    bound = epsilon([steps(0.043, sigma, 460, rows)], delta=DELTA)
    assert bound.value == pytest.approx(expected, abs=0.06)
    if rows == 2 and sigma == 1.0:
        assert bound.value == pytest.approx(14.0, rel=0.005)
        assert bound.value == pytest.approx(13.99393671, abs=1e-6)


@pytest.mark.parametrize("added", [False, True])
@pytest.mark.parametrize(("rate", "sigma", "rows"), [(0.043, 1.0, 2), (0.3, 0.7, 3), (0.25, 5.0, 12), (0.9, 2.0, 4)])
def test_one_step_is_what_quadrature_of_the_densities_says(rate: float, sigma: float, rows: int, added: bool) -> None:
    event, grid = steps(rate, sigma, 1, rows), 1e-3
    found = mixture.losses(event, grid)
    pmf = found._pmf_add if added else found._pmf_remove
    for value in (-0.05, 0.0, 0.05, 0.2, 0.6, 1.5):
        true = hockey_stick(event, value, added=added)
        stated = float(pmf.get_delta_for_epsilon(value))
        assert true - 1e-10 <= stated <= true + 1e-6


@pytest.mark.parametrize(("rate", "sigma", "count", "rows"), [(0.25, 17.0, 100, 3), (0.1, 4.0, 20, 2)])
def test_composition_is_that_of_the_librarys_own_mixture(rate: float, sigma: float, count: int, rows: int) -> None:
    shift = list(range(rows + 1))
    oracle = privacy_loss_distribution.from_mixture_gaussian_mechanism(
        sigma, shift, binom.pmf(shift, rows, rate), value_discretization_interval=1e-3
    ).self_compose(count)
    found = pld_epsilon([steps(rate, sigma, count, rows)], delta=DELTA, grid=1e-3)
    assert found == pytest.approx(oracle.get_epsilon_for_delta(DELTA), rel=1e-7)


def test_one_row_is_loan_level_and_is_kept_under_the_same_name() -> None:
    loan = GaussianSteps(sampling_probability=0.043, noise_multiplier=1.0, num_steps=460)
    one = steps(0.043, 1.0, 460, 1)
    assert simplest(one) == loan == for_rows(loan, 1)
    assert epsilon([one], delta=DELTA) == epsilon([loan], delta=DELTA)
    assert quick_epsilon([one], delta=DELTA) == quick_epsilon([loan], delta=DELTA)
    assert read([one]) == read([loan])


def test_mixture_of_one_row_by_its_own_arithmetic_is_the_sampled_gaussian() -> None:
    event = steps(0.2, 1.5, 1, 1)
    composed = mixture.losses(event, 1e-3).self_compose(50)
    plain = GaussianSteps(sampling_probability=0.2, noise_multiplier=1.5, num_steps=50)
    assert composed.get_epsilon_for_delta(DELTA) == pytest.approx(
        pld_epsilon([plain], delta=DELTA, grid=1e-3), rel=1e-6
    )
    accountant = dp_accounting.rdp.RdpAccountant()
    accountant.compose(dp_accounting.PoissonSampledDpEvent(0.2, dp_accounting.GaussianDpEvent(1.5)))
    # Its series is exact at whole orders and loose between them.
    whole = [place for place, order in enumerate(accountant.orders) if float(order).is_integer()]
    assert len(whole) > 40
    found = mixture.renyi(event, [float(order) for order in accountant.orders])
    assert found[whole] == pytest.approx(np.asarray(accountant.rdp)[whole], rel=1e-6, abs=1e-8)
    assert np.all(found <= np.asarray(accountant.rdp) * (1.0 + 1e-6) + 1e-8)


@pytest.mark.parametrize("sigma", [0.6, 1.0, 5.0])
def test_the_place_of_a_loss_has_that_loss_however_coarse_the_table_that_the_search_begins_with(sigma: float) -> None:
    chances, _ = mixture.shifts(steps(0.1, sigma, 1, 3))
    table = np.linspace(-10.0 * sigma, 3.0 + 10.0 * sigma, 5)
    levels = mixture._loss(table, chances, sigma)[0]
    wanted = np.linspace(levels[0], levels[-1], 401)
    places = mixture._places(wanted, table, levels, chances, sigma)
    assert mixture._loss(places, chances, sigma)[0] == pytest.approx(wanted, rel=1e-12, abs=1e-12)


def test_divergence_of_order_two_has_a_closed_form() -> None:
    for event in (steps(0.043, 1.0, 1, 2), steps(0.25, 17.0, 1, 12), steps(0.9, 2.0, 1, 5)):
        assert mixture.renyi(event, [2.0])[0] == pytest.approx(mixture.log_second_moment(event), rel=1e-6, abs=2e-9)


def test_without_sampling_the_rows_shift_together() -> None:
    together = GaussianSteps(sampling_probability=1.0, noise_multiplier=2.0, num_steps=3)
    assert epsilon([steps(1.0, 6.0, 3, 3)], delta=DELTA) == epsilon([together], delta=DELTA)


@pytest.mark.parametrize(
    ("rate", "sigma", "count", "rows"),
    [(0.043, 1.0, 460, 2), (0.5, 3.0, 10, 4), (0.01, 0.6, 5, 3), (0.25, 17.0, 100, 9)],
)
def test_renyi_is_never_below_the_privacy_loss_distribution(rate: float, sigma: float, count: int, rows: int) -> None:
    events = [steps(rate, sigma, count, rows)]
    assert quick_epsilon(events, delta=DELTA).value >= pld_epsilon(events, delta=DELTA, grid=1e-3) - 1e-9
    assert quick_epsilon(events, delta=1e-11) == epsilon(events, delta=1e-11)


@settings(max_examples=25)
@given(st.sampled_from([0.003, 0.25, 0.8, 1.0]), st.sampled_from([2.0, 15.0]), st.integers(1, 4))
def test_another_row_never_costs_less(rate: float, sigma: float, rows: int) -> None:
    fewer, more = (quick_epsilon([steps(rate, sigma, 20, m)], delta=DELTA).value for m in (rows, rows + 1))
    assert more >= fewer * (1.0 - 1e-9)


def test_several_rows_cost_more_than_as_many_lenders_and_less_than_group_privacy() -> None:
    loan = GaussianSteps(sampling_probability=0.25, noise_multiplier=17.0, num_steps=100)
    for rows in (2, 3):
        price = epsilon([for_rows(loan, rows)], delta=DELTA).value
        sampled_together = GaussianSteps(sampling_probability=0.25, noise_multiplier=17.0 / rows, num_steps=100)
        assert epsilon([loan] * rows, delta=DELTA).value < price < epsilon([sampled_together], delta=DELTA).value


def test_mixtures_and_single_rows_compose_in_any_order() -> None:
    parts: list[Event] = [
        steps(0.1, 4.0, 20, 2),
        GaussianSteps(sampling_probability=0.1, noise_multiplier=4.0, num_steps=20),
        steps(0.1, 4.0, 5, 2),
    ]
    assert [(rows_of(event), event.num_steps) for event in merge(parts)] == [(1, 20), (2, 25)]
    assert epsilon(parts, delta=DELTA) == epsilon(reversed(parts), delta=DELTA)
    alone = [epsilon([part], delta=DELTA).value for part in parts]
    assert max(alone) < epsilon(parts, delta=DELTA).value < sum(alone)


@pytest.mark.parametrize(("rate", "rows"), [(0.25, 2), (0.1, 4), (1.0, 3)])
def test_calibration_keeps_the_target_and_half_a_per_cent_less_noise_does_not(rate: float, rows: int) -> None:
    noise = calibrate(target_epsilon=2.0, delta=DELTA, sampling_probability=rate, num_steps=50, max_rows=rows)
    assert epsilon([steps(rate, noise, 50, rows)], delta=DELTA).value <= 2.0
    assert epsilon([steps(rate, 0.995 * noise, 50, rows)], delta=DELTA).value > 2.0


@pytest.mark.parametrize(
    ("rate", "sigma", "count", "rows"), [(0.25, 3.0, 5, 200), (0.9, 20.0, 3, 150), (1e-3, 1.0, 1, 40)]
)
def test_many_rows_give_a_number_that_is_no_less_than_for_fewer(
    rate: float, sigma: float, count: int, rows: int
) -> None:
    few, many = (epsilon([steps(rate, sigma, count, m)], delta=DELTA).value for m in (3, rows))
    assert few < many < math.inf


def test_reading_grows_with_rows() -> None:
    advantages = [read([steps(0.25, 17.0, 100, rows)]).advantage for rows in (1, 2, 4)]
    assert advantages == sorted(set(advantages))


@pytest.mark.parametrize(("rate", "sigma", "rows"), [(0.1, 0.0, 2), (1.0, 0.0, 3)])
def test_rows_without_noise_cost_infinity(rate: float, sigma: float, rows: int) -> None:
    assert epsilon([steps(rate, sigma, 1, rows)], delta=DELTA).value == math.inf


@pytest.mark.parametrize("rows", [0, -1, 1.0, True])
def test_rows_outside_their_range_are_refused(rows: int) -> None:
    with pytest.raises(ValueError, match="max_rows is"):
        steps(0.1, 1.0, 1, rows)


def test_rows_of_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="rows already"):
        for_rows(steps(0.1, 1.0, 1, 2), 2)


def release(event: Event, server_round: int = 1) -> Release:
    return Release(name="federation", server_round=server_round, event=event, digest=f"d{server_round}")


def opened(path: Path) -> PrivacyLedger:
    return PrivacyLedger.open(path, institution="north", fingerprint="f" * 64, mode="simulated", unit="borrower")


def test_ledger_holds_what_was_intended_with_its_rows(tmp_path: Path) -> None:
    path, event = tmp_path / "north.jsonl", steps(0.25, 9.0, 2, 3)
    with opened(path) as ledger:
        for server_round in (1, 2):
            ledger.intend(release(event, server_round))
            ledger.commit(release(event, server_round), num_noise_draws=2)
    assert read_ledger(path).events() == (event.times(2),)
    assert read_ledger(path).unit == "borrower"
    with opened(path) as ledger:
        ledger.intend(release(event, 2))
        assert ledger.events() == (event.times(2),)
        with pytest.raises(InputError, match="round 2"):
            ledger.intend(Release(name="federation", server_round=2, event=event, digest="other"))


def test_a_replay_for_fewer_rows_is_charged_again_and_draws_beyond_are_charged_with_their_rows(tmp_path: Path) -> None:
    event = steps(0.25, 9.0, 2, 3)
    with opened(tmp_path / "north.jsonl") as ledger:
        ledger.intend(release(event))
        with pytest.raises(NoiseDrawsError):
            ledger.commit(release(event), num_noise_draws=3)
        ledger.intend(release(steps(0.25, 9.0, 2, 2)))
        assert ledger.events() == (steps(0.25, 9.0, 2, 2), steps(0.25, 9.0, 3, 3))


def test_a_reader_that_knows_no_rows_finds_no_numbers_to_price(tmp_path: Path) -> None:
    body = intent_body(release(steps(0.25, 9.0, 2, 3)))
    assert not {"sampling_probability", "noise_multiplier", "num_steps"} & set(body)
    assert json.loads(json.dumps(body))["event"]["max_rows"] == 3

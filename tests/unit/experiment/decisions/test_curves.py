"""Curves of profit and loss against what they are made of."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedcredit.credit.approval import CutOff, Terms, accept, approve
from fedcredit.credit.concentration import simulated_losses
from fedcredit.credit.lending import LendingPolicy
from fedcredit.experiment.decisions.curves import APPROVAL_RATES, loss_curve, profit_curve

TERMS = Terms(margin_rate=0.06, lgd_rate=0.75)


@given(st.integers(0, 2**32 - 1))
def test_a_point_of_the_profit_curve_is_what_approving_so_many_earns(seed: int) -> None:
    draw = np.random.default_rng(seed)
    pd, amount = draw.uniform(0.0, 0.3, 80), draw.uniform(0.0, 9.0, 80)
    default = draw.random(80) < pd
    curve = profit_curve("shared", pd, default.astype(float), amount, terms=TERMS, is_true=False)
    assert curve is not None
    points = [
        (CutOff(by="approval_rate", target=rate), p)
        for rate, p in zip(APPROVAL_RATES, curve.points[-len(APPROVAL_RATES) :], strict=True)
    ]
    for policy, point in [*points, (CutOff(terms=TERMS), curve.at_cut_off)]:
        accepted = accept(pd, policy)
        told = approve(pd, default, amount, accepted=accepted, terms=TERMS)
        assert point.approval_rate == pytest.approx(told.approval_rate)
        assert point.profit_per_100_asked == pytest.approx(100.0 * told.profit_amount / amount.sum())


@given(st.integers(0, 2**32 - 1), st.floats(0.02, 0.9))
def test_the_curve_reaches_its_own_cut_off_however_few_it_approves(seed: int, highest: float) -> None:
    pd = np.random.default_rng(seed).uniform(0.0, highest, 300)
    curve = profit_curve("shared", pd, pd, np.ones(300), terms=TERMS, is_true=False)
    assert curve is not None
    rates = [point.approval_rate for point in curve.points]
    assert rates[0] <= max(curve.at_cut_off.approval_rate, 0.0)
    assert rates == sorted(rates)
    assert max(np.diff(rates)) <= 0.03


def test_the_true_pd_earns_most_where_its_own_cut_off_is() -> None:
    truth = np.random.default_rng(3).uniform(0.0, 0.2, 400)
    curve = profit_curve("truth", truth, truth, np.ones(400), terms=TERMS, is_true=True)
    assert curve is not None
    assert curve.at_cut_off.profit_per_100_asked >= max(point.profit_per_100_asked for point in curve.points)


def test_losses_of_a_large_even_pool_are_those_of_the_closed_form() -> None:
    """800 equal loans, 2,000 draws: quantiles passed by at least 40 draws are within 20 % of the limit's."""
    pd, amount, policy = np.full(800, 0.03), np.ones(800), LendingPolicy()
    losses = simulated_losses(
        pd, np.full(800, 0.75), amount, rho=policy.rho, num_draws=2000, generator=np.random.default_rng(5)
    )
    curve = loss_curve(pd, amount, losses, policy=policy)
    assert curve is not None
    assert list(curve.large_pool_rate) == sorted(curve.large_pool_rate)
    for chance, exact, found in zip(curve.exceeded, curve.large_pool_rate, curve.simulated_rate, strict=True):
        if chance * 2000 >= 40:
            assert found == pytest.approx(exact, rel=0.2), chance
        if chance * 2000 < 1:
            assert found is None


def test_an_empty_pool_has_no_curves() -> None:
    none = np.zeros(0)
    assert profit_curve("shared", none, none, none, terms=TERMS, is_true=True) is None
    assert loss_curve(none, none, None, policy=LendingPolicy()) is None

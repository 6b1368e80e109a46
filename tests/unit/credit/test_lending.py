"""What lending by a model comes to, each figure against its definition."""

from __future__ import annotations

import numpy as np
import pytest

from fedcredit.credit.approval import CutOff, Terms, accept, approve
from fedcredit.credit.concentration import basel_capital
from fedcredit.credit.lending import LendingPolicy, lend
from fedcredit.credit.level import level_of
from fedcredit.errors import InputError

PD = np.array([0.01, 0.02, 0.05, 0.2])
DEFAULT = np.array([0, 0, 1, 1])
AMOUNT = np.array([100.0, 300.0, 100.0, 500.0])


def test_figures_of_four_loans_are_those_of_pencil_and_paper() -> None:
    found = lend(PD, DEFAULT, AMOUNT, policy=LendingPolicy(terms=Terms(margin_rate=0.1, lgd_rate=0.6)))
    assert found.approval_rate == 0.75
    assert (found.asked_amount, found.approved_amount) == (1000.0, 500.0)
    assert found.profit_per_100 == pytest.approx(100 * (10 + 30 - 60) / 500)
    assert found.profit_per_100_asked == pytest.approx(100 * (10 + 30 - 60) / 1000)
    assert found.expected_loss_bp == pytest.approx(1e4 * 0.6 * (1 + 6 + 5) / 500)
    assert found.loss_bp == pytest.approx(1e4 * 0.6 * 100 / 500)
    weights = AMOUNT[:3] / 500
    assert found.capital_bp == pytest.approx(1e4 * float(weights @ basel_capital(PD[:3], np.full(3, 0.6))))
    assert found.true_profit_per_100 is None


def test_thickness_times_tranche_loss_adds_up_to_the_expected_loss() -> None:
    policy = LendingPolicy()
    found = lend(PD, DEFAULT, AMOUNT, policy=policy)
    parts = sum(tranche.thickness_rate * found.tranche_loss_bp[tranche.name] for tranche in policy.deal.tranches)
    assert found.expected_loss_bp is not None
    assert parts == pytest.approx(found.expected_loss_bp, rel=1e-6)


def test_profit_at_the_true_pd_is_the_mean_of_profits_over_outcomes() -> None:
    draw = np.random.default_rng(3)
    truth = draw.uniform(0.0, 0.2, 200)
    amount = draw.uniform(1.0, 9.0, 200)
    policy = LendingPolicy()
    chosen = accept(truth, CutOff(terms=policy.terms))
    outcomes = [
        approve(truth, draw.random(200) < truth, amount, accepted=chosen, terms=policy.terms).profit_per_100
        for _ in range(2000)
    ]
    told = lend(truth, np.zeros(200), amount, policy=policy, true_pd=truth).true_profit_per_100
    spread = float(np.std(np.array(outcomes, dtype=float))) / np.sqrt(len(outcomes))
    assert told is not None
    # Four standard errors: wrong once in 15,000.
    assert abs(float(np.mean(np.array(outcomes, dtype=float))) - told) < 4 * spread


def test_no_model_beats_the_true_pd_by_profit_of_all_that_was_asked() -> None:
    draw = np.random.default_rng(5)
    truth, amount = draw.uniform(0.0, 0.2, 300), draw.uniform(1.0, 9.0, 300)
    best = lend(truth, np.zeros(300), amount, policy=LendingPolicy(), true_pd=truth).true_profit_per_100_asked
    for noise in (0.02, 0.1, 0.5):
        blurred = np.clip(truth + noise * draw.standard_normal(300), 0.0, 1.0)
        found = lend(blurred, np.zeros(300), amount, policy=LendingPolicy(), true_pd=truth).true_profit_per_100_asked
        assert found is not None
        assert best is not None
        assert found < best


def test_where_nobody_is_approved_there_is_no_rate() -> None:
    found = lend(np.full(3, 0.5), np.zeros(3), np.ones(3), policy=LendingPolicy())
    assert (found.approved_amount, found.profit_per_100, found.capital_bp) == (0.0, None, None)
    assert found.tranche_loss_bp == {}
    assert found.profit_per_100_asked == 0.0


@pytest.mark.parametrize("rho", [0.0, 1.0, -0.1])
def test_a_correlation_out_of_range_is_named(rho: float) -> None:
    with pytest.raises(InputError, match="rho"):
        LendingPolicy(rho=rho)


def test_a_wrong_level_says_where_it_may_be_chance() -> None:
    few = level_of(np.full(50, 0.08), np.arange(50) < 2)
    many = level_of(np.full(5000, 0.08), np.arange(5000) < 200)
    assert few.ratio == pytest.approx(many.ratio)
    assert "may be chance" in few.warning
    assert many.warning
    assert "may be chance" not in many.warning

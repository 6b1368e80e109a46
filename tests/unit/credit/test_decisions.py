"""Approval, limits, early warning, collections and rings, each against its definition."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedcredit.credit.approval import CutOff, Terms, accept, approve, swap_set
from fedcredit.credit.cash_collection import collection_curve, recovery_curve, roll_rates, self_cure_share
from fedcredit.credit.collections import USUAL_ACTIONS, Action, action_values, assign, uniform_treatment
from fedcredit.credit.early_warning import NEVER, AlarmPolicy, early_warning, first_alarms, first_late_months
from fedcredit.credit.fraud_rings import ReviewPolicy, join_by_keys, review, ring_score
from fedcredit.credit.level import level_of
from fedcredit.credit.limits import (
    LimitPolicy,
    dynamic_limits,
    exposure_at_default,
    limit_amounts,
    money_of_limits,
)
from fedcredit.credit.reject_inference import acceptance_weights, fuzzy_augmentation

SHARES = st.lists(st.integers(0, 20), min_size=1, max_size=30).map(lambda places: np.array(places) / 20)


@given(SHARES, st.floats(0.01, 1.0))
def test_a_target_bad_rate_is_the_largest_set_of_safest_loans_that_keeps_it(pd: np.ndarray, target: float) -> None:
    chosen = accept(pd, CutOff(by="bad_rate", target=target))
    allowed = [pd <= cut for cut in np.unique(pd) if pd[pd <= cut].mean() <= target + 1e-12]
    expected = max(allowed, key=np.count_nonzero) if allowed else np.zeros(pd.size, bool)
    assert np.array_equal(chosen, expected)


@given(SHARES, st.floats(0.01, 1.0))
def test_a_target_approval_rate_is_never_passed_and_decides_equals_alike(pd: np.ndarray, target: float) -> None:
    chosen = accept(pd, CutOff(by="approval_rate", target=target))
    assert chosen.sum() <= target * pd.size + 1e-9
    assert not chosen.any() or pd[chosen].max() < pd[~chosen].min(initial=np.inf)


@given(SHARES, st.floats(0.01, 0.5), st.floats(0.1, 1.0))
def test_the_profit_cut_off_beats_every_other_where_predictions_are_true(
    pd: np.ndarray, margin: float, lgd: float
) -> None:
    terms = Terms(margin_rate=margin, lgd_rate=lgd)
    worth = (1 - pd) * margin - pd * lgd
    chosen = accept(pd, CutOff(terms=terms))
    best = max(float(worth[pd <= cut].sum()) for cut in [-1.0, *pd])
    assert worth[chosen].sum() == pytest.approx(max(best, 0.0), abs=1e-9)


def test_the_swap_set_accounts_for_the_whole_change_of_profit() -> None:
    draw = np.random.default_rng(4)
    pd, amount = draw.random(500), draw.integers(1, 100, 500).astype(float)
    default = draw.random(500) < pd
    before, after = pd < 0.3, draw.random(500) < 0.4
    terms = Terms(margin_rate=0.2, lgd_rate=0.5)
    swap = swap_set(default, amount, before=before, after=after, terms=terms)
    profits = [approve(pd, default, amount, accepted=side, terms=terms).profit_amount for side in (before, after)]
    assert swap.profit_change_amount == pytest.approx(profits[1] - profits[0])
    assert swap.num_swapped_in - swap.num_swapped_out == after.sum() - before.sum()
    money = approve(pd, default, amount, accepted=before, terms=terms)
    assert money.expected_loss_amount == pytest.approx(sum((0.5 * pd * amount)[before]))
    assert money.profit_per_100 == pytest.approx(100 * money.profit_amount / money.approved_amount)


def test_acceptance_weights_bring_back_the_mean_of_all_applicants() -> None:
    draw = np.random.default_rng(5)
    income = draw.normal(size=40_000)
    chance = 1 / (1 + np.exp(-income))
    accepted = draw.random(income.size) < chance
    weight = acceptance_weights(chance[accepted])
    assert income[accepted].mean() > 0.4
    assert np.average(income[accepted], weights=weight) == pytest.approx(0.0, abs=0.05)


def test_fuzzy_loans_carry_each_applicant_once_and_harshness_moves_the_odds() -> None:
    found = fuzzy_augmentation([0.2, 0.5], harshness=2.0)
    assert np.bincount(found.applicant, weights=found.weight).tolist() == pytest.approx([1.0, 1.0])
    bad = found.weight[found.default == 1]
    assert (bad / (1 - bad)).tolist() == pytest.approx([0.5, 2.0])


def test_limits_are_the_smallest_of_their_reasons() -> None:
    policy = LimitPolicy(cap_amount=10_000, debt_service_rate=0.5, expected_loss_amount=100, conversion_factor=0.5,
                         tenor_months=10, monthly_rate=0.0)  # fmt: skip
    limits = limit_amounts(
        pd=[0.0, 0.1, 0.001, 0.1], lgd=[0.5] * 4, income_amount=[9000, 9000, 1000, 1000],
        other_debt_service_amount=[0, 0, 0, 900], policy=policy,
    )  # fmt: skip
    assert limits.tolist() == pytest.approx([10_000, 4000, 5000, 0])
    annuity = LimitPolicy(tenor_months=3, monthly_rate=0.01).annuity_factor
    assert annuity == pytest.approx(sum(1.01**-month for month in (1, 2, 3)))
    assert exposure_at_default([5, 9], [10, 6], conversion_factor=0.4).tolist() == [7, 9]


def test_limits_move_with_hysteresis() -> None:
    policy = LimitPolicy(least_change_rate=0.2, months_between_raises=3, cut_rate=0.5, risk_factor=2.0)
    wanted = np.array([[110.0], [150], [300], [300], [300], [300], [300], [60]])
    pd = np.array([[0.01], [0.01], [0.01], [0.01], [0.02], [0.02], [0.01], [0.01]])
    late = np.zeros((8, 1), dtype=bool)
    path = dynamic_limits(start_amount=[100.0], wanted_amount=wanted, pd=pd, is_late=late, policy=policy)
    assert path[:, 0].tolist() == [100, 150, 150, 150, 75, 75, 300, 60]
    late[1] = True
    path = dynamic_limits(start_amount=[100.0], wanted_amount=wanted, pd=pd, is_late=late, policy=policy)
    assert path[1, 0] == 50


def test_the_money_of_limits_is_counted_account_by_account() -> None:
    path = np.array([[100.0, 100.0], [200.0, 50.0], [200.0, 50.0]])
    money = money_of_limits(
        path, start_amount=[100, 100], use_rate=[0.5, 1.0], default_month=[1, 99], lgd=[0.8, 0.8],
        monthly_margin_rate=0.01,
    )  # fmt: skip
    assert money.revenue_amount == pytest.approx(0.01 * (50 + 100 + 50 + 50))
    assert money.loss_amount == pytest.approx(0.8 * 0.5 * 200)
    assert (money.num_raises, money.num_cuts) == (0, 1)


def test_alarms_come_from_level_or_growth_and_are_judged_by_what_followed() -> None:
    hazard = np.array([[0.01, 0.01, 0.02], [0.01, 0.03, 0.02], [0.06, 0.03, 0.02], [0.06, 0.9, 0.02]])
    watched = np.ones((4, 3), dtype=bool)
    watched[3, 1] = False
    first = first_alarms(hazard, watched, AlarmPolicy(threshold_rate=0.05))
    assert first.tolist() == [2, 1, NEVER]
    found = early_warning(first, [NEVER, 3, 2], is_watched=watched)
    assert (found.median_lead_months, found.early_share_rate, found.alarmed_share_rate) == (2.0, 0.0, 0.5)
    assert found.precision_rate == 0.5
    assert found.alarms_per_1000 == pytest.approx(2000 / (3 + 2 + 4))
    assert found.num_defaults == 2
    assert first_late_months([[0, 0], [1, 0], [2, -1]]).tolist() == [1, NEVER]


def test_collection_curves_follow_static_pools() -> None:
    due = np.array([[10.0, 0.0, 0.0], [10.0, 20.0, 0.0], [10.0, 20.0, 5.0]])
    paid = np.array([[10.0, 0.0, 0.0], [5.0, 20.0, 0.0], [0.0, 10.0, 5.0]])
    curve = collection_curve(due, paid, [0, 1, 2])
    assert curve.collected_rate[0].tolist() == pytest.approx([1.0, 0.75, 0.5])
    assert curve.collected_rate[1, :2].tolist() == pytest.approx([1.0, 0.75])
    assert np.isnan(curve.collected_rate[1, 2])


def test_roll_rates_bring_back_the_matrix_they_were_drawn_from() -> None:
    """A chain of 20,000 accounts over 12 months; every rate within 5 standard errors of the truth."""
    draw = np.random.default_rng(9)
    truth = np.array([[0.97, 0.03, 0, 0, 0], [0.72, 0.08, 0.2, 0, 0], [0.22, 0.08, 0.1, 0.6, 0],
                      [0.08, 0.03, 0.04, 0.07, 0.78], [0, 0, 0, 0, 1]])  # fmt: skip
    panel = np.zeros((12, 20_000), dtype=np.int64)
    for month in range(1, 12):
        steps = draw.random(panel.shape[1])[:, None] > np.cumsum(truth[panel[month - 1]], axis=1)
        panel[month] = np.minimum(steps.sum(axis=1), 4)
    rates = roll_rates(panel)
    counts = np.bincount(panel[:-1].ravel(), minlength=5)
    errors = np.sqrt(truth * (1 - truth) / counts[:, None])
    assert np.all(np.abs(rates - truth) <= 5 * errors + 1e-12)
    assert self_cure_share(rates) == rates[1, 0]


def test_recoveries_are_shares_of_what_was_owed() -> None:
    paid = np.array([[0.0, 0.0], [30.0, 0.0], [10.0, 50.0]])
    curve = recovery_curve(paid, [0, 1], [100.0, 100.0], num_months=3)
    assert curve[:2].tolist() == pytest.approx([0.4, 0.1])
    assert np.isnan(curve[2])


def _brute_force(values: np.ndarray, capacity: list[float]) -> float:
    best = 0.0
    for choice in itertools.product(range(-1, values.shape[1]), repeat=len(values)):
        if all(choice.count(action) <= capacity[action] for action in range(values.shape[1])):
            best = max(best, sum(values[row, action] for row, action in enumerate(choice) if action >= 0))
    return best


@pytest.mark.parametrize("seed", range(8))
def test_the_assignment_is_the_best_of_all(seed: int) -> None:
    draw = np.random.default_rng(seed)
    values = draw.normal(size=(6, 3))
    capacity = [1.0, 2.0, float("inf")]
    actions = [Action(name=str(place), cost_amount=0.0, capacity=most) for place, most in enumerate(capacity)]
    found = assign(values, actions)
    assert found.expected_value_amount == pytest.approx(_brute_force(values, capacity))
    assert found.upper_bound_amount == pytest.approx(found.expected_value_amount)


def test_large_assignments_keep_capacities_and_come_near_their_bound() -> None:
    draw = np.random.default_rng(2)
    num = 60_000
    values = action_values(
        balance_amount=draw.lognormal(7, 1, num), bucket=draw.integers(0, 4, num),
        reason_probability=draw.dirichlet([1, 1, 1], num), actions=USUAL_ACTIONS,
    )  # fmt: skip
    found = assign(values, USUAL_ACTIONS)
    assert all(found.num_by_action[action.name] <= action.capacity for action in USUAL_ACTIONS)
    assert found.expected_value_amount >= 0.99 * found.upper_bound_amount
    assert found.expected_value_amount > uniform_treatment(values, USUAL_ACTIONS)[1]


def test_rings_are_joined_through_what_they_share_and_crowds_are_not() -> None:
    keys = {"device": [1, 1, 2, 3, 4, -1], "phone": [9, 8, 8, 7, -1, -1]}
    rings = join_by_keys(keys)
    assert rings.size.tolist() == [3, 3, 3, 1, 1, 1]
    assert rings.num_shared.tolist() == [1, 2, 1, 0, 0, 0]
    assert join_by_keys({"device": [1] * 100}, largest_group=60).size.tolist() == [1] * 100
    score = ring_score(rings, [0.5, 0.5, 0.5, 0.9, 0.9, 0.9])
    assert score[3:].tolist() == [0.0, 0.0, 0.0]
    found = review(score, [1, 1, 0, 1, 0, 0], [100.0] * 6, ReviewPolicy(capacity=2, cost_amount=10.0))
    assert (found.num_reviewed, found.num_found, found.prevented_amount, found.net_amount) == (2, 2, 200.0, 180.0) or (
        found.num_found == 1
    )
    assert found.found_rate == found.num_found / 3


def test_the_level_is_warned_of_outside_its_range_only() -> None:
    assert level_of([0.5] * 10, [1, 0] * 5).warning == ""
    assert "2.00 times" in level_of([1.0] * 10, [1, 0] * 5).warning

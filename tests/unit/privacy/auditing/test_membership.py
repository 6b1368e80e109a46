from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.special import ndtr

from fedcredit.privacy.auditing.bounds import clopper_pearson
from fedcredit.privacy.auditing.membership import (
    area_under,
    attack_points,
    likelihood_ratios,
    over_federations,
    receiver_curve,
)

SHIFT = 1.5


def made_up(*, runs: int, loans: int, shift: float, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    coins = rng.random((runs // 2, loans)) < 0.5
    is_member = np.stack([coins, ~coins], axis=1).reshape(runs, loans)
    difficulty, spread = rng.normal(0.0, 4.0, loans), rng.uniform(0.3, 3.0, loans)
    return difficulty + spread * (rng.normal(size=(runs, loans)) + shift * is_member), is_member


@pytest.mark.parametrize("own_spread", [True, False])
def test_scores_are_the_ratios_of_two_gaussians_fitted_to_the_other_pairs(own_spread: bool) -> None:
    confidence, is_member = made_up(runs=12, loans=5, shift=SHIFT)
    found = likelihood_ratios(confidence, is_member, own_spread=own_spread)
    for run in range(12):
        others = [other for other in range(12) if other // 2 != run // 2]
        kinds = []
        for kind in (True, False):
            own = [[confidence[o, loan] for o in others if is_member[o, loan] == kind] for loan in range(5)]
            spread = np.array([np.var(values, ddof=1) for values in own])
            kinds.append((np.array([np.mean(values) for values in own]), spread if own_spread else spread.mean()))
        inside, outside = (
            stats.norm.logpdf(confidence[run], centre, np.sqrt(spread + 1e-6)) for centre, spread in kinds
        )
        np.testing.assert_allclose(found[run], inside - outside, rtol=1e-6, atol=1e-6)


def test_known_shift_is_found_at_the_rate_of_the_best_test_and_difficulty_does_not_mislead() -> None:
    confidence, is_member = made_up(runs=128, loans=4000, shift=SHIFT)
    scores = likelihood_ratios(confidence, is_member)
    assert area_under(scores, is_member) == pytest.approx(ndtr(SHIFT / np.sqrt(2.0)), abs=0.01)
    assert area_under(confidence, is_member) < 0.7
    (point,) = attack_points(scores, is_member, rates=(0.05,), significance=0.01)
    assert point.false_positive_rate <= 0.05
    assert point.true_positive_rate == pytest.approx(ndtr(SHIFT - 1.645), abs=0.03)


def test_nothing_is_found_where_nothing_is() -> None:
    confidence, is_member = made_up(runs=64, loans=1500, shift=0.0)
    scores = likelihood_ratios(confidence, is_member)
    assert area_under(scores, is_member) == pytest.approx(0.5, abs=0.01)
    for point in attack_points(scores, is_member, rates=(0.01, 0.05), significance=1e-4):
        assert point.interval.lower <= point.asked <= point.interval.upper


def test_area_and_curve_agree_with_a_count_of_all_pairs() -> None:
    rng = np.random.default_rng(3)
    coins = rng.random((3, 20)) < 0.4
    scores, is_member = rng.integers(0, 5, (6, 20)).astype(float), np.stack([coins, ~coins], axis=1).reshape(6, 20)
    members, others = scores[is_member], scores[~is_member]
    wins = (members[:, None] > others).mean() + 0.5 * (members[:, None] == others).mean()
    assert area_under(scores, is_member) == pytest.approx(wins)
    curve = receiver_curve(scores, is_member, np.linspace(0.0, 1.0, 101))
    assert np.all(np.diff(curve) >= 0.0)
    assert curve[-1] == 1.0
    for rate in (0.1, 0.5):
        (point,) = attack_points(scores, is_member, rates=(rate,), significance=0.05)
        assert point.false_positive_rate <= rate
        assert point.true_positive_rate == pytest.approx(float(receiver_curve(scores, is_member, np.array([rate]))[0]))


def test_interval_is_that_of_independent_trials_and_widens_where_groups_disagree() -> None:
    same = over_federations(np.array([0.3, 0.3, 0.3, 0.3]), trials=400, significance=0.05)
    exact = clopper_pearson(120, 400, significance=0.05)
    assert (same.lower, same.upper) == pytest.approx((exact.lower, exact.upper))
    apart = over_federations(np.array([0.1, 0.5, 0.2, 0.4]), trials=400, significance=0.05)
    assert apart.lower < exact.lower
    assert apart.upper > exact.upper
    none = over_federations(np.zeros(4), trials=400, significance=0.05)
    assert (none.lower, none.upper) == (0.0, pytest.approx(clopper_pearson(0, 400, significance=0.05).upper))


@pytest.mark.parametrize("runs", [6, 9])
def test_runs_that_are_no_pairs_are_refused(runs: int) -> None:
    with pytest.raises(ValueError, match="pairs of complements"):
        likelihood_ratios(np.zeros((runs, 3)), np.zeros((runs, 3), dtype=bool))

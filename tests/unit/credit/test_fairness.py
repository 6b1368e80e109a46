from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from fedcredit.credit.fairness import cut_off_for, fairness
from fedcredit.errors import InputError


def _loans(
    seed: int, num_loans: int, *, burden: float
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.str_]]:
    """Two groups of the same risk; the scores of ``b`` are too high by ``burden``."""
    rng = np.random.default_rng(seed)
    risk = rng.beta(2.0, 8.0, num_loans)
    group = np.where(rng.random(num_loans) < 0.4, "b", "a")
    return np.minimum(1.0, risk + burden * (group == "b")), (rng.random(num_loans) < risk).astype(np.int64), group


def test_gaps_are_differences_of_rates_counted_loan_by_loan() -> None:
    pd, default, group = _loans(1, 2000, burden=0.1)
    found = fairness(pd, default, group, approval_rate=0.7, generator=np.random.default_rng(1))
    approval, opportunity = {}, {}
    for name in ("a", "b"):
        loans = [(p, y) for p, y, g in zip(pd, default, group, strict=True) if g == name]
        approval[name] = sum(p < found.cut_off for p, _ in loans) / len(loans)
        goods = [p for p, y in loans if y == 0]
        opportunity[name] = sum(p < found.cut_off for p in goods) / len(goods)
    for item in found.groups:
        assert item.approval_rate == approval[item.name]
        assert item.good_approval_rate == opportunity[item.name]
    assert found.demographic_parity is not None
    assert found.equal_opportunity is not None
    assert found.demographic_parity.difference == pytest.approx(approval["a"] - approval["b"])
    assert found.demographic_parity.ratio == pytest.approx(approval["b"] / approval["a"])
    assert found.equal_opportunity.difference == pytest.approx(opportunity["a"] - opportunity["b"])
    assert found.equal_opportunity.interval.lower > 0.15


def test_calibration_within_groups_shows_which_group_is_overstated() -> None:
    found = fairness(*_loans(2, 4000, burden=0.1), approval_rate=0.8, generator=np.random.default_rng(1))
    ratios = {item.name: item.mean_pd_over_bad_rate for item in found.groups}
    assert ratios["a"] == pytest.approx(1.0, abs=0.1)
    assert ratios["b"] == pytest.approx(1.5, abs=0.2)


@pytest.mark.statistical
def test_the_interval_of_a_gap_holds_the_true_one_as_often_as_it_says() -> None:
    """24 samples at 95 %: 23 expected, at least 18 asked for (a right interval fails once in 5,000)."""
    pd, default, group = _loans(3, 400_000, burden=0.05)
    cut_off = cut_off_for(pd, approval_rate=0.7)
    good = default == 0
    truth = np.mean(pd[good & (group == "a")] < cut_off) - np.mean(pd[good & (group == "b")] < cut_off)
    held = 0
    for seed in range(24):
        found = fairness(*_loans(100 + seed, 1500, burden=0.05), approval_rate=0.7, generator=np.random.default_rng(7))
        assert found.equal_opportunity is not None
        held += found.equal_opportunity.interval.lower <= truth <= found.equal_opportunity.interval.upper
    assert held >= 18


def test_a_small_group_is_shown_and_kept_out_of_the_gaps() -> None:
    pd, default, group = _loans(4, 1000, burden=0.0)
    group = np.concatenate([group, ["c"] * 3])
    pd, default = np.concatenate([pd, [0.9] * 3]), np.concatenate([default, [0] * 3])
    found = fairness(pd, default, group, approval_rate=0.7, generator=np.random.default_rng(1))
    assert [(item.name, item.is_small) for item in found.groups] == [("a", False), ("b", False), ("c", True)]
    assert found.groups[2].approval_rate == 0.0
    assert found.demographic_parity is not None
    assert found.demographic_parity.difference < 0.1


def test_one_group_has_no_gap() -> None:
    found = fairness([0.1, 0.2] * 40, [0, 0] * 40, ["a"] * 80, approval_rate=0.5, generator=np.random.default_rng(1))
    assert found.demographic_parity is None
    assert found.equal_opportunity is None


def test_the_cut_off_approves_at_most_the_share_asked_for() -> None:
    pd = np.array([0.1, 0.2, 0.2, 0.2, 0.9])
    assert np.mean(pd < cut_off_for(pd, approval_rate=0.5)) == 0.2
    assert np.mean(pd < cut_off_for(pd, approval_rate=0.8)) == 0.8
    with pytest.raises(InputError, match=r"approval_rate is 1\.0"):
        cut_off_for(pd, approval_rate=1.0)
    with pytest.raises(InputError, match="holds no loan"):
        cut_off_for([], approval_rate=0.5)

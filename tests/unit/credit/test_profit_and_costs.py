from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import integrate
from scipy.stats import beta

from fedcredit.credit.deciles import decile_table
from fedcredit.credit.goodness_of_fit import LARGE_SAMPLE_WARNING, hosmer_lemeshow, spiegelhalter
from fedcredit.credit.h_measure import h_measure
from fedcredit.credit.profit import UNSECURED, LossAndReturn, expected_maximum_profit
from fedcredit.credit.roc_hull import roc_hull
from fedcredit.errors import InputError

Loans = tuple[NDArray[np.float64], NDArray[np.bool_]]


@st.composite
def scored_loans(draw: st.DrawFn) -> Loans:
    pd = draw(st.lists(st.integers(0, 12), min_size=4, max_size=40))
    default = draw(st.lists(st.booleans(), min_size=len(pd), max_size=len(pd)))
    default[:2] = [True, False]
    return np.array(pd) / 12.0, np.array(default)


def _every_cut_off(pd: NDArray[np.float64], default: NDArray[np.bool_]) -> list[tuple[float, float]]:
    """Shares of goods and bads rejected at every cut-off, straight from the definition."""
    return [
        (float(np.mean(pd[~default] >= cut)), float(np.mean(pd[default] >= cut))) for cut in [*np.unique(pd), math.inf]
    ]


def _slow_h(pd: NDArray[np.float64], default: NDArray[np.bool_], shapes: tuple[float, float]) -> float:
    bad_rate, cuts = float(default.mean()), _every_cut_off(pd, default)

    def loss(cost: float, points: list[tuple[float, float]]) -> float:
        return min(cost * (1 - bad_rate) * goods + (1 - cost) * bad_rate * (1 - bads) for goods, bads in points)

    grid = (np.arange(4000) + 0.5) / 4000
    weights = beta.pdf(grid, *shapes)
    mine = sum(weight * loss(cost, cuts) for cost, weight in zip(grid, weights, strict=True))
    ignorant = sum(weight * loss(cost, [(0.0, 0.0), (1.0, 1.0)]) for cost, weight in zip(grid, weights, strict=True))
    return float(1 - mine / ignorant)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("ratio", [None, 0.2, 3.0])
def test_the_h_measure_is_its_integral_over_costs(seed: int, ratio: float | None) -> None:
    draw = np.random.default_rng(seed)
    pd = np.round(draw.random(60), 1)
    default = draw.random(60) < 0.1 + 0.5 * pd
    share = default.mean() / (1 - default.mean())
    shapes = (2.0, 1.0 + 1.0 / (share if ratio is None else ratio))
    assert h_measure(pd, default, severity_ratio=ratio) == pytest.approx(_slow_h(pd, default, shapes), abs=2e-5)


@given(scored_loans())
def test_the_h_measure_lies_between_nothing_and_everything(loans: Loans) -> None:
    found = h_measure(*loans)
    assert found is not None
    assert -1e-12 <= found <= 1 + 1e-12
    assert h_measure(loans[1].astype(float), loans[1]) == pytest.approx(1.0)
    assert h_measure(np.full(len(loans[0]), 0.5), loans[1]) == pytest.approx(0.0)


@given(scored_loans())
def test_the_hull_lies_above_every_cut_off_and_only_corners_are_kept(loans: Loans) -> None:
    hull = roc_hull(*loans)
    assert hull is not None
    for goods, bads in _every_cut_off(*loans):
        assert np.interp(goods, hull.goods_rejected, hull.bads_rejected) >= bads - 1e-12 or goods == 0.0
    gaps = np.diff(hull.bads_rejected) * np.diff(hull.goods_rejected, prepend=0)[1:]
    assert np.all(gaps >= 0)
    slopes = np.diff(hull.bads_rejected)[:, None] * np.diff(hull.goods_rejected)[None, :]
    assert all(slopes[i, i + 1] > slopes[i + 1, i] for i in range(len(slopes) - 1))


@pytest.mark.parametrize("terms", [LossAndReturn(), UNSECURED, LossAndReturn(return_rate=0.05)])
@pytest.mark.parametrize("seed", range(4))
def test_the_expected_maximum_profit_is_its_integral_over_losses(seed: int, terms: LossAndReturn) -> None:
    draw = np.random.default_rng(seed)
    pd = np.round(draw.random(80), 2)
    default = draw.random(80) < 0.05 + 0.5 * pd**2
    bad_rate, cuts = float(default.mean()), _every_cut_off(pd, default)

    def best(lost: float) -> float:
        return max(lost * bad_rate * bads - terms.return_rate * (1 - bad_rate) * goods for goods, bads in cuts)

    between = 1 - terms.no_loss_probability - terms.total_loss_probability
    grid = (np.arange(20_000) + 0.5) / 20_000
    slow = terms.no_loss_probability * best(0.0) + terms.total_loss_probability * best(1.0)
    slow += between * float(np.mean([best(lost) for lost in grid]))
    found = expected_maximum_profit(pd, default, terms=terms)
    assert found is not None
    assert found.profit_rate == pytest.approx(slow, abs=1e-7)
    assert 0.0 <= found.rejected_rate <= 1.0


def test_the_terms_of_unsecured_credit_lose_two_thirds() -> None:
    assert UNSECURED.mean_loss_rate == pytest.approx(0.665)
    density = 1 - UNSECURED.no_loss_probability - UNSECURED.total_loss_probability
    mean, _ = integrate.quad(lambda lost: lost * density, 0, 1)
    assert UNSECURED.mean_loss_rate == pytest.approx(mean + UNSECURED.total_loss_probability)


@pytest.mark.parametrize(
    "wrong",
    [
        {"no_loss_probability": -0.1},
        {"total_loss_probability": 1.1},
        {"no_loss_probability": 0.8, "total_loss_probability": 0.3},
        {"return_rate": 0.0},
        {"return_rate": math.nan},
    ],
)
def test_terms_outside_their_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        LossAndReturn(**wrong)


@pytest.mark.parametrize("ratio", [0.0, -1.0, math.nan, math.inf])
def test_a_severity_ratio_outside_its_range_is_refused(ratio: float) -> None:
    with pytest.raises(InputError, match="severity_ratio"):
        h_measure([0.1, 0.2], [0, 1], severity_ratio=ratio)


def test_one_outcome_alone_has_no_costs() -> None:
    assert h_measure([0.1, 0.2], [0, 0]) is None
    assert expected_maximum_profit([0.1, 0.2], [1, 1]) is None


def test_the_tests_of_calibration_reject_at_their_level_and_have_power() -> None:
    """2,000 honest samples at level 5 %: between 3 and 7.5 % rejected (p-values off by 8 standard errors fail)."""
    draw = np.random.default_rng(7)
    pd = draw.uniform(0.05, 0.5, size=(2000, 800))
    honest = draw.random(pd.shape) < pd
    for test in (hosmer_lemeshow, spiegelhalter):
        p_values = [found.p_value for row, was in zip(pd, honest, strict=True) if (found := test(row, was))]
        assert 0.03 < np.mean(np.array(p_values) < 0.05) < 0.075
        too_low = [test(0.7 * row, was) for row, was in zip(pd[:100], honest[:100], strict=True)]
        assert np.mean([found is not None and found.p_value < 0.05 for found in too_low]) > 0.9


def test_hosmer_lemeshow_has_two_degrees_less_on_training_loans() -> None:
    pd = np.linspace(0.1, 0.9, 200)
    default = np.arange(200) % 2 == 0
    held_out, fitted = hosmer_lemeshow(pd, default), hosmer_lemeshow(pd, default, on_training_loans=True)
    assert held_out is not None
    assert fitted is not None
    assert (held_out.degrees_of_freedom, fitted.degrees_of_freedom) == (10, 8)
    assert held_out.statistic == fitted.statistic
    assert held_out.p_value > fitted.p_value


def test_large_samples_are_warned_of() -> None:
    pd = np.full(50_001, 0.5) + np.linspace(-0.1, 0.1, 50_001)
    default = np.arange(50_001) % 2 == 0
    for found in (hosmer_lemeshow(pd, default), spiegelhalter(pd, default)):
        assert found is not None
        assert found.warning == LARGE_SAMPLE_WARNING


@given(scored_loans())
def test_deciles_hold_every_loan_once_and_capture_every_bad(loans: Loans) -> None:
    table = decile_table(*loans, num_groups=4)
    assert sum(group.num_loans for group in table) == len(loans[0])
    assert sum(group.num_defaults for group in table) == int(loans[1].sum())
    assert table[-1].captured_rate == 1.0
    assert all(first.mean_pd >= second.mean_pd for first, second in itertools.pairwise(table))
    lifts = sum((group.lift or 0.0) * group.num_loans for group in table) / len(loans[0])
    assert lifts == pytest.approx(1.0)


def test_groups_that_cannot_be_are_refused() -> None:
    with pytest.raises(InputError, match="num_groups"):
        decile_table([0.1], [0], num_groups=0)
    with pytest.raises(InputError, match="num_groups"):
        hosmer_lemeshow([0.1], [0], num_groups=2)
    assert decile_table([0.1], [0]) == ()
    assert hosmer_lemeshow([0.1], [0]) is None

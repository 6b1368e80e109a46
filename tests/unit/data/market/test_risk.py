from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from fedcredit.data.market.flows import default_flow
from fedcredit.data.market.lenders import TENORS
from fedcredit.data.market.macro import macro_path, shock_path, stressed
from fedcredit.data.market.risk import (
    CURRENT,
    DEFAULTED,
    ROLLS,
    Risk,
    coverage,
    default_path,
    distress_ahead,
    hazard_path,
    others_ahead,
)
from fedcredit.data.market.settings import MarketSettings
from fedcredit.data.market.simulate import simulate

CALM = MarketSettings(num_borrowers=30_000, seed=6)


def account(*, index: float, fraud: bool = False) -> Risk:
    """Return the risk of one account without other lenders' influence."""
    number = {name: np.zeros(1, dtype=np.float32) for name in ("co_debt", "distress", "contagion")}
    return Risk(
        index=np.array([index], dtype=np.float32),
        loading=np.array([0.05], dtype=np.float32),
        new_device=np.zeros(1, dtype=np.bool_),
        fraud=np.array([fraud]),
        **number,
    )


def test_the_rolls_are_probabilities() -> None:
    assert np.allclose(ROLLS.sum(axis=1), 1.0)
    assert ROLLS.min() >= 0.0


def test_stress_averages_out_over_the_cycle() -> None:
    def conditional(factor: float) -> float:
        found = stressed(np.array([0.03], dtype=np.float32), np.array([0.05], dtype=np.float32), factor)
        return float(found[0]) * float(norm.pdf(factor))

    assert quad(conditional, -8, 8)[0] == pytest.approx(0.03, rel=1e-4)


def test_the_pandemic_takes_two_per_cent_to_six_at_a_loading_of_five() -> None:
    found = stressed(np.array([0.02], dtype=np.float32), np.array([0.05], dtype=np.float32), -2.4)
    assert found[0] == pytest.approx(0.06, abs=0.001)


@pytest.mark.parametrize("bucket", [0, 1, 2, 3])
def test_the_true_probability_is_the_frequency_of_a_month_by_month_simulation(bucket: int) -> None:
    """200,000 accounts by brute force; a wrong figure by 4 standard errors is refused, a right one once in 16,000."""
    risk, trials = account(index=-2.5), 200_000
    factors = np.linspace(-1.0, 0.5, 12)
    cover = np.linspace(1.0, 0.6, 12, dtype=np.float32)[:, None]
    months = np.array([7])
    draw = np.random.default_rng(1)
    state = np.full(trials, bucket)
    for ahead in range(12):
        odds = risk.index[0] + 0.9 * np.exp(-(7 + ahead) / 4.0)
        hazard = stressed(np.array([1 / (1 + np.exp(-odds))], dtype=np.float32), risk.loading, float(factors[ahead]))[0]
        rows = np.vstack([[1 - hazard * cover[ahead, 0], hazard * cover[ahead, 0], 0, 0, 0], ROLLS, np.eye(5)[4]])
        state = (draw.random(trials)[:, None] > np.cumsum(rows[state], axis=1)[:, :-1]).sum(axis=1)
    found = (state == DEFAULTED).mean()
    path = default_path(
        risk,
        bucket=np.array([bucket], dtype=np.int8),
        months_on_book=months,
        others=np.zeros((12, 1), dtype=np.float32),
        distress=np.zeros((12, 1), dtype=np.float32),
        cover=cover,
        factors=factors,
    )
    assert abs(path[-1, 0] - found) < 4 * np.sqrt(found * (1 - found) / trials) + 1e-5
    assert (np.diff(path[:, 0]) >= 0).all()


def test_hazards_multiply_back_to_the_probability() -> None:
    path = np.array([[0.0], [0.1], [0.1], [0.4]], dtype=np.float32)
    assert 1.0 - np.prod(1.0 - hazard_path(path)) == pytest.approx(0.4)


def test_cover_is_the_frequency_of_owing_something() -> None:
    rate, trials, draw = 0.3, 40_000, np.random.default_rng(2)
    mix = np.array([0.25, 0.25, 0.05, 0.35, 0.04, 0.06])
    owed = np.zeros((trials, 60), dtype=np.bool_)
    owed[:, 1:4] = True
    for month in range(1, 13):
        buys = draw.random(trials) < rate
        tenor = np.array(TENORS)[draw.choice(6, trials, p=mix)]
        for ahead in range(1, 25):
            owed[:, month + ahead] |= buys & (tenor >= ahead)
    cover = coverage(remaining_months=np.array([3]), purchase_rate=np.array([rate], dtype=np.float32), mix=mix[None, :])
    assert np.abs(cover[:, 0] - owed[:, 1:13].mean(axis=0)).max() < 0.012


def test_a_borrower_opens_no_more_accounts_than_she_wants() -> None:
    ahead = others_ahead(np.array([1, 2, 4]), np.array([0, 0, 1]))
    assert ahead[:, 0].tolist() == [0.0] * 12
    assert (ahead[:, 1] <= 1.0).all()
    assert (np.diff(ahead, axis=0) >= 0).all()
    assert (ahead[:, 2] <= 3.0).all()


def test_arrears_elsewhere_fade_and_a_default_stays() -> None:
    stays = distress_ahead(np.array([CURRENT, 1, 2, 3, DEFAULTED]))
    assert stays[0].tolist() == [0.0, 1.0, 1.0, 1.0, 1.0]
    assert stays[1, 1] == pytest.approx(0.28)
    assert (stays[:, 4] == 1.0).all()


def test_a_shock_is_its_shape_on_top_of_the_same_cycle() -> None:
    calm, struck = (macro_path(replace(CALM, shock=shock)) for shock in ("none", "pandemic"))  # type: ignore[arg-type]
    assert np.allclose(struck - calm, shock_path(replace(CALM, shock="pandemic")))
    added = (struck - calm)[18:]
    assert np.allclose(added[:3], -2.4)
    assert np.allclose(added[9:], 0.0)
    assert (struck - calm)[:18].tolist() == [0.0] * 18


def test_a_pandemic_strikes_platforms_more_than_banks_and_holidays_soften_it() -> None:
    calm = simulate(CALM)
    struck = simulate(replace(CALM, shock="pandemic"))
    eased = simulate(replace(CALM, shock="pandemic", forbearance=True))
    month = CALM.shock_month
    flows = {name: [default_flow(market, name, month) for market in (calm, struck, eased)]
             for name in ("bnpl", "consumer_finance")}  # fmt: skip
    for calm_flow, struck_flow, eased_flow in flows.values():
        assert struck_flow > 2 * calm_flow
        assert eased_flow < 0.75 * struck_flow
    assert eased.history.panel.holiday[month : month + 3].sum() > 50
    assert not eased.history.panel.holiday[:month].any()
    assert not struck.history.panel.holiday.any()


def test_before_the_shock_both_markets_are_one() -> None:
    calm, struck = simulate(CALM).history.panel, simulate(replace(CALM, shock="pandemic")).history.panel
    assert np.array_equal(calm.bucket[:18], struck.bucket[:18])
    assert np.array_equal(calm.balance[:18], struck.balance[:18])
    assert not np.array_equal(calm.bucket[19], struck.bucket[19])

"""Provisions, concentration, tranches and the waterfall: anchors, laws, and slow simulations."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from fedcredit.credit.concentration import (
    basel_capital,
    basel_correlation,
    herfindahl,
    simulated_losses,
    stressed_pd,
    tail_contributions,
)
from fedcredit.credit.provisioning import (
    BASE_DOWN_UP,
    Provisions,
    Scenario,
    StagePolicy,
    expected_credit_losses,
    moved_hazard,
    roll_forward,
    stages,
)
from fedcredit.credit.securitisation import (
    JD_BAITIAO_2015,
    Eligibility,
    eligible,
    sale_price,
    tranche_losses,
    tranche_losses_of,
)
from fedcredit.credit.waterfall import run_waterfall


@pytest.mark.parametrize(
    ("pd", "lgd", "rho", "expected"),
    [
        (0.03, 0.75, 0.05, (0.1875, 1.7e-6, 4e-13)),
        (0.03, 0.75, 0.15, (0.1860, 1.36e-3, 2.4e-6)),
        (0.06, 0.80, 0.15, (0.380, 1.78e-2, 1.06e-4)),
    ],
)
def test_tranche_losses_are_the_known_ones_and_add_up(
    pd: float, lgd: float, rho: float, expected: tuple[float, float, float]
) -> None:
    found = tranche_losses(JD_BAITIAO_2015, pd=pd, lgd=lgd, rho=rho)
    assert found["subordinated"] == pytest.approx(expected[0], abs=5e-5 if pd == 0.03 else 5e-4)
    assert found["mezzanine"] == pytest.approx(expected[1], rel=0.01)
    assert found["senior"] == pytest.approx(expected[2], rel=0.03)
    total = sum(tranche.thickness_rate * found[tranche.name] for tranche in JD_BAITIAO_2015.tranches)
    assert total == pytest.approx(pd * lgd, rel=1e-9)


def test_tranche_losses_are_those_of_a_slow_simulation() -> None:
    """400,000 draws of the factor: within 4 standard errors."""
    factor = np.random.default_rng(3).standard_normal(400_000)
    pool = 0.8 * norm.cdf((norm.ppf(0.06) - np.sqrt(0.15) * factor) / np.sqrt(0.85))
    exact = tranche_losses(JD_BAITIAO_2015, pd=0.06, lgd=0.8, rho=0.15)
    for name, losses in tranche_losses_of(JD_BAITIAO_2015, pool).items():
        assert losses.mean() == pytest.approx(exact[name], abs=4 * losses.std() / np.sqrt(losses.size))


def test_basel_correlations_are_the_known_ones() -> None:
    assert basel_correlation([0.02, 0.03, 0.05]).round(3).tolist() == [0.095, 0.075, 0.053]
    assert basel_correlation([0.02], retail_class="revolving").tolist() == [0.04]
    assert basel_correlation([0.0, 1.0]).tolist() == pytest.approx([0.16, 0.03])


def test_basel_capital_is_its_formula() -> None:
    stressed = norm.cdf((norm.ppf(0.02) + np.sqrt(0.0945561) * norm.ppf(0.999)) / np.sqrt(1 - 0.0945561))
    assert basel_capital([0.02], [0.75])[0] == pytest.approx(0.75 * (stressed - 0.02), rel=1e-5)
    assert basel_capital([0.0], [0.75])[0] > 0.0


def test_a_large_even_portfolio_has_the_quantiles_of_vasicek() -> None:
    """2,000 draws of 4,000 loans: the 90 % quantile within a tenth; a single large loan shows in the tail."""
    even = simulated_losses(
        np.full(4000, 0.05), np.full(4000, 0.5), np.ones(4000), rho=0.1, num_draws=2000,
        generator=np.random.default_rng(8),
    )  # fmt: skip
    assert even.expected_loss_rate == pytest.approx(0.025, abs=0.0015)
    assert even.quantile_rate(0.9) == pytest.approx(0.5 * stressed_pd([0.05], rho=0.1, quantile=0.9)[0], rel=0.1)
    exposure = np.append(np.ones(99), 100.0)
    lumpy = simulated_losses(
        np.full(100, 0.05), np.full(100, 0.5), exposure, rho=0.1, num_draws=2000, generator=np.random.default_rng(8)
    )
    assert lumpy.quantile_rate(0.99) > 2 * even.quantile_rate(0.99)


def test_concentration_is_between_equal_shares_and_one_group() -> None:
    assert herfindahl([1, 1, 1, 1], list("abcd")) == pytest.approx(0.25)
    assert herfindahl([1, 2, 0], ["a", "a", "b"]) == 1.0


def test_tail_contributions_add_up() -> None:
    draw = np.random.default_rng(6)
    pd, ead = draw.uniform(0.01, 0.2, 300), draw.uniform(1, 9, 300)
    group = draw.choice(["travel", "school", "health"], 300)
    parts = tail_contributions(pd, np.full(300, 0.6), ead, group, rho=0.1)
    whole = np.sum(0.6 * ead * (stressed_pd(pd, rho=0.1, quantile=0.999) - pd))
    assert sum(parts.values()) == pytest.approx(whole)


def test_stages_follow_days_and_risk() -> None:
    found = stages(
        days_past_due=[0, 30, 90, 0, 0, 0], lifetime_pd=[0.01, 0.01, 0.01, 0.05, 0.004, 0.03],
        lifetime_pd_at_origin=[0.01, 0.01, 0.01, 0.01, 0.001, 0.02], policy=StagePolicy(),
    )  # fmt: skip
    assert found.tolist() == [1, 2, 3, 2, 1, 1]


def _slow_ecl(hazard: list[float], exposure: list[float], lgd: float, rate: float, months: int, rho: float) -> float:
    total = 0.0
    for scenario in BASE_DOWN_UP:
        alive = 1.0
        for month in range(months):
            moved = float(norm.cdf((norm.ppf(hazard[month]) - rho**0.5 * scenario.factor) / (1 - rho) ** 0.5))
            loss = alive * moved * min(lgd * scenario.lgd_factor, 1.0) * exposure[month]
            total += scenario.weight * loss * (1 + rate) ** (-(month + 1) / 12)
            alive *= 1 - moved
    return total


def test_expected_credit_losses_are_their_definition() -> None:
    draw = np.random.default_rng(12)
    hazard, exposure = draw.uniform(0.001, 0.05, (5, 18)), draw.uniform(100, 900, (5, 18))
    lgd, left = draw.uniform(0.2, 0.95, 5), np.array([18, 3, 12, 0, 15])
    stage = np.array([1, 2, 3, 1, 2], dtype=np.int8)
    found = expected_credit_losses(
        hazard_rate=hazard, exposure_amount=exposure, lgd=lgd, remaining_months=left, effective_rate=0.15, stage=stage,
        policy=StagePolicy(),
    )  # fmt: skip
    for row in range(5):
        slow = [
            _slow_ecl(
                hazard[row].tolist(), exposure[row].tolist(), float(lgd[row]), 0.15, min(int(left[row]), most), 0.05
            )
            for most in (12, 18)
        ]
        assert found.twelve_month_amount[row] == pytest.approx(slow[0])
        assert found.lifetime_amount[row] == pytest.approx(slow[1])
    assert found.provision_amount[[0, 1, 3]].tolist() == pytest.approx(
        [found.twelve_month_amount[0], found.lifetime_amount[1], 0.0]
    )
    mean_lgd = sum(item.weight * min(lgd[2] * item.lgd_factor, 1.0) for item in BASE_DOWN_UP)
    assert found.provision_amount[2] == pytest.approx(mean_lgd * exposure[2, 0])
    assert sum(found.by_stage().values()) == pytest.approx(found.total_amount)


def test_the_mean_scenario_would_book_too_little() -> None:
    policy = StagePolicy(rho=0.1, scenarios=tuple(Scenario(name=str(z), weight=0.5, factor=z) for z in (-2.0, 2.0)))
    flat = StagePolicy(rho=0.1, scenarios=(Scenario(name="mean", weight=1.0, factor=0.0),))
    hazard, exposure = np.full((1, 12), 0.01), np.full((1, 12), 100.0)
    booked = [
        expected_credit_losses(
            hazard_rate=hazard, exposure_amount=exposure, lgd=[0.7], remaining_months=[12], effective_rate=0.0,
            stage=np.ones(1, dtype=np.int8), policy=each,
        ).total_amount
        for each in (policy, flat)
    ]  # fmt: skip
    assert booked[0] > 1.5 * booked[1]


def test_moved_hazards_average_to_the_hazard_over_the_cycle() -> None:
    factors = norm.ppf((np.arange(20_000) + 0.5) / 20_000)
    moved = [moved_hazard(np.array([0.02]), factor=float(factor), rho=0.12)[0] for factor in factors]
    assert np.mean(moved) == pytest.approx(0.02, rel=1e-3)


def _provisions(stage: list[int], amount: list[float]) -> Provisions:
    money = np.array(amount)
    return Provisions(
        stage=np.array(stage, dtype=np.int8), twelve_month_amount=money, lifetime_amount=money, provision_amount=money
    )


def test_the_roll_forward_explains_the_whole_difference() -> None:
    moves = roll_forward(
        _provisions([1, 1, 2], [5.0, 7.0, 9.0]), _provisions([1, 2, 1], [6.0, 20.0, 1.0]), before_id=[1, 2, 3],
        after_id=[1, 2, 4],
    )  # fmt: skip
    assert moves.released_amount == -9.0
    assert moves.originated_amount == 1.0
    assert moves.transferred_amount == 13.0
    assert moves.remeasured_amount == 1.0
    steps = moves.released_amount + moves.originated_amount + moves.transferred_amount + moves.remeasured_amount
    assert moves.opening_amount + steps == pytest.approx(moves.closing_amount)


@pytest.mark.parametrize("default_rate", [0.0, 0.02, 0.2, 0.8])
def test_the_waterfall_loses_no_money_and_pays_from_the_top(default_rate: float) -> None:
    months, pool = 48, 1000.0
    owed_before = pool * (1 - np.arange(months) / months)
    flows = {
        "principal_amount": (1 - default_rate) * pool / months, "interest_amount": 0.012 * owed_before,
        "default_amount": default_rate * pool / months, "recovery_amount": 0.1 * default_rate * pool / months,
    }  # fmt: skip
    flows = {name: np.broadcast_to(flow, months) for name, flow in flows.items()}
    found = run_waterfall(JD_BAITIAO_2015, pool_amount=pool, **flows)
    paid = sum(np.sum(found.interest_amount[name] + found.principal_amount[name]) for name in found.interest_amount)
    assert paid > 0.0
    for name, owed in found.outstanding_amount.items():
        start = next(item.thickness_rate for item in JD_BAITIAO_2015.tranches if item.name == name) * pool
        assert start - found.principal_amount[name].sum() == pytest.approx(owed[-1])
        assert found.loss_amount[name] == pytest.approx(owed[-1])
    senior_owed = found.outstanding_amount["senior"]
    below = found.principal_amount["mezzanine"] + found.principal_amount["subordinated"]
    assert np.all(below[senior_owed > 1e-9] == 0.0)
    if default_rate == 0.0:
        assert found.triggered_month is None
        assert sum(found.loss_amount.values()) == pytest.approx(0.0, abs=1e-6)
    if default_rate == 0.8:
        assert found.triggered_month is not None
        assert found.triggered_month < 12
        assert found.loss_amount["subordinated"] == pytest.approx(120.0)
        assert np.all(found.bought_amount[found.triggered_month :] == 0.0)


def test_cash_in_is_cash_out() -> None:
    months, pool = 30, 500.0
    draw = np.random.default_rng(5)
    flows = {
        "principal_amount": draw.uniform(0, 40, months), "interest_amount": draw.uniform(0, 9, months),
        "default_amount": draw.uniform(0, 3, months), "recovery_amount": draw.uniform(0, 1, months),
    }  # fmt: skip
    found = run_waterfall(JD_BAITIAO_2015, pool_amount=pool, **flows)
    held, static, defaulted, cash, scale = pool, pool, 0.0, 0.0, 1.0
    for month in range(months):
        scale = held / static if static > 1e-6 else scale
        static -= flows["principal_amount"][month] + flows["default_amount"][month]
        repaid = min(flows["principal_amount"][month] * scale, held)
        lost = min(flows["default_amount"][month] * scale, held - repaid)
        cash += repaid + (flows["interest_amount"][month] + flows["recovery_amount"][month]) * scale
        held += found.bought_amount[month] - repaid - lost
        defaulted += lost
    out = sum(np.sum(found.interest_amount[name] + found.principal_amount[name]) for name in found.interest_amount)
    assert cash == pytest.approx(out + found.bought_amount.sum())
    assert defaulted > 0.0


def test_only_loans_within_the_rules_are_sold() -> None:
    chosen = eligible(
        days_past_due=[0, 1, 0, 0, 0, 0], months_on_book=[2, 2, 0, 2, 2, 2], remaining_months=[5, 5, 5, 30, 5, 0],
        pd=[0.02, 0.02, 0.02, 0.02, 0.2, 0.02], rules=Eligibility(),
    )  # fmt: skip
    assert chosen.tolist() == [True, False, False, False, False, False]


def test_bad_loans_are_worth_what_they_bring_in() -> None:
    price = sale_price(balance_amount=[1000.0], recovery_curve_rate=[0.1, 0.05], yearly_rate=0.2, cost_rate=0.3)
    assert price[0] == pytest.approx(700 * (0.1 * 1.2 ** (-1 / 12) + 0.05 * 1.2 ** (-2 / 12)))

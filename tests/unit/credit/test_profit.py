from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import beta as beta_law

from fedcredit.credit.profit import (
    PUBLISHED,
    UNSECURED,
    LossAndReturn,
    h_measure,
    h_measure_interval,
    maximum_profit,
    maximum_profit_interval,
)
from fedcredit.errors import InputError

Loans = tuple[NDArray[np.float64], NDArray[np.int64]]


def _loans(seed: int, num_loans: int, *, decimals: int = 8) -> Loans:
    rng = np.random.default_rng(seed)
    pd = np.round(rng.beta(1.0, 5.0, num_loans), decimals)
    return pd, (rng.random(num_loans) < pd).astype(np.int64)


def _cut_offs(pd: NDArray[np.float64], default: NDArray[np.int64]) -> list[tuple[float, float]]:
    """Shares of bads and goods rejected at every cut-off, one loop a cut-off."""
    cuts = [np.inf, *sorted(set(pd.tolist()), reverse=True)]
    bads, goods = pd[default == 1], pd[default == 0]
    return [(float(np.mean(bads >= cut)), float(np.mean(goods >= cut))) for cut in cuts]


def _slow_h(pd: NDArray[np.float64], default: NDArray[np.int64], alpha: float, beta: float) -> float:
    p1 = default.mean()
    edges = beta_law.ppf(np.linspace(0.0, 1.0, 4001), alpha, beta)
    loss = blind = 0.0
    curve = _cut_offs(pd, default)
    for low, high in pairwise(edges):
        c = (low + high) / 2
        loss += min(c * (1 - p1) * goods + (1 - c) * p1 * (1 - bads) for bads, goods in curve)
        blind += min(c * (1 - p1), (1 - c) * p1)
    return 1 - loss / blind


def _slow_profit(pd: NDArray[np.float64], default: NDArray[np.int64], terms: LossAndReturn) -> tuple[float, float]:
    p1 = default.mean()
    uniform = 1 - terms.no_loss_share - terms.total_loss_share
    losses = [((k + 0.5) / 4000, uniform / 4000) for k in range(4000)] + [(1.0, terms.total_loss_share)]
    profit = rejected = 0.0
    curve = _cut_offs(pd, default)
    for loss, weight in losses:
        best = max(
            (loss * p1 * bads - terms.return_rate * (1 - p1) * goods, p1 * bads + (1 - p1) * goods)
            for bads, goods in curve
        )
        profit, rejected = profit + weight * best[0], rejected + weight * best[1]
    return profit, rejected


def test_the_anchor_has_the_figures_that_other_libraries_print(anchor: Loans) -> None:
    found, money = h_measure(*anchor), maximum_profit(*anchor, terms=PUBLISHED)
    even = h_measure(*anchor, severity_ratio=1.0)
    assert found is not None
    assert money is not None
    assert even is not None
    assert (found.alpha, found.beta) == (2.0, pytest.approx(1.0 + 948 / 52))
    assert round(found.value, 6) == 0.280126
    assert f"{even.value:.6f}" == "0.077689"
    assert f"{money.value:.6f}" == "0.000825"
    assert f"{money.rejected_share:.5f}" == "0.00135"


def test_eight_loans_have_the_figures_that_other_libraries_print(eight_loans: Loans) -> None:
    found, money = h_measure(*eight_loans), maximum_profit(*eight_loans, terms=PUBLISHED)
    assert found is not None
    assert money is not None
    assert found.value == pytest.approx(0.25, abs=1e-12)
    assert f"{money.value:.7f}" == "0.0974702"
    assert f"{money.rejected_share:.6f}" == "0.324345"


@pytest.mark.parametrize("decimals", [8, 1])
def test_h_is_the_integral_over_costs_cut_off_by_cut_off(decimals: int) -> None:
    pd, default = _loans(1, 40, decimals=decimals)
    found = h_measure(pd, default)
    assert found is not None
    assert found.value == pytest.approx(_slow_h(pd, default, found.alpha, found.beta), abs=2e-4)


@pytest.mark.parametrize("terms", [PUBLISHED, UNSECURED, LossAndReturn(
    no_loss_share=0.0, total_loss_share=1.0, return_rate=0.1)])  # fmt: skip
@pytest.mark.parametrize("decimals", [8, 1])
def test_profit_is_the_integral_over_losses_cut_off_by_cut_off(terms: LossAndReturn, decimals: int) -> None:
    pd, default = _loans(2, 40, decimals=decimals)
    found = maximum_profit(pd, default, terms=terms)
    assert found is not None
    profit, rejected = _slow_profit(pd, default, terms)
    assert found.value == pytest.approx(profit, abs=1e-5)
    assert found.rejected_share == pytest.approx(rejected, abs=1e-3)


def test_a_score_that_knows_all_saves_all_and_one_that_knows_nothing_saves_nothing() -> None:
    default = np.array([0, 0, 0, 1])
    perfect, blind = h_measure([0.1, 0.2, 0.3, 0.9], default), h_measure([0.5] * 4, default)
    assert perfect is not None
    assert blind is not None
    assert perfect.value == pytest.approx(1.0)
    assert blind.value == pytest.approx(0.0, abs=1e-12)


def test_only_the_order_of_the_scores_counts() -> None:
    pd, default = _loans(3, 500)
    assert h_measure(pd, default) == h_measure(pd**2, default)
    assert maximum_profit(pd, default) == maximum_profit(pd**2, default)


def test_one_outcome_alone_has_no_figure() -> None:
    generator = np.random.default_rng(1)
    assert h_measure([0.1, 0.2], [0, 0]) is None
    assert maximum_profit([0.1, 0.2], [1, 1]) is None
    assert h_measure_interval([0.1], [0], generator=generator) is None
    assert maximum_profit_interval([0.1], [0], generator=generator) is None


@pytest.mark.statistical
def test_bootstrap_intervals_are_as_wide_as_new_samples_vary() -> None:
    """The half width over 1.96 against the spread of 60 fresh samples: within a quarter (4 sigma of the latter's error
    is a third, the seeds are fixed)."""
    hs, profits = [], []
    for seed in range(60):
        loans = _loans(seed, 1500)
        found, money = h_measure(*loans), maximum_profit(*loans)
        assert found is not None
        assert money is not None
        hs.append(found.value)
        profits.append(money.value)
    generator = np.random.default_rng(5)
    for values, interval in (
        (hs, h_measure_interval(*_loans(99, 1500), generator=generator)),
        (profits, maximum_profit_interval(*_loans(99, 1500), generator=generator)),
    ):
        assert interval is not None
        assert (interval.upper - interval.lower) / 3.92 == pytest.approx(np.std(values, ddof=1), rel=0.3)
        assert interval.lower < np.mean(values) < interval.upper


def test_the_same_generator_gives_the_same_interval() -> None:
    loans = _loans(7, 300)
    first, second = (h_measure_interval(*loans, generator=np.random.default_rng(3)) for _ in range(2))
    assert first == second
    assert first != h_measure_interval(*loans, generator=np.random.default_rng(4))


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ((-0.1, 0.1, 0.2), "both are at least 0"),
        ((0.7, 0.7, 0.2), "together at most 1"),
        ((0.1, 0.1, 0.0), "return_rate is 0.0"),
    ],
)
def test_terms_that_make_no_sense_are_refused(shares: tuple[float, float, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        LossAndReturn(no_loss_share=shares[0], total_loss_share=shares[1], return_rate=shares[2])


def test_a_severity_ratio_of_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="severity_ratio is 0"):
        h_measure([0.1, 0.2], [0, 1], severity_ratio=0.0)

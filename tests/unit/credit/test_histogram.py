import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedcredit.credit.calibration import mean_pd_over_bad_rate, own_intercept, shift_logits
from fedcredit.credit.discrimination import auc, ks
from fedcredit.credit.histogram import (
    LEVEL_SENSITIVITY,
    ScoreHistogram,
    added,
    bin_pds,
    count_scores,
    figures,
    intercept_of,
    level_statistics,
    line_of,
    on_line,
)
from fedcredit.credit.logistic import expit
from fedcredit.credit.scored import Scored
from fedcredit.errors import InputError


def _loans(num: int, *, seed: int = 0, shift: float = 0.0, slope: float = 1.0) -> Scored:
    """Make loans up whose outcomes follow logit = shift + slope logit(pd)."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(-1.2, 0.9, size=num)
    return Scored(pd=expit(logits), default=(rng.random(num) < expit(shift + slope * logits)).astype(float))


def _noisy(loans: Scored, deviation: float, *, seed: int = 0, num_bins: int = 28) -> ScoreHistogram:
    counts = count_scores(loans, num_bins=num_bins)
    noise = np.random.default_rng(seed).normal(size=counts.shape)
    return ScoreHistogram(counts=counts + deviation * noise, deviation=deviation)


@given(seed=st.integers(0, 10_000), num=st.integers(1, 20), pd=st.floats(0, 1), default=st.booleans())
def test_one_loan_moves_the_counts_by_at_most_the_sensitivity(seed: int, num: int, pd: float, default: bool) -> None:
    others = _loans(num, seed=seed)
    more = Scored(pd=[*others.pd, pd], default=[*others.default, default])
    counted = count_scores(more, num_bins=40) - count_scores(others, num_bins=40)
    assert np.linalg.norm(counted) == 1.0
    moved = level_statistics(more) - level_statistics(others)
    assert np.linalg.norm(moved) <= LEVEL_SENSITIVITY * (1 + 1e-12)


def test_without_noise_the_figures_are_those_of_the_loans() -> None:
    loans = _loans(20_000)
    found = figures(_noisy(loans, 0.0))
    area, distance = auc(loans.pd, loans.default), ks(loans.pd, loans.default)
    ratio = mean_pd_over_bad_rate(loans.pd, loans.default)
    assert found.auc is not None
    assert found.ks is not None
    assert found.mean_pd_over_bad_rate is not None
    assert area is not None
    assert distance is not None
    assert ratio is not None
    assert found.auc.value == pytest.approx(area, abs=0.002)
    assert found.ks.value == pytest.approx(distance.value, abs=0.02)
    assert found.mean_pd_over_bad_rate.value == pytest.approx(ratio.value, rel=0.01)
    assert found.ece == pytest.approx(0.0, abs=0.01)


def test_a_wrong_level_shows_in_ratio_and_ece_through_the_noise() -> None:
    found = figures(_noisy(_loans(20_000, shift=0.7), 5.0))
    assert found.mean_pd_over_bad_rate is not None
    assert found.ece is not None
    assert found.mean_pd_over_bad_rate.interval.upper < 0.8
    assert found.ece > 0.05


def _coverage(deviation: float, stated: float, num_draws: int) -> dict[str, float]:
    """How often the interval for noise ``stated`` holds the truth when the noise is ``deviation``."""
    truth = figures(_noisy(_loans(400_000, seed=99), 0.0))
    inside = {"auc": 0, "mean_pd_over_bad_rate": 0}
    for draw in range(num_draws):
        noisy = _noisy(_loans(1500, seed=1000 + draw), deviation, seed=draw)
        found = figures(ScoreHistogram(counts=noisy.counts, deviation=stated))
        for name in inside:
            interval = getattr(found, name).interval
            inside[name] += interval.lower <= getattr(truth, name).value <= interval.upper
    return {name: count / num_draws for name, count in inside.items()}


def test_intervals_hold_the_truth_as_often_as_they_say_and_not_if_noise_is_forgotten() -> None:
    """Of 400 draws at 95 %, fewer than 92 % or more than 99 % has a chance below 1 % for exact intervals."""
    right = _coverage(6.0, 6.0, 400)
    assert all(0.92 <= share <= 0.995 for share in right.values()), right
    assert all(share < 0.9 for share in _coverage(6.0, 0.0, 400).values())


def test_lenders_add_up() -> None:
    first, second = _noisy(_loans(300, seed=1), 3.0, seed=1), _noisy(_loans(500, seed=2), 4.0, seed=2)
    both = added([first, second])
    assert np.allclose(both.counts, first.counts + second.counts)
    assert both.deviation == pytest.approx(5.0)


def test_where_noise_leaves_no_bads_there_are_no_figures() -> None:
    counts = np.array([[5.0, 4.0], [1.0, -3.0]])
    found = figures(ScoreHistogram(counts=counts, deviation=4.0))
    assert found.auc is None
    assert found.bad_rate is None
    assert line_of(ScoreHistogram(counts=counts, deviation=4.0)) is None


@pytest.mark.parametrize(("shift", "slope"), [(0.8, 1.0), (-0.5, 0.6), (0.2, 1.5)])
def test_the_line_of_a_noisy_histogram_finds_the_planted_one(shift: float, slope: float) -> None:
    loans = _loans(40_000, shift=shift, slope=slope)
    line = line_of(_noisy(loans, 4.0))
    assert line is not None
    assert line.slope == pytest.approx(slope, abs=0.06)
    assert line.intercept == pytest.approx(shift, abs=0.08)
    moved = mean_pd_over_bad_rate(on_line(loans, line).pd, loans.default)
    assert moved is not None
    assert moved.value == pytest.approx(1.0, abs=0.02)


def test_the_intercept_of_a_level_is_that_of_the_loans() -> None:
    loans = _loans(5_000, shift=-0.9)
    exact = own_intercept(loans.pd, loans.default)
    assert intercept_of(level_statistics(loans), num_loans=5_000, deviation=0.0) == pytest.approx(exact, abs=0.03)
    noise = np.random.default_rng(4).normal(size=21) * 10.0
    shift = intercept_of(level_statistics(loans) + noise, num_loans=5_000, deviation=10.0)
    assert shift is not None
    assert shift_logits(loans.pd, shift).mean() == pytest.approx(loans.default.mean(), rel=0.05)


def test_a_lender_whose_bads_drown_in_noise_keeps_about_the_shared_level() -> None:
    level = level_statistics(_loans(60))
    level[0] = -40.0
    assert intercept_of(level, num_loans=60, deviation=1000.0) == pytest.approx(0.0, abs=0.01)
    shift = intercept_of(level, num_loans=60, deviation=20.0)
    assert shift is not None
    assert -3.0 < shift < -0.5
    assert intercept_of(level, num_loans=1, deviation=20.0) is None


def test_the_shrunken_intercept_is_the_most_likely_one_on_a_grid() -> None:
    """Oracle: minimise (bads - expected)^2 / 2 s^2 + shift^2 / 2 spread^2 over a fine grid."""
    level, deviation = level_statistics(_loans(300, shift=1.0)), 15.0
    level[0] += 12.0
    shares, centres = level[1:] / level[1:].sum(), np.log(bin_pds(20) / (1 - bin_pds(20)))
    grid = np.linspace(-6, 6, 120_001)
    expected = 300 * sum(share * expit(centre + grid) for share, centre in zip(shares, centres, strict=True))
    loss = (level[0] - expected) ** 2 / (2 * deviation**2) + grid**2 / (2 * 1.5**2)
    found = intercept_of(level, num_loans=300, deviation=deviation)
    assert found == pytest.approx(float(grid[np.argmin(loss)]), abs=2e-4)


def test_a_single_bin_is_refused() -> None:
    with pytest.raises(InputError, match="num_bins is 1"):
        count_scores(_loans(5), num_bins=1)

"""Every test here rejects a right sampler with probability at most 1e-6 a statistic; the streams are fixed.

A test of power stands beside each: a sampler planted with an error must be rejected.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from fedcredit.privacy.sampling import poisson_indices
from fedcredit.seeds import private_stream

pytestmark = pytest.mark.statistical

ALPHA = 1e-6
NUM_LOANS, PROBABILITY, NUM_STEPS = 3000, 0.043, 2000
STREAM = private_stream(fingerprint="print", seed=1, institution="north", purpose="federation.sampling")

Table = NDArray[np.bool_]


def to_table(draw: Callable[[int], NDArray[np.int64]], num_loans: int, num_steps: int) -> Table:
    table = np.zeros((num_steps, num_loans), dtype=np.bool_)
    for step in range(num_steps):
        table[step, draw(step)] = True
    return table


def poisson_table(probability: float, *, num_loans: int = NUM_LOANS, num_steps: int = NUM_STEPS) -> Table:
    def draw(step: int) -> NDArray[np.int64]:
        return poisson_indices(
            STREAM, num_loans=num_loans, probability=probability, server_round=1 + step // 20, step=step % 20
        )

    return to_table(draw, num_loans, num_steps)


@pytest.fixture(scope="module")
def table() -> Table:
    return poisson_table(PROBABILITY)


def two_sided(statistic: float, law: stats.rv_continuous) -> float:
    return float(2.0 * min(law.cdf(statistic), law.sf(statistic)))


def p_mean(table: Table) -> float:
    """All inclusions together are binomial."""
    return float(stats.binomtest(int(table.sum()), table.size, PROBABILITY).pvalue)


def p_dispersion(table: Table) -> float:
    """Batch sizes have the binomial variance: their squared deviations are nearly chi-square."""
    num_loans = table.shape[1]
    deviations = table.sum(axis=1) - num_loans * PROBABILITY
    return two_sided((deviations**2).sum() / (num_loans * PROBABILITY * (1.0 - PROBABILITY)), stats.chi2(len(table)))


def p_loan_dispersion(table: Table) -> float:
    """So have the inclusions of the loans: no loan is favoured."""
    num_steps = len(table)
    deviations = table.sum(axis=0) - num_steps * PROBABILITY
    scale = num_steps * PROBABILITY * (1.0 - PROBABILITY)
    return two_sided((deviations**2).sum() / scale, stats.chi2(table.shape[1]))


def p_pairs(table: Table, apart: int) -> float:
    """Disjoint pairs of loans are in a batch together with probability q squared."""
    left = np.arange(table.shape[1]).reshape(-1, 2 * apart)[:, :apart].reshape(-1)
    together = table[:, left] & table[:, left + apart]
    return float(stats.binomtest(int(together.sum()), together.size, PROBABILITY**2).pvalue)


def p_steps(table: Table) -> float:
    """A loan is in two steps in a row with probability q squared."""
    together = table[0::2] & table[1::2]
    return float(stats.binomtest(int(together.sum()), together.size, PROBABILITY**2).pvalue)


def p_gaps(table: Table, axis: int) -> float:
    """Waiting times between inclusions, over loans or over steps, are geometric."""
    line = np.flatnonzero(table.reshape(-1) if axis == 1 else table.T.reshape(-1))
    gaps = np.diff(line)
    edges = stats.geom(PROBABILITY).ppf(np.linspace(0.0, 1.0, 41)[1:-1])
    bins = np.unique(np.concatenate([[0.5], edges + 0.5, [np.inf]]))
    counts, _ = np.histogram(gaps, bins)
    expected = np.diff(stats.geom(PROBABILITY).cdf(bins)) * len(gaps)
    return float(stats.chisquare(counts, expected).pvalue)


STATISTICS: dict[str, Callable[[Table], float]] = {
    "mean": p_mean,
    "dispersion": p_dispersion,
    "loan dispersion": p_loan_dispersion,
    "neighbouring pairs": lambda table: p_pairs(table, 1),
    "distant pairs": lambda table: p_pairs(table, 500),
    "steps": p_steps,
    "gaps in a batch": lambda table: p_gaps(table, 1),
    "gaps of a loan": lambda table: p_gaps(table, 0),
}


@pytest.mark.parametrize("statistic", STATISTICS)
def test_the_sampler_is_poisson(table: Table, statistic: str) -> None:
    assert STATISTICS[statistic](table) > ALPHA


def fixed_size(step: int) -> NDArray[np.int64]:
    return np.random.default_rng(step).choice(NUM_LOANS, round(NUM_LOANS * PROBABILITY), replace=False)


def shuffled(step: int) -> NDArray[np.int64]:
    size = round(NUM_LOANS * PROBABILITY)
    epoch, batch = divmod(step, NUM_LOANS // size)
    return np.random.default_rng(epoch).permutation(NUM_LOANS)[batch * size : (batch + 1) * size]


def in_couples(step: int) -> NDArray[np.int64]:
    taken = np.flatnonzero(np.random.default_rng(step).random(NUM_LOANS // 2) < PROBABILITY)
    return np.concatenate([2 * taken, 2 * taken + 1])


def repeated(step: int) -> NDArray[np.int64]:
    return np.flatnonzero(np.random.default_rng(step // 2).random(NUM_LOANS) < PROBABILITY)


def with_favourites(step: int) -> NDArray[np.int64]:
    rates = np.where(np.arange(NUM_LOANS) % 2, 1.2, 0.8) * PROBABILITY
    return np.flatnonzero(np.random.default_rng(step).random(NUM_LOANS) < rates)


@pytest.mark.parametrize("factor", [0.95, 1.05])
def test_a_rate_off_by_five_per_cent_is_rejected(factor: float) -> None:
    assert p_mean(poisson_table(factor * PROBABILITY)) < ALPHA


@pytest.mark.parametrize(
    ("sampler", "statistic"),
    [
        (fixed_size, "dispersion"),
        (shuffled, "dispersion"),
        (shuffled, "gaps of a loan"),
        (in_couples, "neighbouring pairs"),
        (in_couples, "gaps in a batch"),
        (repeated, "steps"),
        (with_favourites, "loan dispersion"),
    ],
)
def test_a_sampler_that_is_not_poisson_is_rejected(sampler: Callable[[int], NDArray[np.int64]], statistic: str) -> None:
    assert STATISTICS[statistic](to_table(sampler, NUM_LOANS, NUM_STEPS)) < ALPHA


def test_a_rare_rate_gives_mostly_empty_batches_of_the_right_mean() -> None:
    sizes = [
        len(poisson_indices(STREAM, num_loans=3000, probability=1e-4, server_round=2, step=step))
        for step in range(5000)
    ]
    assert stats.binomtest(sum(sizes), 3000 * 5000, 1e-4).pvalue > ALPHA
    assert stats.binomtest(sizes.count(0), 5000, (1.0 - 1e-4) ** 3000).pvalue > ALPHA


def test_a_single_loan_is_taken_at_its_rate() -> None:
    table = poisson_table(0.3, num_loans=1, num_steps=5000)
    assert stats.binomtest(int(table.sum()), 5000, 0.3).pvalue > ALPHA


def test_two_arms_of_one_seed_share_no_batch() -> None:
    other = private_stream(fingerprint="other", seed=1, institution="north", purpose="federation.sampling")
    common, total = 0, 0
    for step in range(500):
        mine, theirs = (
            poisson_indices(stream, num_loans=3000, probability=0.25, server_round=1, step=step)
            for stream in (STREAM, other)
        )
        assert not np.array_equal(mine, theirs)
        common += len(np.intersect1d(mine, theirs))
        total += 3000
    assert stats.binomtest(common, total, 0.25**2).pvalue > ALPHA

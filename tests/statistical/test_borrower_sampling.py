"""Borrowers are Poisson-sampled with all their loans, as read off what each trainer releases.

Each loan has a coordinate of its own, and no noise is drawn, so a released sum shows who was in it. Every test
rejects a right sampler with probability at most 1e-6 a statistic; the streams are fixed, and a planted error
must be rejected.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from fedcredit.experiment.spec import Sgd
from fedcredit.model.network import DefaultNetwork
from fedcredit.privacy.sampling import poisson_indices
from fedcredit.seeds import private_stream
from fedcredit.training import compiled, reference, vectorised
from fedcredit.training.contract import LocalSettings, RoundStreams

pytestmark = pytest.mark.statistical

ALPHA = 1e-6
PROBABILITY, NUM_ROUNDS = 0.2, 400
SIZES = np.array([1, 2, 3, 4] * 12)
STARTS = np.concatenate([[0], np.cumsum(SIZES)])
NUM_LOANS, NUM_BORROWERS = int(STARTS[-1]), len(SIZES)
TRAINERS = {"compiled": compiled, "vectorised": vectorised, "reference": reference}
NETWORK = DefaultNetwork(num_features=NUM_LOANS, hidden=())
SETTINGS = LocalSettings(
    num_steps=1,
    sampling_probability=PROBABILITY,
    divisor=1.0,
    clipping_norm=1.0,
    noise_multiplier=0.0,
    optimiser=Sgd(learning_rate=1.0),
)
STREAM = private_stream(fingerprint="print", seed=1, institution="north", purpose="federation.sampling")


@functools.cache
def seen(kind: str) -> NDArray[np.bool_]:
    """Which loans were in each step's sum, ``[steps, loans]``."""
    features = 4096.0 * np.eye(NUM_LOANS, dtype=np.float32)
    start, labels = np.zeros(NETWORK.num_parameters, dtype=np.float32), np.zeros(NUM_LOANS, dtype=np.float32)
    table = np.zeros((NUM_ROUNDS, NUM_LOANS), dtype=np.bool_)
    for server_round in range(1, NUM_ROUNDS + 1):
        streams = RoundStreams(sampling=STREAM, noise=STREAM, server_round=server_round, borrower_starts=STARTS)
        outcome = TRAINERS[kind].local_round(NETWORK, start, features, labels, settings=SETTINGS, streams=streams)
        released = -outcome.parameters[:NUM_LOANS]
        assert np.all((np.abs(released) < 1e-6) | (np.abs(released - 1.0) < 2.0**-9))
        table[server_round - 1] = released > 0.5
    return table


def by_borrower(table: NDArray[np.bool_]) -> NDArray[np.int64]:
    """How many loans of each borrower were in each step, ``[steps, borrowers]``."""
    return np.add.reduceat(table.astype(np.int64), STARTS[:-1], axis=1)


def p_mean(table: NDArray[np.bool_]) -> float:
    return float(stats.binomtest(int(table.sum()), table.size, PROBABILITY).pvalue)


def p_dispersion(table: NDArray[np.bool_]) -> float:
    """Numbers of borrowers in a step have the binomial variance."""
    law, squares = stats.chi2(len(table)), (table.sum(axis=1) - NUM_BORROWERS * PROBABILITY) ** 2
    found = squares.sum() / (NUM_BORROWERS * PROBABILITY * (1.0 - PROBABILITY))
    return float(2.0 * min(law.cdf(found), law.sf(found)))


def p_pairs(table: NDArray[np.bool_]) -> float:
    """Two borrowers are in a step together with probability q squared."""
    together = table[:, 0::2] & table[:, 1::2]
    return float(stats.binomtest(int(together.sum()), together.size, PROBABILITY**2).pvalue)


def p_equal_sizes(table: NDArray[np.bool_]) -> float:
    """Borrowers of many loans are sampled no more often than those of one."""
    counts = [table[:, size == SIZES].sum() for size in range(1, 5)]
    return float(stats.chisquare(counts).pvalue)


STATISTICS = {"mean": p_mean, "dispersion": p_dispersion, "pairs": p_pairs, "sizes": p_equal_sizes}


@pytest.mark.parametrize("kind", TRAINERS)
def test_a_borrower_comes_with_all_loans_or_none_and_borrowers_by_the_poisson_law(kind: str) -> None:
    counts = by_borrower(seen(kind))
    assert np.all((counts == 0) | (counts == SIZES))
    assert {
        name: p > ALPHA for name, p in ((name, law(counts > 0)) for name, law in STATISTICS.items())
    } == dict.fromkeys(STATISTICS, True)


@pytest.mark.parametrize("kind", ["vectorised", "reference"])
def test_trainers_sample_the_same_borrowers(kind: str) -> None:
    assert np.array_equal(seen(kind), seen("compiled"))


def loans_first(step: int) -> NDArray[np.bool_]:
    """A wrong sampler: draws loans, and takes the borrower of each along."""
    drawn = poisson_indices(STREAM, num_loans=NUM_LOANS, probability=PROBABILITY, server_round=1 + step, step=0)
    return np.isin(np.arange(NUM_BORROWERS), np.searchsorted(STARTS, drawn, side="right") - 1)


def fixed_size(step: int) -> NDArray[np.bool_]:
    """A wrong sampler: the same number of borrowers each time."""
    chosen = np.random.default_rng(step).permutation(NUM_BORROWERS)
    return chosen < round(NUM_BORROWERS * PROBABILITY)


@pytest.mark.parametrize(
    ("sampler", "statistic"), [(loans_first, "mean"), (loans_first, "sizes"), (fixed_size, "dispersion")]
)
def test_a_sampler_of_something_else_is_rejected(sampler: Callable[[int], NDArray[np.bool_]], statistic: str) -> None:
    table = np.array([sampler(step) for step in range(NUM_ROUNDS)])
    assert STATISTICS[statistic](table) < ALPHA

"""Noise that training adds: its scale, its independence, and what of it an aggregate keeps.

Every statistic rejects a right mechanism with probability at most 1e-6; the streams are fixed. A chi-square
on 500,000 draws sees the variance to .2 %, so an error of 1 % in the scale (2 % in the variance) lies
ten standard errors out and is missed with probability below 1e-6.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from fedcredit.experiment.spec import Sgd
from fedcredit.model.network import DefaultNetwork, initial_parameters
from fedcredit.privacy.mechanism import noise
from fedcredit.seeds import Stream, normals, private_stream, public_stream, words
from fedcredit.training import vectorised
from fedcredit.training.contract import LocalSettings, RoundStreams

pytestmark = pytest.mark.statistical

ALPHA = 1e-6
MULTIPLIER, NORM = 1.7, 2.5
NETWORK = DefaultNetwork(num_features=28, hidden=(16,), output_scale=1.0)


def named(*, fingerprint: str = "print", institution: str = "north", purpose: str = "federation.noise") -> Stream:
    return private_stream(fingerprint=fingerprint, seed=1, institution=institution, purpose=purpose)


def draws(stream: Stream, multiplier: float = MULTIPLIER) -> NDArray[np.float64]:
    """500,000 draws: 20 rounds of 5 steps of 5,000 parameters."""
    rounds = product(range(1, 21), range(5))
    parts = [
        noise(
            stream,
            num_parameters=5000,
            noise_multiplier=multiplier,
            clipping_norm=NORM,
            server_round=server_round,
            step=step,
        )
        for server_round, step in rounds
    ]
    return np.concatenate(parts)


def p_scale(found: NDArray[np.float64], deviation: float) -> float:
    law = stats.chi2(found.size)
    statistic = float(((found / deviation) ** 2).sum())
    return float(2.0 * min(law.cdf(statistic), law.sf(statistic)))


def test_noise_has_the_scale_and_shape_that_the_accountant_assumes() -> None:
    found = draws(named())
    assert p_scale(found, MULTIPLIER * NORM) > ALPHA
    assert abs(found.mean()) < 4.9 * MULTIPLIER * NORM / np.sqrt(found.size)
    assert stats.kstest(found / (MULTIPLIER * NORM), "norm").pvalue > ALPHA


@pytest.mark.parametrize("factor", [0.99, 1.01])
def test_a_scale_that_is_one_per_cent_off_is_rejected(factor: float) -> None:
    assert p_scale(draws(named(), factor * MULTIPLIER), MULTIPLIER * NORM) < ALPHA


def scopes() -> Iterator[tuple[Stream, int, int]]:
    for fingerprint, institution, server_round, step in product(("a", "b"), ("north", "south"), (1, 2, 3), (0, 1, 2)):
        yield named(fingerprint=fingerprint, institution=institution), server_round, step


def test_noise_of_other_steps_rounds_lenders_and_arms_is_uncorrelated() -> None:
    found = np.array([normals(stream, count=30_000, server_round=at, step=step) for stream, at, step in scopes()])
    correlation = np.corrcoef(found) - np.eye(len(found))
    # 630 pairs: a right generator exceeds six standard errors in one of them with probability 1.2e-6
    assert np.abs(correlation).max() < 6.0 / np.sqrt(found.shape[1])


def test_no_noise_word_is_drawn_twice() -> None:
    # about a million 64-bit words: two of them meet by chance with probability 3e-8
    found = np.concatenate(
        [words(stream, count=60_000, server_round=at, step=step).view(np.uint64) for stream, at, step in scopes()]
    )
    assert len(np.unique(found)) == len(found) == 1_080_000


def test_sampling_and_noise_of_a_lender_share_no_word() -> None:
    found = np.concatenate(
        [words(named(purpose=f"federation.{use}"), count=100_000).view(np.uint64) for use in ("sampling", "noise")]
    )
    assert len(np.unique(found)) == len(found)


def loans(num_loans: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    table = normals(public_stream(seed=1, purpose="loans"), count=num_loans * 29).reshape(num_loans, 29)
    return 0.4 * table[:, 1:].astype(np.float32), (table[:, 0] > 0.8).astype(np.float32)


def one_step(num_loans: int, rate: float, noise_multiplier: float) -> LocalSettings:
    return LocalSettings(
        num_steps=1,
        sampling_probability=rate,
        divisor=rate * num_loans,
        clipping_norm=0.5,
        noise_multiplier=noise_multiplier,
        optimiser=Sgd(learning_rate=1.0),
    )


def aggregate(
    x: NDArray[np.float32],
    y: NDArray[np.float32],
    owners: NDArray[np.int64],
    *,
    rate: float = 1.0,
    noise_multiplier: float = 0.0,
    server_round: int = 1,
    one_noise: bool = False,
) -> NDArray[np.float64]:
    """The weighted mean update, weights n_k / n, of one round of one step at each lender."""
    start = initial_parameters(NETWORK, public_stream(seed=1, purpose="initialisation"))
    total = np.zeros(NETWORK.num_parameters)
    for owner in np.unique(owners):
        own = owners == owner
        lender = f"lender {0 if one_noise else owner}"
        streams = RoundStreams(
            sampling=named(institution=f"lender {owner}", purpose="federation.sampling"),
            noise=named(institution=lender),
            server_round=server_round,
        )
        chosen = one_step(int(own.sum()), rate, noise_multiplier)
        outcome = vectorised.local_round(NETWORK, start, x[own], y[own], settings=chosen, streams=streams)
        total += own.mean() * (outcome.parameters.astype(np.float64) - start)
    return total


def test_splitting_the_loans_otherwise_among_lenders_changes_the_aggregate_by_at_most_a_millionth() -> None:
    x, y = loans(2000)
    pooled = aggregate(x, y, np.zeros(2000, dtype=np.int64))
    assert np.abs(pooled).max() > 1e-3
    generator = np.random.default_rng(1)
    for num_lenders in (2, 3, 10, 40):
        even = generator.integers(num_lenders, size=2000)
        skewed = np.minimum(generator.geometric(0.5, size=2000), num_lenders) - 1
        by_label = np.where(y > 0, even % 2, even)
        for owners in (even, skewed, by_label):
            assert np.abs(aggregate(x, y, owners) - pooled).max() <= 1e-6


NUM_ROUNDS, RATE, AGGREGATE_MULTIPLIER = 150, 0.25, 1.3
OWNERS = np.repeat(np.arange(5), (40, 60, 150, 250, 500))


def aggregate_noise(*, one_noise: bool = False) -> NDArray[np.float64]:
    """150 rounds of the aggregate's noise, 481 numbers each: noisy minus noiseless on the same batches."""
    x, y = loans(1000)
    rounds = []
    for server_round in range(1, NUM_ROUNDS + 1):
        noisy, clean = (
            aggregate(x, y, OWNERS, rate=RATE, noise_multiplier=sigma, server_round=server_round, one_noise=one_noise)
            for sigma in (AGGREGATE_MULTIPLIER, 0.0)
        )
        rounds.append(noisy - clean)
    return np.array(rounds)


def test_the_aggregates_noise_is_that_of_pooled_training_times_the_root_of_the_number_of_lenders() -> None:
    found = aggregate_noise()
    # variance sigma^2 C^2 K / (q n)^2, whatever the sizes; 72,150 numbers see it to .53 %
    deviation = AGGREGATE_MULTIPLIER * 0.5 * np.sqrt(5) / (RATE * 1000)
    assert p_scale(found, deviation) > ALPHA
    assert p_scale(found, 1.03 * deviation) < ALPHA
    assert stats.kstest(found.reshape(-1) / deviation, "norm").pvalue > ALPHA
    assert abs(found.mean()) < 4.9 * deviation / np.sqrt(found.size)
    across = np.corrcoef(found[:-1].reshape(-1), found[1:].reshape(-1))[0, 1]
    assert abs(across) < 4.9 / np.sqrt(found[1:].size)


def test_lenders_that_share_their_noise_are_rejected() -> None:
    deviation = AGGREGATE_MULTIPLIER * 0.5 * np.sqrt(5) / (RATE * 1000)
    assert p_scale(aggregate_noise(one_noise=True), deviation) < ALPHA

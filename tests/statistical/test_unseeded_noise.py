"""The noise of mode deployed, by moments and by distribution; planted errors in it must be rejected.

Chi-square of 400,000 draws at 1e-6 on either side: a scale that is wrong by 1 % is rejected with power above 0.999.
"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from fedcredit.experiment.spec import Sgd
from fedcredit.model.network import DefaultNetwork
from fedcredit.privacy.entropy import KeyReusedError, ReleaseKey
from fedcredit.privacy.grid import grid_step, on_grid
from fedcredit.training.contract import LocalSettings
from fedcredit.training.trainers import Kind
from fedcredit.training.unseeded import unseeded_round

ALPHA = 1e-6
NUM_FEATURES = 19_999
STEPS = 20
C, SIGMA, DIVISOR = 2.5, 1.7, 1024.0
NETWORK = DefaultNetwork(num_features=NUM_FEATURES, hidden=())


def chi_square_p(draws: NDArray[np.float64], deviation: float) -> float:
    statistic = float(np.sum((draws / deviation) ** 2))
    return 2.0 * float(min(stats.chi2.cdf(statistic, draws.size), stats.chi2.sf(statistic, draws.size)))


def released_noise(kind: Kind, *, num_steps: int = STEPS) -> NDArray[np.float64]:
    """What a lender without a loan in any batch releases: noise alone, one round a step."""
    settings = LocalSettings(
        num_steps=1, sampling_probability=0.5, divisor=DIVISOR, clipping_norm=C, noise_multiplier=SIGMA,
        optimiser=Sgd(learning_rate=1.0),
    )  # fmt: skip
    features, default = np.zeros((0, NUM_FEATURES), dtype=np.float32), np.zeros(0, dtype=np.float32)
    start = np.zeros(NETWORK.num_parameters, dtype=np.float32)
    local_round = unseeded_round(kind)
    outcomes = [
        local_round(NETWORK, start, features, default, settings=settings, key=ReleaseKey.fresh())
        for _ in range(num_steps)
    ]
    assert all(outcome.num_noise_draws == 1 for outcome in outcomes)
    return np.concatenate([outcome.parameters.astype(np.float64) for outcome in outcomes]) * DIVISOR


@pytest.mark.parametrize("kind", ["compiled", "vectorised"])
def test_what_a_deployed_lender_releases_has_the_stated_scale_and_no_other(kind: Kind) -> None:
    noise = released_noise(kind)
    assert chi_square_p(noise, SIGMA * C) > ALPHA
    for planted in (0.99, 1.01, 0.5, 1 / np.sqrt(4)):
        assert chi_square_p(planted * noise, SIGMA * C) < ALPHA


def test_noise_is_gaussian_and_steps_share_none_of_it() -> None:
    key = ReleaseKey.fresh()
    first, second = (key.normals(step=step, count=200_000) for step in (0, 1))
    assert stats.kstest(first, "norm").pvalue > ALPHA
    assert stats.kstest(1.1 * first, "norm").pvalue < ALPHA
    bound = 5.0 / np.sqrt(first.size)
    assert abs(np.corrcoef(first, second)[0, 1]) < bound
    assert abs(np.corrcoef(first[:-1], first[1:])[0, 1]) < bound
    half = first.size // 2
    assert abs(np.corrcoef(first[:half], first[half:])[0, 1]) < bound
    assert len(np.unique(first)) == first.size


def test_samples_of_a_key_are_poisson_by_rate_and_dispersion() -> None:
    from fedcredit.privacy.sampling import indices_from

    key, rate, num_loans, num_steps = ReleaseKey.fresh(), 0.043, 3000, 2000
    sizes = np.array(
        [len(indices_from(key.uniforms(step=step), num_loans=num_loans, probability=rate)) for step in range(num_steps)]
    )

    def verdict(found: NDArray[np.int64], wanted: float) -> bool:
        mean, variance = num_loans * wanted, num_loans * wanted * (1.0 - wanted)
        score = (found.mean() - mean) / np.sqrt(variance / num_steps)
        dispersion = float(((found - mean) ** 2).sum() / variance)
        tail = min(stats.chi2.cdf(dispersion, num_steps), stats.chi2.sf(dispersion, num_steps))
        return bool(2 * stats.norm.sf(abs(score)) > ALPHA and 2 * tail > ALPHA)

    assert verdict(sizes, rate)
    assert not verdict(sizes, 1.05 * rate)
    assert not verdict(np.full(num_steps, 129), rate)


def test_a_key_gives_its_noise_and_its_sample_once() -> None:
    key = ReleaseKey.fresh()
    key.normals(step=3, count=4)
    key.uniforms(step=3)
    for again in (lambda: key.normals(step=3, count=4), lambda: key.uniforms(step=3)):
        with pytest.raises(KeyReusedError, match="was drawn before"):
            again()
    with pytest.raises(ValueError, match="31 bytes"):
        ReleaseKey(b"x" * 31)


def test_a_round_refuses_the_key_of_another_round() -> None:
    settings = LocalSettings(
        num_steps=2, sampling_probability=0.5, divisor=1.0, clipping_norm=C, noise_multiplier=SIGMA,
        optimiser=Sgd(learning_rate=1.0),
    )  # fmt: skip
    network = DefaultNetwork(num_features=2, hidden=())
    arguments = (network, np.zeros(3, np.float32), np.zeros((4, 2), np.float32), np.zeros(4, np.float32))
    key, local_round = ReleaseKey.fresh(), unseeded_round("vectorised")
    local_round(*arguments, settings=settings, key=key)
    with pytest.raises(KeyReusedError):
        local_round(*arguments, settings=settings, key=key)


def test_equal_keys_alone_give_equal_rounds_and_nothing_shows_a_key() -> None:
    assert np.array_equal(
        ReleaseKey(b"k" * 32).normals(step=0, count=5), ReleaseKey(b"k" * 32).normals(step=0, count=5)
    )
    draws = [ReleaseKey.fresh().normals(step=0, count=5) for _ in range(100)]
    assert len(np.unique(np.concatenate(draws))) == 500
    assert "k" * 8 not in repr(ReleaseKey(b"k" * 32))


@pytest.mark.parametrize("num_parameters", [1, 321, 1_000_000])
@pytest.mark.parametrize("noise_multiplier", [1e-3, 1.0, 80.0])
@pytest.mark.parametrize("clipping_norm", [1e-6, 2.5, 1e6])
def test_the_grid_moves_a_sum_by_no_more_than_its_share_of_the_clip_margin(
    num_parameters: int, noise_multiplier: float, clipping_norm: float
) -> None:
    step = grid_step(num_parameters=num_parameters, noise_multiplier=noise_multiplier, clipping_norm=clipping_norm)
    assert np.log2(step) == np.rint(np.log2(step))
    assert (
        step * np.sqrt(num_parameters)
        <= 2.0**-12 * clipping_norm
        < 2.0 * step * np.sqrt(num_parameters) * max(1.0, 2.0**-2 / noise_multiplier)
    )
    assert step <= 2.0**-10 * noise_multiplier * clipping_norm


def test_rounded_sum_and_rounded_noise_add_up_exactly_and_as_if_rounded_together() -> None:
    generator = np.random.default_rng(5)
    step = grid_step(num_parameters=1000, noise_multiplier=1.0, clipping_norm=C)
    total, noise = on_grid(generator.normal(0, 1e6, 1000), step), generator.normal(0, C, 1000)
    released = total + on_grid(noise, step)
    assert np.array_equal(released / step, np.rint(released / step))
    assert np.array_equal(released, on_grid(total + noise, step))
    with pytest.raises(ValueError, match="too large"):
        on_grid(np.array([1e300]), step)

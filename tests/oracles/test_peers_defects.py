"""Eight defects of privacy accounting and noise found in other frameworks: ours keeps a law that each of them breaks.

The peer's way is written down again, as small as it can be, from reading the peer's source; it must break the law, or
the law could not be broken by anybody.

1. Flower, ``examples/opacus``: a new accountant for every message, so the epsilon told is that of one round.
2. Flower, ``dp_fixed_clipping``: updates are averaged by size, noise is that of an unweighted mean.
3. Flower, the same wrapper: noise is scaled for the mean and added to what the server's optimiser made of it.
4. FLamby: noise is calibrated to the number of rounds, whatever the number of local steps.
5. FLSim: the price is that of Poisson sampling, the batches are of one size.
6. FL4Health: a lender's part in a round is priced as if it were drawn again at every local step.
7. SecretFlow, ``GaussianModelDP``: the noise has the scale sigma C^2, the accountant is told sigma.
8. Flower, FL4Health, SecretFlow: noise comes from numpy's or torch's global generator, which a user's seed resets.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from fedcredit.data.contract import draw_up
from fedcredit.experiment.spec import Adam, FixedSteps, Mean, Privacy, Sgd
from fedcredit.federation.aggregate import aggregate
from fedcredit.model.network import DefaultNetwork
from fedcredit.privacy.accounting.accountants import epsilon, quick_epsilon
from fedcredit.privacy.accounting.calibration import calibrate
from fedcredit.privacy.accounting.events import GaussianSteps
from fedcredit.privacy.accounting.ledger import PrivacyLedger, Release
from fedcredit.privacy.mechanism import noise
from fedcredit.privacy.plan import plan_privacy
from fedcredit.privacy.sampling import poisson_indices
from fedcredit.seeds import normals, private_stream, public_stream
from fedcredit.training import optimiser, vectorised
from fedcredit.training.contract import LocalSettings, RoundStreams

DELTA = 1e-5
Numbers = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Defect:
    """A law, our way of doing it and the peer's; the law fails by AssertionError."""

    law: Callable[..., None]
    ours: Callable[..., object]
    theirs: Callable[..., object]


def steps(rate: float, multiplier: float, count: int) -> GaussianSteps:
    return GaussianSteps(sampling_probability=rate, noise_multiplier=multiplier, num_steps=count)


# 1. What is told after some rounds is the price of all of them.

ROUND = steps(1 / 125, 1.0, 125)


def told_is_the_price_of_the_run(told: Callable[[Path, int], float], folder: Path) -> None:
    for rounds in (1, 3, 10):
        assert (
            told(folder / f"{rounds}.jsonl", rounds) >= quick_epsilon([ROUND.times(rounds)], delta=DELTA).value - 1e-9
        )


def of_the_ledger(path: Path, rounds: int) -> float:
    for server_round in range(1, rounds + 1):
        with PrivacyLedger.open(path, institution="north", fingerprint="print", mode="simulated") as ledger:
            release = Release(name="federation", server_round=server_round, event=ROUND, digest=str(server_round))
            ledger.intend(release)
            ledger.commit(release, num_noise_draws=ROUND.num_steps)
            events = ledger.events()
    return quick_epsilon(events, delta=DELTA).value


def of_a_new_accountant(path: Path, rounds: int) -> float:
    value = 0.0
    for _ in range(rounds):
        value = quick_epsilon([ROUND], delta=DELTA).value
    return value


# 2. However unequal the weights, the noise on the mean is sigma times what one unit can move it.

SIZES = {"large": 5400, **{f"small {place}": 400 for place in range(9)}}
MULTIPLIER, NORM = 1.5, 0.5
NETWORK = DefaultNetwork(num_features=12, hidden=(16,), output_scale=1.0)


def noise_is_enough_for_the_largest_weight(deviation_and_sensitivity: Callable[[], tuple[float, float]]) -> None:
    deviation, sensitivity = deviation_and_sensitivity()
    assert deviation >= 0.95 * MULTIPLIER * sensitivity


def of_loans_at_weighted_lenders() -> tuple[float, float]:
    table = draw_up(SIZES, local=FixedSteps(num_steps=1, sampling_probability=0.25), weights="by_size")
    start = np.zeros(NETWORK.num_parameters, dtype=np.float32)
    rounds = []
    for server_round in range(1, 9):
        updates = []
        for contract in table.contracts:
            chosen = LocalSettings(
                num_steps=1,
                sampling_probability=contract.sampling_probability,
                divisor=contract.divisor,
                clipping_norm=NORM,
                noise_multiplier=MULTIPLIER,
                optimiser=Sgd(learning_rate=1.0),
            )
            sampling, noises = (
                private_stream(fingerprint="print", seed=1, institution=contract.institution, purpose=purpose)
                for purpose in ("sampling", "noise")
            )
            streams = RoundStreams(sampling=sampling, noise=noises, server_round=server_round)
            nothing = np.zeros((0, 12), dtype=np.float32), np.zeros(0, dtype=np.float32)
            updates.append(
                vectorised.local_round(NETWORK, start, *nothing, settings=chosen, streams=streams).parameters
            )
        weights = np.array([contract.weight for contract in table.contracts])
        rounds.append(aggregate(Mean(), np.array(updates, dtype=np.float64), weights))
    return float(np.std(rounds)), max(contract.weight * NORM / contract.divisor for contract in table.contracts)


def of_lenders_averaged_by_size() -> tuple[float, float]:
    weights = np.array([*SIZES.values()]) / sum(SIZES.values())
    return MULTIPLIER * NORM / len(SIZES), float(weights.max()) * NORM


# 3. Where the noise is added, one unit moves the sum by no more than the noise was scaled for.

ROWS = (
    normals(public_stream(seed=1, purpose="rows"), count=50 * 12).reshape(50, 12).astype(np.float32),
    (np.arange(50) % 3 == 0).astype(np.float32),
)


def one_unit_moves_what_is_noised_by_at_most_the_bound(moved_and_bound: Callable[[], tuple[float, float]]) -> None:
    moved, bound = moved_and_bound()
    assert moved <= bound


def of_the_clipped_sum() -> tuple[float, float]:
    start = 0.3 * normals(public_stream(seed=1, purpose="start"), count=NETWORK.num_parameters).astype(np.float32)
    whole, without = (
        vectorised.clipped_gradient_sum(
            NETWORK, start, *(rows[first:] for rows in ROWS), clipping_norm=NORM, pos_weight=1.0
        )
        for first in (0, 1)
    )
    return float(np.linalg.norm(whole - without)), NORM


def of_the_server_optimisers_output() -> tuple[float, float]:
    num_lenders, size = 10, 100
    mean = np.full(size, 1e-4)
    change = np.full(size, -NORM / num_lenders / math.sqrt(size))
    outputs = [
        optimiser.advance(Adam(learning_rate=0.1), optimiser.start(size), found)[0] for found in (mean, mean + change)
    ]
    return float(np.linalg.norm(outputs[0] - outputs[1])), NORM / num_lenders


# 4. Noise calibrated to a target keeps it over all steps that are taken.

RATE, LOCAL_STEPS, NUM_ROUNDS, TARGET = 1.0, 5, 4, 2.0


def all_steps_together_keep_the_target(multiplier: Callable[[], float]) -> None:
    assert epsilon([steps(RATE, multiplier(), LOCAL_STEPS * NUM_ROUNDS)], delta=DELTA).value <= TARGET


def of_the_plan() -> float:
    local = FixedSteps(num_steps=LOCAL_STEPS, sampling_probability=RATE)
    table = draw_up({"north": 1000}, local=local, weights="by_size")
    plan = plan_privacy(Privacy(target_epsilon=TARGET, target_delta=DELTA), table, num_rounds=NUM_ROUNDS)
    return plan.noise_multiplier["north"]


def of_rounds_alone() -> float:
    return calibrate(target_epsilon=TARGET, delta=DELTA, sampling_probability=RATE, num_steps=NUM_ROUNDS)


# 5. Batches have the sizes of the sampling that is priced. A right sampler fails once in a million streams.


def batch_sizes_are_binomial(batch: Callable[[int], NDArray[np.int64]]) -> None:
    sizes = np.array([len(batch(step)) for step in range(400)])
    statistic = ((sizes - 3000 * 0.04) ** 2).sum() / (3000 * 0.04 * 0.96)
    law = stats.chi2(len(sizes))
    assert 2.0 * min(law.cdf(statistic), law.sf(statistic)) > 1e-6


def of_the_sampler(step: int) -> NDArray[np.int64]:
    stream = private_stream(fingerprint="print", seed=1, institution="north", purpose="federation.sampling")
    return poisson_indices(stream, num_loans=3000, probability=0.04, server_round=1, step=step)


def of_a_shuffled_loader(step: int) -> NDArray[np.int64]:
    epoch, batch = divmod(step, 25)
    return np.random.default_rng(epoch).permutation(3000)[120 * batch : 120 * (batch + 1)]


# 6. A lender that joins a round with probability p and then takes all T steps costs, by the subsampling theorem, which
# is tight here (Balle, Barthe and Gaboardi 2018), log(1 + p (e^x - 1)) at p delta, where T steps cost x at delta.

JOINS, NOISE, STEPS = 0.1, 2.0, 10


def price_is_at_least_that_of_a_round_joined_as_a_whole(price: Callable[[], float]) -> None:
    whole = epsilon([steps(1.0, NOISE, STEPS)], delta=DELTA / JOINS).value
    assert price() >= math.log1p(JOINS * math.expm1(whole))


def of_a_lender_in_every_round() -> float:
    table = draw_up({"north": 1000}, local=FixedSteps(num_steps=STEPS, sampling_probability=1.0), weights="by_size")
    return plan_privacy(Privacy(noise_multiplier=NOISE, target_delta=DELTA), table, num_rounds=1).epsilon("north").value


def of_a_part_drawn_at_every_step() -> float:
    return epsilon([steps(JOINS, NOISE, STEPS)], delta=DELTA).value


# 7. Noise is sigma times the clipping norm, for a norm below one as for one above.


def noise_is_the_multiplier_times_the_norm(drawn: Callable[[float], Numbers]) -> None:
    for norm in (0.25, 1.0, 4.0):
        assert np.std(drawn(norm)) / norm == pytest.approx(MULTIPLIER, rel=0.02)


def named_noise(norm: float, server_round: int = 1) -> Numbers:
    stream = private_stream(fingerprint="print", seed=1, institution="north", purpose="federation.noise")
    return noise(
        stream,
        num_parameters=40_000,
        noise_multiplier=MULTIPLIER,
        clipping_norm=norm,
        server_round=server_round,
        step=0,
    )


def of_the_squared_norm(norm: float) -> Numbers:
    return MULTIPLIER * norm**2 * np.random.default_rng(1).normal(size=40_000)


# 8. No seed that a user sets makes two rounds share their noise.


def rounds_never_share_noise_whatever_is_seeded(drawn: Callable[[float, int], Numbers]) -> None:
    found = []
    for server_round in (1, 2):
        np.random.seed(1)
        found.append(drawn(1.0, server_round))
    assert not np.isclose(*found, atol=1e-9).any()


def of_the_global_generator(norm: float, server_round: int) -> Numbers:
    return MULTIPLIER * norm * np.random.normal(size=1000)


DEFECTS = {
    "accountant of one round": Defect(law=told_is_the_price_of_the_run, ours=of_the_ledger, theirs=of_a_new_accountant),
    "weights without their sensitivity": Defect(
        law=noise_is_enough_for_the_largest_weight,
        ours=of_loans_at_weighted_lenders,
        theirs=of_lenders_averaged_by_size,
    ),
    "noise after the server optimiser": Defect(
        law=one_unit_moves_what_is_noised_by_at_most_the_bound,
        ours=of_the_clipped_sum,
        theirs=of_the_server_optimisers_output,
    ),
    "calibration to rounds": Defect(law=all_steps_together_keep_the_target, ours=of_the_plan, theirs=of_rounds_alone),
    "fixed batches priced as Poisson": Defect(
        law=batch_sizes_are_binomial, ours=of_the_sampler, theirs=of_a_shuffled_loader
    ),
    "joining drawn at every step": Defect(
        law=price_is_at_least_that_of_a_round_joined_as_a_whole,
        ours=of_a_lender_in_every_round,
        theirs=of_a_part_drawn_at_every_step,
    ),
    "squared clipping norm": Defect(
        law=noise_is_the_multiplier_times_the_norm, ours=named_noise, theirs=of_the_squared_norm
    ),
    "global generator": Defect(
        law=rounds_never_share_noise_whatever_is_seeded, ours=named_noise, theirs=of_the_global_generator
    ),
}


def judge(name: str, way: Callable[..., object], folder: Path) -> None:
    law = DEFECTS[name].law
    if law is told_is_the_price_of_the_run:
        law(way, folder)
    else:
        law(way)


@pytest.mark.parametrize("name", DEFECTS)
def test_ours_keeps_the_law(name: str, tmp_path: Path) -> None:
    judge(name, DEFECTS[name].ours, tmp_path)


@pytest.mark.parametrize("name", DEFECTS)
def test_the_peers_way_breaks_it(name: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        judge(name, DEFECTS[name].theirs, tmp_path)

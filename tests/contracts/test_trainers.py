from __future__ import annotations

import logging
import os
import subprocess
import sys
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import fedcredit
from fedcredit.errors import InputError
from fedcredit.experiment.spec import Adam, Sgd
from fedcredit.model.network import DefaultNetwork, initial_parameters
from fedcredit.model.torch_network import to_module
from fedcredit.privacy import mechanism
from fedcredit.privacy.sampling import poisson_indices
from fedcredit.seeds import Stream, normals, private_stream, public_stream
from fedcredit.training import compiled, reference, vectorised
from fedcredit.training.contract import LocalRound, LocalSettings, RoundStreams
from fedcredit.training.trainers import trainer

Rows = NDArray[np.float32]
TRAINERS = {"compiled": compiled, "vectorised": vectorised, "reference": reference}
SOURCE = str(Path(fedcredit.__file__).parents[1])
NUM_FEATURES = 12
NETWORKS = {
    "logistic": DefaultNetwork(num_features=NUM_FEATURES, hidden=()),
    "16 tanh": DefaultNetwork(num_features=NUM_FEATURES, hidden=(16,), output_scale=1.0),
    "64-64 relu": DefaultNetwork(num_features=NUM_FEATURES, hidden=(64, 64), activation="relu", output_scale=1.0),
    "20 gelu": DefaultNetwork(num_features=NUM_FEATURES, hidden=(20,), activation="gelu", output_scale=1.0),
    "16-8 tanh LayerNorm": DefaultNetwork(num_features=NUM_FEATURES, hidden=(16, 8), layer_norm=True, output_scale=1.0),
    "5-7 gelu LayerNorm": DefaultNetwork(
        num_features=NUM_FEATURES, hidden=(5, 7), activation="gelu", layer_norm=True, output_scale=1.0
    ),
}
PLAIN = LocalSettings(
    num_steps=3,
    sampling_probability=0.25,
    divisor=100.0,
    clipping_norm=1.0,
    noise_multiplier=1.0,
    optimiser=Sgd(learning_rate=0.5),
)


@pytest.fixture(params=TRAINERS)
def room(request: pytest.FixtureRequest) -> Any:  # noqa: ANN401
    return TRAINERS[request.param]


def streams(server_round: int = 1, institution: str = "north", fingerprint: str = "print") -> RoundStreams:
    def named(purpose: str) -> Stream:
        return private_stream(fingerprint=fingerprint, seed=1, institution=institution, purpose=purpose)

    return RoundStreams(
        sampling=named("federation.sampling"), noise=named("federation.noise"), server_round=server_round
    )


def loans(num_loans: int, *, seed: int = 1, num_features: int = NUM_FEATURES) -> tuple[Rows, Rows]:
    draws = normals(public_stream(seed=seed, purpose="loans"), count=num_loans * (num_features + 1))
    table = draws.reshape(num_loans, num_features + 1)
    return 0.7 * table[:, 1:].astype(np.float32), (table[:, 0] + 0.5 * table[:, 1] > 0.8).astype(np.float32)


def start(network: DefaultNetwork, seed: int = 1) -> Rows:
    if not network.hidden:
        return 0.3 * normals(public_stream(seed=seed, purpose="start"), count=network.num_parameters).astype(np.float32)
    return initial_parameters(network, public_stream(seed=seed, purpose="initialisation"))


def clipped_sum(room: Any, network: DefaultNetwork, parameters: Rows, x: Rows, y: Rows, norm: float) -> NDArray:  # noqa: ANN401
    return room.clipped_gradient_sum(network, parameters, x, y, clipping_norm=norm, pos_weight=1.0)


# The trainers give the same round.


@pytest.mark.parametrize("optimiser", [Sgd(learning_rate=0.5), Sgd(learning_rate=0.2, momentum=0.9), Adam()], ids=str)
@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("kind", ["compiled", "vectorised"])
def test_the_trainers_agree_after_a_whole_round_with_noise(
    kind: str, network: DefaultNetwork, optimiser: Sgd | Adam
) -> None:
    x, y = loans(400)
    chosen = replace(PLAIN, num_steps=6, optimiser=optimiser, proximal_weight=0.3, pos_weight=2.5)
    for server_round in (1, 2):
        given = network, start(network, seed=server_round), x, y
        fast = TRAINERS[kind].local_round(*given, settings=chosen, streams=streams(server_round))
        slow = reference.local_round(*given, settings=chosen, streams=streams(server_round))
        assert np.abs(fast.parameters - slow.parameters).max() <= 1e-5
        assert np.abs(fast.parameters - given[1]).max() > 1e-2
        assert fast.num_noise_draws == slow.num_noise_draws == 6


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("kind", ["compiled", "vectorised"])
def test_the_trainers_agree_without_privacy(kind: str, network: DefaultNetwork) -> None:
    x, y = loans(400)
    chosen = replace(PLAIN, num_steps=6, clipping_norm=float("inf"), noise_multiplier=0.0)
    given = network, start(network), x, y
    fast = TRAINERS[kind].local_round(*given, settings=chosen, streams=streams())
    slow = reference.local_round(*given, settings=chosen, streams=streams())
    assert np.abs(fast.parameters - slow.parameters).max() <= 1e-5
    assert fast.num_noise_draws == slow.num_noise_draws == 0


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_without_clipping_the_sum_is_the_gradient_of_the_weighted_cross_entropy(
    room: Any,  # noqa: ANN401
    network: DefaultNetwork,
) -> None:
    x, y = loans(150)
    module = to_module(network, start(network)).double()
    loss = torch.nn.functional.binary_cross_entropy_with_logits(
        module(torch.tensor(x).double()), torch.tensor(y).double(), pos_weight=torch.tensor(3.0), reduction="sum"
    )
    gradients = torch.autograd.grad(loss, list(module.parameters()))
    expected = torch.cat([gradient.reshape(-1) for gradient in gradients]).numpy()
    got = room.clipped_gradient_sum(network, start(network), x, y, clipping_norm=float("inf"), pos_weight=3.0)
    assert got.dtype == np.float64
    assert np.abs(got - expected).max() < 1e-5 * np.abs(expected).max()


def focal(logits: torch.Tensor, label: torch.Tensor, gamma: float, pos_weight: float) -> torch.Tensor:
    """Write the focal loss down as Lin et al. (ICCV 2017, equation 5) do, with alpha as a weight of defaults."""
    chance = torch.where(label == 1.0, torch.sigmoid(logits), 1.0 - torch.sigmoid(logits))
    weight = torch.where(label == 1.0, pos_weight, 1.0)
    return -(weight * (1.0 - chance) ** gamma * torch.log(chance)).sum()


@pytest.mark.parametrize("gamma", [0.5, 2.0])
@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_without_clipping_the_sum_is_the_gradient_of_the_focal_loss(
    room: Any,  # noqa: ANN401
    network: DefaultNetwork,
    gamma: float,
) -> None:
    x, y = loans(150)
    module = to_module(network, start(network)).double()
    loss = focal(module(torch.tensor(x).double()), torch.tensor(y).double(), gamma, 3.0)
    gradients = torch.autograd.grad(loss, list(module.parameters()))
    expected = torch.cat([gradient.reshape(-1) for gradient in gradients]).numpy()
    got = room.clipped_gradient_sum(
        network, start(network), x, y, clipping_norm=float("inf"), pos_weight=3.0, focal_gamma=gamma
    )
    assert np.abs(got - expected).max() < 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("kind", ["compiled", "vectorised"])
def test_the_trainers_agree_on_the_focal_loss_after_a_whole_round_with_noise(
    kind: str, network: DefaultNetwork
) -> None:
    x, y = loans(400)
    chosen = replace(PLAIN, num_steps=6, optimiser=Sgd(learning_rate=0.5), pos_weight=2.5, focal_gamma=2.0)
    given = network, start(network), x, y
    fast = TRAINERS[kind].local_round(*given, settings=chosen, streams=streams())
    slow = reference.local_round(*given, settings=chosen, streams=streams())
    plain = TRAINERS[kind].local_round(*given, settings=replace(chosen, focal_gamma=0.0), streams=streams())
    assert np.abs(fast.parameters - slow.parameters).max() <= 1e-5
    assert np.abs(fast.parameters - plain.parameters).max() > 1e-3


@pytest.mark.parametrize("logit", [-3e4, -200.0, 0.0, 200.0, 3e4])
def test_the_focal_loss_of_a_loan_that_is_sure_has_a_finite_gradient(room: Any, logit: float) -> None:  # noqa: ANN401
    network = DefaultNetwork(num_features=1, hidden=())
    sure = np.array([0.0, logit], dtype=np.float32)
    x = np.ones((2, 1), dtype=np.float32)
    for label in (0.0, 1.0):
        got = room.clipped_gradient_sum(
            network, sure, x, np.full(2, label, dtype=np.float32), clipping_norm=float("inf"), pos_weight=1.0,
            focal_gamma=2.0,
        )  # fmt: skip
        wrong = label == float(logit < 0.0)
        towards = 1.0 if label == 0.0 else -1.0
        expected = {True: 2.0 * towards, False: 0.0}[wrong] if logit else towards * (0.5 + np.log(2.0)) * 0.25 * 2.0
        assert np.abs(got - expected).max() < 1e-6


# Gradients that are no numbers, and batches without loans.


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("cell", [np.nan, np.inf, -np.inf, 3e38])
def test_a_loan_without_a_finite_gradient_counts_as_zero(
    room: Any,  # noqa: ANN401
    network: DefaultNetwork,
    cell: float,
) -> None:
    x, y = loans(100)
    x[[3, 70], 2] = cell
    keep = np.isin(np.arange(100), (3, 70), invert=True)
    for norm in (1.0, float("inf")):
        whole = clipped_sum(room, network, start(network), x, y, norm)
        assert np.isfinite(whole).all()
        if np.isfinite(cell) and (network.layer_norm or network.activation == "tanh"):
            continue
        without = clipped_sum(room, network, start(network), x[keep], y[keep], norm)
        assert whole == pytest.approx(without, rel=1e-5, abs=1e-6 * np.abs(without).max())
        silent = np.where(keep[:, np.newaxis], x, np.float32(np.nan))
        assert np.array_equal(whole, clipped_sum(room, network, start(network), silent, y, norm))


def test_parameters_that_are_no_numbers_leave_a_step_of_noise_alone(room: Any) -> None:  # noqa: ANN401
    network = NETWORKS["16 tanh"]
    x, y = loans(100)
    assert not clipped_sum(room, network, np.full_like(start(network), np.nan), x, y, 1.0).any()


@pytest.mark.parametrize("num_loans", [0, 50])
def test_an_empty_batch_is_a_step_of_noise_alone(room: Any, num_loans: int) -> None:  # noqa: ANN401
    network = NETWORKS["16 tanh"]
    x, y = loans(num_loans)
    chosen = replace(PLAIN, sampling_probability=1e-9, optimiser=Sgd(learning_rate=1.0), num_steps=2)
    outcome = room.local_round(network, start(network), x, y, settings=chosen, streams=streams())
    noise = sum(
        mechanism.noise(
            streams().noise,
            num_parameters=network.num_parameters,
            noise_multiplier=1.0,
            clipping_norm=1.0,
            server_round=1,
            step=step,
        )
        for step in range(2)
    )
    assert outcome.num_noise_draws == 2
    assert outcome.parameters == pytest.approx(start(network) - noise / 100.0, abs=1e-6)


def noise_alone(room: Any, at: RoundStreams, num_steps: int = 1, norm: float = 1.0) -> NDArray[np.float64]:  # noqa: ANN401
    """The noise of a round without loans: what it takes from parameters of zero, step by step, undivided."""
    network = NETWORKS["16 tanh"]
    chosen = replace(PLAIN, num_steps=num_steps, divisor=1.0, clipping_norm=norm, optimiser=Sgd(learning_rate=1.0))
    zeros = np.zeros(network.num_parameters, dtype=np.float32)
    return -room.local_round(network, zeros, *loans(0), settings=chosen, streams=at).parameters.astype(np.float64)


def test_noise_is_never_that_of_another_step_round_lender_or_arm(room: Any) -> None:  # noqa: ANN401
    here = noise_alone(room, streams())
    found = [
        here,
        noise_alone(room, streams(), num_steps=2) - here,
        noise_alone(room, streams(server_round=2)),
        noise_alone(room, streams(server_round=2), num_steps=2) - noise_alone(room, streams(server_round=2)),
        noise_alone(room, streams(institution="south")),
        noise_alone(room, streams(fingerprint="other")),
    ]
    # 225 numbers each: independent ones correlate by .4, six standard errors, once in 10^9 pairs
    assert np.abs(np.corrcoef(found) - np.eye(len(found))).max() < 0.4
    assert not any(np.isclose(one, other, atol=1e-5).all() for one, other in combinations(found, 2))


def test_noise_scales_with_the_clipping_norm(room: Any) -> None:  # noqa: ANN401
    assert noise_alone(room, streams(), norm=0.25) == pytest.approx(0.25 * noise_alone(room, streams()), rel=1e-5)


def test_no_clipping_and_no_noise_is_ordinary_training_on_the_same_batches(room: Any) -> None:  # noqa: ANN401
    network = NETWORKS["16 tanh"]
    x, y = loans(400)
    chosen = replace(PLAIN, clipping_norm=float("inf"), noise_multiplier=0.0)
    outcome = room.local_round(network, start(network), x, y, settings=chosen, streams=streams())
    module = to_module(network, start(network))
    optimiser = torch.optim.SGD(module.parameters(), lr=0.5)
    for step in range(chosen.num_steps):
        batch = poisson_indices(streams().sampling, num_loans=400, probability=0.25, server_round=1, step=step)
        optimiser.zero_grad()
        logits = module(torch.tensor(x[batch]))
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, torch.tensor(y[batch]), reduction="sum")
        torch.autograd.backward(loss / 100.0)
        optimiser.step()
    expected = torch.cat([parameter.detach().reshape(-1) for parameter in module.parameters()]).numpy()
    assert outcome.num_noise_draws == 0
    assert np.abs(outcome.parameters - expected).max() < 1e-6


# A round is a pure function.


def test_a_round_repeats_to_the_bit_and_changes_nothing_it_was_given(room: Any) -> None:  # noqa: ANN401
    network = NETWORKS["64-64 relu"]
    x, y = loans(400)
    given = start(network), x, y
    before = [array.copy() for array in given]
    for array in given:
        array.flags.writeable = False
    generator = torch.get_rng_state()
    first = room.local_round(network, *given, settings=PLAIN, streams=streams())
    second = room.local_round(network, *before, settings=PLAIN, streams=streams())
    assert first.parameters.tobytes() == second.parameters.tobytes()
    assert first.parameters.dtype == np.float32
    assert all(np.array_equal(array, copy) for array, copy in zip(given, before, strict=True))
    assert torch.equal(torch.get_rng_state(), generator)


@pytest.mark.parametrize("threads", [1, 2])
def test_the_number_of_threads_changes_no_bit_and_is_given_back(room: Any, threads: int) -> None:  # noqa: ANN401
    network = NETWORKS["64-64 relu"]
    x, y = loans(600)
    expected = room.local_round(network, start(network), x, y, settings=PLAIN, streams=streams()).parameters
    found = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.no_grad():
            outcome = room.local_round(network, start(network), x, y, settings=PLAIN, streams=streams())
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(found)
    assert outcome.parameters.tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    "other",
    [streams(server_round=2), streams(institution="south"), streams(fingerprint="other")],
    ids=["round", "institution", "fingerprint"],
)
def test_another_name_draws_another_round(room: Any, other: RoundStreams) -> None:  # noqa: ANN401
    network = NETWORKS["logistic"]
    x, y = loans(400)
    here = room.local_round(network, start(network), x, y, settings=PLAIN, streams=streams()).parameters
    there = room.local_round(network, start(network), x, y, settings=PLAIN, streams=other).parameters
    assert not np.isin(here, there).any()


def test_shapes_that_do_not_fit_are_refused(room: Any) -> None:  # noqa: ANN401
    network = NETWORKS["logistic"]
    x, y = loans(20)
    run = room.local_round
    with pytest.raises(InputError, match=r"parameters have shape \[5\]"):
        run(network, np.zeros(5, dtype=np.float32), x, y, settings=PLAIN, streams=streams())
    with pytest.raises(InputError, match=r"features have shape \[20, 11\]"):
        run(network, start(network), x[:, 1:], y, settings=PLAIN, streams=streams())
    with pytest.raises(InputError, match=r"default has \[19\]"):
        run(network, start(network), x, y[1:], settings=PLAIN, streams=streams())


def test_noise_without_a_finite_clipping_norm_is_refused(room: Any) -> None:  # noqa: ANN401
    network = NETWORKS["logistic"]
    with pytest.raises(InputError, match="noise needs a finite clipping_norm"):
        room.local_round(
            network,
            start(network),
            *loans(20),
            settings=replace(PLAIN, clipping_norm=float("inf")),
            streams=streams(),
        )


@pytest.mark.parametrize("divisor", [0.0, -1.0, float("nan"), float("inf")])
def test_a_divisor_that_is_no_positive_number_is_refused(room: Any, divisor: float) -> None:  # noqa: ANN401
    network = NETWORKS["logistic"]
    with pytest.raises(InputError, match="divisor is"):
        room.local_round(
            network, start(network), *loans(20), settings=replace(PLAIN, divisor=divisor), streams=streams()
        )


def test_a_trainer_is_found_by_its_name() -> None:
    expected: dict[str, LocalRound] = {kind: room.local_round for kind, room in TRAINERS.items()}
    assert {kind: trainer(kind) for kind in TRAINERS} == expected  # type: ignore[arg-type]
    with pytest.raises(InputError, match="choose one of compiled, vectorised, reference"):
        trainer("ray")  # type: ignore[arg-type]


def test_only_the_reference_imports_opacus_and_it_leaves_logging_alone() -> None:
    script = """
import logging, sys, warnings
warnings.simplefilter("error")
from fedcredit.training.trainers import trainer
trainer("vectorised")
assert "opacus" not in sys.modules
trainer("reference")
assert "opacus" in sys.modules
root = logging.getLogger()
assert root.handlers == [] and root.level == logging.WARNING, root.handlers
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120, env={**os.environ, "PYTHONPATH": SOURCE})
    assert not any(type(handler) is logging.StreamHandler for handler in logging.getLogger().handlers)

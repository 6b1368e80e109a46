from __future__ import annotations

import numpy as np
import pytest
import torch

from fedcredit.experiment.spec import Adam, ServerOptimiser, Sgd, Strategy, Yogi
from fedcredit.federation.server_optimiser import ServerState, initial_state, released, server_step

START = np.array([0.5, -1.0, 0.0, 2.0], dtype=np.float32)
UPDATES = np.random.Generator(np.random.PCG64(2)).normal(scale=0.3, size=(25, 4))
EVERY = [Sgd(), Sgd(learning_rate=0.5, momentum=0.9), Adam(), Yogi()]


def run(optimiser: ServerOptimiser, updates: np.ndarray = UPDATES, *, decay: float = 0.0) -> list[ServerState]:
    strategy = Strategy(server_optimiser=optimiser, averaging_decay=decay)
    states = [initial_state(START)]
    for update in updates:
        states.append(server_step(strategy, states[-1], update))
    return states


def run_torch(optimiser: torch.optim.Optimizer, weights: torch.Tensor) -> np.ndarray:
    for update in UPDATES:
        weights.grad = torch.tensor(-update)
        optimiser.step()
    return weights.detach().numpy()


def test_sgd_with_momentum_is_torchs() -> None:
    weights = torch.tensor(START, dtype=torch.float64, requires_grad=True)
    expected = run_torch(torch.optim.SGD([weights], lr=0.5, momentum=0.9), weights)
    assert np.allclose(run(Sgd(learning_rate=0.5, momentum=0.9))[-1].parameters, expected, atol=2e-5)


def test_adam_is_torchs() -> None:
    weights = torch.tensor(START, dtype=torch.float64, requires_grad=True)
    expected = run_torch(torch.optim.Adam([weights], lr=0.02, betas=(0.9, 0.99), eps=1e-8), weights)
    assert np.allclose(run(Adam())[-1].parameters, expected, atol=2e-6)


def test_yogis_first_step_is_adams_and_its_second_moment_moves_by_the_square_alone() -> None:
    adam, yogi = run(Adam()), run(Yogi())
    assert np.array_equal(adam[1].parameters, yogi[1].parameters)
    for before, after, update in zip(yogi, yogi[1:], UPDATES, strict=False):
        change = after.second_moment - before.second_moment
        sign = np.where(before.second_moment > update**2, -1.0, 1.0)
        assert np.allclose(change, sign * 0.01 * update**2, atol=1e-15)


def test_fedavg_of_one_lender_is_its_local_parameters_to_the_bit() -> None:
    local = np.array([0.1, 7.25, -3e-8, 1.9999999], dtype=np.float32)
    update = local.astype(np.float64) - START
    assert run(Sgd(), update[None, :])[-1].parameters.tobytes() == local.tobytes()


@pytest.mark.parametrize("optimiser", EVERY)
def test_what_is_sent_is_float32_and_what_is_kept(optimiser: ServerOptimiser) -> None:
    for state in run(optimiser):
        assert state.parameters.dtype == np.float32
        assert state.average.dtype == np.float64


@pytest.mark.parametrize("optimiser", EVERY)
def test_a_state_is_never_changed(optimiser: ServerOptimiser) -> None:
    states = run(optimiser, UPDATES[:1])
    before = [array.copy() for array in (states[1].parameters, states[1].average, states[1].first_moment)]
    server_step(Strategy(server_optimiser=optimiser), states[1], UPDATES[1])
    for kept, array in zip(before, (states[1].parameters, states[1].average, states[1].first_moment), strict=True):
        assert np.array_equal(kept, array)


@pytest.mark.parametrize("optimiser", EVERY)
@pytest.mark.parametrize("decay", [0.0, 0.5, 0.9, 0.99])
def test_the_average_is_the_corrected_moving_average_of_the_iterates(optimiser: ServerOptimiser, decay: float) -> None:
    states = run(optimiser, decay=decay)
    for count in range(1, len(states)):
        ages = np.arange(count)[::-1]
        weights = decay**ages if decay else (ages == 0).astype(float)
        expected = np.average(
            [state.parameters.astype(float) for state in states[1 : count + 1]], axis=0, weights=weights
        )
        assert np.allclose(states[count].average, expected, atol=1e-12)


def test_averaging_does_not_change_what_is_sent() -> None:
    assert np.array_equal(run(Adam())[-1].parameters, run(Adam(), decay=0.9)[-1].parameters)


def test_without_averaging_the_iterate_is_released_to_the_bit() -> None:
    for state in run(Adam()):
        assert released(state).tobytes() == state.parameters.tobytes()


def test_the_first_average_is_the_first_iterate_to_the_bit() -> None:
    state = run(Adam(), UPDATES[:1], decay=0.9)[-1]
    assert released(state).tobytes() == state.parameters.tobytes()


@pytest.mark.parametrize("optimiser", EVERY)
def test_no_update_no_movement(optimiser: ServerOptimiser) -> None:
    assert np.array_equal(run(optimiser, np.zeros((5, 4)))[-1].parameters, START)

"""The server's step: from an aggregated update to the next iterate, and the average of the iterates.

All arithmetic is float64. The iterate is rounded to float32 once a step, because float32 is what
lenders receive: what is sent is what is kept. The average is evaluated and released, never sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedcredit.experiment.spec import Adam, Sgd, Strategy, Yogi

Vector = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class ServerState:
    """Where the server stands after ``step`` steps; all arrays are ``[num_parameters]``.

    ``parameters`` is the iterate that is sent, ``average`` the average of the iterates so far.
    """

    parameters: NDArray[np.float32]
    average: Vector
    first_moment: Vector
    second_moment: Vector
    step: int


def initial_state(initial: NDArray[np.float32]) -> ServerState:
    """Return the state before round 1.

    Args:
        initial: initial parameters, ``[num_parameters]``.

    Returns:
        The state, with moments of zero.
    """
    zero = np.zeros(initial.shape, dtype=np.float64)
    return ServerState(
        parameters=initial.astype(np.float32),
        average=initial.astype(np.float64),
        first_moment=zero,
        second_moment=zero,
        step=0,
    )


def kept_state(state: ServerState) -> dict[str, NDArray[Any]]:
    """Return a state as arrays.

    Args:
        state: the state.

    Returns:
        Arrays by the names of the fields.
    """
    return {item.name: np.asarray(getattr(state, item.name)) for item in fields(ServerState)}


def restored_state(state: ServerState, kept: Mapping[str, NDArray[Any]]) -> ServerState:
    """Return the state that was kept.

    Args:
        state: any state of the same run.
        kept: from `kept_state`.

    Returns:
        The state.
    """
    arrays = {name: array for name, array in kept.items() if name != "step"}
    return replace(state, step=int(kept["step"]), **arrays)


def released(state: ServerState) -> NDArray[np.float32]:
    """Return the parameters that are evaluated and released.

    Args:
        state: the state.

    Returns:
        The average of the iterates, ``[num_parameters]``.
    """
    return state.average.astype(np.float32)


def server_step(strategy: Strategy, state: ServerState, update: Vector) -> ServerState:
    """Take one server step.

    The update (local minus global) is followed by SGD, and minus the update is the gradient of Adam
    and Yogi (Reddi et al., "Adaptive federated optimization", ICLR 2021). SGD with learning rate 1
    is FedAvg (McMahan et al. 2017), with momentum FedAvgM (Hsu et al. 2019).

    The average is an exponential moving average of the iterates after round 1, 2, ..., corrected for
    its start as Adam's moments are: the weight of the newest is (1 - d) / (1 - d^t), so the first
    average is the first iterate and the initial parameters never enter. With d = 0 it is the iterate.

    Args:
        strategy: server optimiser and averaging decay d.
        state: the state before.
        update: the aggregated update, ``[num_parameters]``.

    Returns:
        The state after.
    """
    optimiser = strategy.server_optimiser
    moved = _sgd(optimiser, state, update) if isinstance(optimiser, Sgd) else _adaptive(optimiser, state, -update)
    step, decay = state.step + 1, strategy.averaging_decay
    newest = (1.0 - decay) / (1.0 - decay**step)
    average = (1.0 - newest) * state.average + newest * moved.parameters.astype(np.float64)
    return replace(moved, step=step, average=average)


def _sgd(optimiser: Sgd, state: ServerState, update: Vector) -> ServerState:
    velocity = optimiser.momentum * state.first_moment + update
    return replace(state, parameters=_moved(state, optimiser.learning_rate * velocity), first_moment=velocity)


def _adaptive(optimiser: Adam | Yogi, state: ServerState, gradient: Vector) -> ServerState:
    """Take a step of Adam (Kingma and Ba 2015) or Yogi (Zaheer et al. 2018), both bias-corrected."""
    square = gradient * gradient
    first = optimiser.beta1 * state.first_moment + (1.0 - optimiser.beta1) * gradient
    if isinstance(optimiser, Yogi):
        second = state.second_moment - (1.0 - optimiser.beta2) * np.sign(state.second_moment - square) * square
    else:
        second = optimiser.beta2 * state.second_moment + (1.0 - optimiser.beta2) * square
    step = state.step + 1
    scale = np.sqrt(second / (1.0 - optimiser.beta2**step)) + optimiser.stabiliser
    move = -optimiser.learning_rate * (first / (1.0 - optimiser.beta1**step)) / scale
    return replace(state, parameters=_moved(state, move), first_moment=first, second_moment=second)


def _moved(state: ServerState, move: Vector) -> NDArray[np.float32]:
    return (state.parameters.astype(np.float64) + move).astype(np.float32)

"""The local optimisers, as pure functions of a state: they see noised gradients and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from fedcredit.experiment.spec import Adam, Sgd

if TYPE_CHECKING:
    import torch

Numbers = TypeVar("Numbers", NDArray[Any], "torch.Tensor")


@dataclass(frozen=True, kw_only=True)
class OptimiserState(Generic[Numbers]):
    """Moments of the gradients of this round, ``[num_parameters]``, and the steps taken."""

    first: Numbers
    second: Numbers
    num_steps: int


def start(num_parameters: int) -> OptimiserState[NDArray[Any]]:
    """Return the state that every round starts from: zero moments.

    Args:
        num_parameters: how many numbers a gradient has.

    Returns:
        The state.
    """
    return OptimiserState(first=np.zeros(num_parameters), second=np.zeros(num_parameters), num_steps=0)


def advance(
    optimiser: Sgd | Adam, state: OptimiserState[Numbers], gradient: Numbers
) -> tuple[Numbers, OptimiserState[Numbers]]:
    """Take one step: heavy-ball momentum (Polyak 1964), or Adam with bias correction (Kingma and Ba 2015).

    Args:
        optimiser: which rule, and its constants.
        state: the state before, of arrays or of tensors.
        gradient: the noised mean gradient, ``[num_parameters]``, float64.

    Returns:
        The change to add to the parameters, ``[num_parameters]``, and the state after.
    """
    num_steps = state.num_steps + 1
    if isinstance(optimiser, Sgd):
        velocity = gradient if optimiser.momentum == 0.0 else optimiser.momentum * state.first + gradient
        return -optimiser.learning_rate * velocity, OptimiserState(
            first=velocity, second=state.second, num_steps=num_steps
        )
    first = optimiser.beta1 * state.first + (1.0 - optimiser.beta1) * gradient
    second = optimiser.beta2 * state.second + (1.0 - optimiser.beta2) * gradient**2
    direction = first / (1.0 - optimiser.beta1**num_steps)
    spread = (second / (1.0 - optimiser.beta2**num_steps)) ** 0.5
    change = -optimiser.learning_rate * direction / (spread + optimiser.stabiliser)
    return change, OptimiserState(first=first, second=second, num_steps=num_steps)

from __future__ import annotations

import numpy as np
import pytest
import torch

from fedcredit.experiment.spec import Adam, Sgd
from fedcredit.training.optimiser import advance, start

GRADIENTS = np.random.default_rng(1).normal(size=(7, 5))


def path(optimiser: Sgd | Adam) -> np.ndarray:
    state, place, places = start(5), np.zeros(5), []
    for gradient in GRADIENTS:
        change, state = advance(optimiser, state, gradient)
        place = place + change
        places.append(place)
    return np.array(places)


def torch_path(kind: type[torch.optim.Optimizer], **options: object) -> np.ndarray:
    place = torch.nn.Parameter(torch.zeros(5, dtype=torch.float64))
    optimiser = kind([place], **options)
    places = []
    for gradient in GRADIENTS:
        place.grad = torch.tensor(gradient)
        optimiser.step()
        places.append(place.detach().numpy().copy())
    return np.array(places)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_gradient_descent_takes_the_path_of_torch(momentum: float) -> None:
    expected = torch_path(torch.optim.SGD, lr=0.3, momentum=momentum)
    assert path(Sgd(learning_rate=0.3, momentum=momentum)) == pytest.approx(expected, rel=1e-12)


def test_adam_takes_the_path_of_torch() -> None:
    expected = torch_path(torch.optim.Adam, lr=0.02, betas=(0.8, 0.95), eps=1e-6)
    got = path(Adam(learning_rate=0.02, beta1=0.8, beta2=0.95, stabiliser=1e-6))
    assert got == pytest.approx(expected, rel=1e-9)


def test_the_state_before_is_not_changed() -> None:
    for optimiser in (Sgd(momentum=0.9), Adam()):
        before = start(5)
        advance(optimiser, before, GRADIENTS[0])
        assert not before.first.any()
        assert not before.second.any()
        assert before.num_steps == 0

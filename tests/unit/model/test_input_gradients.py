from __future__ import annotations

import numpy as np
import pytest
import torch

from fedcredit.model.input_gradients import log_odds_and_gradients
from fedcredit.model.network import DefaultNetwork
from fedcredit.model.torch_network import to_module


@pytest.mark.parametrize("activation", ["tanh", "relu", "gelu"])
@pytest.mark.parametrize("layer_norm", [False, True])
@pytest.mark.parametrize("hidden", [(), (7,), (9, 5)])
def test_log_odds_and_gradients_are_those_of_torch(activation: str, layer_norm: bool, hidden: tuple[int, ...]) -> None:
    network = DefaultNetwork(num_features=5, hidden=hidden, activation=activation, layer_norm=layer_norm)
    rng = np.random.default_rng(1)
    parameters = rng.normal(size=network.num_parameters).astype(np.float32)
    features = rng.normal(size=(11, 5))
    module = to_module(network, parameters).double()
    inputs = torch.tensor(features, requires_grad=True)
    log_odds = module(inputs)
    log_odds.sum().backward()
    assert inputs.grad is not None
    found, gradients = log_odds_and_gradients(network, parameters, features)
    np.testing.assert_allclose(found, log_odds.detach().numpy(), rtol=0, atol=1e-10)
    np.testing.assert_allclose(gradients, inputs.grad.numpy(), rtol=0, atol=1e-10)

from __future__ import annotations

import numpy as np
import pytest
import torch

from fedcredit.model.blocks import row_product, to_blocks, trace_blocks
from fedcredit.model.network import BLOCK_ROWS, DefaultNetwork
from fedcredit.seeds import normals, public_stream


def tensor(*shape: int, seed: int = 1) -> torch.Tensor:
    count = int(np.prod(shape))
    return torch.tensor(normals(public_stream(seed=seed, purpose="test"), count=count).reshape(shape)).float()


@pytest.mark.parametrize("num_loans", [0, 1, 63, 64, 65, 300])
def test_rows_fill_blocks_and_the_last_one_ends_in_zeros(num_loans: int) -> None:
    features = tensor(300, 5).numpy()[:num_loans]
    blocks = to_blocks(features)
    assert blocks.shape == (-(-num_loans // BLOCK_ROWS), BLOCK_ROWS, 5)
    rows = blocks.reshape(-1, 5).numpy()
    assert np.array_equal(rows[:num_loans], features)
    assert not rows[num_loans:].any()


@pytest.mark.parametrize("num_outputs", [1, 2, 5, 7, 11, 16, 17, 64])
@pytest.mark.parametrize("num_inputs", [1, 7, 28])
def test_the_product_and_its_gradients_are_those_of_an_ordinary_product(num_inputs: int, num_outputs: int) -> None:
    inputs = tensor(3, BLOCK_ROWS, num_inputs).requires_grad_()
    weight = tensor(num_outputs, num_inputs, seed=2).requires_grad_()
    cotangent = tensor(3, BLOCK_ROWS, num_outputs, seed=3)
    got, expected = row_product(inputs, weight), inputs @ weight.t()
    assert torch.allclose(got, expected, atol=1e-5)
    for mine, theirs in zip(
        torch.autograd.grad(got, (inputs, weight), cotangent),
        torch.autograd.grad(expected, (inputs, weight), cotangent),
        strict=True,
    ):
        assert torch.allclose(mine, theirs, atol=1e-3)


@pytest.mark.parametrize("layer_norm", [False, True])
def test_a_trace_holds_the_input_and_product_of_every_layer(layer_norm: bool) -> None:
    network = DefaultNetwork(num_features=5, hidden=(7, 3), layer_norm=layer_norm)
    blocks = tensor(2, BLOCK_ROWS, 5)
    trace = trace_blocks(network.layers, network.activation, tensor(network.num_parameters), blocks)
    assert [value.shape[-1] for value in trace.inputs] == [5, 7, 3]
    assert [value.shape[-1] for value in trace.products] == [7, 3, 1]
    assert [value.shape[-1] for value in trace.normalised] == ([7, 3] if layer_norm else [])
    assert len(trace.scaled) == len(trace.normalised)
    assert trace.products[-1].requires_grad


def test_a_trace_asks_for_no_gradient_where_gradients_are_off() -> None:
    network = DefaultNetwork(num_features=5, hidden=(7,))
    with torch.no_grad():
        trace = trace_blocks(network.layers, "relu", tensor(network.num_parameters), tensor(1, BLOCK_ROWS, 5))
    assert not any(value.requires_grad for value in trace.products)

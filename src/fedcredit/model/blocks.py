"""Layers of the network, worked in blocks of 64 rows so that a loan's numbers are its own to the last bit.

Every block has the same shape, the last one filled up with zero rows, and a product with one column is a
sum along the row, not a matrix product: then a loan's logit and gradient have the same bits whoever else
is in the batch, at any place in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from fedcredit.model.network import BLOCK_ROWS, Layer

_COLUMNS = 16
ACTIVATIONS: Mapping[str, tuple[Callable[[torch.Tensor], torch.Tensor], type[nn.Module]]] = {
    "relu": (torch.relu, nn.ReLU),
    "tanh": (torch.tanh, nn.Tanh),
    "gelu": (functional.gelu, nn.GELU),
}


@dataclass(frozen=True, kw_only=True)
class Trace:
    """What a forward pass leaves behind, block by block, for gradients by loan.

    Attributes:
        inputs: the input of each linear layer, ``[blocks, 64, inputs]``.
        products: the output of each linear layer, ``[blocks, 64, outputs]``.
        normalised: each LayerNorm's centred and scaled values, ``[blocks, 64, outputs]``; empty without LayerNorm.
        scaled: each LayerNorm's output, of the same shape.
    """

    inputs: tuple[torch.Tensor, ...]
    products: tuple[torch.Tensor, ...]
    normalised: tuple[torch.Tensor, ...]
    scaled: tuple[torch.Tensor, ...]


def to_blocks(features: NDArray[np.float32]) -> torch.Tensor:
    """Lay rows into blocks of 64, the last one filled up with zero rows.

    Args:
        features: encoded loans, ``[loans, features]``.

    Returns:
        A copy, ``[blocks, 64, features]``.
    """
    num_blocks = -(-len(features) // BLOCK_ROWS)
    blocks = torch.zeros(num_blocks * BLOCK_ROWS, features.shape[1])
    blocks.numpy()[: len(features)] = features
    return blocks.reshape(num_blocks, BLOCK_ROWS, features.shape[1])


def to_columns(width: int) -> int:
    """Return the number of columns that a product of this width is worked out with.

    Args:
        width: at least 1.

    Returns:
        The next multiple of 16.
    """
    return width + -width % _COLUMNS


def row_product(inputs: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Multiply blocks of rows with a weight so that each row's result has its own bits.

    MKL's product treats rows differently by their place when the columns are few and not a multiple of
    their vector width (5 to 7 and 9 to 11 columns: measured), so columns are filled up with zeros to a
    multiple of 16, those of the backward product too.

    Args:
        inputs: blocks of rows, ``[blocks, 64, inputs]``.
        weight: the layer's weight, ``[outputs, inputs]``.

    Returns:
        The products, ``[blocks, 64, outputs]``.
    """
    num_outputs, num_inputs = weight.shape
    if num_outputs == 1:
        return (inputs * weight[0]).sum(-1, keepdim=True)
    more_inputs = -num_inputs % _COLUMNS if inputs.requires_grad else 0
    if more_inputs == 0 and num_outputs % _COLUMNS == 0:
        return torch.bmm(inputs, weight.t().expand(len(inputs), -1, -1))
    square = functional.pad(weight.t(), (0, -num_outputs % _COLUMNS, 0, more_inputs))
    products = torch.bmm(functional.pad(inputs, (0, more_inputs)), square.expand(len(inputs), -1, -1))
    return products[..., :num_outputs]


def trace_blocks(layers: Sequence[Layer], activation: str, flat: torch.Tensor, blocks: torch.Tensor) -> Trace:
    """Run the network forward; if gradients are on, they reach back to the first product.

    Args:
        layers: the network's layers.
        activation: a key of `ACTIVATIONS`.
        flat: flat parameters, ``[num_parameters]``, float32.
        blocks: encoded loans, ``[blocks, 64, features]``.

    Returns:
        The trace; its last product is the logit, ``[blocks, 64, 1]``.
    """
    activate = ACTIVATIONS[activation][0]
    inputs, products, normalised, scaled = [blocks], [], [], []
    for layer in layers:
        weight = flat[layer.weight].reshape(layer.num_outputs, layer.num_inputs)
        product = row_product(inputs[-1], weight) + flat[layer.bias]
        products.append(product.requires_grad_() if torch.is_grad_enabled() and len(inputs) == 1 else product)
        if layer.is_output:
            break
        value = products[-1]
        if layer.norm_weight is not None and layer.norm_bias is not None:
            normalised.append(functional.layer_norm(value, (layer.num_outputs,)))
            scaled.append(normalised[-1] * flat[layer.norm_weight] + flat[layer.norm_bias])
            value = scaled[-1]
        inputs.append(activate(value))
    return Trace(inputs=tuple(inputs), products=tuple(products), normalised=tuple(normalised), scaled=tuple(scaled))


@contextmanager
def single_threaded() -> Iterator[None]:
    """Let torch use one thread inside, and as many as before afterwards."""
    before = torch.get_num_threads()
    if before != 1:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        if before != 1:
            torch.set_num_threads(before)


@contextmanager
def full_precision() -> Iterator[None]:
    """Let torch's float32 products be float32 inside, whatever the caller allows (TF32, bfloat16)."""
    before = torch.get_float32_matmul_precision()
    if before != "highest":
        torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        if before != "highest":
            torch.set_float32_matmul_precision(before)

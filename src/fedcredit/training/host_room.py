"""Memory for clipped gradient sums in the host's memory: rooms for blocks of loans, and the layers' weights.

Every array's width is filled up with zeros to a multiple of 16, as `fedcredit.model.blocks` says.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fedcredit.model.blocks import to_columns
from fedcredit.model.network import BLOCK_ROWS, DefaultNetwork, Layer
from fedcredit.training.derivatives import ACTIVATIONS, Factors

Single = NDArray[np.float32]
Double = NDArray[np.float64]
NUMBERS_AT_ONCE = 2**16


@dataclass(frozen=True, kw_only=True)
class HiddenRoom:
    """A hidden layer in a room, ``[blocks, 64, width]`` each; ``product`` is the output's memory where that will do."""

    product: Single
    output: Single
    gradient: Single
    activate: Callable[[], object]
    derive: Callable[[], object]


@dataclass(frozen=True, kw_only=True)
class LayerSum:
    """What a linear layer adds up by block: ``gradient @ value`` and ``ones @ bias_gradient``, and where these go."""

    gradient: Single
    value: Single
    weight: Single
    bias_gradient: Single
    bias: Single


@dataclass(frozen=True, kw_only=True)
class Room:
    """Memory and views for a number of blocks.

    Attributes:
        rows: encoded loans, ``[rows, features]``.
        labels: their labels 0 or 1, ``[rows]``.
        blocks: the rows as ``[blocks, 64, features]``.
        hidden: the hidden layers.
        last: the input of the output layer, ``[rows, width]``.
        last_gradient: its gradient, of the same shape.
        residual: the gradient of each loan's logit, ``[rows]``.
        norms: squared norms of the linear layers' inputs, then of their gradients, ``[2 linear layers, rows]``.
        measured: pieces whose rows' squared norms are taken, ``[rows, width]``, and where these go.
        scale: what each row is multiplied with, ``[rows]``.
        scaled: gradients of hidden layers, ``[layers, rows, width]`` or ``[rows, width]``, to be multiplied.
        sums: what is added up.
        by_block: all sums by block, ``[blocks, num_parameters]``.
        factors: the factors as torch sees them.
    """

    rows: Single
    labels: Single
    blocks: Single
    hidden: tuple[HiddenRoom, ...]
    last: Single
    last_gradient: Single
    residual: Single
    norms: Double
    measured: tuple[tuple[Single, Double], ...]
    scale: Single
    scaled: tuple[Single, ...]
    sums: tuple[LayerSum, ...]
    by_block: Single
    factors: Factors


class Weights:
    """The layers' parameters, looked at anew at each step.

    Attributes:
        forward: weights of the hidden layers, ``[inputs, outputs]``, a copy: a product runs faster down its rows.
        backward: the same as ``[outputs, inputs]``; with ``biases`` and ``output``, where the parameters lie if no
            zeros are to be filled in.
    """

    def __init__(self, network: DefaultNetwork, parameters: Single) -> None:
        """Lay out the copies.

        Args:
            network: the network's shape, without LayerNorm.
            parameters: flat parameters, ``[num_parameters]``; their owner may change them in place.
        """
        self._copies: list[tuple[Single, Single]] = []
        widths = (network.num_features, *(to_columns(width) for width in network.hidden))
        self.forward, self.backward, self.biases = [], [], []
        for layer, (num_inputs, num_outputs) in zip(network.layers, pairwise(widths), strict=False):
            weight = parameters[layer.weight].reshape(layer.num_outputs, layer.num_inputs)
            forward = np.zeros((num_inputs, num_outputs), dtype=np.float32)
            self._copies.append((forward[: layer.num_inputs, : layer.num_outputs], weight.T))
            self.forward.append(forward)
            self.backward.append(self._filled(weight, num_outputs, num_inputs))
            self.biases.append(self._filled(parameters[layer.bias], num_outputs))
        last = network.layers[-1]
        self.output = self._filled(parameters[last.weight], widths[-1])
        self.output_bias = parameters[last.bias]

    def _filled(self, values: Single, *shape: int) -> Single:
        if values.shape == shape:
            return values
        found = np.zeros(shape, dtype=np.float32)
        self._copies.append((found[tuple(slice(size) for size in values.shape)], values))
        return found

    def refresh(self) -> None:
        """Bring the copies up to what the parameters are now."""
        for copy, values in self._copies:
            copy[...] = values


class Rooms:
    """Rooms for batches of all sizes, in memory that they share and that grows with the largest."""

    def __init__(self, network: DefaultNetwork) -> None:
        """Begin without memory.

        Args:
            network: the network's shape, without LayerNorm.
        """
        self._network = network
        self._capacity = 0
        self._memory: dict[str, NDArray[Any]] = {}
        self._rooms: dict[int, Room] = {}

    def of(self, num_blocks: int) -> Room:
        """Return the room for a number of blocks; what was left in it is not cleared.

        Args:
            num_blocks: at least 1.

        Returns:
            The room.
        """
        if num_blocks > self._capacity:
            self._capacity = num_blocks
            self._memory.clear()
            self._rooms.clear()
        if num_blocks not in self._rooms:
            self._rooms[num_blocks] = self._lay_out(num_blocks)
        return self._rooms[num_blocks]

    def _lay_out(self, num_blocks: int) -> Room:
        """Lay a room out in memory that rooms of all sizes share."""

        def empty(name: str, *shape: int, dtype: type = np.float32) -> NDArray[Any]:
            size = math.prod(shape)
            whole = self._memory.setdefault(name, np.zeros(size // num_blocks * self._capacity, dtype=dtype))
            return whole[:size].reshape(shape)

        network, num_rows = self._network, num_blocks * BLOCK_ROWS
        depth, widths = len(network.layers), [to_columns(width) for width in network.hidden]
        rows = empty("rows", num_rows, network.num_features)
        labels, residual, scale = (empty(name, num_rows) for name in ("labels", "residual", "scale"))
        norms = empty("norms", 2 * depth, num_rows, dtype=np.float64)
        is_even = len(set(widths)) == 1
        if is_even:
            both = empty("hidden", 2, len(widths), num_rows, widths[0])
            outputs, gradients = list(both[0]), list(both[1])
        else:
            outputs, gradients = (
                [empty(f"{name} {place}", num_rows, width) for place, width in enumerate(widths)]
                for name in ("output", "gradient")
            )
        apart = tuple(zip((*outputs, *gradients), norms[1:-1], strict=True))
        together = ((both.reshape(-1, widths[0]), norms[1:-1].reshape(-1)),) if is_even else apart
        products = [
            output if ACTIVATIONS[network.activation].from_output else empty(f"product {place}", *output.shape)
            for place, output in enumerate(outputs)
        ]
        by_block = empty("sums", num_blocks, network.num_parameters)
        values, cotangents = (rows, *outputs), (*gradients, residual[:, np.newaxis])
        return Room(
            rows=rows,
            labels=labels,
            blocks=_in_blocks(rows),
            hidden=tuple(
                _hidden(network.activation, *arrays) for arrays in zip(products, outputs, gradients, strict=True)
            ),
            last=values[-1],
            last_gradient=cotangents[-2] if widths else cotangents[-1],
            residual=residual,
            norms=norms,
            measured=tuple(part for whole in ((rows, norms[0]), *together) for part in _cut(*whole)),
            scale=scale,
            scaled=(both[1],) if is_even else tuple(gradients),
            sums=tuple(
                _sum(layer, _in_blocks(gradient), _in_blocks(value), by_block)
                for layer, gradient, value in zip(network.layers, cotangents, values, strict=True)
            ),
            by_block=by_block,
            factors=Factors(
                linear=tuple(
                    (torch.from_numpy(_in_blocks(gradient)), torch.from_numpy(_in_blocks(value)))
                    for gradient, value in zip(cotangents, values, strict=True)
                )
            ),
        )


def _in_blocks(values: Single) -> Single:
    return values.reshape(-1, BLOCK_ROWS, values.shape[1], copy=False)


def _hidden(activation: str, product: Single, output: Single, gradient: Single) -> HiddenRoom:
    rule = ACTIVATIONS[activation]
    on_torch = [torch.from_numpy(values) for values in (product, output, gradient)]
    needed = on_torch[1] if rule.from_output else on_torch[0]
    return HiddenRoom(
        product=_in_blocks(product),
        output=_in_blocks(output),
        gradient=_in_blocks(gradient),
        activate=partial(rule.apply, on_torch[0], on_torch[1]),
        derive=partial(rule.derive, on_torch[2], needed),
    )


def _sum(layer: Layer, gradient: Single, value: Single, by_block: Single) -> LayerSum:
    num_blocks, gradient = len(by_block), gradient[..., : layer.num_outputs]
    return LayerSum(
        gradient=gradient.transpose(0, 2, 1),
        value=value[..., : layer.num_inputs],
        weight=by_block[:, layer.weight].reshape(num_blocks, layer.num_outputs, layer.num_inputs, copy=False),
        bias_gradient=gradient,
        bias=by_block[:, layer.bias].reshape(num_blocks, 1, layer.num_outputs, copy=False),
    )


def _cut(values: Single, norms: Double) -> Iterator[tuple[Single, Double]]:
    """Cut rows into pieces that fit a core's cache in float64."""
    at_once = max(1, NUMBERS_AT_ONCE // values.shape[1])
    for first in range(0, len(values), at_once):
        yield values[first : first + at_once], norms[first : first + at_once]

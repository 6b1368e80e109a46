"""Clipped gradient sums of a batch in the host's memory: the arithmetic of `fedcredit.training.clipped_sums` by numpy.

A step of a small network is a few dozen short calls, and a call costs numpy a quarter of what it costs torch. The
memory is laid out once and used round after round; torch sees it too, for activations and for loans set apart.
Every array's width is filled up with zeros to a multiple of 16, as `fedcredit.model.blocks` says.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from itertools import pairwise
from typing import Any

import numpy as np
import threadpoolctl
import torch
from numpy.typing import NDArray

from fedcredit.model.blocks import to_columns
from fedcredit.model.network import BLOCK_ROWS, DefaultNetwork, Layer
from fedcredit.training.clipped_sums import MOST_BLOCKS, Clip, set_apart
from fedcredit.training.derivatives import ACTIVATIONS, Factors, Loss, to_residual

Single = NDArray[np.float32]
Double = NDArray[np.float64]
_NUMBERS_AT_ONCE = 2**16
_MOST_SUMS = 2**23
_PLAIN = 2.0**60
_ONE = np.float32(1.0)
_ONES = np.ones((1, BLOCK_ROWS), dtype=np.float32)
_KEPT = threading.local()


@dataclass(frozen=True, kw_only=True)
class _Hidden:
    """A hidden layer in a room, ``[blocks, 64, width]`` each; ``product`` is the output's memory where that will do."""

    product: Single
    output: Single
    gradient: Single
    activate: Callable[[], object]
    derive: Callable[[], object]


@dataclass(frozen=True, kw_only=True)
class _Sum:
    """What a linear layer adds up by block: ``gradient @ value`` and ``ones @ bias_gradient``, and where these go."""

    gradient: Single
    value: Single
    weight: Single
    bias_gradient: Single
    bias: Single


@dataclass(frozen=True, kw_only=True)
class _Room:
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
    hidden: tuple[_Hidden, ...]
    last: Single
    last_gradient: Single
    residual: Single
    norms: Double
    measured: tuple[tuple[Single, Double], ...]
    scale: Single
    scaled: tuple[Single, ...]
    sums: tuple[_Sum, ...]
    by_block: Single
    factors: Factors


class _Weights:
    """The layers' parameters, looked at anew at each step.

    Attributes:
        forward: weights of the hidden layers, ``[inputs, outputs]``, a copy: a product runs faster down its rows.
        backward: the same as ``[outputs, inputs]``; with ``biases`` and ``output``, where the parameters lie if no
            zeros are to be filled in.
    """

    def __init__(self, network: DefaultNetwork, parameters: Single) -> None:
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
        for copy, values in self._copies:
            copy[...] = values


class HostSums:
    """Clipped gradient sums at ``parameters``, flat float32 ``[num_parameters]``, that the caller changes in place.

    For stacks of linear layers and activations; LayerNorm is left to `fedcredit.training.clipped_sums`.
    """

    def __init__(self, network: DefaultNetwork) -> None:
        """Lay out what does not depend on the size of a batch.

        Args:
            network: the network's shape, without LayerNorm.
        """
        self.parameters: Single = np.zeros(network.num_parameters, dtype=np.float32)
        self.network = network
        self._weights = _Weights(network, self.parameters)
        self._at_once = max(1, min(MOST_BLOCKS, _MOST_SUMS // network.num_parameters))
        self._capacity = 0
        self._memory: dict[str, NDArray[Any]] = {}
        self._rooms: dict[int, _Room] = {}
        self._wide = np.empty(max(_NUMBERS_AT_ONCE, network.num_features, *map(to_columns, network.hidden)))

    def of_rows(self, features: Single, default: Single, batch: NDArray[np.int64], *, clip: Clip, loss: Loss) -> Double:
        """Sum the clipped gradients of a batch.

        Args:
            features: encoded loans, ``[loans, features]``.
            default: labels 0 or 1, ``[loans]``.
            batch: which of them, ``[batch]``; possibly none.
            clip: gives, from the squared norms of the loans' gradients, what each is multiplied with; 0 where the
                gradient counts as zero.
            loss: the public constants of a loan's loss.

        Returns:
            The sum, ``[num_parameters]``, finite.
        """
        total: Double | None = None
        self._weights.refresh()
        at_once = self._at_once * BLOCK_ROWS
        with np.errstate(all="ignore"):
            for first in range(0, len(batch), at_once):
                places = batch[first : first + at_once]
                count = len(places)
                room = self._room(-(-count // BLOCK_ROWS))
                features.take(places, axis=0, out=room.rows[:count], mode="clip")
                default.take(places, out=room.labels[:count], mode="clip")
                room.rows[count:] = 0.0
                self._derive(room, loss)
                part = self._add_up(room, count, clip)
                total = part if total is None else total + part
        return np.zeros(len(self.parameters)) if total is None else total

    def _derive(self, room: _Room, loss: Loss) -> None:
        weights, inputs = self._weights, room.blocks
        for layer, forward, bias in zip(room.hidden, weights.forward, weights.biases, strict=True):
            np.matmul(inputs, forward, out=layer.product)
            np.add(layer.product, bias, out=layer.product)
            layer.activate()
            inputs = layer.output
        np.vecdot(room.last, weights.output, out=room.residual)
        np.add(room.residual, weights.output_bias, out=room.residual)
        _to_residual(room.residual, room.labels, loss)
        if room.hidden:
            np.multiply(room.residual[:, np.newaxis], weights.output, out=room.last_gradient)
            room.hidden[-1].derive()
        for position in range(len(room.hidden) - 1, 0, -1):
            layer = room.hidden[position - 1]
            np.matmul(room.hidden[position].gradient, weights.backward[position], out=layer.gradient)
            layer.derive()

    def _add_up(self, room: _Room, count: int, clip: Clip) -> Double:
        for piece, norms in room.measured:
            wide = self._wide[: piece.size].reshape(piece.shape)
            wide[...] = piece
            np.vecdot(wide, wide, out=norms)
        depth = len(room.sums)
        inputs, gradients = room.norms[:depth], room.norms[depth:]
        gradients[-1] = room.residual
        gradients[-1] *= gradients[-1]
        is_plain = room.norms.max() < _PLAIN
        sizes = None if is_plain else inputs.sum(axis=0)
        inputs += 1.0
        inputs *= gradients
        squared: Double = np.add.reduce(inputs, axis=0)
        factors = np.zeros(len(squared))
        factors[:count] = clip(squared[:count])
        apart = None if sizes is None else set_apart(self.network, room.factors, factors, squared, sizes)
        room.scale[...] = factors
        for piece in room.scaled:
            np.multiply(piece, room.scale[:, np.newaxis], out=piece)
        np.multiply(room.residual, room.scale, out=room.residual)
        for layer in room.sums:
            np.matmul(layer.gradient, layer.value, out=layer.weight)
            np.matmul(_ONES, layer.bias_gradient, out=layer.bias)
        total: Double = np.add.reduce(room.by_block, axis=0, dtype=np.float64)
        return total if apart is None else total + apart.numpy()

    def _room(self, num_blocks: int) -> _Room:
        if num_blocks > self._capacity:
            self._capacity = num_blocks
            self._memory.clear()
            self._rooms.clear()
        if num_blocks not in self._rooms:
            self._rooms[num_blocks] = self._lay_out(num_blocks)
        return self._rooms[num_blocks]

    def _lay_out(self, num_blocks: int) -> _Room:
        """Lay a room out in memory that rooms of all sizes share."""

        def empty(name: str, *shape: int, dtype: type = np.float32) -> NDArray[Any]:
            size = math.prod(shape)
            whole = self._memory.setdefault(name, np.zeros(size // num_blocks * self._capacity, dtype=dtype))
            return whole[:size].reshape(shape)

        network, num_rows = self.network, num_blocks * BLOCK_ROWS
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
        return _Room(
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


def _to_residual(logits: Single, labels: Single, loss: Loss) -> None:
    """Turn logits, in place, into the gradient of each loan's weighted loss."""
    if loss.focal_gamma > 0.0:
        to_residual(torch.from_numpy(logits), torch.from_numpy(labels), loss)
        return
    np.negative(logits, out=logits)
    np.exp(logits, out=logits)
    np.add(logits, _ONE, out=logits)
    np.divide(_ONE, logits, out=logits)
    if loss.pos_weight == 1.0:
        np.subtract(logits, labels, out=logits)
        return
    logits *= 1.0 + (loss.pos_weight - 1.0) * labels
    logits -= loss.pos_weight * labels


def _in_blocks(values: Single) -> Single:
    return values.reshape(-1, BLOCK_ROWS, values.shape[1], copy=False)


def _hidden(activation: str, product: Single, output: Single, gradient: Single) -> _Hidden:
    rule = ACTIVATIONS[activation]
    on_torch = [torch.from_numpy(values) for values in (product, output, gradient)]
    needed = on_torch[1] if rule.from_output else on_torch[0]
    return _Hidden(
        product=_in_blocks(product),
        output=_in_blocks(output),
        gradient=_in_blocks(gradient),
        activate=partial(rule.apply, on_torch[0], on_torch[1]),
        derive=partial(rule.derive, on_torch[2], needed),
    )


def _sum(layer: Layer, gradient: Single, value: Single, by_block: Single) -> _Sum:
    num_blocks, gradient = len(by_block), gradient[..., : layer.num_outputs]
    return _Sum(
        gradient=gradient.transpose(0, 2, 1),
        value=value[..., : layer.num_inputs],
        weight=by_block[:, layer.weight].reshape(num_blocks, layer.num_outputs, layer.num_inputs, copy=False),
        bias_gradient=gradient,
        bias=by_block[:, layer.bias].reshape(num_blocks, 1, layer.num_outputs, copy=False),
    )


def _cut(values: Single, norms: Double) -> Iterator[tuple[Single, Double]]:
    """Cut rows into pieces that fit a core's cache in float64."""
    at_once = max(1, _NUMBERS_AT_ONCE // values.shape[1])
    for first in range(0, len(values), at_once):
        yield values[first : first + at_once], norms[first : first + at_once]


@contextmanager
def host_sums(network: DefaultNetwork) -> Iterator[HostSums]:
    """Give this thread's room for a network's sums, with one thread for numpy's products inside.

    Args:
        network: the network's shape, without LayerNorm.

    Yields:
        The room; what a lender left in it is written over before it is read.
    """
    kept: HostSums | None = getattr(_KEPT, "sums", None)
    if kept is None or kept.network != network:
        _KEPT.sums = kept = HostSums(network)
    with _blas().limit(limits=1, user_api="blas"):
        yield kept


@cache
def _blas() -> threadpoolctl.ThreadpoolController:
    return threadpoolctl.ThreadpoolController()

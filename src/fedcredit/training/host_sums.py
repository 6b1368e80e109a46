"""Clipped gradient sums of a batch in the host's memory: the arithmetic of `fedcredit.training.clipped_sums` by numpy.

A step of a small network is a few dozen short calls, and a call costs numpy a quarter of what it costs torch. The
memory is laid out once and used round after round; torch sees it too, for activations and for loans set apart.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import numpy as np
import threadpoolctl
import torch
from numpy.typing import NDArray

from fedcredit.model.blocks import to_columns
from fedcredit.model.network import BLOCK_ROWS, DefaultNetwork
from fedcredit.training.clipped_sums import MOST_BLOCKS, Clip, set_apart
from fedcredit.training.derivatives import Loss, to_residual
from fedcredit.training.host_room import NUMBERS_AT_ONCE, Double, Room, Rooms, Single, Weights

_MOST_SUMS = 2**23
_PLAIN = 2.0**60
_ONE = np.float32(1.0)
_ONES = np.ones((1, BLOCK_ROWS), dtype=np.float32)
_KEPT = threading.local()


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
        self._weights = Weights(network, self.parameters)
        self._at_once = max(1, min(MOST_BLOCKS, _MOST_SUMS // network.num_parameters))
        self._rooms = Rooms(network)
        self._wide = np.empty(max(NUMBERS_AT_ONCE, network.num_features, *map(to_columns, network.hidden)))

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
                room = self._rooms.of(-(-count // BLOCK_ROWS))
                features.take(places, axis=0, out=room.rows[:count], mode="clip")
                default.take(places, out=room.labels[:count], mode="clip")
                room.rows[count:] = 0.0
                self._derive(room, loss)
                part = self._add_up(room, count, clip)
                total = part if total is None else total + part
        return np.zeros(len(self.parameters)) if total is None else total

    def _derive(self, room: Room, loss: Loss) -> None:
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

    def _add_up(self, room: Room, count: int, clip: Clip) -> Double:
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

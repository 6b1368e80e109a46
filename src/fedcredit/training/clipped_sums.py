"""Clipped gradient sums of a batch, without a loan's gradient ever being laid out.

For a linear layer with input a and pre-activation gradient g a loan's squared gradient norm is
(1 + |a|^2) |g|^2 (Goodfellow 2015), in float64, and a block's clipped sum is one float32 product of the
scaled g with a; block sums are added in float64 (`fedcredit.privacy.mechanism` says why that is enough). A
loan whose numbers are too large for single precision is taken out of its block and added in float64; one whose
gradient counts as zero is taken out and left out. Which loans these are, each loan says alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from fedcredit.model.network import BLOCK_ROWS, DefaultNetwork
from fedcredit.privacy.mechanism import LARGEST_NORM
from fedcredit.training.derivatives import Derivatives, Desk, Factors, Loss

_WIDE = torch.float64
MOST_BLOCKS = 32
_LARGEST_INPUT = 2.0**40
LayOut = Callable[[Desk, slice], None]
Clip = Callable[[NDArray[np.float64]], NDArray[np.float64]]


@dataclass(frozen=True, kw_only=True)
class _Product:
    """A linear layer's factors ``[blocks, 64, width]`` and the room for its sums by block."""

    gradient: torch.Tensor
    value: torch.Tensor
    weight: torch.Tensor
    bias: torch.Tensor


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """What is done with the factors, in as few calls as their memory allows.

    Attributes:
        measured: pieces whose rows' norms are taken, each ``[..., blocks, 64, width]``, and where these go.
        gradients: pieces that are multiplied with each row's clip factor.
        gradient_places: where the norms of the linear layers' gradients lie.
        input_places: where the norms of their inputs lie.
        products: what is multiplied and added up in the linear layers.
    """

    measured: tuple[tuple[torch.Tensor, torch.Tensor], ...]
    gradients: tuple[torch.Tensor, ...]
    gradient_places: NDArray[np.intp]
    input_places: NDArray[np.intp]
    products: tuple[_Product, ...]


@dataclass(frozen=True, kw_only=True)
class _Room:
    """Memory for the sums of some blocks.

    Attributes:
        desk: where the derivatives are worked out.
        sums: all sums by block, ``[blocks, num_parameters]``.
        norms: norms of gradients and inputs, ``[2 linear layers, blocks, 64]``, float64.
        scale: what each row is multiplied with, ``[blocks, 64, 1]``.
        plan: what is done with the factors, where they stay in place.
    """

    desk: Desk
    sums: torch.Tensor
    norms: torch.Tensor
    scale: torch.Tensor
    plan: _Plan | None

    @cached_property
    def _same_norms(self) -> NDArray[np.float64] | None:
        return self.norms.flatten(1).numpy() if self.norms.device.type == "cpu" else None

    @property
    def norms_on_host(self) -> NDArray[np.float64]:
        """The norms, ``[2 linear layers, rows]``; the same memory where they lie on the host."""
        found = self._same_norms
        return self.norms.flatten(1).cpu().numpy() if found is None else found


class ClippedSums:
    """Clipped gradient sums at parameters that the caller changes in place."""

    def __init__(
        self,
        network: DefaultNetwork,
        parameters: torch.Tensor,
        *,
        clip: Clip,
        loss: Loss,
        num_rows: int,
    ) -> None:
        """Lay the memory out, on the device of the parameters.

        Args:
            network: the network's shape.
            parameters: flat parameters, ``[num_parameters]``, float32; they are looked at anew each time.
            clip: gives, from the squared norms of the loans' gradients, what each is multiplied with; 0 where the
                gradient counts as zero.
            loss: the public constants of a loan's loss.
            num_rows: rows of a batch there should be room for at once; public, and at most 2,048 are.
        """
        self._capacity = min(max(1, -(-num_rows // BLOCK_ROWS)), MOST_BLOCKS)
        self._network = network
        self._device = parameters.device
        self._clip = clip
        self._loss = loss
        self._derivatives = Derivatives(network, parameters, capacity=self._capacity)
        self._desk = self._derivatives.desk()
        self._sums = torch.empty(self._capacity, network.num_parameters, device=self._device)
        self._rooms: dict[int, _Room] = {}

    def of_rows(self, num_rows: int, lay_out: LayOut) -> torch.Tensor:
        """Sum the clipped gradients of a batch.

        Args:
            num_rows: how many loans the batch has, possibly none.
            lay_out: puts some rows of the batch on a desk.

        Returns:
            The sum, ``[num_parameters]``, float64, finite.
        """
        total: torch.Tensor | None = None
        at_once = self._capacity * BLOCK_ROWS
        for first in range(0, num_rows, at_once):
            rows = slice(first, min(first + at_once, num_rows))
            count = rows.stop - rows.start
            room = self._room(-(-count // BLOCK_ROWS))
            lay_out(room.desk, rows)
            part = self._of_room(room, count)
            total = part if total is None else total.add_(part)
        if total is None:
            return torch.zeros(self._network.num_parameters, dtype=_WIDE, device=self._device)
        return total

    def _room(self, num_blocks: int) -> _Room:
        if num_blocks not in self._rooms:
            desk, sums = self._desk.first(num_blocks), self._sums[:num_blocks]
            shape = 2 * len(self._network.layers), num_blocks, BLOCK_ROWS
            norms = torch.empty(shape, dtype=_WIDE, device=self._device)
            self._rooms[num_blocks] = _Room(
                desk=desk,
                sums=sums,
                norms=norms,
                scale=torch.empty(num_blocks, BLOCK_ROWS, 1, device=self._device),
                plan=None if desk.factors is None else _plan_of_desk(self._network, desk, desk.factors, norms, sums),
            )
        return self._rooms[num_blocks]

    def _of_room(self, room: _Room, count: int) -> torch.Tensor:
        found = self._derivatives.derive(room.desk, self._loss)
        plan = _plan(self._network, found, room.norms, room.sums) if room.plan is None else room.plan
        squared, inputs = _squared_norms(room, plan, found)
        factors = np.zeros(len(squared))
        factors[:count] = self._clip(squared[:count])
        is_plain = squared.max() < LARGEST_NORM**2 and inputs.max() < _LARGEST_INPUT**2
        apart = None if is_plain else set_apart(self._network, found, factors, squared, inputs)
        room.scale.view(-1).copy_(torch.from_numpy(factors))
        for gradient in plan.gradients:
            gradient.mul_(room.scale)
        for product in plan.products:
            torch.bmm(product.gradient.mT, product.value, out=product.weight)
            torch.sum(product.gradient, 1, out=product.bias)
        for (gradient, value), layer in zip(found.norms, self._network.layers, strict=False):
            torch.sum(gradient * value, 1, out=room.sums[:, layer.norm_weight])
            torch.sum(gradient, 1, out=room.sums[:, layer.norm_bias])
        total = torch.sum(room.sums, 0, dtype=_WIDE)
        return total if apart is None else total.add_(apart)


def set_apart(
    network: DefaultNetwork,
    found: Factors,
    factors: NDArray[np.float64],
    squared: NDArray[np.float64],
    inputs: NDArray[np.float64],
) -> torch.Tensor:
    """Take out the rows that single precision does not hold, and add up in float64 those that count.

    Args:
        network: the network's shape.
        found: the factors of each row's gradient; those of the rows taken out become zero.
        factors: what each row is multiplied with, ``[rows]``.
        squared: squared norm of each row's gradient, ``[rows]``.
        inputs: squared norm of each row's inputs to all linear layers, ``[rows]``.

    Returns:
        The clipped sum of the rows taken out, ``[num_parameters]``, float64.
    """
    device = found.linear[0][0].device
    large = ~((squared < LARGEST_NORM**2) & (inputs < _LARGEST_INPUT**2))
    counted, gone = (torch.from_numpy(np.flatnonzero(rows)).to(device) for rows in (large & (factors > 0.0), large))
    scale = torch.from_numpy(factors).to(device)[counted].unsqueeze(-1)
    taken = [
        (scale * gradient.flatten(0, 1)[counted], value.flatten(0, 1)[counted].to(_WIDE))
        for gradient, value in found.pairs
    ]
    total = torch.empty(network.num_parameters, dtype=_WIDE, device=device)
    depth = len(found.linear)
    for position, layer in enumerate(network.layers):
        gradient, value = taken[position]
        gradient, value = gradient[:, : layer.num_outputs], value[:, : layer.num_inputs]
        total[layer.weight] = (gradient.t() @ value).reshape(-1)
        total[layer.bias] = gradient.sum(0)
        if layer.norm_weight is not None and layer.norm_bias is not None:
            gradient, value = taken[depth + position]
            total[layer.norm_weight] = (gradient * value).sum(0)
            total[layer.norm_bias] = gradient.sum(0)
    for pair in found.pairs:
        for values in pair:
            values.view(-1, values.shape[-1])[gone] = 0.0
    return total


def _plan(network: DefaultNetwork, found: Factors, norms: torch.Tensor, sums: torch.Tensor) -> _Plan:
    """Plan for factors that lie anywhere: each is a piece of its own."""
    depth = len(found.linear)
    gradients, values = zip(*found.linear, strict=True)
    return _Plan(
        measured=tuple(zip((*gradients, *values), norms, strict=True)),
        gradients=tuple(gradient for gradient, _ in found.pairs),
        gradient_places=np.arange(depth),
        input_places=np.arange(depth, 2 * depth),
        products=_products(network, found, sums),
    )


def _plan_of_desk(
    network: DefaultNetwork, desk: Desk, factors: Factors, norms: torch.Tensor, sums: torch.Tensor
) -> _Plan:
    """Plan for factors that lie on a desk: hidden layers of one width are one piece."""
    depth = len(factors.linear)
    measured = [(desk.rows, norms[0]), (desk.residual, norms[1])]
    gradient_places, input_places = [1] * depth, [0] * depth
    gradients = [desk.residual]
    for memory, positions in desk.families:
        first, count = 2 + sum(len(piece) for piece, _ in measured[2:]), len(positions)
        measured.append((memory, norms[first : first + 2 * count]))
        gradients.append(memory[count:])
        for place, position in enumerate(positions):
            input_places[position + 1] = first + place
            gradient_places[position] = first + count + place
    return _Plan(
        measured=tuple(measured),
        gradients=tuple(gradients),
        gradient_places=np.array(gradient_places),
        input_places=np.array(input_places),
        products=_products(network, factors, sums),
    )


def _products(network: DefaultNetwork, found: Factors, sums: torch.Tensor) -> tuple[_Product, ...]:
    return tuple(
        _Product(
            gradient=gradient[..., : layer.num_outputs],
            value=value[..., : layer.num_inputs],
            weight=sums[:, layer.weight].view(len(sums), layer.num_outputs, layer.num_inputs),
            bias=sums[:, layer.bias],
        )
        for layer, (gradient, value) in zip(network.layers, found.linear, strict=True)
    )


def _squared_norms(room: _Room, plan: _Plan, found: Factors) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Squared norm of each row's gradient, and of its inputs to all linear layers, ``[rows]`` each, float64."""
    for values, norms in plan.measured:
        torch.linalg.vector_norm(values, dim=-1, dtype=_WIDE, out=norms)
    squares = np.square(room.norms_on_host)
    gradients, inputs = squares.take(plan.gradient_places, axis=0), squares.take(plan.input_places, axis=0)
    sizes: NDArray[np.float64] = inputs.sum(axis=0)
    with np.errstate(invalid="ignore", over="ignore"):
        inputs += 1.0
        inputs *= gradients
        squared: NDArray[np.float64] = inputs.sum(axis=0)
        for output, value in found.norms:
            for part in (output, output.to(_WIDE) * value):
                norms = torch.linalg.vector_norm(part, dim=-1, dtype=_WIDE)
                squared += np.square(norms.flatten().cpu().numpy())
    return squared, sizes

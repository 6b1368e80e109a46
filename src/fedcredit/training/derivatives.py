"""Each loan's derivatives, block by block, in memory that is laid out once a round.

For a linear layer with input a and pre-activation gradient g a loan's gradient is the outer product of g and
a, so the two factors say all of it and it is never laid out. Stacks of linear layers and activations are
derived by hand; where there is a LayerNorm, autograd gives the same factors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from fedcredit.model.blocks import Trace, to_columns, trace_blocks
from fedcredit.model.network import BLOCK_ROWS, DefaultNetwork

Pair = tuple[torch.Tensor, torch.Tensor]
_aten = torch.ops.aten


@dataclass(frozen=True, kw_only=True)
class Factors:
    """The two factors of each loan's gradient: gradient and input, ``[blocks, 64, width]`` each.

    Attributes:
        linear: by linear layer, the gradient of its output and its input; widths may end in zeros.
        norms: by LayerNorm, the gradient of its output and its centred and scaled input.
    """

    linear: tuple[Pair, ...]
    norms: tuple[Pair, ...] = ()

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """All pairs, linear layers first."""
        return (*self.linear, *self.norms)


@dataclass(frozen=True, kw_only=True)
class Activation:
    """An activation and its derivative, both in given memory; ``from_output`` if the derivative needs that alone."""

    apply: Callable[[torch.Tensor, torch.Tensor], object]
    derive: Callable[[torch.Tensor, torch.Tensor], object]
    from_output: bool


ACTIVATIONS: Mapping[str, Activation] = {
    "relu": Activation(
        apply=lambda product, out: out.relu_(),
        derive=lambda gradient, output: _aten.threshold_backward.grad_input(gradient, output, 0, grad_input=gradient),
        from_output=True,
    ),
    "tanh": Activation(
        apply=lambda product, out: out.tanh_(),
        derive=lambda gradient, output: _aten.tanh_backward.grad_input(gradient, output, grad_input=gradient),
        from_output=True,
    ),
    "gelu": Activation(
        apply=lambda product, out: _aten.gelu.out(product, out=out),
        derive=lambda gradient, product: _aten.gelu_backward.grad_input(gradient, product, grad_input=gradient),
        from_output=False,
    ),
}


class _Filled:
    """A matrix or vector of parameters, filled up with zeros so that its widths are multiples of 16.

    MKL's product treats rows differently by their place when the columns are few and not a multiple of its
    vector width. Where nothing is to be filled up, the parameters are looked at where they lie.
    """

    def __init__(self, source: torch.Tensor, *shape: int) -> None:
        self._source = source
        self._is_filled = tuple(source.shape) != shape
        self.values = source.new_zeros(shape) if self._is_filled else source
        self._place = self.values[tuple(slice(size) for size in source.shape)]

    def refresh(self) -> None:
        if self._is_filled:
            self._place.copy_(self._source)


@dataclass(frozen=True, kw_only=True)
class _Hidden:
    """A hidden layer's memory and parameters.

    Attributes:
        product: its linear output, ``[blocks, 64, outputs]``.
        output: its activation, of the same shape; the same memory where the derivative needs no product.
        gradient: the gradient of the product, of the same shape.
        forward: its weight as ``[blocks, inputs, outputs]``, the same for each block.
        backward: its weight as ``[blocks, outputs, inputs]``.
        bias: ``[outputs]``.
    """

    product: torch.Tensor
    output: torch.Tensor
    gradient: torch.Tensor
    forward: torch.Tensor
    backward: torch.Tensor
    bias: torch.Tensor


@dataclass(frozen=True, kw_only=True)
class Desk:
    """Room for a number of blocks: what is read, and what is worked out.

    Attributes:
        rows: encoded loans, ``[blocks, 64, features]``.
        labels: their labels 0 or 1, ``[blocks, 64, 1]``.
        residual: the gradient of each loan's logit, ``[blocks, 64, 1]``.
        hidden: the hidden layers, where derivatives are taken by hand.
        families: the outputs, then the gradients, of all hidden layers of one width,
            ``[2 layers, blocks, 64, width]``, and the positions of these layers.
        factors: the factors, where they always lie in the same memory, as they do where derived by hand.
    """

    rows: torch.Tensor
    labels: torch.Tensor
    residual: torch.Tensor
    hidden: tuple[_Hidden, ...]
    families: tuple[tuple[torch.Tensor, tuple[int, ...]], ...]
    factors: Factors | None

    @cached_property
    def host(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Rows ``[rows, features]`` and labels ``[rows]`` as numpy sees them, where they lie in the host's memory."""
        return self.rows.flatten(0, 1).numpy(), self.labels.flatten().numpy()

    def first(self, num_blocks: int) -> Desk:
        """Give the room of the first blocks.

        Args:
            num_blocks: how many.

        Returns:
            Views of the same memory.
        """
        hidden = tuple(
            _Hidden(
                product=layer.product[:num_blocks],
                output=layer.output[:num_blocks],
                gradient=layer.gradient[:num_blocks],
                forward=layer.forward[:num_blocks],
                backward=layer.backward[:num_blocks],
                bias=layer.bias,
            )
            for layer in self.hidden
        )
        rows, residual = self.rows[:num_blocks], self.residual[:num_blocks]
        return Desk(
            rows=rows,
            labels=self.labels[:num_blocks],
            residual=residual,
            hidden=hidden,
            families=tuple((memory[:, :num_blocks], positions) for memory, positions in self.families),
            factors=None if self.factors is None else _factors(rows, hidden, residual),
        )


def _factors(rows: torch.Tensor, hidden: tuple[_Hidden, ...], residual: torch.Tensor) -> Factors:
    gradients = (*(layer.gradient for layer in hidden), residual)
    inputs = (rows, *(layer.output for layer in hidden))
    return Factors(linear=tuple(zip(gradients, inputs, strict=True)))


@dataclass(frozen=True, kw_only=True)
class Loss:
    """The public constants of a loan's loss.

    Attributes:
        pos_weight: weight of the loans that defaulted.
        focal_gamma: focusing of the focal loss (Lin et al., ICCV 2017); 0 is the cross-entropy.
    """

    pos_weight: float
    focal_gamma: float


class Derivatives:
    """The derivatives of a network at parameters that the caller changes in place."""

    def __init__(self, network: DefaultNetwork, parameters: torch.Tensor, *, capacity: int) -> None:
        """Lay the memory out, on the device of the parameters.

        Args:
            network: the network's shape.
            parameters: flat parameters, ``[num_parameters]``, float32; they are looked at anew each time.
            capacity: how many blocks there is room for, at least 1.
        """
        self._network = network
        self._parameters = parameters
        self._activation = ACTIVATIONS[network.activation]
        self._capacity = capacity
        layers = () if network.layer_norm else network.layers
        widths = (network.num_features, *(to_columns(width) for width in network.hidden))
        self._weights = [
            _Filled(parameters[layer.weight].reshape(layer.num_outputs, layer.num_inputs), *shape)
            for layer, *shape in zip(layers[:-1], widths[1:], widths, strict=False)
        ]
        self._biases = [
            _Filled(parameters[layer.bias], width) for layer, width in zip(layers[:-1], widths[1:], strict=False)
        ]
        last = network.layers[-1]
        self._output_weight = _Filled(parameters[last.weight], widths[-1])
        self._output_bias = parameters[last.bias]

    def desk(self) -> Desk:
        """Lay out room for as many blocks as there can be.

        Returns:
            The room, its rows and labels for the caller to fill.
        """

        def empty(*shape: int) -> torch.Tensor:
            return torch.empty(shape, device=self._parameters.device)

        widths = [len(bias.values) for bias in self._biases]
        families, hidden = [], {}
        for width in dict.fromkeys(widths):
            positions = tuple(position for position, other in enumerate(widths) if other == width)
            memory = empty(2 * len(positions), self._capacity, BLOCK_ROWS, width)
            families.append((memory, positions))
            for place, position in enumerate(positions):
                output, gradient = memory[place], memory[len(positions) + place]
                weight = self._weights[position].values
                hidden[position] = _Hidden(
                    product=output if self._activation.from_output else torch.empty_like(output),
                    output=output,
                    gradient=gradient,
                    forward=weight.t().expand(self._capacity, -1, -1),
                    backward=weight.expand(self._capacity, -1, -1),
                    bias=self._biases[position].values,
                )
        rows = empty(self._capacity, BLOCK_ROWS, self._network.num_features)
        labels, residual = (empty(self._capacity, BLOCK_ROWS, 1) for _ in range(2))
        layers = tuple(hidden[position] for position in range(len(widths)))
        return Desk(
            rows=rows,
            labels=labels.zero_(),
            residual=residual,
            hidden=layers,
            families=tuple(families),
            factors=None if self._network.layer_norm else _factors(rows, layers, residual),
        )

    def derive(self, desk: Desk, loss: Loss) -> Factors:
        """Derive each loan's loss.

        Args:
            desk: the room, with rows and labels filled.
            loss: its public constants.

        Returns:
            The factors of each row's gradient, in memory that the next call may write over.
        """
        if desk.factors is None:
            return self._by_autograd(desk, loss)
        self._by_hand(desk, loss)
        return desk.factors

    def _by_hand(self, desk: Desk, loss: Loss) -> None:
        for filled in (*self._weights, *self._biases, self._output_weight):
            filled.refresh()
        inputs = desk.rows
        for layer in desk.hidden:
            torch.baddbmm(layer.bias, inputs, layer.forward, out=layer.product)
            self._activation.apply(layer.product, layer.output)
            inputs = layer.output
        weight = self._output_weight.values
        torch.sum(inputs * weight, -1, keepdim=True, out=desk.residual)
        desk.residual.add_(self._output_bias)
        to_residual(desk.residual, desk.labels, loss)
        for position in reversed(range(len(desk.hidden))):
            layer = desk.hidden[position]
            if position == len(desk.hidden) - 1:
                torch.mul(desk.residual, weight, out=layer.gradient)
            else:
                above = desk.hidden[position + 1]
                torch.bmm(above.gradient, above.backward, out=layer.gradient)
            self._activation.derive(layer.gradient, layer.output if self._activation.from_output else layer.product)

    def _by_autograd(self, desk: Desk, loss: Loss) -> Factors:
        with torch.enable_grad():
            trace = trace_blocks(self._network.layers, self._network.activation, self._parameters, desk.rows)
            gradients = _cotangents(trace, desk.labels, loss)
        depth = len(trace.products)
        inputs = tuple(value.detach() for value in (*trace.inputs, *trace.normalised))
        pairs = tuple(zip(gradients, inputs, strict=True))
        return Factors(linear=pairs[:depth], norms=pairs[depth:])


def to_residual(logits: torch.Tensor, labels: torch.Tensor, loss: Loss) -> torch.Tensor:
    """Turn logits, in place, into the gradient of each loan's weighted loss.

    Args:
        logits: of each loan, ``[loans]`` or any other shape.
        labels: 0 or 1, of the same shape.
        loss: its public constants.

    Returns:
        The gradient by the logit, in the memory of ``logits``.
    """
    if loss.focal_gamma > 0.0:
        return logits.copy_(_focal(logits, labels, loss))
    logits.sigmoid_()
    if loss.pos_weight != 1.0:
        logits.mul_(1.0 + (loss.pos_weight - 1.0) * labels)
    return logits.sub_(labels, alpha=loss.pos_weight)


def _focal(logits: torch.Tensor, labels: torch.Tensor, loss: Loss) -> torch.Tensor:
    """Derive -(1 - p)^gamma log p, where p is the probability of what happened, by the logit."""
    against = 1.0 - 2.0 * labels
    margin = against * logits
    surprise, log_chance = torch.sigmoid(margin), functional.logsigmoid(-margin)
    slope = surprise - loss.focal_gamma * torch.exp(log_chance) * log_chance
    weight = 1.0 + (loss.pos_weight - 1.0) * labels
    return against * weight * surprise**loss.focal_gamma * slope


def _cotangents(trace: Trace, labels: torch.Tensor, loss: Loss) -> tuple[torch.Tensor, ...]:
    """Gradients of each loan's loss with respect to the products and the LayerNorms' outputs."""
    logits = trace.products[-1]
    residual = to_residual(logits.detach().clone(), labels, loss)
    inner = (*trace.products[:-1], *trace.scaled)
    gradients = torch.autograd.grad(logits, inner, residual) if inner else ()
    depth = len(trace.products) - 1
    return (*gradients[:depth], residual, *gradients[depth:])

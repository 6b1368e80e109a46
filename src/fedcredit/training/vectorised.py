"""The fast trainer: plain torch over all blocks at once, no gradient of a single loan is ever laid out.

Autograd gives the gradient of each loan's loss with respect to the pre-activations. For a linear
layer with input a and pre-activation gradient g a loan's squared gradient norm is (1 + |a|^2) |g|^2
(Goodfellow 2015), and the clipped sum is one product of the scaled g with a. That product is float64,
over at most 2,048 rows at a time, which bounds the memory and the rounding.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from fedcredit.model.blocks import Trace, single_threaded, to_blocks, trace_blocks
from fedcredit.model.network import DefaultNetwork
from fedcredit.privacy.mechanism import clip_factors
from fedcredit.training.contract import LocalOutcome, LocalSettings, RoundStreams
from fedcredit.training.stepwise import run_steps

_WIDE = torch.float64
_CHUNK_ROWS = 2048
_Tensors = tuple[torch.Tensor, ...]
_Pair = tuple[torch.Tensor, torch.Tensor]


def local_round(
    network: DefaultNetwork,
    parameters: NDArray[np.float32],
    features: NDArray[np.float32],
    default: NDArray[np.float32],
    *,
    settings: LocalSettings,
    streams: RoundStreams,
) -> LocalOutcome:
    """Run a round as `fedcredit.training.contract.LocalRound` says.

    Args:
        network: the network's shape.
        parameters: incoming flat parameters, ``[num_parameters]``.
        features: encoded loans, ``[loans, features]``.
        default: labels 0 or 1, ``[loans]``.
        settings: public constants.
        streams: where sampling and noise come from.

    Returns:
        The outcome.

    Raises:
        InputError: if shapes do not fit each other, or noise is asked for without a clipping norm.
    """
    with single_threaded():
        return run_steps(
            clipped_gradient_sum, network, parameters, features, default, settings=settings, streams=streams
        )


def clipped_gradient_sum(
    network: DefaultNetwork,
    parameters: NDArray[np.float32],
    features: NDArray[np.float32],
    default: NDArray[np.float32],
    *,
    clipping_norm: float,
    pos_weight: float,
) -> NDArray[np.float64]:
    """Sum clipped gradients as `fedcredit.training.stepwise.ClippedGradientSum` says.

    Args:
        network: the network's shape.
        parameters: flat parameters, ``[num_parameters]``.
        features: the batch's encoded loans, ``[batch, features]``; possibly none.
        default: the batch's labels 0 or 1, ``[batch]``.
        clipping_norm: bound on the norm of each loan's whole gradient; infinite for none.
        pos_weight: public weight of the loans that defaulted.

    Returns:
        The sum, ``[num_parameters]``.
    """
    flat = torch.tensor(parameters)
    total = torch.zeros(network.num_parameters, dtype=_WIDE)
    for first in range(0, len(default), _CHUNK_ROWS):
        chunk = slice(first, first + _CHUNK_ROWS)
        linear, norms = _gradients(network, flat, features[chunk], default[chunk], pos_weight)
        squared = _squared_norms(linear, norms)
        num_loans = len(default[chunk])
        factors = torch.zeros(len(squared), 1, dtype=_WIDE)
        factors[:num_loans, 0] = torch.from_numpy(clip_factors(squared[:num_loans].numpy(), clipping_norm))
        total += _contract(network, _clip(linear, factors), _clip(norms, factors))
    return total.numpy()


def _gradients(
    network: DefaultNetwork,
    flat: torch.Tensor,
    features: NDArray[np.float32],
    default: NDArray[np.float32],
    pos_weight: float,
) -> tuple[list[_Pair], list[_Pair]]:
    """Find, by linear layer and by LayerNorm, the two factors of each loan's gradient, ``[rows, width]``."""
    labels = to_blocks(default[:, np.newaxis])
    with torch.enable_grad():
        trace = trace_blocks(network.layers, network.activation, flat, to_blocks(features))
        products, scaled = _cotangents(trace, labels, pos_weight)
    linear = [(_rows(g), _rows(a)) for g, a in zip(products, trace.inputs, strict=True)]
    return linear, [(_rows(g), _rows(a)) for g, a in zip(scaled, trace.normalised, strict=True)]


def _squared_norms(linear: list[_Pair], norms: list[_Pair]) -> torch.Tensor:
    squared = torch.zeros(len(linear[0][0]), dtype=_WIDE)
    for gradient, inputs in linear:
        squared += _square(gradient) * (1.0 + _square(inputs))
    for gradient, inputs in norms:
        squared += _square(gradient * inputs) + _square(gradient)
    return squared


def _contract(network: DefaultNetwork, linear: list[_Pair], norms: list[_Pair]) -> torch.Tensor:
    """Sum the clipped gradients over loans, ``[num_parameters]``."""
    total = torch.empty(network.num_parameters, dtype=_WIDE)
    for position, layer in enumerate(network.layers):
        gradient, inputs = linear[position]
        total[layer.weight] = (gradient.t() @ inputs).reshape(-1)
        total[layer.bias] = gradient.sum(0)
        if layer.norm_weight is not None and layer.norm_bias is not None:
            gradient, inputs = norms[position]
            total[layer.norm_weight] = (gradient * inputs).sum(0)
            total[layer.norm_bias] = gradient.sum(0)
    return total


def _cotangents(trace: Trace, labels: torch.Tensor, pos_weight: float) -> tuple[_Tensors, _Tensors]:
    """Gradients of each loan's cross-entropy with respect to the products and the LayerNorms' outputs."""
    logits = trace.products[-1]
    positive = pos_weight * labels
    residual = torch.sigmoid(logits.detach()) * (positive + (1.0 - labels)) - positive
    inner = (*trace.products[:-1], *trace.scaled)
    gradients = torch.autograd.grad(logits, inner, residual) if inner else ()
    depth = len(trace.products) - 1
    return (*gradients[:depth], residual), gradients[depth:]


def _rows(blocks: torch.Tensor) -> torch.Tensor:
    return blocks.detach().to(_WIDE).flatten(0, 1)


def _square(rows: torch.Tensor) -> torch.Tensor:
    return (rows * rows).sum(-1)


def _clip(pairs: list[_Pair], factors: torch.Tensor) -> list[_Pair]:
    """Scale each loan's gradients; a loan that counts as zero loses its inputs too, for 0 * inf is no number."""
    usable = factors > 0.0
    zero = torch.zeros((), dtype=_WIDE)
    return [(torch.where(usable, g * factors, zero), torch.where(usable, a, zero)) for g, a in pairs]

"""The slow and obvious trainer: Opacus lays out each loan's gradient; the judge of every faster trainer.

Only `GradSampleModule` of Opacus is used. Its ``make_private`` derives rate and divisor from private row
counts, and its sampler, clipping and accountant are not ours.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from fedcredit.model.blocks import row_product, single_threaded, to_blocks
from fedcredit.model.network import BLOCK_ROWS, DefaultNetwork
from fedcredit.model.torch_network import to_module
from fedcredit.privacy.mechanism import clip_factors
from fedcredit.training.contract import LocalOutcome, LocalSettings, RoundStreams
from fedcredit.training.stepwise import run_steps


@contextmanager
def _root_logger_kept() -> Iterator[None]:
    """Undo the ``logging.basicConfig`` that importing Opacus does."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


with _root_logger_kept():
    from opacus.grad_sample import GradSampleModule, compute_linear_grad_sample, register_grad_sampler


class _RowLinear(nn.Linear):
    """A linear layer whose products have a row's own bits."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return row_product(inputs.unsqueeze(0), self.weight).squeeze(0) + self.bias


register_grad_sampler(_RowLinear)(compute_linear_grad_sample)


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
    return run_steps(clipped_gradient_sum, network, parameters, features, default, settings=settings, streams=streams)


@single_threaded()
def clipped_gradient_sum(
    network: DefaultNetwork,
    parameters: NDArray[np.float32],
    features: NDArray[np.float32],
    default: NDArray[np.float32],
    *,
    clipping_norm: float,
    pos_weight: float,
    focal_gamma: float = 0.0,
) -> NDArray[np.float64]:
    """Sum clipped gradients as `fedcredit.training.stepwise.ClippedGradientSum` says.

    Args:
        network: the network's shape.
        parameters: flat parameters, ``[num_parameters]``.
        features: the batch's encoded loans, ``[batch, features]``; possibly none.
        default: the batch's labels 0 or 1, ``[batch]``.
        clipping_norm: bound on the norm of each loan's whole gradient; infinite for none.
        pos_weight: public weight of the loans that defaulted.
        focal_gamma: public focusing of the focal loss; 0 is the cross-entropy.

    Returns:
        The sum, ``[num_parameters]``.
    """
    module = GradSampleModule(to_module(network, parameters, linear=_RowLinear), loss_reduction="sum")
    total = torch.zeros(network.num_parameters, dtype=torch.float64)
    blocks, labels = to_blocks(features), to_blocks(default[:, np.newaxis])
    for position, (rows, label) in enumerate(zip(blocks, labels, strict=True)):
        found = _gradients(module, rows, label.reshape(-1), pos_weight, focal_gamma)
        gradients = found[: len(default) - position * BLOCK_ROWS]
        factors = torch.from_numpy(clip_factors((gradients**2).sum(dim=1).numpy(), clipping_norm)).unsqueeze(1)
        total += torch.where(factors > 0.0, gradients * factors, 0.0).sum(dim=0)
    return total.numpy()


def _gradients(
    module: GradSampleModule, rows: torch.Tensor, label: torch.Tensor, pos_weight: float, focal_gamma: float
) -> torch.Tensor:
    """Lay out the gradient of each loan's loss, ``[64, num_parameters]``, in flat order, as float64."""
    module.zero_grad()
    with torch.enable_grad():
        logits = module(rows.requires_grad_())
        losses = functional.binary_cross_entropy_with_logits(
            logits, label, pos_weight=torch.tensor(pos_weight), reduction="none"
        )
        if focal_gamma > 0.0:
            losses = losses * torch.exp(focal_gamma * functional.logsigmoid((1.0 - 2.0 * label) * logits))
        torch.autograd.backward(losses.sum())
    parts = [parameter.grad_sample.reshape(len(rows), -1) for parameter in module.parameters()]
    return torch.cat(parts, dim=1).to(torch.float64)

"""The loop that all trainers share; they differ only in how they compute the clipped gradient sum."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fedcredit.model.network import DefaultNetwork
from fedcredit.privacy.mechanism import noise
from fedcredit.privacy.sampling import poisson_indices
from fedcredit.training import optimiser
from fedcredit.training.contract import LocalOutcome, LocalSettings, RoundStreams, check_round


class ClippedGradientSum(Protocol):
    """The part of a trainer that is its own."""

    def __call__(
        self,
        network: DefaultNetwork,
        parameters: NDArray[np.float32],
        features: NDArray[np.float32],
        default: NDArray[np.float32],
        *,
        clipping_norm: float,
        pos_weight: float,
    ) -> NDArray[np.float64]:
        """Sum the clipped gradients of the loss over the loans of one batch.

        Args:
            network: the network's shape.
            parameters: flat parameters, ``[num_parameters]``.
            features: the batch's encoded loans, ``[batch, features]``; possibly none.
            default: the batch's labels 0 or 1, ``[batch]``.
            clipping_norm: bound on the norm of each loan's whole gradient; infinite for none.
            pos_weight: public weight of the loans that defaulted.

        Returns:
            The sum, ``[num_parameters]``, finite; a non-finite gradient counts as zero.
        """
        ...


def run_steps(
    clipped_gradient_sum: ClippedGradientSum,
    network: DefaultNetwork,
    parameters: NDArray[np.float32],
    features: NDArray[np.float32],
    default: NDArray[np.float32],
    *,
    settings: LocalSettings,
    streams: RoundStreams,
) -> LocalOutcome:
    """Take all local steps of one lender in one round.

    Each step samples, sums clipped gradients, adds noise, divides by the constant divisor, adds
    the proximal term ``proximal_weight * (parameters - incoming)`` (Li et al. 2020) and moves.

    Args:
        clipped_gradient_sum: the trainer's own part.
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
    check_round(network, parameters, features, default, settings)
    incoming = parameters.astype(np.float64)
    current = parameters.astype(np.float32)
    state = optimiser.start(network.num_parameters)
    num_noise_draws = 0
    for step in range(settings.num_steps):
        batch = poisson_indices(
            streams.sampling,
            num_loans=len(features),
            probability=settings.sampling_probability,
            server_round=streams.server_round,
            step=step,
        )
        total = clipped_gradient_sum(
            network,
            current,
            features[batch],
            default[batch],
            clipping_norm=settings.clipping_norm,
            pos_weight=settings.pos_weight,
        )
        if settings.noise_multiplier > 0.0:
            total = total + _noise_of_step(network, settings, streams, step)
            num_noise_draws += 1
        gradient = total / settings.divisor + settings.proximal_weight * (current - incoming)
        change, state = optimiser.advance(settings.optimiser, state, gradient)
        current = (current + change).astype(np.float32)
    return LocalOutcome(parameters=current, num_noise_draws=num_noise_draws)


def _noise_of_step(
    network: DefaultNetwork, settings: LocalSettings, streams: RoundStreams, step: int
) -> NDArray[np.float64]:
    return noise(
        streams.noise,
        num_parameters=network.num_parameters,
        noise_multiplier=settings.noise_multiplier,
        clipping_norm=settings.clipping_norm,
        server_round=streams.server_round,
        step=step,
    )

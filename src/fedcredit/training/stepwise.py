"""The loop that all trainers share; they differ only in how they compute the clipped gradient sum."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fedcredit.model.network import DefaultNetwork
from fedcredit.privacy.mechanism import noise
from fedcredit.privacy.sampling import loans_of, poisson_indices
from fedcredit.training import optimiser
from fedcredit.training.contract import LocalOutcome, LocalSettings, RoundStreams, check_round
from fedcredit.training.optimiser import Numbers


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
        focal_gamma: float = 0.0,
    ) -> NDArray[np.float64]:
        """Sum the clipped gradients of the loss over the loans of one batch.

        Args:
            network: the network's shape.
            parameters: flat parameters, ``[num_parameters]``.
            features: the batch's encoded loans, ``[batch, features]``; possibly none.
            default: the batch's labels 0 or 1, ``[batch]``.
            clipping_norm: bound on the norm of each loan's whole gradient; infinite for none.
            pos_weight: public weight of the loans that defaulted.
            focal_gamma: public focusing of the focal loss; 0 is the cross-entropy.

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
    check_round(network, parameters, features, default, settings, streams.borrower_starts)
    current: NDArray[Any] = parameters.astype(np.float32)

    def gradient_sum(now: NDArray[Any], batch: NDArray[Any]) -> NDArray[Any]:
        loss = {"focal_gamma": settings.focal_gamma, "pos_weight": settings.pos_weight}
        constants = {"clipping_norm": settings.clipping_norm, **loss}
        return clipped_gradient_sum(network, now, features[batch], default[batch], **constants)

    num_noise_draws = walk(
        gradient_sum,
        current,
        current.astype(np.float64),
        optimiser.start(network.num_parameters),
        settings=settings,
        batches=(_batch_of_step(features, settings, streams, step) for step in range(settings.num_steps)),
        noises=(_noise_of_step(network, settings, streams, step) for step in range(settings.num_steps)),
    )
    return LocalOutcome(parameters=current, num_noise_draws=num_noise_draws)


def walk(
    gradient_sum: Callable[[Numbers, Numbers], Numbers],
    current: Numbers,
    incoming: Numbers,
    state: optimiser.OptimiserState[Numbers],
    *,
    settings: LocalSettings,
    batches: Iterable[Numbers],
    noises: Iterator[Numbers],
) -> int:
    """Take the steps, each of them the same arithmetic in numpy as in torch.

    Args:
        gradient_sum: sums the clipped gradients of a batch at the current parameters, in float64.
        current: flat parameters, ``[num_parameters]``, float32; changed in place.
        incoming: the same before the round, float64.
        state: the optimiser's state before the round.
        settings: public constants.
        batches: the loans of each step.
        noises: the noise of each step, ``[num_parameters]``, float64, for this loop to keep and change; not asked
            for without noise.

    Returns:
        How often noise was drawn.
    """
    num_noise_draws, position = 0, 1.0 * incoming
    for batch in batches:
        total = gradient_sum(current, batch)
        if settings.noise_multiplier > 0.0:
            gradient = next(noises)
            num_noise_draws += 1
            gradient += total
            gradient /= settings.divisor
        else:
            gradient = total / settings.divisor
        if settings.proximal_weight != 0.0:
            gradient = gradient + settings.proximal_weight * (position - incoming)
        change, state = optimiser.advance(settings.optimiser, state, gradient)
        position += change
        current[...] = position
        position[...] = current
    return num_noise_draws


def _batch_of_step(
    features: NDArray[np.float32], settings: LocalSettings, streams: RoundStreams, step: int
) -> NDArray[np.int64]:
    starts = streams.borrower_starts
    sampled = poisson_indices(
        streams.sampling,
        num_loans=len(features) if starts is None else len(starts) - 1,
        probability=settings.sampling_probability,
        server_round=streams.server_round,
        step=step,
    )
    return sampled if starts is None else loans_of(sampled, starts)


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

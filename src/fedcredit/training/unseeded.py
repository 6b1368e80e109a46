"""The local round of mode deployed: the steps of every trainer, with sampling and noise that no seed names.

All trainers take it the same way, one step at a time on the CPU: the trainer's own clipped gradient sum, in
float64; a Poisson batch and normals from the release's key (`fedcredit.privacy.entropy`); sum and noise on the
public grid (`fedcredit.privacy.grid`). What follows, the divisor, the proximal term and the optimiser, is
arithmetic on what is already private.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fedcredit.errors import InputError
from fedcredit.model.network import DefaultNetwork
from fedcredit.privacy.entropy import ReleaseKey
from fedcredit.privacy.grid import grid_step, on_grid
from fedcredit.privacy.mechanism import noise_deviation
from fedcredit.privacy.sampling import indices_from
from fedcredit.training import optimiser
from fedcredit.training.contract import LocalOutcome, LocalSettings, check_round
from fedcredit.training.stepwise import ClippedGradientSum, walk
from fedcredit.training.trainers import Kind, why_not_compiled


class UnseededRound(Protocol):
    """All local steps of one lender in one round, with the key of that release."""

    def __call__(
        self,
        network: DefaultNetwork,
        parameters: NDArray[np.float32],
        features: NDArray[np.float32],
        default: NDArray[np.float32],
        *,
        settings: LocalSettings,
        key: ReleaseKey,
    ) -> LocalOutcome:
        """Run the round.

        Args:
            network: the shape of the network.
            parameters: incoming flat parameters, ``[num_parameters]``.
            features: encoded loans, ``[loans, features]``.
            default: labels 0 or 1, ``[loans]``.
            settings: public constants; with noise.
            key: the key of this release alone.

        Returns:
            The outcome.
        """
        ...


def unseeded_round(kind: Kind) -> UnseededRound:
    """Return the local round of mode deployed.

    Args:
        kind: whose clipped gradient sums are taken; those of ``vectorised`` where numba cannot compile.

    Returns:
        The round.
    """
    gradient_sum = _gradient_sum(kind)

    def local_round(
        network: DefaultNetwork,
        parameters: NDArray[np.float32],
        features: NDArray[np.float32],
        default: NDArray[np.float32],
        *,
        settings: LocalSettings,
        key: ReleaseKey,
    ) -> LocalOutcome:
        return run_unseeded(gradient_sum, network, parameters, features, default, settings=settings, key=key)

    return local_round


def run_unseeded(
    clipped_gradient_sum: ClippedGradientSum,
    network: DefaultNetwork,
    parameters: NDArray[np.float32],
    features: NDArray[np.float32],
    default: NDArray[np.float32],
    *,
    settings: LocalSettings,
    key: ReleaseKey,
) -> LocalOutcome:
    """Take all local steps of one lender in one round, as `UnseededRound` says.

    Args:
        clipped_gradient_sum: the trainer's own part.
        network: the shape of the network.
        parameters: incoming flat parameters, ``[num_parameters]``.
        features: encoded loans, ``[loans, features]``.
        default: labels 0 or 1, ``[loans]``.
        settings: public constants; with noise.
        key: the key of this release alone.

    Returns:
        The outcome.

    Raises:
        InputError: if shapes do not fit each other, or there is no noise to draw.
        KeyReusedError: if the key has served a release before.
    """
    check_round(network, parameters, features, default, settings)
    if not settings.noise_multiplier > 0.0:
        raise InputError("noise_multiplier is 0; mode deployed releases nothing without noise")
    current: NDArray[Any] = parameters.astype(np.float32)
    noise = {"noise_multiplier": settings.noise_multiplier, "clipping_norm": settings.clipping_norm}
    step_of_grid, deviation = grid_step(num_parameters=network.num_parameters, **noise), noise_deviation(**noise)

    def gradient_sum(now: NDArray[Any], batch: NDArray[Any]) -> NDArray[Any]:
        loss = {"focal_gamma": settings.focal_gamma, "pos_weight": settings.pos_weight}
        constants = {"clipping_norm": settings.clipping_norm, **loss}
        return on_grid(clipped_gradient_sum(network, now, features[batch], default[batch], **constants), step_of_grid)

    num_noise_draws = walk(
        gradient_sum,
        current,
        current.astype(np.float64),
        optimiser.start(network.num_parameters),
        settings=settings,
        batches=(_batch(key, step, len(features), settings) for step in range(settings.num_steps)),
        noises=(
            on_grid(deviation * key.normals(step=step, count=network.num_parameters), step_of_grid)
            for step in range(settings.num_steps)
        ),
    )
    return LocalOutcome(parameters=current, num_noise_draws=num_noise_draws)


def _batch(key: ReleaseKey, step: int, num_loans: int, settings: LocalSettings) -> NDArray[np.int64]:
    return indices_from(key.uniforms(step=step), num_loans=num_loans, probability=settings.sampling_probability)


def _gradient_sum(kind: Kind) -> ClippedGradientSum:
    if kind == "reference":
        from fedcredit.training import reference

        return reference.clipped_gradient_sum
    if kind == "compiled" and why_not_compiled() is None:
        from fedcredit.training import compiled

        return compiled.clipped_gradient_sum
    from fedcredit.training import vectorised

    return vectorised.clipped_gradient_sum

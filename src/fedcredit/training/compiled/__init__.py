"""The default trainer: a whole local round in one compiled call, for linear layers with ReLU, tanh or GELU.

Here are its door and its checks; the arithmetic is in ``kernel``. A network with LayerNorm is handed to
`fedcredit.training.vectorised`, with a line in the log.
"""

from __future__ import annotations

import functools
import logging

import numpy as np
from numpy.typing import NDArray

from fedcredit.experiment.spec import Adam, Sgd
from fedcredit.model.network import BLOCK_ROWS, DefaultNetwork, check_features, check_parameters
from fedcredit.privacy.mechanism import clip_factors
from fedcredit.seeds import Stream, public_stream
from fedcredit.training.compiled import activations, kernel
from fedcredit.training.compiled.layout import layout_of
from fedcredit.training.contract import LocalOutcome, LocalRound, LocalSettings, RoundStreams, check_round

LOGGER = logging.getLogger("fedcredit.trainer")
_ACTIVATIONS = {"relu": activations.RELU, "tanh": activations.TANH, "gelu": activations.GELU}


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
    if network.layer_norm:
        return vectorised_instead()(network, parameters, features, default, settings=settings, streams=streams)
    check_round(network, parameters, features, default, settings, streams.borrower_starts)
    layout, (kind, rule) = layout_of(network), _rule(settings.optimiser)
    has_noise = settings.noise_multiplier > 0.0
    moved, num_noise_draws = kernel.local_steps(
        layout.table,
        layout.sizes,
        _ACTIVATIONS[network.activation],
        _single(parameters),
        _single(features),
        _single(default),
        _whole(streams.borrower_starts),
        settings.num_steps,
        float(settings.sampling_probability),
        float(settings.clipping_norm),
        settings.noise_multiplier * settings.clipping_norm if has_noise else 0.0,
        float(settings.divisor),
        float(settings.proximal_weight),
        float(settings.pos_weight),
        float(settings.focal_gamma),
        kind,
        rule,
        _words(streams.sampling),
        _words(streams.noise),
        streams.server_round,
    )
    return LocalOutcome(parameters=moved, num_noise_draws=num_noise_draws)


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
    """Sum clipped gradients as `fedcredit.training.stepwise.ClippedGradientSum` says, by the stages of a step.

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
    if network.layer_norm:
        from fedcredit.training import vectorised

        return vectorised.clipped_gradient_sum(
            network, parameters, features, default, clipping_norm=clipping_norm, pos_weight=pos_weight,
            focal_gamma=focal_gamma,
        )  # fmt: skip
    layout = layout_of(network)
    sums, total = np.zeros(layout.sizes[1]), np.zeros(network.num_parameters)
    for first in range(0, len(default), BLOCK_ROWS):
        rows, labels = features[first : first + BLOCK_ROWS], default[first : first + BLOCK_ROWS]
        squared = np.empty(len(labels))
        space = kernel.gradient_block(
            layout.table, layout.sizes, _ACTIVATIONS[network.activation], _single(parameters), _single(rows),
            _single(labels), float(pos_weight), float(focal_gamma), squared,
        )  # fmt: skip
        kernel.add_block(layout.table, space, clip_factors(squared, clipping_norm), sums)
    kernel.unpadded(layout.table, sums, total)
    return total


def predict_logit(
    network: DefaultNetwork, parameters: NDArray[np.float32], features: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Predict log-odds of default; a loan's has the same bits in any company.

    Args:
        network: the network's shape.
        parameters: flat parameters, ``[num_parameters]``.
        features: encoded loans, ``[loans, features]``.

    Returns:
        Log-odds of default, ``[loans]``.

    Raises:
        InputError: if a shape does not fit the network.
    """
    if network.layer_norm:
        from fedcredit.model.torch_network import predict_logit as predict_by_torch

        return predict_by_torch(network, parameters, features)
    check_parameters(network, parameters)
    check_features(network, features)
    layout, logits = layout_of(network), np.empty(len(features), dtype=np.float32)
    kernel.predicted_logits(
        layout.table, layout.sizes, _ACTIVATIONS[network.activation], _single(parameters), _single(features), logits
    )
    return logits.astype(np.float64)


def warm_up() -> None:
    """Compile everything that a run calls, or load it from disk: seconds the first time, less than one later."""
    network = DefaultNetwork(num_features=1, hidden=(1,))
    settings = LocalSettings(
        num_steps=1, sampling_probability=0.5, divisor=1.0, clipping_norm=1.0, noise_multiplier=1.0, optimiser=Sgd()
    )
    stream = public_stream(seed=0, purpose="warm-up")
    parameters = np.zeros(network.num_parameters, dtype=np.float32)
    features, default = np.zeros((1, 1), dtype=np.float32), np.zeros(1, dtype=np.float32)
    streams = RoundStreams(sampling=stream, noise=stream, server_round=1)
    local_round(network, parameters, features, default, settings=settings, streams=streams)
    predict_logit(network, parameters, features)


@functools.cache
def vectorised_instead() -> LocalRound:
    """Return the trainer for networks with LayerNorm, and say so in the log, once."""
    LOGGER.warning("trainer compiled: a network with LayerNorm is not compiled; vectorised computes its rounds")
    from fedcredit.training import vectorised

    return vectorised.local_round


def _rule(optimiser: Sgd | Adam) -> tuple[int, NDArray[np.float64]]:
    if isinstance(optimiser, Sgd):
        kind = kernel.MOMENTUM if optimiser.momentum > 0.0 else kernel.SGD
        return kind, np.array([optimiser.learning_rate, optimiser.momentum, 0.0, 0.0])
    return kernel.ADAM, np.array([optimiser.learning_rate, optimiser.beta1, optimiser.beta2, optimiser.stabiliser])


def _words(stream: Stream) -> NDArray[np.uint64]:
    return np.array([stream.key0, stream.key1, stream.tag], dtype=np.uint64)


def _whole(starts: NDArray[np.int64] | None) -> NDArray[np.int64]:
    """View places as the one type that the kernel is compiled for; none of them for none."""
    view = np.ascontiguousarray(np.empty(0) if starts is None else starts, dtype=np.int64).view()
    view.flags.writeable = False
    return view


def _single(array: NDArray[np.float32]) -> NDArray[np.float32]:
    """View an array as the one type that the kernel is compiled for: contiguous, single precision, read-only."""
    view = np.ascontiguousarray(array, dtype=np.float32).view()
    view.flags.writeable = False
    return view

"""The log-odds of encoded loans and their gradients with respect to the features, in float64 and without torch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fedcredit.model.network import DefaultNetwork, Layer, check_parameters

_Vector = NDArray[np.float64]
_NORM_EPSILON = 1e-5
_Backward = Callable[[_Vector], _Vector]


def log_odds_and_gradients(
    network: DefaultNetwork, parameters: NDArray[np.float32], features: NDArray[np.floating]
) -> tuple[_Vector, _Vector]:
    """Evaluate the network and its gradient at each row by itself.

    Args:
        network: the network's shape.
        parameters: flat parameters, ``[num_parameters]``.
        features: encoded loans, ``[loans, features]``.

    Returns:
        Log-odds of default ``[loans]``, and gradients ``[loans, features]``; of ReLU at 0, the gradient is 0.

    Raises:
        InputError: if the parameters do not fit the network.
    """
    check_parameters(network, parameters)
    flat = parameters.astype(np.float64)
    values, backward = np.asarray(features, dtype=np.float64), list[_Backward]()
    for layer in network.layers:
        weight = flat[layer.weight].reshape(layer.num_outputs, layer.num_inputs)
        values = values @ weight.T + flat[layer.bias]
        backward.append(_times(weight))
        if layer.norm_weight is not None:
            values, back = _normalised(values, flat, layer)
            backward.append(back)
        if not layer.is_output:
            values, back = _activated(values, network.activation)
            backward.append(back)
    slope = np.ones_like(values)
    for back in reversed(backward):
        slope = back(slope)
    return values[:, 0], slope


def _times(weight: _Vector) -> _Backward:
    return lambda incoming: incoming @ weight


def _activated(values: _Vector, activation: str) -> tuple[_Vector, _Backward]:
    match activation:
        case "tanh":
            after = np.tanh(values)
            slope = 1.0 - after**2
        case "relu":
            after = np.maximum(values, 0.0)
            slope = (values > 0.0).astype(np.float64)
        case _:
            from scipy.special import ndtr

            below = ndtr(values)
            after = values * below
            slope = below + values * np.exp(-0.5 * values**2) / np.sqrt(2.0 * np.pi)
    return after, lambda incoming: incoming * slope


def _normalised(values: _Vector, flat: _Vector, layer: Layer) -> tuple[_Vector, _Backward]:
    """LayerNorm (Ba, Kiros and Hinton 2016) and its gradient."""
    assert layer.norm_weight is not None
    assert layer.norm_bias is not None
    gain = flat[layer.norm_weight]
    centred = values - values.mean(axis=1, keepdims=True)
    scale = np.sqrt((centred**2).mean(axis=1, keepdims=True) + _NORM_EPSILON)
    unit = centred / scale

    def back(incoming: _Vector) -> _Vector:
        inner = incoming * gain
        kept = inner - inner.mean(axis=1, keepdims=True) - unit * (inner * unit).mean(axis=1, keepdims=True)
        return np.asarray(kept / scale, dtype=np.float64)

    return unit * gain + flat[layer.norm_bias], back

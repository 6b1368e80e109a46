"""ReLU, tanh and GELU with their slopes, in single precision, written so that loops over them use vectors."""

from __future__ import annotations

import math

import numpy as np

from fedcredit.training.compiled.compilation import exact

RELU, TANH, GELU = 0, 1, 2
_F = np.float32
_ZERO, _HALF, _ONE, _TWO = _F(0.0), _F(0.5), _F(1.0), _F(2.0)
_LOG2_E, _LN2_HIGH, _LN2_LOW = _F(1.44269504), _F(0.693145751953125), _F(1.42860677e-6)
_LARGEST, _SMALLEST, _SQRT_HALF = _F(88.0), _F(-87.0), _F(math.sqrt(0.5))
_EXP = tuple(_F(1.0 / math.factorial(power)) for power in range(8))
_ERF = tuple(map(_F, (0.3275911, 0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)))
_NORMAL_DENSITY = _F(1.0 / math.sqrt(2.0 * math.pi))


@exact
def _exp(value):
    """Compute the exponential to 2e-7 of itself, by Taylor's series on half a factor of two."""
    bounded = _LARGEST if value > _LARGEST else value
    bounded = _SMALLEST if bounded < _SMALLEST else bounded
    power = np.floor(bounded * _LOG2_E + _HALF)
    rest = bounded - power * _LN2_HIGH - power * _LN2_LOW
    series = _EXP[7]
    for place in range(6, -1, -1):
        series = series * rest + _EXP[place]
    return series * np.int32((np.int32(power) + np.int32(127)) << np.int32(23)).view(np.float32)


@exact
def _tanh(value):
    size = -value if value < _ZERO else value
    result = _ONE - _TWO / (_exp(_TWO * size) + _ONE)
    return -result if value < _ZERO else result


@exact
def _normal_distribution(value, density):
    """Compute the normal distribution function to 1e-7 (Abramowitz and Stegun 1964, 7.1.26), given the density."""
    size = (-value if value < _ZERO else value) * _SQRT_HALF
    t = _ONE / (_ONE + _ERF[0] * size)
    series = ((((_ERF[5] * t + _ERF[4]) * t + _ERF[3]) * t + _ERF[2]) * t + _ERF[1]) * t
    tail = _HALF * series * density / _NORMAL_DENSITY
    return tail if value < _ZERO else _ONE - tail


@exact
def _relu_row(values, slopes):
    for i in range(len(values)):
        value = values[i]
        slopes[i] = _ZERO if value <= _ZERO else _ONE
        values[i] = _ZERO if value < _ZERO else value


@exact
def _tanh_row(values, slopes):
    for i in range(len(values)):
        value = _tanh(values[i])
        slopes[i] = _ONE - value * value
        values[i] = value


@exact
def _gelu_row(values, slopes):
    for i in range(len(values)):
        value = values[i]
        density = _NORMAL_DENSITY * _exp(-_HALF * value * value)
        share = _normal_distribution(value, density)
        slopes[i] = share + value * density
        values[i] = value * share


@exact
def activate(activation, space, at, slope, rows, width):
    """Replace pre-activations ``[rows, width]`` by activations, and keep the slopes beside them, row by row."""
    for row in range(rows):
        values = space[at + row * width : at + (row + 1) * width]
        slopes = space[slope + row * width : slope + (row + 1) * width]
        if activation == RELU:
            _relu_row(values, slopes)
        elif activation == TANH:
            _tanh_row(values, slopes)
        else:
            _gelu_row(values, slopes)

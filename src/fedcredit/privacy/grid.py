"""The public grid that a deployed lender's noisy sums lie on.

The step g of the grid is a power of two, at most 2**-12 C / sqrt(num_parameters) and at most 2**-10 of the
noise's standard deviation: public numbers alone. The clipped sum is rounded to the grid, the noise is rounded to
it, and whole numbers of steps are added, which float64 does exactly below 2**53 steps. So a released number is
a multiple of g whatever the loans are, and tells nothing by its last bits.

Rounding costs no privacy. For a multiple T of g, rounding T + z is T plus rounding z: what is released is the
Gaussian mechanism on T, rounded afterwards. And T moves by at most C when a loan is zeroed out: rounding moves a
coordinate by at most g / 2 on either side, so the rounded sum by at most g sqrt(num_parameters) <= 2**-12 C more
than the sum, which moves by at most C (1 - 2**-10) + 2**-11 C + (double-precision sums)
(`fedcredit.privacy.mechanism`). That module leaves 2**-11 C to sums of double precision in batches of up to a
million loans; these need less than 2**-17 C of it (15,625 blocks, each sum at most 2**20 C in magnitude, at
2**-53 each, twice), so 2**-12 C for the grid and 2**-12 C for them is enough.

What stays a mitigation and not a proof: the normals that are rounded are floats and not real numbers.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from fedcredit.privacy.mechanism import noise_deviation

_OF_CLIPPING = 2.0**-12
_OF_NOISE = 2.0**-10
_EXACT = 2.0**52


def grid_step(*, num_parameters: int, noise_multiplier: float, clipping_norm: float) -> float:
    """Return the step of the grid, from public numbers alone.

    Args:
        num_parameters: how many numbers the sum has, at least 1.
        noise_multiplier: the standard deviation in units of the clipping norm, above 0.
        clipping_norm: the norm C, finite and above 0.

    Returns:
        The largest power of two that is at most C 2**-12 / sqrt(num_parameters) and 2**-10 of the deviation.

    Raises:
        ValueError: if the standard deviation is not finite and above 0.
    """
    deviation = noise_deviation(noise_multiplier=noise_multiplier, clipping_norm=clipping_norm)
    largest = min(_OF_CLIPPING * clipping_norm / math.sqrt(num_parameters), _OF_NOISE * deviation)
    return math.ldexp(1.0, math.frexp(largest)[1] - 1)


def on_grid(values: NDArray[np.float64], step: float) -> NDArray[np.float64]:
    """Round numbers to the grid; two of the results add up without rounding.

    Args:
        values: a clipped sum, or its noise, ``[num_parameters]``, float64.
        step: from `grid_step`.

    Returns:
        Multiples of the step, ``[num_parameters]``.

    Raises:
        ValueError: if a number is too large for whole steps to be added exactly; no sum of up to a million clipped
            loans is.
    """
    steps = np.rint(values / step)
    if not bool(np.all(np.abs(steps) < _EXACT)):
        raise ValueError("a clipped sum is too large for the grid")
    rounded: NDArray[np.float64] = steps * step
    return rounded

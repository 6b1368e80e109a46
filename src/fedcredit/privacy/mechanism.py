"""The subsampled Gaussian mechanism's arithmetic: clip each loan's gradient, sum, add noise.

Clipping aims a little below the norm, at C (1 - 2**-10), to leave room for rounding (Casacuberta et al. 2022
show what happens without it). Gradients are added up in single precision within blocks of at most 64 loans
and in double precision between blocks. A single-precision sum of k products, in any order, errs by at
most k 2**-24 of the sum of their magnitudes (Higham 2002, section 3.1), so a block of 64 loans with gradients of
norm C errs by at most 64 * 64 * 2**-24 C = 2**-12 C in the Euclidean norm. Under the zero-out relation a
neighbour's loan keeps its place and adds nothing, so one block differs: the sum moves by at most
C (1 - 2**-10) + 2 * 2**-12 C, and the double-precision sums have the remaining 2**-11 C for themselves, in
batches of up to a million loans. None of this underflows: C is at least 1e-6 in an experiment, a gradient whose
norm is not below 2**100 counts as zero, and so does, in single precision, one with an input beyond 2**40.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from fedcredit.seeds import Stream, normals, normals_by_step

CLIP_MARGIN = 2.0**-10
LARGEST_NORM = 2.0**100


def clip_factors(squared_norms: NDArray[np.float64], clipping_norm: float) -> NDArray[np.float64]:
    """Return what each loan's gradient is multiplied with (Abadi et al. 2016, flat clipping).

    Args:
        squared_norms: squared Euclidean norm of each loan's whole gradient, ``[loans]``; may be
            infinite or not a number.
        clipping_norm: the norm C, above 0; infinite for no clipping.

    Returns:
        min(1, C (1 - 2**-10) / norm), ``[loans]``; 0 where the gradient counts as non-finite,
        which is a norm that is not below 2**100.

    Raises:
        ValueError: if the clipping norm is not above 0.
    """
    if not clipping_norm > 0.0:
        raise ValueError(f"clipping_norm is {clipping_norm}; allowed is above 0")
    usable = squared_norms < LARGEST_NORM**2
    target = clipping_norm * (1.0 - CLIP_MARGIN)
    if not math.isfinite(target):
        return usable.astype(np.float64)
    return np.where(usable, target / np.maximum(np.sqrt(squared_norms), target), 0.0)


def noise(
    stream: Stream,
    *,
    num_parameters: int,
    noise_multiplier: float,
    clipping_norm: float,
    server_round: int,
    step: int,
) -> NDArray[np.float64]:
    """Draw the Gaussian noise of one step, to be added to the clipped sum.

    Args:
        stream: the lender's stream for noise.
        num_parameters: how many numbers the sum has.
        noise_multiplier: the standard deviation in units of the clipping norm, above 0.
        clipping_norm: the norm C, finite and above 0.
        server_round: the round, from 1.
        step: the local step, from 0.

    Returns:
        Noise of standard deviation ``noise_multiplier * clipping_norm``, ``[num_parameters]``.

    Raises:
        ValueError: if the standard deviation is not finite and above 0.
    """
    deviation = noise_deviation(noise_multiplier=noise_multiplier, clipping_norm=clipping_norm)
    return deviation * normals(stream, count=num_parameters, server_round=server_round, step=step)


def noise_of_steps(
    stream: Stream,
    *,
    num_parameters: int,
    noise_multiplier: float,
    clipping_norm: float,
    server_round: int,
    num_steps: int,
) -> Iterator[NDArray[np.float64]]:
    """Draw what `noise` draws at steps 0, 1, ..., to 1e-14, several steps at once.

    Args:
        stream: the lender's stream for noise.
        num_parameters: how many numbers the sum has.
        noise_multiplier: the standard deviation in units of the clipping norm, above 0.
        clipping_norm: the norm C, finite and above 0.
        server_round: the round, from 1.
        num_steps: how many steps, at least 0.

    Yields:
        The noise of each step, ``[num_parameters]``, the caller's to keep and change.

    Raises:
        ValueError: if the standard deviation is not finite and above 0.
    """
    deviation = noise_deviation(noise_multiplier=noise_multiplier, clipping_norm=clipping_norm)
    draws = normals_by_step(stream, count=num_parameters, server_round=server_round, num_steps=num_steps)
    for draw in draws:
        draw *= deviation
        yield draw


def noise_deviation(*, noise_multiplier: float, clipping_norm: float) -> float:
    """Return the standard deviation of the noise on the clipped sum.

    Args:
        noise_multiplier: the standard deviation in units of the clipping norm, above 0.
        clipping_norm: the norm C, finite and above 0.

    Returns:
        Their product.

    Raises:
        ValueError: if it is not finite and above 0.
    """
    deviation = noise_multiplier * clipping_norm
    if not (math.isfinite(deviation) and deviation > 0.0):
        raise ValueError(
            f"noise_multiplier is {noise_multiplier} and clipping_norm is {clipping_norm}; "
            "their product must be finite and above 0"
        )
    return deviation

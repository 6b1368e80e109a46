"""Gradient canaries: rows whose clipped gradients are orthogonal, so that one run holds many experiments.

Canary i of m has one feature that is not zero, the i-th. In a logistic regression with all parameters zero
its gradient is (1/2 - label) times its row, and with the bias's share: a vector along coordinate i, far longer
than the clipping norm C, that clipping brings to C. A step then releases, in coordinate i, C times "canary i
was sampled", plus noise; no other canary touches it (Nasr et al. 2023, arXiv 2302.07956, call such gradients
Dirac canaries). The bias, which all share, gets 2**-12 of it and is not looked at.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcredit.privacy.accounting.events import MixtureGaussianSteps, simplest
from fedcredit.privacy.accounting.mixture import privacy_loss
from fedcredit.seeds import Stream, uniforms

_REACH = 4096.0


@dataclass(frozen=True, kw_only=True)
class Canaries:
    """The canaries of one run.

    Attributes:
        is_included: which of them the lender trains on, each by the toss of a fair coin, ``[canaries]``.
        features: rows of those, ``[included rows, canaries]``.
        default: their labels, all 0, ``[included rows]``.
    """

    is_included: NDArray[np.bool_]
    features: NDArray[np.float32]
    default: NDArray[np.float32]


def plant(*, num_canaries: int, clipping_norm: float, coins: Stream, num_rows: int = 1) -> Canaries:
    """Make canaries and toss a coin for each.

    Args:
        num_canaries: m, at least 2.
        num_rows: rows of each canary, side by side and all alike, at least 1: one loan, or a borrower's.
        clipping_norm: the norm C that their gradients must exceed, finite and above 0.
        coins: the stream of the coins.

    Returns:
        The canaries. One that is not included is not in the table: the zero-out relation's "nothing".
    """
    is_included = uniforms(coins, count=num_canaries) < 0.5
    places = np.flatnonzero(is_included)
    features = np.zeros((len(places), num_canaries), dtype=np.float32)
    features[np.arange(len(places)), places] = _REACH * clipping_norm
    features = np.repeat(features, num_rows, axis=0)
    return Canaries(is_included=is_included, features=features, default=np.zeros(len(features), dtype=np.float32))


def log_likelihood_ratios(
    released: NDArray[np.float64], *, sampling_probability: float, noise_multiplier: float, max_rows: int = 1
) -> NDArray[np.float64]:
    """Score canaries by one step: included against not, as claimed.

    log(1 - q + q exp((y - 1/2) / sigma^2)) for a coordinate y of the noised sum, in clipping norms. Scores of
    several steps add up to that of the most powerful test. Where a canary has rows that are sampled one by one, the
    ratio is that of the mixture over how many were.

    Args:
        released: the noised sum in each canary's coordinate over the clipping norm, ``[canaries]``.
        sampling_probability: q, above 0 and at most 1.
        noise_multiplier: sigma, above 0.
        max_rows: rows of a canary that are sampled one by one, at least 1.

    Returns:
        Scores, ``[canaries]``; higher says included.
    """
    step = simplest(
        MixtureGaussianSteps(
            sampling_probability=sampling_probability, noise_multiplier=noise_multiplier, num_steps=1, max_rows=max_rows
        )
    )
    if isinstance(step, MixtureGaussianSteps):
        return privacy_loss(released, step)
    released, noise_multiplier = released / max_rows, step.noise_multiplier
    shift = (released - 0.5) / noise_multiplier**2
    if sampling_probability == 1.0:
        return shift
    ratios: NDArray[np.float64] = np.logaddexp(np.log1p(-sampling_probability), np.log(sampling_probability) + shift)
    return ratios

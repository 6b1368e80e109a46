"""The macro factor: an ordinary cycle, and named shocks on top of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from fedcredit.data.market.settings import Floats, MarketSettings
from fedcredit.data.market.streams import generator

_PERSISTENCE = 0.9
# Lowest value of the factor, months at the bottom, months on the way back.
_SHAPES = {"none": (0.0, 0, 0), "mild": (-1.0, 3, 6), "pandemic": (-2.4, 3, 6)}


def macro_path(settings: MarketSettings) -> NDArray[np.float64]:
    """Return the macro factor of every month; 0 is ordinary, below 0 is bad.

    The cycle is ``z_t = .9 z_{t-1} + sqrt(1 - .81) e_t``, scaled to standard deviation ``cycle``. A shock is
    added to it: the bottom for some months, then a straight way back.

    Args:
        settings: the market's settings.

    Returns:
        The factor, ``[months]``.
    """
    noise = generator(seed=settings.seed, entity="macro").standard_normal(settings.num_months + 1)
    path = np.empty(settings.num_months)
    level = noise[0]
    for month in range(settings.num_months):
        level = _PERSISTENCE * level + np.sqrt(1.0 - _PERSISTENCE**2) * noise[month + 1]
        path[month] = level
    return settings.cycle * path + shock_path(settings)


def shock_path(settings: MarketSettings) -> NDArray[np.float64]:
    """Return what the named shock adds to the macro factor.

    Args:
        settings: the market's settings.

    Returns:
        The addition, 0 or below, ``[months]``.
    """
    bottom, at_bottom, way_back = _SHAPES[settings.shock]
    since = np.arange(settings.num_months) - settings.shock_month
    fading = 1.0 - (since - at_bottom + 1) / (way_back + 1) if way_back else np.zeros_like(since, dtype=np.float64)
    return np.where(since < 0, 0.0, bottom * np.clip(fading, 0.0, 1.0))


def stressed(probability: Floats, loading: Floats, factor: float) -> Floats:
    """Return probabilities under a macro factor: ``Phi((Phi^-1(p) - sqrt(rho) z) / sqrt(1 - rho))``.

    Vasicek (2002), the distribution of loan portfolio value. Averaged over a standard normal factor it
    is ``p`` again.

    Args:
        probability: unconditional probabilities, ``[accounts]``.
        loading: rho, ``[accounts]``.
        factor: z of the month.

    Returns:
        Conditional probabilities, ``[accounts]``.
    """
    inner = (ndtri(probability) - np.sqrt(loading) * np.float32(factor)) / np.sqrt(1.0 - loading)
    conditional: Floats = ndtr(inner).astype(np.float32)
    return conditional

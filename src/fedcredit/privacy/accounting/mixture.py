"""Privacy losses of Poisson-sampled Gaussian steps for a neighbour with several rows.

The neighbour's rows shift a step's sum by i clipping norms with the chance p_i of a Binomial(m, q). With
Q = N(0, sigma^2) and P = sum_i p_i N(i, sigma^2) the loss is

    L(x) = ln P(x) / Q(x) = ln sum_i p_i exp((i x - i^2 / 2) / sigma^2),

rising and convex, so each hockey-stick divergence has one threshold: Newton finds it from a table. Discretising
them is left to dp-accounting (connect-the-dots, Doroshenko et al. 2022); its own mixture inverts L by bisection,
which takes half a minute where this takes a fraction of a second, and is the oracle of the tests.

Shifts that are rarer than 1e-25 together are left out of P and their chance is given away as infinite loss: a
larger divergence in both directions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedcredit.privacy.accounting.events import MixtureGaussianSteps

Floats = NDArray[np.float64]
_RARE = 1e-25
_FAR = 10.2  # one side beyond this many standard deviations holds less than exp(-50) of a normal
_TABLE_POINTS = 2**14
_AT_ONCE = 2**18
_NEWTON_STEPS = 40
_MOST_RENYI_POINTS = 2**17
_RENYI_REACH = 40.0
_RENYI_SLACK = 1e-9
_LARGE_LOSS = 600.0  # above it exp(loss) and the tails it multiplies leave the range of float64


def shifts(event: MixtureGaussianSteps) -> tuple[Floats, float]:
    """Return the chances of the shifts that count.

    Args:
        event: the steps.

    Returns:
        Chances of 0, 1, ... rows in a step, ``[shifts]``, and the chance of more.
    """
    from scipy.special import bdtrc, gammaln

    rows, rate = event.max_rows, event.sampling_probability
    count = np.arange(rows + 1)
    beyond = bdtrc(count, rows, rate)
    last = int(np.argmax(beyond < _RARE))
    chosen = gammaln(rows + 1) - gammaln(count + 1) - gammaln(rows - count + 1)
    chances = np.exp(chosen + count * math.log(rate) + (rows - count) * math.log1p(-rate))
    return chances[: last + 1], float(beyond[last])


def losses(event: MixtureGaussianSteps, grid: float) -> Any:  # noqa: ANN401 (dp-accounting has no types)
    """Discretise the privacy losses of one step.

    Args:
        event: the steps; below 1 sampled, with noise.
        grid: spacing, above 0.

    Returns:
        A ``PrivacyLossDistribution``.
    """
    from dp_accounting.pld import pld_pmf, privacy_loss_distribution
    from scipy.special import log_ndtr, logsumexp, ndtr

    chances, beyond = shifts(event)
    sigma, places = event.noise_multiplier, np.arange(len(chances))
    reach = _FAR * sigma
    table = np.linspace(-reach, _upper_end(chances, sigma), _TABLE_POINTS)
    levels = _loss(table, chances, sigma)[0]
    floor = event.max_rows * math.log1p(-event.sampling_probability)

    def removed(epsilons: Floats) -> Floats:
        """P against Q."""
        place = _places(epsilons, table, levels, chances, sigma)
        above = ndtr((places[:, np.newaxis] - place) / sigma)
        found: Floats = chances @ above - np.exp(epsilons + log_ndtr(-place / sigma)) + beyond
        return np.where(epsilons <= floor, -np.expm1(np.minimum(epsilons, 0.0)), found)

    def added(epsilons: Floats) -> Floats:
        """Q against P."""
        place = _places(-epsilons, table, levels, chances, sigma)
        below = (place - places[:, np.newaxis]) / sigma
        if epsilons[-1] < _LARGE_LOSS:
            mixed = np.exp(epsilons) * (chances @ ndtr(below))
        else:
            mixed = np.exp(epsilons + logsumexp(log_ndtr(below), axis=0, b=chances[:, np.newaxis]))
        found: Floats = ndtr(below[0]) - mixed
        return np.where(-epsilons <= floor, 0.0, found)

    ends = levels[0], levels[-1]
    pmfs = []
    for divergence, (low, high) in (
        (removed, ends),
        (added, (-_loss(np.array([reach]), chances, sigma)[0][0], -ends[0])),
    ):
        first, last = math.floor(low / grid), math.ceil(high / grid)
        steps = np.arange(first, last + 1)
        pieces = np.array_split(steps * grid, max(1, -(-steps.size * len(chances) // _AT_ONCE)))
        deltas = np.clip(np.concatenate([divergence(piece) for piece in pieces]), 0.0, 1.0)
        falling = np.maximum.accumulate(deltas[::-1])[::-1]
        pmfs.append(pld_pmf.create_pmf_pessimistic_connect_dots_fixed_gap(grid, first, last, falling))
    return privacy_loss_distribution.PrivacyLossDistribution(*pmfs)


def renyi(event: MixtureGaussianSteps, orders: Sequence[float]) -> Floats:
    """Bound the Renyi divergences of one step, the larger direction at each order.

    The integrals of Q exp(alpha L) and of Q exp((1 - alpha) L) by the trapezoidal rule, which errs by less than
    1e-9 on integrands as smooth as these (Trefethen and Weideman 2014); that much is added.

    Args:
        event: the steps; below 1 sampled, with noise.
        orders: each above 1.

    Returns:
        Divergences, ``[orders]``; infinite at orders whose integral would need more than 2**17 points.
    """
    chances, beyond = shifts(event)
    if beyond > 0.0:
        chances = np.append(chances, beyond)
    shift = np.arange(len(chances), dtype=np.float64)
    shift[-1] = event.max_rows
    sigma = event.noise_multiplier
    spacing = min(sigma / 16.0, sigma**2 / (4.0 * event.max_rows))
    affordable = (_MOST_RENYI_POINTS * spacing / 2.0 - _RENYI_REACH * sigma) / event.max_rows
    known = [order for order in orders if order <= affordable]
    found = np.full(len(orders), np.inf)
    if not known:
        return found
    reach = max(known) * event.max_rows + _RENYI_REACH * sigma
    x: Floats = np.arange(-math.ceil(reach / spacing), math.ceil(reach / spacing) + 1, dtype=np.float64) * spacing
    level = _loss_of(x, chances, shift, sigma)
    weight = -0.5 * (x / sigma) ** 2 + math.log(spacing / sigma) - 0.5 * math.log(2.0 * math.pi)
    middle = len(x) // 2
    for place, order in enumerate(orders):
        if order <= affordable:
            half = math.ceil((order * event.max_rows + _RENYI_REACH * sigma) / spacing)
            near = slice(max(0, middle - half), middle + half + 1)
            both = [_log_sum(weight[near] + power * level[near]) for power in (order, 1.0 - order)]
            found[place] = max(0.0, max(both) / (order - 1.0)) + _RENYI_SLACK
    return found


def privacy_loss(x: Floats, event: MixtureGaussianSteps) -> Floats:
    """Return the privacy loss of what one step released.

    Args:
        x: the noised sum in the direction of the rows, in clipping norms of one row, ``[values]``.
        event: the steps; below 1 sampled, with noise.

    Returns:
        L(x), ``[values]``; higher says that the rows are there.
    """
    chances, _ = shifts(event)
    return _loss(x, chances, event.noise_multiplier)[0]


def log_second_moment(event: MixtureGaussianSteps) -> float:
    """Return the logarithm of the mean of exp(L) under P: the Renyi divergence of order 2, exactly.

    Args:
        event: the steps, with noise.

    Returns:
        ln of the mean of (1 - q + q exp(i / sigma^2))^m over i of a Binomial(m, q).
    """
    chances, _ = shifts(event)
    rate = event.sampling_probability
    inner = np.logaddexp(math.log1p(-rate), math.log(rate) + np.arange(len(chances)) / event.noise_multiplier**2)
    with np.errstate(divide="ignore"):
        return _log_sum(np.log(chances) + event.max_rows * inner)


def _upper_end(chances: Floats, sigma: float) -> float:
    """Return a place above which P has less than exp(-50)."""
    from scipy.special import ndtr

    places = np.arange(len(chances))
    low, high = 0.0, len(chances) - 1 + _FAR * sigma
    for _ in range(40):
        middle = 0.5 * (low + high)
        is_beyond = float(chances @ ndtr((places - middle) / sigma)) < math.exp(-50.0)
        low, high = (low, middle) if is_beyond else (middle, high)
    return high


def _loss(x: Floats, chances: Floats, sigma: float) -> tuple[Floats, Floats]:
    """Return L and its slope at each place."""
    shift = np.arange(len(chances))[:, np.newaxis]
    with np.errstate(divide="ignore"):
        terms = np.log(chances)[:, np.newaxis] + (shift * x - 0.5 * shift**2) / sigma**2
    top = terms.max(axis=0)
    weights = np.exp(terms - top)
    total = weights.sum(axis=0)
    return top + np.log(total), (shift * weights).sum(axis=0) / total / sigma**2


def _loss_of(x: Floats, chances: Floats, shift: Floats, sigma: float) -> Floats:
    level = np.full(x.shape, -np.inf)
    with np.errstate(divide="ignore"):
        logs = np.log(chances)
    for log_chance, place in zip(logs, shift, strict=True):
        level = np.logaddexp(level, log_chance + (place * x - 0.5 * place**2) / sigma**2)
    return level


def _places(wanted: Floats, table: Floats, levels: Floats, chances: Floats, sigma: float) -> Floats:
    """Invert L: Newton's method within the cell of the table that holds the place."""
    cell = np.clip(np.searchsorted(levels, wanted) - 1, 0, len(table) - 2)
    low, high = table[cell], table[cell + 1]
    place = np.clip(np.interp(wanted, levels, table), low, high)
    for _ in range(_NEWTON_STEPS):
        level, slope = _loss(place, chances, sigma)
        low, high = np.where(level < wanted, place, low), np.where(level > wanted, place, high)
        with np.errstate(divide="ignore", invalid="ignore"):
            moved = place - (level - wanted) / slope
        moved = np.where((moved >= low) & (moved <= high), moved, 0.5 * (low + high))
        is_still = bool(np.all(np.abs(moved - place) <= 1e-13 * sigma + 4e-16 * np.abs(place)))
        place = moved
        if is_still:
            break
    return place


def _log_sum(values: Floats) -> float:
    top = float(values.max())
    return top + math.log(float(np.exp(values - top).sum()))

"""What events cost: an upper bound on epsilon at a delta. The only caller of dp-accounting.

The neighbouring relation is zero-out (a loan is replaced by nothing, the number of loans is public);
for Poisson-sampled Gaussians its privacy losses are those of add-or-remove-one. Three accountants:

* ``pld``: the privacy-loss distribution on a grid, rounded upwards by connect-the-dots (Doroshenko
  et al. 2022, arXiv 2207.04380) and composed by powers of its Fourier transform. The grid is refined
  until epsilon changes by less than 0.5 %.
* ``rdp``: Renyi divergences of the sampled Gaussian (Mironov et al. 2019, arXiv 1908.10530), converted
  by Canonne et al. 2020 (arXiv 2004.00010, proposition 12).
* ``closed_form``: Gaussians without sampling (Balle and Wang 2018, arXiv 1805.06530, theorem 8), exact.

Steps that sample several rows of one neighbour are priced by the first two, as mixtures (`mixture`). All are upper
bounds, so the smallest counts. Central-limit (GDP) figures are too low and never used.

The library and the SciPy behind it take half a CPU-second to import, so that happens where a price is
not in the user's cache.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedcredit.privacy.accounting import cache, mixture
from fedcredit.privacy.accounting.events import (
    Event,
    Events,
    MixtureGaussianSteps,
    merge,
    one_step,
    rows_of,
    simplest,
)
from fedcredit.privacy.accounting.renyi import renyi_curve

FINEST_DEFAULT_GRID = 1e-4
_COARSENING = 10.0
_SETTLED = 0.005
_MAX_GRID_POINTS = 2**23
_MAX_STEP_POINTS = 2**21
_CHEAP_ROWS = 4  # a step of more rows costs as many times as long at each point, so it gets fewer
_MIN_PLD_DELTA = 1e-10
_CLOSED_FORM_TOLERANCE = 1e-12


@dataclass(frozen=True, kw_only=True)
class Epsilon:
    """An upper bound on epsilon, with what it needs to be read.

    Attributes:
        value: epsilon, from 0 to infinity.
        target_delta: the delta it holds at.
        accountant: ``"pld"``, ``"rdp"`` or ``"closed_form"``.
        grid: spacing of the privacy losses where the accountant is ``"pld"``, otherwise None.
    """

    value: float
    target_delta: float
    accountant: str
    grid: float | None = None


@dataclass(frozen=True, kw_only=True)
class PrivacyLosses:
    """A discrete pair of distributions that is at least as easy to tell apart as the truth.

    Attributes:
        losses: logarithms of the ratio of the first to the second, ``[points]``, rising.
        probabilities: of each loss under the first distribution, ``[points]``.
        infinite: the probability, under the first, of what never happens under the second.
    """

    losses: NDArray[np.float64]
    probabilities: NDArray[np.float64]
    infinite: float


def epsilon(events: Iterable[Event], *, delta: float, grid: float = FINEST_DEFAULT_GRID) -> Epsilon:
    """Price events: the smallest of the refined PLD bound and the Renyi bound, or the closed form.

    Results are kept in memory and in the user's cache. Where a grid of ``grid`` would need more
    points than `finest_grid` affords (epsilon in the hundreds and above) that one is used, and said;
    below a delta of 1e-10 rounding in the transform shows, so Renyi alone counts there.

    Args:
        events: what was done, in any order.
        delta: above 0 and below 1.
        grid: the coarsest spacing that may be reported, above 0.

    Returns:
        The bound: 0 without events, infinite if any step had no noise.

    Raises:
        ValueError: if ``delta`` or ``grid`` is outside its range.
    """
    check_delta(delta)
    if not 0.0 < grid < math.inf:
        raise ValueError(f"grid is {grid}; allowed is a finite number above 0")
    return _epsilon(_merged(events), float(delta), float(grid))


def quick_epsilon(events: Iterable[Event], *, delta: float) -> Epsilon:
    """Price events by the Renyi bound alone: microseconds once a (rate, noise) pair has been seen.

    Args:
        events: what was done, in any order.
        delta: above 0 and below 1.

    Returns:
        The bound, never below `epsilon`'s.

    Raises:
        ValueError: if ``delta`` is outside its range.
    """
    check_delta(delta)
    merged = _merged(events)
    return _trivial(merged, delta) or Epsilon(value=_renyi_epsilon(merged, delta), target_delta=delta, accountant="rdp")


def epsilon_curve(event_per_round: Event, rounds: Sequence[int], delta: float) -> list[Epsilon]:
    """Price a run after each of several numbers of rounds, by the Renyi bound: for progress and plots.

    Args:
        event_per_round: what one round does.
        rounds: numbers of rounds, each at least 0.
        delta: above 0 and below 1.

    Returns:
        One bound for each entry of ``rounds``.
    """
    return [quick_epsilon([event_per_round.times(count)] if count else [], delta=delta) for count in rounds]


def pld_epsilon(events: Iterable[Event], *, delta: float, grid: float) -> float:
    """Bound epsilon by the privacy-loss distribution on one grid, without refinement.

    Args:
        events: what was done, in any order, with noise in every step.
        delta: above 0 and below 1.
        grid: spacing of the privacy losses, above 0.

    Returns:
        The bound; 0 without events.
    """
    merged = _merged(events)
    return float(_composed(merged, grid).get_epsilon_for_delta(delta)) if merged else 0.0


def privacy_losses(events: Iterable[Event], *, grid: float) -> tuple[PrivacyLosses, PrivacyLosses]:
    """Give the privacy losses themselves, for what an epsilon at one delta does not say.

    Args:
        events: what was done, in any order, at least one, with noise in every step.
        grid: the finest spacing, above 0; `finest_grid` where that is coarser.

    Returns:
        With the loan against without it, and the other way round; both upper bounds as in `epsilon`.
    """
    merged = _merged(events)
    composed = _composed(merged, max(grid, finest_grid(merged)))
    return _as_losses(composed._pmf_remove), _as_losses(composed._pmf_add)


def unsampled_noise(target_epsilon: float, *, delta: float, num_steps: int) -> float:
    """Invert the closed form: the noise multiplier at which Gaussians without sampling cost a target.

    Args:
        target_epsilon: above 0, finite.
        delta: above 0 and below 1.
        num_steps: at least 1.

    Returns:
        The noise multiplier, to 1e-12; also an upper bound on the one that sampled steps need.
    """
    import dp_accounting

    with np.errstate(divide="ignore"):
        one_step = dp_accounting.get_sigma_gaussian(target_epsilon, delta, tol=_CLOSED_FORM_TOLERANCE)
    return float(one_step) * math.sqrt(num_steps)


def check_delta(delta: float) -> None:
    """Refuse a delta at which no epsilon exists.

    Args:
        delta: to be above 0 and below 1.

    Raises:
        ValueError: if it is not.
    """
    if not 0.0 < delta < 1.0:
        raise ValueError(f"delta is {delta}; allowed is above 0 and below 1")


def cache_key(events: Events) -> list[list[float]]:
    """Write events as what a result in the cache is kept under.

    Args:
        events: merged events.

    Returns:
        Rate, noise and steps of each; and rows, where they are several.
    """
    return [
        [event.sampling_probability, event.noise_multiplier, event.num_steps]
        + ([event.max_rows] if isinstance(event, MixtureGaussianSteps) else [])
        for event in events
    ]


def _merged(events: Iterable[Event]) -> Events:
    return merge(simplest(event) for event in events)


def _trivial(events: Events, delta: float) -> Epsilon | None:
    if not events:
        return Epsilon(value=0.0, target_delta=delta, accountant="closed_form")
    if any(event.noise_multiplier == 0.0 for event in events):
        return Epsilon(value=math.inf, target_delta=delta, accountant="closed_form")
    return None


@functools.lru_cache(maxsize=1024)
def _epsilon(events: Events, delta: float, grid: float) -> Epsilon:
    trivial = _trivial(events, delta)
    if trivial is not None:
        return trivial
    inputs = {
        "delta": delta,
        "grid": grid,
        "events": cache_key(events),
    }
    stored = cache.load("epsilon", inputs)
    if stored is not None:
        return Epsilon(value=stored["value"], target_delta=delta, accountant=stored["accountant"], grid=stored["grid"])
    price = _smallest_bound(events, delta, grid)
    cache.store("epsilon", inputs, {"value": price.value, "accountant": price.accountant, "grid": price.grid})
    return price


def _smallest_bound(events: Events, delta: float, grid: float) -> Epsilon:
    if all(event.sampling_probability == 1.0 for event in events):
        return Epsilon(value=_gaussian_epsilon(events, delta), target_delta=delta, accountant="closed_form")
    renyi = _renyi_epsilon(events, delta)
    if delta < _MIN_PLD_DELTA:
        return Epsilon(value=renyi, target_delta=delta, accountant="rdp")
    value, spacing = _refined_pld(events, delta, grid)
    if renyi < value:
        return Epsilon(value=renyi, target_delta=delta, accountant="rdp")
    return Epsilon(value=value, target_delta=delta, accountant="pld", grid=spacing)


def _refined_pld(events: Events, delta: float, grid: float) -> tuple[float, float]:
    finest = finest_grid(events)
    spacing = max(grid, finest)
    coarse = pld_epsilon(events, delta=delta, grid=_COARSENING * spacing)
    fine = pld_epsilon(events, delta=delta, grid=spacing)
    while abs(coarse - fine) > _SETTLED * fine and spacing / 2.0 >= finest:
        spacing /= 2.0
        coarse, fine = fine, pld_epsilon(events, delta=delta, grid=spacing)
    return fine, spacing


def finest_grid(events: Events) -> float:
    """Estimate the finest affordable grid: 2**23 points for the whole run, 2**21 for one step.

    The run's width is taken as 20 standard deviations, the variance of a step's loss as its Renyi
    divergence of order 2, ln(1 + q^2 (exp(1 / sigma^2) - 1)).

    Args:
        events: merged events with noise in every step, at least one.

    Returns:
        The spacing.
    """
    deviation = math.sqrt(sum(event.num_steps * _loss_variance(event) for event in events))
    noise = min(event.noise_multiplier / rows_of(event) for event in events)
    widest = 0.5 / noise**2 + 10.0 / noise
    most_rows = max(_CHEAP_ROWS, *(rows_of(event) for event in events))
    return max((20.0 * deviation + widest) / _MAX_GRID_POINTS, widest * most_rows / (_MAX_STEP_POINTS * _CHEAP_ROWS))


def _loss_variance(event: Event) -> float:
    if isinstance(event, MixtureGaussianSteps):
        return mixture.log_second_moment(event)
    inverse = 1.0 / event.noise_multiplier**2
    return math.log1p(event.sampling_probability**2 * math.expm1(inverse)) if inverse < 500.0 else inverse


def _losses(event: Event, grid: float) -> Any:  # noqa: ANN401 (dp-accounting has no types)
    if event.sampling_probability == 1.0:
        noise = event.noise_multiplier / math.sqrt(event.num_steps)
        return _losses_of_step(replace(one_step(event), noise_multiplier=noise), grid)
    return _losses_of_step(one_step(event), grid).self_compose(event.num_steps)


def _composed(events: Events, grid: float) -> Any:  # noqa: ANN401
    return functools.reduce(lambda left, right: left.compose(right), [_losses(event, grid) for event in events])


def _as_losses(pmf: Any) -> PrivacyLosses:  # noqa: ANN401
    dense = pmf.to_dense_pmf()
    return PrivacyLosses(
        losses=(dense._lower_loss + np.arange(dense.size)) * float(dense._discretization),
        probabilities=np.maximum(np.asarray(dense._probs, dtype=np.float64), 0.0),
        infinite=float(dense._infinity_mass),
    )


# Holds what two neighbouring prices of a statement share: the pooled and one-shot steps on each of their grids.
@functools.lru_cache(maxsize=12)
def _losses_of_step(event: Event, grid: float) -> Any:  # noqa: ANN401
    if isinstance(event, MixtureGaussianSteps):
        return mixture.losses(event, grid)
    from dp_accounting.pld import privacy_loss_distribution

    return privacy_loss_distribution.from_gaussian_mechanism(
        event.noise_multiplier, value_discretization_interval=grid, sampling_prob=event.sampling_probability
    )


def _gaussian_epsilon(events: Events, delta: float) -> float:
    import dp_accounting

    deviation = math.sqrt(sum(event.num_steps / event.noise_multiplier**2 for event in events))
    with np.errstate(divide="ignore"):
        root = dp_accounting.get_epsilon_gaussian(1.0 / deviation, delta, tol=_CLOSED_FORM_TOLERANCE)
    return float(root) + 2.0 * _CLOSED_FORM_TOLERANCE if root > 0.0 else 0.0


def _renyi_epsilon(events: Events, delta: float) -> float:
    curves = [renyi_curve(one_step(event)) for event in events]
    orders = curves[0].orders
    total = sum(event.num_steps * curve.divergences for event, curve in zip(events, curves, strict=True))
    total = np.where(total >= 0.0, total, np.inf)
    bounds = total + np.log1p(-1.0 / orders) - np.log(delta * orders) / (orders - 1.0)
    if bool(np.any(delta**2 + np.expm1(-total) > 0.0)):
        return 0.0
    return max(0.0, float(np.min(bounds)))

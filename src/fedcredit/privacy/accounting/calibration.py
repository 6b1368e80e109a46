"""How much noise a promise needs: the smallest noise multiplier whose price is within the target."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from fedcredit.privacy.accounting import cache
from fedcredit.privacy.accounting.accountants import (
    FINEST_DEFAULT_GRID,
    check_delta,
    epsilon,
    finest_grid,
    pld_epsilon,
    unsampled_noise,
)
from fedcredit.privacy.accounting.events import Event, Events, GaussianSteps, for_rows, merge, rows_of

Progress = Callable[[str, int, int], None]
_TOLERANCE = 1e-4
_ROUGH_TOLERANCE = 2e-5
_MAX_PRICES = 200


def calibrate(
    *,
    target_epsilon: float,
    delta: float,
    sampling_probability: float,
    num_steps: int,
    max_rows: int = 1,
    beside: Events = (),
    progress: Progress | None = None,
) -> float:
    """Find the smallest noise multiplier that keeps a target, from the safe side.

    Without sampling the answer is the closed form of Balle and Wang (2018). With sampling a secant
    search on a coarse grid finds the place and two or three prices on the refined grid settle it.
    The result is kept in the user's cache and priced again when it is read from there.

    Args:
        target_epsilon: above 0; infinity needs no noise.
        delta: above 0 and below 1.
        sampling_probability: above 0 and at most 1.
        num_steps: Poisson steps over the whole run, at least 1.
        max_rows: rows of one neighbour that a step may sample, each on its own; at least 1.
        beside: unsampled Gaussians on the same neighbour's rows, within the same target: their privacy losses are
            composed with those of the steps, epsilon is not split.
        progress: called with (what was priced, prices so far, 0 for an unknown total).

    Returns:
        A noise multiplier whose `epsilon` is at most ``target_epsilon``, and within 1e-4 (relative)
        of the smallest such number; 0 for an infinite target.

    Raises:
        ValueError: if an argument is outside its range, or what is beside leaves nothing of the target.
    """
    if not target_epsilon > 0.0:
        raise ValueError(f"target_epsilon is {target_epsilon}; allowed is above 0")
    check_delta(delta)
    if math.isinf(target_epsilon):
        return 0.0
    gaussian = GaussianSteps(sampling_probability=sampling_probability, noise_multiplier=1.0, num_steps=num_steps)
    event = for_rows(gaussian, max_rows)
    price = _counted(lambda noise: epsilon([_at(event, noise), *beside], delta=delta).value, progress)
    key: dict[str, object] = {
        "target_epsilon": target_epsilon, "delta": delta, "q": sampling_probability, "steps": num_steps,
    }  # fmt: skip
    key |= {"rows": max_rows} if max_rows > 1 else {}
    if beside:
        key["beside"] = [[e.sampling_probability, e.noise_multiplier, e.num_steps, rows_of(e)] for e in merge(beside)]
    stored = cache.load("noise", {**key, "tolerance": _TOLERANCE})
    if stored is not None and price(stored["noise_multiplier"]) <= target_epsilon:
        return float(stored["noise_multiplier"])
    unsampled = max_rows * unsampled_noise_beside(target_epsilon, delta=delta, num_steps=num_steps, beside=beside)
    if sampling_probability == 1.0:
        noise = _raised(price, target_epsilon, unsampled)
    else:
        rough, slope = _rough(event, target_epsilon, delta, unsampled, beside)
        noise, _ = _search(price, target_epsilon, start=rough, slope=slope, tolerance=_TOLERANCE)
    cache.store("noise", {**key, "tolerance": _TOLERANCE}, {"noise_multiplier": noise})
    return noise


def unsampled_noise_beside(target_epsilon: float, *, delta: float, num_steps: int, beside: Events) -> float:
    """Find the noise that unsampled Gaussians need when other ones are within the same target.

    The squared ratios of sensitivity to deviation of Gaussians add up, so what is left of them is shared.

    Args:
        target_epsilon: above 0, finite.
        delta: above 0 and below 1.
        num_steps: how many, at least 1.
        beside: unsampled Gaussians on the same loans.

    Returns:
        The noise multiplier, to 1e-12.

    Raises:
        ValueError: if what is beside leaves nothing of the target, or is sampled.
    """
    if any(event.sampling_probability != 1.0 for event in beside):
        raise ValueError("beside holds a sampled step; allowed are Gaussians that read every loan")
    whole = unsampled_noise(target_epsilon, delta=delta, num_steps=1) ** -2.0
    used = sum(
        event.num_steps * (rows_of(event) / event.noise_multiplier) ** 2 if event.noise_multiplier else math.inf
        for event in beside
    )
    if used >= whole * (1.0 - 1e-9):
        raise ValueError(
            f"the charged releases beside the training cost epsilon {target_epsilon:g} or more by themselves, so "
            "nothing is left for it; give them more noise or raise target_epsilon"
        )
    return math.sqrt(num_steps / (whole - used))


def _raised(price: Callable[[float], float], target: float, noise: float) -> float:
    """Correct the last digits of a closed form upwards, until its price is within the target."""
    step = 4e-12
    while price(noise) > target:
        noise, step = noise * (1.0 + step), 2.0 * step
    return noise


def _at(event: Event, noise_multiplier: float) -> Event:
    return replace(event, noise_multiplier=noise_multiplier)


def _counted(price: Callable[[float], float], progress: Progress | None) -> Callable[[float], float]:
    count = 0

    def priced(noise: float) -> float:
        nonlocal count
        value = price(noise)
        count += 1
        if progress is not None:
            progress(f"noise multiplier {noise:.4f} costs epsilon {value:.4f}", count, 0)
        return value

    return priced


def _rough(event: Event, target_epsilon: float, delta: float, unsampled: float, beside: Events) -> tuple[float, float]:
    """Solve on one coarse grid, from the central-limit place (which is never reported)."""
    ratio = rows_of(event) / (event.sampling_probability * unsampled)
    guess = min(unsampled, math.sqrt(rows_of(event) / math.log1p(ratio**2)))

    def price(noise: float) -> float:
        events = merge((_at(event, noise), *beside))
        return pld_epsilon(events, delta=delta, grid=10.0 * max(FINEST_DEFAULT_GRID, finest_grid(events)))

    return _search(price, target_epsilon, start=guess, slope=-1.2, tolerance=_ROUGH_TOLERANCE)


def _search(
    price: Callable[[float], float], target: float, *, start: float, slope: float, tolerance: float
) -> tuple[float, float]:
    """Smallest noise with a price in [(1 - tolerance) target, target], and the slope there.

    A bracketed secant in logarithms; epsilon falls at least as fast as 1 / noise, so the noise is
    within the tolerance too.
    """
    position = math.log(start)
    too_low, enough = -math.inf, math.inf
    previous: tuple[float, float] | None = None
    for _ in range(_MAX_PRICES):
        gap = _log_ratio(price(math.exp(position)), target)
        if previous is not None and previous[0] != position:
            slope = min(-0.5, (gap - previous[1]) / (position - previous[0]))
        if -tolerance <= gap <= 0.0:
            return math.exp(position), slope
        too_low, enough = (max(too_low, position), enough) if gap > 0.0 else (too_low, min(enough, position))
        if enough - too_low <= tolerance:
            return math.exp(enough), slope
        previous = (position, gap)
        position += (-0.4 * tolerance - gap) / slope
        if not too_low < position < enough:
            position = (too_low + enough) / 2.0
    raise ArithmeticError(f"no noise multiplier found for epsilon {target} after {_MAX_PRICES} prices")


def _log_ratio(value: float, target: float) -> float:
    return max(-3.0, min(3.0, math.log(value / target))) if value > 0.0 else -3.0

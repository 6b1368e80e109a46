"""Lower bounds on epsilon from guesses about canaries of one run.

* ``fdp_refuted``: the f-DP test of one run (Mahloujifar, Melis and Chaudhuri 2024, arXiv 2410.22235, the
  recursion with a capped number of guesses).
* ``one_run_epsilon``: Steinke, Nasr and Jagielski 2023, arXiv 2305.08846, theorem 5.2.
* ``rates_epsilon``: Clopper and Pearson 1934 intervals on one threshold's rates. On a single run they hold
  because canaries are orthogonal and their coins independent.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from fedcredit.privacy.auditing.tradeoff import ClaimFamily, TradeOff

_LARGEST_RUNG, _SMALLEST_RUNG = 256, -256
_LONGEST_STEP = 32
_HALVINGS = 40


@dataclass(frozen=True, kw_only=True)
class Interval:
    """Two ends, ``lower`` at most ``upper``."""

    lower: float
    upper: float


def fdp_refuted(
    curve: TradeOff,
    *,
    num_canaries: int,
    guesses: NDArray[np.int64],
    correct: NDArray[np.int64],
    significance: float,
) -> NDArray[np.bool_]:
    """Test a trade-off curve against so many correct guesses; for several counts at once.

    Args:
        curve: the claimed curve.
        num_canaries: canaries that guesses could be made on.
        guesses: how many were made, ``[counts]``, at most ``num_canaries``.
        correct: how many of those were right, ``[counts]``.
        significance: how often a true claim may be refuted, above 0 and below 1.

    Returns:
        Whether the curve is refuted, ``[counts]``.
    """
    right = significance * correct / num_canaries
    wrong = significance * (guesses - correct) / num_canaries
    for place in range(int(np.max(correct, initial=0)) - 1, -1, -1):
        is_on = place < correct
        higher = np.where(is_on, np.maximum(wrong, curve.smallest_false_positive_rate(right)), wrong)
        share = place / np.maximum(guesses - place, 1)
        right = np.where(is_on, np.minimum(right + share * (higher - wrong), 1.0), right)
        wrong = higher
    refuted: NDArray[np.bool_] = (right + wrong > guesses / num_canaries) & (guesses > 0)
    return refuted


def highest_refuted(
    family: ClaimFamily,
    *,
    num_canaries: int,
    guesses: NDArray[np.int64],
    correct: NDArray[np.int64],
    significance: float,
) -> tuple[int | None, int]:
    """Find the rung with least noise that is still refuted, by any of several counts.

    Args:
        family: the claims to refute.
        num_canaries: as in `fdp_refuted`.
        guesses: as in `fdp_refuted`.
        correct: as in `fdp_refuted`.
        significance: as in `fdp_refuted`.

    Returns:
        The rung, ``None`` if none is refuted; and the place of the count that refutes it, 0 if none does.
    """

    def refuting(rung: int) -> NDArray[np.int64]:
        refuted = fdp_refuted(
            family.curve(rung),
            num_canaries=num_canaries, guesses=guesses, correct=correct, significance=significance,
        )  # fmt: skip
        return np.flatnonzero(refuted)

    found = refuting(0)
    low, high, step = (0, 1, 1) if len(found) else (-1, 0, 1)
    while True:
        rung = high if len(found) else low
        if not _SMALLEST_RUNG <= rung <= _LARGEST_RUNG:
            return (low, int(found[0])) if len(found) else (None, 0)
        places = refuting(rung)
        if bool(len(places)) != bool(len(found)):
            found = places if len(places) else found
            break
        found, step = places, min(2 * step, _LONGEST_STEP)
        low, high = (high, high + step) if len(found) else (low - step, low)
    while high - low > 1:
        middle = (low + high) // 2
        places = refuting(middle)
        low, high, found = (middle, high, places) if len(places) else (low, middle, found)
    return low, int(found[0])


def one_run_epsilon(*, num_canaries: int, guesses: int, correct: int, delta: float, significance: float) -> float:
    """Bound epsilon by the one-run test of (epsilon, delta).

    Args:
        num_canaries: canaries that guesses could be made on.
        guesses: how many were made.
        correct: how many of those were right.
        delta: the claim's delta.
        significance: how often the bound may pass the truth.

    Returns:
        The largest epsilon that is refuted; 0 if none is.
    """

    def refuted(bound: float) -> bool:
        chance = float(special.expit(bound))
        tail = float(stats.binom.sf(correct - 1, guesses, chance))
        if tail > significance:
            return False
        steps = np.arange(1, correct + 1)
        gains = (stats.binom.sf(correct - steps - 1, guesses, chance) - tail) / steps
        return bool(tail + 2.0 * num_canaries * delta * np.max(gains, initial=0.0) <= significance)

    if guesses == 0 or not refuted(0.0):
        return 0.0
    low, high = 0.0, 1.0
    while refuted(high):
        low, high = high, 2.0 * high
    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        low, high = (middle, high) if refuted(middle) else (low, middle)
    return low


def rates_epsilon(*, hits: int, misses: int, alarms: int, passes: int, delta: float, significance: float) -> float:
    """Bound epsilon by one threshold's true- and false-positive rates: log((TPR - delta) / FPR).

    Args:
        hits: included canaries above the threshold.
        misses: included canaries below it.
        alarms: canaries above it that were not included.
        passes: canaries below it that were not included.
        delta: the claim's delta.
        significance: how often the bound may pass the truth, half of it for each rate.

    Returns:
        The bound, at least 0.
    """
    power = clopper_pearson(hits, hits + misses, significance=significance).lower
    price = clopper_pearson(alarms, alarms + passes, significance=significance).upper
    return max(0.0, math.log((power - delta) / price)) if power > delta else 0.0


def clopper_pearson(count: int, trials: int, *, significance: float) -> Interval:
    """Give the exact interval of a rate.

    Args:
        count: successes.
        trials: how many there were.
        significance: how often the interval may miss the rate, half of it on each side.

    Returns:
        The interval; from 0 to 1 without trials.
    """
    half = significance / 2.0
    lower = 0.0 if count == 0 else float(stats.beta.ppf(half, count, trials - count + 1))
    upper = 1.0 if count == trials else float(stats.beta.ppf(1.0 - half, count + 1, trials - count))
    return Interval(lower=lower, upper=upper)

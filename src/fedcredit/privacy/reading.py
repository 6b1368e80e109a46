"""What an epsilon means to somebody who looks for one loan in all that was released.

The attacker knows every other loan and sees everything, and decides whether one loan was used. Its best
true-positive rate at a false-positive rate is the trade-off curve (Dong et al. 2019, arXiv 1905.02383); it is
read off the composed privacy losses by the Neyman-Pearson lemma (Kulynych et al. 2024, arXiv 2407.02191,
algorithm 1), in both directions, of which the worse counts. That says far less than (epsilon, delta) alone
would allow: at epsilon 6.10 a hundredth of false alarms buys 13 % of the loans, not 99.8 %.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedcredit.privacy.accounting import cache
from fedcredit.privacy.accounting.accountants import PrivacyLosses, cache_key, privacy_losses
from fedcredit.privacy.accounting.events import Event, Events, merge, simplest

FALSE_POSITIVE_RATES = (0.001, 0.01, 0.05)
READING_GRID = 1e-3


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How well the best attacker can tell whether a loan was used: upper bounds.

    Attributes:
        advantage: the largest true-positive rate minus false-positive rate, from 0 to 1.
        true_positive_rates: share of used loans it finds, at each of ``false_positive_rates``.
        false_positive_rates: share of unused loans it wrongly suspects.
    """

    advantage: float
    true_positive_rates: tuple[float, ...]
    false_positive_rates: tuple[float, ...] = FALSE_POSITIVE_RATES

    def to_json(self) -> dict[str, Any]:
        """Return the reading as plain values."""
        return {
            "advantage": self.advantage,
            "true_positive_rates": list(self.true_positive_rates),
            "false_positive_rates": list(self.false_positive_rates),
        }

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Reading:
        """Read a reading back from plain values, lists instead of tuples."""
        return cls(
            advantage=content["advantage"],
            true_positive_rates=tuple(content["true_positive_rates"]),
            false_positive_rates=tuple(content["false_positive_rates"]),
        )

    def sentence(self, *, unit: str) -> str:
        """Say it to somebody who has never heard of epsilon.

        Args:
            unit: the privacy unit, ``"loan"``.

        Returns:
            Two plain sentences, figures rounded up.
        """
        place = self.false_positive_rates.index(0.01)
        return (
            f"In plain words: somebody who sees all that was released, knows every other {unit}, and may wrongly "
            f"suspect 1 in 100 {unit}s that were not used, recognises at most "
            f"{percent(self.true_positive_rates[place])} in 100 that were. Asked whether {a(unit)} was used, at even "
            f"odds, the best guess is right at most {percent((1.0 + self.advantage) / 2.0)} % of the time; a coin is "
            "right 50 %."
        )


def a(unit: str) -> str:
    """Put the indefinite article before a noun.

    Args:
        unit: a privacy unit.

    Returns:
        For example ``"an institution"``.
    """
    return f"{'an' if unit[0] in 'aeiou' else 'a'} {unit}"


def read(events: Iterable[Event]) -> Reading:
    """Read events: what the best attacker makes of them.

    Gaussians without sampling have a closed form; otherwise the losses on a grid of 1e-3, rounded to the
    safe side. Results are kept in memory and in the user's cache.

    Args:
        events: what was done, in any order.

    Returns:
        The reading: nothing to be learnt without events, everything where a step had no noise.
    """
    return _read(merge(simplest(event) for event in events))


def worst_reading(readings: Iterable[Reading]) -> Reading:
    """Take the worst of several readings, figure by figure.

    Args:
        readings: at least one.

    Returns:
        An upper bound on each of them.
    """
    found = list(readings)
    return Reading(
        advantage=max(reading.advantage for reading in found),
        true_positive_rates=tuple(max(rates) for rates in zip(*(r.true_positive_rates for r in found), strict=True)),
    )


def true_positive_rates(losses: PrivacyLosses, false_positive_rates: Sequence[float]) -> NDArray[np.float64]:
    """Bound the power of the most powerful test by the Neyman-Pearson lemma.

    Args:
        losses: the first distribution (to be recognised) against the second.
        false_positive_rates: from 0 to 1.

    Returns:
        True-positive rates, ``[rates]``.
    """
    falling = losses.losses[::-1]
    found = losses.probabilities[::-1]
    with np.errstate(over="ignore"):
        suspected = np.where(found > 0.0, found * np.exp(-falling), 0.0)
    hits = losses.infinite + np.concatenate([[0.0], np.cumsum(found)])
    alarms = np.concatenate([[0.0], np.cumsum(suspected)])
    return np.minimum(np.interp(np.asarray(false_positive_rates, dtype=np.float64), alarms, hits, right=1.0), 1.0)


def percent(share: float) -> str:
    """Write a share in per cent with one decimal, rounded up because it is an upper bound.

    Args:
        share: from 0 to 1.

    Returns:
        The figure without its sign.
    """
    return f"{min(100.0, math.ceil(round(share * 1000.0, 9)) / 10.0):.1f}"


@functools.lru_cache(maxsize=1024)
def _read(events: Events) -> Reading:
    if not events:
        return Reading(advantage=0.0, true_positive_rates=FALSE_POSITIVE_RATES)
    if any(event.noise_multiplier == 0.0 for event in events):
        return Reading(advantage=1.0, true_positive_rates=(1.0,) * len(FALSE_POSITIVE_RATES))
    if all(event.sampling_probability == 1.0 for event in events):
        return _gaussian(math.sqrt(sum(event.num_steps / event.noise_multiplier**2 for event in events)))
    inputs = {
        "grid": READING_GRID,
        "rates": list(FALSE_POSITIVE_RATES),
        "events": cache_key(events),
    }
    stored = cache.load("reading", inputs)
    if stored is None:
        found = _from_losses(privacy_losses(events, grid=READING_GRID))
        stored = {"advantage": found.advantage, "true_positive_rates": list(found.true_positive_rates)}
        cache.store("reading", inputs, stored)
    return Reading(advantage=stored["advantage"], true_positive_rates=tuple(stored["true_positive_rates"]))


def _gaussian(separation: float) -> Reading:
    """Read unit Gaussians ``separation`` apart (Dong et al. 2019, equation 6)."""
    normal = NormalDist()
    return Reading(
        advantage=2.0 * normal.cdf(separation / 2.0) - 1.0,
        true_positive_rates=tuple(normal.cdf(normal.inv_cdf(rate) + separation) for rate in FALSE_POSITIVE_RATES),
    )


def _from_losses(directions: tuple[PrivacyLosses, PrivacyLosses]) -> Reading:
    rates = np.max([true_positive_rates(losses, FALSE_POSITIVE_RATES) for losses in directions], axis=0)
    return Reading(
        advantage=max(_advantage(losses) for losses in directions),
        true_positive_rates=tuple(float(rate) for rate in rates),
    )


def _advantage(losses: PrivacyLosses) -> float:
    """Total variation distance: what the first distribution has more of than the second."""
    above = losses.losses > 0.0
    more = losses.probabilities[above] * -np.expm1(-losses.losses[above])
    return min(1.0, losses.infinite + float(np.sum(more)))

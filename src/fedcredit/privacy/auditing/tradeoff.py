"""The trade-off curves of a claim, and of the same steps with more or less noise.

A lower bound on epsilon needs a family of claims to refute one after the other. Ours is the claimed steps with
the noise multiplier scaled, so the claim itself is a member, and its curve is that of the composed privacy
losses and not a Gaussian's.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from fedcredit.privacy.accounting.accountants import (
    PrivacyLosses,
    epsilon,
    finest_grid,
    pld_epsilon,
    privacy_losses,
)
from fedcredit.privacy.accounting.events import Events
from fedcredit.privacy.reading import READING_GRID

_SCALES_PER_OCTAVE = 32
_COARSER = 64.0


@dataclass(frozen=True, kw_only=True)
class TradeOff:
    """The boundary of what tests can reach, convex: both ``[points]``, rising.

    Attributes:
        false_positive_rates: the smallest at which a test reaches the true-positive rate beside it.
        true_positive_rates: from 0 to 1.
    """

    false_positive_rates: NDArray[np.float64]
    true_positive_rates: NDArray[np.float64]

    def smallest_false_positive_rate(self, true_positive_rate: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the price of a power.

        Args:
            true_positive_rate: from 0 to 1, any shape.

        Returns:
            The least false-positive rate of a test with it, same shape.
        """
        return np.interp(true_positive_rate, self.true_positive_rates, self.false_positive_rates)


@dataclass(frozen=True, kw_only=True)
class ClaimFamily:
    """A claim, and its neighbours on a ladder of noise: rung 0 is the claim, higher rungs have less noise.

    Attributes:
        events: the claimed steps, each with noise, at least one.
        delta: the claim's delta.
    """

    events: Events
    delta: float
    _curves: dict[int, TradeOff] = field(default_factory=dict, compare=False, repr=False)

    def curve(self, rung: int) -> TradeOff:
        """Return the trade-off curve of a rung, kept in memory.

        Args:
            rung: any whole number; 32 of them halve the noise.

        Returns:
            The curve.
        """
        if rung not in self._curves:
            self._curves[rung] = trade_off(self._scaled(rung))
        return self._curves[rung]

    def epsilon(self, rung: int) -> float:
        """Price a rung.

        Args:
            rung: any whole number.

        Returns:
            Its epsilon at the claim's delta; that of the claim itself as it is stated, of others on the grid of
            the curves.
        """
        events = self._scaled(rung)
        if rung == 0:
            return epsilon(events, delta=self.delta).value
        return pld_epsilon(events, delta=self.delta, grid=_grid(events))

    def _scaled(self, rung: int) -> Events:
        factor = 2.0 ** (-rung / _SCALES_PER_OCTAVE)
        return tuple(replace(event, noise_multiplier=event.noise_multiplier * factor) for event in self.events)


def trade_off(events: Events) -> TradeOff:
    """Read the trade-off curve off the composed privacy losses, the worse direction at each point.

    Args:
        events: steps with noise, at least one.

    Returns:
        The curve: the convex hull over both directions, so that it is symmetric and an upper bound on any test.
    """
    boundaries = [_boundary(losses) for losses in privacy_losses(events, grid=_grid(events))]
    powers = np.unique(np.concatenate([power for _, power in boundaries]))
    alarms = np.min([np.interp(powers, power, alarm) for alarm, power in boundaries], axis=0)
    kept = _lower_hull(powers, alarms)
    return TradeOff(false_positive_rates=alarms[kept], true_positive_rates=powers[kept])


def _grid(events: Events) -> float:
    """Choose a spacing at which a curve has at most about 2**17 points; a coarser one errs on the safe side."""
    return max(READING_GRID, _COARSER * finest_grid(events))


def _boundary(losses: PrivacyLosses) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give false- and true-positive rates of likelihood-ratio tests (Neyman and Pearson), both rising to 1."""
    falling, found = losses.losses[::-1], losses.probabilities[::-1]
    with np.errstate(over="ignore"):
        suspected = np.where(found > 0.0, found * np.exp(-falling), 0.0)
    power = losses.infinite + np.concatenate([[0.0], np.cumsum(found)])
    alarm = np.concatenate([[0.0], np.cumsum(suspected)])
    power, alarm = np.minimum(power, 1.0), np.minimum(alarm, 1.0)
    last = np.concatenate([np.diff(power) > 0.0, [True]])
    return np.append(alarm[last], 1.0), np.append(power[last], 1.0 + 1e-15)


def _lower_hull(across: NDArray[np.float64], up: NDArray[np.float64]) -> list[int]:
    """Choose the points of the greatest convex function below a curve (Andrew 1979's monotone chain)."""
    xs, ys = across.tolist(), up.tolist()
    kept: list[int] = []
    for place in range(len(xs)):
        while len(kept) >= 2:
            first, middle = kept[-2], kept[-1]
            turn = (xs[middle] - xs[first]) * (ys[place] - ys[first])
            if turn > (ys[middle] - ys[first]) * (xs[place] - xs[first]):
                break
            kept.pop()
        kept.append(place)
    return kept

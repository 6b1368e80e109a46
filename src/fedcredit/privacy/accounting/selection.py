"""The price of the best of a random number of runs (Papernot and Steinke 2022, arXiv 2110.03620).

If the number of runs is drawn from a truncated negative binomial (theorem 2) or a Poisson law (theorem 6), if each run
draws its setting at random, and if only the best run is shown, with the metric it was chosen by among what the run
itself releases, then the best costs a few runs, however many there were. With a fixed number, all add up.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from fedcredit.errors import InputError
from fedcredit.privacy.accounting.accountants import check_delta
from fedcredit.privacy.accounting.events import Event, Events, one_step
from fedcredit.privacy.accounting.renyi import renyi_curve

Law = Literal["logarithmic", "geometric", "poisson"]
_SHAPES: Mapping[str, float] = {"logarithmic": 0.0, "geometric": 1.0, "poisson": math.inf}


@dataclass(frozen=True, kw_only=True)
class Repetitions:
    """The law of the number of runs.

    Attributes:
        law: ``"logarithmic"`` and ``"geometric"`` are truncated negative binomials of shape 0 and 1; ``"poisson"``
            may draw no run at all.
        mean: mean number of runs, above 1.
    """

    law: Law
    mean: float

    def __post_init__(self) -> None:
        """Refuse what has no price."""
        if self.law not in get_args(Law):
            raise InputError(f"law is {self.law!r}; allowed: {', '.join(get_args(Law))}")
        if not 1.0 < self.mean <= 10_000.0:
            raise InputError(f"mean-runs is {self.mean:g}; allowed is above 1 and at most 10000")

    def draw(self, uniform: float) -> int:
        """Return a number of runs by inverting the law.

        Args:
            uniform: a uniform in [0, 1).

        Returns:
            The number; 0 is possible for ``"poisson"`` alone.
        """
        probability = math.exp(-self.mean) if self.law == "poisson" else 0.0
        count, total, ratio = 0, probability, 1.0 - self._gamma()
        while uniform >= total and count < 100_000_000:
            count += 1
            if self.law == "poisson":
                probability *= self.mean / count
            elif self.law == "geometric":
                probability = (1.0 - ratio) * ratio ** (count - 1)
            else:
                probability = -(ratio**count) / (count * math.log1p(-ratio))
            total += probability
            if probability < 1e-18 and count > self.mean:
                break
        return count

    def _gamma(self) -> float:
        """Solve for gamma: the mean is 1 / gamma (geometric), or (1 / gamma - 1) / ln(1 / gamma) (logarithmic)."""
        if self.law != "logarithmic":
            return 1.0 / self.mean
        low, high = 1e-12, 1.0 - 1e-12
        for _ in range(200):
            middle = math.sqrt(low * high)
            is_larger = (1.0 / middle - 1.0) / -math.log(middle) > self.mean
            low, high = (middle, high) if is_larger else (low, middle)
        return high


@dataclass(frozen=True, kw_only=True, eq=False)
class RenyiCurve:
    """Renyi divergences of a run at rising orders above 1, both ``[orders]``."""

    orders: NDArray[np.float64]
    divergences: NDArray[np.float64]

    def epsilon(self, delta: float) -> float:
        """Return the bound at a delta (Canonne et al. 2020)."""
        import dp_accounting

        check_delta(delta)
        return float(dp_accounting.rdp.compute_epsilon(self.orders, self.divergences, delta)[0])


def curve_of(events: Iterable[Event]) -> RenyiCurve:
    """Return the curve of composed events.

    Args:
        events: what one run does to a loan.

    Returns:
        Its divergences, infinite where a step has no noise.
    """
    import dp_accounting

    orders = np.array(dp_accounting.rdp.RdpAccountant().orders, dtype=np.float64)
    total = np.zeros(len(orders))
    for event in events:
        if event.noise_multiplier > 0.0:
            total = total + event.num_steps * renyi_curve(one_step(event)).divergences
        else:
            total = np.full(len(orders), math.inf)
    return RenyiCurve(orders=orders, divergences=total)


def worst_run(settings: Sequence[Sequence[Events]], *, num_lenders: int) -> RenyiCurve:
    """Bound one run of a setting drawn at random, for a borrower at several lenders.

    At every order the divergences of the costliest so many lenders add up, and the costliest setting counts: a
    random choice among mechanisms is at most as bad as the worst of them.

    Args:
        settings: for each setting (and part of the loans), what a run does at each lender.
        num_lenders: at how many lenders the borrower has a loan.

    Returns:
        The curve.
    """
    priced: dict[Events, RenyiCurve] = {}
    for events in {events for lenders in settings for events in lenders}:
        priced[events] = curve_of(events)
    totals = [
        np.sort(np.stack([priced[events].divergences for events in lenders]), axis=0)[-num_lenders:].sum(axis=0)
        for lenders in settings
    ]
    return RenyiCurve(orders=next(iter(priced.values())).orders, divergences=np.max(totals, axis=0))


def of_the_best(run: RenyiCurve, repetitions: Repetitions) -> RenyiCurve:
    """Bound the release of the best of a random number of runs, and of nothing else.

    Args:
        run: the curve of one run, whose release includes the metric that the best is chosen by.
        repetitions: the law of their number, which stays secret.

    Returns:
        The curve of the choice.
    """
    from dp_accounting.rdp import rdp_privacy_accountant

    chosen = rdp_privacy_accountant._compute_rdp_repeat_and_select(
        run.orders, run.divergences, repetitions.mean, _SHAPES[repetitions.law]
    )
    return RenyiCurve(orders=run.orders, divergences=np.asarray(chosen, dtype=np.float64))


def of_all(run: RenyiCurve, num_runs: int) -> RenyiCurve:
    """Bound the release of every run.

    Args:
        run: the curve of one run.
        num_runs: how many there are.

    Returns:
        The curve of all of them.
    """
    return RenyiCurve(orders=run.orders, divergences=num_runs * run.divergences)

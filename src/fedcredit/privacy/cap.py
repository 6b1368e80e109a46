"""A cap on what a run may spend: which release still fits, and how many of a kind do.

A release is priced by the quick bound first, which is never below the truth, and by the bound that is reported only
where the quick one is not enough.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace

from fedcredit.privacy.accounting import cache
from fedcredit.privacy.accounting.accountants import epsilon, quick_epsilon
from fedcredit.privacy.accounting.events import Event, Events, merge

_MOST_STEPS = 2**31


@dataclass(frozen=True, kw_only=True)
class SpendingCap:
    """The epsilon that a lender's training may not pass, at a delta.

    ``beside`` are other releases of the same loans: room is kept for them from the first round on.
    """

    epsilon: float
    delta: float
    beside: Events = ()

    def permits(self, events: Iterable[Event]) -> bool:
        """Say whether events together stay within the cap.

        Args:
            events: everything spent so far but what is beside, and what is asked for.

        Returns:
            Whether they do.
        """
        merged = merge(events)
        whole = merge([*merged, *self.beside])
        if quick_epsilon(whole, delta=self.delta).value <= self.epsilon:
            return True
        if len(merged) == 1:
            return merged[0].num_steps <= self.most_steps(merged[0])
        return epsilon(whole, delta=self.delta).value <= self.epsilon

    def most_steps(self, event: Event) -> int:
        """Count the steps that fit: one more would pass the cap.

        Args:
            event: steps of one kind; how many there are in it does not matter.

        Returns:
            The largest number of such steps whose bound is at most the cap; 0 if not even one fits.
        """
        return _most_steps(self.epsilon, self.delta, replace(event, num_steps=1), merge(self.beside))


@functools.lru_cache(maxsize=1024)
def _most_steps(cap: float, delta: float, step: Event, beside: Events) -> int:
    inputs = {"cap": cap, "delta": delta, "kind": type(step).__name__, **asdict(step)}
    if beside:
        inputs["beside"] = [{"kind": type(event).__name__, **asdict(event)} for event in beside]
    stored = cache.load("steps", inputs)
    if stored is not None:
        return int(stored["num_steps"])
    quick = _largest(lambda count: quick_epsilon([step.times(count), *beside], delta=delta).value <= cap, at_least=0)
    most = _largest(lambda count: epsilon([step.times(count), *beside], delta=delta).value <= cap, at_least=quick)
    cache.store("steps", inputs, {"num_steps": most})
    return most


def _largest(fits: Callable[[int], bool], *, at_least: int) -> int:
    """Find the largest count that fits, where every smaller one does: stride out, then halve."""
    low, stride = at_least, max(1, at_least // 16)
    while low < _MOST_STEPS and fits(min(low + stride, _MOST_STEPS)):
        low, stride = min(low + stride, _MOST_STEPS), 2 * stride
    high = min(low + stride, _MOST_STEPS)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low

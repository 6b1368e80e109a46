"""What was done to private loans, as numbers: Poisson-sampled Gaussian steps.

Law of this module: an event's meaning never changes and no event is ever removed, because ledgers
on disk are read back as events. Something new becomes a new event.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TypeAlias, final


@final
@dataclass(frozen=True, kw_only=True, order=True)
class GaussianSteps:
    """Releases of a clipped gradient sum of a Poisson sample, each with fresh Gaussian noise.

    Attributes:
        sampling_probability: q in (0, 1], the chance of each loan to be in a step; 1 is no amplification.
        noise_multiplier: sigma, the noise's standard deviation over the clipping norm; 0 is no noise.
        num_steps: T, how many such releases, at least 1.
    """

    sampling_probability: float
    noise_multiplier: float
    num_steps: int

    def __post_init__(self) -> None:
        """Refuse numbers outside their range."""
        _check(self)

    def times(self, count: int) -> GaussianSteps:
        """Return the event of doing this ``count`` times.

        Args:
            count: at least 1.

        Returns:
            The same steps, ``count`` times as many.
        """
        return replace(self, num_steps=self.num_steps * count)


@final
@dataclass(frozen=True, kw_only=True, order=True)
class MixtureGaussianSteps:
    """The same releases, as they tell on somebody who has several rows in the table, each sampled on its own.

    Taking all rows of such a neighbour out moves the sum by at most as many clipping norms as rows were sampled,
    Binomial(max_rows, q) of them. The privacy loss is that of a Gaussian against its mixture over those shifts
    (Choquette-Choo et al. 2023, arXiv 2310.15526, corollary 4.7: aligned gradients are the worst).

    Attributes:
        sampling_probability: q in (0, 1], the chance of each row to be in a step, independently.
        noise_multiplier: sigma, the noise's standard deviation over the clipping norm of one row; 0 is no noise.
        num_steps: T, how many such releases, at least 1.
        max_rows: m, at least 1: how many rows a neighbour has at most.
    """

    sampling_probability: float
    noise_multiplier: float
    num_steps: int
    max_rows: int

    def __post_init__(self) -> None:
        """Refuse numbers outside their range."""
        _check(self)
        if type(self.max_rows) is not int or self.max_rows < 1:
            raise ValueError(f"max_rows is {self.max_rows!r}; allowed is a whole number from 1")

    def times(self, count: int) -> MixtureGaussianSteps:
        """Return the event of doing this ``count`` times.

        Args:
            count: at least 1.

        Returns:
            The same steps, ``count`` times as many.
        """
        return replace(self, num_steps=self.num_steps * count)


Event: TypeAlias = GaussianSteps | MixtureGaussianSteps
Events: TypeAlias = tuple[Event, ...]


def rows_of(event: Event) -> int:
    """Return how many rows of a table an event is about: those of one neighbour, at most.

    Args:
        event: any event.

    Returns:
        At least 1.
    """
    return event.max_rows if isinstance(event, MixtureGaussianSteps) else 1


def for_rows(event: Event, max_rows: int) -> Event:
    """Return what steps that sample each row on its own mean to somebody with so many rows.

    Args:
        event: what they mean to one row.
        max_rows: at least 1.

    Returns:
        The event itself for one row.

    Raises:
        ValueError: if the event is about several rows already.
    """
    if max_rows == 1:
        return event
    if not isinstance(event, GaussianSteps):
        raise ValueError(f"max_rows is {max_rows} of an event that is about {rows_of(event)} rows already")
    return MixtureGaussianSteps(
        sampling_probability=event.sampling_probability,
        noise_multiplier=event.noise_multiplier,
        num_steps=event.num_steps,
        max_rows=max_rows,
    )


def simplest(event: Event) -> Event:
    """Return an event of the same privacy losses without a mixture, where there is one.

    Args:
        event: any event.

    Returns:
        One row is no mixture; and without sampling all rows shift the sum together.
    """
    if isinstance(event, GaussianSteps) or (event.max_rows > 1 and event.sampling_probability < 1.0):
        return event
    return GaussianSteps(
        sampling_probability=event.sampling_probability,
        noise_multiplier=event.noise_multiplier / event.max_rows,
        num_steps=event.num_steps,
    )


def several_rows(event: Event, num_rows: int) -> GaussianSteps:
    """Bound what steps cost somebody who has several rows in the same table, each sampled on its own.

    Noise of deviation sigma is the sum of k independent noises of deviation sigma / sqrt(k), one for each row. Whoever
    saw each row's own noised share could add them up, so the sum costs at most the k shares together. Without sampling
    this is exact.

    Args:
        event: what the steps are.
        num_rows: k, at least 1.

    Returns:
        k times as many steps at noise multiplier sigma / sqrt(k).

    Raises:
        ValueError: if the event is about several rows already.
    """
    if not isinstance(event, GaussianSteps):
        raise ValueError(f"num_rows is {num_rows} of an event that is about {rows_of(event)} rows already")
    return GaussianSteps(
        sampling_probability=event.sampling_probability,
        noise_multiplier=event.noise_multiplier / math.sqrt(num_rows),
        num_steps=event.num_steps * num_rows,
    )


def merge(events: Iterable[Event]) -> Events:
    """Add up steps of equal rate, noise and rows, and sort: the same for any order of the events.

    Args:
        events: any number of events.

    Returns:
        One event for each (sampling probability, noise multiplier, rows), sorted; those of one row come first.
    """
    steps: Counter[Event] = Counter()
    for event in events:
        steps[one_step(event)] += event.num_steps
    return tuple(sorted((step.times(count) for step, count in steps.items()), key=order))


def one_step(event: Event) -> Event:
    """Return an event of a single step.

    Args:
        event: any event.

    Returns:
        The same with ``num_steps=1``.
    """
    return event if event.num_steps == 1 else replace(event, num_steps=1)


def order(event: Event) -> tuple[bool, int, float, float, int]:
    """Return what events are sorted by.

    Args:
        event: any event.

    Returns:
        Kind, rows, rate, noise and steps.
    """
    is_mixture = isinstance(event, MixtureGaussianSteps)
    return is_mixture, rows_of(event), event.sampling_probability, event.noise_multiplier, event.num_steps


def _check(event: Event) -> None:
    if not 0.0 < event.sampling_probability <= 1.0:
        raise ValueError(f"sampling_probability is {event.sampling_probability}; allowed is above 0 and at most 1")
    if not 0.0 <= event.noise_multiplier < math.inf:
        raise ValueError(f"noise_multiplier is {event.noise_multiplier}; allowed is a finite number from 0")
    if type(event.num_steps) is not int or event.num_steps < 1:
        raise ValueError(f"num_steps is {event.num_steps!r}; allowed is a whole number from 1")

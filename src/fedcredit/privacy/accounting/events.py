"""What was done to private loans, as numbers: Poisson-sampled Gaussian steps.

Law of this module: an event's meaning never changes and no event is ever removed, because ledgers
on disk are read back as events. Something new becomes a new event.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

Events = tuple["GaussianSteps", ...]


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
        if not 0.0 < self.sampling_probability <= 1.0:
            raise ValueError(f"sampling_probability is {self.sampling_probability}; allowed is above 0 and at most 1")
        if not 0.0 <= self.noise_multiplier < math.inf:
            raise ValueError(f"noise_multiplier is {self.noise_multiplier}; allowed is a finite number from 0")
        if type(self.num_steps) is not int or self.num_steps < 1:
            raise ValueError(f"num_steps is {self.num_steps!r}; allowed is a whole number from 1")

    def times(self, count: int) -> GaussianSteps:
        """Return the event of doing this ``count`` times.

        Args:
            count: at least 1.

        Returns:
            The same steps, ``count`` times as many.
        """
        return GaussianSteps(
            sampling_probability=self.sampling_probability,
            noise_multiplier=self.noise_multiplier,
            num_steps=self.num_steps * count,
        )


def several_rows(event: GaussianSteps, num_rows: int) -> GaussianSteps:
    """Bound what steps cost somebody who has several rows in the same table, each sampled on its own.

    Noise of deviation sigma is the sum of k independent noises of deviation sigma / sqrt(k), one for each row. Whoever
    saw each row's own noised share could add them up, so the sum costs at most the k shares together. Without sampling
    this is exact.

    Args:
        event: what the steps are.
        num_rows: k, at least 1.

    Returns:
        k times as many steps at noise multiplier sigma / sqrt(k).
    """
    return GaussianSteps(
        sampling_probability=event.sampling_probability,
        noise_multiplier=event.noise_multiplier / math.sqrt(num_rows),
        num_steps=event.num_steps * num_rows,
    )


def merge(events: Iterable[GaussianSteps]) -> Events:
    """Add up steps of equal rate and noise, and sort: the same for any order of the events.

    Args:
        events: any number of events.

    Returns:
        One event for each (sampling probability, noise multiplier), sorted.
    """
    steps: Counter[tuple[float, float]] = Counter()
    for event in events:
        steps[event.sampling_probability, event.noise_multiplier] += event.num_steps
    return tuple(
        GaussianSteps(sampling_probability=rate, noise_multiplier=noise, num_steps=count)
        for (rate, noise), count in sorted(steps.items())
    )

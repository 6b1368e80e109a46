from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedcredit.privacy.accounting.events import GaussianSteps, merge


def steps(rate: float, noise: float, count: int) -> GaussianSteps:
    return GaussianSteps(sampling_probability=rate, noise_multiplier=noise, num_steps=count)


some_events = st.lists(
    st.builds(steps, st.sampled_from([0.1, 0.25, 1.0]), st.sampled_from([0.0, 1.0, 2.0]), st.integers(1, 1000))
)


@given(some_events, st.randoms(use_true_random=False))
def test_merging_does_not_depend_on_order(events: list[GaussianSteps], random: object) -> None:
    shuffled = list(events)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert merge(shuffled) == merge(events)


@given(some_events, some_events)
def test_merging_in_parts_is_merging_at_once(first: list[GaussianSteps], second: list[GaussianSteps]) -> None:
    assert merge([*merge(first), *merge(second)]) == merge([*first, *second])


@given(some_events)
def test_merging_keeps_every_step_and_leaves_one_event_per_rate_and_noise(events: list[GaussianSteps]) -> None:
    merged = merge(events)
    assert sum(event.num_steps for event in merged) == sum(event.num_steps for event in events)
    assert len({(event.sampling_probability, event.noise_multiplier) for event in merged}) == len(merged)


def test_times_multiplies_the_steps_alone() -> None:
    assert steps(0.1, 2.0, 3).times(5) == steps(0.1, 2.0, 15)


@pytest.mark.parametrize(
    ("rate", "noise", "count"),
    [
        (0.0, 1.0, 1), (-0.1, 1.0, 1), (1.1, 1.0, 1), (math.nan, 1.0, 1),
        (0.1, -1.0, 1), (0.1, math.inf, 1), (0.1, math.nan, 1),
        (0.1, 1.0, 0), (0.1, 1.0, -3), (0.1, 1.0, 2.5), (0.1, 1.0, True),
    ],
)  # fmt: skip
def test_numbers_outside_their_range_are_refused(rate: float, noise: float, count: int) -> None:
    with pytest.raises(ValueError, match="allowed is"):
        steps(rate, noise, count)

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedcredit.privacy.mechanism import CLIP_MARGIN, LARGEST_NORM, clip_factors, noise, noise_of_steps
from fedcredit.seeds import normals, public_stream

STREAM = public_stream(seed=1, purpose="noise")


@given(norm=st.floats(0.0, 1e29), clipping_norm=st.floats(1e-6, 1e6))
def test_a_clipped_norm_is_below_the_clipping_norm(norm: float, clipping_norm: float) -> None:
    factor = clip_factors(np.array([norm**2]), clipping_norm)[0]
    assert 0.0 < factor <= 1.0
    assert math.sqrt(norm**2) * factor <= clipping_norm * (1.0 - CLIP_MARGIN / 2.0)


def test_a_short_gradient_is_left_alone_and_a_long_one_lands_on_the_target() -> None:
    factors = clip_factors(np.array([0.0, 1e-300, 0.25, 4.0, 1e20]), 1.0)
    assert factors[:3].tolist() == [1.0, 1.0, 1.0]
    assert factors[3:] * [2.0, 1e10] == pytest.approx(1.0 - CLIP_MARGIN, rel=1e-15)


def test_a_norm_that_is_no_number_or_beyond_the_largest_counts_as_zero() -> None:
    squared = np.array([np.nan, np.inf, LARGEST_NORM**2, np.nextafter(LARGEST_NORM**2, 0.0)])
    for clipping_norm in (1.0, math.inf):
        assert (clip_factors(squared, clipping_norm) > 0.0).tolist() == [False, False, False, True]


def test_an_infinite_clipping_norm_clips_nothing() -> None:
    assert clip_factors(np.array([0.0, 1.0, 1e40]), math.inf).tolist() == [1.0, 1.0, 1.0]


def test_no_loans_have_no_factors() -> None:
    assert clip_factors(np.empty(0), 1.0).shape == (0,)


@pytest.mark.parametrize("clipping_norm", [0.0, -1.0, math.nan])
def test_a_clipping_norm_that_is_not_positive_is_refused(clipping_norm: float) -> None:
    with pytest.raises(ValueError, match="clipping_norm is"):
        clip_factors(np.ones(1), clipping_norm)


def test_noise_is_the_streams_normals_times_multiplier_and_clipping_norm() -> None:
    got = noise(STREAM, num_parameters=7, noise_multiplier=3.0, clipping_norm=2.5, server_round=4, step=5)
    assert np.array_equal(got, 7.5 * normals(STREAM, count=7, server_round=4, step=5))


def test_noise_of_many_steps_is_that_of_each_step_and_the_callers_to_keep() -> None:
    scale = {"num_parameters": 700, "noise_multiplier": 3.0, "clipping_norm": 2.5, "server_round": 4}
    found = list(noise_of_steps(STREAM, **scale, num_steps=120))
    assert len(found) == 120
    for step, draw in enumerate(found):
        assert draw == pytest.approx(noise(STREAM, **scale, step=step), rel=0, abs=1e-13)
    assert not any(np.shares_memory(first, second) for first, second in pairwise(found))


@pytest.mark.parametrize(("multiplier", "norm"), [(0.0, 1.0), (1.0, math.inf), (-1.0, 1.0), (math.nan, 1.0)])
def test_noise_without_a_finite_positive_scale_is_refused(multiplier: float, norm: float) -> None:
    with pytest.raises(ValueError, match="must be finite and above 0"):
        noise(STREAM, num_parameters=3, noise_multiplier=multiplier, clipping_norm=norm, server_round=1, step=0)
    many = noise_of_steps(
        STREAM, num_parameters=3, noise_multiplier=multiplier, clipping_norm=norm, server_round=1, num_steps=2
    )
    with pytest.raises(ValueError, match="must be finite and above 0"):
        next(many)


def test_the_margin_and_the_largest_norm_are_what_every_fingerprint_was_made_with() -> None:
    assert (CLIP_MARGIN, LARGEST_NORM) == (1.0 / 1024.0, 2.0**100)

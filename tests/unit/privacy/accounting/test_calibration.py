from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedcredit.privacy.accounting.accountants import epsilon
from fedcredit.privacy.accounting.calibration import _search, calibrate
from fedcredit.privacy.accounting.events import GaussianSteps


def price(rate: float, noise: float, count: int, delta: float) -> float:
    event = GaussianSteps(sampling_probability=rate, noise_multiplier=noise, num_steps=count)
    return epsilon([event], delta=delta).value


def check_smallest(noise: float, *, target: float, delta: float, rate: float, count: int) -> None:
    assert price(rate, noise, count, delta) <= target
    assert price(rate, noise * 0.995, count, delta) > target
    assert price(rate, noise, count, delta) >= target * (1.0 - 2e-4)


@pytest.mark.parametrize(
    ("target", "published"), [(8.0, 1.713), (4.0, 2.892), (2.0, 5.157), (1.0, 9.481), (0.5, 17.724)]
)
def test_noise_of_the_default_recipe(target: float, published: float) -> None:
    # Published with the default recipe (rate .25, 100 steps, delta 1e-5, PLD on a grid of 1e-4). They keep their
    # targets with up to .15 % more noise than is needed: 5.157 costs 1.9964.
    noise = calibrate(target_epsilon=target, delta=1e-5, sampling_probability=0.25, num_steps=100)
    assert published * (1.0 - 2e-3) <= noise <= published
    assert price(0.25, published, 100, 1e-5) <= target
    check_smallest(noise, target=target, delta=1e-5, rate=0.25, count=100)


@pytest.mark.parametrize(("target", "published"), [(1.0, 3.587), (2.0, 2.036), (3.0, 1.519)])
def test_noise_of_the_running_example(target: float, published: float) -> None:
    # Rate .043, 460 steps, delta 1e-5: dp-accounting, bisected, safe side.
    noise = calibrate(target_epsilon=target, delta=1e-5, sampling_probability=0.043, num_steps=460)
    assert noise == pytest.approx(published, rel=1.5e-3)
    check_smallest(noise, target=target, delta=1e-5, rate=0.043, count=460)


@pytest.mark.parametrize(
    ("target", "rate", "count"),
    [(0.01, 0.01, 1000), (0.21, 0.001, 20_000), (1.0, 0.999, 100), (1.0, 0.05, 3), (6.0, 0.5, 20)],
)
def test_corners_are_smallest_from_the_safe_side(target: float, rate: float, count: int) -> None:
    noise = calibrate(target_epsilon=target, delta=1e-6, sampling_probability=rate, num_steps=count)
    check_smallest(noise, target=target, delta=1e-6, rate=rate, count=count)


@pytest.mark.parametrize("target", [0.05, 0.5, 1.0, 8.0, 100.0])
@pytest.mark.parametrize("count", [1, 100])
def test_unsampled_noise_is_exact(target: float, count: int) -> None:
    noise = calibrate(target_epsilon=target, delta=1e-6, sampling_probability=1.0, num_steps=count)
    assert price(1.0, noise, count, 1e-6) <= target
    assert price(1.0, noise * (1.0 - 1e-9), count, 1e-6) > target
    one = calibrate(target_epsilon=target, delta=1e-6, sampling_probability=1.0, num_steps=1)
    assert noise == pytest.approx(one * math.sqrt(count), rel=1e-9)


def test_infinite_target_needs_no_noise() -> None:
    assert calibrate(target_epsilon=math.inf, delta=1e-6, sampling_probability=0.25, num_steps=100) == 0.0


def test_few_prices_on_the_fine_grid_are_asked_for() -> None:
    told: list[tuple[str, int, int]] = []
    calibrate(
        target_epsilon=5.5,
        delta=1e-5,
        sampling_probability=0.25,
        num_steps=100,
        progress=lambda *step: told.append(step),
    )
    assert 1 <= len(told) <= 3
    assert [done for _, done, _ in told] == list(range(1, len(told) + 1))
    assert "noise multiplier" in told[0][0]


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("target_epsilon", 0.0), ("target_epsilon", -1.0), ("target_epsilon", math.nan),
        ("delta", 0.0), ("delta", 1.0), ("sampling_probability", 0.0), ("sampling_probability", 1.5), ("num_steps", 0),
    ],
)  # fmt: skip
def test_arguments_outside_their_range_are_refused(argument: str, value: float) -> None:
    arguments: dict[str, object] = {
        "target_epsilon": 1.0, "delta": 1e-5, "sampling_probability": 0.25, "num_steps": 100,
    }  # fmt: skip
    with pytest.raises(ValueError, match=argument):
        calibrate(**{**arguments, argument: value})  # type: ignore[arg-type]


@given(st.floats(-2.0, 2.0), st.floats(1.0, 3.0), st.floats(0.01, 100.0))
def test_search_never_gives_too_little_noise(offset: float, power: float, target: float) -> None:
    smallest = target ** (-1.0 / power)
    for start in (smallest * math.exp(offset), smallest * (1.0 - 1e-5 * abs(offset))):
        noise, slope = _search(lambda noise: noise**-power, target, start=start, slope=-1.2, tolerance=1e-4)
        assert noise**-power <= target
        assert noise <= smallest * (1.0 + 1.01e-4)
        assert -4.0 < slope < 0.0

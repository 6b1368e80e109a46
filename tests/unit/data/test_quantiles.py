from __future__ import annotations

import numpy as np
import pytest

from fedcredit.data.features import ScaledNumber
from fedcredit.data.quantiles import RangedFeature, found_ranges, sensitivity


def _feature(kind: str, low: float, high: float) -> RangedFeature:
    return RangedFeature(place=0, feature=ScaledNumber(kind=kind, of="amount"), lowest=low, highest=high)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["linear", "log1p"])
@pytest.mark.parametrize("deviation", [0.0, 20.0])
def test_a_range_holds_the_quantiles_to_a_bin(kind: str, deviation: float) -> None:
    item = _feature(kind, 0.0, 1_000_000.0)
    rng = np.random.default_rng(2)
    values = rng.lognormal(10.0, 1.0, size=20_000) if kind == "log1p" else rng.normal(5e5, 8e4, size=20_000)
    counts = np.histogram(item.on_scale(np.clip(values, 0.0, 1e6)), bins=item.edges(64))[0].astype(float)
    noisy = counts + deviation * rng.normal(size=64)
    low, high = found_ranges(noisy[None], [item], quantiles=(0.02, 0.98), deviation=deviation)["amount"]
    width = float(item.edges(64)[1] - item.edges(64)[0])
    found = item.on_scale(np.array([low, high]))
    assert found == pytest.approx(item.on_scale(np.quantile(values, [0.02, 0.98])), abs=2.0 * width)


def test_where_noise_hides_everything_the_outer_bounds_stay() -> None:
    item = _feature("linear", -3.0, 8.0)
    noisy = np.random.default_rng(0).normal(size=(1, 32)).clip(-1.9, 1.9) * 100.0
    assert found_ranges(noisy, [item], quantiles=(0.02, 0.98), deviation=100.0)["amount"] == (-3.0, 8.0)


def test_one_loan_is_in_one_bin_of_each_feature() -> None:
    assert sensitivity(9) == 3.0

from __future__ import annotations

import math

import numpy as np
import pytest

from fedcredit.credit.scorecard import Scorecard
from fedcredit.errors import InputError


def test_600_points_are_odds_of_50_to_1_and_20_more_double_them() -> None:
    card = Scorecard()
    assert card.points([1 / 51, 1 / 101, 1 / 26]) == pytest.approx([600.0, 620.0, 580.0])
    assert card.factor == pytest.approx(20 / math.log(2))


def test_points_fall_with_risk_and_come_back() -> None:
    pd = np.linspace(0.001, 0.999, 200)
    points = Scorecard(base_points=700, base_odds=30, points_to_double=45).points(pd)
    assert (np.diff(points) < 0).all()
    assert Scorecard(base_points=700, base_odds=30, points_to_double=45).pd(points) == pytest.approx(pd)
    assert np.isfinite(Scorecard().points([0.0, 1.0])).all()


def test_a_scale_that_runs_backwards_is_refused() -> None:
    with pytest.raises(InputError, match="must be above 0"):
        Scorecard(points_to_double=-20)

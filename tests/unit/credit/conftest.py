from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

Loans = tuple[NDArray[np.float64], NDArray[np.int64]]


@pytest.fixture
def anchor() -> Loans:
    """1,000 PDs and outcomes whose figures scikit-learn, empulse, emp-py, hmeasure and riskval agree on."""
    number = np.arange(1, 1001)
    pd = 0.002 + 0.2 * (number / 1000) ** 3
    return pd, ((7919 * number % 1000) / 1000 < pd).astype(np.int64)


@pytest.fixture
def eight_loans() -> Loans:
    """Eight loans with known figures from the same libraries."""
    return np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 0.8, 0.9]), np.array([0, 1, 0, 1, 0, 1, 0, 1])

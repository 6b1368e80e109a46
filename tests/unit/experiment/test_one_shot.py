import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fedcredit.experiment import one_shot

CAP = 2.5


def _row(direction: np.ndarray, norm: float) -> np.ndarray:
    length = float(np.linalg.norm(direction))
    return direction / length * norm if length > 0 else direction


@given(seed=st.integers(0, 10_000), norm=st.floats(0, CAP * (1 - 1e-6)), prior=st.floats(0.01, 0.99))
def test_one_loan_moves_the_statistics_by_at_most_the_sensitivity(seed: int, norm: float, prior: float) -> None:
    rng = np.random.default_rng(seed)
    row = _row(rng.normal(size=5), norm).astype(np.float32)[None, :]
    for label in (0.0, 1.0):
        moved = one_shot.statistics(row, np.array([label], dtype=np.float32), prior=prior)
        assert np.linalg.norm(moved) <= one_shot.sensitivity(CAP)


def test_the_sensitivity_is_reached_by_a_row_at_the_cap_as_the_prior_goes_to_zero() -> None:
    row = np.array([[CAP, 0.0]], dtype=np.float32)
    moved = one_shot.statistics(row, np.ones(1, dtype=np.float32), prior=1e-9)
    assert np.isclose(np.linalg.norm(moved), one_shot.sensitivity(CAP), rtol=1e-6)


def test_without_noise_it_is_least_squares() -> None:
    rng = np.random.default_rng(3)
    features = rng.normal(size=(400, 4)).astype(np.float32)
    default = (rng.random(400) < 0.3).astype(np.float32)
    total = one_shot.statistics(features, default, prior=0.1)
    found = one_shot.solve(total, num_features=4, noise_deviation=0.0)
    design = np.column_stack([features.astype(float), np.ones(400)])
    expected, *_ = np.linalg.lstsq(design, default - 0.1, rcond=None)
    assert np.allclose(found, expected, atol=1e-6)


def test_statistics_of_lenders_add_up_to_those_of_the_pool() -> None:
    rng = np.random.default_rng(4)
    features = rng.normal(size=(100, 3)).astype(np.float32)
    default = (rng.random(100) < 0.5).astype(np.float32)
    parts = [one_shot.statistics(features[rows], default[rows], prior=0.2) for rows in (slice(0, 30), slice(30, 100))]
    assert np.allclose(sum(parts), one_shot.statistics(features, default, prior=0.2))


def test_scores_stay_inside_the_unit_interval() -> None:
    pd = one_shot.predict_pd(np.array([50.0, 0.0]), np.array([[-9.0], [9.0]], dtype=np.float32), prior=0.1)
    assert np.all((pd > 0) & (pd < 1))

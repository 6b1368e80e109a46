from __future__ import annotations

import numpy as np
import pytest

from fedcredit.experiment.spec import FractionCohort, FullCohort
from fedcredit.federation.cohort import cohort, quorum

NAMES = tuple(f"bank {letter}" for letter in "jihgfedcba")


def test_everyone_is_asked_in_order_of_name() -> None:
    assert cohort(FullCohort(), NAMES, seed=1, server_round=1) == tuple(sorted(NAMES))


@pytest.mark.parametrize(
    ("fraction", "lenders", "expected"), [(0.5, 10, 5), (0.41, 10, 5), (0.1, 10, 3), (0.1, 2, 2), (1.0, 10, 10)]
)
def test_a_fraction_is_rounded_up_to_at_least_three(fraction: float, lenders: int, expected: int) -> None:
    asked = cohort(FractionCohort(fraction=fraction), NAMES[:lenders], seed=1, server_round=1)
    assert len(asked) == expected
    assert asked == tuple(sorted(set(asked)))
    assert set(asked) <= set(NAMES[:lenders])


def test_a_cohort_depends_on_seed_and_round_and_not_on_the_order_of_names() -> None:
    spec = FractionCohort(fraction=0.5)
    drawn = cohort(spec, NAMES, seed=1, server_round=1)
    assert drawn == cohort(spec, tuple(reversed(NAMES)), seed=1, server_round=1)
    assert len({cohort(spec, NAMES, seed=1, server_round=r) for r in range(1, 20)}) > 10
    assert len({cohort(spec, NAMES, seed=seed, server_round=1) for seed in range(20)}) > 10


@pytest.mark.statistical
def test_every_lender_is_asked_equally_often() -> None:
    # 4000 draws of 4 of 10; a count is binomial(4000, .4), sd 31; 5.5 sd for 10 lenders: error rate below 1e-6.
    spec, rounds = FractionCohort(fraction=0.4), 4000
    counts = dict.fromkeys(NAMES, 0)
    for server_round in range(rounds):
        for name in cohort(spec, NAMES, seed=7, server_round=server_round):
            counts[name] += 1
    deviation = np.array(list(counts.values())) - 0.4 * rounds
    assert np.abs(deviation).max() < 5.5 * np.sqrt(rounds * 0.4 * 0.6)


@pytest.mark.parametrize(
    ("fraction", "cohort_size", "lenders", "needed"),
    [
        (0.6, 10, 10, 6),
        (0.6, 4, 10, 3),
        (0.1, 10, 10, 3),
        (0.6, 2, 2, 2),
        (0.1, 1, 1, 1),
        (1.0, 7, 7, 7),
        (0.61, 10, 10, 7),
    ],
)
def test_a_quorum_is_a_fraction_and_at_least_three_or_all(
    fraction: float, cohort_size: int, lenders: int, needed: int
) -> None:
    assert quorum(fraction, cohort_size=cohort_size, num_lenders=lenders) == needed


def test_no_cohort_is_below_its_quorum() -> None:
    for lenders in range(1, 11):
        for fraction in np.linspace(0.01, 1.0, 25):
            asked = cohort(FractionCohort(fraction=float(fraction)), NAMES[:lenders], seed=3, server_round=1)
            for share in (0.01, 0.6, 1.0):
                assert quorum(share, cohort_size=len(asked), num_lenders=lenders) <= len(asked)

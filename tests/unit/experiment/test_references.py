"""What knows nothing of an arm but its lenders and its seed is trained once for all arms, to the same bits."""

from __future__ import annotations

import numpy as np
import pytest

from fedcredit.config import compose
from fedcredit.data import kept
from fedcredit.experiment import open_references
from fedcredit.experiment.prepare import prepare
from fedcredit.experiment.references import run_reference
from fedcredit.experiment.spec import Reference

SHARED: tuple[Reference, ...] = ("pooled_trees", "pooled_logistic")
SMALL = ("portfolio=german", "partition=iid", "partition.num_institutions=2", "training.num_rounds=1")

pytestmark = pytest.mark.usefixtures("credit_data")


def scores(reference: Reference, *words: str) -> np.ndarray:
    prepared = prepare(compose(None, [*SMALL, "privacy=none", *words]))
    found = run_reference(reference, prepared, ledgers={}).pd
    assert list(found) == [lender.name for lender in prepared.institutions]
    return np.concatenate(list(found.values()))


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Count how often a reference is trained."""
    kept._tables.clear()
    trained: list[str] = []
    for name in ("_trees", "_logistic"):
        own = getattr(open_references, name)

        def counted(*given: object, name: str = name, own: object = own) -> object:
            trained.append(name)
            return own(*given)  # type: ignore[operator]

        monkeypatch.setattr(open_references, name, counted)
    return trained


@pytest.mark.parametrize("reference", SHARED)
def test_arms_on_the_same_lenders_share_a_reference(reference: Reference, fits: list[str]) -> None:
    first = scores(reference)
    again = scores(reference, "network=tanh16", "training.num_rounds=2")
    assert len(fits) == 1
    np.testing.assert_array_equal(first, again)
    assert not run_reference(reference, prepare(compose(None, [*SMALL, "privacy=none"])), ledgers={}).is_private
    with pytest.raises(ValueError, match="read-only"):
        first_of(reference)[:] = 0.0
    kept._tables.clear()
    np.testing.assert_array_equal(first, scores(reference))
    assert len(fits) == 2


def first_of(reference: Reference) -> np.ndarray:
    prepared = prepare(compose(None, [*SMALL, "privacy=none"]))
    return next(iter(run_reference(reference, prepared, ledgers={}).pd.values()))


@pytest.mark.parametrize("reference", SHARED)
@pytest.mark.parametrize("word", ["split_seed=2", "partition.num_institutions=3"])
def test_other_lenders_are_never_served_from_memory(reference: Reference, word: str, fits: list[str]) -> None:
    first, other = scores(reference), scores(reference, word)
    assert len(fits) == 2
    assert first.shape != other.shape or not np.array_equal(first, other)


def test_trees_of_another_seed_are_grown_anew(fits: list[str]) -> None:
    scores("pooled_trees")
    scores("pooled_trees", "seed=2")
    assert len(fits) == 2

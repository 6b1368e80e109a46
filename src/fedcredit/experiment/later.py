"""A network on loans of later months: what it still ranks, and how far scores and columns have moved."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from fedcredit.credit.evaluation import FederationEvaluation, evaluate_federation
from fedcredit.credit.scored import Scored
from fedcredit.credit.stability import Borrowers, population_stability
from fedcredit.data.out_of_time import known, windows
from fedcredit.experiment.market_records import Stability, WindowRecord
from fedcredit.experiment.prepare import Prepared
from fedcredit.experiment.spec import OutOfTimeSplit

_MOST_COLUMNS = 5


def by_window(
    prepared: Prepared, test: Mapping[str, Scored], *, seen: Mapping[str, NDArray[np.float64]]
) -> dict[str, WindowRecord]:
    """Measure a network window by window.

    Args:
        prepared: the prepared experiment.
        test: the lenders' scored test loans.
        seen: scores of the validation loans, which are of training time and were not trained on, by lender.

    Returns:
        Records by window, in the order of the experiment; empty where the split has no windows.
    """
    split = prepared.experiment.split
    if not isinstance(split, OutOfTimeSplit):
        return {}
    trained = np.concatenate([lender.train.rows for lender in prepared.institutions])
    again = known(prepared.portfolio, trained)
    before = np.concatenate([seen[lender.name] for lender in prepared.institutions])
    validated = np.concatenate([lender.validation.rows for lender in prepared.institutions])
    borrower = prepared.portfolio.borrower
    found = {}
    for name, mask in windows(prepared.portfolio, split).items():
        rows = np.concatenate([lender.test.rows[mask[lender.test.rows]] for lender in prepared.institutions])
        inside, others = _kept(prepared, test, mask), _kept(prepared, test, mask & ~again)
        first, last = split.test[name]
        found[name] = WindowRecord(
            months=(str(first), str(last)),
            evaluation=_evaluate(prepared, inside),
            known_share=float(again[rows].mean()),
            of_others=_evaluate(prepared, others) if any(scored.num_loans for scored in others.values()) else None,
            score=stability(
                before,
                np.concatenate([scored.pd for scored in inside.values()]),
                borrowers=(borrower[validated], borrower[rows]),
            ),
            columns=_moved_most(prepared, trained, rows),
        )
    return found


def stability(before: NDArray[np.float64], now: NDArray[np.float64], *, borrowers: Borrowers) -> Stability:
    """Compare a score or a column at two times.

    Args:
        before: at training time, ``[loans]``, with at least one value.
        now: later, ``[later loans]``, with at least one value.
        borrowers: the borrower of each of the first loans, and of each of the later ones.

    Returns:
        PSI over ten bins of the first, and its quantile by chance, where a borrower's loans go together.
    """
    from fedcredit.data.market.band_statistics import stability_index

    found = population_stability(before, now, borrowers=borrowers)
    return Stability(psi=float(stability_index(before, now)), by_chance=found.chance_quantile)


def _moved_most(prepared: Prepared, trained: NDArray[np.int64], rows: NDArray[np.int64]) -> dict[str, Stability]:
    from fedcredit.data.encoding import raw_matrix

    matrix, _ = raw_matrix(prepared.portfolio)
    kinds = ("number", "flag", "category")
    names = [column.name for column in prepared.portfolio.schema.columns if column.kind in kinds]
    borrowers = prepared.portfolio.borrower[trained], prepared.portfolio.borrower[rows]
    moved = {
        name: stability(matrix[trained, place], matrix[rows, place], borrowers=borrowers)
        for place, name in enumerate(names)
    }
    return {name: moved[name] for name in sorted(moved, key=lambda name: -moved[name].psi)[:_MOST_COLUMNS]}


def _kept(prepared: Prepared, test: Mapping[str, Scored], mask: NDArray[np.bool_]) -> dict[str, Scored]:
    kept = {}
    for lender in prepared.institutions:
        chosen = mask[lender.test.rows]
        kept[lender.name] = Scored(pd=test[lender.name].pd[chosen], default=test[lender.name].default[chosen])
    return kept


def _evaluate(prepared: Prepared, scored: Mapping[str, Scored]) -> FederationEvaluation:
    wanted = prepared.experiment.evaluation
    return evaluate_federation(scored, confidence=wanted.confidence, num_bins=wanted.num_bins)

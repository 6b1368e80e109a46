"""What the released network is worth on loans it has not seen, beside its references.

In simulation the evaluation may look everywhere, and these figures do: they are not covered by any
epsilon and would not leave a lender in a deployment.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fedcredit.credit.evaluation import (
    FederationEvaluation,
    evaluate_federation,
    federation_auc_gap,
    federation_within_auc_gap,
    with_own_intercepts,
)
from fedcredit.credit.histogram import on_line
from fedcredit.credit.review import Review
from fedcredit.credit.scored import Scored
from fedcredit.data.institution import Loans
from fedcredit.experiment.charged import charge, moved
from fedcredit.experiment.charged_record import ChargedRecord
from fedcredit.experiment.later import by_window
from fedcredit.experiment.market_records import OWN_INTERCEPT, RUN, ShockRecord, TruthRecord, WindowRecord
from fedcredit.experiment.prepare import Prepared, predict_pd
from fedcredit.experiment.record import ReferenceRecord
from fedcredit.experiment.references import ReferenceScores, run_reference
from fedcredit.experiment.review import review
from fedcredit.experiment.spec import MarketPortfolio
from fedcredit.experiment.trust import left_out_references
from fedcredit.privacy.accounting.ledger import PrivacyLedger
from fedcredit.privacy.accounting.releases import reference_release
from fedcredit.privacy.accounting.statement import worst_epsilon


def nothing_measured(prepared: Prepared) -> Measured:
    """Return the measurements of mode deployed: no loan of any lender is looked at.

    Args:
        prepared: the prepared experiment.

    Returns:
        Evaluations of no loans.
    """
    empty = Scored(pd=np.empty(0), default=np.empty(0, dtype=np.int8))
    return Measured(
        evaluation=_evaluate(prepared, {name: empty for name in prepared.contracts.institutions}),
        own_intercept=None,
        references={},
        truth=None,
        windows={},
        shock=None,
    )


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The evaluation of a run, with own intercepts where asked, its references, its review, and what is true."""

    evaluation: FederationEvaluation
    own_intercept: FederationEvaluation | None
    references: Mapping[str, ReferenceRecord]
    truth: TruthRecord | None
    windows: Mapping[str, WindowRecord]
    shock: ShockRecord | None
    review: Review | None = None
    charged: ChargedRecord | None = None


def measure(
    prepared: Prepared,
    parameters: NDArray[np.float32],
    *,
    ledgers: Mapping[str, PrivacyLedger],
    progress: Callable[[str, int, int], None],
) -> Measured:
    """Evaluate a released network on the test loans, and run the references that were asked for.

    Args:
        prepared: the prepared experiment.
        parameters: what was released, ``[num_parameters]``.
        ledgers: the open ledgers by lender; private references charge them.
        progress: told the stage, the steps done and the steps there are.

    Returns:
        The measurements.
    """
    wanted = prepared.experiment.evaluation
    test = _scored(prepared, parameters, lambda institution: institution.test)
    scored = _scored_parts(prepared, parameters, test)
    charged = charge(prepared, parameters, ledgers=ledgers, scored=scored)
    own, models = None, {RUN: _pds(test)}
    if wanted.own_intercept:
        at_own_level = (
            moved(test, charged.shifts)
            if charged is not None and charged.shifts is not None
            else with_own_intercepts(test, fitted_on=scored("seen"))
        )
        own, models[OWN_INTERCEPT] = _evaluate(prepared, at_own_level), _pds(at_own_level)
    if charged is not None and (line := charged.line) is not None:
        corrected = {name: on_line(found, line) for name, found in test.items()}
        charged = replace(charged, recalibrated=_evaluate(prepared, corrected))
    references: dict[str, ReferenceRecord] = {}
    left_out = left_out_references(prepared.experiment)
    asked = [reference for reference in wanted.references if reference not in left_out]
    for position, reference in enumerate(asked):
        progress("references", position, len(asked))
        scores = run_reference(reference, prepared, ledgers=ledgers)
        references[reference], models[reference] = _reference(prepared, scores, test, ledgers), scores.pd
    if asked:
        progress("references", len(asked), len(asked))
    return Measured(
        evaluation=_evaluate(prepared, test),
        own_intercept=own,
        references=references,
        truth=_truth(prepared, models),
        windows=by_window(prepared, test, seen=_pds(scored("validation"))),
        shock=_shock(prepared),
        review=review(prepared, parameters, test),
        charged=charged,
    )


def _truth(prepared: Prepared, models: Mapping[str, Mapping[str, NDArray[np.float64]]]) -> TruthRecord | None:
    if not isinstance(prepared.experiment.portfolio, MarketPortfolio):
        return None
    from fedcredit.experiment.truth import against_the_truth

    return against_the_truth(prepared, models)


def _shock(prepared: Prepared) -> ShockRecord | None:
    if not isinstance(prepared.experiment.portfolio, MarketPortfolio):
        return None
    from fedcredit.experiment.shock import shock_of

    return shock_of(prepared.experiment)


def _pds(scored: Mapping[str, Scored]) -> dict[str, NDArray[np.float64]]:
    return {name: loans.pd for name, loans in scored.items()}


def _scored_parts(
    prepared: Prepared, parameters: NDArray[np.float32], test: dict[str, Scored]
) -> Callable[[str], dict[str, Scored]]:
    """Score parts of the loans when they are asked for, each once."""

    @functools.cache
    def scored(part: str) -> dict[str, Scored]:
        if part == "test":
            return test
        if part == "validation":
            return _scored(prepared, parameters, lambda institution: institution.validation)
        return _scored(prepared, parameters, lambda institution: _seen(institution.train, institution.validation))

    return scored


def _scored(prepared: Prepared, parameters: NDArray[np.float32], part: Callable[..., Loans]) -> dict[str, Scored]:
    scored = {}
    for institution in prepared.institutions:
        loans = part(institution)
        scored[institution.name] = Scored(
            pd=predict_pd(prepared, prepared.network, parameters, loans.features), default=loans.default
        )
    return scored


def _seen(train: Loans, validation: Loans) -> Loans:
    """Join the loans a lender may fit its own intercept on; it stays inside the lender."""
    return Loans(
        features=np.concatenate([train.features, validation.features]),
        default=np.concatenate([train.default, validation.default]),
        rows=np.concatenate([train.rows, validation.rows]),
    )


def _evaluate(prepared: Prepared, scored: Mapping[str, Scored]) -> FederationEvaluation:
    wanted = prepared.experiment.evaluation
    return evaluate_federation(scored, confidence=wanted.confidence, num_bins=wanted.num_bins)


def _reference(
    prepared: Prepared, scores: ReferenceScores, test: Mapping[str, Scored], ledgers: Mapping[str, PrivacyLedger]
) -> ReferenceRecord:
    scored = {name: Scored(pd=pd, default=test[name].default) for name, pd in scores.pd.items()}
    delta = prepared.experiment.privacy.target_delta
    confidence = prepared.experiment.evaluation.confidence
    spent = math.inf
    if scores.is_private:
        release = reference_release(scores.reference)
        spent = worst_epsilon({name: ledger.events(release) for name, ledger in ledgers.items()}, delta=delta).value
    return ReferenceRecord(
        evaluation=_evaluate(prepared, scored),
        epsilon=spent,
        auc_gap=federation_auc_gap(test, scored, confidence=confidence),
        within_auc_gap=federation_within_auc_gap(test, scored, confidence=confidence),
        everywhere_auc=scores.everywhere_auc,
    )

"""The credit review of a released network: profit, segments, fairness, drift and reasons on held-out loans.

Like every evaluation of a simulation it looks at loans in the clear, is covered by no epsilon, and would
not leave a lender in a deployment.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from fedcredit.credit import deciles, fairness, goodness_of_fit, profit, profit_intervals, reasons
from fedcredit.credit.fairness import Fairness
from fedcredit.credit.h_measure import h_measure
from fedcredit.credit.review import Drift, ProfitReview, ReasonReview, ReasonShare, Review
from fedcredit.credit.scored import Scored
from fedcredit.credit.segments import Segment, segment_table
from fedcredit.credit.stability import Stability, characteristic_stability, population_stability
from fedcredit.data.columns import CategoryColumn, FlagColumn, NumberColumn
from fedcredit.data.encoding import raw_matrix
from fedcredit.data.kept import computed, digest_of
from fedcredit.data.portfolio import Portfolio
from fedcredit.data.schema import Schema
from fedcredit.data.schema_checks import Source, encoded_names
from fedcredit.data.segments import MISSING, UNLISTED, segment_names, segments_of
from fedcredit.experiment.prepare import Prepared, predict_pd
from fedcredit.model.input_gradients import log_odds_and_gradients
from fedcredit.seeds import public_stream

NUM_REASONS = 4
MAX_EXPLAINED = 500
_LENDER = "lender"

Rows = NDArray[np.int64]


def review(prepared: Prepared, parameters: NDArray[np.float32], test: Mapping[str, Scored]) -> Review | None:
    """Look at a released network as a credit committee would.

    Args:
        prepared: the prepared experiment.
        parameters: what was released, ``[num_parameters]``.
        test: lender's name -> its scored test loans.

    Returns:
        The parts that ``evaluation.sections`` asks for; ``None`` where it asks for none or no loan is held out.
    """
    wanted = prepared.experiment.evaluation
    names = [institution.name for institution in prepared.institutions]
    rows = np.concatenate([institution.test.rows for institution in prepared.institutions])
    asked = frozenset(wanted.sections_to_review)
    if not asked or not rows.size:
        return None
    scored = Scored(
        pd=np.concatenate([test[name].pd for name in names]),
        default=np.concatenate([test[name].default for name in names]),
    )
    return Review(
        profit=_profit(prepared, scored) if "profit" in asked else None,
        segments=_segments(prepared, scored, rows) if "segments" in asked else None,
        fairness=_fairness(prepared, scored, rows) if "fairness" in asked else None,
        drift=_drift(prepared, parameters, scored.pd, rows) if "drift" in asked else None,
        reasons=_reasons(prepared, parameters, scored.pd) if "reasons" in asked else None,
    )


def columns_drift(portfolio: Portfolio, before: Rows, after: Rows, *, confidence: float = 0.95) -> dict[str, Stability]:
    """Compare the columns of two sets of loans; asked again for the same, the answer is kept.

    Args:
        portfolio: the loans.
        before: places of the reference in the portfolio, ``[reference loans]``, at least one.
        after: places of the new loans, ``[new loans]``, at least one.
        confidence: level of the chance quantile, in (0, 1).

    Returns:
        The stability of each number, flag and category of the schema, in its order.
    """
    key = (digest_of(before, after), confidence)
    return computed(portfolio, "columns_drift", key, lambda: _columns_drift(portfolio, before, after, confidence))


def unit_of_each_feature(schema: Schema) -> tuple[str, ...]:
    """Name the column, of the table or derived, that each encoded feature is made of.

    Args:
        schema: the schema.

    Returns:
        One name a feature, in the order of ``encoding.feature_names``.
    """
    sources: dict[str, Source] = {item.name: item for item in (*schema.columns, *schema.derived)}
    return tuple(feature.of for feature in schema.features for _ in encoded_names(feature, sources[feature.of]))


def attributions(
    prepared: Prepared, parameters: NDArray[np.float32], features: NDArray[np.float32]
) -> reasons.Attributions:
    """Attribute a network's log-odds to columns, from a public background: the loan whose features are all 0.

    That loan stands at the public ``centre`` of every feature of the schema.

    Args:
        prepared: the prepared experiment.
        parameters: the network, ``[num_parameters]``.
        features: encoded loans, ``[loans, features]``.

    Returns:
        Integrated gradients by column; they add up to the log-odds to 1e-6.
    """
    return reasons.attribute(
        features,
        gradients=lambda rows: log_odds_and_gradients(prepared.network, parameters, rows),
        background=np.zeros(features.shape[1]),
        columns=unit_of_each_feature(prepared.portfolio.schema),
    )


def _profit(prepared: Prepared, scored: Scored) -> ProfitReview:
    wanted = prepared.experiment.evaluation
    terms = profit.LossAndReturn(**wanted.profit.model_dump())
    loans, level = (scored.pd, scored.default), wanted.confidence
    return ProfitReview(
        terms=terms,
        h_measure=h_measure(*loans),
        h_measure_interval=profit_intervals.h_measure_interval(
            *loans, generator=_generator(prepared, "h_measure"), confidence=level
        ),
        maximum_profit=profit.expected_maximum_profit(*loans, terms=terms),
        maximum_profit_interval=profit_intervals.maximum_profit_interval(
            *loans, generator=_generator(prepared, "profit"), terms=terms, confidence=level
        ),
        hosmer_lemeshow=goodness_of_fit.hosmer_lemeshow(*loans),
        spiegelhalter=goodness_of_fit.spiegelhalter(*loans),
        deciles=deciles.decile_table(*loans, confidence=level),
    )


def _segments(prepared: Prepared, scored: Scored, rows: Rows) -> dict[str, tuple[Segment, ...]]:
    level, portfolio = prepared.experiment.evaluation.confidence, prepared.portfolio
    lenders = np.concatenate([np.full(item.test.num_loans, item.name) for item in prepared.institutions])
    found = {_LENDER: segment_table(scored.pd, scored.default, lenders, confidence=level)}
    for segment in portfolio.schema.segments:
        names = segments_of(portfolio, segment, rows)
        order = segment_names(portfolio.schema, segment) or sorted(set(names.tolist()), key=_natural)
        found[segment.of] = segment_table(
            scored.pd, scored.default, names, order=(*order, UNLISTED, MISSING), confidence=level
        )
    return found


def _natural(name: str) -> tuple[float, str]:
    """Sort numbers by size, before other texts."""
    try:
        return float(name), name
    except ValueError:
        return float("inf"), name


def _fairness(prepared: Prepared, scored: Scored, rows: Rows) -> dict[str, Fairness]:
    wanted = prepared.experiment.evaluation
    return {
        segment.of: fairness.fairness(
            scored.pd,
            scored.default,
            segments_of(prepared.portfolio, segment, rows),
            order=segment_names(prepared.portfolio.schema, segment),
            approval_rate=wanted.approval_rate,
            generator=_generator(prepared, f"fairness.{segment.of}"),
            confidence=wanted.confidence,
        )
        for segment in prepared.portfolio.schema.segments
        if segment.group
    }


def _drift(prepared: Prepared, parameters: NDArray[np.float32], pd: NDArray[np.float64], rows: Rows) -> Drift:
    level = prepared.experiment.evaluation.confidence
    parts = [part for item in prepared.institutions for part in (item.train, item.validation)]
    before = np.concatenate([part.rows for part in parts])
    seen = predict_pd(prepared, prepared.network, parameters, np.concatenate([part.features for part in parts]))
    borrower = prepared.portfolio.borrower
    score = population_stability(seen, pd, confidence=level, borrowers=(borrower[before], borrower[rows]))
    columns = columns_drift(prepared.portfolio, before, rows, confidence=level)
    return Drift(num_reference=before.size, num_new=rows.size, confidence=level, score=score, columns=columns)


def _columns_drift(portfolio: Portfolio, before: Rows, after: Rows, level: float) -> dict[str, Stability]:
    matrix, _ = raw_matrix(portfolio)
    columns = [c for c in portfolio.schema.columns if isinstance(c, NumberColumn | FlagColumn | CategoryColumn)]
    borrowers = portfolio.borrower[before], portfolio.borrower[after]
    found = {}
    for place, column in enumerate(columns):
        compare = population_stability if isinstance(column, NumberColumn) else characteristic_stability
        found[column.name] = compare(matrix[before, place], matrix[after, place], confidence=level, borrowers=borrowers)
    return found


def _reasons(prepared: Prepared, parameters: NDArray[np.float32], pd: NDArray[np.float64]) -> ReasonReview:
    cut_off = fairness.cut_off_for(pd, approval_rate=prepared.experiment.evaluation.approval_rate)
    features = np.concatenate([institution.test.features for institution in prepared.institutions])
    declined = np.flatnonzero(pd >= cut_off)
    looked_at = declined[:: max(1, -(-declined.size // MAX_EXPLAINED))]
    found = attributions(prepared, parameters, features[looked_at])
    counts: Counter[str] = Counter()
    points: defaultdict[str, float] = defaultdict(float)
    for own in reasons.adverse_reasons(found, num_reasons=NUM_REASONS):
        for reason in own:
            counts[reason.column] += 1
            points[reason.column] += reason.points
    return ReasonReview(
        num_declined=looked_at.size,
        cut_off=cut_off,
        largest_gap=found.largest_gap,
        reasons=tuple(
            ReasonShare(column=name, share_of_declined=count / looked_at.size, mean_points=points[name] / count)
            for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        ),
    )


def _generator(prepared: Prepared, figure: str) -> np.random.Generator:
    """Name the resamples of a figure by the seed alone, so that arms are resampled alike."""
    stream = public_stream(seed=prepared.experiment.seed, purpose=f"review.{figure}")
    return np.random.Generator(np.random.Philox(key=stream.key0 | stream.key1 << 32 | stream.tag << 64))

"""From scores of canaries to a verdict on a claim.

Half of the canaries, drawn by a named stream, choose how many guesses to make; the other half are guessed and
give the bounds, which therefore hold at the stated confidence. The f-DP bound decides; the other two stand
beside it. No verdict says that a mechanism is private: an audit can only contradict.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from fedcredit.privacy.auditing.bounds import (
    Interval,
    clopper_pearson,
    highest_refuted,
    one_run_epsilon,
    rates_epsilon,
)
from fedcredit.privacy.auditing.tradeoff import ClaimFamily
from fedcredit.privacy.reading import FALSE_POSITIVE_RATES
from fedcredit.seeds import Stream, permutation

CONTRADICTED, CONSISTENT, POWERLESS = "CONTRADICTED", "CONSISTENT", "POWERLESS"
F_DP, CLOPPER_PEARSON, ONE_RUN = "f-DP in one run", "Clopper-Pearson", "Steinke et al. 2023"
_SHARES = (0.0, 0.01, 0.02, 0.04, 0.06, 0.08, 0.12, 0.16, 0.24, 0.32, 0.4, 0.5)
_MOST_LOGIT = 40.0


@dataclass(frozen=True, kw_only=True)
class LowerBound:
    """What one method proves.

    Attributes:
        method: its name.
        epsilon: the lower bound.
        ceiling: the bound had every canary been told apart: no claim above it can be refuted.
    """

    method: str
    epsilon: float
    ceiling: float


@dataclass(frozen=True, kw_only=True)
class OperatingPoint:
    """One threshold on the scores: what it reached on all canaries, and what the claim allows.

    The interval is at the audit's confidence, for this point alone.
    """

    false_positive_rate: float
    true_positive_rate: float
    interval: Interval
    allowed: float


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What the scores of one run say about a claim.

    Attributes:
        verdict: ``CONTRADICTED``, ``CONSISTENT`` or ``POWERLESS``.
        claimed_epsilon: the claim, at ``delta``.
        delta: the claim's delta.
        confidence: of the deciding bound: a true claim is contradicted at most 1 - confidence of the time.
        num_canaries: canaries in the run.
        num_included: of those, how many were trained on.
        num_tested: canaries that gave the bounds; the others chose the number of guesses.
        guesses: guesses made on the tested canaries.
        correct: how many of them were right.
        bounds: the deciding f-DP bound, then the others.
        points: thresholds nearest below false-positive rates of 0.1, 1 and 5 %.
        roc: (false-positive rate, true-positive rate) of all thresholds, for a picture.
    """

    verdict: str
    claimed_epsilon: float
    delta: float
    confidence: float
    num_canaries: int
    num_included: int
    num_tested: int
    guesses: int
    correct: int
    bounds: tuple[LowerBound, ...]
    points: tuple[OperatingPoint, ...]
    roc: tuple[tuple[float, float], ...]

    @property
    def deciding(self) -> LowerBound:
        """The f-DP bound, which decides."""
        return self.bounds[0]


@dataclass(frozen=True, kw_only=True)
class _Counts:
    """For each of several thresholds, what guessing by it came to, ``[thresholds]``."""

    guesses: NDArray[np.int64]
    correct: NDArray[np.int64]


def judge(
    scores: NDArray[np.float64],
    is_included: NDArray[np.bool_],
    *,
    family: ClaimFamily,
    confidence: float,
    split: Stream,
) -> Findings:
    """Judge a claim by the scores of canaries.

    Args:
        scores: higher says included, ``[canaries]``.
        is_included: the truth, ``[canaries]``, fair coins.
        family: the claim.
        confidence: above 0 and below 1.
        split: the stream that deals canaries out to choosing and testing.

    Returns:
        The findings.
    """
    significance, num_canaries = 1.0 - confidence, len(scores)
    order = permutation(split, count=num_canaries)
    chosen, tested = order[: num_canaries // 2], order[num_canaries // 2 :]
    cuts = _cuts(scores[chosen])
    tuning, counts = (
        _counts(scores[chosen], is_included[chosen], cuts),
        _counts(scores[tested], is_included[tested], cuts),
    )
    size = len(tested)
    _, best = highest_refuted(
        family, num_canaries=len(chosen), guesses=tuning.guesses, correct=tuning.correct, significance=significance
    )
    guesses, correct = counts.guesses[[best]], counts.correct[[best]]
    limit = np.unique(np.ceil(2.0 * size * np.array(_SHARES[1:])).clip(1, size).astype(np.int64))
    rungs = [
        highest_refuted(family, num_canaries=size, guesses=made, correct=right, significance=significance)[0]
        for made, right in ((guesses, correct), (limit, limit))
    ]
    found, ceiling = ((0.0 if rung is None else family.epsilon(rung)) for rung in rungs)
    other = _best_by_binomial(tuning, significance)
    steinke = [
        one_run_epsilon(num_canaries=size, guesses=int(made), correct=int(right), delta=family.delta,
                        significance=significance)
        for made, right in ((counts.guesses[other], counts.correct[other]), (size, size))
    ]  # fmt: skip
    rates = _rates(scores, is_included, chosen, tested, family.delta, significance)
    claimed = family.epsilon(0)
    is_refuted, could_be = (rung is not None and rung >= 0 for rung in rungs)
    return Findings(
        verdict=CONTRADICTED if is_refuted else CONSISTENT if could_be else POWERLESS,
        claimed_epsilon=claimed,
        delta=family.delta,
        confidence=confidence,
        num_canaries=num_canaries,
        num_included=int(np.sum(is_included)),
        num_tested=size,
        guesses=int(guesses[0]),
        correct=int(correct[0]),
        bounds=(
            LowerBound(method=F_DP, epsilon=found, ceiling=ceiling),
            LowerBound(method=CLOPPER_PEARSON, epsilon=rates[0], ceiling=rates[1]),
            LowerBound(method=ONE_RUN, epsilon=steinke[0], ceiling=steinke[1]),
        ),
        points=_points(scores, is_included, family, significance),
        roc=_roc(scores, is_included),
    )


def _cuts(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give pairs (at most this: not included; from this: included), ``[pairs, 2]``, by shares of the scores."""
    rising = np.sort(scores)
    places = [round(share * len(rising)) for share in _SHARES]
    lows = [rising[place - 1] if place else -math.inf for place in places]
    highs = [rising[-place] if place else math.inf for place in places]
    return np.array([(low, high) for low in lows for high in highs])


def _counts(scores: NDArray[np.float64], is_included: NDArray[np.bool_], cuts: NDArray[np.float64]) -> _Counts:
    above = scores >= cuts[:, 1, np.newaxis]
    below = (scores <= cuts[:, 0, np.newaxis]) & ~above
    right = (above & is_included) | (below & ~is_included)
    return _Counts(guesses=np.sum(above | below, axis=1), correct=np.sum(right, axis=1))


def _best_by_binomial(counts: _Counts, significance: float) -> int:
    """Choose the counts that refute the largest epsilon at delta 0."""
    lower = np.where(
        counts.correct > 0,
        stats.beta.ppf(significance, np.maximum(counts.correct, 1), counts.guesses - counts.correct + 1),
        0.0,
    )
    return int(np.argmax(np.clip(special.logit(lower), -_MOST_LOGIT, _MOST_LOGIT)))


def _rates(
    scores: NDArray[np.float64],
    is_included: NDArray[np.bool_],
    chosen: NDArray[np.int64],
    tested: NDArray[np.int64],
    delta: float,
    significance: float,
) -> tuple[float, float]:
    """Bound by one threshold, on the side and at the place that the choosing half likes best; and its ceiling."""

    def bound(part: NDArray[np.int64], sign: float, cut: float) -> float:
        above = sign * scores[part] >= cut
        is_one = is_included[part] == (sign > 0.0)
        hits, alarms = int(np.sum(above & is_one)), int(np.sum(above & ~is_one))
        return rates_epsilon(
            hits=hits, misses=int(np.sum(is_one)) - hits, alarms=alarms, passes=int(np.sum(~is_one)) - alarms,
            delta=delta, significance=significance,
        )  # fmt: skip

    options = [
        (sign, float(np.sort(sign * scores[chosen])[-round(share * len(chosen))]))
        for sign in (1.0, -1.0)
        for share in _SHARES
        if round(share * len(chosen)) > 0
    ]
    best = max(options, key=lambda option: bound(chosen, *option))
    inside = int(np.sum(is_included[tested]))
    ceiling = rates_epsilon(
        hits=inside, misses=0, alarms=0, passes=len(tested) - inside, delta=delta, significance=significance
    )
    return bound(tested, *best), ceiling


def _roc(scores: NDArray[np.float64], is_included: NDArray[np.bool_]) -> tuple[tuple[float, float], ...]:
    inside, outside = np.sort(scores[is_included]), np.sort(scores[~is_included])
    cuts = np.unique(scores)[::-1]
    power = (len(inside) - np.searchsorted(inside, cuts)) / max(1, len(inside))
    alarms = (len(outside) - np.searchsorted(outside, cuts)) / max(1, len(outside))
    return ((0.0, 0.0), *((float(x), float(y)) for x, y in zip(alarms, power, strict=True)))


def _points(
    scores: NDArray[np.float64], is_included: NDArray[np.bool_], family: ClaimFamily, significance: float
) -> tuple[OperatingPoint, ...]:
    inside = int(np.sum(is_included))
    curve, roc = family.curve(0), _roc(scores, is_included)
    points = []
    for rate in FALSE_POSITIVE_RATES:
        alarm, power = max(point for point in roc if point[0] <= rate)
        points.append(
            OperatingPoint(
                false_positive_rate=alarm,
                true_positive_rate=power,
                interval=clopper_pearson(round(power * inside), inside, significance=significance),
                allowed=float(np.interp(alarm, curve.false_positive_rates, curve.true_positive_rates)),
            )
        )
    return tuple(points)

"""What a credit committee is shown of one score, as data; a part that was not asked for is ``None``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fedcredit.credit.deciles import Decile
from fedcredit.credit.discrimination import Interval
from fedcredit.credit.fairness import Fairness
from fedcredit.credit.goodness_of_fit import GoodnessOfFit
from fedcredit.credit.profit import LossAndReturn, MaximumProfit
from fedcredit.credit.segments import Segment
from fedcredit.credit.stability import Stability


@dataclass(frozen=True, kw_only=True)
class ProfitReview:
    """What the score is worth over all held-out loans, and how its risk is spread; ``None`` without both outcomes."""

    terms: LossAndReturn
    h_measure: float | None
    h_measure_interval: Interval | None
    maximum_profit: MaximumProfit | None
    maximum_profit_interval: Interval | None
    hosmer_lemeshow: GoodnessOfFit | None
    spiegelhalter: GoodnessOfFit | None
    deciles: tuple[Decile, ...]


@dataclass(frozen=True, kw_only=True)
class Drift:
    """How the score and each column moved from the loans that training saw to the held-out ones.

    ``confidence`` is that of the chance quantiles.
    """

    num_reference: int
    num_new: int
    confidence: float
    score: Stability
    columns: Mapping[str, Stability]


@dataclass(frozen=True, kw_only=True)
class ReasonShare:
    """A column as a reason against declined loans: how often among the first four, and what it costs then."""

    column: str
    share_of_declined: float
    mean_points: float


@dataclass(frozen=True, kw_only=True)
class ReasonReview:
    """Why loans were declined, over at most 500 of them, and how exactly the attributions add up (log-odds)."""

    num_declined: int
    cut_off: float
    largest_gap: float
    reasons: tuple[ReasonShare, ...]


@dataclass(frozen=True, kw_only=True)
class Review:
    """The parts of a review that were asked for.

    ``segments`` and ``fairness`` are by the public schema's column, ``segments`` also by ``lender``.
    """

    profit: ProfitReview | None = None
    segments: Mapping[str, tuple[Segment, ...]] | None = None
    fairness: Mapping[str, Fairness] | None = None
    drift: Drift | None = None
    reasons: ReasonReview | None = None

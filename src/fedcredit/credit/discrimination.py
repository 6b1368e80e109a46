"""How well a score ranks defaulters above the rest."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A confidence interval, its level beside it."""

    lower: float
    upper: float
    confidence: float


@dataclass(frozen=True, kw_only=True)
class AucDifference:
    """The AUC of one score minus that of another on the same loans (DeLong et al. 1988)."""

    value: float
    standard_error: float
    interval: Interval

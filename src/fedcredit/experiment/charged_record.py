"""What the charged releases of a run gave, as its record keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fedcredit.credit.calibration import Recalibration
from fedcredit.credit.evaluation import FederationEvaluation
from fedcredit.credit.histogram import HistogramFigures


@dataclass(frozen=True, kw_only=True)
class ChargedFigures:
    """What noisy counts say of held-out loans: of the federation, and lender by lender."""

    loans: str
    overall: HistogramFigures
    institutions: Mapping[str, HistogramFigures]


@dataclass(frozen=True, kw_only=True)
class ChargedRecord:
    """What charged releases gave.

    Attributes:
        noise_multiplier: release -> its noise over its sensitivity.
        figures: from the score histogram, where it was asked for.
        line: the recalibration, None where it was not asked for or noise hides it.
        recalibrated: test loans after it, read in the clear by the simulation.
        shifts: lender -> its own charged intercept, in logits; None where noise hides it.
    """

    noise_multiplier: Mapping[str, float]
    figures: ChargedFigures | None = None
    line: Recalibration | None = None
    recalibrated: FederationEvaluation | None = None
    shifts: Mapping[str, float | None] | None = None

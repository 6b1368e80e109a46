"""How well the level of a predicted default probability agrees with what happened."""

from __future__ import annotations

from dataclasses import dataclass

from fedcredit.credit.discrimination import Interval


@dataclass(frozen=True, kw_only=True)
class CurveBin:
    """One bin of a calibration curve: mean predicted PD against the bad rate, with its interval."""

    num_loans: int
    mean_pd: float
    bad_rate: float
    bad_rate_interval: Interval

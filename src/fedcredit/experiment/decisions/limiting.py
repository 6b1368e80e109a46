"""Limits of the held-out loans of a run, from what its table says about income."""

from __future__ import annotations

import itertools

import numpy as np

from fedcredit.credit.limits import LimitPolicy, limit_amounts
from fedcredit.credit.loans import Floats
from fedcredit.data.market.application_columns import INCOME_CUTS
from fedcredit.experiment.decisions.rescoring import Rescored
from fedcredit.experiment.spec import MarketPortfolio

INCOME_COLUMN = "income_band"
_BAND_INCOMES = np.array(
    [0.7 * INCOME_CUTS[0], *((low + high) / 2.0 for low, high in itertools.pairwise(INCOME_CUTS)),
     1.3 * INCOME_CUTS[-1]]
)  # fmt: skip
_UNKNOWN_BAND = 3


def limits_of(run: Rescored, pd: Floats, *, lgd_rate: float, policy: LimitPolicy) -> Floats:
    """Set a limit for every held-out loan, lender after lender.

    On the simulated market income is the middle of its band (of band 3 where it is missing), and instalments elsewhere,
    which no lender sees, count as 0. Other tables state no income: there the cap and the expected-loss budget decide.

    Args:
        run: the run.
        pd: probability of default at the level that decisions read it at, ``[test loans]``.
        lgd_rate: share lost given default, in [0, 1].
        policy: the rules.

    Returns:
        Limits, ``[test loans]``.

    Raises:
        InputError: if a number is out of range.
    """
    return limit_amounts(
        pd=pd,
        lgd=np.full(pd.size, lgd_rate),
        income_amount=_incomes(run),
        other_debt_service_amount=np.zeros(pd.size),
        policy=policy,
    )


def _incomes(run: Rescored) -> Floats:
    rows = np.concatenate([institution.test.rows for institution in run.prepared.institutions])
    if not isinstance(run.prepared.experiment.portfolio, MarketPortfolio):
        return np.full(rows.size, np.inf)
    return incomes_of(run.prepared.portfolio.column(INCOME_COLUMN)[rows].astype(np.float64))


def incomes_of(band: Floats) -> Floats:
    """Return the monthly income in the middle of a band of the simulated market, that of band 3 where it is missing.

    Args:
        band: 0 to 7, NaN where it is not stated, ``[rows]``.

    Returns:
        Amounts, ``[rows]``.
    """
    incomes: Floats = _BAND_INCOMES[np.nan_to_num(band, nan=_UNKNOWN_BAND).astype(np.int64)]
    return incomes

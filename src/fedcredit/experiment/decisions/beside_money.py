"""What stands beside money in the price of privacy: how early defaults are foretold, and how groups of people fare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fedcredit.credit.approval import CutOff, Terms, accept
from fedcredit.credit.fairness import FEW_GOODS
from fedcredit.credit.scored import Scored
from fedcredit.data.segments import segments_of
from fedcredit.experiment.decisions.panel import Followed
from fedcredit.experiment.decisions.panel_alarms import BUCKET, EARLIER, RULE, alarms
from fedcredit.experiment.decisions.rescoring import Rescored

EARLY, AHEAD, LEAD = "early_rate", "ahead_rate", "lead_months"
RULE_EARLY, RULE_AHEAD, PLAIN_EARLY = "rule_early_rate", "rule_ahead_rate", "plain_early_rate"
GAP = "opportunity_gap."


def warning_figures(followed: Followed, lenders: Sequence[str]) -> dict[str, float]:
    """Return how early some lenders' defaults are foretold, by as many alarms as the rule "enters M1" raises.

    Args:
        followed: held-out accounts, scored by one network or one a lender; read at each lender's level of each bucket.
        lenders: whose accounts count.

    Returns:
        ``early_rate`` and ``ahead_rate`` (shares of defaults alarmed 3 and 6 months before) and ``lead_months`` (the
        median); ``rule_early_rate`` and ``rule_ahead_rate`` of the rule; ``plain_early_rate`` without levels of
        buckets; nothing without a default.
    """
    own = np.isin(followed.lender, list(lenders))
    part = replace(
        followed,
        account=followed.account[own],
        pd=followed.pd[:, own],
        pd_by_bucket=followed.pd_by_bucket[:, own],
        bucket=followed.bucket[:, own],
        is_watched=followed.is_watched[:, own],
        lender=followed.lender[own],
        kind=followed.kind[own],
    )
    if not own.any():
        return {}
    found = alarms(part)
    told = {
        EARLY: found.by_bucket_level.early_share_rate,
        AHEAD: found.alarmed_before[BUCKET][EARLIER] if found.alarmed_before else None,
        RULE_EARLY: found.by_rule.early_share_rate,
        RULE_AHEAD: found.alarmed_before[RULE][EARLIER] if found.alarmed_before else None,
        PLAIN_EARLY: found.at_equal_alarms.early_share_rate,
        LEAD: found.by_bucket_level.median_lead_months,
    }
    return {name: value for name, value in told.items() if value is not None}


def fairness_figures(
    run: Rescored, test: Mapping[str, Scored], lenders: Sequence[str], *, terms: Terms
) -> dict[str, float]:
    """Return how far apart groups of people are in equal opportunity (Hardt, Price and Srebro 2016).

    That is the largest difference between two groups in the share of loans that did not default which the profit
    cut-off approves; groups with fewer than 30 such loans are passed over.

    Args:
        run: the run, whose schema says which segments stand for people.
        test: held-out loans by lender, at the level that they are decided on.
        lenders: whose loans count.
        terms: what loans earn and lose.

    Returns:
        ``opportunity_gap.<segment>`` -> difference, for segments with at least two groups.
    """
    rows = np.concatenate([lender.test.rows for lender in run.prepared.institutions if lender.name in lenders])
    order = [lender.name for lender in run.prepared.institutions if lender.name in lenders]
    approved = np.concatenate([accept(test[name].pd, CutOff(terms=terms)) for name in order])
    good = ~np.concatenate([test[name].default for name in order]).astype(np.bool_)
    portfolio, found = run.prepared.portfolio, {}
    for segment in portfolio.schema.segments:
        if segment.group:
            rates = _rates(segments_of(portfolio, segment, rows), approved, good)
            if len(rates) > 1:
                found[f"{GAP}{segment.of}"] = max(rates) - min(rates)
    return found


def _rates(parts: NDArray[np.str_], approved: NDArray[np.bool_], good: NDArray[np.bool_]) -> list[float]:
    owns = [(parts == name) & good for name in np.unique(parts).tolist()]
    return [float(approved[own].mean()) for own in owns if np.count_nonzero(own) >= FEW_GOODS]

"""Lenders with few defaults to learn from, by name: what they are told of themselves is mostly chance.

How many of a lender's training loans defaulted is private. A simulation reads it in the clear and says so; a
deployed run never counts it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fedcredit.credit.evaluation import Evaluation, FederationEvaluation
from fedcredit.experiment.by_group import mean_text
from fedcredit.experiment.prepare import Prepared
from fedcredit.experiment.record import RunRecord
from fedcredit.experiment.repeats import arms_by_split
from fedcredit.experiment.study import in_order
from fedcredit.experiment.wording import ABSENT, Table, readable

FEW = 30
_SIMULATED = "simulated"


def training_defaults(prepared: Prepared) -> dict[str, int]:
    """Count each lender's defaults among its training loans, where a simulation may.

    Args:
        prepared: the prepared experiment.

    Returns:
        Lender -> defaults; empty in deployed mode.
    """
    if prepared.experiment.mode != _SIMULATED:
        return {}
    return {lender.name: int(np.count_nonzero(lender.train.default)) for lender in prepared.institutions}


def few_defaults(counts: Mapping[str, int]) -> tuple[str, ...]:
    """Name the lenders that have too few defaults for a figure of their own.

    Args:
        counts: lender -> training defaults, as read in the clear.

    Returns:
        One sentence; none where every lender has 30 or more.
    """
    few = sorted((count, name) for name, count in counts.items() if count < FEW)
    if not few:
        return ()
    named = ", ".join(f"{name} {count}" for count, name in few)
    return (
        f"Few defaults: {named} training defaults, fewer than {FEW} (read in the clear by this simulation, not covered "
        "by epsilon). What these lenders' own figures and intercepts say is mostly chance; judge them over seeds.",
    )


def rare_table(records: Sequence[RunRecord]) -> Table:
    """Average what a rare-default portfolio is judged by, lender by lender and arm by arm, the fewest defaults first.

    Args:
        records: finished runs, at least one.

    Returns:
        One row a lender and arm.
    """
    arms = arms_by_split(in_order(records))
    counts: dict[str, list[int]] = {}
    for record in records:
        for name, count in record.training_defaults.items():
            counts.setdefault(name, []).append(count)
    seen = {name: float(np.mean(found)) for name, found in counts.items()}
    lenders = {name for record in records for name in record.evaluation.institutions}
    rows = []
    ordered: list[str | None] = [*sorted(lenders, key=lambda name: (seen.get(name, 0.0), name)), None]
    for lender in ordered:
        told = "all" if lender is None else readable(lender) + (" (few)" if seen.get(lender, FEW) < FEW else "")
        known = (sum(seen.values()) if seen else None) if lender is None else seen.get(lender)
        for arm, runs in arms.items():
            found = [group for run in runs.values() if (group := _of(run.evaluation, lender)) is not None]
            own = [group for run in runs.values() if (group := _of(run.own_intercept, lender)) is not None]
            rows.append(
                (
                    told,
                    readable(arm),
                    ABSENT if known is None else f"{known:.0f}",
                    mean_text([item.bad_rate for item in found], 4),
                    mean_text([item.auc for item in found], 3),
                    mean_text([item.captured_rate for item in found], 3),
                    mean_text([item.mean_pd_over_bad_rate for item in found], 2),
                    mean_text([item.mean_pd_over_bad_rate for item in own], 2),
                )
            )
    return Table(
        title="Rare defaults, by lender: mean ± 95 % interval over splits",
        headings=(
            "lender", "arm", "training defaults", "bad rate", "AUC", "capture, worst decile", "mean PD / bad rate",
            "own intercept",
        ),
        num_labels=2,
        rows=tuple(rows),
        notes=(
            f"(few): on average fewer than {FEW} training defaults, counted in the clear by these simulations. "
            f"{max(len(runs) for runs in arms.values())} splits; intervals: Student's t over splits. Held-out loans; a "
            "split on which a lender has no default takes no part in its AUC, capture and ratio.",
        ),
        droppable=("bad rate",),
    )  # fmt: skip


def _of(evaluation: FederationEvaluation | None, name: str | None) -> Evaluation | None:
    """Return a lender's metrics, or those of all lenders together."""
    if evaluation is None:
        return None
    return evaluation.overall if name is None else evaluation.institutions.get(name)

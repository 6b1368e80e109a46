"""The vertical question: what the borrowers' balances at other lenders would add, were the lenders' tables joined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fedcredit.errors import InputError
from fedcredit.experiment.by_group import mean_text
from fedcredit.experiment.market_records import ALL
from fedcredit.experiment.record import RunRecord
from fedcredit.experiment.repeats import arms_by_split
from fedcredit.experiment.study import in_order
from fedcredit.experiment.wording import Table, readable

VERTICAL: Mapping[str, tuple[str, str]] = {
    "network": ("pooled_network", "joined_network"),
    "boosted trees": ("pooled_trees", "joined_trees"),
}


def vertical_gain(record: RunRecord, model: str, group: str) -> float | None:
    """Return the AUC within lenders that what borrowers have at other lenders adds to a pooled model.

    Args:
        record: a run.
        model: ``network`` or ``boosted trees``.
        group: ``all``, a kind of lenders, or a lender.

    Returns:
        The difference, expected over outcomes drawn from the true PD; ``None`` where the run lacks one of the two.
    """
    before, after = (_auc(record, reference, group) for reference in VERTICAL[model])
    return None if before is None or after is None else after - before


def vertical_table(records: Sequence[RunRecord]) -> Table:
    """Average over markets what a pooled model gains by the borrowers' balances at other lenders.

    Args:
        records: finished runs on simulated markets, at least one with a model in both forms.

    Returns:
        One row an arm, kind of lenders and model.

    Raises:
        InputError: if no run has a pooled model without and with them.
    """
    if all(vertical_gain(record, model, ALL) is None for record in records for model in VERTICAL):
        raise InputError(
            "by is vertical, and no run has a pooled model without and with other lenders' balances; run with "
            "evaluation.references=[pooled_network,joined_network,pooled_trees,joined_trees]"
        )
    rows = []
    for arm, runs in arms_by_split(in_order(records)).items():
        kinds = dict.fromkeys(kind for run in runs.values() if run.truth for kind in run.truth.kinds.values())
        for group in (*kinds, ALL):
            for model, (without, joined) in VERTICAL.items():
                rows.append(
                    (
                        readable(arm),
                        group,
                        model,
                        mean_text([_auc(run, without, group) for run in runs.values()], 4),
                        mean_text([_auc(run, joined, group) for run in runs.values()], 4),
                        mean_text([vertical_gain(run, model, group) for run in runs.values()], 4, sign="+"),
                    )
                )
    return Table(
        title="What other lenders know: mean ± 95 % interval over markets",
        headings=("arm", "lenders", "pooled, no privacy", "AUC", "AUC, joined", "added, paired"),
        num_labels=3,
        rows=tuple(rows),
        notes=(
            "Joined: with the number of the borrower's other lenders, the balance and the worst bucket there, read "
            "from the simulation; no lender could see them. AUC: mean of the lenders' own, by loans, expected over "
            "outcomes drawn from the true PD.",
        ),
    )


def _auc(record: RunRecord, model: str, group: str) -> float | None:
    groups = {} if record.truth is None else record.truth.models.get(model, {})
    found = groups.get(group)
    return None if found is None else found.auc

"""Tables over many runs, by what their rows put together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from fedcredit.errors import InputError
from fedcredit.experiment.by_group import group_table, mean_text
from fedcredit.experiment.levels import level_over_runs
from fedcredit.experiment.market_records import ALL, RingFigures
from fedcredit.experiment.rare import rare_table
from fedcredit.experiment.record import RunRecord
from fedcredit.experiment.repeats import arms_by_split
from fedcredit.experiment.study import in_order
from fedcredit.experiment.vertical import vertical_table
from fedcredit.experiment.wording import REFERENCE_NAMES, Table, epsilon_of, epsilon_text, readable

Grouping = Literal["kind", "lender", "level", "vertical", "rival", "rare", "ring"]
_THIS = "this run"


def grouped(records: Sequence[RunRecord], by: Grouping) -> Table:
    """Return the table of a grouping.

    Args:
        records: finished runs, at least one.
        by: ``kind`` and ``lender`` against the true PD of simulated markets, ``level`` beside what the true PD itself
            reaches, ``vertical`` for what other lenders know, ``rival`` at equal epsilon, ``rare`` for lenders with few
            defaults, ``ring`` for what reviews find.

    Returns:
        The table.

    Raises:
        InputError: if there is no run, or the runs have not what it needs.
    """
    if not records:
        raise InputError("records holds no run; give at least one finished run")
    if by in ("kind", "lender"):
        return group_table(records, "kind" if by == "kind" else "lender")
    tables = {
        "level": level_over_runs,
        "vertical": vertical_table,
        "rival": rival_table,
        "rare": rare_table,
        "ring": rings_table,
    }
    return tables[by](records)


def rival_table(records: Sequence[RunRecord]) -> Table:
    """Average each arm's network and its references over splits, epsilon by epsilon.

    Args:
        records: finished runs with references, at least one.

    Returns:
        One row an epsilon and model.

    Raises:
        InputError: if no run has a reference.
    """
    if not any(record.references for record in records):
        raise InputError("by is rival, and no run has a reference; run with evaluation.references=[one_shot,...]")
    rows = []
    for runs in arms_by_split(in_order(records)).values():
        models = (_THIS, *dict.fromkeys(name for run in runs.values() for name in run.references))
        for model in models:
            found = [
                (run.evaluation.overall, epsilon_of(run))
                if model == _THIS
                else (run.references[model].evaluation.overall, run.references[model].epsilon)
                for run in runs.values()
                if model == _THIS or model in run.references
            ]
            groups = [evaluation for evaluation, _ in found]
            rows.append(
                (
                    REFERENCE_NAMES.get(model, model),
                    epsilon_text(max(epsilon_of(run) for run in runs.values())),
                    epsilon_text(max(spent for _, spent in found)),
                    mean_text([item.auc for item in groups], 3),
                    mean_text([item.within_auc for item in groups], 3),
                    mean_text([item.captured_rate for item in groups], 3),
                    mean_text([item.mean_pd_over_bad_rate for item in groups], 2),
                )
            )
    return Table(
        title="Rivals at equal epsilon: mean ± 95 % interval over splits",
        headings=(
            "model", "epsilon of the run", "its own", "AUC", "AUC within lenders", "capture, worst decile",
            "mean PD / bad rate",
        ),
        num_labels=1,
        rows=tuple(rows),
        notes=("Its own epsilon: the worst-off lender's, as its ledger prices that release alone.",),
        droppable=("AUC within lenders",),
    )  # fmt: skip


def rings_table(records: Sequence[RunRecord]) -> Table:
    """Average what reviews for fraud rings find over splits, arm by arm.

    Args:
        records: finished runs on markets seen at application, at least one.

    Returns:
        One row an arm and method.

    Raises:
        InputError: if a run has no such review.
    """
    if any(record.rings is None for record in records):
        raise InputError("by is ring, and a run has no ring review; run with portfolio.view=application")
    rows = []
    for arm, runs in arms_by_split(in_order(records)).items():
        reviews = [run.rings.methods for run in runs.values() if run.rings is not None]
        for method in reviews[0]:
            queues = [methods[method][ALL] for methods in reviews]
            lenders = [[found for name, found in methods[method].items() if name != ALL] for methods in reviews]
            rows.append(
                (
                    readable(arm),
                    method,
                    mean_text([queue.found_rate for queue in queues], 2),
                    mean_text([queue.precision_rate for queue in queues], 3),
                    mean_text([_found(own) for own in lenders], 2),
                    mean_text([_precision(own) for own in lenders], 3),
                )
            )
    share = next(record.rings.capacity_share for record in records if record.rings is not None)
    return Table(
        title=f"Fraud rings: reviewing {100 * share:g} % of the held-out accounts, mean ± 95 % interval over splits",
        headings=(
            "arm", "by", "found, one queue", "precision, one queue", "found, a queue a lender",
            "precision, a queue a lender",
        ),
        num_labels=2,
        rows=tuple(rows),
        notes=("Found: share of the ring accounts among held-out accounts. Precision: share of the reviewed.",),
    )  # fmt: skip


def _found(lenders: Sequence[RingFigures]) -> float | None:
    """Return the share of all lenders' ring accounts that their own queues find."""
    total = sum(figures.num_ring for figures in lenders)
    return sum((figures.found_rate or 0.0) * figures.num_ring for figures in lenders) / total if total else None


def _precision(lenders: Sequence[RingFigures]) -> float | None:
    total = sum(figures.num_reviewed for figures in lenders)
    hits = sum((figures.precision_rate or 0.0) * figures.num_reviewed for figures in lenders)
    return hits / total if total else None

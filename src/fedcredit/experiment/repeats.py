"""Arms run over several splits: means, standard errors, and gaps paired split by split.

A split varies both ``split_seed`` and ``seed``, and of a simulated market the market itself. Two arms on one
split share their loans, their lenders and their initial weights, so the difference is taken on each split before
it is averaged.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fedcredit.errors import InputError
from fedcredit.experiment.arms import arm_labels, split_of
from fedcredit.experiment.record import RunRecord
from fedcredit.experiment.study import in_order, study_table
from fedcredit.experiment.wording import ABSENT, Table, epsilon_of, epsilon_text, readable

_GAPS = ("minus trees", "minus pooled", "minus alone, all loans", "minus alone, within")
Split = tuple[int, int, int]
Figure = Callable[[RunRecord], float | None]


@dataclass(frozen=True, kw_only=True)
class MeanOverSplits:
    """A mean over splits with its standard error (``None`` for fewer than two splits)."""

    value: float
    standard_error: float | None
    num_splits: int


def mean_over_splits(values: Sequence[float]) -> MeanOverSplits | None:
    """Average one figure per split.

    Args:
        values: one figure per split.

    Returns:
        Mean and standard error (sample deviation over the root of the count), ``None`` for no value.
    """
    if not values:
        return None
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else None
    return MeanOverSplits(value=float(np.mean(values)), standard_error=error, num_splits=len(values))


def paired_gap(
    records: Mapping[Split, RunRecord], others: Mapping[Split, RunRecord], figure: Figure, other_figure: Figure
) -> MeanOverSplits | None:
    """Average the difference of two figures over the splits that have both.

    Args:
        records: runs of one arm by split.
        others: runs of another arm by split (or the same runs, for one of their references).
        figure: the figure of the first.
        other_figure: the figure that is taken away.

    Returns:
        The paired mean difference, ``None`` if no split has both.
    """
    gaps = []
    for split in sorted(set(records) & set(others)):
        first, second = figure(records[split]), other_figure(others[split])
        if first is not None and second is not None:
            gaps.append(first - second)
    return mean_over_splits(gaps)


def study_tables(records: Sequence[RunRecord], *, against: str | None = None) -> list[Table]:
    """Return what compares the runs of a study: means over splits first, where arms have several.

    Args:
        records: finished runs, at least one.
        against: the arm that the last column of the means is taken against.

    Returns:
        The tables.

    Raises:
        InputError: if there is no run, or no arm is called ``against``.
    """
    arms = study_table(records)
    if against is None and all(len(runs) == 1 for runs in arms_by_split(records).values()):
        return [arms]
    return [repeats_table(records, against=against), arms]


def repeats_table(records: Sequence[RunRecord], *, against: str | None = None) -> Table:
    """Average every arm over its splits, with paired gaps.

    Args:
        records: finished runs of one or more arms.
        against: the arm that the last column is taken against; by default the arm without privacy.

    Returns:
        One row an arm, the least private first.

    Raises:
        InputError: if there is no run, or no arm is called ``against``.
    """
    if not records:
        raise InputError("records holds no run; give at least one finished run")
    arms = arms_by_split(in_order(records))
    opponent = _opponent(arms, against)
    one_study = len({record.name.partition("/")[0] for record in records}) == 1
    rows = tuple(
        _row(name.partition("/")[2] if one_study else name, runs, None if opponent is None else arms[opponent])
        for name, runs in arms.items()
    )
    last = "minus another arm" if opponent is None else f"minus {opponent.rpartition('/')[2]}"
    return Table(
        title="Over splits: mean (standard error)",
        headings=("arm", "splits", "epsilon", "AUC", "mean PD / bad rate", *_GAPS, last),
        num_labels=1,
        rows=rows,
        notes=(
            "Gaps in AUC, paired split by split. Trees: all loans pooled, boosted, no privacy. Pooled: the same "
            "network on all loans in one place at the same epsilon. Alone, all loans: the mean AUC (weighted by loans) "
            "that each lender's own network reaches on the loans of all lenders. Alone, within: the loan-weighted "
            "mean of the AUCs on their own loans.",
        ),
        droppable=(_GAPS[1], _GAPS[3]),
    )


def _row(name: str, runs: Mapping[Split, RunRecord], opponent: Mapping[Split, RunRecord] | None) -> tuple[str, ...]:
    ratio = [value for run in runs.values() if (value := run.evaluation.overall.mean_pd_over_bad_rate) is not None]
    worst = max(epsilon_of(run) for run in runs.values())
    return (
        readable(name),
        str(len(runs)),
        epsilon_text(worst),
        _text(mean_over_splits([value for run in runs.values() if (value := _auc(run)) is not None]), signed=False),
        _text(mean_over_splits(ratio), signed=False, digits=3),
        _text(paired_gap(runs, runs, _auc, lambda run: _reference_auc(run, "pooled_trees"))),
        _text(paired_gap(runs, runs, _auc, lambda run: _reference_auc(run, "pooled"))),
        _text(paired_gap(runs, runs, _auc, _alone_everywhere)),
        _text(paired_gap(runs, runs, _within, _alone_within)),
        ABSENT if opponent is None or opponent is runs else _text(paired_gap(runs, opponent, _auc, _auc)),
    )


def arms_by_split(records: Sequence[RunRecord]) -> dict[str, dict[Split, RunRecord]]:
    """Sort runs by arm and split.

    Args:
        records: finished runs.

    Returns:
        Runs by split by arm, in the order in which arms first come.
    """
    arms: dict[str, dict[Split, RunRecord]] = {}
    for label, record in zip(arm_labels(records), records, strict=True):
        arms.setdefault(label, {})[split_of(record)] = record
    return arms


def _opponent(arms: Mapping[str, Mapping[Split, RunRecord]], against: str | None) -> str | None:
    if against is not None:
        if against not in arms:
            raise InputError(f"against is {against!r}, which is no arm here; there are {', '.join(sorted(arms))}")
        return against
    open_arms = (name for name, runs in arms.items() if all(math.isinf(epsilon_of(run)) for run in runs.values()))
    return next(open_arms, None)


def _auc(run: RunRecord) -> float | None:
    return run.evaluation.overall.auc


def _within(run: RunRecord) -> float | None:
    return run.evaluation.overall.within_auc


def _reference_auc(run: RunRecord, reference: str) -> float | None:
    found = run.references.get(reference)
    return None if found is None else found.evaluation.overall.auc


def _alone_everywhere(run: RunRecord) -> float | None:
    found = run.references.get("alone")
    return None if found is None else found.everywhere_auc


def _alone_within(run: RunRecord) -> float | None:
    found = run.references.get("alone")
    return None if found is None else found.evaluation.overall.within_auc


def _text(mean: MeanOverSplits | None, *, signed: bool = True, digits: int = 4) -> str:
    if mean is None:
        return ABSENT
    value = f"{mean.value:+.{digits}f}" if signed else f"{mean.value:.{digits}f}"
    return value if mean.standard_error is None else f"{value} ({mean.standard_error:.{digits}f})"

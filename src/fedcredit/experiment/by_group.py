"""Runs on simulated markets by kind of lender, or by lender: means over markets against the truth."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal

from fedcredit.errors import InputError
from fedcredit.experiment.market_records import ALL, ORACLE, OWN_INTERCEPT, RUN, TruthFigures, TruthRecord
from fedcredit.experiment.record import RunRecord
from fedcredit.experiment.repeats import MeanOverSplits, Split, arms_by_split, mean_over_splits
from fedcredit.experiment.study import in_order
from fedcredit.experiment.wording import ABSENT, Table, epsilon_of, epsilon_text

By = Literal["kind", "lender"]
Figure = Callable[[TruthFigures], float | None]
_BESIDE = {"alone": "each lender alone", RUN: "federated", "pooled": "pooled", ORACLE: "true PD"}
_CONFIDENCE = 0.95


def group_table(records: Sequence[RunRecord], by: By) -> Table:
    """Average figures over markets, group by group and model by model.

    Arms without privacy stand with their references, private arms by themselves.

    Args:
        records: finished runs on simulated markets, at least one.
        by: ``kind`` or ``lender``.

    Returns:
        One row a group and model.

    Raises:
        InputError: if there is no run, or one is not of a simulated market.
    """
    if not records or any(record.truth is None for record in records):
        raise InputError(f"by is {by}, which needs runs on the simulated market alone; name their results folder")
    arms = arms_by_split(in_order(records))
    rows = [
        (group, *row)
        for group in _groups(records, by)
        for runs in arms.values()
        for row in _rows(group, runs)
    ]  # fmt: skip
    return Table(
        title=f"By {by}, over markets: mean ± {100 * _CONFIDENCE:.0f} % interval",
        headings=(
            by, "model", "epsilon", "AUC", "AUC minus alone", "KS", "profit, bp", "mean PD / true", "own intercept",
            "own intercept, lowest to highest",
        ),
        num_labels=2,
        rows=tuple(rows),
        notes=(
            f"{max(len(runs) for runs in arms.values())} markets. Expected over outcomes drawn from the true PD; AUC "
            "and KS: means of the lenders' own, by loans. Intervals: Student's t over markets. Minus alone: paired, "
            "the same arm's lenders each alone. Profit: expected maximum profit per loan at unsecured terms (12 % lose "
            "nothing, 45 % all; a good loan earns .2644), in basis points of principal.",
        ),
        droppable=("own intercept, lowest to highest",),
    )  # fmt: skip


def _groups(records: Sequence[RunRecord], by: By) -> list[str]:
    kinds: dict[str, str] = {}
    for record in records:
        kinds |= _truth(record).kinds
    return [*dict.fromkeys(kinds.values()), ALL] if by == "kind" else sorted(kinds)


def _rows(group: str, runs: Mapping[Split, RunRecord]) -> Iterator[tuple[str, ...]]:
    epsilon = max(epsilon_of(run) for run in runs.values())
    for model, name in _BESIDE.items():
        if model != RUN and not math.isinf(epsilon):
            continue
        found = [figures for run in runs.values() if (figures := _of(run, model, group)) is not None]
        if not found:
            continue
        own = [value for run in runs.values() if (value := _own_level(run, group)) is not None] if model == RUN else []
        gaps = (
            [] if model == "alone" else [gap for run in runs.values() if (gap := _gap(run, model, group)) is not None]
        )
        yield (
            name,
            epsilon_text(epsilon),
            mean_text(_values(found, lambda item: item.auc), 3),
            mean_text(gaps, 3, sign="+"),
            mean_text(_values(found, lambda item: item.ks), 3),
            mean_text(_values(found, lambda item: None if item.profit_rate is None else 1e4 * item.profit_rate), 1),
            mean_text(_values(found, lambda item: item.mean_pd_over_true), 2),
            mean_text(own, 2),
            f"{min(own):.2f} to {max(own):.2f}" if own else ABSENT,
        )


def _values(found: Sequence[TruthFigures], figure: Figure) -> list[float]:
    return [value for item in found if (value := figure(item)) is not None]


def _of(run: RunRecord, model: str, group: str) -> TruthFigures | None:
    return _truth(run).models.get(model, {}).get(group)


def _own_level(run: RunRecord, group: str) -> float | None:
    found = _of(run, OWN_INTERCEPT, group)
    return None if found is None else found.mean_pd_over_true


def _gap(run: RunRecord, model: str, group: str) -> float | None:
    found, alone = _of(run, model, group), _of(run, "alone", group)
    if found is None or alone is None or found.auc is None or alone.auc is None:
        return None
    return found.auc - alone.auc


def mean_text(values: Sequence[float | None], digits: int, *, sign: str = "") -> str:
    """Write a mean over splits with half of its 95 % interval.

    Args:
        values: one figure per split, ``None`` where a split has none.
        digits: decimals.
        sign: ``"+"`` to show the sign.

    Returns:
        For example ``"0.840 ± 0.050"``; a dash without a figure.
    """
    mean = mean_over_splits([value for value in values if value is not None])
    if mean is None:
        return ABSENT
    value, half = f"{mean.value:{sign}.{digits}f}", half_width(mean)
    return value if half is None else f"{value} ± {half:.{digits}f}"


def half_width(mean: MeanOverSplits) -> float | None:
    """Return half of the 95 % interval of a mean over splits, by Student's t.

    Args:
        mean: the mean.

    Returns:
        The half width, ``None`` for fewer than two splits.
    """
    if mean.standard_error is None:
        return None
    from scipy.stats import t

    return mean.standard_error * float(t.ppf((1.0 + _CONFIDENCE) / 2.0, mean.num_splits - 1))


def _truth(record: RunRecord) -> TruthRecord:
    assert record.truth is not None
    return record.truth

"""The figures of one run: its rounds, what its epsilon means, its lenders, its levels and its calibration."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from pydantic import JsonValue

from fedcredit.credit.calibration import CurveBin
from fedcredit.credit.evaluation import Evaluation, FederationEvaluation
from fedcredit.experiment.epsilon_by_round import Spending
from fedcredit.experiment.figures import MAX_ROWS, Chart, Figure, Mark, Panel, Rows, Series, Trace, rows_figure
from fedcredit.experiment.record import RunRecord
from fedcredit.experiment.review_figures import review_figures
from fedcredit.experiment.wording import (
    SHORT_REFERENCE_NAMES,
    delta_of,
    epsilon_text,
    nearest_pooled,
    readable,
    sampled_by,
    statement_of,
)
from fedcredit.privacy.accounting.statement_wording import at_lenders
from fedcredit.privacy.reading import Reading, percent


def run_figures(record: RunRecord, *, spending: Spending | None = None) -> tuple[Figure, ...]:
    """Declare the figures of one run.

    Args:
        record: the run.
        spending: how its epsilon grew, from its ledgers; without it the record's own line for one lender is drawn.

    Returns:
        Those that the record has numbers for: ``rounds``, ``reading``, ``lenders``, ``calibration``, ``levels``, and
        those of the credit review.
    """
    found = (
        _rounds(record, spending),
        _reading(record),
        _lenders(record),
        _calibration(record),
        _levels(record),
        *review_figures(record.review),
    )
    return tuple(figure for figure in found if figure is not None)


def auc_by_round(record: RunRecord) -> tuple[Mark, ...]:
    """Return the AUC on validation loans at each round that was evaluated.

    Args:
        record: the run.

    Returns:
        One mark a round.
    """
    marks = []
    for item in record.rounds:
        number, area = _number(item.get("server_round")), _number(_part(_part(item, "evaluation"), "overall", "auc"))
        if number is not None and area is not None:
            marks.append(Mark(x=number, y=area, told=f"round {number:g}, AUC {area:.4f}"))
    return tuple(marks)


def epsilon_by_round(record: RunRecord) -> tuple[Mark, ...]:
    """Return the epsilon of the worst-off lender at each round, the quick upper bound that the run kept.

    Args:
        record: the run.

    Returns:
        One mark a round; none without privacy.
    """
    marks = []
    for item in record.rounds:
        number, spent = _number(item.get("server_round")), _number(item.get("epsilon_spent"))
        if number is not None and spent is not None and math.isfinite(spent):
            marks.append(Mark(x=number, y=spent, told=f"round {number:g}, epsilon {epsilon_text(spent)}"))
    return tuple(marks)


def calibration_marks(curve: Sequence[CurveBin]) -> tuple[Mark, ...]:
    """Return the bins of a calibration curve.

    Args:
        curve: bins of equal count.

    Returns:
        One mark a bin.
    """
    return tuple(
        Mark(
            x=item.mean_pd,
            y=item.bad_rate,
            low=item.bad_rate_interval.lower,
            high=item.bad_rate_interval.upper,
            told=f"mean PD {item.mean_pd:.4f}, bad rate {item.bad_rate:.4f} "
            f"[{item.bad_rate_interval.lower:.4f}, {item.bad_rate_interval.upper:.4f}], {item.num_loans:,} loans",
        )
        for item in curve
    )


def calibration_chart(name: str, title: str, curves: Sequence[Trace], *, hidden: tuple[str, ...] = ()) -> Chart | None:
    """Hold calibration curves against the diagonal.

    Args:
        name: of its file.
        title: above it.
        curves: one trace a model or arm.
        hidden: labels shown only when asked for.

    Returns:
        The figure, ``None`` if no curve has a bin.
    """
    marks = [mark for curve in curves for mark in curve.marks]
    if not marks:
        return None
    end = 1.02 * max(max(mark.x, mark.y, mark.high or 0.0) for mark in marks)
    panel = Panel(label="bad rate in the bin", traces=tuple(curves), dashes=((0.0, 0.0, end, end),), from_zero=True)
    return Chart(
        name=name,
        title=title,
        description="Bad rate against mean PD in bins of equal count, with intervals; the dashed line is right.",
        axis="mean PD in the bin",
        panels=(panel,),
        is_square=True,
        hidden=hidden,
    )


def _rounds(record: RunRecord, spending: Spending | None) -> Chart | None:
    panels, described = [], []
    if area := auc_by_round(record):
        panels.append(
            Panel(label="AUC, validation loans", traces=(Trace(label="AUC", place=0, marks=area, kind="line"),))
        )
        described.append("AUC on validation loans.")
    if epsilon := _epsilon_panel(record, spending):
        panels.append(epsilon)
        described.append(
            "Epsilon spent so far, as a quick upper bound, for a borrower at each of the lenders that cost most in the "
            "end; dashed lines are the statement's tighter figures."
        )
    if not panels:
        return None
    title = "AUC and epsilon over rounds" if epsilon else "AUC over rounds (no privacy)"
    return Chart(name="rounds", title=title, description=" ".join(described), axis="round", panels=tuple(panels))


def _epsilon_panel(record: RunRecord, spending: Spending | None) -> Panel | None:
    statement = statement_of(record)
    if statement is None:
        return None
    curves = {1: epsilon_by_round(record)}
    if spending is not None:
        curves = {
            count: tuple(
                Mark(x=number, y=value, told=f"round {number}, epsilon {epsilon_text(value)}")
                for number, value in zip(spending.rounds, values, strict=True)
                if math.isfinite(value)
            )
            for count, values in spending.by_lenders.items()
        }
    traces = tuple(
        Trace(label=_lenders_label(count, statement.unit), place=count, marks=marks, kind="line")
        for count, marks in curves.items()
        if marks
    )
    if not traces:
        return None
    places = [mark.x for trace in traces for mark in trace.marks]
    stated = [statement.worst, *(bound for count, bound in sorted(statement.overlap.items()) if count <= 3)]
    dashes = tuple((min(places), x.value, max(places), x.value) for x in stated if math.isfinite(x.value))
    return Panel(label=f"epsilon, delta {delta_of(record):g}", traces=traces, dashes=dashes, from_zero=True)


def _reading(record: RunRecord) -> Chart | None:
    statement = statement_of(record)
    if statement is None:
        return None
    rates = statement.reading[1].false_positive_rates
    traces = tuple(
        Trace(label=_lenders_label(count, statement.unit), place=count, marks=_hits(found), kind="line")
        for count, found in sorted(statement.reading.items())
        if count <= 3
    )
    guess = tuple(
        Mark(x=place, y=100.0 * rate, told=f"{100 * rate:g} % at {100 * rate:g} % false alarms")
        for place, rate in enumerate(rates)
    )
    traces += (Trace(label="guessing", place=4, marks=guess, kind="line"),)
    return Chart(
        name="reading",
        title="What an attacker makes of it",
        description="Share of used records that the best attacker recognises, at most, by the share of unused ones it "
        "wrongly suspects; what a guess would find beside it.",
        axis="wrongly suspected (false alarms)",
        panels=(Panel(label="recognised, at most, %", traces=traces, from_zero=True),),
        ticks=tuple((float(place), f"{100 * rate:g} %") for place, rate in enumerate(rates)),
    )


def _hits(found: Reading) -> tuple[Mark, ...]:
    pairs = zip(found.false_positive_rates, found.true_positive_rates, strict=True)
    return tuple(
        Mark(x=place, y=100.0 * hit, told=f"at most {percent(hit)} % at {100 * rate:g} % false alarms")
        for place, (rate, hit) in enumerate(pairs)
    )


def _lenders_label(count: int, unit: str) -> str:
    return "one institution" if unit == "institution" else at_lenders(count)


def _lenders(record: RunRecord) -> Rows | None:
    names, labels, plain = _rows_of(record, everyone="mean by loans")
    pooled = nearest_pooled([record])
    series = [_lender_series("federated", 0, record.evaluation, names)]
    for place, name in enumerate(("alone", pooled), start=1):
        if name in record.references:
            series.append(_lender_series(SHORT_REFERENCE_NAMES[name], place, record.references[name].evaluation, names))
    return rows_figure("lenders", "AUC by lender", "AUC on held-out loans", labels, series, plain=plain)


def _lender_series(label: str, place: int, found: FederationEvaluation, names: Sequence[str | None]) -> Series:
    """Take the mean of the lenders' own AUCs for all of them, so that all rows compare within lenders."""
    rows = _by_name(found, names)
    return Series(
        label=label,
        place=place,
        values=[
            None if item is None else item.within_auc if name is None else item.auc
            for name, item in zip(names, rows, strict=True)
        ],
        intervals=[
            None if item is None or name is None else item.auc_interval for name, item in zip(names, rows, strict=True)
        ],
    )


def ratio_series(label: str, place: int, found: Sequence[Evaluation | None]) -> Series:
    """Take mean PD over bad rate, but for ratios of zero, which have no place on a logarithmic axis.

    Args:
        label: of the model.
        place: of its colour and marker.
        found: an evaluation a row, ``None`` where there is none.

    Returns:
        The series.
    """
    drawn = [item if item is not None and item.mean_pd_over_bad_rate else None for item in found]
    return Series(
        label=label,
        place=place,
        values=[None if item is None else item.mean_pd_over_bad_rate for item in drawn],
        intervals=[
            span if item is not None and (span := item.mean_pd_over_bad_rate_interval) and span.lower > 0.0 else None
            for item in drawn
        ],
    )


def _levels(record: RunRecord) -> Rows | None:
    names, labels, plain = _rows_of(record, everyone="all loans")
    series = [ratio_series("shared model", 0, _by_name(record.evaluation, names))]
    if record.own_intercept is not None:
        series.append(ratio_series("own intercept", 1, _by_name(record.own_intercept, names)))
    return rows_figure(
        "levels", "Mean PD over bad rate by lender", "mean PD / bad rate", labels, series, plain=plain, is_ratio=True
    )


def _calibration(record: RunRecord) -> Chart | None:
    curves = [("shared model", record.evaluation.overall.calibration_curve)]
    if record.own_intercept is not None:
        curves.append(("own intercepts", record.own_intercept.overall.calibration_curve))
    traces = [
        Trace(label=label, place=place, marks=calibration_marks(curve)) for place, (label, curve) in enumerate(curves)
    ]
    return calibration_chart("calibration", "Calibration, all held-out loans", traces)


def _rows_of(record: RunRecord, *, everyone: str) -> tuple[list[str | None], list[str], list[str]]:
    """Choose the rows of a figure: all lenders (``None``), then the largest lenders, largest first."""
    numbered = list(enumerate(record.contracts, start=1))
    largest = sorted(numbered, key=lambda item: -item[1].num_loans)[: MAX_ROWS - 1]
    names: list[str | None] = [contract.institution for _, contract in largest]
    sampled = sampled_by(record)
    labels = [f"{readable(contract.institution)}\n{contract.num_loans:,} train {sampled}" for _, contract in largest]
    plain = [f"lender no. {number}" for number, _ in largest]
    if len(numbered) == 1:
        return names, labels, plain
    count = f"{len(numbered)} lenders"
    scope = count if len(largest) == len(numbered) else f"{count}, largest {len(largest)} below"
    return [None, *names], [f"{everyone}\n{scope}", *labels], [everyone, *plain]


def _by_name(found: FederationEvaluation, names: Sequence[str | None]) -> list[Evaluation | None]:
    return [found.overall if name is None else found.institutions.get(name) for name in names]


def _part(value: object, *keys: str) -> JsonValue:
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value  # type: ignore[return-value]


def _number(value: JsonValue) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None

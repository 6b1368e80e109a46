"""Figures of a credit review: deciles, segments, groups and drift."""

from __future__ import annotations

from collections.abc import Mapping

from fedcredit.credit.deciles import Decile
from fedcredit.credit.fairness import Fairness
from fedcredit.credit.review import Drift, Review
from fedcredit.credit.segments import Segment
from fedcredit.experiment.figures import MAX_ROWS, Chart, Figure, Mark, Panel, Rows, Series, Trace, rows_figure

_LENDER = "lender"
_MAX_DRIFT = 15


def review_figures(review: Review | None) -> tuple[Figure, ...]:
    """Declare the figures of a credit review.

    Args:
        review: the review of a run, ``None`` where it has none.

    Returns:
        Those that the review has numbers for: ``deciles``, ``segments``, ``groups``, ``drift``.
    """
    if review is None:
        return ()
    found: list[Figure | None] = []
    if review.profit is not None and review.profit.deciles:
        found.append(_deciles(review.profit.deciles))
    if review.segments is not None:
        found.append(_segments(review.segments))
    if review.fairness:
        found.append(_groups(review.fairness))
    if review.drift is not None:
        found.append(_drift(review.drift))
    return tuple(figure for figure in found if figure is not None)


def _deciles(found: tuple[Decile, ...]) -> Chart:
    bars = tuple(
        Mark(
            x=item.decile,
            y=item.bad_rate,
            low=item.bad_rate_interval.lower,
            high=item.bad_rate_interval.upper,
            told=f"{item.bad_rate:.4f} in decile {item.decile}, {item.num_defaults:,} of {item.num_loans:,} loans",
        )
        for item in found
    )
    levels = tuple(Mark(x=d.decile, y=d.mean_pd, told=f"{d.mean_pd:.4f} in decile {d.decile}") for d in found)
    caught = tuple(
        Mark(x=item.decile, y=item.captured_rate or 0.0, told=f"{item.captured_rate or 0.0:.3f} up to {item.decile}")
        for item in found
    )
    return Chart(
        name="deciles",
        title="Deciles of risk",
        description="Bad rate with its interval and mean PD by decile; below, the share of all defaults in the deciles "
        "so far, and what a blind score would catch (dashed).",
        axis="decile of risk, riskiest first",
        panels=(
            Panel(
                label="rate",
                traces=(
                    Trace(label="bad rate", place=0, marks=bars, kind="bars"),
                    Trace(label="mean PD", place=2, marks=levels),
                ),
                from_zero=True,
            ),
            Panel(
                label="share of defaults caught",
                traces=(Trace(label="capture", place=1, marks=caught, kind="line"),),
                dashes=((1.0, 0.1, 10.0, 1.0),),
                from_zero=True,
            ),
        ),
        ticks=tuple((float(place), str(place)) for place in range(1, 11)),
    )


def _segments(found: Mapping[str, tuple[Segment, ...]]) -> Rows | None:
    rows = [(column, item) for column, segments in found.items() if column != _LENDER for item in segments][:MAX_ROWS]
    labels = [f"{item.name}{' *' * item.is_small}\n{column}" for column, item in rows]
    series = Series(
        label="AUC", place=0, values=[item.auc for _, item in rows], intervals=[item.auc_interval for _, item in rows]
    )
    return rows_figure("segments", "AUC by segment", "AUC on held-out loans", labels, [series])


def _groups(found: Mapping[str, Fairness]) -> Rows | None:
    rows = [(column, group) for column, item in found.items() for group in item.groups][:MAX_ROWS]
    labels = [f"{group.name}{' *' * group.is_small}\n{column}" for column, group in rows]
    groups = [group for _, group in rows]
    series = [
        Series(
            label="all loans",
            place=0,
            values=[group.approval_rate for group in groups],
            intervals=[group.approval_rate_interval for group in groups],
        ),
        Series(
            label="loans that did not default",
            place=1,
            values=[group.good_approval_rate for group in groups],
            intervals=[group.good_approval_rate_interval for group in groups],
        ),
    ]
    return rows_figure("groups", "Approval rate by group", "approval rate", labels, series)


def _drift(found: Drift) -> Rows | None:
    largest = sorted(found.columns.items(), key=lambda item: -item[1].psi)[:_MAX_DRIFT]
    rows = [("score (PD)", found.score), *largest]
    none = [None] * len(rows)
    series = [
        Series(label="PSI", place=0, values=[item.psi for _, item in rows], intervals=none, kind="bars"),
        Series(
            label=f"chance stays below, {100 * found.confidence:g} %",
            place=1,
            values=[item.chance_quantile for _, item in rows],
            intervals=none,
            kind="limits",
        ),
    ]
    return rows_figure(
        "drift",
        "Drift, training to held-out loans",
        "PSI",
        [name for name, _ in rows],
        series,
        description="PSI of the score and of the columns that moved most, beside what chance alone stays below.",
    )

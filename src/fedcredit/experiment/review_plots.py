"""Pictures of a credit review: deciles, segments, groups and drift."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fedcredit.credit.deciles import Decile
from fedcredit.credit.fairness import Fairness
from fedcredit.credit.review import Drift, Review
from fedcredit.credit.segments import Segment
from fedcredit.experiment.canvas import Picture, Theme, draw, label_of, legend_below
from fedcredit.experiment.rows import MAX_ROWS, Series, row_picture

_LENDER = "lender"
_MAX_DRIFT = 15


def review_pictures(review: Review | None) -> tuple[Picture, ...]:
    """Draw the pictures of a credit review.

    Args:
        review: the review of a run, ``None`` where it has none.

    Returns:
        The pictures that the review has figures for: ``deciles``, ``segments``, ``groups``, ``drift``.
    """
    if review is None:
        return ()
    drawn: list[Picture | None] = []
    if review.profit is not None and review.profit.deciles:
        drawn.append(_deciles(review.profit.deciles))
    if review.segments is not None:
        drawn.append(_segments(review.segments))
    if review.fairness:
        drawn.append(_groups(review.fairness))
    if review.drift is not None:
        drawn.append(_drift(review.drift))
    return tuple(picture for picture in drawn if picture is not None)


def _deciles(found: tuple[Decile, ...]) -> Picture:
    def paint(figure: Figure, colours: Theme) -> None:
        rates, caught = figure.subplots(2, 1, sharex=True)
        places = [item.decile for item in found]
        rates.bar(places, [item.bad_rate for item in found], color=colours.series[0], width=0.7, label="bad rate")
        spans = [item.bad_rate_interval for item in found]
        rates.vlines(
            places, [span.lower for span in spans], [span.upper for span in spans], color=colours.ink, linewidth=1
        )
        rates.plot(
            places, [item.mean_pd for item in found], "D", color=colours.series[1], markersize=4.5, label="mean PD"
        )
        rates.set_ylabel("rate")
        shares = [0.0, *(item.captured_rate or 0.0 for item in found)]
        caught.plot([0, *places], shares, "o-", color=colours.series[0], markersize=4)
        caught.plot([0, 10], [0, 1], color=colours.quiet, linewidth=0.9, linestyle=(0, (4, 3)))
        caught.set(ylabel="capture", xlabel="decile of risk, riskiest first", ylim=(0, 1.03))
        caught.set_xticks(range(1, 11))
        figure.suptitle("Deciles of risk", x=0.01, horizontalalignment="left")
        legend_below(figure, rates)

    description = (
        "Bad rate with its interval and mean PD by decile; below, the share of all defaults in the deciles so far, and "
        "what a blind score would catch (dashed)."
    )
    light, dark = draw(paint, height=4.4)
    return Picture(name="deciles", title="Deciles of risk", description=description, png=light, dark_png=dark)


def _segments(found: Mapping[str, tuple[Segment, ...]]) -> Picture | None:
    rows = [(column, item) for column, segments in found.items() if column != _LENDER for item in segments][:MAX_ROWS]
    if not rows:
        return None
    labels = [
        f"{label_of(column, otherwise='segment')}\n{label_of(item.name, otherwise='segment')}{' *' * item.is_small}"
        for column, item in rows
    ]
    series = Series(
        label="AUC", place=0, values=[item.auc for _, item in rows], intervals=[item.auc_interval for _, item in rows]
    )
    return row_picture("segments", "AUC by segment", "AUC on held-out loans", labels, [series])


def _groups(found: Mapping[str, Fairness]) -> Picture | None:
    rows = [(column, group) for column, item in found.items() for group in item.groups][:MAX_ROWS]
    labels = [
        f"{label_of(column, otherwise='group')}\n{label_of(group.name, otherwise='group')}{' *' * group.is_small}"
        for column, group in rows
    ]
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
    return row_picture("groups", "Approval rate by group", "approval rate", labels, series)


def _drift(found: Drift) -> Picture:
    largest = sorted(found.columns.items(), key=lambda item: -item[1].psi)[:_MAX_DRIFT]
    rows = [("score (PD)", found.score), *largest]
    level = f"{100 * found.confidence:g} %"

    def paint(figure: Figure, colours: Theme) -> None:
        axes = figure.subplots()
        places = range(len(rows))
        axes.barh(places, [item.psi for _, item in rows], color=colours.series[0], height=0.6, label="PSI")
        axes.plot(
            [item.chance_quantile for _, item in rows], places, "|", color=colours.series[1], markersize=11,
            markeredgewidth=2, label=f"chance stays below, {level}",
        )  # fmt: skip
        axes.set_yticks(places, [label_of(name, otherwise="column") for name, _ in rows])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.grid(axis="y", visible=False)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.set_xlabel("PSI")
        figure.suptitle("Drift, training to held-out loans", x=0.01, horizontalalignment="left")
        legend_below(figure, axes)

    light, dark = draw(paint, height=1.3 + 0.24 * len(rows))
    description = "PSI of the score and of the columns that moved most, beside what chance alone stays below."
    return Picture(name="drift", title="Drift", description=description, png=light, dark_png=dark)

"""The credit review of a run as text tables."""

from __future__ import annotations

from collections.abc import Mapping

from fedcredit.credit.fairness import Fairness, Gap
from fedcredit.credit.goodness_of_fit import GoodnessOfFit
from fedcredit.credit.review import Drift, ProfitReview, ReasonReview, Review
from fedcredit.credit.scorecard import Scorecard
from fedcredit.credit.segments import Segment
from fedcredit.credit.stability import Stability
from fedcredit.experiment.wording import ABSENT, Table, figure_text, interval_text, readable

_SMALL = "*"
_MAX_COLUMNS = 30


def review_tables(review: Review | None) -> tuple[Table, ...]:
    """Return the tables of a credit review.

    Args:
        review: the review of a run, ``None`` where it has none.

    Returns:
        Money and tests, deciles, segments, fairness, drift and reasons: those that were asked for.
    """
    if review is None:
        return ()
    tables: list[Table] = []
    if review.profit is not None:
        tables += [worth_table(review.profit), decile_table(review.profit)]
    if review.segments is not None:
        tables.append(segment_table(review.segments))
    if review.fairness:
        tables += [gap_table(review.fairness), group_table(review.fairness)]
    if review.drift is not None:
        tables.append(drift_table(review.drift))
    if review.reasons is not None:
        tables.append(reason_table(review.reasons))
    return tuple(tables)


def worth_table(found: ProfitReview) -> Table:
    """Return what the score is worth, and whether its level can be right.

    Args:
        found: the profit part of a review.

    Returns:
        The table.
    """
    terms, money, measure = found.terms, found.maximum_profit, found.h_measure
    tests = (("Hosmer-Lemeshow", found.hosmer_lemeshow), ("Spiegelhalter z", found.spiegelhalter))
    rows = [
        (
            "H-measure",
            figure_text(measure),
            interval_text(found.h_measure_interval, digits=4),
            ABSENT,
        ),
        (
            "expected maximum profit, per unit lent",
            figure_text(None if money is None else money.profit_rate, digits=5),
            interval_text(found.maximum_profit_interval, digits=5),
            ABSENT,
        ),
        (
            "share of loans then rejected",
            figure_text(None if money is None else money.rejected_rate),
            ABSENT,
            ABSENT,
        ),
        *((name, *_test_texts(test)) for name, test in tests),
    ]
    warnings = dict.fromkeys(f"{name}: {test.warning}" for name, test in tests if test is not None and test.warning)
    return Table(
        title="What the score is worth",
        headings=("metric", "value", "interval", "p-value"),
        num_labels=1,
        rows=tuple(rows),
        notes=(
            f"Of a default nothing is lost with probability {terms.no_loss_probability:g}, all with "
            f"{terms.total_loss_probability:g}, else a uniform share; a good loan returns {terms.return_rate:g} "
            "(evaluation.profit). Intervals: bootstrap of the held-out loans.",
            "Both tests ask whether chance explains the gap between PD and outcome, not whether the gap matters.",
            *warnings,
        ),
    )


def decile_table(found: ProfitReview) -> Table:
    """Return lift and capture by decile of risk.

    Args:
        found: the profit part of a review.

    Returns:
        The table, the riskiest decile first.
    """
    card = Scorecard()
    rows = tuple(
        (
            str(item.decile),
            f"{item.num_loans:,}",
            f"{item.num_defaults:,}",
            "{:.0f} to {:.0f}".format(*card.points([item.highest_pd, item.lowest_pd])),
            figure_text(item.mean_pd),
            figure_text(item.bad_rate),
            interval_text(item.bad_rate_interval),
            figure_text(item.lift, digits=2),
            figure_text(item.captured_rate, digits=3),
            interval_text(item.captured_rate_interval),
        )
        for item in found.deciles
    )
    return Table(
        title="Deciles of risk",
        headings=(
            "decile", "loans", "defaults", "score, points", "mean PD", "bad rate", "bad rate interval", "lift",
            "capture", "capture interval",
        ),
        num_labels=1,
        rows=rows,
        notes=(
            "Riskiest first. Lift: bad rate over that of all loans. Capture: share of all defaults in this decile and "
            "the riskier ones. Intervals: Wilson.",
            f"Score: {card.base_points:g} points at {card.base_odds:g} goods a bad, {card.points_to_double:g} more "
            "double the odds.",
        ),
        droppable=("capture interval", "bad rate interval", "score, points"),
    )  # fmt: skip


def segment_table(found: Mapping[str, tuple[Segment, ...]]) -> Table:
    """Return every segment of the held-out loans.

    Args:
        found: segments by column.

    Returns:
        One row a segment; small ones carry a star.
    """
    rows = tuple(
        (
            column,
            readable(item.name) + (f" {_SMALL}" if item.is_small else ""),
            f"{item.num_loans:,}",
            f"{item.num_defaults:,}",
            figure_text(item.bad_rate, digits=3),
            interval_text(item.bad_rate_interval),
            figure_text(item.auc, digits=3),
            interval_text(item.auc_interval),
            figure_text(item.mean_pd_over_bad_rate, digits=2),
            interval_text(item.mean_pd_over_bad_rate_interval, digits=2),
        )
        for column, segments in found.items()
        for item in segments
    )
    return Table(
        title="Segments",
        headings=(
            "by", "segment", "loans", "defaults", "bad rate", "bad rate interval", "AUC", "AUC interval",
            "mean PD / bad rate", "ratio interval",
        ),
        num_labels=2,
        rows=rows,
        notes=(
            f"{_SMALL}: fewer than 10 defaults or 10 other loans; read the intervals alone. Intervals: Wilson, DeLong, "
            "delta method. A band holds its lower end, not its upper.",
        ),
        droppable=("bad rate interval", "ratio interval", "AUC interval"),
    )  # fmt: skip


def gap_table(found: Mapping[str, Fairness]) -> Table:
    """Return the largest gaps between groups at the cut-off.

    Args:
        found: fairness by column.

    Returns:
        Two rows a column that has two groups that are not small, else one row of dashes.
    """
    rows = []
    for column, item in found.items():
        for name, gap in (
            ("demographic parity (approval rate)", item.demographic_parity),
            ("equal opportunity (approval rate of goods)", item.equal_opportunity),
        ):
            rows.append((column, name, *_gap_texts(gap)))
    first = next(iter(found.values()))
    return Table(
        title="Fairness: largest gap between two groups",
        headings=("groups by", "criterion", "difference", "interval", "smallest ratio"),
        num_labels=2,
        rows=tuple(rows),
        notes=(
            f"At the cut-off PD {first.cut_off:.4f}, which approves {100 * first.approval_rate:.1f} % of held-out "
            "loans (evaluation.approval_rate). Intervals: bootstrap; a largest gap is above 0 by chance too.",
        ),
    )


def group_table(found: Mapping[str, Fairness]) -> Table:
    """Return each group's rates at the cut-off, and its calibration.

    Args:
        found: fairness by column.

    Returns:
        One row a group; small ones carry a star.
    """
    rows = tuple(
        (
            column,
            readable(group.name) + (f" {_SMALL}" if group.is_small else ""),
            f"{group.num_loans:,}",
            figure_text(group.approval_rate, digits=3),
            interval_text(group.approval_rate_interval),
            figure_text(group.good_approval_rate, digits=3),
            interval_text(group.good_approval_rate_interval),
            figure_text(group.mean_pd_over_bad_rate, digits=2),
            interval_text(group.mean_pd_over_bad_rate_interval, digits=2),
        )
        for column, item in found.items()
        for group in item.groups
    )
    return Table(
        title="Fairness: groups",
        headings=(
            "groups by", "group", "loans", "approved", "approved interval", "goods approved", "goods interval",
            "mean PD / bad rate", "ratio interval",
        ),
        num_labels=2,
        rows=rows,
        notes=(
            f"{_SMALL}: fewer than 30 loans that did not default; shown, but kept out of the gaps. Calibration within "
            "groups: mean PD over bad rate, 1 is right.",
        ),
        droppable=("approved interval", "ratio interval", "goods interval"),
    )  # fmt: skip


def drift_table(found: Drift) -> Table:
    """Return the PSI of the score and of each column, the score first and then the largest.

    Args:
        found: the drift part of a review.

    Returns:
        The table, at most 30 columns.
    """
    columns = sorted(found.columns.items(), key=lambda item: -item[1].psi)
    shown = columns[:_MAX_COLUMNS]
    exceeding = sum(item.has_moved for _, item in columns)
    level = found.confidence
    return Table(
        title="Drift from training to held-out loans",
        headings=("column", "PSI", f"chance stays below ({100 * level:g} %)", "bins", "beyond chance"),
        num_labels=1,
        rows=(("score (PD)", *_psi_texts(found.score)), *((name, *_psi_texts(item)) for name, item in shown)),
        notes=(
            f"{found.num_reference:,} loans for training and validation against {found.num_new:,} held out. Where "
            f"nothing moved, {100 * (1 - level):g} % of columns are beyond chance: of {len(columns)} columns, "
            f"{exceeding} are. The law takes loans as independent.",
            *((f"The {len(shown)} largest of {len(columns)} columns.",) if len(shown) < len(columns) else ()),
        ),
    )


def reason_table(found: ReasonReview) -> Table:
    """Return the columns that count most against declined loans.

    Args:
        found: the reasons part of a review.

    Returns:
        The table, the most frequent reason first.
    """
    return Table(
        title="Reasons for declining",
        headings=("column", "among the first four", "points it costs then"),
        num_labels=1,
        rows=tuple(
            (item.column, f"{100 * item.share_of_declined:.1f} %", f"{item.mean_points:.1f}") for item in found.reasons
        ),
        notes=(
            f"{found.num_declined:,} declined loans (PD of {found.cut_off:.4f} and above), by integrated gradients "
            "from the loan at the schema's public centres; attributions add up to the log-odds to "
            f"{found.largest_gap:.0e}.",
        ),
    )


def review_headline(review: Review | None) -> tuple[tuple[str, str], ...]:
    """Return the few figures of a review that a terminal shows.

    Args:
        review: the review of a run, ``None`` where it has none.

    Returns:
        Pairs of label and text.
    """
    if review is None:
        return ()
    found: list[tuple[str, str]] = []
    if review.profit is not None and review.profit.maximum_profit is not None and review.profit.deciles:
        money, worst = review.profit.maximum_profit, review.profit.deciles[0]
        found.append(
            ("expected maximum profit", f"{money.profit_rate:.4f} a unit, rejecting {100 * money.rejected_rate:.1f} %")
        )
        found.append(
            ("riskiest decile", f"{100 * (worst.captured_rate or 0.0):.1f} % of defaults, lift {worst.lift or 0.0:.2f}")
        )
    for column, item in (review.fairness or {}).items():
        if item.equal_opportunity is not None:
            gap = item.equal_opportunity
            found.append((f"equal opportunity gap, {column}", f"{gap.difference:.3f} {interval_text(gap.interval)}"))
    if review.drift is not None:
        score = review.drift.score
        found.append(("PSI of the score", f"{score.psi:.4f} (chance stays below {score.chance_quantile:.4f})"))
    return tuple(found)


def _test_texts(test: GoodnessOfFit | None) -> tuple[str, str, str]:
    return (ABSENT, ABSENT, ABSENT) if test is None else (f"{test.statistic:.4f}", ABSENT, f"{test.p_value:.3g}")


def _gap_texts(gap: Gap | None) -> tuple[str, str, str]:
    if gap is None:
        return ABSENT, ABSENT, ABSENT
    return f"{gap.difference:.3f}", interval_text(gap.interval), figure_text(gap.ratio, digits=3)


def _psi_texts(found: Stability) -> tuple[str, str, str, str]:
    return (
        f"{found.psi:.4f}",
        f"{found.chance_quantile:.4f}",
        str(found.num_bins),
        "yes" if found.has_moved else "no",
    )

"""The price of privacy and decision churn as tables for a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from fedcredit.experiment.decisions.beside_money import AHEAD, EARLY, GAP, LEAD, PLAIN_EARLY, RULE_AHEAD, RULE_EARLY
from fedcredit.experiment.decisions.churn import Churn
from fedcredit.experiment.decisions.price_of_privacy import AGAINST, ALL, Paired, Price, PriceOfPrivacy
from fedcredit.experiment.wording import ABSENT, Table, readable

By = Literal["kind", "lender"]
_SHOWN = (
    ("profit of asked", "profit_per_100_asked"),
    ("profit of approved", "profit_per_100"),
    ("expected loss", "expected_loss_bp"),
    ("capital", "capital_bp"),
    ("mezzanine loss", "tranche_loss_bp.mezzanine"),
    ("subordinated loss", "tranche_loss_bp.subordinated"),
)


def price_tables(found: PriceOfPrivacy, *, by: By = "kind") -> list[Table]:
    """Lay the price of privacy out: the figures, the three differences, and where federating stops paying.

    Args:
        found: the comparison.
        by: ``kind`` of lender (and all together), or ``lender``.

    Returns:
        Five tables; where there are figures for them, early warning and gaps between groups of people behind them.
    """
    prices = [price for price in found.prices if is_shown(price.group, found, by)]
    return [
        _figures(prices, found),
        *(_differences(prices, found, against) for against in AGAINST),
        _break_even(found, by),
        *_early(prices),
        *_gaps(prices),
    ]


def churn_table(found: Sequence[Churn], *, by: By = "kind") -> Table:
    """Lay decision churn out.

    Args:
        found: as `decision_churn` returns it.
        by: ``kind`` leaves out single lenders.

    Returns:
        One row a budget and group.
    """
    rows = [
        (
            _epsilon(churn.epsilon),
            readable(churn.group),
            str(churn.num_loans),
            _percent(churn.approval_rate),
            _percent(churn.approvals_flipped_rate),
            _percent(churn.ever_flipped_rate),
            _percent(churn.limits_changed_rate),
            _percent(churn.reasons_changed_rate),
        )
        for churn in found
        if by == "lender" or not churn.is_lender
    ]
    seeds = sorted({churn.num_seeds for churn in found})
    return Table(
        title="Decision churn: the same experiment trained again with other noise, % of held-out loans",
        headings=(
            "epsilon", "group", "loans", "approved", "approval flips", "ever flips", "limit changes", "reason changes",
        ),
        num_labels=2,
        rows=tuple(rows),
        notes=(
            f"{' to '.join(str(count) for count in sorted({seeds[0], seeds[-1]}))} trainings on one split. Flips and "
            "changes: mean over pairs of trainings; ever flips: not all trainings agree. A limit changes when it moves "
            "by more than the policy's least change. Reasons: first reason of loans that every training refuses. Where "
            "nearly all are approved, little can flip. Without privacy batches alone differ.",
        ),
        droppable=("loans",),
    )  # fmt: skip


def _figures(prices: Sequence[Price], found: PriceOfPrivacy) -> Table:
    truth = "true_" if found.profit.startswith("true_") else ""
    names = (
        "approval_rate", f"{truth}profit_per_100", f"{truth}profit_per_100_asked", "profit_per_100",
        "expected_loss_bp", f"{truth}loss_bp", "capital_bp", "tranche_loss_bp.senior", "tranche_loss_bp.mezzanine",
        "tranche_loss_bp.subordinated",
    )  # fmt: skip
    digits = (3, 2, 2, 2, 0, 0, 0, 2, 0, 0)
    beyond = "at the true PD" if truth else "as outcomes went"
    return Table(
        title=f"Lending by the federated network: means over {found.num_seeds} seeds",
        headings=(
            "group", "epsilon", "approved", "profit per 100", "per 100 asked", "as it went", "expected loss, bp",
            "loss, bp", "capital, bp", "senior, bp", "mezzanine, bp", "subordinated, bp",
        ),
        num_labels=2,
        rows=tuple(
            (
                readable(price.group),
                _epsilon(price.epsilon),
                *(_number(price.figures.get(name), places) for name, places in zip(names, digits, strict=True)),
            )
            for price in prices
        ),
        notes=(
            "Approved: below the profit cut-off, at each lender's own level. Profit per 100 of approved amount and of "
            f"all that was asked for, and loss, {beyond}; as it went: profit by outcomes. Expected loss and capital "
            "(Basel, other retail) as the model sees them; tranches of the pool of all approved loans.",
        ),
        droppable=("senior, bp", "subordinated, bp", "mezzanine, bp", "as it went"),
    )  # fmt: skip


def _differences(prices: Sequence[Price], found: PriceOfPrivacy, against: str) -> Table:
    truth = "true_" if found.profit.startswith("true_") else ""
    names = [f"{truth}{name}" if name.startswith("profit") else name for _, name in _SHOWN]
    rows = [
        (readable(price.group), _epsilon(price.epsilon), *(_paired(price.differences[against].get(n)) for n in names))
        for price in prices
        if price.differences[against] and not (against == AGAINST[2] and math.isinf(price.epsilon))
    ]
    return Table(
        title=f"Federated minus {against}, basis points",
        headings=("group", "epsilon", *(heading for heading, _ in _SHOWN)),
        num_labels=2,
        rows=tuple(rows),
        notes=(
            "Paired seed by seed on the same loans, 95 % t intervals; not adjusted for their number. Losses and "
            "capital are of approved amount, and rise where more is approved.",
        ),
        droppable=("subordinated loss", "mezzanine loss"),
    )


def _break_even(found: PriceOfPrivacy, by: By) -> Table:
    rows = [
        (
            readable(item.group),
            item.against,
            item.verdict,
            ", ".join(f"{epsilon:g}" for epsilon in item.clearly_pays) or ABSENT,
            ", ".join(f"{epsilon:g}" for epsilon in item.clearly_costs) or ABSENT,
        )
        for item in found.break_even
        if is_shown(item.group, found, by)
    ]
    return Table(
        title="From which epsilon on federating pays, by profit of all that was asked for",
        headings=("group", "against", "break-even epsilon", "clearly pays at", "clearly costs at"),
        num_labels=2,
        rows=tuple(rows),
        notes=("Interpolated in log epsilon between means; clearly: the whole 95 % interval is on one side of 0.",),
    )


def _early(prices: Sequence[Price]) -> list[Table]:
    shown = [price for price in prices if EARLY in price.figures]
    if not shown:
        return []
    return [
        Table(
            title="Early warning, at as many alarms as enters M1",
            headings=("group", "epsilon", "early, %", *(f"minus {against}" for against in AGAINST),
                      "without buckets, %", "enters M1, %", "6 months, %", f"minus {AGAINST[2]}, 6 months",
                      "enters M1, 6 months, %", "median lead, months"),
            num_labels=2,
            rows=tuple(
                (
                    readable(price.group),
                    _epsilon(price.epsilon),
                    _percent(price.figures.get(EARLY)),
                    *(_against(price, against, EARLY) for against in AGAINST),
                    _percent(price.figures.get(PLAIN_EARLY)),
                    _percent(price.figures.get(RULE_EARLY)),
                    _percent(price.figures.get(AHEAD)),
                    _against(price, AGAINST[2], AHEAD),
                    _percent(price.figures.get(RULE_AHEAD)),
                    _number(price.figures.get(LEAD), 1),
                )
                for price in shown
            ),
            notes=(
                "Share of defaults of held-out accounts alarmed 3 and 6 months before, at each lender's level of each "
                "bucket, without these levels, and by the rule; differences in percentage points, paired seed by seed, "
                "95 % t intervals. What a network adds is earlier alarms; 3 months before, the rule is at its ceiling.",
            ),
            droppable=(f"minus {AGAINST[0]}", f"minus {AGAINST[2]}, 6 months", f"minus {AGAINST[1]}"),
        )
    ]  # fmt: skip


def _gaps(prices: Sequence[Price]) -> list[Table]:
    names = sorted({name for price in prices for name in price.figures if name.startswith(GAP)})
    if not names:
        return []
    labels = [readable(name.removeprefix(GAP)) for name in names]
    return [
        Table(
            title="Gaps between groups of people: share of good loans approved, largest minus smallest",
            headings=("group", "epsilon", *(part for label in labels for part in (
                f"{label}, %", f"minus {AGAINST[1]}, {label}", f"minus {AGAINST[2]}, {label}"))),
            num_labels=2,
            rows=tuple(
                (
                    readable(price.group),
                    _epsilon(price.epsilon),
                    *(
                        text
                        for name in names
                        for text in (
                            _percent(price.figures.get(name)),
                            _against(price, AGAINST[1], name),
                            _against(price, AGAINST[2], name),
                        )
                    ),
                )
                for price in prices
            ),
            notes=(
                "Equal opportunity at the profit cut-off; groups with fewer than 30 good loans are passed over. "
                "Differences in percentage points, paired seed by seed, 95 % t intervals; below 0 groups are nearer.",
            ),
            droppable=tuple(f"minus {AGAINST[1]}, {label}" for label in labels),
        )
    ]  # fmt: skip


def _against(price: Price, against: str, name: str) -> str:
    is_itself = against == AGAINST[2] and math.isinf(price.epsilon)
    return ABSENT if is_itself else _paired(price.differences[against].get(name))


def is_shown(group: str, found: PriceOfPrivacy, by: By) -> bool:
    """Say whether a group has rows: all lenders, and either kinds or single lenders."""
    return group == ALL or (group in found.kinds) == (by == "lender")


def _epsilon(epsilon: float) -> str:
    return "none" if math.isinf(epsilon) else f"{epsilon:g}"


def _number(value: float | None, digits: int) -> str:
    return ABSENT if value is None else f"{value:.{digits}f}"


def _percent(value: float | None) -> str:
    return ABSENT if value is None else f"{100.0 * value:.1f}"


def _paired(gap: Paired | None) -> str:
    if gap is None:
        return ABSENT
    half = "" if gap.half_width is None else f" ± {gap.half_width:.1f}"
    return f"{gap.value:+.1f}{half}"

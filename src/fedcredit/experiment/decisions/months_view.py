"""Tables of limits, cash, sold pools and reject inference."""

from __future__ import annotations

from fedcredit.credit.limits import LimitMoney
from fedcredit.data.market.risk import BUCKETS
from fedcredit.experiment.decisions.panel_cash import Cash
from fedcredit.experiment.decisions.panel_limits import LimitMonths
from fedcredit.experiment.decisions.panel_pool import BUYER_RATE, COLLECTING_COST, Paid, PoolSale
from fedcredit.experiment.decisions.reject_study import SLICE_RATE, RejectStudy
from fedcredit.experiment.wording import ABSENT, Table

AGES = (3, 6, 12, 18, 24)


def limit_table(found: LimitMonths) -> Table:
    """Lay limits that change out beside limits that stay.

    Args:
        found: both.

    Returns:
        One row each.
    """

    def row(name: str, money: LimitMoney) -> tuple[str, ...]:
        net = money.revenue_amount - money.loss_amount
        return (
            name,
            f"{money.mean_limit_amount:,.0f}",
            f"{money.revenue_amount:,.0f}",
            f"{money.loss_amount:,.0f}",
            f"{net:,.0f}",
            f"{net / found.num_accounts:,.1f}" if found.num_accounts else ABSENT,
            str(money.num_raises),
            str(money.num_cuts),
        )

    return Table(
        title="Limits over the months",
        headings=("limit", "mean limit", "revenue", "loss", "net", "net an account", "raises", "cuts"),
        num_labels=1,
        rows=(row("as first set", found.static), row("changed month by month", found.dynamic)),
        notes=(
            f"{found.num_accounts} held-out accounts, from the first month they are watched in to month "
            f"{found.months[-1]}. Changed by more than a fifth alone, raised every third month at most, halved once in "
            "M1 or when the risk has doubled. A twelfth of the margin a month on what is used; borrowers are assumed "
            "to use the same share of any limit.",
        ),
        droppable=("net an account",),
    )


def cash_tables(found: Cash) -> list[Table]:
    """Lay promised and collected cash out: by vintage and age, and roll rates.

    Args:
        found: the cash.

    Returns:
        Two tables.
    """
    curves = Table(
        title="Collected of what was promised, by vintage, %",
        headings=("opened in months", *(f"{age} months on" for age in AGES)),
        num_labels=1,
        rows=tuple(
            (name, *(_percent(rates[age]) if age < len(rates) else ABSENT for age in AGES))
            for name, rates in found.collected_by_age.items()
        ),
        notes=(
            f"Promised {found.promised_amount:,.0f}, collected {found.collected_amount:,.0f}: "
            f"{100 * found.collected_amount / found.promised_amount:.2f} %, to the end of the market. Promised is what "
            "plans say when they are bought; a default leaves it promised.",
        ),
    )
    rolls = Table(
        title="Roll rates: where accounts are a month later, %",
        headings=("bucket", *BUCKETS),
        num_labels=1,
        rows=tuple((name, *map(_percent, rates)) for name, rates in found.roll_rate.items()),
    )
    return [curves, rolls]


def pool_table(found: PoolSale) -> Table:
    """Lay out what a sold pool paid its tranches.

    Args:
        found: the sale.

    Returns:
        One row a way things went and tranche.
    """

    def rows(name: str, paid: Paid) -> list[tuple[str, ...]]:
        return [
            (
                name if not place else "",
                tranche,
                f"{sum(paid.interest_amount[tranche]):,.0f}",
                f"{sum(paid.principal_amount[tranche]):,.0f}",
                f"{paid.loss_amount[tranche]:,.0f}",
                ("none" if paid.triggered_month is None else str(paid.triggered_month)) if not place else "",
            )
            for place, tranche in enumerate(paid.interest_amount)
        ]

    defaulted = sum(found.flows.default_amount) / found.pool_amount if found.pool_amount else 0.0
    return Table(
        title=f"A pool sold at the end of month {found.month}",
        headings=("defaults", "tranche", "interest", "principal", "not paid", "trigger, month"),
        num_labels=2,
        rows=tuple(row for name, paid in found.paid.items() for row in rows(name, paid)),
        notes=(
            f"{found.num_loans} of {found.num_offered} held-out accounts owe principal of {found.pool_amount:,.0f}; "
            f"{100 * defaulted:.2f} % of it defaults. JD Baitiao 2015 (75 / 13 / 12), revolving for "
            f"{found.revolving_months} months; defaults above {100 * found.bad_share_trigger:g} % of the pool end it. "
            "Interest of the last tranche: all that is left.",
            f"100 of defaulted balance would be bought for {found.bad_loan_price:.1f}, by the market's recoveries at "
            f"{100 * BUYER_RATE:g} % a year and {100 * COLLECTING_COST:g} % cost.",
        ),
    )


def reject_table(found: RejectStudy) -> Table:
    """Lay ways of learning about refused applicants out.

    Args:
        found: what they come to.

    Returns:
        One row a way.
    """
    against = "the true PD" if found.is_true else "the bad rate"
    return Table(
        title="Reject inference, judged on held-out applicants",
        headings=(
            "learned from",
            "loans",
            "AUC",
            "AUC, refused",
            "level, refused",
            "level, accepted",
            "profit per 100",
        ),
        num_labels=1,
        rows=tuple(
            (
                name,
                str(item.num_loans),
                _number(item.auc, 4),
                _number(item.auc_of_refused, 4),
                _number(item.level_of_refused, 2),
                _number(item.level_of_accepted, 2),
                _number(item.profit_per_100_asked, 3),
            )
            for name, item in found.found.items()
        ),
        notes=(
            f"A past scorecard of every other column accepted {100 * found.accepted_rate:.0f} %: "
            f"{100 * found.bad_rate_accepted:.2f} % of them are bad, {100 * found.bad_rate_refused:.2f} % of the "
            "others. Logistic regressions in the clear; level: "
            f"mean PD over {against}; random slice: "
            f"{100 * SLICE_RATE:g} % of the refused. Profit of all that was asked for"
            f"{', at the true PD' if found.is_true else ', as outcomes went'}.",
        ),
        droppable=("level, accepted", "loans"),
    )


def _percent(value: float | None) -> str:
    return ABSENT if value is None else f"{100.0 * value:.1f}"


def _number(value: float | None, digits: int) -> str:
    return ABSENT if value is None else f"{value:.{digits}f}"

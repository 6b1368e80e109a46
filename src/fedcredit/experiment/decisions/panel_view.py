"""The months of a run on the simulated market: all that is decided in them, and its tables."""

from __future__ import annotations

from dataclasses import dataclass

from fedcredit.credit.approval import Terms
from fedcredit.credit.early_warning import EarlyWarning
from fedcredit.credit.provisioning import StagePolicy
from fedcredit.experiment.decisions.months_view import cash_tables, limit_table, pool_table
from fedcredit.experiment.decisions.panel import follow
from fedcredit.experiment.decisions.panel_actions import Collected, RingReview, collections, ring_review
from fedcredit.experiment.decisions.panel_alarms import BUCKET, EARLIER, NETWORK, RULE, Alarms, alarms
from fedcredit.experiment.decisions.panel_cash import Cash, cash_of
from fedcredit.experiment.decisions.panel_limits import LimitMonths, limits_over_months
from fedcredit.experiment.decisions.panel_pool import PoolSale, sell_pool
from fedcredit.experiment.decisions.panel_provisions import ProvisionedMonth, provisions
from fedcredit.experiment.decisions.rescoring import Progress, Rescored
from fedcredit.experiment.spec import MarketPortfolio
from fedcredit.experiment.wording import ABSENT, Table, readable


@dataclass(frozen=True, kw_only=True)
class Months:
    """Everything that a run decides month after month."""

    alarms: Alarms
    limits: LimitMonths
    provisions: tuple[ProvisionedMonth, ...]
    cash: Cash
    collections: Collected
    pool: PoolSale
    rings: RingReview


def months_of(run: Rescored, *, terms: Terms | None = None, progress: Progress | None = None) -> Months:
    """Decide in the months of the simulated market.

    Args:
        run: a run on it.
        terms: for the loss given default.
        progress: told the stage, the steps done and the steps there are.

    Returns:
        Alarms and limits over all months; provisions at the experiment's snapshot months, half a year before and after
        them, and where a named shock begins; cash of all months; collections and a sold pool at the first snapshot
        month; the ring review.

    Raises:
        InputError: if the run is on other loans.
    """
    followed = follow(run, progress=progress)
    portfolio = run.prepared.experiment.portfolio
    assert isinstance(portfolio, MarketPortfolio)
    looked_at = set(portfolio.snapshot_months)
    around = looked_at | {month + step for month in looked_at for step in (-6, 6)}
    if portfolio.shock != "none":
        around |= {portfolio.shock_month - 13, portfolio.shock_month - 1, portfolio.shock_month}
    used = terms or Terms()
    return Months(
        alarms=alarms(followed),
        limits=limits_over_months(followed, terms=used),
        provisions=tuple(
            provisions(
                followed,
                months=sorted(around),
                lgd_rate=used.lgd_rate,
                policy=StagePolicy(),
            )
        ),
        cash=cash_of(followed),
        collections=collections(run, followed, month=min(looked_at)),
        pool=sell_pool(followed, month=min(looked_at)),
        rings=ring_review(followed.market),
    )


def month_parts(found: Months) -> list[tuple[str, list[Table]]]:
    """Lay the months out.

    Args:
        found: the decisions.

    Returns:
        What is decided, and its tables: early warning, limits, provisions, promised and collected cash, collections, a
        sold pool, and rings.
    """
    return [
        ("Early warning", [_alarms(found.alarms)]),
        ("Limits", [limit_table(found.limits)]),
        ("Provisions", [_provisions(found.provisions)]),
        ("Promised and collected", cash_tables(found.cash)),
        ("Collections", [_collections(found.collections)]),
        ("A sold pool", [pool_table(found.pool)]),
        ("Fraud rings", [_rings(found.rings)]),
    ]


def _alarms(found: Alarms) -> Table:
    def row(name: str, told: EarlyWarning, *, chance: float = 1.0) -> tuple[str, ...]:
        shares = (told.early_share_rate, told.alarmed_share_rate)
        ahead = found.alarmed_before.get(name)
        return (
            name if chance == 1.0 else f"{name}, {100 * chance:g} % at random",
            _number(told.median_lead_months, 1),
            *(_percent(None if share is None else chance * share) for share in shares[:1]),
            ABSENT if ahead is None else _percent(chance * ahead[EARLIER]),
            *(_percent(None if share is None else chance * share) for share in shares[1:]),
            _percent(told.precision_rate),
            _number(None if told.alarms_per_1000 is None else chance * told.alarms_per_1000, 1),
        )

    fewer = []
    for share, ways in ((float(text), ways) for text, ways in found.at_fewer.items()):
        fewer.append(row(RULE, found.by_rule, chance=share))
        fewer += [row(f"{name}, {100 * share:g} %", told) for name, told in ways.items()]
    return Table(
        title="Early warning on held-out accounts, month by month",
        headings=(
            "alarm", "median lead, months", "early, %", f"{EARLIER} months, %", "any, %", "precision, %",
            "per 1,000 account-months",
        ),
        num_labels=1,
        rows=(
            row(RULE, found.by_rule),
            row(NETWORK, found.at_equal_alarms),
            row(BUCKET, found.by_bucket_level),
            row("network, usual policy", found.by_policy),
            *fewer,
        ),
        notes=(
            f"{found.by_rule.num_defaults} defaults. Early: share alarmed three months before. The first three raise "
            f"as many alarms (network: hazard from {found.threshold_rate:.3f} in three months), those below a share "
            "of them. Level by bucket: each lender's own, fitted inside; the network's columns do not say whether a "
            "borrower is late now. Usual policy: .05, or doubled since the first month.",
            "A default takes three missed payments after entering M1, so the rule is early by construction wherever "
            f"it is asked in time; for {_percent(found.not_reached_rate)} % of defaults it is not: they were watched "
            "too late, or fell late after the last month that is looked at. The network alone foretells "
            f"{_percent(found.early_beyond_rule_rate)} % of defaults early that the rule does not.",
        ),
    )  # fmt: skip


def _provisions(found: tuple[ProvisionedMonth, ...]) -> Table:
    kinds = sorted({kind for item in found for kind in item.realised_by_kind})
    return Table(
        title="Provisions and what was then lost within 12 months, bp of exposure",
        headings=(
            "month", "shock", "accounts", "stage 2", "booked", "12 months", "balances stay", "down", "lost",
            "lost / expected", *(readable(kind) for kind in kinds),
        ),
        num_labels=2,
        rows=tuple(
            (
                str(item.month),
                "on" if item.is_in_shock else "",
                str(item.num_loans),
                str(item.num_deteriorated),
                *(
                    f"{1e4 * value / item.exposure_amount:.0f}"
                    for value in (
                        item.provision_amount, item.twelve_month_amount, item.replaced_amount, item.down_amount,
                        item.realised_amount,
                    )
                ),
                f"{item.realised_amount / item.replaced_amount:.2f}",
                *(_number(item.realised_by_kind.get(kind), 2) for kind in kinds),
            )
            for item in found
        ),
        notes=(
            "Booked and 12 months: balances run off as planned. Borrowers go on buying, so losses are held against "
            "balances that stay as they are. Down: that scenario alone. By kind of lender: lost over expected.",
        ),
        droppable=("stage 2", "accounts"),
    )  # fmt: skip


def _collections(found: Collected) -> Table:
    by_action = ", ".join(f"{name} {count}" for name, count in found.num_by_action.items())
    return Table(
        title=f"Collections at the end of month {found.month}",
        headings=("treatment", "expected value", "per 100 overdue"),
        num_labels=1,
        rows=(
            ("assigned", f"{found.assigned_value_amount:,.0f}", _share(found.assigned_value_amount, found)),
            ("bound on any", f"{found.upper_bound_amount:,.0f}", _share(found.upper_bound_amount, found)),
            (
                f"uniform: {found.uniform_action}",
                f"{found.uniform_value_amount:,.0f}",
                _share(found.uniform_value_amount, found),
            ),
        ),
        notes=(
            f"{found.num_overdue} overdue accounts owe {found.overdue_amount:,.0f}. Assigned: {by_action}. Effects of "
            "actions are assumptions, not measurements.",
            f"Cash over dues {_percent(found.paid_of_due_rate)} %; of M1 {_percent(found.self_cure_rate)} % are "
            f"current a month later, of M3 {_percent(found.roll_to_default_rate)} % default; within 12 months of "
            f"default {_percent(found.recovered_rate)} % comes back.",
        ),
    )


def _rings(found: RingReview) -> Table:
    told = found.by_keys
    return Table(
        title="Ring review of all lenders' accounts",
        headings=("reviewed", "rings' found", "found, %", "precision, %", "prevented", "net of cost"),
        num_labels=0,
        rows=(
            (
                str(told.num_reviewed),
                str(told.num_found),
                _percent(told.found_rate),
                _percent(told.precision_rate),
                f"{told.prevented_amount:,.0f}",
                f"{told.net_amount:,.0f}",
            ),
        ),
        notes=(
            f"{found.num_ring_accounts} of {found.num_accounts} accounts belong to rings; random reviews find "
            f"{_percent(found.at_random_found_rate)} %. By shared devices and addresses, which lenders would have to "
            "match with each other; no epsilon covers that.",
        ),
    )


def _share(value: float, found: Collected) -> str:
    return f"{100.0 * value / found.overdue_amount:.2f}" if found.overdue_amount else ABSENT


def _percent(value: float | None) -> str:
    return ABSENT if value is None else f"{100.0 * value:.1f}"


def _number(value: float | None, digits: int) -> str:
    return ABSENT if value is None else f"{value:.{digits}f}"

"""The decisions of a run as tables for a terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator

from rich.console import Console
from rich.text import Text

from fedcredit.credit.approval import Approval
from fedcredit.experiment.decisions.deciding import Decided, LenderDecisions
from fedcredit.experiment.show import TableView
from fedcredit.experiment.wording import ABSENT, Table, readable

_PARTS_SHOWN = 12


def print_decided(decided: Decided, console: Console) -> None:
    """Print the decisions of a run, its warnings first.

    Args:
        decided: the decisions.
        console: where to print.
    """
    epsilon = "without privacy" if math.isinf(decided.epsilon) else f"epsilon {decided.epsilon:g}"
    console.print(Text(f"{readable(decided.name)}  {epsilon}, fingerprint {decided.fingerprint[:16]}", style="bold"))
    for warning in decided.warnings:
        console.print(Text(f"WARNING {readable(warning)}", style="bold red"))
    for table in decided_tables(decided):
        console.print(TableView(table))


def decided_tables(decided: Decided) -> list[Table]:
    """Lay the decisions of a run out.

    Args:
        decided: the decisions.

    Returns:
        Approvals, swap sets and limits, the portfolio with its tranches, and how it spreads.
    """
    return [_approvals(decided), _swaps(decided), _portfolio(decided), *_spreads(decided)]


def _approvals(decided: Decided) -> Table:
    return Table(
        title="Approval by profit cut-off, lender by lender",
        headings=(
            "lender", "applicants", "PD / bad rate", "intercept", "approved", "expected bad", "bad", "profit per 100",
            "expected loss", "loss", "mean limit",
        ),
        num_labels=1,
        rows=tuple(
            (readable(name), str(item.approval.num_applicants), _level(item), f"{item.shift:+.2f}", *_figures(item))
            for name, item in decided.lenders.items()
        ),
        notes=(
            f"Level: {decided.at.value}; mean PD over bad rate on validation loans. Bad rates in % of the "
            "approved, amounts in the table's currency. Outcomes are those of loans that an earlier policy accepted.",
        ),
        droppable=("intercept", "expected bad", "applicants"),
    )  # fmt: skip


def _figures(item: LenderDecisions) -> tuple[str, ...]:
    approval = item.approval
    return (
        _percent(approval.approval_rate),
        _percent(approval.expected_bad_rate),
        _percent(approval.realised_bad_rate),
        _number(approval.profit_per_100, 2),
        f"{approval.expected_loss_amount:,.0f}",
        f"{approval.realised_loss_amount:,.0f}",
        f"{item.mean_limit_amount:,.0f}",
    )


def _swaps(decided: Decided) -> Table:
    def row(name: str, item: LenderDecisions) -> tuple[str, ...]:
        swap, alone = item.swap_set, item.alone
        if swap is None or alone is None:
            return (readable(name), *((ABSENT,) * 7))
        return (
            readable(name),
            _percent(alone.approval_rate),
            _profit(alone),
            str(swap.num_swapped_in),
            _percent(swap.bad_rate_swapped_in),
            str(swap.num_swapped_out),
            _percent(swap.bad_rate_swapped_out),
            f"{swap.profit_change_amount:+,.0f}",
        )

    return Table(
        title="Swap set: from each lender's own network to the shared one",
        headings=(
            "lender", "approved alone", "profit alone, per 100", "swapped in", "bad in, %", "swapped out", "bad out, %",
            "profit change",
        ),
        num_labels=1,
        rows=tuple(row(name, item) for name, item in decided.lenders.items()),
        notes=("Each at the same epsilon and the same kind of level, by outcomes.",),
    )  # fmt: skip


def _portfolio(decided: Decided) -> Table:
    book = decided.portfolio
    rows = [
        ("approved", _percent(book.approval_rate), "% of loans"),
        ("profit per 100 approved", _number(book.profit_per_100, 2), "by outcomes"),
        ("profit per 100 asked", _number(book.profit_per_100_asked, 2), "by outcomes"),
        ("profit per 100 approved", _number(book.true_profit_per_100, 2), "at the true PD"),
        ("expected loss", _number(book.expected_loss_bp, 0), "bp of approved"),
        ("loss", _number(book.loss_bp, 0), "bp of approved, by outcomes"),
        ("loss, .999 quantile", f"{decided.tail_loss_bp:.0f}", "bp of approved, simulated"),
        ("Basel retail capital", _number(book.capital_bp, 0), "bp of approved"),
    ]
    for name, loss in decided.tranche_loss_bp.items():
        simulated = decided.simulated_tranche_loss_bp.get(name)
        rows.append((f"{name} tranche", f"{loss:.3g}", f"bp of the tranche; simulated {_number(simulated, 3)}"))
    return Table(
        title="The approved loans of all lenders",
        headings=("figure", "value", "unit"),
        num_labels=1,
        rows=tuple(rows),
        notes=("Tranches of JD Baitiao 2015 (75 / 13 / 12): in a large even pool, and loan by loan in 1,000 draws.",),
    )


def _spreads(decided: Decided) -> Iterator[Table]:
    rows = []
    for dimension, spread in decided.concentration.items():
        largest = sorted(spread.share_rate, key=lambda part: -spread.share_rate[part])[:_PARTS_SHOWN]
        for place, part in enumerate(largest):
            rows.append(
                (
                    readable(dimension) if not place else "",
                    readable(part),
                    f"{spread.herfindahl:.3f}" if not place else "",
                    _percent(spread.share_rate[part]),
                    _percent(spread.tail_share_rate[part]),
                )
            )
    if rows:
        yield Table(
            title="Concentration of the approved loans",
            headings=("by", "part", "Herfindahl", "exposure, %", "tail loss, %"),
            num_labels=2,
            rows=tuple(rows),
            notes=("Tail loss: share of the unexpected loss at the .999 quantile, Basel correlations.",),
        )


def _level(item: LenderDecisions) -> str:
    return _number(item.level.ratio, 2) + ("!" if item.level.warning else "")


def _profit(approval: Approval) -> str:
    return _number(approval.profit_per_100, 2)


def _percent(value: float | None) -> str:
    return ABSENT if value is None else f"{100.0 * value:.1f}"


def _number(value: float | None, digits: int) -> str:
    return ABSENT if value is None else f"{value:.{digits}f}"

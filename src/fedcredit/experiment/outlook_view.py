"""An outlook as it is printed: noise and epsilon by lender, epsilon by round, traffic, time and warnings."""

from __future__ import annotations

import json

from rich.console import Console
from rich.text import Text

from fedcredit.experiment.outlook import Outlook
from fedcredit.experiment.record import to_jsonable
from fedcredit.experiment.show import TableView
from fedcredit.experiment.wording import ABSENT, Table, epsilon_text, readable
from fedcredit.privacy.accounting.statement_wording import statement_lines
from fedcredit.privacy.budgets import budget_line

FORMAT = "fedcredit/plan/1"
_MEGABYTE = 1e6


def print_outlook(outlook: Outlook, console: Console) -> None:
    """Print an outlook.

    Args:
        outlook: the outlook.
        console: where to print.
    """
    console.print(Text.assemble((readable(outlook.name), "bold"), "  planned, not run"))
    console.print(Text(outlook.counts))
    console.print(TableView(lender_plan(outlook)))
    console.print()
    for line in plan_lines(outlook):
        console.print(Text(readable(line)))
    for warning in outlook.warnings:
        console.print(Text(f"warning: {readable(warning)}"))
    if outlook.refusal is not None:
        console.print(Text(f"this run would be refused: {readable(outlook.refusal)}", style="bold"))


def lender_plan(outlook: Outlook) -> Table:
    """Return one row a lender: its public constants, its noise and its planned epsilon.

    Args:
        outlook: the outlook.

    Returns:
        The table, lenders in the order of the contracts.
    """
    statement = outlook.statement
    rows = []
    for number, contract in enumerate(outlook.contracts, start=1):
        name = contract.institution
        noise = None if statement is None else outlook.plan.noise_multiplier.get(name)
        spent = None if statement is None else statement.per_lender.get(name)
        rows.append(
            (
                str(number),
                readable(name),
                f"{contract.num_loans:,}",
                f"{contract.sampling_probability:.4g}",
                f"{contract.divisor:,.1f}",
                f"{contract.local_steps:,}",
                ABSENT if noise is None else f"{noise:.4f}",
                ABSENT if noise is None else f"{noise / contract.divisor:.2g}",
                ABSENT if spent is None else epsilon_text(spent.value),
            )
        )
    return Table(
        title="Lenders",
        headings=(
            "no.", "lender", f"train {outlook.plan.sampled}", "sampling probability", "mean batch", "steps a round",
            "noise multiplier",
            "noise in the mean gradient", "planned epsilon",
        ),
        num_labels=2,
        rows=tuple(rows),
        notes=("Noise in the mean gradient: standard deviation of each number, in clipping norms.",),
        droppable=("steps a round", "sampling probability"),
    )  # fmt: skip


def plan_lines(outlook: Outlook) -> list[str]:
    """Return the rest of an outlook as lines of text.

    Args:
        outlook: the outlook.

    Returns:
        Epsilons, their growth over rounds, traffic and time.
    """
    sent = outlook.traffic
    lines = ["no privacy: nothing is clipped and no noise drawn"]
    if outlook.statement is not None:
        growth = ", ".join(f"{count}: {epsilon_text(bound.value)}" for count, bound in outlook.curve)
        planned = "planned, if every lender takes part in every round:"
        promised = budget_line(outlook.plan.budgets, outlook.plan.target_epsilon)
        lines = [
            planned,
            *([promised] if promised else []),
            *statement_lines(outlook.statement),
            *outlook.by_part,
            f"epsilon of the worst-off lender's training loans after rounds {growth}",
        ]
    return [
        *lines,
        f"messages: {sent.num_messages:,}; {_megabytes(sent.bytes_to_lenders)} to lenders, "
        f"{_megabytes(sent.bytes_to_server)} to the server ({_megabytes(sent.bytes_of_evaluation)} of both are the "
        f"simulation's evaluation); {outlook.num_parameters:,} parameters",
        f"about {outlook.train_seconds:.1f} seconds of training on this machine, inline, from rounds timed on made-up "
        "loans; references, evaluation and report come on top",
    ]


def outlook_json(outlook: Outlook) -> str:
    """Write an outlook as JSON.

    Args:
        outlook: the outlook.

    Returns:
        Strict JSON; a number that JSON lacks is an object with the single key ``$float``.
    """
    content = {
        "format": FORMAT,
        "name": outlook.name,
        "counts": outlook.counts,
        "contracts": outlook.contracts,
        "plan": outlook.plan,
        "num_parameters": outlook.num_parameters,
        "statement": None if outlook.statement is None else outlook.statement.to_json(),
        "by_part": outlook.by_part,
        "epsilon_by_round": {str(count): bound for count, bound in outlook.curve},
        "traffic": outlook.traffic,
        "train_seconds": outlook.train_seconds,
        "refusal": outlook.refusal,
        "warnings": outlook.warnings,
    }
    return json.dumps(to_jsonable(content), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _megabytes(count: int) -> str:
    return f"{count / _MEGABYTE:,.2f} MB"

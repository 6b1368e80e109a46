"""Finished runs as tables: one run lender by lender, or the arms of a study side by side."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from fedcredit.credit.evaluation import Evaluation
from fedcredit.experiment.files import run_folder
from fedcredit.experiment.record import RunRecord
from fedcredit.experiment.validate import experiment_from_data

_METRICS = ("AUC", "interval", "Gini", "KS", "PR-AUC", "Brier", "log loss", "ECE", "mean PD / bad rate")


def comparison(records: Iterable[RunRecord]) -> Table:
    """Lay runs side by side, the strictest promise last.

    Args:
        records: finished runs.

    Returns:
        A table with one line per run.
    """
    table = _table("run", "seed", "split", "epsilon", *_METRICS)
    for record in sorted(records, key=lambda record: (-epsilon_of(record), record.name, record.fingerprint)):
        seeds = (str(record.experiment["seed"]), str(record.experiment["split_seed"]))
        table.add_row(record.name, *seeds, _epsilon(epsilon_of(record)), *_metrics(record.evaluation.overall))
    return table


def closing_table(record: RunRecord) -> Table:
    """Lay out one run: overall, its references, then lender by lender.

    Args:
        record: a finished run.

    Returns:
        A table with one line per group of held-out loans.
    """
    table = _table("held-out loans of", "loans", "bad rate", "epsilon", *_METRICS)
    overall = record.evaluation.overall
    table.add_row("all lenders", *_size(overall), _epsilon(epsilon_of(record)), *_metrics(overall), style="bold")
    for name, reference in record.references.items():
        measured = reference.evaluation.overall
        table.add_row(f"  {name}", *_size(measured), _epsilon(reference.epsilon), *_metrics(measured))
    for name, measured in record.evaluation.institutions.items():
        table.add_row(name, *_size(measured), "", *_metrics(measured))
    return table


def print_run(record: RunRecord, console: Console) -> None:
    """Print a finished run: what it was, its remarks, its closing table, its promise and its folder.

    Args:
        record: a finished run.
        console: where to print.
    """
    console.print(f"{record.name}  {record.mode}  fingerprint {record.fingerprint[:16]}", highlight=False)
    for remark in record.remarks:
        console.print(f"note: {remark}", highlight=False)
    console.print(closing_table(record))
    for line in record.statement_lines:
        console.print(line, highlight=False)
    console.print(f"report: {folder_of(record) / 'report.html'}", highlight=False, soft_wrap=True)


def print_study(records: Sequence[RunRecord], console: Console) -> None:
    """Print the arms of a study side by side, and where their reports are.

    Args:
        records: finished runs.
        console: where to print.
    """
    console.print(comparison(records))
    for record in records:
        console.print(f"report: {folder_of(record) / 'report.html'}", highlight=False, soft_wrap=True)


def epsilon_of(record: RunRecord) -> float:
    """Return the epsilon of a run's worst-off lender, as its statement has it; infinite without privacy."""
    worst = record.statement["worst"] if record.statement is not None else None
    value = worst["value"] if isinstance(worst, dict) else None
    return float(value) if isinstance(value, int | float) else math.inf


def folder_of(record: RunRecord) -> Path:
    """Return the results folder of a run, relative to where it was started."""
    return run_folder(experiment_from_data(record.experiment), record.fingerprint).path


def _table(first: str, *headings: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(first)
    for heading in headings:
        table.add_column(heading, justify="right")
    return table


def _metrics(measured: Evaluation) -> tuple[str, ...]:
    interval = measured.auc_interval
    return (
        _number(measured.auc),
        "" if interval is None else f"{interval.lower:.3f}-{interval.upper:.3f}",
        *map(_number, (measured.gini, measured.ks, measured.pr_auc, measured.brier, measured.log_loss, measured.ece)),
        "none" if measured.mean_pd_over_bad_rate is None else f"{measured.mean_pd_over_bad_rate:.3f}",
    )


def _size(measured: Evaluation) -> tuple[str, str]:
    return str(measured.num_loans), "none" if measured.bad_rate is None else f"{measured.bad_rate:.3f}"


def _epsilon(value: float) -> str:
    return "none" if math.isinf(value) else f"{value:.3f}"


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.4f}"

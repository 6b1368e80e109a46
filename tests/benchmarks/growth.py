"""How cost grows with loans, lenders and parameters, and two whole runs at the far ends."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import tables
from benchmarks.processes import ChildFailedError, Cost, run_command, run_module

HIDDEN = (64, 64)
WIDER = ((64, 64), (300, 300), (980, 980))
_ROUNDS = 3
_LIMIT = 3600.0
FEDCREDIT = (sys.executable, "-c", "import sys; from fedcredit.cli import main; sys.exit(main())")


@dataclass(frozen=True, kw_only=True)
class Point:
    """One point of a growth curve."""

    axis: str
    num_loans: int
    num_lenders: int
    hidden: tuple[int, ...] = HIDDEN


def points(*, quick: bool) -> list[Point]:
    """Rows x1, x10 and x100 at ten lenders, lenders of 1,000 loans, and widths."""
    unit, factors, lenders = (1_000, (1, 10), (10, 30)) if quick else (30_000, (1, 10, 100), (10, 100, 1_000))
    rows = [Point(axis="loans", num_loans=unit * factor, num_lenders=10) for factor in factors]
    crowd = [Point(axis="lenders", num_loans=1_000 * count, num_lenders=count) for count in lenders]
    wide = [Point(axis="parameters", num_loans=unit, num_lenders=10, hidden=hidden) for hidden in WIDER]
    return [*rows, *crowd, *(wide[:2] if quick else wide)]


def run_growth(kind: str, *, scratch: Path, quick: bool) -> list[dict[str, Any]]:
    """Measure every point once; the cost of a loan is over rounds 2 and 3."""
    rows = []
    for point in points(quick=quick):
        print(f"growth in {point.axis}: {point}", file=sys.stderr, flush=True)
        folder = tables.write_table(scratch / "table", num_loans=point.num_loans)
        task = {
            "table": str(folder), "num_loans": point.num_loans, "num_lenders": point.num_lenders,
            "hidden": point.hidden, "num_rounds": _ROUNDS, "trainer": kind,
        }  # fmt: skip
        try:
            cost = run_module("benchmarks.growth_run", task, scratch=scratch, limit=_LIMIT)
            rows.append({"trainer": kind, **_figures(point, cost)})
        except ChildFailedError as error:
            rows.append({"trainer": kind, **vars(point), "failure": str(error)})
            print(f"failed: {error}", file=sys.stderr, flush=True)
        shutil.rmtree(folder)
    return rows


def run_whole(kind: str, *, scratch: Path, quick: bool) -> list[dict[str, Any]]:
    """The default recipe from the command line, on one large table and on very many lenders."""
    ends = ((30_000, 10), (30_000, 30)) if quick else ((3_000_000, 10), (1_000_000, 1_000))
    rows = []
    for num_loans, num_lenders in ends:
        print(f"whole run: {num_loans} loans, {num_lenders} lenders", file=sys.stderr, flush=True)
        folder = tables.write_table(scratch / "table", num_loans=num_loans)
        command = [
            *FEDCREDIT, "run", *tables.overrides(folder), "partition=iid", f"partition.num_institutions={num_lenders}",
            f"privacy.target_delta={0.1 / num_loans:.1e}", "evaluation.references=[]", f"trainer.kind={kind}",
            "training.num_rounds=20", f"results_dir={scratch / 'whole'}",
        ]  # fmt: skip
        row: dict[str, Any] = {"trainer": kind, "num_loans": num_loans, "num_lenders": num_lenders, "rounds": 20}
        try:
            cost = run_command(command, scratch=scratch, limit=_LIMIT)
            rows.append({**row, "wall": cost.wall, "cpu": cost.cpu, "peak_mb": cost.peak_mb})
        except ChildFailedError as error:
            rows.append({**row, "failure": str(error)})
            print(f"failed: {error}", file=sys.stderr, flush=True)
        shutil.rmtree(folder)
    return rows


def flatness(rows: Sequence[Mapping[str, Any]], axis: str) -> float | None:
    """Largest over smallest cost of a loan along an axis."""
    costs = [row["cpu_us_per_loan"] for row in rows if row["axis"] == axis and "failure" not in row]
    return max(costs) / min(costs) if costs else None


def _figures(point: Point, cost: Cost) -> dict[str, Any]:
    marks, loans = {name: mark["cpu"] for name, mark in cost.report["marks"].items()}, cost.report["num_train_loans"]
    per_round = (marks["last round"] - marks["round 1"]) / (_ROUNDS - 1)
    return {
        **vars(point),
        "num_parameters": cost.report["num_parameters"],
        "num_train_loans": loans,
        "prepare_cpu": marks["prepared"] - marks["imported"],
        "prepare_cpu_us_per_loan": 1e6 * (marks["prepared"] - marks["imported"]) / point.num_loans,
        "round_cpu": per_round,
        "cpu_us_per_loan": 1e6 * per_round / loans,
        "evaluation_cpu": marks["evaluated"] - marks["last round"],
        "process_cpu": cost.cpu,
        "process_wall": cost.wall,
        "peak_mb": cost.peak_mb,
        "auc": cost.report["auc"],
    }

"""Measurements as markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.growth import flatness
from benchmarks.machine import line

Figures = Mapping[str, Any]
_DEFAULT_COLUMNS = {
    "message_to_evaluation_cpu": "first message to evaluation, CPU-s",
    "federation_cpu": "of which rounds",
    "evaluation_cpu": "of which test evaluation",
    "prepare_cpu": "prepare, CPU-s",
    "run_cpu": "a whole later run, CPU-s",
    "first_run_cpu": "the first run, CPU-s",
    "start_cpu": "imports, CPU-s",
    "run_wall": "a whole later run, wall s",
    "peak_mb": "peak MB",
}


def markdown(results: Figures) -> str:
    """All that was measured, as tables, the machine first."""
    parts = [line(results["machine"])]
    parts += [_workload(found) for found in results.get("workloads", [])]
    parts += [_default(results["default"])] if "default" in results else []
    parts += [_growth(results["growth"])] if "growth" in results else []
    parts += [_whole(results["whole"])] if "whole" in results else []
    parts += [_sweeps(results["sweeps"])] if "sweeps" in results else []
    return "\n\n".join(parts) + "\n"


def _workload(found: Figures) -> str:
    quick = " (quick: a tenth of the loans, figures mean nothing)" if found["quick"] else ""
    scaled = "" if found["rounds_run"] == found["rounds"] else f", scaled from {found['rounds_run']} rounds"
    head = (
        f"**{found['name']}**{quick}: {found['rounds']} rounds{scaled}, {found['gflop']:.1f} GFLOP, "
        f"{found['limit_cpu']:.2f} CPU-s at the peak; medians of {found['repeats']} interleaved repetitions (lowest to "
        f"highest). A run is steady state; the start ends with round 1; the process is as run, "
        f"{found['rounds_run']} rounds."
    )
    headings = (
        "", "CPU-s a run", "ratio", "% of peak", "wall s a run", "start CPU-s", "start wall s", "process wall s",
        "ratio, process wall", "peak MB", "AUC",
    )  # fmt: skip
    rows = []
    for name, row in found["rows"].items():
        if row is None:
            rows.append([name, "failed", *[""] * (len(headings) - 2)])
            continue
        rows.append([
            name, _spread(row["steady_cpu"]), _ratio(row["ratio_steady_cpu"]), f"{100 * row['share_of_peak']:.1f}",
            _spread(row["steady_wall"]), _spread(row["start_cpu"]), _spread(row["start_wall"]),
            _spread(row["process_wall"]), _ratio(row["ratio_process_wall"]), f"{row['peak_mb']['median']:.0f}",
            "" if row["auc"] is None else f"{row['auc']:.4f}",
        ])  # fmt: skip
    return f"{head}\n\n{_table(headings, rows)}{_same_bits(found['rows'])}"


def _same_bits(rows: Mapping[str, Figures | None]) -> str:
    """Say whether a trainer's bare loop and its federation released the same bits, every time."""
    told = []
    for name, row in rows.items():
        other = rows.get(name.replace("bare loop", "inline runtime"))
        if name.endswith("bare loop") and row and other and row is not other:
            equal = len(row["digests"]) == 1 and row["digests"] == other["digests"]
            told.append(f"{name.removesuffix(', bare loop')} {'yes' if equal else 'NO'}")
    return f"\n\nSame bits from the bare loop and the inline runtime: {', '.join(told)}." if told else ""


def _default(found: Figures) -> str:
    headings = ("W-default", *_DEFAULT_COLUMNS.values(), "AUC")
    rows = []
    for kind, row in found["rows"].items():
        cells = ["failed"] if row is None else [_spread(row[key]) for key in _DEFAULT_COLUMNS]
        rows.append([kind, *cells, "" if row is None else f"{row['auc']:.4f}"])
    return _table(headings, rows)


def _growth(rows: Sequence[Figures]) -> str:
    headings = (
        "growth in", "loans", "lenders", "parameters", "training loans", "prepare CPU-s", "prepare us a loan",
        "CPU-s a round", "CPU us a loan and round", "test evaluation CPU-s", "process CPU-s", "process wall s",
        "peak MB",
    )  # fmt: skip
    keys = (
        "prepare_cpu", "prepare_cpu_us_per_loan", "round_cpu", "cpu_us_per_loan", "evaluation_cpu", "process_cpu",
        "process_wall", "peak_mb",
    )  # fmt: skip
    lines = []
    for row in rows:
        axis, start = row["axis"], [f"{row['num_loans']:,}", f"{row['num_lenders']:,}"]
        if "failure" in row:
            lines.append([axis, *start, "failed", *[""] * (len(headings) - 4)])
        else:
            counts = [f"{row['num_parameters']:,}", f"{row['num_train_loans']:,}"]
            lines.append([axis, *start, *counts, *(_figure(row[key]) for key in keys)])
    flat = {axis: flatness(rows, axis) for axis in ("loans", "lenders")}
    told = ", ".join(f"{axis} {value:.2f}" for axis, value in flat.items() if value is not None)
    kind = f" with trainer {rows[0]['trainer']}" if rows else ""
    return f"Growth{kind}.\n\n{_table(headings, lines)}\n\nDearest over cheapest cost of a loan and round: {told}."


def _whole(rows: Sequence[Figures]) -> str:
    headings = ("`fedcredit run`, default recipe", "lenders", "rounds", "wall s", "CPU-s", "peak MB")
    return _table(
        headings,
        [[f"{row['num_loans']:,} loans", f"{row['num_lenders']:,}", str(row["rounds"]), *_costs(row)] for row in rows],
    )


def _sweeps(rows: Sequence[Figures]) -> str:
    headings = ("`fedcredit run -m`", "trainer", "accounting cache", "runs", "wall s", "CPU-s", "peak MB")
    return _table(
        headings, [[row["name"], row["trainer"], row["cache"], str(row["runs"]), *_costs(row)] for row in rows]
    )


def _costs(row: Figures) -> list[str]:
    return ["failed", "", ""] if "failure" in row else [_figure(row[key]) for key in ("wall", "cpu", "peak_mb")]


def _table(headings: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    names = list(headings)
    lines = [names, ["---"] * len(names), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _spread(found: Figures) -> str:
    if found["low"] == found["high"]:
        return _figure(found["median"])
    return f"{_figure(found['median'])} ({_figure(found['low'])} to {_figure(found['high'])})"


def _ratio(found: Figures | None) -> str:
    if found is None:
        return ""
    return f"{found['median']:.1f}x ({found['low']:.1f} to {found['high']:.1f})"


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"

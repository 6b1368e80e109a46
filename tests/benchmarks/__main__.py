"""Measure, print the tables, and keep every repetition as JSON."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import default_recipe, growth, machine, measure, sweep
from benchmarks.report import markdown
from benchmarks.workloads import WORKLOADS

_PARTS = (*WORKLOADS, "W-default", "growth", "whole", "sweep")
_QUICK_ROUNDS = 10


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what was asked for; 1 if any of it failed."""
    asked = _parser().parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="fedcredit-benchmark-") as folder:
        results = _measure(asked, Path(folder))
    print(markdown(results))
    asked.out.mkdir(parents=True, exist_ok=True)
    path = asked.out / f"{results['machine']['date'].replace(':', '').partition('+')[0]}.json"
    path.write_text(json.dumps(results, indent=1), encoding="utf-8")
    print(f"every repetition: {path}")
    return 1 if "failure" in json.dumps(_failures(results)) else 0


def _parser() -> argparse.ArgumentParser:
    kinds = measure.trainer_kinds()
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="part", help=f"any of {', '.join(_PARTS)}; all of them by default")
    parser.add_argument("--repeats", type=int, default=5, help="interleaved repetitions (5)")
    parser.add_argument("--quick", action="store_true", help="one small repetition of each, to see that it runs")
    parser.add_argument("--trainers", nargs="+", choices=kinds, default=list(kinds))
    parser.add_argument("--fast", choices=kinds, help="the trainer of growth and sweeps; the default one if not given")
    parser.add_argument("--no-peer", action="store_true", help="leave Flower with Ray and Opacus out")
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks"), help="folder of the JSON file")
    return parser


def _measure(asked: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    from fedcredit.experiment.spec import Trainer

    parts, quick = asked.parts or list(_PARTS), asked.quick
    unknown = sorted(set(parts) - set(_PARTS))
    if unknown:
        sys.exit(f"there is no part {', '.join(unknown)}; choose from {', '.join(_PARTS)}")
    repeats, fast = 1 if quick else asked.repeats, asked.fast or Trainer().kind
    results: dict[str, Any] = {"machine": machine.describe(scratch), "workloads": []}
    print(machine.line(results["machine"]), file=sys.stderr, flush=True)
    for name in (name for name in WORKLOADS if name in parts):
        found = measure.run_workload(
            name, asked.trainers, repeats, scratch=scratch, quick=quick, with_peer=not asked.no_peer,
            peak_gflops=results["machine"]["peak_gflops"],
        )  # fmt: skip
        results["workloads"].append(found)
    if "W-default" in parts:
        results["default"] = _default(asked.trainers, repeats, scratch, quick=quick)
    if "growth" in parts:
        results["growth"] = growth.run_growth(fast, scratch=scratch, quick=quick)
    if "whole" in parts:
        results["whole"] = growth.run_whole(fast, scratch=scratch, quick=quick)
    if "sweep" in parts:
        results["sweeps"] = sweep.run_sweeps(fast, scratch=scratch, quick=quick)
    return results


def _default(kinds: Sequence[str], repeats: int, scratch: Path, *, quick: bool) -> dict[str, Any]:
    variants = [
        measure.Variant(
            name=kind, module="benchmarks.default_recipe",
            task={"trainer": kind, "num_rounds": _QUICK_ROUNDS if quick else None},
        )
        for kind in kinds
    ]  # fmt: skip
    samples, failures = measure.interleave(variants, repeats, scratch=scratch, read=default_recipe.read)
    rows: dict[str, Any] = {}
    for kind, found in samples.items():
        good = [sample for sample in found if sample is not None]
        keys = [key for key in good[0] if key != "auc"] if good else []
        row = {key: asdict(measure.spread([sample[key] for sample in good])) for key in keys}
        rows[kind] = {**row, "auc": good[-1]["auc"]} if good else None
    return {"rows": rows, "samples": samples, "failures": failures}


def _failures(results: dict[str, Any]) -> list[Any]:
    """Everything that went wrong, wherever it is kept."""
    tables = [*results["workloads"], results.get("default", {})]
    found: list[Any] = [{"failure": text} for table in tables for text in table.get("failures", {}).values()]
    return found + [row for part in ("growth", "whole", "sweeps") for row in results.get(part, []) if "failure" in row]


if __name__ == "__main__":
    sys.exit(main())

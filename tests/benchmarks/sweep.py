"""A sweep of five budgets and five seeds from one command, with the accounting cache cold and then warm."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

from benchmarks import tables
from benchmarks.default_recipe import EXPERIMENT
from benchmarks.growth import FEDCREDIT
from benchmarks.processes import ChildFailedError, empty_cache, run_command
from benchmarks.workloads import W

_BUDGETS = "0.5,1,2,4,8"
_SEEDS = "1,2,3,4,5"
_TRAIN_SHARE = 0.7
_LIMIT = 3600.0


def run_sweeps(kind: str, *, scratch: Path, quick: bool) -> list[dict[str, Any]]:
    """The default recipe, and a run of workload W's shape, each cold and warm."""
    table = tables.write_table(scratch / "w", num_loans=2_000 if quick else round(W.num_loans / _TRAIN_SHARE))
    sentences = {"W-default": [f"experiments={EXPERIMENT}"], W.name: _workload_w(table)}
    rows = []
    for name, sentence in sentences.items():
        cache = empty_cache(scratch / f"cache-{name}")
        for state in ("cold", "warm"):
            results = scratch / f"results-{name}-{state}"
            budgets, seeds = ("1,2", "1,2") if quick else (_BUDGETS, _SEEDS)
            command = [
                *FEDCREDIT, "run", "-m", *sentence, f"privacy.target_epsilon={budgets}", f"seed={seeds}",
                "evaluation.references=[]", f"trainer.kind={kind}", f"results_dir={results}",
            ]  # fmt: skip
            rows.append({"name": name, "cache": state, "trainer": kind, **_cost(command, cache, scratch)})
            rows[-1]["runs"] = len(list(results.rglob("record.json")))
            shutil.rmtree(results, ignore_errors=True)
    shutil.rmtree(table)
    return rows


def _cost(command: list[str], cache: Path, scratch: Path) -> dict[str, Any]:
    print(f"sweep: {' '.join(command[3:])}", file=sys.stderr, flush=True)
    try:
        environment = {"FEDCREDIT_CACHE": str(cache)}
        cost = run_command(command, scratch=scratch, limit=_LIMIT, environment=environment)
    except ChildFailedError as error:
        print(f"failed: {error}", file=sys.stderr, flush=True)
        return {"failure": str(error)}
    return {"wall": cost.wall, "cpu": cost.cpu, "peak_mb": cost.peak_mb}


def _workload_w(table: Path) -> list[str]:
    """Workload W over a table of which 30,000 loans train; its budgets are epsilons, as a study's are."""
    return [
        *tables.overrides(table), "name=benchmark/W", "partition=quantity", "privacy.clipping_norm=1",
        "network=relu64_32", "network.hidden=[64,64]", "training=local_epochs", "training.local.expected_batch=128",
        "training/optimiser=sgd", "training.optimiser.learning_rate=0.5", "strategy=fedavg", "evaluation.every=1",
    ]  # fmt: skip

"""Interleaved repetitions: every variant once, then every variant again, so that a busy minute strikes all."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, get_args

from benchmarks.ours import PATHS
from benchmarks.processes import ChildFailedError, Cost, run_module, steady
from benchmarks.workloads import W, arithmetic, workload

PEER = "Flower + Ray + Opacus"
_LIMIT = 1800.0
_LARGE_ROUNDS = 3
_QUICK_ROUNDS = 3
_PATH_NAMES = {
    "bare": "{}, bare loop",
    "inline": "{}, inline runtime",
    "stock": "{}, inline runtime, Flower's FedAvg",
}


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One row of a table: a child module and its task."""

    name: str
    module: str
    task: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One repetition. ``steady_*`` is a whole run without its start; ``start_*`` ends with round 1."""

    start_cpu: float
    start_wall: float
    steady_cpu: float
    steady_wall: float
    process_cpu: float
    process_wall: float
    peak_mb: float
    auc: float | None
    digest: str | None


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Median, smallest and largest of the repetitions."""

    median: float
    low: float
    high: float


def trainer_kinds() -> tuple[str, ...]:
    """The trainers that an experiment may name."""
    from fedcredit.experiment.spec import Trainer

    return tuple(str(kind) for kind in get_args(Trainer.model_fields["kind"].annotation))


def plan(name: str, kinds: Sequence[str], *, quick: bool, with_peer: bool) -> list[Variant]:
    """The variants of a workload. The reference trainer is slow and only shown bare."""
    rounds = _QUICK_ROUNDS if quick else W.num_rounds if name == W.name else _LARGE_ROUNDS
    task: dict[str, Any] = {"workload": name, "num_rounds": rounds, "quick": quick}
    peer = Variant(name=PEER, module="benchmarks.peer", task={**task, "num_workers": 2})
    own = [
        Variant(
            name=_PATH_NAMES[path].format(kind), module="benchmarks.ours", task={**task, "trainer": kind, "path": path}
        )
        for kind in kinds
        for path in (("bare",) if kind == "reference" else PATHS)
    ]
    return [peer, *own] if with_peer else own


def interleave(
    variants: Sequence[Variant], repeats: int, *, scratch: Path, read: Callable[[Variant, Cost], Any]
) -> tuple[dict[str, list[Any]], dict[str, str]]:
    """Run every variant ``repeats`` times, in turn.

    Returns:
        What ``read`` made of each repetition, ``None`` where it failed, by variant; and the failures' texts.
    """
    samples: dict[str, list[Any]] = {variant.name: [] for variant in variants}
    failures: dict[str, str] = {}
    for repeat in range(repeats):
        for variant in variants:
            print(f"repetition {repeat + 1} of {repeats}: {variant.name}", file=sys.stderr, flush=True)
            try:
                cost = run_module(variant.module, variant.task, scratch=scratch, limit=_LIMIT)
                samples[variant.name].append(read(variant, cost))
            except ChildFailedError as error:
                samples[variant.name].append(None)
                failures[variant.name] = str(error)
                print(f"failed: {error}", file=sys.stderr, flush=True)
    return samples, failures


def run_workload(
    name: str, kinds: Sequence[str], repeats: int, *, scratch: Path, quick: bool, with_peer: bool, peak_gflops: float
) -> dict[str, Any]:
    """Measure a workload; plain data for the report."""
    variants = plan(name, kinds, quick=quick, with_peer=with_peer)
    samples, failures = interleave(variants, repeats, scratch=scratch, read=_sample)
    whole = workload(name, quick=quick)
    gflop = arithmetic(whole) / 1e9
    rows = {
        variant.name: _row(samples[variant.name], samples.get(PEER, []), gflop / peak_gflops) for variant in variants
    }
    return {
        "name": name, "quick": quick, "rounds": whole.num_rounds, "rounds_run": variants[0].task["num_rounds"],
        "gflop": gflop, "limit_cpu": gflop / peak_gflops, "repeats": repeats, "rows": rows, "failures": failures,
        "samples": {key: [found and asdict(found) for found in kept] for key, kept in samples.items()},
    }  # fmt: skip


def spread(values: Sequence[float]) -> Spread:
    """Summarise the repetitions of one figure."""
    return Spread(median=median(values), low=min(values), high=max(values))


def _sample(variant: Variant, cost: Cost) -> Sample:
    marks, rounds = cost.report["marks"], variant.task["num_rounds"]
    whole = workload(variant.task["workload"]).num_rounds
    return Sample(
        start_cpu=marks["round 1"]["cpu"],
        start_wall=marks["round 1"]["wall"],
        steady_cpu=steady(marks, "cpu", num_rounds=rounds, whole=whole),
        steady_wall=steady(marks, "wall", num_rounds=rounds, whole=whole),
        process_cpu=cost.cpu,
        process_wall=cost.wall,
        peak_mb=cost.peak_mb,
        auc=cost.report["auc"],
        digest=cost.report.get("digest"),
    )


def _row(samples: Sequence[Sample | None], peers: Sequence[Sample | None], limit_cpu: float) -> dict[str, Any] | None:
    """Summarise a variant; ratios compare it with the peer of the same repetition."""
    good = [found for found in samples if found is not None]
    if not good:
        return None
    pairs = [(found, peer) for found, peer in zip(samples, peers, strict=False) if found and peer]
    figures = ("start_cpu", "start_wall", "steady_cpu", "steady_wall", "process_cpu", "process_wall", "peak_mb")
    row: dict[str, Any] = {figure: asdict(spread([getattr(found, figure) for found in good])) for figure in figures}
    row["share_of_peak"] = limit_cpu / row["steady_cpu"]["median"]
    row["auc"] = good[-1].auc
    row["digests"] = sorted({found.digest for found in good if found.digest})
    for figure in ("steady_cpu", "process_wall"):
        ratios = [getattr(peer, figure) / getattr(found, figure) for found, peer in pairs]
        row[f"ratio_{figure}"] = asdict(spread(ratios)) if ratios else None
    return row

"""What a study is expected to give, and whether it did."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedcredit.errors import InputError
from fedcredit.experiment.differences import DIFFERENT, IDENTICAL, WITHIN
from fedcredit.experiment.record import RunRecord, as_json
from fedcredit.experiment.studies import EXPECTED_FILE, Expected, ExpectedFile, Study, figure_at
from fedcredit.experiment.wording import Table

METRICS: Mapping[str, float] = {
    "evaluation.overall.auc": 0.002,
    "evaluation.overall.ks": 0.006,
    "evaluation.overall.brier": 0.001,
    "statement.worst.value": 1e-6,
}
_DIGITS = 12


@dataclass(frozen=True, kw_only=True)
class Judged:
    """One expected figure, what was measured, and the verdict in the words of `differences`."""

    expected: Expected
    measured: float | None
    verdict: str


def judge(expected: ExpectedFile, records: Sequence[RunRecord]) -> list[Judged]:
    """Hold finished runs against the figures of a study.

    Args:
        expected: the figures.
        records: runs of its arms; those on other seeds are passed over.

    Returns:
        One verdict a figure; ``"different"`` also where a run is missing.

    Raises:
        InputError: if a metric is no path of a record.
    """
    by_arm = _by_arm(records, expected.seeds)
    judged = []
    for figure in expected.figures:
        values = [figure_at(told, figure.metric) for told in by_arm.get(figure.arm, {}).values()]
        mean = _mean(values) if len(values) == len(expected.seeds) else None
        judged.append(Judged(expected=figure, measured=mean, verdict=_verdict(figure, mean)))
    return judged


def expectations(study: Study, records: Sequence[RunRecord], *, seeds: Sequence[int]) -> ExpectedFile:
    """Take the figures of finished runs as what is expected from now on.

    Args:
        study: the study.
        records: its runs.
        seeds: the seeds that count; every arm must have been run on all of them.

    Returns:
        Mean figures of each arm, with the tolerance that another machine is allowed.

    Raises:
        InputError: if a run is missing.
    """
    by_arm = _by_arm(records, seeds)
    figures = []
    for arm in (name.partition("/")[2] for name in study.arms):
        found = by_arm.get(arm, {})
        missing = sorted(set(seeds) - set(found))
        if missing:
            raise InputError(f"{study.name}/{arm} has no finished run on seed {missing[0]}; run the study first")
        for metric, tolerance in METRICS.items():
            if metric.startswith("statement.") and any(told["statement"] is None for told in found.values()):
                continue
            mean = _mean([figure_at(told, metric) for told in found.values()])
            if mean is not None and math.isfinite(mean):
                value = float(f"{mean:.{_DIGITS}g}")
                figures.append(Expected(arm=arm, metric=metric, value=value, tolerance=tolerance))
    return ExpectedFile(seeds=tuple(seeds), figures=tuple(figures))


def write_expectations(study: Study, expected: ExpectedFile) -> Path:
    """Write ``expected.yaml`` beside the arms of a study: whole, then renamed.

    Args:
        study: the study.
        expected: its figures.

    Returns:
        The file.
    """
    import yaml

    path = study.folder / EXPECTED_FILE
    body = yaml.safe_dump(expected.model_dump(mode="json"), sort_keys=False, default_flow_style=None, width=120)
    lines = [
        f"# What {study.name} gives: means over the seeds. Written by fedcredit study expect {study.name},",
        f"# held against by fedcredit reproduce {study.name}.",
    ]
    unfinished = path.with_name(f".{EXPECTED_FILE}.new")
    unfinished.write_text("\n".join([*lines, body]), encoding="utf-8")
    unfinished.replace(path)
    return path


def judgement_table(study: Study, judged: Sequence[Judged]) -> Table:
    """Lay verdicts out as a table.

    Args:
        study: the study.
        judged: its verdicts.

    Returns:
        One row a figure.
    """
    return Table(
        title=f"{study.name}, run again",
        headings=("arm", "metric", "expected", "measured", "tolerance", "verdict"),
        num_labels=2,
        rows=tuple(
            (
                item.expected.arm,
                item.expected.metric,
                f"{item.expected.value:.6g}",
                "missing" if item.measured is None else f"{item.measured:.6g}",
                f"{item.expected.tolerance:g}",
                item.verdict,
            )
            for item in judged
        ),
        notes=(f"identical bits: equal to {_DIGITS} digits",),
    )


def _by_arm(records: Sequence[RunRecord], seeds: Sequence[int]) -> dict[str, dict[int, dict[str, Any]]]:
    found: dict[str, dict[int, dict[str, Any]]] = defaultdict(dict)
    for record in records:
        seed, split_seed = record.experiment["seed"], record.experiment["split_seed"]
        if seed == split_seed and seed in seeds:
            found[record.name.partition("/")[2]][int(str(seed))] = as_json(record)
    return found


def _mean(values: Sequence[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return sum(present) / len(present) if present and len(present) == len(values) else None


def _verdict(figure: Expected, measured: float | None) -> str:
    if measured is None or not math.isfinite(measured):
        return DIFFERENT
    if float(f"{measured:.{_DIGITS}g}") == figure.value:
        return IDENTICAL
    return WITHIN if abs(measured - figure.value) <= figure.tolerance else DIFFERENT

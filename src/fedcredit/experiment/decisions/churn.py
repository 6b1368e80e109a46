"""Decision churn: whom the same experiment would decide otherwise, had its noise fallen otherwise.

Runs that differ in ``seed`` alone share loans and lenders; what differs between their decisions is chance: of batches
and initial weights without privacy, and of noise with it. Kulynych, Hsu, Troncoso and Calmon, Arbitrary Decisions are a
Hidden Cost of Differentially Private Training (FAccT 2023), call it predictive multiplicity.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedcredit.credit.approval import CutOff, accept
from fedcredit.credit.lending import LendingPolicy
from fedcredit.credit.limits import LimitPolicy
from fedcredit.credit.loans import Floats
from fedcredit.data.segments import segments_of
from fedcredit.errors import InputError
from fedcredit.experiment.decisions.limiting import limits_of
from fedcredit.experiment.decisions.price_of_privacy import ALL, epsilon_of_run, groups_of
from fedcredit.experiment.decisions.rescoring import Progress, Rescored, rescored, scores_of
from fedcredit.experiment.record import RunRecord, read_record
from fedcredit.experiment.review import attributions

MOST_EXPLAINED = 200
_CHANCE = ("seed", "results_dir", "runtime", "trainer", "tracking", "evaluation")


@dataclass(frozen=True, kw_only=True)
class Churn:
    """How often two trainings of one experiment decide otherwise, over all pairs of seeds.

    Attributes:
        group: ``all``, a kind of lender, a lender, or a part of a segment that stands for people.
        is_lender: whether it is a single lender.
        epsilon: target of the budget; infinite without privacy.
        num_seeds: trainings.
        num_loans: loans that were decided on.
        approval_rate: mean over trainings.
        approvals_flipped_rate: share of loans that one training approves and another refuses, mean over pairs.
        ever_flipped_rate: share of loans on which not all trainings agree.
        limits_changed_rate: share of loans whose limits differ by more than the policy's least change, mean over pairs.
        reasons_changed_rate: share of loans refused by both whose first reason differs, mean over pairs; for ``all``
            alone, ``None`` where no pair refuses a loan together.
    """

    group: str
    is_lender: bool
    epsilon: float
    num_seeds: int
    num_loans: int
    approval_rate: float
    approvals_flipped_rate: float
    ever_flipped_rate: float
    limits_changed_rate: float
    reasons_changed_rate: float | None


def repeated_runs(folders: Sequence[Path]) -> list[list[Path]]:
    """Find runs that differ in ``seed`` alone.

    Args:
        folders: results folders of finished runs.

    Returns:
        Groups of at least two folders with different seeds; one folder for each seed.
    """
    groups: dict[str, dict[object, Path]] = {}
    for folder in folders:
        record = read_record(folder)
        groups.setdefault(_meaning(record), {}).setdefault(record.experiment["seed"], folder)
    return [list(found.values()) for found in groups.values() if len(found) > 1]


def decision_churn(
    folders: Sequence[Path],
    *,
    policy: LendingPolicy | None = None,
    limit_policy: LimitPolicy | None = None,
    progress: Progress | None = None,
) -> list[Churn]:
    """Measure how often trainings of one experiment decide otherwise.

    Args:
        folders: results folders; groups of them differ in ``seed`` alone.
        policy: how probabilities become approvals.
        limit_policy: how they become limits.
        progress: told ``"runs"``, the runs done and the runs there are.

    Returns:
        Budget by budget from the largest epsilon, group by group.

    Raises:
        InputError: if no two runs differ in ``seed`` alone, or one cannot be scored again.
    """
    groups = repeated_runs(folders)
    if not groups:
        raise InputError(
            f"no two of {len(folders)} runs differ in seed alone; run an experiment again with seed=1,2,3 and one "
            "split_seed"
        )
    total, done, found = sum(len(group) for group in groups), 0, []
    for group in groups:
        runs = []
        for folder in group:
            if progress is not None:
                progress("runs", done, total)
            runs.append(rescored(folder))
            done += 1
        found += _churn(runs, policy or LendingPolicy(), limit_policy or LimitPolicy())
    if progress is not None:
        progress("runs", total, total)
    return sorted(found, key=lambda churn: -churn.epsilon)


def flipped(decisions: NDArray[np.bool_]) -> Floats:
    """Return for each loan how often two of several decisions differ.

    Args:
        decisions: ``[trainings, loans]``, at least two trainings.

    Returns:
        Share of pairs, ``[loans]``: 2 k (n - k) / (n (n - 1)) for k approvals of n.
    """
    num = len(decisions)
    yes = decisions.sum(axis=0).astype(np.float64)
    rates: Floats = 2.0 * yes * (num - yes) / (num * (num - 1))
    return rates


def _churn(runs: Sequence[Rescored], policy: LendingPolicy, limit_policy: LimitPolicy) -> list[Churn]:
    first = runs[0]
    names = [institution.name for institution in first.prepared.institutions]
    seen = [scores_of(run, run.networks()).test_at_own_level for run in runs]
    pd = np.stack([np.concatenate([scored[name].pd for name in names]) for scored in seen])
    approved = np.stack([accept(row, CutOff(terms=policy.terms)) for row in pd])
    limits = np.stack([limits_of(first, row, lgd_rate=policy.terms.lgd_rate, policy=limit_policy) for row in pd])
    turned, moved = flipped(approved), _moved(limits, limit_policy.least_change_rate)
    reasons = _reasons_changed(runs, approved)
    return [
        Churn(
            group=group,
            is_lender=group in names,
            epsilon=epsilon_of_run(first),
            num_seeds=len(runs),
            num_loans=int(members.sum()),
            approval_rate=float(approved[:, members].mean()),
            approvals_flipped_rate=float(turned[members].mean()),
            ever_flipped_rate=float((turned[members] > 0.0).mean()),
            limits_changed_rate=float(moved[members].mean()),
            reasons_changed_rate=reasons if group == ALL else None,
        )
        for group, members in _members(first, names).items()
        if members.any()
    ]


def _moved(limits: Floats, least_change_rate: float) -> Floats:
    """Return for each loan the share of pairs of trainings whose limits are further apart than the least change."""
    pairs = list(itertools.combinations(range(len(limits)), 2))
    count = np.zeros(limits.shape[1])
    for one, other in pairs:
        low, high = np.minimum(limits[one], limits[other]), np.maximum(limits[one], limits[other])
        count += high > (1.0 + least_change_rate) * low
    return count / len(pairs)


def _reasons_changed(runs: Sequence[Rescored], approved: NDArray[np.bool_]) -> float | None:
    """Compare the first reason of loans that trainings refuse, on a sample of the loans that all of them refuse."""
    refused = np.flatnonzero(~approved.any(axis=0))[:MOST_EXPLAINED]
    if not refused.size:
        return None
    features = np.concatenate([institution.test.features for institution in runs[0].prepared.institutions])[refused]
    tops = []
    for run in runs:
        found = attributions(run.prepared, run.parameters, features)
        tops.append(np.argmax(found.values, axis=1))
    pairs = list(itertools.combinations(tops, 2))
    return float(np.mean([np.mean(one != other) for one, other in pairs]))


def _members(run: Rescored, names: Sequence[str]) -> dict[str, NDArray[np.bool_]]:
    """Mark the loans of each group: lenders and their kinds, and the schema's groups of people."""
    lender = np.concatenate(
        [np.full(institution.test.num_loans, institution.name) for institution in run.prepared.institutions]
    )
    rows = np.concatenate([institution.test.rows for institution in run.prepared.institutions])
    found = {group: np.isin(lender, own) for group, own in groups_of(run).items()}
    portfolio = run.prepared.portfolio
    for segment in portfolio.schema.segments:
        if segment.group:
            parts = segments_of(portfolio, segment, rows)
            found |= {f"{segment.of}: {part}": parts == part for part in np.unique(parts).tolist()}
    return found


def _meaning(record: RunRecord) -> str:
    kept = {name: value for name, value in record.experiment.items() if name not in _CHANCE}
    return json.dumps(kept, sort_keys=True, default=_plain)


def _plain(value: object) -> str:
    return "inf" if isinstance(value, float) and math.isinf(value) else str(value)

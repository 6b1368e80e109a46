from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from pydantic import JsonValue
from scipy.special import expit

from fedcredit.credit.evaluation import (
    FederationEvaluation,
    evaluate_federation,
    federation_auc_gap,
    federation_within_auc_gap,
)
from fedcredit.credit.scored import Scored
from fedcredit.data.contract import draw_up
from fedcredit.experiment.record import ReferenceRecord, RunRecord
from fedcredit.experiment.spec import Experiment, FixedSteps, IidPartition, Privacy, PublicTable
from fedcredit.privacy.accounting.accountants import Epsilon
from fedcredit.privacy.accounting.statement import EpsilonStatement
from fedcredit.privacy.reading import Reading

MakeRecord = Callable[..., RunRecord]
LENDERS = ("Harbour Bank", "Lotus Pay", "Northern Credit")


def _loans(names: Sequence[str], *, seed: int, error: float, without_defaults: Sequence[str]) -> dict[str, Scored]:
    loans = {}
    for place, name in enumerate(names):
        rng = np.random.default_rng([1, place])
        signal = rng.normal(0.0, 1.2, 160 + 220 * min(place, 3))
        default = rng.random(signal.size) < expit(signal - 1.6 + 0.4 * place)
        noise = np.random.default_rng([seed, place]).normal(0.0, error, signal.size)
        loans[name] = Scored(pd=expit(signal + noise - 1.4), default=default & (name not in without_defaults))
    return loans


def _round(number: int, auc: float | None, epsilon: float | None) -> dict[str, JsonValue]:
    overall: JsonValue = None if auc is None else {"overall": {"auc": auc}, "institutions": {}, "missing": {}}
    return {"server_round": number, "update_norm": 0.1, "evaluation": overall, "epsilon_spent": epsilon}


@functools.cache
def make_record(
    *,
    lenders: tuple[str, ...] = LENDERS,
    epsilon: float | None = 1.0,
    name: str = "made_up/epsilon_1",
    without_defaults: tuple[str, ...] = (),
    references: tuple[str, ...] = ("alone", "pooled", "one_shot", "pooled_trees"),
    own_intercept: bool = True,
    num_rounds: int = 20,
    error: float = 0.6,
    seed: int = 2,
) -> RunRecord:
    scored = _loans(lenders, seed=seed, error=error, without_defaults=without_defaults)
    evaluation = evaluate_federation(scored)
    others: dict[str, ReferenceRecord] = {}
    for place, reference in enumerate(references):
        found = _loans(lenders, seed=3 + place, error=0.3 * (4 - place), without_defaults=without_defaults)
        is_open = epsilon is None or reference.startswith("pooled_")
        others[reference] = ReferenceRecord(
            evaluation=evaluate_federation(found),
            epsilon=float("inf") if is_open else epsilon or 0.0,
            auc_gap=federation_auc_gap(scored, found),
            within_auc_gap=federation_within_auc_gap(scored, found),
            everywhere_auc=0.6543 if reference == "alone" else None,
        )
    shifted: FederationEvaluation | None = evaluate_federation(
        _loans(lenders, seed=seed, error=0.4, without_defaults=without_defaults)
    )
    spent = Epsilon(value=epsilon or math.inf, target_delta=1e-5, accountant="pld", grid=1e-4)
    statement = EpsilonStatement(
        unit="loan", relation="zero_out", target_delta=1e-5, mode="simulated", covers="every update of 20 rounds",
        per_lender=dict.fromkeys(lenders, spent), worst=spent, overlap={2: replace(spent, value=1.402)},
        num_lenders=len(lenders),
        reading={
            1: Reading(advantage=0.1, true_positive_rates=(0.0021, 0.0181, 0.0792)),
            2: Reading(advantage=0.14, true_positive_rates=(0.003, 0.023, 0.094)),
        },
    )  # fmt: skip
    experiment = Experiment(
        name="made_up/arm",
        portfolio=PublicTable(table="taiwan"),
        partition=IidPartition(num_institutions=len(lenders)),
        privacy=Privacy(target_epsilon=epsilon or float("inf"), target_delta=1e-5),
    )
    return RunRecord(
        name=name,
        fingerprint="0123456789abcdef" * 4,
        mode="simulated",
        experiment=experiment.model_dump(mode="python"),
        contracts=draw_up(
            {lender: 700 * (place + 1) for place, lender in enumerate(lenders)}, local=FixedSteps(), weights="by_size"
        ).contracts,
        noise_multiplier={} if epsilon is None else dict.fromkeys(lenders, 9.481),
        statement=None if epsilon is None else statement.to_json(),
        statement_lines=()
        if epsilon is None
        else (
            f"epsilon {epsilon:.3f} at delta 1e-05 for one loan (zero-out), by PLD on a grid of 1e-4; simulated",
            "a borrower at two lenders: epsilon 1.402; at three: 1.709",
        ),
        rounds=tuple(
            _round(
                number,
                0.76 - 0.2 / number if number % 5 == 0 else None,
                None if epsilon is None else epsilon * (number / num_rounds) ** 0.5,
            )
            for number in range(1, num_rounds + 1)
        ),
        evaluation=evaluation,
        own_intercept=shifted if own_intercept else None,
        references=others,
        remarks=("Recipe and columns were chosen on splits of the same table; that search is not charged.",),
        seconds={"prepare": 1.5, "train": 12.25},
        environment={"python": "3.11.2", "packages": {"numpy": "2.4.6"}},
    )


@pytest.fixture
def made_up() -> MakeRecord:
    return make_record

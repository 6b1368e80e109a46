"""How long a run will train: a few rounds of the same shape, timed on made-up loans.

Everything of a round is there: messages, sampling, clipping, noise, aggregation and ledgers that reach the
disk; the loans are random numbers, the ledgers lie in a scratch folder, and the streams are no run's.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np

from fedcredit.data.institution import Institution, Loans
from fedcredit.experiment.prepare import Prepared, lenders, open_ledgers, server_noise
from fedcredit.experiment.spec import Evaluation
from fedcredit.federation.runtimes.inline import run_inline
from fedcredit.federation.server import federate
from fedcredit.seeds import normals, private_stream, uniforms

_FINGERPRINT = "fedcredit/trial/1"
_NUM_ROUNDS = 4
_MOST_LOANS = 200_000


def seconds_a_round(prepared: Prepared) -> float:
    """Time a round over the inline runtime.

    Args:
        prepared: the experiment with its contracts, plan and network; it needs neither loans nor lenders.

    Returns:
        Seconds, the fastest of three rounds after a first one. Above 200,000 loans fewer are made up, and
        the time is scaled.
    """
    share = min(1.0, _MOST_LOANS / sum(contract.num_loans for contract in prepared.contracts.contracts))
    seconds: list[float] = []
    trial = _trial(prepared, share)
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        ledgers = open_ledgers(trial, folder=Path(scratch))
        for ledger in ledgers.values():
            stack.enter_context(ledger)
        run_inline(
            lenders(trial, ledgers=ledgers),
            lambda grid: federate(
                grid,
                experiment=trial.experiment,
                fingerprint=trial.fingerprint,
                contracts=trial.contracts,
                network=trial.network,
                initial=trial.initial,
                noise_multiplier=trial.plan.noise_multiplier,
                server_noise=server_noise(trial, ledgers=ledgers),
                on_round=lambda told: seconds.append(told.train_seconds),
            ),
        )
    return min(seconds[1:]) / share


def _trial(prepared: Prepared, share: float) -> Prepared:
    experiment = prepared.experiment.model_copy(
        update={
            "training": prepared.experiment.training.model_copy(update={"num_rounds": _NUM_ROUNDS}),
            "evaluation": Evaluation(every=_NUM_ROUNDS, references=()),
            "privacy": prepared.experiment.privacy.model_copy(update={"epsilon_cap": None}),
        }
    )
    num_features, cap = prepared.network.num_features, prepared.portfolio.schema.row_norm_cap
    made_up = tuple(
        _made_up(
            contract.institution,
            max(1, round(share * contract.num_loans)),
            num_features,
            cap,
            loans_of_borrower=prepared.experiment.privacy.loans_in_sample,
        )
        for contract in prepared.contracts.contracts
    )
    return replace(prepared, experiment=experiment, fingerprint=_FINGERPRINT, institutions=made_up, stop=None)


def _made_up(
    institution: str, num_sampled: int, num_features: int, cap: float, *, loans_of_borrower: int
) -> Institution:
    """Make loans up; where borrowers are sampled each has as many loans as are kept, which is the slowest case."""
    num_loans = num_sampled * loans_of_borrower
    stream = private_stream(fingerprint=_FINGERPRINT, seed=0, institution=institution, purpose="made-up loans")
    features = normals(stream, count=num_loans * num_features).reshape(num_loans, num_features)
    features *= cap / np.linalg.norm(features, axis=1, keepdims=True)
    loans = Loans(
        features=features.astype(np.float32),
        default=(uniforms(stream, count=num_loans, step=1) < 0.2).astype(np.float32),
        rows=np.arange(num_loans, dtype=np.int64),
        borrower_starts=np.arange(0, num_loans + 1, loans_of_borrower) if loans_of_borrower > 1 else None,
    )
    return Institution(name=institution, kind="made up", train=loans, validation=_first(loans), test=_first(loans))


def _first(loans: Loans) -> Loans:
    return Loans(features=loans.features[:8], default=loans.default[:8], rows=loans.rows[:8])

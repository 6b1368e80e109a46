"""A small synthetic federation that any process can rebuild from an experiment alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedcredit.data.contract import ContractTable, draw_up
from fedcredit.data.institution import Institution, Loans
from fedcredit.experiment.spec import (
    Evaluation,
    Experiment,
    FixedSteps,
    FlowerStrategy,
    IidPartition,
    Network,
    Privacy,
    PublicTable,
    Strategy,
    Training,
)
from fedcredit.federation.client import Lender
from fedcredit.federation.runtimes.inline import run_inline
from fedcredit.federation.server import FederationResult, RoundRecord, federate
from fedcredit.model.network import DefaultNetwork, initial_parameters, network_from_spec
from fedcredit.privacy.accounting.events import GaussianSteps
from fedcredit.privacy.accounting.ledger import PrivacyLedger
from fedcredit.seeds import Stream, normals, private_stream, public_stream
from fedcredit.training.contract import LocalOutcome, LocalSettings, RoundStreams
from fedcredit.training.trainers import predictor, trainer

FINGERPRINT = "small-federation"
SIZES = {"anchor bank": 120, "borough union": 60, "coast lender": 90, "delta bank": 40}
FAILING = "coast lender"
FAILING_ROUND = 2
SECRET = "income 48211"
NOISE_MULTIPLIER = 0.7


@dataclass(frozen=True, kw_only=True)
class Prepared:
    experiment: Experiment
    fingerprint: str
    contracts: ContractTable
    plan: Any
    network: DefaultNetwork
    initial: NDArray[np.float32]

    @property
    def num_rounds(self) -> int:
        return self.experiment.training.num_rounds


def small_experiment(
    *,
    name: str = "small/good",
    rounds: int = 4,
    private: bool = True,
    training: Training | None = None,
    strategy: Strategy | FlowerStrategy | None = None,
) -> Experiment:
    return Experiment(
        name=name,
        portfolio=PublicTable(table="german"),
        partition=IidPartition(num_institutions=len(SIZES)),
        network=Network(hidden=(5,)),
        training=training or Training(num_rounds=rounds, local=FixedSteps(num_steps=2)),
        privacy=Privacy(noise_multiplier=NOISE_MULTIPLIER) if private else Privacy(target_epsilon=float("inf")),
        strategy=strategy or Strategy(quorum=0.5, deadline_seconds=60.0),
        evaluation=Evaluation(every=2),
    )


def run(
    experiment: Experiment, lenders: dict[str, Lender], on_round: Callable[[RoundRecord], None] | None = None
) -> FederationResult:
    prepared = prepare(experiment)
    return run_inline(
        lenders,
        lambda grid: federate(
            grid,
            experiment=experiment,
            fingerprint=prepared.fingerprint,
            contracts=prepared.contracts,
            network=prepared.network,
            initial=prepared.initial,
            noise_multiplier=prepared.plan.noise_multiplier,
            on_round=on_round,
        ),
    )


def run_here(experiment: Experiment, folder: Path) -> FederationResult:
    prepared = prepare(experiment)
    return run(experiment, lenders(prepared, ledgers=open_ledgers(prepared, folder=folder)))


def prepare(experiment: Experiment) -> Prepared:
    network = network_from_spec(experiment.network, 6)
    return Prepared(
        experiment=experiment,
        fingerprint=FINGERPRINT,
        contracts=draw_up(SIZES, local=experiment.training.local, weights=experiment.strategy.weights),
        plan=SimpleNamespace(
            is_private=experiment.privacy.is_private, noise_multiplier=dict.fromkeys(SIZES, NOISE_MULTIPLIER)
        ),
        network=network,
        initial=initial_parameters(network, public_stream(seed=experiment.seed, purpose="initialisation")),
    )


def open_ledgers(prepared: Prepared, *, folder: Path) -> dict[str, PrivacyLedger]:
    if not prepared.plan.is_private:
        return {}
    (folder / "ledger").mkdir(parents=True, exist_ok=True)
    return {
        name: PrivacyLedger.open(
            folder / "ledger" / f"{name}.jsonl", institution=name, fingerprint=FINGERPRINT, mode="simulated"
        )
        for name in SIZES
    }


def lenders(prepared: Prepared, *, ledgers: dict[str, PrivacyLedger]) -> dict[str, Lender]:
    return {name: _lender(prepared, name, ledgers.get(name)) for name in SIZES}


def _lender(prepared: Prepared, name: str, ledger: PrivacyLedger | None) -> Lender:
    experiment, contract, private = prepared.experiment, prepared.contracts[name], prepared.plan.is_private
    settings = LocalSettings(
        num_steps=contract.local_steps,
        sampling_probability=contract.sampling_probability,
        divisor=contract.divisor,
        clipping_norm=experiment.privacy.clipping_norm if private else float("inf"),
        noise_multiplier=NOISE_MULTIPLIER if private else 0.0,
        optimiser=experiment.training.optimiser,
        proximal_weight=experiment.training.proximal_weight,
    )
    event = GaussianSteps(
        sampling_probability=contract.sampling_probability,
        noise_multiplier=NOISE_MULTIPLIER,
        num_steps=contract.local_steps,
    )
    lender = Lender(
        institution=_institution(name),
        contract=contract,
        contract_digest=prepared.contracts.digest(),
        fingerprint=prepared.fingerprint,
        network=prepared.network,
        settings=settings,
        sampling=_stream(experiment, name, "sampling"),
        noise=_stream(experiment, name, "noise"),
        ledger=ledger,
        event=event if private else None,
        trainer=trainer("vectorised"),
        predict=predictor("vectorised"),
        computed_by="vectorised on cpu",
    )
    return replace(lender, trainer=_failing_trainer) if _fails(experiment, name) else lender


def _stream(experiment: Experiment, name: str, purpose: str) -> Stream:
    return private_stream(fingerprint=FINGERPRINT, seed=experiment.seed, institution=name, purpose=purpose)


def _institution(name: str) -> Institution:
    parts = {
        part: _loans(name, SIZES[name] if part == "train" else 30, part) for part in ("train", "validation", "test")
    }
    return Institution(name=name, kind="bank", **parts)


def _loans(name: str, count: int, part: str) -> Loans:
    stream = public_stream(seed=0, purpose=f"{name}/{part}")
    draws = normals(stream, count=7 * count).reshape(count, 7)
    features = draws[:, :6].astype(np.float32)
    default = (draws[:, 0] + draws[:, 6] > 0.8).astype(np.float32)
    return Loans(features=features, default=default, rows=np.arange(count))


def _fails(experiment: Experiment, name: str) -> bool:
    return experiment.name == "small/failing" and name == FAILING


def _failing_trainer(
    network: DefaultNetwork,
    parameters: NDArray[np.float32],
    features: NDArray[np.float32],
    default: NDArray[np.float32],
    *,
    settings: LocalSettings,
    streams: RoundStreams,
) -> LocalOutcome:
    if streams.server_round == FAILING_ROUND:
        raise ValueError(f"row 7: {SECRET}")
    return trainer("vectorised")(network, parameters, features, default, settings=settings, streams=streams)

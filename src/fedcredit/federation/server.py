"""The server's side of a federation: roster, then rounds, over whatever grid a runtime gives."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from flwr.serverapp import Grid
from numpy.typing import NDArray

from fedcredit.data.contract import Contract, ContractTable
from fedcredit.errors import InputError
from fedcredit.experiment.spec import Experiment, FlowerStrategy, FullCohort
from fedcredit.federation.central import CentralRule, ServerNoise, gate_bound
from fedcredit.federation.flower_private import quieten_flower
from fedcredit.federation.flower_strategy import OrderedFlowerStrategy, stock_strategy
from fedcredit.federation.norm_bound import update_norm_bound
from fedcredit.federation.protocol import SIMULATED
from fedcredit.federation.roster import call_roster
from fedcredit.federation.rounds import RoundRecord
from fedcredit.federation.snapshot import Keep, Snapshot, before_round_one
from fedcredit.federation.strategy import FedcreditRule, FederatedStrategy, Plan, ServerRule
from fedcredit.model.arrays import parameters_to_record
from fedcredit.model.network import DefaultNetwork
from fedcredit.privacy.secure_sum import noise_share
from fedcredit.training.contract import LocalSettings

__all__ = ["FederationResult", "RoundRecord", "federate"]


@dataclass(frozen=True, kw_only=True)
class FederationResult:
    """What a federation gives.

    ``parameters`` ``[num_parameters]`` are released (the average of the iterates),
    ``last_iterate`` is what would have been sent next. ``startup_seconds`` is the time until every
    lender had answered the roster.
    """

    parameters: NDArray[np.float32]
    last_iterate: NDArray[np.float32]
    rounds: tuple[RoundRecord, ...]
    startup_seconds: float


def federate(
    grid: Grid,
    *,
    experiment: Experiment,
    fingerprint: str,
    contracts: ContractTable,
    network: DefaultNetwork,
    initial: NDArray[np.float32],
    noise_multiplier: Mapping[str, float],
    on_round: Callable[[RoundRecord], None] | None = None,
    start: Snapshot | None = None,
    keep: Keep | None = None,
    num_rounds: int | None = None,
    server_noise: ServerNoise | None = None,
) -> FederationResult:
    """Call the roster and train for all rounds, or for those that are left.

    The server knows public constants only: the contract table and the noise multipliers, from which
    the gate bounds how far an honest lender's parameters can move.

    Args:
        grid: a runtime's grid.
        experiment: the experiment.
        fingerprint: its fingerprint.
        contracts: the contract table.
        network: the shape of the network.
        initial: initial parameters, ``[num_parameters]``.
        noise_multiplier: by institution; not used where nothing is private.
        on_round: told each round's record as it closes.
        start: where an interrupted federation of this experiment stood; round 1 by default.
        keep: told after each round how to take a snapshot.
        num_rounds: the last round, where a cap ends the run early; the experiment's by default.
        server_noise: the noise that the server adds, where the unit is an institution.

    Returns:
        The result, the rounds of ``start`` included; the same bits wherever it started.

    Raises:
        InputError: if the roster does not match, an option is wrong, or a quorum fails.
        TransportError: if the runtime itself reports an error.
    """
    quieten_flower()
    if initial.shape != (network.num_parameters,):
        raise InputError(f"initial has shape {initial.shape}; this network needs ({network.num_parameters},)")
    begin = before_round_one(initial) if start is None else start
    rule = _rule(experiment, contracts, initial, server_noise)
    if begin.rule:
        rule.restore(begin.rule)
    started = time.perf_counter()
    deadline = experiment.strategy.deadline_seconds
    nodes = call_roster(grid, contracts, fingerprint=fingerprint, deadline_seconds=deadline)
    startup_seconds = time.perf_counter() - started
    plan = _plan(experiment, fingerprint, contracts, nodes, noise_multiplier, network.num_parameters)
    plan = replace(plan, num_rounds=num_rounds or plan.num_rounds, server=server_noise)
    strategy = FederatedStrategy(plan=plan, rule=rule, start=begin, on_round=on_round, keep=keep)
    arrays = parameters_to_record(begin.iterate.parameters)
    strategy.start(grid, arrays, num_rounds=strategy.num_rounds_left, timeout=deadline)
    return FederationResult(
        parameters=strategy.iterate.released,
        last_iterate=strategy.iterate.parameters,
        rounds=tuple(strategy.rounds),
        startup_seconds=startup_seconds,
    )


def _rule(
    experiment: Experiment, contracts: ContractTable, initial: NDArray[np.float32], server_noise: ServerNoise | None
) -> ServerRule:
    strategy = experiment.strategy
    if experiment.privacy.is_central and server_noise is None:
        raise RuntimeError("privacy_unit is institution, and the server was given no noise to add")
    if isinstance(strategy, FlowerStrategy):
        inner = stock_strategy(strategy, proximal_weight=experiment.training.proximal_weight)
        return OrderedFlowerStrategy(inner, contracts)
    if server_noise is not None:
        return CentralRule(strategy, contracts, initial, server_noise)
    return FedcreditRule(strategy, contracts, initial)


def _plan(
    experiment: Experiment,
    fingerprint: str,
    contracts: ContractTable,
    nodes: Mapping[str, int],
    noise_multiplier: Mapping[str, float],
    num_parameters: int,
) -> Plan:
    strategy = experiment.strategy
    bounds: dict[str, float | None] = {}
    if experiment.privacy.is_central:
        bounds = dict.fromkeys(contracts.institutions, gate_bound(experiment.privacy.clipping_norm))
    elif experiment.privacy.is_private:
        share = noise_share(experiment.privacy, len(contracts.contracts))
        bounds = {
            contract.institution: update_norm_bound(
                _settings(experiment, contract, share * noise_multiplier[contract.institution]),
                num_loans=contract.num_loans,
                num_parameters=num_parameters,
            )
            for contract in contracts.contracts
        }
    return Plan(
        fingerprint=fingerprint,
        nodes=nodes,
        cohort=FullCohort() if isinstance(strategy, FlowerStrategy) else strategy.cohort,
        seed=experiment.seed,
        quorum=strategy.quorum,
        num_rounds=experiment.training.num_rounds,
        evaluate_every=experiment.evaluation.every if experiment.mode == SIMULATED else None,
        norm_bound=bounds,
    )


def _settings(experiment: Experiment, contract: Contract, noise_multiplier: float) -> LocalSettings:
    return LocalSettings(
        num_steps=contract.local_steps,
        sampling_probability=contract.sampling_probability,
        divisor=contract.divisor,
        clipping_norm=experiment.privacy.clipping_norm,
        noise_multiplier=noise_multiplier,
        optimiser=experiment.training.optimiser,
        proximal_weight=experiment.training.proximal_weight,
    )

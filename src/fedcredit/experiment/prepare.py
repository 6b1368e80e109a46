"""From an experiment to everything a federation needs, before the first private gradient.

Only the experiment's text and the loan table enter, so any process that has both builds the very
same lenders: this one, a worker of a simulation, or a stranger's machine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedcredit.data.contract import Contract, ContractTable
from fedcredit.data.institution import Institution, build_institutions, count_train_loans
from fedcredit.data.portfolio import Portfolio
from fedcredit.data.tables import data_checksum, load_portfolio
from fedcredit.errors import InputError
from fedcredit.experiment.charged_plan import training_releases
from fedcredit.experiment.charged_ranges import Charging, with_charged_ranges
from fedcredit.experiment.deployed import DEPLOYED, checksum_name
from fedcredit.experiment.fingerprint import fingerprint
from fedcredit.experiment.run_ledgers import open_run_ledgers
from fedcredit.experiment.spec import Experiment, Trainer
from fedcredit.experiment.stopping import Stop, planned_stop, spending_cap
from fedcredit.federation.central import ServerNoise
from fedcredit.federation.client import Lender
from fedcredit.model.network import DefaultNetwork, initial_parameters, network_from_spec, to_pd
from fedcredit.privacy.accounting.ledger import PrivacyLedger
from fedcredit.privacy.accounting.releases import FEDERATION
from fedcredit.privacy.accounting.run_ledger import RunLedger
from fedcredit.privacy.plan import SERVER, PrivacyPlan
from fedcredit.privacy.secure_sum import noise_share
from fedcredit.privacy.terms import agree
from fedcredit.seeds import Stream, private_stream, public_stream
from fedcredit.training.contract import LocalSettings
from fedcredit.training.trainers import computed_by, predictor, trainer
from fedcredit.training.unseeded import unseeded_round

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """An experiment with its loans dealt out, its contracts drawn up and its noise calibrated.

    ``plan`` is of all planned rounds; ``stop`` says where a cap ends them.
    """

    experiment: Experiment
    fingerprint: str
    data_checksum: str
    portfolio: Portfolio
    institutions: tuple[Institution, ...]
    contracts: ContractTable
    plan: PrivacyPlan
    network: DefaultNetwork
    initial: NDArray[np.float32]
    stop: Stop | None = None

    @property
    def num_rounds(self) -> int:
        """How many rounds will run."""
        return self.experiment.training.num_rounds if self.stop is None else self.stop.after_round


def prepare(experiment: Experiment, *, progress: Progress | None = None, charge: Charging | None = None) -> Prepared:
    """Load the loans, build the lenders, draw up the contracts and calibrate the noise.

    Args:
        experiment: the experiment.
        progress: told the stage, the steps done and the steps there are.
        charge: what charges loans that are read for the encoding; None where the run has charged them already.

    Returns:
        All that a run needs; equal experiments and tables give equal results.

    Raises:
        InputError: if the table, the partition or the promise cannot be had, or no round fits under the cap.
    """
    portfolio = load_portfolio(experiment.portfolio, progress=progress)
    checksum = checksum_name(experiment, data_checksum(portfolio))
    name = fingerprint(experiment, data_checksum=checksum)
    terms = agree(
        experiment,
        _counted(experiment, portfolio),
        beside=training_releases(experiment),
        progress=None if progress is None else lambda _, done, total: progress("noise", done, total),
    )
    stop = planned_stop(experiment, terms.plan)
    if stop is not None and stop.after_round == 0:
        raise InputError(f"{stop.reason}. Not even one round fits: raise privacy.epsilon_cap, or the noise")
    portfolio = with_charged_ranges(experiment, portfolio, fingerprint=name, charge=charge)
    institutions = build_institutions(experiment, portfolio)
    network = network_from_spec(experiment.network, institutions[0].train.features.shape[1])
    return Prepared(
        experiment=experiment,
        fingerprint=name,
        data_checksum=checksum,
        portfolio=portfolio,
        institutions=institutions,
        contracts=terms.contracts,
        plan=terms.plan,
        network=network,
        initial=initial_network(experiment, network),
        stop=stop,
    )


def _counted(experiment: Experiment, portfolio: Portfolio) -> dict[str, int]:
    """Count training loans, or borrowers; where encoding costs privacy, the run may be refused before it does."""
    if experiment.encoding is not None:
        return count_train_loans(experiment, portfolio)
    return {found.name: found.train.num_sampled for found in build_institutions(experiment, portfolio)}


def initial_network(experiment: Experiment, network: DefaultNetwork) -> NDArray[np.float32]:
    """Return the initial parameters, named by the seed alone so that arms start from one point.

    Args:
        experiment: the experiment.
        network: the shape of the network.

    Returns:
        Flat parameters, ``[num_parameters]``.
    """
    return initial_parameters(network, public_stream(seed=experiment.seed, purpose="initialisation"))


def trainer_name(asked: Trainer, network: DefaultNetwork) -> str:
    """Name what computes the local rounds of a network, for what must not be mixed: releases and results folders.

    Args:
        asked: the experiment's trainer.
        network: the network.

    Returns:
        The trainer that computes, which may stand in for the one that was asked for, and its device.
    """
    return f"{computed_by(asked.kind, network).partition(',')[0]} on {asked.device}"


def predict_pd(
    prepared: Prepared, network: DefaultNetwork, parameters: NDArray[np.float32], features: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Score loans with a network of this run, by what stands beside its trainer.

    Args:
        prepared: the prepared experiment.
        network: the network's shape.
        parameters: flat parameters, ``[num_parameters]``.
        features: encoded loans, ``[loans, features]``.

    Returns:
        Probabilities of default, ``[loans]``.
    """
    return to_pd(predictor(prepared.experiment.trainer.kind)(network, parameters, features))


def local_settings(experiment: Experiment, contract: Contract, plan: PrivacyPlan) -> LocalSettings:
    """Gather the public constants of one lender's local rounds.

    Where borrowers are sampled, each of a borrower's m loans is clipped to C / m, and the noise on the sum is still
    sigma C: m sigma times the norm of one loan.

    Args:
        experiment: the experiment.
        contract: the lender's contract.
        plan: the promise, with the lender's noise multiplier.

    Returns:
        The settings; no clipping and no noise where the plan is not private, or the server adds the noise.
    """
    share = noise_share(experiment.privacy, len(plan.events))
    num_loans = experiment.privacy.loans_in_sample
    return LocalSettings(
        num_steps=contract.local_steps,
        sampling_probability=contract.sampling_probability,
        divisor=contract.divisor,
        clipping_norm=plan.clipping_norm / num_loans if plan.lenders_add_noise else float("inf"),
        noise_multiplier=(
            plan.noise_multiplier[contract.institution] * num_loans * share if plan.lenders_add_noise else 0.0
        ),
        optimiser=experiment.training.optimiser,
        proximal_weight=experiment.training.proximal_weight,
        pos_weight=experiment.network.pos_weight,
        focal_gamma=experiment.network.focal_gamma,
    )


def open_ledgers(
    prepared: Prepared, *, folder: Path, heads: Mapping[str, str] | None = None
) -> dict[str, PrivacyLedger]:
    """Open one ledger per lender in a results folder, the server's alone where it adds the noise, or none.

    Args:
        prepared: the prepared experiment.
        folder: the results folder.
        heads: by lender, a digest that its ledger must hold.

    Returns:
        Ledgers by lender; the caller closes them.

    Raises:
        InputError: if a ledger does not verify, is of another run, or does not hold its head.
    """
    if not prepared.plan.is_private:
        return {}
    return open_run_ledgers(
        prepared.experiment, prepared.plan.events, fingerprint=prepared.fingerprint, folder=folder, heads=heads
    )


def server_noise(prepared: Prepared, *, ledgers: Mapping[str, RunLedger]) -> ServerNoise | None:
    """Give the server what it needs to add the noise, where it is the one who does.

    Args:
        prepared: the prepared experiment.
        ledgers: the open ledgers.

    Returns:
        The server's noise; None where lenders add theirs, or nothing is private.
    """
    if not prepared.plan.is_private or prepared.plan.lenders_add_noise:
        return None
    ledger = ledgers[SERVER]
    assert isinstance(ledger, PrivacyLedger), "a server adds noise in mode simulated alone"
    return ServerNoise(
        event=prepared.plan.round_event(SERVER),
        clipping_norm=prepared.plan.clipping_norm,
        fingerprint=prepared.fingerprint,
        computed_by=trainer_name(prepared.experiment.trainer, prepared.network),
        noise=_stream(prepared, SERVER, "server_noise"),
        cohorts=_stream(prepared, SERVER, "server_cohorts"),
        ledger=ledger,
        cap=spending_cap(prepared.experiment),
    )


def lenders(prepared: Prepared, *, ledgers: Mapping[str, RunLedger]) -> dict[str, Lender]:
    """Give every institution what it needs to answer the server.

    Args:
        prepared: the prepared experiment.
        ledgers: the open ledgers by lender; empty where nothing is private.

    Returns:
        Lenders by name.
    """
    experiment, contract_digest = prepared.experiment, prepared.contracts.digest()
    unseeded = unseeded_round(experiment.trainer.kind) if experiment.mode == DEPLOYED else None
    return {
        institution.name: Lender(
            institution=institution,
            contract=prepared.contracts[institution.name],
            contract_digest=contract_digest,
            fingerprint=prepared.fingerprint,
            network=prepared.network,
            settings=local_settings(experiment, prepared.contracts[institution.name], prepared.plan),
            sampling=None if unseeded else _stream(prepared, institution.name, "sampling"),
            noise=None if unseeded else _stream(prepared, institution.name, "noise"),
            ledger=ledgers.get(institution.name),
            event=prepared.plan.round_event(institution.name) if prepared.plan.lenders_add_noise else None,
            trainer=trainer(experiment.trainer.kind, device=experiment.trainer.device),
            predict=predictor(experiment.trainer.kind),
            computed_by=trainer_name(experiment.trainer, prepared.network),
            cap=spending_cap(experiment),
            update_clipping_norm=experiment.privacy.clipping_norm if experiment.privacy.is_central else None,
            mode=experiment.mode,
            unseeded=unseeded,
        )
        for institution in prepared.institutions
    }


def _stream(prepared: Prepared, institution: str, purpose: str) -> Stream:
    return private_stream(
        fingerprint=prepared.fingerprint,
        seed=prepared.experiment.seed,
        institution=institution,
        purpose=f"{FEDERATION}.{purpose}",
    )

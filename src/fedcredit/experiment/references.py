"""What a run is measured against, on the same loans, the same split and, where private, at the same epsilon.

Private references draw their own noise and charge it, under their own name, to the ledgers of the
lenders whose loans they read. They answer three questions: what federating is worth (each lender
``alone``), what local trust costs (``pooled``), and whether a network is worth having
(``federated_logistic``, and the rivals ``one_shot``, ``output_perturbation`` and ``dp_ebm``). Those without
privacy show what the loans hold (``open_references``): ``pooled_network``, ``pooled_logistic``, ``pooled_trees``.
On a simulated market ``joined_network`` and ``joined_trees`` show what the borrowers' balances at other lenders
would add, and ``oracle`` is the true PD.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fedcredit.credit.discrimination import auc
from fedcredit.data.contract import ContractTable, draw_up
from fedcredit.data.institution import Loans
from fedcredit.experiment.direct import Participant, server_rule, train_directly
from fedcredit.experiment.open_references import OPEN_REFERENCES
from fedcredit.experiment.prepare import Prepared, initial_network, local_settings, predict_pd, trainer_name
from fedcredit.experiment.rivals import (
    POOLED,
    Scores,
    dp_ebm_scores,
    one_shot_scores,
    output_perturbation_scores,
    pool,
)
from fedcredit.experiment.spec import Network, Reference
from fedcredit.experiment.stopping import most_rounds, spending_cap
from fedcredit.model.network import DefaultNetwork, network_from_spec
from fedcredit.privacy.accounting.ledger import PrivacyLedger
from fedcredit.privacy.accounting.releases import (
    REFERENCE_ALONE,
    REFERENCE_FEDERATED_LOGISTIC,
    REFERENCE_POOLED,
)
from fedcredit.privacy.budgets import strictest
from fedcredit.privacy.plan import PrivacyPlan, plan_privacy
from fedcredit.training.trainers import trainer


@dataclass(frozen=True, kw_only=True)
class ReferenceScores:
    """Test scores of a reference: default probabilities by lender, each ``[test loans]``.

    ``everywhere_auc`` is given where every lender has a network of its own: the mean, weighted by
    training loans, of the AUC that each of them reaches on the test loans of all lenders. It says how good
    the networks are without letting a lender's own bad rate count as skill.
    """

    reference: Reference
    pd: Scores
    is_private: bool
    everywhere_auc: float | None = None


def run_reference(reference: Reference, prepared: Prepared, *, ledgers: Mapping[str, PrivacyLedger]) -> ReferenceScores:
    """Train one reference and score every lender's test loans with it.

    Args:
        reference: which one.
        prepared: the prepared experiment.
        ledgers: the open ledgers by lender; empty where nothing is private.

    Returns:
        The scores.
    """
    if reference == "alone":
        return _alone(prepared, ledgers)
    if reference in OPEN_REFERENCES:
        return ReferenceScores(reference=reference, pd=OPEN_REFERENCES[reference](prepared), is_private=False)
    build: dict[Reference, Callable[[Prepared, Mapping[str, PrivacyLedger]], Scores]] = {
        "pooled": _pooled,
        "federated_logistic": _federated_logistic,
        "one_shot": one_shot_scores,
        "output_perturbation": output_perturbation_scores,
        "dp_ebm": dp_ebm_scores,
    }
    return ReferenceScores(reference=reference, pd=build[reference](prepared, ledgers), is_private=bool(ledgers))


def alone_networks(prepared: Prepared, ledgers: Mapping[str, PrivacyLedger]) -> dict[str, NDArray[np.float32]]:
    """Train every lender's own network on its own loans, at the noise it has in the federation.

    Args:
        prepared: the prepared experiment.
        ledgers: the open ledgers by lender; empty where nothing is private.

    Returns:
        Flat parameters by lender, each ``[num_parameters]``.
    """
    networks = {}
    for institution in prepared.institutions:
        by_itself = replace(prepared, plan=prepared.plan.only(institution.name))
        participant = _lender(by_itself, institution.name, institution.train, ledgers, weight=1.0)
        networks[institution.name] = _train(
            prepared, prepared.network, prepared.initial, [participant], REFERENCE_ALONE
        )
    return networks


def _alone(prepared: Prepared, ledgers: Mapping[str, PrivacyLedger]) -> ReferenceScores:
    scores, everywhere, sizes = {}, [], []
    default = np.concatenate([institution.test.default for institution in prepared.institutions])
    networks = alone_networks(prepared, ledgers)
    for institution in prepared.institutions:
        found = _score(prepared, prepared.network, networks[institution.name])
        scores[institution.name] = found[institution.name]
        everywhere.append(auc(np.concatenate(list(found.values())), default))
        sizes.append(institution.train.num_loans)
    reached = [area for area in everywhere if area is not None]
    return ReferenceScores(
        reference="alone",
        pd=scores,
        is_private=bool(ledgers),
        everywhere_auc=float(np.average(reached, weights=sizes)) if len(reached) == len(sizes) else None,
    )


def _federated_logistic(prepared: Prepared, ledgers: Mapping[str, PrivacyLedger]) -> Scores:
    network = network_from_spec(
        Network(hidden=(), prior_bad_rate=prepared.experiment.network.prior_bad_rate), prepared.network.num_features
    )
    initial = initial_network(prepared.experiment, network)
    participants = [
        _lender(
            prepared, institution.name, institution.train, ledgers, weight=prepared.contracts[institution.name].weight
        )
        for institution in prepared.institutions
    ]
    parameters = _train(prepared, network, initial, participants, REFERENCE_FEDERATED_LOGISTIC)
    return _score(prepared, network, parameters)


def _lender(
    prepared: Prepared, name: str, loans: Loans, ledgers: Mapping[str, PrivacyLedger], *, weight: float
) -> Participant:
    return Participant(
        name=name,
        features=loans.features,
        default=loans.default,
        settings=local_settings(prepared.experiment, prepared.contracts[name], prepared.plan),
        weight=weight,
        event=prepared.plan.round_event(name) if ledgers else None,
        ledgers=(ledgers[name],) if ledgers else (),
        borrower_starts=loans.borrower_starts,
    )


def _pooled(prepared: Prepared, ledgers: Mapping[str, PrivacyLedger]) -> Scores:
    """Train on all loans in one place, at the noise that the same epsilon (the smallest of several) asks for there."""
    training = prepared.experiment.training
    loans = pool(prepared)
    contracts = draw_up({POOLED: loans.num_sampled}, local=training.local, weights="uniform")
    plan = _pooled_plan(prepared, contracts)
    participant = Participant(
        name=POOLED,
        features=loans.features,
        default=loans.default,
        settings=local_settings(prepared.experiment, contracts[POOLED], plan),
        weight=1.0,
        event=plan.round_event(POOLED) if ledgers else None,
        ledgers=tuple(ledgers.values()),
        borrower_starts=loans.borrower_starts,
    )
    parameters = _train(
        prepared, prepared.network, prepared.initial, [participant], REFERENCE_POOLED, num_rounds=plan.num_rounds
    )
    return _score(prepared, prepared.network, parameters)


def _pooled_plan(prepared: Prepared, contracts: ContractTable) -> PrivacyPlan:
    promise = strictest(prepared.experiment.privacy, prepared.contracts.institutions)
    plan = plan_privacy(promise, contracts, num_rounds=prepared.experiment.training.num_rounds, progress=None)
    fitting = most_rounds(spending_cap(prepared.experiment), plan, POOLED)
    return plan.through(max(1, min(prepared.plan.num_rounds, fitting)))


def _train(
    prepared: Prepared,
    network: DefaultNetwork,
    initial: NDArray[np.float32],
    participants: list[Participant],
    release: str,
    *,
    num_rounds: int | None = None,
) -> NDArray[np.float32]:
    return train_directly(
        network,
        initial,
        participants,
        release=release,
        fingerprint=prepared.fingerprint,
        seed=prepared.experiment.seed,
        strategy=server_rule(prepared.experiment.strategy),
        num_rounds=prepared.plan.num_rounds if num_rounds is None else num_rounds,
        trainer=trainer(prepared.experiment.trainer.kind, device=prepared.experiment.trainer.device),
        computed_by=trainer_name(prepared.experiment.trainer, network),
    )


def _score(prepared: Prepared, network: DefaultNetwork, parameters: NDArray[np.float32]) -> Scores:
    return {
        institution.name: predict_pd(prepared, network, parameters, institution.test.features)
        for institution in prepared.institutions
    }

"""What a run is measured against, on the same loans, the same split and, where private, at the same epsilon.

Private references draw their own noise and charge it, under their own name, to the ledgers of the
lenders whose loans they read. They answer three questions: what federating is worth (each lender
``alone``), what local trust costs (``pooled``), and whether a network is worth having
(``federated_logistic``, and the rivals ``one_shot``, ``output_perturbation`` and ``dp_ebm``). The
references without privacy show what the loans hold: ``pooled_network``, ``pooled_logistic``,
``pooled_trees``. On a simulated market ``joined_trees`` shows what the borrowers' balances at other
lenders would add to those trees, and ``oracle`` is the true PD.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fedcredit.credit.discrimination import auc
from fedcredit.data.contract import ContractTable, draw_up
from fedcredit.data.institution import Loans
from fedcredit.data.kept import computed, digest_of
from fedcredit.experiment.direct import Participant, server_rule, train_directly
from fedcredit.experiment.prepare import Prepared, initial_network, local_settings, predict_pd, trainer_name
from fedcredit.experiment.rivals import (
    POOLED,
    Scores,
    dp_ebm_scores,
    one_shot_scores,
    output_perturbation_scores,
    pool,
)
from fedcredit.experiment.spec import Adam, FixedSteps, Network, Reference, Sgd, Strategy
from fedcredit.experiment.stopping import most_rounds, spending_cap
from fedcredit.experiment.wording import PRIVATE_REFERENCES
from fedcredit.model.network import DefaultNetwork, network_from_spec
from fedcredit.privacy.accounting.ledger import PrivacyLedger
from fedcredit.privacy.accounting.releases import (
    REFERENCE_ALONE,
    REFERENCE_FEDERATED_LOGISTIC,
    REFERENCE_POOLED,
)
from fedcredit.privacy.budgets import strictest
from fedcredit.privacy.plan import PrivacyPlan, plan_privacy
from fedcredit.seeds import public_stream, words
from fedcredit.training.contract import LocalSettings
from fedcredit.training.trainers import trainer

_OPEN_ROUNDS = 400
_OPEN_STRATEGY = Strategy(server_optimiser=Adam(learning_rate=0.01))
_OPEN_RATE = 0.25


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
    build: dict[Reference, Callable[[Prepared, Mapping[str, PrivacyLedger]], Scores]] = {
        "pooled": _pooled,
        "federated_logistic": _federated_logistic,
        "one_shot": one_shot_scores,
        "output_perturbation": output_perturbation_scores,
        "dp_ebm": dp_ebm_scores,
        "pooled_network": _pooled_network,
        "pooled_logistic": _pooled_logistic,
        "pooled_trees": _pooled_trees,
        "joined_trees": _joined_trees,
        "oracle": _oracle,
    }
    is_private = bool(ledgers) and reference in PRIVATE_REFERENCES
    return ReferenceScores(reference=reference, pd=build[reference](prepared, ledgers), is_private=is_private)


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


def _pooled_network(prepared: Prepared, ledgers: Mapping[str, PrivacyLedger]) -> Scores:
    """Train the run's network on all loans without clipping or noise, on its own tuned schedule."""
    loans = pool(prepared)
    contracts = draw_up(
        {POOLED: loans.num_loans}, local=FixedSteps(num_steps=1, sampling_probability=_OPEN_RATE), weights="uniform"
    )
    settings = LocalSettings(
        num_steps=1,
        sampling_probability=_OPEN_RATE,
        divisor=contracts[POOLED].divisor,
        clipping_norm=float("inf"),
        noise_multiplier=0.0,
        optimiser=Sgd(),
        pos_weight=prepared.experiment.network.pos_weight,
    )
    participant = Participant(
        name=POOLED, features=loans.features, default=loans.default, settings=settings, weight=1.0, event=None,
        ledgers=(),
    )  # fmt: skip
    parameters = train_directly(
        prepared.network,
        prepared.initial,
        [participant],
        release="reference.pooled_network",
        fingerprint=prepared.fingerprint,
        seed=prepared.experiment.seed,
        strategy=_OPEN_STRATEGY,
        num_rounds=_OPEN_ROUNDS,
        trainer=trainer(prepared.experiment.trainer.kind, device=prepared.experiment.trainer.device),
        computed_by=trainer_name(prepared.experiment.trainer, prepared.network),
    )
    return _score(prepared, prepared.network, parameters)


def _pooled_logistic(prepared: Prepared, ledgers: Mapping[str, PrivacyLedger]) -> Scores:
    return _shared("pooled_logistic", prepared, None, lambda: _logistic(prepared))


def _logistic(prepared: Prepared) -> Scores:
    from sklearn.linear_model import LogisticRegression

    loans = pool(prepared)
    model = LogisticRegression(max_iter=2000).fit(loans.features.astype(np.float64), loans.default)
    return {
        institution.name: model.predict_proba(institution.test.features.astype(np.float64))[:, 1]
        for institution in prepared.institutions
    }


def _shared(name: str, prepared: Prepared, key: Hashable, train: Callable[[], Scores]) -> Scores:
    """Train what depends on the lenders' loans and ``key`` alone; the next arm on the same lenders shares it."""
    names = tuple(lender.name for lender in prepared.institutions)
    rows = [loans.rows for lender in prepared.institutions for loans in (lender.train, lender.test)]
    scores = computed(prepared.portfolio, f"reference.{name}", (names, digest_of(*rows), key), train)
    for pd in scores.values():
        pd.flags.writeable = False
    return scores


def _pooled_trees(prepared: Prepared, ledgers: Mapping[str, PrivacyLedger]) -> Scores:
    """Boost trees on the table's own columns, not on the encoding made for a private network."""
    from fedcredit.data.encoding import raw_matrix

    seed = prepared.experiment.seed
    return _shared("pooled_trees", prepared, seed, lambda: _trees(prepared, *raw_matrix(prepared.portfolio)))


def _joined_trees(prepared: Prepared, ledgers: Mapping[str, PrivacyLedger]) -> Scores:
    """Boost the same trees with what the borrowers have at other lenders, as if the lenders' tables were joined."""
    from fedcredit.data.encoding import raw_matrix
    from fedcredit.experiment.truth import held_elsewhere

    matrix, categorical = raw_matrix(prepared.portfolio)
    elsewhere = held_elsewhere(prepared)
    kinds = np.concatenate([categorical, np.zeros(elsewhere.shape[1], dtype=np.bool_)])
    key = (prepared.experiment.seed, digest_of(elsewhere))
    return _shared("joined_trees", prepared, key, lambda: _trees(prepared, np.hstack([matrix, elsewhere]), kinds))


def _oracle(prepared: Prepared, ledgers: Mapping[str, PrivacyLedger]) -> Scores:
    from fedcredit.experiment.truth import true_pd

    return true_pd(prepared)


def _trees(prepared: Prepared, matrix: NDArray[np.float64], categorical: NDArray[np.bool_]) -> Scores:
    from sklearn.ensemble import HistGradientBoostingClassifier

    rows = np.concatenate([institution.train.rows for institution in prepared.institutions])
    state = int(words(public_stream(seed=prepared.experiment.seed, purpose="reference.pooled_trees"), count=1)[0])
    model = HistGradientBoostingClassifier(
        learning_rate=0.05, max_leaf_nodes=15, max_iter=400, early_stopping=True, random_state=state,
        categorical_features=categorical,
    )  # fmt: skip
    model.fit(matrix[rows], prepared.portfolio.default[rows])
    return {
        institution.name: model.predict_proba(matrix[institution.test.rows])[:, 1]
        for institution in prepared.institutions
    }


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

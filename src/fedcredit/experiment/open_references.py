"""References without privacy: what the loans hold, and on a simulated market what other lenders know and what is true.

They train on all lenders' loans in one place, without clipping or noise, and charge nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fedcredit.data.contract import draw_up
from fedcredit.data.institution import Loans
from fedcredit.data.kept import computed, digest_of
from fedcredit.experiment.direct import Participant, train_directly
from fedcredit.experiment.prepare import Prepared, initial_network, predict_pd, trainer_name
from fedcredit.experiment.rivals import POOLED, Scores, pool
from fedcredit.experiment.spec import Adam, FixedSteps, Reference, Sgd, Strategy
from fedcredit.seeds import public_stream, words
from fedcredit.training.contract import LocalSettings
from fedcredit.training.trainers import trainer

_OPEN_ROUNDS = 400
_OPEN_STRATEGY = Strategy(server_optimiser=Adam(learning_rate=0.01))
_OPEN_RATE = 0.25
_MOST_LENDERS, _UNIT_AMOUNT, _MOST_UNITS, _WORST_BUCKET = 4.0, 1000.0, 100.0, 4.0


def pooled_network(prepared: Prepared) -> Scores:
    """Train the run's network on all loans, on its own tuned schedule.

    Args:
        prepared: the prepared experiment.

    Returns:
        Scores of the test loans by lender.
    """
    return _network(prepared, lambda loans: loans.features)


def joined_network(prepared: Prepared) -> Scores:
    """Train the same network with what the borrowers have at other lenders, as if the lenders' tables were joined.

    Other lenders, balance and worst bucket are encoded row by row, by public constants: how many of at most four, the
    logarithm of thousands of CNY, the bucket of four, and whether there is one; each in [0, 1].

    Args:
        prepared: a prepared experiment on a simulated market.

    Returns:
        Scores of the test loans by lender.
    """
    from fedcredit.experiment.truth import held_elsewhere

    elsewhere = encoded_elsewhere(held_elsewhere(prepared))
    return _network(prepared, lambda loans: np.hstack([loans.features, elsewhere[loans.rows]]))


def encoded_elsewhere(held: NDArray[np.float64]) -> NDArray[np.float32]:
    """Encode what a borrower has at other lenders for a network.

    Args:
        held: other lenders, balance in CNY and worst bucket (0 to 4), ``[loans, 3]``.

    Returns:
        Features in [0, 1], ``[loans, 4]``.
    """
    lenders, balance, bucket = held.T
    columns = (
        np.minimum(lenders, _MOST_LENDERS) / _MOST_LENDERS,
        np.minimum(np.log1p(np.maximum(balance, 0.0) / _UNIT_AMOUNT) / np.log1p(_MOST_UNITS), 1.0),
        np.minimum(bucket, _WORST_BUCKET) / _WORST_BUCKET,
        bucket > 0,
    )
    return np.column_stack(columns).astype(np.float32)


def pooled_logistic(prepared: Prepared) -> Scores:
    """Fit logistic regression on all encoded loans.

    Args:
        prepared: the prepared experiment.

    Returns:
        Scores of the test loans by lender.
    """
    return _shared("pooled_logistic", prepared, None, lambda: _logistic(prepared))


def _logistic(prepared: Prepared) -> Scores:
    from sklearn.linear_model import LogisticRegression

    loans = pool(prepared)
    model = LogisticRegression(max_iter=2000).fit(loans.features.astype(np.float64), loans.default)
    return {
        institution.name: model.predict_proba(institution.test.features.astype(np.float64))[:, 1]
        for institution in prepared.institutions
    }


def pooled_trees(prepared: Prepared) -> Scores:
    """Boost trees on the table's own columns, not on the encoding made for a private network.

    Args:
        prepared: the prepared experiment.

    Returns:
        Scores of the test loans by lender.
    """
    from fedcredit.data.encoding import raw_matrix

    seed = prepared.experiment.seed
    return _shared("pooled_trees", prepared, seed, lambda: _trees(prepared, *raw_matrix(prepared.portfolio)))


def joined_trees(prepared: Prepared) -> Scores:
    """Boost the same trees with what the borrowers have at other lenders, as if the lenders' tables were joined.

    Args:
        prepared: a prepared experiment on a simulated market.

    Returns:
        Scores of the test loans by lender.
    """
    from fedcredit.data.encoding import raw_matrix
    from fedcredit.experiment.truth import held_elsewhere

    matrix, categorical = raw_matrix(prepared.portfolio)
    elsewhere = held_elsewhere(prepared)
    kinds = np.concatenate([categorical, np.zeros(elsewhere.shape[1], dtype=np.bool_)])
    key = (prepared.experiment.seed, digest_of(elsewhere))
    return _shared("joined_trees", prepared, key, lambda: _trees(prepared, np.hstack([matrix, elsewhere]), kinds))


def oracle(prepared: Prepared) -> Scores:
    """Return the true PD.

    Args:
        prepared: a prepared experiment on a simulated market.

    Returns:
        The true PD of the test loans by lender.
    """
    from fedcredit.experiment.truth import true_pd

    return true_pd(prepared)


def _shared(name: str, prepared: Prepared, key: Hashable, train: Callable[[], Scores]) -> Scores:
    """Train what depends on the lenders' loans and ``key`` alone; the next arm on the same lenders shares it."""
    names = tuple(lender.name for lender in prepared.institutions)
    rows = [loans.rows for lender in prepared.institutions for loans in (lender.train, lender.test)]
    scores = computed(prepared.portfolio, f"reference.{name}", (names, digest_of(*rows), key), train)
    for pd in scores.values():
        pd.flags.writeable = False
    return scores


def _network(prepared: Prepared, columns: Callable[[Loans], NDArray[np.float32]]) -> Scores:
    lenders = prepared.institutions
    features = np.concatenate([columns(lender.train) for lender in lenders])
    network = replace(prepared.network, num_features=features.shape[1])
    contracts = draw_up(
        {POOLED: len(features)}, local=FixedSteps(num_steps=1, sampling_probability=_OPEN_RATE), weights="uniform"
    )
    settings = LocalSettings(
        num_steps=1,
        sampling_probability=_OPEN_RATE,
        divisor=contracts[POOLED].divisor,
        clipping_norm=float("inf"),
        noise_multiplier=0.0,
        optimiser=Sgd(),
        pos_weight=prepared.experiment.network.pos_weight,
        focal_gamma=prepared.experiment.network.focal_gamma,
    )
    participant = Participant(
        name=POOLED, features=features, default=np.concatenate([lender.train.default for lender in lenders]),
        settings=settings, weight=1.0, event=None, ledgers=(),
    )  # fmt: skip
    parameters = train_directly(
        network,
        initial_network(prepared.experiment, network),
        [participant],
        release="reference.pooled_network",
        fingerprint=prepared.fingerprint,
        seed=prepared.experiment.seed,
        strategy=_OPEN_STRATEGY,
        num_rounds=_OPEN_ROUNDS,
        trainer=trainer(prepared.experiment.trainer.kind, device=prepared.experiment.trainer.device),
        computed_by=trainer_name(prepared.experiment.trainer, network),
    )
    return {lender.name: predict_pd(prepared, network, parameters, columns(lender.test)) for lender in lenders}


def _trees(prepared: Prepared, matrix: NDArray[np.float64], categorical: NDArray[np.bool_]) -> Scores:
    from sklearn.ensemble import HistGradientBoostingClassifier

    rows = np.concatenate([lender.train.rows for lender in prepared.institutions])
    state = int(words(public_stream(seed=prepared.experiment.seed, purpose="reference.pooled_trees"), count=1)[0])
    model = HistGradientBoostingClassifier(
        learning_rate=0.05, max_leaf_nodes=15, max_iter=400, early_stopping=True, random_state=state,
        categorical_features=categorical,
    )  # fmt: skip
    model.fit(matrix[rows], prepared.portfolio.default[rows])
    return {lender.name: model.predict_proba(matrix[lender.test.rows])[:, 1] for lender in prepared.institutions}


OPEN_REFERENCES: Mapping[Reference, Callable[[Prepared], Scores]] = {
    "pooled_network": pooled_network,
    "joined_network": joined_network,
    "pooled_logistic": pooled_logistic,
    "pooled_trees": pooled_trees,
    "joined_trees": joined_trees,
    "oracle": oracle,
}

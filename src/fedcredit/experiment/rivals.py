"""Rivals of the network at equal epsilon: methods that look at private loans once, or all in one place.

Each draws its own noise and charges it, under its own name, to the ledger of every lender whose loans it reads.
``one_shot`` is federated; ``output_perturbation`` and ``dp_ebm`` need all loans in one place, which no lender of a
federation would allow: they say what a central curator could reach.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from fedcredit.data.institution import Loans
from fedcredit.experiment import dp_ebm, one_shot, output_perturbation
from fedcredit.experiment.prepare import Prepared
from fedcredit.experiment.spec import Experiment
from fedcredit.federation.protocol import release_digest
from fedcredit.privacy.accounting.calibration import calibrate
from fedcredit.privacy.accounting.events import GaussianSteps
from fedcredit.privacy.accounting.ledger import PrivacyLedger, Release
from fedcredit.privacy.accounting.releases import (
    REFERENCE_DP_EBM,
    REFERENCE_ONE_SHOT,
    REFERENCE_OUTPUT_PERTURBATION,
)
from fedcredit.privacy.budgets import target_of
from fedcredit.seeds import normals, private_stream, words

POOLED = "all lenders pooled"

Scores = dict[str, NDArray[np.float64]]
Ledgers = Mapping[str, PrivacyLedger]
T = TypeVar("T")


def check_rivals(experiment: Experiment) -> None:
    """Refuse a rival whose library is missing, before anything is trained.

    Args:
        experiment: the experiment.

    Raises:
        InputError: with the command that installs it.
    """
    if "dp_ebm" in experiment.evaluation.references:
        dp_ebm.require()


def one_shot_scores(prepared: Prepared, ledgers: Ledgers) -> Scores:
    """Sum one noisy release of squares and products per lender; the price is that of the run, spent at once.

    Args:
        prepared: the prepared experiment.
        ledgers: the open ledgers by lender; empty where nothing is private.

    Returns:
        Default probabilities by lender, each ``[test loans]``.
    """
    cap = prepared.portfolio.schema.row_norm_cap
    prior = prepared.experiment.network.prior_bad_rate
    total: NDArray[np.float64] | float = 0.0
    variance = 0.0
    for lender in prepared.institutions:
        released = one_shot.statistics(lender.train.features, lender.train.default, prior=prior)
        if ledgers:
            multiplier = _multiplier(prepared, _target(prepared, lender.name))
            deviation = multiplier * one_shot.sensitivity(cap) * _loans_a_unit(prepared)
            released = released + deviation * _charged(
                prepared, REFERENCE_ONE_SHOT, [ledgers[lender.name]], [_once(multiplier)],
                _noise(prepared, REFERENCE_ONE_SHOT, lender.name, released.size),
            )  # fmt: skip
            variance += deviation**2
        total = total + released
    coefficients = one_shot.solve(
        np.asarray(total), num_features=prepared.network.num_features, noise_deviation=float(np.sqrt(variance))
    )
    return {
        lender.name: one_shot.predict_pd(coefficients, lender.test.features, prior=prior)
        for lender in prepared.institutions
    }


def output_perturbation_scores(prepared: Prepared, ledgers: Ledgers) -> Scores:
    """Fit a ridge logistic regression on all loans and release its coefficients once, with noise.

    Args:
        prepared: the prepared experiment.
        ledgers: the open ledgers by lender; empty where nothing is private.

    Returns:
        Default probabilities by lender, each ``[test loans]``.
    """
    name, loans = REFERENCE_OUTPUT_PERTURBATION, pool(prepared)
    cap = prepared.portfolio.schema.row_norm_cap
    multiplier = _multiplier(prepared, _smallest_target(prepared)) if ledgers else 0.0
    together = _loans_a_unit(prepared)
    ridge = output_perturbation.ridge_for(multiplier * together, row_norm_cap=cap, num_loans=loans.num_sampled)
    coefficients = output_perturbation.fit(
        loans.features,
        loans.default,
        prior=prepared.experiment.network.prior_bad_rate,
        num_loans=loans.num_sampled,
        ridge=ridge,
    )
    if ledgers:
        bound = output_perturbation.sensitivity(row_norm_cap=cap, num_loans=loans.num_sampled, ridge=ridge)
        coefficients = coefficients + multiplier * together * bound * _charged(
            prepared, name, list(ledgers.values()), [_once(multiplier)],
            _noise(prepared, name, POOLED, coefficients.size),
        )  # fmt: skip
    return {
        lender.name: output_perturbation.predict_pd(coefficients, lender.test.features)
        for lender in prepared.institutions
    }


def dp_ebm_scores(prepared: Prepared, ledgers: Ledgers) -> Scores:
    """Fit interpret's DP-EBM on all loans, at the noise that the ledger prices like the run.

    Args:
        prepared: the prepared experiment.
        ledgers: the open ledgers by lender; empty where nothing is private.

    Returns:
        Default probabilities by lender, each ``[test loans]``.

    Raises:
        InputError: where the extra is missing.
    """
    version = dp_ebm.require()
    columns, bounds = dp_ebm.public_columns(prepared.portfolio)
    rows = pool(prepared).rows
    stream = private_stream(
        fingerprint=prepared.fingerprint,
        seed=prepared.experiment.seed,
        institution=POOLED,
        purpose=f"{REFERENCE_DP_EBM}.noise",
    )
    state = int(words(stream, count=1)[0]) % 2**31
    noise = None
    if ledgers:
        noise = dp_ebm.noise_for(
            _multiplier(prepared, _smallest_target(prepared)),
            loans_a_unit=_loans_a_unit(prepared),
            delta=prepared.experiment.privacy.target_delta,
            num_columns=columns.shape[1],
        )
    model = _charged(
        prepared,
        REFERENCE_DP_EBM,
        list(ledgers.values()),
        [] if noise is None else [noise.binning, noise.boosting],
        lambda: dp_ebm.fit(columns[rows], prepared.portfolio.default[rows], bounds, noise=noise, random_state=state),
        computed_by=f"interpret {version}",
    )
    return {lender.name: model.predict_proba(columns[lender.test.rows])[:, 1] for lender in prepared.institutions}


def pool(prepared: Prepared) -> Loans:
    """Put the training loans of all lenders in one place.

    Args:
        prepared: the prepared experiment.

    Returns:
        The loans, lender after lender.
    """
    parts = [institution.train for institution in prepared.institutions]
    return Loans(
        features=np.concatenate([part.features for part in parts]),
        default=np.concatenate([part.default for part in parts]),
        rows=np.concatenate([part.rows for part in parts]),
        borrower_starts=_starts([part.borrower_starts for part in parts]),
    )


def _starts(parts: Sequence[NDArray[np.int64] | None]) -> NDArray[np.int64] | None:
    """Line up where borrowers' loans begin; a borrower of several lenders is one unit at each of them."""
    found = [part for part in parts if part is not None]
    if not found:
        return None
    before = np.cumsum([0, *(part[-1] for part in found)])
    places = [part[:-1] + shift for part, shift in zip(found, before[:-1], strict=True)]
    return np.concatenate([*places, before[-1:]])


def _loans_a_unit(prepared: Prepared) -> int:
    """Return how many rows of a lender's table the promise covers at once."""
    return prepared.experiment.privacy.max_loans_per_borrower or 1


def _charged(
    prepared: Prepared,
    name: str,
    ledgers: Sequence[PrivacyLedger],
    events: Sequence[GaussianSteps],
    make: Callable[[], T],
    *,
    computed_by: str = "numpy",
) -> T:
    """Write releases down in ledgers, make them, and say so."""
    entries = [
        Release(
            name=name,
            server_round=place,
            event=event,
            digest=release_digest(
                fingerprint=prepared.fingerprint,
                computed_by=computed_by,
                release=name,
                server_round=place,
                parameters=np.zeros(0, dtype=np.float32),
            ),
        )
        for place, event in enumerate(events, start=1)
    ]
    for ledger in ledgers:
        for entry in entries:
            ledger.intend(entry)
    made = make()
    for ledger in ledgers:
        for entry in entries:
            ledger.commit(entry, num_noise_draws=entry.event.num_steps)
    return made


def _noise(prepared: Prepared, name: str, institution: str, size: int) -> Callable[[], NDArray[np.float64]]:
    stream = private_stream(
        fingerprint=prepared.fingerprint,
        seed=prepared.experiment.seed,
        institution=institution,
        purpose=f"{name}.noise",
    )
    return lambda: normals(stream, count=size, server_round=1)


def _once(multiplier: float) -> GaussianSteps:
    return GaussianSteps(sampling_probability=1.0, noise_multiplier=multiplier, num_steps=1)


def _multiplier(prepared: Prepared, target: float) -> float:
    """Spend on one full-batch release what the run spends on all its rounds."""
    delta = prepared.experiment.privacy.target_delta
    return calibrate(target_epsilon=target, delta=delta, sampling_probability=1.0, num_steps=1)


def _target(prepared: Prepared, institution: str) -> float:
    target = target_of(prepared.experiment.privacy, institution)
    if target is None or prepared.stop is not None:
        return prepared.plan.epsilon(institution).value
    return target


def _smallest_target(prepared: Prepared) -> float:
    """Return the promise that keeps every lender's, for what reads the loans of all of them."""
    return min(_target(prepared, name) for name in prepared.contracts.institutions)

"""Scoring the loans of a finished run again, from its experiment and its released weights.

A record keeps figures, not scores. The experiment rebuilds the same lenders to the bit, and the weights score them;
both are held against the record before anything is decided on them. Networks of single lenders are trained again: with
the same fingerprint, streams and inputs that is the same release, which costs nothing; it is made on a copy of the
run's ledgers, and refused if one of them would be charged.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedcredit.credit.calibration import own_intercept, shift_logits
from fedcredit.credit.discrimination import auc
from fedcredit.credit.scored import Scored
from fedcredit.data.institution import Institution, Loans
from fedcredit.errors import InputError
from fedcredit.experiment.differences import WEIGHTS_FILE
from fedcredit.experiment.prepare import Prepared, open_ledgers, predict_pd, prepare
from fedcredit.experiment.record import RunRecord, read_record
from fedcredit.experiment.references import alone_networks
from fedcredit.experiment.spec import MarketPortfolio
from fedcredit.experiment.validate import experiment_from_data
from fedcredit.model.network import from_arrays
from fedcredit.privacy.accounting.ledger import LEDGER_FOLDER

Progress = Callable[[str, int, int], None]
_SAME = 1e-9


@dataclass(frozen=True, kw_only=True)
class Rescored:
    """A finished run with its loans and its network at hand."""

    folder: Path
    record: RunRecord
    prepared: Prepared
    parameters: NDArray[np.float32]

    def networks(self) -> dict[str, NDArray[np.float32]]:
        """Return the shared network, once for each lender."""
        return {institution.name: self.parameters for institution in self.prepared.institutions}


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Held-out loans of every lender as one network, or one each, sees them; lender's name -> its scored loans.

    ``test`` is as released, ``test_at_own_level`` after each lender's own intercept, fitted on its training and
    validation loans and kept inside; ``validation`` and ``validation_at_own_level`` are the loans that levels are
    checked on. ``shifts`` are the intercepts, 0 for a lender without both outcomes.
    """

    test: Mapping[str, Scored]
    test_at_own_level: Mapping[str, Scored]
    validation: Mapping[str, Scored]
    validation_at_own_level: Mapping[str, Scored]
    shifts: Mapping[str, float]


def rescored(folder: Path, *, progress: Progress | None = None) -> Rescored:
    """Open a finished run.

    Args:
        folder: its results folder.
        progress: told the stage, the steps done and the steps there are.

    Returns:
        The run, whose rebuilt loans and scores agree with its record.

    Raises:
        InputError: if it is not finished, or its loans, its fingerprint or its AUC come out otherwise now.
    """
    record = read_record(folder)
    prepared = prepare(experiment_from_data(record.experiment), progress=progress)
    if prepared.fingerprint != record.fingerprint:
        raise InputError(
            f"{folder} has fingerprint {record.fingerprint[:16]}, and its experiment has {prepared.fingerprint[:16]} "
            "with this version and these loans; run the experiment again"
        )
    opened = Rescored(
        folder=folder, record=record, prepared=prepared, parameters=_weights(folder / WEIGHTS_FILE, prepared)
    )
    test = _scored(prepared, opened.networks(), lambda institution: institution.test)
    names = sorted(test)
    found = auc(
        np.concatenate([test[name].pd for name in names]), np.concatenate([test[name].default for name in names])
    )
    _check_same(folder, "this run", found, record.evaluation.overall.auc)
    return opened


def scores_of(run: Rescored, networks: Mapping[str, NDArray[np.float32]]) -> Scores:
    """Score the held-out loans of all lenders, as released and at each lender's own level.

    Args:
        run: the run.
        networks: flat parameters by lender, ``run.networks()`` or `networks_alone`.

    Returns:
        The scores.
    """
    prepared = run.prepared
    test = _scored(prepared, networks, lambda institution: institution.test)
    validation = _scored(prepared, networks, lambda institution: institution.validation)
    train = _scored(prepared, networks, lambda institution: institution.train)
    shifts = {name: _shift(train[name], validation[name]) for name in test}
    return Scores(
        test=test,
        test_at_own_level={name: shifted(scored, shifts[name]) for name, scored in test.items()},
        validation=validation,
        validation_at_own_level={name: shifted(scored, shifts[name]) for name, scored in validation.items()},
        shifts=shifts,
    )


def networks_alone(run: Rescored) -> dict[str, NDArray[np.float32]]:
    """Train each lender's own network as the run's reference ``alone`` did.

    Args:
        run: the run.

    Returns:
        Flat parameters by lender.

    Raises:
        InputError: if the run has no such reference, or training it again would be another release.
    """
    reference = run.record.references.get("alone")
    if reference is None:
        raise InputError(
            f"{run.folder} was run without the reference 'alone', so nothing says what its lenders reach by "
            "themselves; run it with evaluation.references=[alone]"
        )
    with tempfile.TemporaryDirectory(prefix="fedcredit-") as scratch:
        copied = Path(scratch) / LEDGER_FOLDER
        if (run.folder / LEDGER_FOLDER).is_dir():
            shutil.copytree(run.folder / LEDGER_FOLDER, copied)
        networks = _replayed(run, Path(scratch))
    test = _scored(run.prepared, networks, lambda institution: institution.test)
    for name, scored in test.items():
        told = reference.evaluation.institutions[name].auc
        _check_same(run.folder, f"{name} alone", auc(scored.pd, scored.default), told)
    return networks


def shifted(scored: Scored, shift: float) -> Scored:
    """Move scored loans to another level.

    Args:
        scored: the loans.
        shift: what is added to every logit; 0 changes no bit.

    Returns:
        The loans with the moved predictions.
    """
    return scored if shift == 0.0 else Scored(pd=shift_logits(scored.pd, shift), default=scored.default)


def exposures(run: Rescored) -> dict[str, NDArray[np.float64]]:
    """Return what each test loan lends: the column that its schema calls the exposure.

    Args:
        run: the run.

    Returns:
        Amounts by lender, each ``[test loans]``; missing or negative ones count as 0.

    Raises:
        InputError: if the schema names no such column.
    """
    portfolio = run.prepared.portfolio
    name = portfolio.schema.exposure_amount
    if name is None:
        raise InputError(
            f"schema {portfolio.schema.name} names no exposure_amount, so decisions have no amounts; name a number "
            "column there"
        )
    amounts = np.maximum(np.nan_to_num(portfolio.column(name).astype(np.float64)), 0.0)
    return {institution.name: amounts[institution.test.rows] for institution in run.prepared.institutions}


def truth_of(run: Rescored) -> dict[str, NDArray[np.float64]] | None:
    """Return the true PD of the test loans of a simulated market, by lender; ``None`` for other loans.

    Args:
        run: the run.

    Returns:
        Probabilities by lender, each ``[test loans]``.
    """
    if not isinstance(run.prepared.experiment.portfolio, MarketPortfolio):
        return None
    from fedcredit.experiment.truth import true_pd

    return true_pd(run.prepared)


def _replayed(run: Rescored, scratch: Path) -> dict[str, NDArray[np.float32]]:
    ledgers = open_ledgers(run.prepared, folder=scratch)
    before = {name: ledger.head for name, ledger in ledgers.items()}
    try:
        networks = alone_networks(run.prepared, ledgers)
        charged = sorted(name for name, ledger in ledgers.items() if ledger.head != before[name])
    finally:
        for ledger in ledgers.values():
            ledger.close()
    if charged:
        raise InputError(
            f"{run.folder}: training {len(charged)} of {len(before)} lenders alone again would be a new release, which "
            "the run's ledgers do not hold; run the experiment again with evaluation.references=[alone]"
        )
    return networks


def _weights(path: Path, prepared: Prepared) -> NDArray[np.float32]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return from_arrays(prepared.network, load_file(path))
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} cannot be read as safetensors; take it from a finished run") from error


def _scored(
    prepared: Prepared, networks: Mapping[str, NDArray[np.float32]], part: Callable[[Institution], Loans]
) -> dict[str, Scored]:
    scored = {}
    for institution in prepared.institutions:
        loans = part(institution)
        pd = predict_pd(prepared, prepared.network, networks[institution.name], loans.features)
        scored[institution.name] = Scored(pd=pd, default=loans.default)
    return scored


def _shift(train: Scored, validation: Scored) -> float:
    shift = own_intercept(
        np.concatenate([train.pd, validation.pd]), np.concatenate([train.default, validation.default])
    )
    return 0.0 if shift is None else shift


def _check_same(folder: Path, what: str, found: float | None, told: float | None) -> None:
    same = found is told if found is None or told is None else abs(found - told) <= _SAME
    if not same:
        raise InputError(
            f"{folder}: the AUC of {what} comes out as {found}, its record says {told}; weights, loans or version are "
            "not those of the run, so nothing is decided on them. Run the experiment again"
        )

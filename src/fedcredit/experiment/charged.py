"""The charged figures and corrections of a run: each a Gaussian release of counts, in the lender's ledger.

Everything is made from what `credit.histogram` counts, with noise drawn here. Where the run is not private the same
path is taken without noise and without a ledger.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from fedcredit.credit import histogram
from fedcredit.credit.calibration import Recalibration, shift_logits
from fedcredit.credit.histogram import ScoreHistogram
from fedcredit.credit.scored import Scored
from fedcredit.experiment.charged_plan import charged_event, charged_noise
from fedcredit.experiment.charged_record import ChargedFigures, ChargedRecord
from fedcredit.experiment.prepare import Prepared
from fedcredit.federation.protocol import release_digest
from fedcredit.privacy.accounting.ledger import PrivacyLedger, Release
from fedcredit.privacy.accounting.releases import OWN_INTERCEPT, RECALIBRATION, TEST_HISTOGRAM, VALIDATION_HISTOGRAM
from fedcredit.seeds import normals, private_stream

ScoredLenders = Mapping[str, Scored]
Counts = dict[str, NDArray[np.float64]]
_ReleaseOf = Callable[[str, float, Callable[[Scored], NDArray[np.float64]], str], Counts]


def charge(
    prepared: Prepared,
    parameters: NDArray[np.float32],
    *,
    ledgers: Mapping[str, PrivacyLedger],
    scored: Callable[[str], ScoredLenders],
) -> ChargedRecord | None:
    """Make the charged releases of a run.

    Args:
        prepared: the prepared experiment.
        parameters: the released network, ``[num_parameters]``.
        ledgers: the open ledgers by lender; empty where the run is not private.
        scored: gives each lender's loans of ``"validation"``, ``"test"`` or ``"seen"`` (training and validation),
            scored by that network.

    Returns:
        What came of them, or None where none was asked for.
    """
    noise = charged_noise(prepared.experiment)
    if not noise:
        return None

    def release(name: str, sensitivity: float, count: Callable[[Scored], NDArray[np.float64]], loans: str) -> Counts:
        shape = count(Scored(pd=[], default=[])).shape
        counts = {}
        for lender, found in scored(loans).items():
            drawn = _noise(prepared, parameters, lender, ledgers, name=name, multiplier=noise[name], shape=shape)
            counts[lender] = count(found) + sensitivity * drawn
        return counts

    return ChargedRecord(
        noise_multiplier=noise,
        figures=_figures(prepared, noise, release),
        line=_line(prepared, noise, release),
        shifts=_shifts(noise, release, scored),
    )


def moved(loans: ScoredLenders, shifts: Mapping[str, float | None]) -> dict[str, Scored]:
    """Move each lender's predictions by its own shift of the logits.

    Args:
        loans: lender -> scored loans.
        shifts: lender -> shift; a lender without one keeps its level.

    Returns:
        The loans with the moved predictions.
    """
    return {
        name: found
        if (shift := shifts[name]) is None
        else Scored(pd=shift_logits(found.pd, shift), default=found.default)
        for name, found in loans.items()
    }


def _figures(prepared: Prepared, noise: Mapping[str, float], release: _ReleaseOf) -> ChargedFigures | None:
    charged, confidence = prepared.experiment.evaluation.charged, prepared.experiment.evaluation.confidence
    asked = None if charged is None else charged.score_histogram
    if asked is None:
        return None
    name = TEST_HISTOGRAM if asked.loans == "test" else VALIDATION_HISTOGRAM
    counts = release(name, 1.0, lambda found: histogram.count_scores(found, num_bins=asked.num_bins), asked.loans)
    noisy = {lender: ScoreHistogram(counts=cells, deviation=noise[name]) for lender, cells in counts.items()}
    return ChargedFigures(
        loans=asked.loans,
        overall=histogram.figures(histogram.added(noisy.values()), confidence=confidence),
        institutions={lender: histogram.figures(own, confidence=confidence) for lender, own in noisy.items()},
    )


def _line(prepared: Prepared, noise: Mapping[str, float], release: _ReleaseOf) -> Recalibration | None:
    charged = prepared.experiment.evaluation.charged
    asked = None if charged is None else charged.recalibration
    if asked is None:
        return None
    counts = release(
        RECALIBRATION, 1.0, lambda found: histogram.count_scores(found, num_bins=asked.num_bins), "validation"
    )
    deviation = noise[RECALIBRATION]
    return histogram.line_of(
        histogram.added(ScoreHistogram(counts=cells, deviation=deviation) for cells in counts.values())
    )


def _shifts(
    noise: Mapping[str, float], release: _ReleaseOf, scored: Callable[[str], ScoredLenders]
) -> dict[str, float | None] | None:
    if OWN_INTERCEPT not in noise:
        return None
    levels = release(OWN_INTERCEPT, histogram.LEVEL_SENSITIVITY, histogram.level_statistics, "seen")
    sizes = {lender: found.num_loans for lender, found in scored("seen").items()}
    deviation = histogram.LEVEL_SENSITIVITY * noise[OWN_INTERCEPT]
    return {
        lender: histogram.intercept_of(level, num_loans=sizes[lender], deviation=deviation)
        for lender, level in levels.items()
    }


def _noise(
    prepared: Prepared,
    parameters: NDArray[np.float32],
    lender: str,
    ledgers: Mapping[str, PrivacyLedger],
    *,
    name: str,
    multiplier: float,
    shape: tuple[int, ...],
) -> NDArray[np.float64]:
    """Charge a release, then draw its noise, in units of the sensitivity; its loans are counted after that."""
    if not ledgers:
        return np.zeros(shape)
    digest = release_digest(
        fingerprint=prepared.fingerprint, computed_by="numpy", release=name, server_round=1, parameters=parameters
    )
    entry = Release(name=name, server_round=1, event=charged_event(multiplier), digest=digest)
    ledgers[lender].intend(entry)
    stream = private_stream(
        fingerprint=prepared.fingerprint, seed=prepared.experiment.seed, institution=lender, purpose=f"{name}.noise"
    )
    drawn = normals(stream, count=int(np.prod(shape)), server_round=1).reshape(shape)
    ledgers[lender].commit(entry, num_noise_draws=1)
    return np.asarray(multiplier * drawn, dtype=np.float64)

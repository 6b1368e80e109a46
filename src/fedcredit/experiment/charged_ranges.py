"""Ranges of the encoding from charged histograms of training loans, released to the federation before round 1.

`prepare` needs the ranges to encode loans, in every process that builds the lenders; the noise is named by the
experiment, so each finds the same. A run passes `charging`, so that its ledgers know of the release before the first
loan is read for it; a worker of that run, or whoever looks at it later, makes the same release again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fedcredit.data.institution import split
from fedcredit.data.partition import partition
from fedcredit.data.portfolio import Portfolio
from fedcredit.data.quantiles import (
    RangedFeature,
    count_values,
    found_ranges,
    ranged_features,
    sensitivity,
    with_ranges,
)
from fedcredit.experiment.charged_plan import charged_event, charged_noise
from fedcredit.experiment.files import EXPERIMENT_FILE, experiment_yaml, run_folder
from fedcredit.experiment.ledger_heads import kept_heads
from fedcredit.experiment.run_ledgers import open_run_ledgers
from fedcredit.experiment.spec import Encoding, Experiment
from fedcredit.federation.protocol import release_digest
from fedcredit.privacy.accounting.book import Release
from fedcredit.privacy.accounting.releases import ENCODING_RANGES
from fedcredit.seeds import normals, private_stream

Charging = Callable[..., AbstractContextManager[None]]


def with_charged_ranges(
    experiment: Experiment, portfolio: Portfolio, *, fingerprint: str, charge: Charging | None = None
) -> Portfolio:
    """Give a portfolio the encoding that an experiment's charged ranges make, if it asks for any.

    Args:
        experiment: the experiment.
        portfolio: the loans, with the schema's own encoding.
        fingerprint: the experiment's fingerprint, which names the noise.
        charge: what charges the release around the reading of the loans, `charging` for a run; None where a run has
            charged it.

    Returns:
        The same loans with the ranges in their schema.

    Raises:
        InputError: if a feature is not there, or the noise cannot be had; no loan has been read then.
    """
    asked = experiment.encoding
    if asked is None:
        return portfolio
    features = ranged_features(portfolio.schema, asked.features)
    multiplier = charged_noise(experiment)[ENCODING_RANGES]
    deviation = multiplier * sensitivity(len(features))
    lenders = partition(portfolio, experiment.partition, seed=experiment.split_seed)
    with nullcontext() if charge is None else charge(experiment, sorted(lenders), fingerprint=fingerprint):
        total, variance = _total(experiment, portfolio, lenders, features, asked, deviation, fingerprint)
    ranges = found_ranges(
        total, features, quantiles=(asked.lowest_quantile, asked.highest_quantile), deviation=float(np.sqrt(variance))
    )
    return replace(portfolio, schema=with_ranges(portfolio.schema, features, ranges))


@contextmanager
def charging(experiment: Experiment, lenders: Sequence[str], *, fingerprint: str) -> Iterator[None]:
    """Charge the release of each lender's histograms to the ledgers of a run: all intents before, all commits after.

    The experiment is written beside them first: whoever adds up what was spent finds by it which loans they are about.

    Args:
        experiment: the experiment, with ranges to be found.
        lenders: the lenders' names.
        fingerprint: the experiment's fingerprint.

    Yields:
        When loans may be read. Nothing is charged where the run is not private, or has finished: its record holds
        this very release.

    Raises:
        InputError: if the results folder or a ledger in it cannot be used.
    """
    folder = run_folder(experiment, fingerprint)
    if not experiment.privacy.is_private or folder.is_finished:
        yield
        return
    entry = _release(experiment, fingerprint)
    with folder.locked(), ExitStack() as stack:
        folder.write_text(EXPERIMENT_FILE, experiment_yaml(experiment))
        heads = kept_heads(folder.path)
        opened = open_run_ledgers(experiment, lenders, fingerprint=fingerprint, folder=folder.path, heads=heads)
        for ledger in opened.values():
            stack.enter_context(ledger)
            ledger.intend(entry)
        yield
        for ledger in opened.values():
            ledger.commit(entry, num_noise_draws=1)


def _release(experiment: Experiment, fingerprint: str) -> Release:
    digest = release_digest(
        fingerprint=fingerprint,
        computed_by="numpy",
        release=ENCODING_RANGES,
        server_round=0,
        parameters=np.zeros(0, dtype=np.float32),
    )
    event = charged_event(charged_noise(experiment)[ENCODING_RANGES])
    return Release(name=ENCODING_RANGES, server_round=0, event=event, digest=digest)


def _total(
    experiment: Experiment,
    portfolio: Portfolio,
    lenders: Mapping[str, NDArray[np.int64]],
    features: Sequence[RangedFeature],
    asked: Encoding,
    deviation: float,
    fingerprint: str,
) -> tuple[NDArray[np.float64], float]:
    """Add up what the lenders release, and the variance of its noise."""
    train = np.zeros(portfolio.num_loans, dtype=np.bool_)
    train[split(portfolio, seed=experiment.split_seed, how=experiment.split)["train"]] = True
    total, variance = np.zeros((len(features), asked.num_bins)), 0.0
    for lender, rows in sorted(lenders.items()):
        stream = private_stream(
            fingerprint=fingerprint, seed=experiment.seed, institution=lender, purpose=f"{ENCODING_RANGES}.noise"
        )
        noise = normals(stream, count=total.size, server_round=0).reshape(total.shape) if deviation else 0.0
        own = count_values(portfolio, rows[train[rows]], features, num_bins=asked.num_bins)
        total, variance = total + own + deviation * noise, variance + deviation**2
    return total, variance

"""Ranges of the encoding from charged histograms of training loans, released to the federation before round 1.

`prepare` needs the ranges to encode loans, in every process that builds the lenders; the noise is named by the
experiment, so each finds the same. Nothing made from them leaves the process before `charge_ranges` has put every
lender's release into its ledger, which a run does before its first round.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from fedcredit.experiment.spec import Encoding, Experiment
from fedcredit.federation.protocol import release_digest
from fedcredit.privacy.accounting.book import Release
from fedcredit.privacy.accounting.releases import ENCODING_RANGES
from fedcredit.privacy.accounting.run_ledger import RunLedger
from fedcredit.seeds import normals, private_stream


def with_charged_ranges(experiment: Experiment, portfolio: Portfolio, *, fingerprint: str) -> Portfolio:
    """Give a portfolio the encoding that an experiment's charged ranges make, if it asks for any.

    Args:
        experiment: the experiment.
        portfolio: the loans, with the schema's own encoding.
        fingerprint: the experiment's fingerprint, which names the noise.

    Returns:
        The same loans with the ranges in their schema.

    Raises:
        InputError: if a feature is not there, or the noise cannot be had.
    """
    asked = experiment.encoding
    if asked is None:
        return portfolio
    features = ranged_features(portfolio.schema, asked.features)
    multiplier = charged_noise(experiment)[ENCODING_RANGES]
    deviation = multiplier * sensitivity(len(features))
    total, variance = _total(experiment, portfolio, features, asked, deviation, fingerprint)
    ranges = found_ranges(
        total, features, quantiles=(asked.lowest_quantile, asked.highest_quantile), deviation=float(np.sqrt(variance))
    )
    return replace(portfolio, schema=with_ranges(portfolio.schema, features, ranges))


def charge_ranges(experiment: Experiment, ledgers: Mapping[str, RunLedger], *, fingerprint: str) -> None:
    """Charge the release of each lender's histograms, where an experiment asks for them.

    Args:
        experiment: the experiment.
        ledgers: the open ledgers by lender; empty where the run is not private.
        fingerprint: the experiment's fingerprint.
    """
    if experiment.encoding is None:
        return
    digest = release_digest(
        fingerprint=fingerprint,
        computed_by="numpy",
        release=ENCODING_RANGES,
        server_round=0,
        parameters=np.zeros(0, dtype=np.float32),
    )
    event = charged_event(charged_noise(experiment)[ENCODING_RANGES])
    entry = Release(name=ENCODING_RANGES, server_round=0, event=event, digest=digest)
    for ledger in ledgers.values():
        ledger.intend(entry)
        ledger.commit(entry, num_noise_draws=1)


def _total(
    experiment: Experiment,
    portfolio: Portfolio,
    features: Sequence[RangedFeature],
    asked: Encoding,
    deviation: float,
    fingerprint: str,
) -> tuple[NDArray[np.float64], float]:
    """Add up what the lenders release, and the variance of its noise."""
    train = np.zeros(portfolio.num_loans, dtype=np.bool_)
    train[split(portfolio, seed=experiment.split_seed, how=experiment.split)["train"]] = True
    lenders = partition(portfolio, experiment.partition, seed=experiment.split_seed)
    total, variance = np.zeros((len(features), asked.num_bins)), 0.0
    for lender, rows in sorted(lenders.items()):
        stream = private_stream(
            fingerprint=fingerprint, seed=experiment.seed, institution=lender, purpose=f"{ENCODING_RANGES}.noise"
        )
        noise = normals(stream, count=total.size, server_round=0).reshape(total.shape) if deviation else 0.0
        own = count_values(portfolio, rows[train[rows]], features, num_bins=asked.num_bins)
        total, variance = total + own + deviation * noise, variance + deviation**2
    return total, variance

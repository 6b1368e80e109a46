"""Applications: borrowers go from lender to lender, each lender accepts by its own score."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fedcredit.data.market.borrowers import MONTHS_BETWEEN_LENDERS, Borrowers
from fedcredit.data.market.lenders import Lender
from fedcredit.data.market.settings import Bytes, Flags, Floats, Ints, MarketSettings
from fedcredit.data.market.streams import generator

_TIE = 1e-6


@dataclass(frozen=True, kw_only=True)
class Applications:
    """Arrays over applications within the market's months, sorted by month, each ``[applications]``.

    ``score`` is the lender's own: higher is better, accepted at its cut-off or above.
    """

    borrower: Ints
    lender: Bytes
    month: Bytes
    score: Floats
    accepted: Flags


def draw_applications(settings: MarketSettings, borrowers: Borrowers, ring: Ints) -> Applications:
    """Let every borrower apply until she has as many lenders as she wants, or none is left.

    She tries the lenders in the order of their appeal to her. After a refusal she tries the next within
    the same month or the next; after an acceptance some months pass.

    Args:
        settings: the market's settings.
        borrowers: the borrowers.
        ring: the ring of each borrower, -1 for none, ``[borrowers]``.

    Returns:
        The applications.
    """
    count, lenders = borrowers.num_borrowers, settings.lenders
    observed = _observed_quality(borrowers)
    scores = np.empty((len(lenders), count), dtype=np.float32)
    appeal = np.empty((len(lenders), count), dtype=np.float32)
    accepts = np.empty((len(lenders), count), dtype=np.bool_)
    for i, lender in enumerate(lenders):
        draw = generator(seed=settings.seed, entity=f"applications.{lender.name}")
        scores[i] = observed + np.float32(lender.score_noise) * draw.standard_normal(count, np.float32)
        appeal[i] = _appeal(lender, borrowers, draw.random(count, np.float32))
        accepts[i] = scores[i] >= np.quantile(scores[i], 1.0 - lender.approval_rate)
    accepts |= ring >= 0
    order = np.argsort(-appeal, axis=0).astype(np.int8)
    return _walk(settings, borrowers, order=order, scores=scores, accepts=accepts)


def _observed_quality(borrowers: Borrowers) -> Floats:
    """Return what a lender can see at application, standardised: income, job, tenure, device and address."""
    raw = (
        0.6 * np.log(borrowers.income / 5500.0)
        + np.array([0.25, -0.25, 0.0, -0.15], dtype=np.float32)[borrowers.job]
        + 0.15 * np.log1p(borrowers.job_tenure_months / 12.0)
        - 0.3 * (borrowers.devices_12m - 1)
        - 0.15 * (borrowers.addresses_12m - 1)
        - 0.4 * ~borrowers.address_matches
        - 0.3 * ~borrowers.delivery_matches
    )
    standard: Floats = ((raw - raw.mean()) / raw.std()).astype(np.float32)
    return standard


def _appeal(lender: Lender, borrowers: Borrowers, uniform: Floats) -> Floats:
    """Return log-appeal plus Gumbel noise, so that the largest is a draw in proportion to appeal."""
    weight = np.log(lender.appeal * np.array(lender.regions, dtype=np.float32))[borrowers.region]
    weight = weight + np.log(np.array(lender.tiers, dtype=np.float32))[borrowers.city_tier - 1]
    if lender.kind != "bank":
        weight = weight - 0.02 * (borrowers.age.astype(np.float32) - 32.0)
    gumbel = -np.log(-np.log(np.clip(uniform, _TIE, 1.0 - _TIE)))
    appeal: Floats = (weight + gumbel).astype(np.float32)
    return appeal


def _walk(
    settings: MarketSettings, borrowers: Borrowers, *, order: Bytes, scores: Floats, accepts: Flags
) -> Applications:
    draw = generator(seed=settings.seed, entity="applications.times")
    count = borrowers.num_borrowers
    everyone = np.arange(count, dtype=np.int32)
    month = borrowers.arrival.astype(np.int16)
    held = np.zeros(count, dtype=np.int8)
    parts = []
    for place in order:
        tries = (held < borrowers.wanted_lenders) & (month < settings.num_months)
        who, where = everyone[tries], place[tries]
        accepted = accepts[where, who]
        parts.append((who, where, month[tries].astype(np.int8), scores[where, who], accepted))
        held[who] += accepted
        wait = np.where(accepted, draw.geometric(1.0 / MONTHS_BETWEEN_LENDERS, len(who)), draw.integers(0, 2, len(who)))
        month[who] += wait.astype(np.int16)
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    by_month = np.lexsort((columns[0], columns[2]))
    borrower, lender, when, score, accepted = (column[by_month] for column in columns)
    return Applications(borrower=borrower, lender=lender, month=when, score=score, accepted=accepted)

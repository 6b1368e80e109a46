"""Who finds fraud rings: a federation's scores, shared keys, or both; each lender by itself, or all together.

The keys (device, address) are joined over all accounts that a reviewer holds; what is reviewed and counted is
held-out accounts. Joining keys over lenders moves them between lenders, at least as hashes: no epsilon covers that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcredit.credit.fraud_rings import ReviewPolicy, join_by_keys, review, ring_score
from fedcredit.experiment.market_records import ALL, RingFigures, RingRecord
from fedcredit.experiment.prepare import Prepared, predict_pd
from fedcredit.experiment.record import RunRecord
from fedcredit.experiment.spec import MarketPortfolio
from fedcredit.experiment.wording import Table, figure_text, readable
from fedcredit.seeds import public_stream, uniforms

CAPACITY_SHARE = 0.01
RANDOM, SCORES = "at random", "scores alone"
KEYS, BOTH = "keys alone, each lender's own", "scores and keys, each lender's own"
SHARED_KEYS, SHARED_BOTH = "keys alone, joined over lenders", "scores and keys, joined over lenders"

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Accounts:
    """Accounts under review: predicted risk, borrower, keys (-1 for none), truth and place, each ``[accounts]``."""

    pd: Floats
    borrower: Ints
    device: Ints
    address: Ints
    lender: NDArray[np.str_]
    is_ring: NDArray[np.bool_]
    is_held_out: NDArray[np.bool_]
    lot: Floats


def find_rings(prepared: Prepared, parameters: NDArray[np.float32]) -> RingRecord:
    """Review the held-out accounts of a simulated market.

    Args:
        prepared: the prepared experiment, on a market.
        parameters: the released network, ``[num_parameters]``.

    Returns:
        What every method finds.
    """
    portfolio = prepared.experiment.portfolio
    assert isinstance(portfolio, MarketPortfolio)
    from fedcredit.data.market.portfolio import market_truth

    truth = market_truth(portfolio)
    parts = [
        (lender.name, loans.rows, predict_pd(prepared, prepared.network, parameters, loans.features), held_out)
        for lender in prepared.institutions
        for loans, held_out in ((lender.train, False), (lender.validation, False), (lender.test, True))
    ]
    rows = np.concatenate([part[1] for part in parts])
    lots = uniforms(public_stream(seed=prepared.experiment.seed, purpose="rings.lot"), count=len(rows))
    return reviewed(
        Accounts(
            pd=np.concatenate([part[2] for part in parts]),
            borrower=np.asarray(prepared.portfolio.borrower)[rows],
            device=truth.device[rows],
            address=truth.address[rows],
            lender=np.concatenate([np.full(len(part[1]), part[0]) for part in parts]),
            is_ring=truth.ring[rows] >= 0,
            is_held_out=np.concatenate([np.full(len(part[1]), part[3]) for part in parts]),
            lot=np.asarray(lots, dtype=np.float64),
        )
    )


def reviewed(accounts: Accounts, *, capacity_share: float = CAPACITY_SHARE) -> RingRecord:
    """Review accounts by every method.

    Args:
        accounts: all accounts that lenders hold.
        capacity_share: share of the held-out accounts that can be looked at, in (0, 1].

    Returns:
        What every method finds, by lender and in one queue.
    """
    lenders = sorted(set(accounts.lender.tolist()))
    everybody = np.arange(len(accounts.pd))
    own = [np.flatnonzero(accounts.lender == name) for name in lenders]
    certain = np.ones_like(accounts.pd)
    methods = {
        RANDOM: accounts.lot + 1e-9,
        SCORES: accounts.pd,
        KEYS: _joined(accounts, own, certain),
        BOTH: _joined(accounts, own, accounts.pd),
        SHARED_KEYS: _joined(accounts, [everybody], certain),
        SHARED_BOTH: _joined(accounts, [everybody], accounts.pd),
    }
    groups = {ALL: everybody, **dict(zip(lenders, own, strict=True))}
    return RingRecord(
        capacity_share=capacity_share,
        methods={
            method: {name: _figures(accounts, rows, score, capacity_share) for name, rows in groups.items()}
            for method, score in methods.items()
        },
    )


def ring_table(record: RunRecord) -> Table:
    """Return what each method of review finds, by lender and in one queue.

    Args:
        record: a run on a market seen at application.

    Returns:
        One row a group and method.
    """
    found = record.rings
    assert found is not None
    groups = next(iter(found.methods.values()))
    rows = tuple(
        (
            "one queue" if group == ALL else readable(group),
            method,
            f"{figures.num_ring:,} of {figures.num_accounts:,}",
            f"{figures.num_reviewed:,}",
            figure_text(figures.found_rate, digits=2),
            figure_text(figures.precision_rate, digits=3),
        )
        for group in groups
        for method, by_group in found.methods.items()
        if (figures := by_group[group]) is not None
    )
    return Table(
        title=f"Fraud rings: reviewing {100 * found.capacity_share:g} % of the held-out accounts",
        headings=("lender", "by", "ring accounts", "reviewed", "found", "precision"),
        num_labels=2,
        rows=rows,
        notes=(
            "Keys: device and address, joined over all accounts of a lender, or of all lenders, which moves keys "
            "between lenders and is covered by no epsilon. Accounts that share no key are not reviewed by keys. Ring "
            "membership is known in a simulation alone.",
        ),
    )


def _joined(accounts: Accounts, groups: list[Ints], pd: Floats) -> Floats:
    """Score accounts by the company they keep, among the accounts of each group; a borrower counts once."""
    score = np.zeros(len(pd))
    for rows in groups:
        _, place = np.unique(accounts.borrower[rows], return_inverse=True)
        count = int(place.max()) + 1 if len(place) else 0
        keys: dict[str, Ints] = {}
        for name, values in (("device", accounts.device), ("address", accounts.address)):
            keys[name] = np.full(count, -1, dtype=np.int64)
            np.maximum.at(keys[name], place, values[rows])
        risk = np.bincount(place, weights=pd[rows], minlength=count) / np.bincount(place, minlength=count)
        score[rows] = ring_score(join_by_keys(keys), np.clip(risk, 0.0, 1.0))[place]
    return score


def _figures(accounts: Accounts, rows: Ints, score: Floats, capacity_share: float) -> RingFigures:
    held_out = rows[accounts.is_held_out[rows]]
    drawn = held_out[np.argsort(accounts.lot[held_out], kind="stable")]
    ring = accounts.is_ring[drawn]
    capacity = math.ceil(capacity_share * len(drawn))
    found = review(score[drawn], ring, np.ones(len(drawn)), ReviewPolicy(capacity=capacity))
    return RingFigures(
        num_accounts=len(drawn),
        num_ring=int(ring.sum()),
        num_reviewed=found.num_reviewed,
        found_rate=found.found_rate,
        precision_rate=found.precision_rate,
    )

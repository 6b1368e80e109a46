"""Lenders with their train, validation and test loans."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcredit.data.borrowers import BorrowerCap, capped, check_borrower_key
from fedcredit.data.encoding import encode
from fedcredit.data.kept import computed
from fedcredit.data.keys import keyed_uniforms
from fedcredit.data.out_of_time import split_by_time
from fedcredit.data.partition import partition
from fedcredit.data.portfolio import Portfolio
from fedcredit.errors import InputError
from fedcredit.experiment import spec

TRAIN_SHARE = 0.70
VALIDATION_SHARE = 0.10
BY_HASH = spec.HashedSplit()


@dataclass(frozen=True, kw_only=True)
class Loans:
    """Encoded loans.

    ``features`` is ``[loans, features]``, ``default`` is 0 or 1, ``[loans]``, and ``rows`` are their
    places in the portfolio, ``[loans]``. Where borrowers are sampled and not loans, a borrower's loans lie side by
    side and ``borrower_starts`` says where each borrower's begin, with the end, ``[borrowers + 1]``.
    """

    features: NDArray[np.float32]
    default: NDArray[np.float32]
    rows: NDArray[np.int64]
    borrower_starts: NDArray[np.int64] | None = None

    @property
    def num_loans(self) -> int:
        """How many loans there are."""
        return len(self.default)

    @property
    def num_sampled(self) -> int:
        """How many loans, or borrowers, a step samples from: the number that a contract declares public."""
        return self.num_loans if self.borrower_starts is None else len(self.borrower_starts) - 1


@dataclass(frozen=True, kw_only=True)
class Institution:
    """A lender; ``kind`` says how it came to be: ``natural`` or the partition that made it."""

    name: str
    kind: str
    train: Loans
    validation: Loans
    test: Loans


def split(portfolio: Portfolio, *, seed: int, how: spec.Split = BY_HASH) -> dict[str, NDArray[np.int64]]:
    """Split loans into train (.70), validation (.10) and test (.20) by keyed hash of the borrower, or by time.

    By hash, a borrower falls into one part at every lender, and no loan has a say in another's part.

    Args:
        portfolio: the loans.
        seed: the experiment's ``split_seed``.
        how: the experiment's ``split``.

    Returns:
        Row indices under ``"train"``, ``"validation"`` and ``"test"``, rising.

    Raises:
        InputError: if the loans cannot be split by time.
    """
    if isinstance(how, spec.OutOfTimeSplit):
        return split_by_time(portfolio, how, seed=seed, train_share=TRAIN_SHARE, validation_share=VALIDATION_SHARE)
    place = keyed_uniforms(portfolio, seed=seed, purpose="split")
    in_train = place < TRAIN_SHARE
    in_test = place >= TRAIN_SHARE + VALIDATION_SHARE
    masks = {"train": in_train, "validation": ~in_train & ~in_test, "test": in_test}
    return {part: np.flatnonzero(mask).astype(np.int64) for part, mask in masks.items()}


def build_institutions(experiment: spec.Experiment, portfolio: Portfolio) -> tuple[Institution, ...]:
    """Deal out, split and encode a portfolio; asked again for the same, the lenders are shared, not copied.

    Args:
        experiment: the experiment; ``partition``, ``split``, ``split_seed`` and the bound on a borrower's loans are
            read.
        portfolio: the loans.

    Returns:
        The lenders, sorted by name.

    Raises:
        InputError: if the loans cannot be dealt out, a lender would have no loan to train on, or borrowers are to
            be protected of whom nothing is known.
    """
    how, held_out, seed = experiment.partition, experiment.split, experiment.split_seed
    cap = _cap(experiment, portfolio)
    return computed(
        portfolio, "institutions", (how, held_out, seed, cap), lambda: _build(portfolio, how, held_out, seed, cap)
    )


def _cap(experiment: spec.Experiment, portfolio: Portfolio) -> BorrowerCap | None:
    privacy = experiment.privacy
    if privacy.max_loans_per_borrower is None:
        return None
    check_borrower_key(portfolio)
    is_joint = privacy.borrower_mechanism == "borrower_sampling"
    return BorrowerCap(max_loans=privacy.max_loans_per_borrower, is_joint=is_joint, seed=experiment.split_seed)


def _build(
    portfolio: Portfolio, how: spec.Partition, held_out: spec.Split, seed: int, cap: BorrowerCap | None
) -> tuple[Institution, ...]:
    lenders = partition(portfolio, how, seed=seed)
    parts = split(portfolio, seed=seed, how=held_out)
    features = computed(portfolio, "features", None, lambda: encode(portfolio))
    default = portfolio.default.astype(np.float32)
    for array in (features, default):
        array.flags.writeable = False

    is_in = {part: _membership(rows, len(default)) for part, rows in parts.items()}

    def loans(rows: NDArray[np.int64], part: str) -> Loans:
        own, starts = rows[is_in[part][rows]], None
        if cap is not None and part == "train":
            own, starts = capped(own, portfolio, cap)
        chosen = features[own], default[own]
        for array in (*chosen, own, *(() if starts is None else (starts,))):
            array.flags.writeable = False
        return Loans(features=chosen[0], default=chosen[1], rows=own, borrower_starts=starts)

    institutions = tuple(
        Institution(
            name=name,
            kind=how.kind,
            train=loans(rows, "train"),
            validation=loans(rows, "validation"),
            test=loans(rows, "test"),
        )
        for name, rows in sorted(lenders.items())
    )
    _check_train_loans({institution.name: institution.train.num_loans for institution in institutions})
    return institutions


def count_train_loans(experiment: spec.Experiment, portfolio: Portfolio) -> dict[str, int]:
    """Count the loans that each lender would train on, without encoding any.

    Args:
        experiment: the experiment; ``partition``, ``split``, ``split_seed`` and the bound on a borrower's loans are
            read.
        portfolio: the loans.

    Returns:
        Numbers of training loans by lender, or of borrowers where these are sampled, sorted by name: those of
        `build_institutions`.

    Raises:
        InputError: as `build_institutions`.
    """
    lenders = partition(portfolio, experiment.partition, seed=experiment.split_seed)
    train = split(portfolio, seed=experiment.split_seed, how=experiment.split)["train"]
    is_train = _membership(train, len(portfolio.default))
    cap = _cap(experiment, portfolio)
    counts = {}
    for name, rows in sorted(lenders.items()):
        own, starts = rows[is_train[rows]], None
        if cap is not None:
            own, starts = capped(own, portfolio, cap)
        counts[name] = len(own) if starts is None else len(starts) - 1
    _check_train_loans(counts)
    return counts


def _membership(rows: NDArray[np.int64], num_loans: int) -> NDArray[np.bool_]:
    mask = np.zeros(num_loans, dtype=np.bool_)
    mask[rows] = True
    return mask


def _check_train_loans(counts: Mapping[str, int]) -> None:
    idle = [name for name, count in counts.items() if count == 0]
    if idle:
        raise InputError(
            f"partition: {len(idle)} of {len(counts)} lenders have no loan to train on ({', '.join(idle[:5])}); "
            "raise partition.min_loans or ask for fewer lenders"
        )

"""Borrowers as the unit: what one of them, with all its loans, can do to a lender's releases, for every trainer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fedcredit.errors import InputError
from fedcredit.experiment.spec import Sgd
from fedcredit.model.network import DefaultNetwork, initial_parameters
from fedcredit.privacy.sampling import loans_of, poisson_indices
from fedcredit.seeds import Stream, normals, private_stream, public_stream
from fedcredit.training import compiled, reference, vectorised
from fedcredit.training.contract import LocalSettings, RoundStreams

Rows = NDArray[np.float32]
Places = NDArray[np.int64]
TRAINERS = {"compiled": compiled, "vectorised": vectorised, "reference": reference}
NETWORK = DefaultNetwork(num_features=6, hidden=(8,), output_scale=1.0)
NUM_BORROWERS, MOST = 300, 4
PLAIN = LocalSettings(
    num_steps=4,
    sampling_probability=0.2,
    divisor=0.2 * NUM_BORROWERS,
    clipping_norm=1.0 / MOST,
    noise_multiplier=1.0 * MOST,
    optimiser=Sgd(learning_rate=0.5),
)


def stream(purpose: str) -> Stream:
    return private_stream(fingerprint="print", seed=1, institution="north", purpose=purpose)


def streams(starts: Places | None) -> RoundStreams:
    return RoundStreams(sampling=stream("sampling"), noise=stream("noise"), server_round=3, borrower_starts=starts)


def table(num_borrowers: int = NUM_BORROWERS, most: int = MOST, seed: int = 1) -> tuple[Rows, Rows, Places]:
    sizes = np.random.default_rng(seed).integers(1, most + 1, num_borrowers)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    draws = normals(public_stream(seed=seed, purpose="loans"), count=7 * int(starts[-1])).reshape(-1, 7)
    return draws[:, 1:].astype(np.float32), (draws[:, 0] > 0.5).astype(np.float32), starts


def start() -> Rows:
    return initial_parameters(NETWORK, public_stream(seed=1, purpose="initialisation"))


def trained(kind: str, x: Rows, y: Rows, starts: Places | None, plan: LocalSettings = PLAIN) -> Rows:
    return TRAINERS[kind].local_round(NETWORK, start(), x, y, settings=plan, streams=streams(starts)).parameters


@pytest.mark.parametrize("kind", ["compiled", "vectorised"])
@pytest.mark.parametrize("rate", [0.2, 1.0, 1e-4])
def test_trainers_agree_on_sampled_borrowers(kind: str, rate: float) -> None:
    x, y, starts = table()
    plan = replace(PLAIN, sampling_probability=rate)
    assert trained(kind, x, y, starts, plan) == pytest.approx(trained("reference", x, y, starts, plan), abs=1e-5)


@pytest.mark.parametrize("kind", TRAINERS)
def test_a_borrower_of_one_loan_is_a_loan(kind: str) -> None:
    x, y, _ = table()
    assert np.array_equal(trained(kind, x, y, np.arange(len(y) + 1)), trained(kind, x, y, None))


@pytest.mark.parametrize("kind", TRAINERS)
def test_a_step_sums_all_loans_of_each_borrower_that_the_poisson_draw_names_and_no_other(kind: str) -> None:
    x, y, starts = table()
    plan = replace(PLAIN, num_steps=1, noise_multiplier=0.0, optimiser=Sgd(learning_rate=1.0))
    sampled = poisson_indices(stream("sampling"), num_loans=NUM_BORROWERS, probability=0.2, server_round=3, step=0)
    batch = np.concatenate([np.arange(starts[borrower], starts[borrower + 1]) for borrower in sampled])
    assert np.array_equal(loans_of(sampled, starts), batch)
    total = reference.clipped_gradient_sum(
        NETWORK, start(), x[batch], y[batch], clipping_norm=plan.clipping_norm, pos_weight=1.0
    )
    assert start() - trained(kind, x, y, starts, plan) == pytest.approx(total / plan.divisor, abs=2e-6)


def moved(room: Any, x: Rows, y: Rows, own: NDArray[np.bool_], clipping_norm: float) -> float:  # noqa: ANN401
    """How far the sum moves when all loans of a borrower contribute nothing, in their places."""
    silent = np.where(own[:, np.newaxis], np.float32(np.nan), x)
    whole, without = (
        room.clipped_gradient_sum(NETWORK, start(), rows, y, clipping_norm=clipping_norm, pos_weight=1.0)
        for rows in (x, silent)
    )
    assert np.isfinite(whole).all()
    return float(np.linalg.norm(whole - without))


@pytest.mark.parametrize("kind", TRAINERS)
@pytest.mark.parametrize("num_loans", [2, 7, 64, 130])
@pytest.mark.parametrize("others", [0, 63, 1000])
def test_the_worst_borrower_moves_the_sum_by_the_whole_clipping_norm_and_no_more(
    kind: str, num_loans: int, others: int
) -> None:
    norm = 2.5
    x = np.broadcast_to(20.0 * np.ones(6, dtype=np.float32), (num_loans + others, 6)).copy()
    y, own = np.ones(len(x), dtype=np.float32), np.arange(len(x)) % (1 + others // num_loans) == 0
    own &= np.cumsum(own) <= num_loans
    found = moved(TRAINERS[kind], x, y, own, norm / num_loans)
    assert norm * (1.0 - 2.0**-9) < found <= norm
    assert moved(TRAINERS[kind], x, y, own, norm) > norm  # without its share each loan has a norm of its own


CELLS = st.one_of(
    st.floats(-3, 3, width=32), st.sampled_from([0.0, 1e-38, 1e25, -1e25, 3e38, np.inf, -np.inf, np.nan, 1e-45])
)


@pytest.mark.parametrize("kind", TRAINERS)
@settings(max_examples=60)
@given(data=st.data())
def test_any_borrower_moves_the_sum_by_at_most_the_clipping_norm(kind: str, data: st.DataObject) -> None:
    most = data.draw(st.integers(1, 20), label="most loans of a borrower")
    x, y, starts = table(data.draw(st.integers(1, 20), label="borrowers"), most, seed=most)
    borrower = data.draw(st.integers(0, len(starts) - 2), label="borrower")
    own = np.zeros(len(y), dtype=np.bool_)
    own[starts[borrower] : starts[borrower + 1]] = True
    if data.draw(st.booleans(), label="aligned"):
        x[own], y[own] = 20.0, 1.0
    row = data.draw(st.sampled_from(np.flatnonzero(own).tolist()), label="row")
    x[row] = data.draw(st.lists(CELLS, min_size=6, max_size=6), label="cells")
    norm = data.draw(st.sampled_from([1e-3, 1.0, 2.5, 1e3]), label="norm")
    assert moved(TRAINERS[kind], x, y, own, norm / most) <= norm


@pytest.mark.parametrize("kind", TRAINERS)
@pytest.mark.parametrize(
    "broken",
    [[], [0], [0, 5], [1, 600], [0, 9, 4, 600], [[0, 600]]],
    ids=["none", "start", "short", "late", "falls", "square"],
)
def test_borrowers_that_do_not_share_out_the_loans_are_refused(kind: str, broken: list[int]) -> None:
    x, y, starts = table()
    places = np.array(broken, dtype=np.int64)
    places = np.where(places == 600, starts[-1], places)
    with pytest.raises(InputError, match="borrower_starts"):
        trained(kind, x, y, places)

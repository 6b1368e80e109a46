"""Replay, after dp-recorder (arXiv 2602.17454): what leaves depends on a loan through the clipped sum and nothing else.

The sum is recorded on one table and replayed on its neighbour, with the noise that it had. Every byte that leaves,
the ledger and the lender's log must then be the same. 200 pairs of neighbours in each test.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import synthetic_federation as synthetic
from flwr.app import Context, Message, RecordDict
from numpy.typing import NDArray

from fedcredit.data.institution import Loans
from fedcredit.experiment.spec import Sgd
from fedcredit.federation import client, protocol
from fedcredit.federation.client import Lender, make_client_app
from fedcredit.federation.flower_private import identify_process
from fedcredit.model.network import DefaultNetwork, initial_parameters
from fedcredit.seeds import normals, private_stream, public_stream
from fedcredit.training import stepwise
from fedcredit.training.contract import LocalOutcome, LocalSettings, RoundStreams
from fedcredit.training.trainers import Kind, trainer

PAIRS = 200
NAME = "coast lender"
NETWORK = DefaultNetwork(num_features=4, hidden=(5,), output_scale=1.0)
SETTINGS = LocalSettings(
    num_steps=3, sampling_probability=0.5, divisor=10.0, clipping_norm=1.0, noise_multiplier=0.8,
    optimiser=Sgd(learning_rate=0.5, momentum=0.3), proximal_weight=0.1, pos_weight=2.0,
)  # fmt: skip
Table = tuple[NDArray[np.float32], NDArray[np.float32]]


def streams(pair: int) -> RoundStreams:
    sampling, noise = (
        private_stream(fingerprint="replay", seed=pair, institution=NAME, purpose=purpose)
        for purpose in ("federation.sampling", "federation.noise")
    )
    return RoundStreams(sampling=sampling, noise=noise, server_round=1 + pair % 7)


def neighbours(pair: int, cells: tuple[float, float] | None = None) -> tuple[Table, Table]:
    """Two tables that differ in the columns and the outcome of one loan."""
    count = 1 + pair % 40
    draws = normals(public_stream(seed=pair, purpose="loans"), count=count * 5).reshape(count, 5)
    x, y = draws[:, 1:].astype(np.float32), (draws[:, 0] > 0.5).astype(np.float32)
    other, labels, row = x.copy(), y.copy(), pair % count
    labels[row] = 1.0 - labels[row]
    x[row, 0], other[row, 0] = cells or (x[row, 0], 1e3 - x[row, 0])
    return (x, y), (other, labels)


def test_given_the_clipped_sums_a_round_reads_no_loan() -> None:
    start = initial_parameters(NETWORK, public_stream(seed=1, purpose="initialisation"))
    for pair in range(PAIRS):
        recorded: list[NDArray[np.float64]] = []

        def record(
            network: DefaultNetwork,
            parameters: NDArray[np.float32],
            features: NDArray[np.float32],
            default: NDArray[np.float32],
            *,
            kept: list[NDArray[np.float64]] = recorded,
            **_: float,
        ) -> NDArray[np.float64]:
            kept.append(np.full(network.num_parameters, float(features.sum() + default.sum())))
            return kept[-1]

        replayed = iter(recorded)
        first, second = neighbours(pair)
        outcomes = [
            stepwise.run_steps(source, NETWORK, start, *loans, settings=SETTINGS, streams=streams(pair))
            for source, loans in ((record, first), (lambda *_, kept=replayed, **__: next(kept), second))
        ]
        assert outcomes[0].parameters.tobytes() == outcomes[1].parameters.tobytes()
        assert outcomes[0].num_noise_draws == outcomes[1].num_noise_draws == SETTINGS.num_steps
        assert next(replayed, None) is None


@pytest.mark.parametrize("kind", get_args(Kind))
def test_a_loan_that_counts_as_zero_leaves_no_trace_whatever_else_it_says(kind: Kind) -> None:
    start, local_round = initial_parameters(NETWORK, public_stream(seed=1, purpose="initialisation")), trainer(kind)
    for pair in range(PAIRS):
        tables = neighbours(pair, cells=(np.nan, np.inf if pair % 2 else -np.inf))
        first, second = (
            local_round(NETWORK, start, *loans, settings=SETTINGS, streams=streams(pair)) for loans in tables
        )
        assert first.parameters.tobytes() == second.parameters.tobytes()
        assert first.num_noise_draws == second.num_noise_draws


class Recorded:
    """A trainer that gives back what was recorded."""

    def __init__(self, outcome: LocalOutcome) -> None:
        self.outcome = outcome

    def __call__(self, *_: Any, **__: Any) -> LocalOutcome:  # noqa: ANN401
        return self.outcome


def everything_that_leaves(lender: Lender, folder: Path, pair: int) -> str:
    """A digest of all replies of a lender, its ledger and its log."""
    app = make_client_app(lambda context: lender)
    told = hashlib.sha256()
    request = protocol.write_model_request(
        protocol.ModelRequest(
            fingerprint=synthetic.FINGERPRINT, server_round=1 + pair,
            parameters=np.full(lender.network.num_parameters, 0.01 * pair, dtype=np.float32),
        )
    )  # fmt: skip
    roster = protocol.write_roster_request(protocol.RosterRequest(fingerprint=synthetic.FINGERPRINT))
    for message_type, content in ((protocol.ROSTER, roster), (protocol.TRAIN, request)):
        reply = app(Message(content, 1, message_type), Context(1, 1, {}, RecordDict(), {}))
        assert not reply.has_error()
        told.update(repr(sorted((name, repr(record)) for name, record in reply.content.items())).encode())
        for record in reply.content.array_records.values():
            for name, array in record.items():
                told.update(name.encode() + array.numpy().tobytes())
    for file in sorted(folder.rglob(f"*{NAME}*")):
        told.update(file.name.encode() + file.read_bytes())
    return told.hexdigest()


def test_given_its_training_outcome_a_lender_sends_and_writes_down_nothing_of_a_loan(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    identify_process()
    prepared = synthetic.prepare(synthetic.small_experiment())
    made = [synthetic.lenders(prepared, ledgers=synthetic.open_ledgers(prepared, folder=tmp_path / side))[NAME]
            for side in ("left", "right")]  # fmt: skip
    loans = made[0].institution.train
    outcome = LocalOutcome(parameters=np.arange(prepared.network.num_parameters, dtype=np.float32), num_noise_draws=2)
    for pair in range(PAIRS):
        features, default = loans.features.copy(), loans.default.copy()
        row = pair % loans.num_loans
        features[row], default[row] = 1e3 * (1 + pair), 1.0 - default[row]
        neighbour = Loans(features=features, default=default, rows=loans.rows)
        told = []
        for side, lender in zip(("left", "right"), made, strict=True):
            own = loans if side == "left" else neighbour
            lender = replace(lender, institution=replace(lender.institution, train=own), trainer=Recorded(outcome))
            caplog.clear()
            with caplog.at_level(logging.DEBUG, logger=client.LOGGER.name):
                told.append((everything_that_leaves(lender, tmp_path / side, pair), caplog.text))
        assert told[0] == told[1]

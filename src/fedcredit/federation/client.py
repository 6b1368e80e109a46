"""A lender's side: one ClientApp that answers the roster, trains and, in simulation, evaluates.

Before the first private gradient the lender's ledger knows the release (``intend``), and afterwards
how often noise was drawn (``commit``). Nothing leaves but the keys of ``protocol.REPLY_KEYS``; any
exception becomes a code and the id of an entry in the lender's own log.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp

from fedcredit.data.contract import Contract
from fedcredit.errors import InputError
from fedcredit.federation.central import clipped_parameters
from fedcredit.federation.protocol import (
    SIMULATED,
    EvaluateReply,
    ModelRequest,
    ProtocolError,
    ReplyCode,
    RosterReply,
    TrainReply,
    WrongExperimentError,
    check_reply,
    read_model_request,
    read_roster_request,
    release_digest,
    write_evaluate_reply,
    write_roster_reply,
    write_train_reply,
)
from fedcredit.model.network import DefaultNetwork, to_pd
from fedcredit.privacy.accounting.events import Event
from fedcredit.privacy.accounting.ledger import NoiseDrawsError, Release
from fedcredit.privacy.accounting.releases import FEDERATION
from fedcredit.privacy.accounting.run_ledger import RunLedger
from fedcredit.privacy.cap import SpendingCap
from fedcredit.privacy.entropy import ReleaseKey
from fedcredit.seeds import Stream
from fedcredit.training.contract import LocalOutcome, LocalRound, LocalSettings, PredictLogit, RoundStreams
from fedcredit.training.unseeded import UnseededRound

if TYPE_CHECKING:
    from fedcredit.data.institution import Institution

LOGGER = logging.getLogger("fedcredit.lender")


class LedgerRefusedError(RuntimeError):
    """The ledger did not permit a release, or the noise drawn was not what it had permitted."""


@dataclass(frozen=True, kw_only=True)
class Lender:
    """All that one lender needs to answer the server.

    ``event`` is what a round costs its loans, ``None`` where nothing is private; then there is no
    ledger either. ``cap`` is what the lender's training may cost; its ledger refuses a round beyond it.
    ``update_clipping_norm`` bounds the whole update, where the server adds the noise. A deployed lender has no
    streams: ``unseeded`` draws from a new key at every release.
    """

    institution: Institution
    contract: Contract
    contract_digest: str
    fingerprint: str
    network: DefaultNetwork
    settings: LocalSettings
    sampling: Stream | None
    noise: Stream | None
    ledger: RunLedger | None
    event: Event | None
    trainer: LocalRound
    predict: PredictLogit
    computed_by: str
    mode: str = SIMULATED
    cap: SpendingCap | None = None
    update_clipping_norm: float | None = None
    unseeded: UnseededRound | None = None


FindLender = Callable[[Context], Lender]
Handler = Callable[[Lender, RecordDict], RecordDict]


def make_client_app(find: FindLender) -> ClientApp:
    """Make the ClientApp of every lender.

    Args:
        find: the lender of a Flower context.

    Returns:
        An app that answers ``query.roster``, ``train`` and ``evaluate``, and never raises.
    """
    app = ClientApp()

    @app.query("roster")
    def roster(message: Message, context: Context) -> Message:
        return _answer(message, context, find, answer_roster)

    @app.train()
    def train(message: Message, context: Context) -> Message:
        return _answer(message, context, find, answer_train)

    @app.evaluate()
    def evaluate(message: Message, context: Context) -> Message:
        return _answer(message, context, find, answer_evaluate)

    return app


def keep_lender_log(path: Path) -> None:
    """Write the lenders' own log to a file instead of standard error; it never leaves the machine.

    Args:
        path: the file, which is created at the first failure.
    """
    for handler in list(LOGGER.handlers):
        LOGGER.removeHandler(handler)
        handler.close()
    handler = logging.FileHandler(path, encoding="utf-8", delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    LOGGER.addHandler(handler)
    LOGGER.propagate = False


def answer_roster(lender: Lender, content: RecordDict) -> RecordDict:
    """Say who the lender is and under which contract it takes part.

    Args:
        lender: the lender.
        content: a roster request.

    Returns:
        A roster reply.

    Raises:
        ProtocolError: if the request is unreadable, or of another experiment.
    """
    _check_experiment(lender, read_roster_request(content).fingerprint)
    return write_roster_reply(RosterReply(institution=lender.institution.name, contract_digest=lender.contract_digest))


def answer_train(lender: Lender, content: RecordDict) -> RecordDict:
    """Train a local round and charge it.

    Args:
        lender: the lender.
        content: a training request.

    Returns:
        A training reply.

    Raises:
        ProtocolError: if the request is unreadable, or of another experiment.
        LedgerRefusedError: if the ledger does not permit the round, or its noise draws do not add up.
    """
    request = read_model_request(content, num_parameters=lender.network.num_parameters)
    _check_experiment(lender, request.fingerprint)
    release = _intend(lender, request)
    outcome = _trained(lender, request)
    if release is not None and lender.ledger is not None:
        with _charging():
            lender.ledger.commit(release, num_noise_draws=outcome.num_noise_draws)
    parameters = outcome.parameters
    if lender.update_clipping_norm is not None:
        parameters = clipped_parameters(request.parameters, parameters, lender.update_clipping_norm)
    return write_train_reply(
        TrainReply(
            server_round=request.server_round,
            parameters=parameters,
            ledger_digest="" if lender.ledger is None else lender.ledger.head,
        )
    )


def answer_evaluate(lender: Lender, content: RecordDict) -> RecordDict:
    """Score the lender's validation loans; simulation only.

    Args:
        lender: the lender.
        content: an evaluation request.

    Returns:
        An evaluation reply.

    Raises:
        ProtocolError: if the request is unreadable, or of another experiment, or outside simulation.
    """
    request = read_model_request(content, num_parameters=lender.network.num_parameters)
    _check_experiment(lender, request.fingerprint)
    if lender.mode != SIMULATED:
        raise ProtocolError("evaluation replies exist in simulation only")
    loans = lender.institution.validation
    return write_evaluate_reply(
        EvaluateReply(
            server_round=request.server_round,
            pd=to_pd(lender.predict(lender.network, request.parameters, loans.features)),
            default=loans.default.astype(np.int8),
        )
    )


def _answer(message: Message, context: Context, find: FindLender, handler: Handler) -> Message:
    try:
        lender = find(context)
        content = handler(lender, message.content)
        check_reply(content, message_type=message.metadata.message_type, mode=lender.mode)
        return Message(content, reply_to=message)
    except Exception as error:
        log_id = uuid.uuid4().hex[:12]
        LOGGER.error("entry %s: %s failed", log_id, message.metadata.message_type, exc_info=True)
        return Message(Error(code=int(_code(error)), reason=log_id), reply_to=message)


def _code(error: Exception) -> ReplyCode:
    if isinstance(error, WrongExperimentError):
        return ReplyCode.WRONG_EXPERIMENT
    if isinstance(error, ProtocolError):
        return ReplyCode.UNREADABLE_REQUEST
    return ReplyCode.LEDGER_REFUSED if isinstance(error, LedgerRefusedError) else ReplyCode.FAILED


def _check_experiment(lender: Lender, fingerprint: str) -> None:
    if fingerprint != lender.fingerprint:
        raise WrongExperimentError("the request is of another experiment")


def _intend(lender: Lender, request: ModelRequest) -> Release | None:
    if lender.event is None:
        return None
    if lender.ledger is None:
        raise LedgerRefusedError("a private round needs a ledger")
    digest = release_digest(
        fingerprint=lender.fingerprint,
        computed_by=lender.computed_by,
        release=FEDERATION,
        server_round=request.server_round,
        parameters=request.parameters,
    )
    release = Release(name=FEDERATION, server_round=request.server_round, event=lender.event, digest=digest)
    with _charging():
        lender.ledger.intend(release, within=lender.cap)
    return release


def _trained(lender: Lender, request: ModelRequest) -> LocalOutcome:
    loans = lender.institution.train
    inputs = (lender.network, request.parameters, loans.features, loans.default)
    if lender.unseeded is not None:
        return lender.unseeded(*inputs, settings=lender.settings, key=ReleaseKey.fresh())
    if lender.mode != SIMULATED or lender.sampling is None or lender.noise is None:
        raise LedgerRefusedError("seeded draws are for simulated lenders alone")
    streams = RoundStreams(
        sampling=lender.sampling,
        noise=lender.noise,
        server_round=request.server_round,
        borrower_starts=loans.borrower_starts,
    )
    return lender.trainer(*inputs, settings=lender.settings, streams=streams)


@contextmanager
def _charging() -> Iterator[None]:
    try:
        yield
    except (InputError, NoiseDrawsError, ValueError) as error:
        raise LedgerRefusedError(str(error)) from error

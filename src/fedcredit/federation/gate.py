"""The gate: what a reply must be before anything is computed from it.

A reply passes if its sender was asked, answered once, and sent exactly the keys, dtype and shape of
the protocol, the right round, finite numbers and a movement within the stated bound. Otherwise it is
quarantined under the sender's name, with the reason. Weights never come from a reply.

An error reply with a code that is not ours means that the transport broke (a dead worker poisons
every message that it is given), so it ends the run instead of being averaged around.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from flwr.app import Message, RecordDict
from numpy.typing import NDArray

from fedcredit.errors import InputError, RunFailedError
from fedcredit.federation.protocol import ProtocolError, ReplyCode, TrainReply, read_train_reply

UNKNOWN_SENDER = "(unknown sender)"
NO_REPLY = "no reply before the deadline"
Reply = TypeVar("Reply")


class TransportError(RunFailedError):
    """The runtime, not a lender, failed to deliver."""


class QuorumError(InputError):
    """Too few good replies to go on."""


@dataclass(frozen=True, kw_only=True)
class Sent:
    """To whom a request went, so that a reply can be traced to its institution."""

    institution: str
    node_id: int


@dataclass(frozen=True, kw_only=True)
class Admission(Generic[Reply]):
    """Good replies and reasons for the others, both by institution name and sorted by it."""

    accepted: Mapping[str, Reply]
    quarantined: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What a training reply must match: round, incoming parameters, and bounds on the movement."""

    server_round: int
    parameters: NDArray[np.float32]
    norm_bound: Mapping[str, float | None]


def admit(
    replies: Iterable[Message],
    sent: Mapping[str, Sent],
    examine: Callable[[str, RecordDict], Reply],
) -> Admission[Reply]:
    """Let good replies in and quarantine the others.

    Args:
        replies: what came back, in any order.
        sent: message id of each request to its addressee.
        examine: reads the content of an institution's reply; raises ``ProtocolError`` to refuse it.

    Returns:
        The admission; it does not depend on the order of the replies.

    Raises:
        TransportError: if the runtime itself reports an error.
    """
    answers: dict[str, list[Message]] = {addressee.institution: [] for addressee in sent.values()}
    quarantined: dict[str, str] = {}
    for reply in replies:
        addressee = sent.get(reply.metadata.reply_to_message_id)
        if reply.has_error():
            _refuse_transport_error(reply, addressee)
        if addressee is None or reply.metadata.src_node_id != addressee.node_id:
            quarantined[UNKNOWN_SENDER] = "a reply to no request, or from another node than was asked"
        else:
            answers[addressee.institution].append(reply)
    accepted: dict[str, Reply] = {}
    for institution in sorted(answers):
        try:
            accepted[institution] = examine(institution, _only_content(answers[institution]))
        except ProtocolError as error:
            quarantined[institution] = str(error)
    return Admission(accepted=accepted, quarantined=dict(sorted(quarantined.items())))


def examine_training(institution: str, content: RecordDict, expected: Expected) -> TrainReply:
    """Read a training reply and check all that can be checked without trusting its sender.

    Args:
        institution: who sent it.
        content: what was sent.
        expected: what it must match.

    Returns:
        The reply.

    Raises:
        ProtocolError: if it fails a check.
    """
    reply = read_train_reply(content, num_parameters=len(expected.parameters))
    if reply.server_round != expected.server_round:
        raise ProtocolError(f"the reply is of round {reply.server_round}, not {expected.server_round}")
    movement = np.subtract(reply.parameters, expected.parameters, dtype=np.float64)
    norm = math.sqrt(float(np.dot(movement, movement)))
    if not math.isfinite(norm):  # squares of single-precision numbers do not overflow in double precision
        raise ProtocolError("a parameter is not finite")
    bound = expected.norm_bound.get(institution)
    if bound is not None and norm > bound:
        raise ProtocolError(f"the update's norm is {norm:.4g}; an honest one is at most {bound:.4g}")
    return reply


def check_quorum(admission: Admission[Reply], *, server_round: int, asked: int, needed: int) -> None:
    """Refuse to go on with too few replies.

    Args:
        admission: what came through the gate.
        server_round: the round.
        asked: how many lenders were asked.
        needed: how many good replies the round needs.

    Raises:
        QuorumError: if there are fewer.
    """
    if len(admission.accepted) >= needed:
        return
    reasons = "; ".join(f"{name}: {reason}" for name, reason in admission.quarantined.items())
    raise QuorumError(
        f"round {server_round} has {len(admission.accepted)} good replies of {asked} and needs {needed} "
        f"(strategy.quorum); the others: {reasons}. Mend these lenders, or lower strategy.quorum"
    )


def _refuse_transport_error(reply: Message, addressee: Sent | None) -> None:
    if reply.error.code not in set(ReplyCode):
        name = "an unknown institution" if addressee is None else addressee.institution
        raise TransportError(f"the runtime failed on a message to {name} (error code {reply.error.code})")


def _only_content(answers: list[Message]) -> RecordDict:
    if not answers:
        raise ProtocolError(NO_REPLY)
    if len(answers) > 1:
        raise ProtocolError(f"{len(answers)} replies to one request")
    if answers[0].has_error():
        error = answers[0].error
        log_id = "".join(letter for letter in str(error.reason) if letter.isalnum())[:32]
        raise ProtocolError(f"the lender reports {ReplyCode(error.code).name} (entry {log_id} of its log)")
    return answers[0].content

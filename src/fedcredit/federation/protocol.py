"""What travels between the server and a lender; every record key of the federation lives here.

Requests carry the experiment's fingerprint, so that a lender refuses another experiment's message.
Replies are built from the typed dataclasses below and pass ``check_reply`` on their way out: only
keys on the allow-list of their message type and mode may leave a lender. A failure leaves as a code
and the id of an entry in the lender's own log, without any text of the exception.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, MessageType, RecordDict
from numpy.typing import NDArray

from fedcredit.model.arrays import (
    PARAMETERS,
    from_record,
    parameters_from_record,
    parameters_to_record,
    to_record,
)

ROSTER = f"{MessageType.QUERY}.roster"
TRAIN = MessageType.TRAIN
EVALUATE = MessageType.EVALUATE
SIMULATED = "simulated"
DEPLOYED = "deployed"

_ARRAYS = "arrays"
_FIELDS = "fields"
_FINGERPRINT = "fingerprint"
_ROUND = "server_round"
_INSTITUTION = "institution"
_CONTRACT = "contract_digest"
_LEDGER = "ledger_digest"
_PD = "pd"
_DEFAULT = "default"
_RELEASE = "fedcredit/release/1"

_ROSTER_KEYS = frozenset({(_FIELDS, _INSTITUTION), (_FIELDS, _CONTRACT)})
_TRAIN_KEYS = frozenset({(_ARRAYS, PARAMETERS), (_FIELDS, _ROUND), (_FIELDS, _LEDGER)})
_EVALUATE_KEYS = frozenset({(_ARRAYS, _PD), (_ARRAYS, _DEFAULT), (_FIELDS, _ROUND)})
REPLY_KEYS: Mapping[tuple[str, str], frozenset[tuple[str, str]]] = {
    (ROSTER, SIMULATED): _ROSTER_KEYS,
    (ROSTER, DEPLOYED): _ROSTER_KEYS,
    (TRAIN, SIMULATED): _TRAIN_KEYS,
    (TRAIN, DEPLOYED): _TRAIN_KEYS,
    (EVALUATE, SIMULATED): _EVALUATE_KEYS,
    (EVALUATE, DEPLOYED): frozenset(),
}


class ProtocolError(ValueError):
    """A message that is not as the protocol says; its text quotes no value of the message."""


class WrongExperimentError(ProtocolError):
    """A request of another experiment than the lender was built for."""


class ReplyCode(enum.IntEnum):
    """Why a lender could not do what was asked; Flower's own codes are all below 1000."""

    WRONG_EXPERIMENT = 1001
    UNREADABLE_REQUEST = 1002
    LEDGER_REFUSED = 1003
    FAILED = 1004


@dataclass(frozen=True, kw_only=True)
class RosterRequest:
    """Who are you, and under which contract?"""

    fingerprint: str


@dataclass(frozen=True, kw_only=True)
class ModelRequest:
    """Train from, or evaluate, these parameters ``[num_parameters]``."""

    fingerprint: str
    server_round: int
    parameters: NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class RosterReply:
    """A lender's name and the digest of its contract."""

    institution: str
    contract_digest: str


@dataclass(frozen=True, kw_only=True)
class TrainReply:
    """Local parameters ``[num_parameters]``, and the head of the lender's ledger (empty: none)."""

    server_round: int
    parameters: NDArray[np.float32]
    ledger_digest: str


@dataclass(frozen=True, kw_only=True)
class EvaluateReply:
    """Simulation only: predicted ``pd`` and ``default`` of the validation loans, ``[loans]``."""

    server_round: int
    pd: NDArray[np.float64]
    default: NDArray[np.int8]


def write_roster_request(request: RosterRequest) -> RecordDict:
    """Write a roster request.

    Args:
        request: the request.

    Returns:
        The content of its message.
    """
    return RecordDict({_FIELDS: ConfigRecord({_FINGERPRINT: request.fingerprint})})


def read_roster_request(content: RecordDict) -> RosterRequest:
    """Read a roster request.

    Args:
        content: the content of the message.

    Returns:
        The request.

    Raises:
        ProtocolError: if it is not one.
    """
    return RosterRequest(fingerprint=_text(content, _FINGERPRINT))


def write_model_request(request: ModelRequest) -> RecordDict:
    """Write a training or evaluation request.

    Args:
        request: the request.

    Returns:
        The content of its message.
    """
    fields = ConfigRecord({_FINGERPRINT: request.fingerprint, _ROUND: request.server_round})
    return RecordDict({_ARRAYS: parameters_to_record(request.parameters), _FIELDS: fields})


def read_model_request(content: RecordDict, *, num_parameters: int) -> ModelRequest:
    """Read a training or evaluation request.

    Args:
        content: the content of the message.
        num_parameters: how many parameters the network has.

    Returns:
        The request.

    Raises:
        ProtocolError: if it is not one.
    """
    return ModelRequest(
        fingerprint=_text(content, _FINGERPRINT),
        server_round=_round(content),
        parameters=_parameters(content, num_parameters),
    )


def write_roster_reply(reply: RosterReply) -> RecordDict:
    """Write a roster reply.

    Args:
        reply: the reply.

    Returns:
        The content of its message.
    """
    return RecordDict({_FIELDS: ConfigRecord({_INSTITUTION: reply.institution, _CONTRACT: reply.contract_digest})})


def read_roster_reply(content: RecordDict) -> RosterReply:
    """Read a roster reply.

    Args:
        content: the content of the message.

    Returns:
        The reply.

    Raises:
        ProtocolError: if it is not one.
    """
    check_reply(content, message_type=ROSTER, mode=SIMULATED)
    return RosterReply(institution=_text(content, _INSTITUTION), contract_digest=_text(content, _CONTRACT))


def write_train_reply(reply: TrainReply) -> RecordDict:
    """Write a training reply.

    Args:
        reply: the reply.

    Returns:
        The content of its message.
    """
    fields = ConfigRecord({_ROUND: reply.server_round, _LEDGER: reply.ledger_digest})
    return RecordDict({_ARRAYS: parameters_to_record(reply.parameters), _FIELDS: fields})


def read_train_reply(content: RecordDict, *, num_parameters: int) -> TrainReply:
    """Read a training reply.

    Args:
        content: the content of the message.
        num_parameters: how many parameters the network has.

    Returns:
        The reply; its parameters may still be non-finite or far away.

    Raises:
        ProtocolError: if it is not one.
    """
    check_reply(content, message_type=TRAIN, mode=SIMULATED)
    return TrainReply(
        server_round=_round(content),
        parameters=_parameters(content, num_parameters),
        ledger_digest=_text(content, _LEDGER),
    )


def write_evaluate_reply(reply: EvaluateReply) -> RecordDict:
    """Write an evaluation reply.

    Args:
        reply: the reply.

    Returns:
        The content of its message.
    """
    arrays: dict[str, NDArray[Any]] = {_PD: reply.pd.astype(np.float64), _DEFAULT: reply.default.astype(np.int8)}
    return RecordDict({_ARRAYS: to_record(arrays), _FIELDS: ConfigRecord({_ROUND: reply.server_round})})


def read_evaluate_reply(content: RecordDict) -> EvaluateReply:
    """Read an evaluation reply.

    Args:
        content: the content of the message.

    Returns:
        The reply.

    Raises:
        ProtocolError: if it is not one, or its numbers are no probabilities and labels.
    """
    check_reply(content, message_type=EVALUATE, mode=SIMULATED)
    pd: NDArray[Any] = _array(content, _PD, "float64")
    default: NDArray[Any] = _array(content, _DEFAULT, "int8")
    if len(pd) != len(default):
        raise ProtocolError("pd and default differ in length")
    if not bool(np.all((pd >= 0.0) & (pd <= 1.0))) or not bool(np.all((default == 0) | (default == 1))):
        raise ProtocolError("pd or default is out of range")
    return EvaluateReply(server_round=_round(content), pd=pd, default=default)


def check_reply(content: RecordDict, *, message_type: str, mode: str) -> None:
    """Check that a reply holds exactly the keys that may leave a lender.

    Args:
        content: the content of the reply.
        message_type: the type of the request that it answers.
        mode: ``"simulated"`` or ``"deployed"``.

    Raises:
        ProtocolError: if a key is not on the allow-list, or one is missing.
    """
    allowed = REPLY_KEYS.get((message_type, mode), frozenset())
    found = {(name, key) for name, record in content.items() for key in record.keys()}  # noqa: SIM118 - a plain view
    if found != allowed or len(content) != len({name for name, _ in allowed}) or not allowed:
        raise ProtocolError(f"a reply to {message_type} holds other keys than its allow-list in mode {mode}")


def release_digest(
    *, fingerprint: str, computed_by: str, release: str, server_round: int, parameters: NDArray[np.float32]
) -> str:
    """Name a private release by everything that decides it: the same digest, the same bytes.

    Args:
        fingerprint: the experiment's fingerprint.
        computed_by: the trainer that computes it; two trainers agree in all but the last bits.
        release: the name of the release, for example ``"federation"``.
        server_round: the round, from 1.
        parameters: incoming flat parameters, ``[num_parameters]``.

    Returns:
        A SHA-256, in hexadecimal.
    """
    digest = hashlib.sha256("\0".join((_RELEASE, fingerprint, computed_by, release, str(server_round), "")).encode())
    digest.update(parameters.astype("<f4", copy=False).tobytes())
    return digest.hexdigest()


def _parameters(content: RecordDict, num_parameters: int) -> NDArray[np.float32]:
    try:
        return parameters_from_record(_record(content), num_parameters=num_parameters)
    except ValueError as error:
        raise ProtocolError(str(error)) from error


def _array(content: RecordDict, name: str, dtype: str) -> NDArray[Any]:
    try:
        return from_record(_record(content), name, dtype=dtype)
    except ValueError as error:
        raise ProtocolError(str(error)) from error


def _record(content: RecordDict) -> ArrayRecord:
    record = content.get(_ARRAYS)
    if not isinstance(record, ArrayRecord):
        raise ProtocolError(f"the record {_ARRAYS} is missing")
    return record


def _field(content: RecordDict, key: str) -> object:
    fields = content.get(_FIELDS)
    if not isinstance(fields, ConfigRecord) or key not in fields:
        raise ProtocolError(f"the field {key} is missing")
    return fields[key]


def _text(content: RecordDict, key: str) -> str:
    value = _field(content, key)
    if not isinstance(value, str) or len(value) > 1000:
        raise ProtocolError(f"the field {key} is not a short text")
    return value


def _round(content: RecordDict) -> int:
    value = _field(content, _ROUND)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**32:
        raise ProtocolError(f"the field {_ROUND} is not a round number")
    return value

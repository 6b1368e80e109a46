from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from flwr.app import ConfigRecord, Error, Message, MetricRecord, RecordDict

from fedcredit.errors import InputError
from fedcredit.federation import protocol
from fedcredit.federation.flower_private import identify_process
from fedcredit.federation.gate import (
    UNKNOWN_SENDER,
    Admission,
    Expected,
    QuorumError,
    Sent,
    TransportError,
    admit,
    check_quorum,
    examine_training,
)
from fedcredit.federation.protocol import TRAIN, ReplyCode, TrainReply
from fedcredit.model.arrays import to_record

NAMES = ("anchor", "borough", "coast", "delta", "ember")
INCOMING = np.zeros(4, dtype=np.float32)
EXPECTED = Expected(server_round=3, parameters=INCOMING, norm_bound={"anchor": 10.0, "borough": None})


def round_of_messages() -> tuple[dict[str, Message], dict[str, Sent]]:
    identify_process()
    requests: dict[str, Message] = {}
    for position, name in enumerate(NAMES):
        message = Message(RecordDict(), position + 10, TRAIN)
        message.metadata.__dict__["_message_id"] = f"id {position}"
        requests[name] = message
    sent = {
        message.metadata.message_id: Sent(institution=name, node_id=message.metadata.dst_node_id)
        for name, message in requests.items()
    }
    return requests, sent


def content(value: float = 1.0, *, server_round: int = 3) -> RecordDict:
    parameters = np.full(4, value, dtype=np.float32)
    return protocol.write_train_reply(TrainReply(server_round=server_round, parameters=parameters, ledger_digest=""))


def admitted(replies: list[Message], sent: dict[str, Sent]) -> Admission[TrainReply]:
    return admit(replies, sent, lambda name, reply: examine_training(name, reply, EXPECTED))


def good_replies(requests: dict[str, Message]) -> list[Message]:
    return [Message(content(float(position)), reply_to=message) for position, message in enumerate(requests.values())]


def with_arrays(**arrays: np.ndarray) -> RecordDict:
    changed = content()
    changed["arrays"] = to_record(arrays)
    return changed


def with_metrics() -> RecordDict:
    changed = content()
    changed["metrics"] = MetricRecord({"num-examples": 1e9})
    return changed


BAD: dict[str, Callable[[], RecordDict]] = {
    "NaN": lambda: with_arrays(parameters=np.array([0, 0, 0, np.nan], dtype=np.float32)),
    "infinity": lambda: with_arrays(parameters=np.array([0, 0, 0, np.inf], dtype=np.float32)),
    "one number, to be broadcast": lambda: with_arrays(parameters=np.zeros(1, dtype=np.float32)),
    "too many numbers": lambda: with_arrays(parameters=np.zeros(5, dtype=np.float32)),
    "another dtype": lambda: with_arrays(parameters=np.zeros(4)),
    "another name": lambda: with_arrays(weights=np.zeros(4, dtype=np.float32)),
    "one array more": lambda: with_arrays(parameters=INCOMING, gradient=INCOMING),
    "a weight of its own": with_metrics,
    "another round": lambda: content(server_round=2),
    "far away": lambda: content(6.0),
    "nothing": RecordDict,
    "no arrays": lambda: RecordDict({"fields": ConfigRecord({"server_round": 3, "ledger_digest": ""})}),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_reply_is_quarantined_with_a_reason_and_the_others_pass(kind: str) -> None:
    requests, sent = round_of_messages()
    replies = good_replies(requests)
    replies[0] = Message(BAD[kind](), reply_to=requests["anchor"])
    admission = admitted(replies, sent)
    assert list(admission.accepted) == ["borough", "coast", "delta", "ember"]
    assert list(admission.quarantined) == ["anchor"]
    assert admission.quarantined["anchor"]


def test_a_lender_without_a_stated_bound_may_move_far() -> None:
    requests, sent = round_of_messages()
    admission = admitted([Message(content(1e20), reply_to=requests["borough"])], sent)
    assert "borough" in admission.accepted


def test_admission_does_not_depend_on_the_order_of_replies() -> None:
    requests, sent = round_of_messages()
    replies = good_replies(requests)
    replies[2] = Message(BAD["NaN"](), reply_to=requests["coast"])
    expected = admitted(replies, sent)
    for order in itertools.islice(itertools.permutations(replies), 0, 120, 7):
        admission = admitted(list(order), sent)
        assert list(admission.accepted) == list(expected.accepted)
        assert admission.quarantined == expected.quarantined
        for name, reply in admission.accepted.items():
            assert np.array_equal(reply.parameters, expected.accepted[name].parameters)


def test_a_missing_reply_is_named() -> None:
    requests, sent = round_of_messages()
    admission = admitted(good_replies(requests)[1:], sent)
    assert admission.quarantined == {"anchor": "no reply before the deadline"}


def test_a_lender_that_replies_twice_is_not_counted_at_all() -> None:
    requests, sent = round_of_messages()
    replies = good_replies(requests)
    admission = admitted([*replies, Message(content(2.0), reply_to=requests["anchor"])], sent)
    assert admission.quarantined == {"anchor": "2 replies to one request"}


def test_a_reply_to_no_request_or_from_another_node_is_not_counted() -> None:
    requests, sent = round_of_messages()
    stranger = Message(RecordDict(), 99, TRAIN)
    stranger.metadata.__dict__["_message_id"] = "stranger"
    forged = Message(content(2.0), reply_to=requests["anchor"])
    forged.metadata.__dict__["_src_node_id"] = 11
    admission = admitted([*good_replies(requests)[1:], Message(content(), reply_to=stranger), forged], sent)
    assert set(admission.quarantined) == {UNKNOWN_SENDER, "anchor"}
    assert list(admission.accepted) == list(NAMES[1:])


def test_a_lenders_error_is_quarantined_by_code_and_cleaned_log_entry() -> None:
    requests, sent = round_of_messages()
    error = Error(code=int(ReplyCode.FAILED), reason="ab12; row 7: income 48211\n" + "x" * 99)
    admission = admitted([*good_replies(requests)[1:], Message(error, reply_to=requests["anchor"])], sent)
    reason = admission.quarantined["anchor"]
    assert reason.startswith("the lender reports FAILED (entry ab12")
    assert len(reason) < 90
    assert "\n" not in reason


@pytest.mark.parametrize("code", [0, 2, 5, 8, 1000, 9999])
def test_an_error_that_is_not_a_lenders_ends_the_run(code: int) -> None:
    requests, sent = round_of_messages()
    with pytest.raises(TransportError, match=f"anchor \\(error code {code}\\)"):
        admitted([Message(Error(code=code, reason="secret"), reply_to=requests["anchor"])], sent)


def test_too_few_replies_end_in_one_clear_message() -> None:
    requests, sent = round_of_messages()
    admission = admitted(good_replies(requests)[3:], sent)
    check_quorum(admission, server_round=3, asked=5, needed=2)
    with pytest.raises(QuorumError) as caught:
        check_quorum(admission, server_round=3, asked=5, needed=3)
    assert isinstance(caught.value, InputError)
    text = str(caught.value)
    assert "round 3 has 2 good replies of 5 and needs 3" in text
    assert all(f"{name}: no reply" in text for name in NAMES[:3])
    assert "strategy.quorum" in text

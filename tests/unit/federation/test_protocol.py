from __future__ import annotations

import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcredit.federation import protocol
from fedcredit.federation.protocol import (
    EVALUATE,
    ROSTER,
    TRAIN,
    EvaluateReply,
    ModelRequest,
    ProtocolError,
    ReplyCode,
    RosterReply,
    RosterRequest,
    TrainReply,
    check_reply,
    release_digest,
)
from fedcredit.model.arrays import to_record

PARAMETERS = np.array([1.5, -2.0, 0.0], dtype=np.float32)
PD, DEFAULT = np.array([0.25, 0.5]), np.array([0, 1], dtype=np.int8)


def _replies() -> dict[str, RecordDict]:
    return {
        ROSTER: protocol.write_roster_reply(RosterReply(institution="anchor", contract_digest="ab")),
        TRAIN: protocol.write_train_reply(TrainReply(server_round=3, parameters=PARAMETERS, ledger_digest="cd")),
        EVALUATE: protocol.write_evaluate_reply(EvaluateReply(server_round=3, pd=PD, default=DEFAULT)),
    }


def test_requests_come_back_as_they_were_written() -> None:
    roster = protocol.read_roster_request(protocol.write_roster_request(RosterRequest(fingerprint="f")))
    assert roster == RosterRequest(fingerprint="f")
    request = ModelRequest(fingerprint="f", server_round=7, parameters=PARAMETERS)
    back = protocol.read_model_request(protocol.write_model_request(request), num_parameters=3)
    assert (back.fingerprint, back.server_round) == ("f", 7)
    assert np.array_equal(back.parameters, PARAMETERS)


def test_replies_come_back_as_they_were_written() -> None:
    replies = _replies()
    assert protocol.read_roster_reply(replies[ROSTER]) == RosterReply(institution="anchor", contract_digest="ab")
    train = protocol.read_train_reply(replies[TRAIN], num_parameters=3)
    assert (train.server_round, train.ledger_digest) == (3, "cd")
    assert np.array_equal(train.parameters, PARAMETERS)
    evaluate = protocol.read_evaluate_reply(replies[EVALUATE])
    assert np.array_equal(evaluate.pd, PD)
    assert np.array_equal(evaluate.default, DEFAULT)


@pytest.mark.parametrize("message_type", [ROSTER, TRAIN, EVALUATE])
def test_a_reply_passes_its_own_allow_list_and_no_other(message_type: str) -> None:
    for kind, content in _replies().items():
        if kind == message_type:
            check_reply(content, message_type=message_type, mode="simulated")
        else:
            with pytest.raises(ProtocolError, match="other keys"):
                check_reply(content, message_type=message_type, mode="simulated")


def test_a_deployed_lender_has_no_evaluation_reply_at_all() -> None:
    for content in (_replies()[EVALUATE], RecordDict()):
        with pytest.raises(ProtocolError, match="mode deployed"):
            check_reply(content, message_type=EVALUATE, mode="deployed")


@pytest.mark.parametrize("mode", ["", "Simulated", "audit"])
def test_an_unknown_mode_lets_nothing_out(mode: str) -> None:
    with pytest.raises(ProtocolError):
        check_reply(_replies()[TRAIN], message_type=TRAIN, mode=mode)


@pytest.mark.parametrize("message_type", [ROSTER, TRAIN, EVALUATE])
def test_one_more_key_in_any_record_of_a_reply_is_refused(message_type: str) -> None:
    for name in list(_replies()[message_type]):
        content = _replies()[message_type]
        check_reply(content, message_type=message_type, mode="simulated")
        record = content[name]
        if isinstance(record, ConfigRecord):
            record["num_loans"] = 1
        else:
            content[name] = to_record({**{key: PD for key in record}, "gradient": PD})
        with pytest.raises(ProtocolError):
            check_reply(content, message_type=message_type, mode="simulated")


KEYS = st.text(min_size=1, max_size=8)
RECORDS = st.one_of(
    st.builds(ConfigRecord, st.dictionaries(KEYS, st.one_of(st.text(max_size=8), st.integers(-9, 9)), max_size=3)),
    st.builds(MetricRecord, st.dictionaries(KEYS, st.floats(allow_nan=False), max_size=3)),
    st.builds(lambda names: to_record(dict.fromkeys(names, PD)), st.lists(KEYS, max_size=3)),
)


@settings(max_examples=500)
@given(
    message_type=st.sampled_from([ROSTER, TRAIN, EVALUATE]),
    mode=st.sampled_from(["simulated", "deployed"]),
    base=st.sampled_from([ROSTER, TRAIN, EVALUATE, ""]),
    extra=st.dictionaries(st.one_of(KEYS, st.sampled_from(["arrays", "fields"])), RECORDS, max_size=3),
    dropped=st.lists(st.sampled_from(["arrays", "fields"]), max_size=2),
)
def test_only_allow_listed_keys_leave(
    message_type: str, mode: str, base: str, extra: dict[str, ConfigRecord], dropped: list[str]
) -> None:
    content = _replies().get(base, RecordDict())
    for name in dropped:
        content.pop(name, None)
    for name, record in extra.items():
        content[name] = record
    found = {(name, key) for name, record in content.items() for key in record}
    has_empty_record = any(len(record) == 0 for record in content.values())
    if found and found == protocol.REPLY_KEYS[message_type, mode] and not has_empty_record:
        check_reply(content, message_type=message_type, mode=mode)
    else:
        with pytest.raises(ProtocolError) as caught:
            check_reply(content, message_type=message_type, mode=mode)
        text = f"a reply to {message_type} holds other keys than its allow-list in mode {mode}"
        assert str(caught.value) == text


@pytest.mark.parametrize(
    ("pd", "default"),
    [
        (np.array([0.5, np.nan]), DEFAULT),
        (np.array([0.5, 1.5]), DEFAULT),
        (np.array([-0.1, 0.5]), DEFAULT),
        (PD, np.array([0, 2], dtype=np.int8)),
        (PD[:1], DEFAULT),
    ],
)
def test_an_evaluation_reply_holds_probabilities_and_labels(pd: np.ndarray, default: np.ndarray) -> None:
    content = protocol.write_evaluate_reply(EvaluateReply(server_round=1, pd=pd, default=default))
    with pytest.raises(ProtocolError):
        protocol.read_evaluate_reply(content)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"server_round": "1"},
        {"server_round": -1},
        {"server_round": True},
        {"server_round": 2**32},
        {"fingerprint": 1},
    ],
)
def test_a_request_with_a_wrong_field_is_refused(fields: dict[str, int | str]) -> None:
    request = ModelRequest(fingerprint="f", server_round=1, parameters=PARAMETERS)
    content = protocol.write_model_request(request)
    content["fields"] = ConfigRecord({**({"fingerprint": "f", "server_round": 1} if fields else {}), **fields})
    with pytest.raises(ProtocolError, match="the field"):
        protocol.read_model_request(content, num_parameters=3)


def test_a_request_without_arrays_is_refused() -> None:
    content = RecordDict({"fields": ConfigRecord({"fingerprint": "f", "server_round": 1}), "arrays": ConfigRecord({})})
    with pytest.raises(ProtocolError, match="arrays"):
        protocol.read_model_request(content, num_parameters=3)
    content["arrays"] = ArrayRecord()
    with pytest.raises(ProtocolError, match="other arrays"):
        protocol.read_model_request(content, num_parameters=3)


def test_the_error_codes_are_not_flowers() -> None:
    from flwr.common.constant import ErrorCode

    flowers = {value for name, value in vars(ErrorCode).items() if name.isupper()}
    assert max(flowers) < 1000
    assert not flowers & set(ReplyCode)


def test_a_release_digest_depends_on_each_of_its_parts() -> None:
    given_parts = {
        "fingerprint": "f",
        "computed_by": "compiled on cpu",
        "release": "federation",
        "server_round": 1,
        "parameters": PARAMETERS,
    }
    other = {
        "fingerprint": "g",
        "computed_by": "vectorised on cpu",
        "release": "reference.alone",
        "server_round": 2,
        "parameters": -PARAMETERS,
    }
    digests = {release_digest(**{**given_parts, key: other[key]}) for key in other}
    digests.add(release_digest(**given_parts))
    assert len(digests) == 6


def test_a_release_digest_is_pinned() -> None:
    digest = release_digest(
        fingerprint="f", computed_by="compiled on cpu", release="federation", server_round=1, parameters=PARAMETERS
    )
    assert digest == release_digest(
        fingerprint="f",
        computed_by="compiled on cpu",
        release="federation",
        server_round=1,
        parameters=PARAMETERS.astype(">f4"),
    )
    assert digest == PINNED_DIGEST


# SHA-256 of b"fedcredit/release/1\0f\0compiled on cpu\0federation\x001\0" followed by the three float32 numbers.
PINNED_DIGEST = "f10565637fc9a784e21b6c7feffe07f7f5767a4e480686df9860b4c59b7f95fa"

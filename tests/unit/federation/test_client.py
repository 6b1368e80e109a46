from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import synthetic_federation as synthetic
from flwr.app import ConfigRecord, Context, Message, MetricRecord, RecordDict
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fedcredit.federation import client, protocol
from fedcredit.federation.client import Lender, keep_lender_log, make_client_app
from fedcredit.federation.flower_private import identify_process
from fedcredit.federation.protocol import EVALUATE, ROSTER, TRAIN, ModelRequest, ReplyCode
from fedcredit.model.arrays import to_record
from fedcredit.privacy.accounting.ledger import PrivacyLedger, Release, read_ledger
from fedcredit.training.contract import LocalOutcome

NAME = "coast lender"
Send = Callable[..., Message]


@dataclass
class Spy:
    """A trainer that writes down what happens, in turn with the ledger."""

    events: list[str] = field(default_factory=list)
    num_noise_draws: int = 2
    failure: Exception | None = None

    def __call__(self, network: object, parameters: NDArray[np.float32], *_: object, **__: object) -> LocalOutcome:
        self.events.append("gradient")
        if self.failure is not None:
            raise self.failure
        return LocalOutcome(parameters=parameters + np.float32(1), num_noise_draws=self.num_noise_draws)


@pytest.fixture
def lender(tmp_path: Path) -> Lender:
    prepared = synthetic.prepare(synthetic.small_experiment())
    return synthetic.lenders(prepared, ledgers=synthetic.open_ledgers(prepared, folder=tmp_path))[NAME]


@pytest.fixture
def ledger_file(tmp_path: Path) -> Path:
    return tmp_path / "ledger" / f"{NAME}.jsonl"


@pytest.fixture(autouse=True)
def _lender_log_kept(tmp_path: Path) -> Iterator[None]:
    keep_lender_log(tmp_path / "lenders.log")
    yield
    for handler in list(client.LOGGER.handlers):
        client.LOGGER.removeHandler(handler)
        handler.close()
    client.LOGGER.propagate = True


def ask(lender: Lender, message_type: str, content: RecordDict) -> Message:
    identify_process()
    app = make_client_app(lambda context: lender)
    return app(Message(content, 1, message_type), Context(1, 1, {}, RecordDict(), {}))


def request(lender: Lender, *, fingerprint: str = synthetic.FINGERPRINT, server_round: int = 1) -> RecordDict:
    parameters = np.zeros(lender.network.num_parameters, dtype=np.float32)
    return protocol.write_model_request(
        ModelRequest(fingerprint=fingerprint, server_round=server_round, parameters=parameters)
    )


def test_the_roster_reply_is_name_and_contract_digest(lender: Lender) -> None:
    content = protocol.write_roster_request(protocol.RosterRequest(fingerprint=synthetic.FINGERPRINT))
    reply = protocol.read_roster_reply(ask(lender, ROSTER, content).content)
    assert reply == protocol.RosterReply(institution=NAME, contract_digest=lender.contract_digest)


def test_the_release_is_on_disk_before_the_first_gradient(
    lender: Lender, ledger_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spy = Spy()
    seen: list[int] = []

    def trainer(*arguments: object, **settings: object) -> LocalOutcome:
        seen.append(len(read_ledger(ledger_file).entries))
        return spy(*arguments, **settings)

    reply = ask(replace(lender, trainer=trainer), TRAIN, request(lender))
    assert seen == [1]
    kinds = [entry.kind for entry in read_ledger(ledger_file).entries]
    assert kinds == ["intent", "commit"]
    assert protocol.read_train_reply(reply.content, num_parameters=lender.network.num_parameters).ledger_digest == (
        read_ledger(ledger_file).head
    )


def test_the_digest_of_a_release_is_that_of_its_inputs(lender: Lender, ledger_file: Path) -> None:
    ask(lender, TRAIN, request(lender, server_round=5))
    release: Release = read_ledger(ledger_file).entries[0].release
    assert (release.name, release.server_round, release.event) == ("federation", 5, lender.event)
    assert release.digest == protocol.release_digest(
        fingerprint=lender.fingerprint,
        computed_by=lender.computed_by,
        release="federation",
        server_round=5,
        parameters=np.zeros(lender.network.num_parameters, dtype=np.float32),
    )


def test_the_same_request_again_gives_the_same_bits_and_is_free(lender: Lender, ledger_file: Path) -> None:
    first, second = (ask(lender, TRAIN, request(lender)).content for _ in range(2))
    assert first["arrays"] == second["arrays"]
    assert read_ledger(ledger_file).events()[0].num_steps == 2


def test_another_round_is_charged_again(lender: Lender, ledger_file: Path) -> None:
    for server_round in (1, 2):
        ask(lender, TRAIN, request(lender, server_round=server_round))
    assert read_ledger(ledger_file).events()[0].num_steps == 4


def test_a_failure_after_the_intent_stays_charged_in_full(lender: Lender, ledger_file: Path) -> None:
    reply = ask(replace(lender, trainer=Spy(failure=ValueError(synthetic.SECRET))), TRAIN, request(lender))
    assert reply.error.code == ReplyCode.FAILED
    assert read_ledger(ledger_file).events()[0].num_steps == 2


@pytest.mark.parametrize("draws", [0, 1, 3])
def test_noise_drawn_another_number_of_times_never_leaves(lender: Lender, draws: int) -> None:
    reply = ask(replace(lender, trainer=Spy(num_noise_draws=draws)), TRAIN, request(lender))
    assert reply.error.code == ReplyCode.LEDGER_REFUSED


def test_a_closed_or_missing_ledger_refuses_before_any_gradient(lender: Lender) -> None:
    spy = Spy()
    ledger = lender.ledger
    assert isinstance(ledger, PrivacyLedger)
    ledger.close()
    for broken in (lender, replace(lender, ledger=None)):
        reply = ask(replace(broken, trainer=spy), TRAIN, request(lender))
        assert reply.error.code == ReplyCode.LEDGER_REFUSED
    assert spy.events == []


def test_without_privacy_there_is_no_ledger_event(tmp_path: Path) -> None:
    prepared = synthetic.prepare(synthetic.small_experiment(private=False))
    lender = synthetic.lenders(prepared, ledgers={})[NAME]
    reply = ask(lender, TRAIN, request(lender))
    train = protocol.read_train_reply(reply.content, num_parameters=lender.network.num_parameters)
    assert train.ledger_digest == ""
    assert not (tmp_path / "ledger" / f"{NAME}.jsonl").exists()


def test_evaluation_scores_the_validation_loans(lender: Lender) -> None:
    reply = protocol.read_evaluate_reply(ask(lender, EVALUATE, request(lender)).content)
    assert np.array_equal(reply.default, lender.institution.validation.default)
    assert np.allclose(reply.pd, 0.5)


def test_a_deployed_lender_does_not_evaluate(lender: Lender) -> None:
    reply = ask(replace(lender, mode="deployed"), EVALUATE, request(lender))
    assert reply.error.code == ReplyCode.UNREADABLE_REQUEST


@pytest.mark.parametrize("message_type", [TRAIN, EVALUATE, ROSTER])
def test_a_request_of_another_experiment_is_refused_unread(lender: Lender, message_type: str) -> None:
    spy = Spy()
    reply = ask(replace(lender, trainer=spy), message_type, request(lender, fingerprint="another"))
    assert reply.error.code == ReplyCode.WRONG_EXPERIMENT
    assert spy.events == []


class QuotingError(Exception):
    def __str__(self) -> str:
        return synthetic.SECRET


@pytest.mark.parametrize(
    "failure",
    [
        ValueError(synthetic.SECRET),
        KeyError(synthetic.SECRET),
        MemoryError(synthetic.SECRET),
        QuotingError(),
        OSError(5, synthetic.SECRET),
    ],
)
def test_an_exception_leaves_as_a_code_and_a_log_entry(lender: Lender, tmp_path: Path, failure: Exception) -> None:
    reply = ask(replace(lender, trainer=Spy(failure=failure)), TRAIN, request(lender))
    assert not reply.has_content()
    assert reply.error.code == ReplyCode.FAILED
    log_id = reply.error.reason
    assert log_id is not None
    assert log_id.isalnum()
    assert len(log_id) == 12
    log = (tmp_path / "lenders.log").read_text()
    assert log_id in log
    assert synthetic.SECRET in log


def test_a_handler_that_adds_a_key_sends_nothing(lender: Lender, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = client.write_train_reply

    def leaky(reply: protocol.TrainReply) -> RecordDict:
        content = honest(reply)
        content["metrics"] = MetricRecord({"loss": 0.5})
        return content

    monkeypatch.setattr(client, "write_train_reply", leaky)
    reply = ask(lender, TRAIN, request(lender))
    assert not reply.has_content()
    assert reply.has_error()


KEYS = st.text(min_size=1, max_size=6)
VALUES = st.one_of(st.text(max_size=6), st.integers(-5, 5), st.floats(allow_nan=True), st.binary(max_size=4))
RECORDS = st.one_of(
    st.builds(ConfigRecord, st.dictionaries(st.one_of(KEYS, st.sampled_from(["fingerprint", "server_round"])), VALUES)),
    st.builds(
        lambda names, size: to_record(dict.fromkeys(names, np.zeros(size, dtype=np.float32))),
        st.lists(st.one_of(KEYS, st.just("parameters")), max_size=2),
        st.integers(0, 50),
    ),
)
CONTENTS = st.dictionaries(st.one_of(KEYS, st.sampled_from(["arrays", "fields"])), RECORDS, max_size=3)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=CONTENTS, message_type=st.sampled_from([TRAIN, EVALUATE, ROSTER]), takes_request=st.booleans())
def test_whatever_arrives_only_allow_listed_keys_leave(
    lender: Lender, content: dict[str, ConfigRecord], message_type: str, takes_request: bool
) -> None:
    logging.disable(logging.CRITICAL)
    try:
        records = RecordDict(dict(request(lender)) if takes_request else {})
        for name, record in content.items():
            records[name] = record
        reply = ask(lender, message_type, records)
    finally:
        logging.disable(logging.NOTSET)
    if reply.has_error():
        assert reply.error.code in set(ReplyCode)
        assert str(reply.error.reason).isalnum()
    else:
        protocol.check_reply(reply.content, message_type=message_type, mode="simulated")

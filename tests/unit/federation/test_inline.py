from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import synthetic_federation as synthetic
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

from fedcredit.federation.runtimes.inline import InlineGrid
from fedcredit.model.arrays import parameters_to_record


def echo_grid(received: list[RecordDict]) -> InlineGrid:
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        received.append(message.content)
        return Message(message.content, reply_to=message)

    return InlineGrid(app, ("anchor", "borough"))


def request(node_id: int, content: RecordDict) -> Message:
    return Message(content, node_id, "train", group_id="1")


def test_records_are_copied_on_both_ways() -> None:
    received: list[RecordDict] = []
    grid = echo_grid(received)
    record = ConfigRecord({"values": [1, 2]})
    content = RecordDict({"fields": record, "arrays": parameters_to_record(np.zeros(3, dtype=np.float32))})
    replies = grid.send_and_receive([request(node, content) for node in grid.get_node_ids()])
    seen = [content, *received, *(reply.content for reply in replies)]
    assert all(each == content for each in seen)
    received[0]["arrays"].clear()
    fields = received[0]["fields"]["values"]
    assert isinstance(fields, list)
    fields.append(3)
    assert all(each["fields"]["values"] == [1, 2] for each in (content, received[1], replies[0].content))
    assert all(len(each["arrays"]) == 1 for each in (content, received[1], replies[0].content))


def test_each_reply_answers_its_request_once() -> None:
    grid = echo_grid([])
    messages = [grid.create_message(RecordDict(), "train", node, "1") for node in grid.get_node_ids()]
    ids = grid.push_messages(messages)
    assert len(set(ids)) == 2
    replies = grid.pull_messages(reversed(ids))
    assert [reply.metadata.reply_to_message_id for reply in replies] == list(reversed(ids))
    assert [reply.metadata.src_node_id for reply in replies] == list(reversed(grid.get_node_ids()))
    assert grid.pull_messages(ids) == []


def test_nothing_sent_nothing_received() -> None:
    assert echo_grid([]).send_and_receive([]) == []


def test_there_is_no_flower_run() -> None:
    grid = echo_grid([])
    grid.set_run(None)
    with pytest.raises(RuntimeError, match="no Flower run"):
        _ = grid.run


def test_runs_in_threads_do_not_disturb_each_other(tmp_path: Path) -> None:
    alone = synthetic.run_here(synthetic.small_experiment(), tmp_path / "alone").parameters
    results: dict[int, np.ndarray] = {}

    def run(number: int) -> None:
        results[number] = synthetic.run_here(synthetic.small_experiment(), tmp_path / str(number)).parameters

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {array.tobytes() for array in results.values()} == {alone.tobytes()}
    assert len(results) == 4

"""One test per name outside Flower's public API, so that an upgrade fails here, and loudly."""

from __future__ import annotations

import inspect
import logging
import os
import subprocess
import sys

from flwr.app import Context, Message, RecordDict
from flwr.supercore.task_identity import TaskIdentity

import fedcredit
from fedcredit.federation import flower_private
from fedcredit.federation.flower_private import identify_process, quieten_flower


def test_a_request_needs_the_task_identity_and_gets_it() -> None:
    identify_process()
    message = Message(RecordDict(), 7, "train")
    assert message.metadata.src_node_id == TaskIdentity.node_id == flower_private.INLINE_IDENTITY
    assert message.metadata.dst_node_id == 7


def test_a_message_id_can_be_set_and_a_reply_refers_to_it() -> None:
    identify_process()
    message = Message(RecordDict(), 7, "train")
    message.metadata.__dict__["_message_id"] = "ours"
    reply = Message(RecordDict(), reply_to=message)
    assert reply.metadata.reply_to_message_id == "ours"
    assert reply.metadata.src_node_id == 7


def test_run_simulation_takes_what_we_give() -> None:
    from flwr.simulation import run_simulation

    assert {"server_app", "client_app", "num_supernodes", "backend_config"} <= set(
        inspect.signature(run_simulation).parameters
    )


def test_a_context_takes_what_we_give() -> None:
    context = Context(1, 2, {"institution": "anchor"}, RecordDict(), {})
    assert (context.node_id, context.node_config["institution"]) == (2, "anchor")


def test_flowers_logger_is_quiet() -> None:
    quieten_flower()
    assert not logging.getLogger("flwr").isEnabledFor(logging.WARNING)


def test_importing_flower_through_the_package_leaves_telemetry_off() -> None:
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("FLWR_", "RAY_"))}
    clean["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    code = (
        "import fedcredit.federation.flower_private, os;"
        "from flwr.supercore import telemetry;"
        "print(os.environ['FLWR_TELEMETRY_ENABLED'], telemetry.FLWR_TELEMETRY_ENABLED)"
    )
    done = subprocess.run([sys.executable, "-c", code], env=clean, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "0"]
    assert fedcredit.__version__

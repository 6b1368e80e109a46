"""The only module that uses names of Flower outside its public API; each has a test of its own.

Public are ``flwr.app``, ``flwr.clientapp`` and ``flwr.serverapp``. Three more things are needed: a
request reads the process-wide ``TaskIdentity``, which only Flower's own runtimes set,
``run_simulation`` is the one way into the simulation runtime from a process of our own, and the size
of a message on the wire is that of its protobuf form.
"""

from __future__ import annotations

import logging
from typing import Any

from flwr.app import RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp
from flwr.supercore.task_identity import TaskIdentity

INLINE_IDENTITY = 1


def identify_process() -> None:
    """Let this process create requests: give it the identity of a run that Flower does not know of.

    All inline grids of a process share it; it is a constant, so threads do not disturb each other.
    """
    TaskIdentity.run_id = TaskIdentity.node_id = TaskIdentity.task_id = INLINE_IDENTITY


def quieten_flower() -> None:
    """Let Flower's logger speak of errors only, once (importing Flower sets it to DEBUG)."""
    logger = logging.getLogger("flwr")
    logger.setLevel(logging.ERROR)
    logger.propagate = False


def wire_bytes(content: RecordDict) -> int:
    """Measure a message's content as it travels between machines.

    Args:
        content: the content.

    Returns:
        Bytes of its protobuf form, without the envelope and before transport encryption.
    """
    from flwr.common.serde import recorddict_to_proto

    return int(recorddict_to_proto(content).ByteSize())


def simulate(
    server_app: ServerApp, client_app: ClientApp, *, num_nodes: int, num_workers: int, init: dict[str, Any]
) -> None:
    """Run a federation in Flower's simulation runtime on Ray; returns when it is over.

    Args:
        server_app: the server's side; its result is handed over by a closure.
        client_app: the lenders' side, sent to the workers with every message.
        num_nodes: how many lenders.
        num_workers: how many worker processes of one processor each.
        init: further arguments of ``ray.init``.
    """
    from flwr.simulation import run_simulation

    run_simulation(
        server_app=server_app,
        client_app=client_app,
        num_supernodes=num_nodes,
        backend_config={
            "client_resources": {"num_cpus": 1, "num_gpus": 0.0},
            "init_args": {"num_cpus": num_workers, **init},
        },
    )

"""The process of the Ray runtime: ``python -m fedcredit.federation.runtimes.ray_process``.

Reads a task (JSON) from standard input, and writes one JSON object a line to standard output:
``{"round": ...}`` for each round, then ``{"done": ...}`` or ``{"error": ...}``. Whatever Ray and
Flower print goes to standard error. Nothing heavy is imported before the network is isolated.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from fedcredit.errors import InputError
from fedcredit.federation.runtimes.isolation import enter_loopback_namespace

if TYPE_CHECKING:
    from fedcredit.federation.server import FederationResult

_STARTED = time.monotonic()


def main() -> int:
    """Run one federation.

    Returns:
        The exit code: 0, 2 for a mistake that the user can mend, 1 for a failed runtime.
    """
    lines = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    task = json.load(sys.stdin)
    try:
        if task["isolate"]:
            enter_loopback_namespace()
        _federate(task, lines)
    except InputError as error:
        _say(lines, error={"kind": "input", "text": str(error)})
        return 2
    except Exception as error:
        traceback.print_exc()
        _say(lines, error={"kind": "runtime", "text": f"{type(error).__name__}: {error}"})
        return 1
    return 0


def _federate(task: dict[str, Any], lines: TextIO) -> None:
    """Prepare before the heavy imports, so that a mistake is told at once."""
    import importlib

    from fedcredit.experiment.spec import Experiment

    source: Any = importlib.import_module(task["source"])
    prepared = source.prepare(Experiment.model_validate_json(json.dumps(task["experiment"])))
    result, startup_seconds = _simulate(task, prepared, lines)

    import numpy as np

    for name in ("parameters", "last_iterate"):
        np.save(Path(task["scratch"]) / f"{name}.npy", getattr(result, name), allow_pickle=False)
    _say(lines, done={"startup_seconds": startup_seconds})


def _simulate(task: dict[str, Any], prepared: Any, lines: TextIO) -> tuple[FederationResult, float]:  # noqa: ANN401
    from flwr.app import Context
    from flwr.serverapp import Grid, ServerApp
    from pydantic import TypeAdapter

    from fedcredit.federation.checkpoint import Checkpoints, Owner, read_checkpoint
    from fedcredit.federation.client import make_client_app
    from fedcredit.federation.flower_private import quieten_flower, simulate
    from fedcredit.federation.rounds import RoundRecord
    from fedcredit.federation.runtimes.ray_lenders import FindLender
    from fedcredit.federation.server import federate

    quieten_flower()
    adapter: TypeAdapter[RoundRecord] = TypeAdapter(RoundRecord)
    folder, owner = Path(task["folder"]), None if task["owner"] is None else Owner(**task["owner"])
    start = read_checkpoint(folder, owner) if task["resume"] and owner is not None else None
    keep = None if owner is None else Checkpoints(folder, owner)
    served: list[tuple[FederationResult, float]] = []
    server_app = ServerApp()

    @server_app.main()
    def serve(grid: Grid, context: Context) -> None:
        waited = time.monotonic() - _STARTED
        result = federate(
            grid,
            experiment=prepared.experiment,
            fingerprint=prepared.fingerprint,
            contracts=prepared.contracts,
            network=prepared.network,
            initial=prepared.initial,
            noise_multiplier=prepared.plan.noise_multiplier,
            on_round=lambda record: _say(lines, round=adapter.dump_python(record, mode="json")),
            start=start,
            keep=keep,
            num_rounds=prepared.num_rounds,
            server_noise=_server_noise(task, prepared),
        )
        served.append((result, waited + result.startup_seconds))

    find = FindLender(experiment=json.dumps(task["experiment"]), folder=task["folder"], source=task["source"])
    simulate(
        server_app,
        make_client_app(find),
        num_nodes=len(prepared.contracts.institutions),
        num_workers=task["num_workers"],
        init=_ray_settings(task["scratch"]),
    )
    return served[0]


def _server_noise(task: dict[str, Any], prepared: Any) -> Any:  # noqa: ANN401
    """The server's noise and its own ledger, where the unit is an institution; lenders hold theirs in the workers."""
    if not prepared.experiment.privacy.is_central:
        return None
    import importlib

    source: Any = importlib.import_module(task["source"])
    return source.server_noise(prepared, ledgers=source.open_ledgers(prepared, folder=Path(task["folder"])))


def _ray_settings(scratch: str) -> dict[str, Any]:
    """Keep Ray on loopback and its files in the scratch folder, which disappears with the run."""
    return {
        "_node_ip_address": "127.0.0.1",
        "_temp_dir": str(Path(scratch) / "ray"),
        "include_dashboard": False,
        "log_to_driver": False,
        "logging_level": "ERROR",
        "object_store_memory": 256 * 1024 * 1024,
    }


def _say(lines: TextIO, **line: object) -> None:
    lines.write(json.dumps(line) + "\n")
    lines.flush()


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    os._exit(code)  # a thread of a failed runtime may still wait; the parent has been told all

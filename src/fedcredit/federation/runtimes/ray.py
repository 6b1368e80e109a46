"""The Ray runtime: Flower's simulation runtime in a child process, and what it says turned into a result.

The child is the only process that this module starts; it leads a process group of its own, which is
ended when the run is over, however it ended. No wait is without a limit. A start takes seconds
(workers import torch), so this runtime pays off only where local rounds are long.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np
from pydantic import TypeAdapter

from fedcredit.errors import InputError
from fedcredit.experiment.spec import Experiment, RayRuntime
from fedcredit.federation.checkpoint import Owner
from fedcredit.federation.gate import TransportError
from fedcredit.federation.rounds import RoundRecord
from fedcredit.federation.server import FederationResult
from fedcredit.federation.snapshot import Snapshot

PREPARE = "fedcredit.experiment.prepare"
RAY_LOG = "ray.log"
STARTUP_LIMIT_SECONDS = 600.0
_GRACE_SECONDS = 20.0
_SHORT_PATH = 45
_Lines = queue.Queue[str | None]


def run_ray(
    experiment: Experiment,
    *,
    folder: Path,
    on_round: Callable[[RoundRecord], None] | None = None,
    source: str = PREPARE,
    startup_limit_seconds: float = STARTUP_LIMIT_SECONDS,
    owner: Owner | None = None,
    start: Snapshot | None = None,
) -> FederationResult:
    """Run a federation on Ray.

    Ledgers are written by the workers into ``folder``; the child's output is kept in ``ray.log``
    there, and the lenders' own failures in ``lenders.log``.

    Args:
        experiment: the experiment.
        folder: the results folder, which exists.
        on_round: told each round's record as it arrives.
        source: the module that rebuilds the lenders in every worker, by ``prepare(experiment)``,
            ``open_ledgers(prepared, folder=...)`` and ``lenders(prepared, ledgers=...)``.
        startup_limit_seconds: how long the child may be silent before its first round.
        owner: whose checkpoints the child keeps in ``folder``; none are kept by default.
        start: what the checkpoint in ``folder`` holds, from where the child goes on; round 1 by default.

    Returns:
        The result, with the rounds of ``start``; its ``startup_seconds`` run from the start of the child.

    Raises:
        InputError: if the child reports a mistake that the user can mend.
        TransportError: if the runtime fails or is silent for too long.
    """
    runtime = experiment.runtime if isinstance(experiment.runtime, RayRuntime) else RayRuntime()
    with tempfile.TemporaryDirectory(prefix="fc-", dir=_short_temporary_folder()) as scratch:
        task = {
            "experiment": json.loads(experiment.model_dump_json()),
            "folder": str(folder.resolve()),
            "source": source,
            "scratch": scratch,
            "isolate": runtime.isolate,
            "num_workers": runtime.num_workers,
            "owner": None if owner is None else vars(owner),
            "resume": start is not None,
        }
        round_limit = 2.0 * experiment.strategy.deadline_seconds + 60.0
        process = _start(task, folder / RAY_LOG)
        try:
            rounds, seconds = _hear(process, folder / RAY_LOG, on_round, startup_limit_seconds, round_limit)
            _await_end(process)
        finally:
            _end_group(process)
        return FederationResult(
            parameters=np.load(Path(scratch) / "parameters.npy", allow_pickle=False),
            last_iterate=np.load(Path(scratch) / "last_iterate.npy", allow_pickle=False),
            rounds=(*(() if start is None else start.rounds), *rounds),
            startup_seconds=seconds,
        )


def _start(task: dict[str, Any], log: Path) -> subprocess.Popen[str]:
    environment = {key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"}
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    environment.update(OMP_NUM_THREADS="1", RAY_USAGE_STATS_ENABLED="0", FLWR_TELEMETRY_ENABLED="0")
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "fedcredit.federation.runtimes.ray_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=output,
            text=True,
            env=environment,
            start_new_session=True,
        )
    with _pipe(process.stdin) as stream:
        stream.write(json.dumps(task))
    return process


def _hear(
    process: subprocess.Popen[str],
    log: Path,
    on_round: Callable[[RoundRecord], None] | None,
    first_limit: float,
    round_limit: float,
) -> tuple[tuple[RoundRecord, ...], float]:
    """Follow the child's lines to its last one, and return the rounds and the start-up seconds."""
    lines = _read_lines(process)
    adapter: TypeAdapter[RoundRecord] = TypeAdapter(RoundRecord)
    rounds: list[RoundRecord] = []
    while True:
        said = _next(lines, round_limit if rounds else first_limit, log)
        if "error" in said:
            _fail(said["error"], log)
        if "done" in said:
            return tuple(rounds), float(said["done"]["startup_seconds"])
        rounds.append(adapter.validate_python(said["round"]))
        if on_round is not None:
            on_round(rounds[-1])


def _fail(error: dict[str, str], log: Path) -> None:
    if error["kind"] == "input":
        raise InputError(error["text"])
    raise TransportError(f"the Ray runtime failed: {error['text']}; its output is in {log}")


def _next(lines: _Lines, limit: float, log: Path) -> dict[str, Any]:
    try:
        line = lines.get(timeout=limit)
    except queue.Empty:
        raise TransportError(f"the Ray runtime said nothing for {limit:g} s and was ended; see {log}") from None
    if line is None:
        raise TransportError(f"the Ray runtime ended without a result; see {log}")
    said: dict[str, Any] = json.loads(line)
    return said


def _read_lines(process: subprocess.Popen[str]) -> _Lines:
    lines: _Lines = queue.Queue()

    def read() -> None:
        with _pipe(process.stdout) as stream:
            for line in stream:
                lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    return lines


def _await_end(process: subprocess.Popen[str]) -> None:
    """Wait a moment for the child to end, without reaping it: its number stays its own until then."""
    deadline = time.monotonic() + _GRACE_SECONDS
    while time.monotonic() < deadline and not os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
        time.sleep(0.02)


def _end_group(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _pipe(stream: IO[str] | None) -> IO[str]:
    if stream is None:
        raise RuntimeError("the child was started without a pipe")
    return stream


def _short_temporary_folder() -> str | None:
    """Ray's socket paths must stay below 108 characters, so a long temporary folder is not used."""
    folder = tempfile.gettempdir()
    return folder if len(folder) <= _SHORT_PATH else "/tmp"

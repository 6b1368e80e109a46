"""Child processes and what they cost: CPU of the whole tree, wall, peak memory. Linux only.

A child reads its task as JSON from standard input and writes its report to ``task["report"]``. It
leads a session of its own; whatever it leaves behind is adopted by this process, charged, and ended.
One child runs at a time.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parents[1]
_SOURCE = TESTS.parent / "src"
_STARTED = "FEDCREDIT_BENCHMARK_STARTED"
_BLAS_CHOICES = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "OPENBLAS_VERBOSE", "MKL_ENABLE_INSTRUCTIONS")
_SUBREAPER = 36
_TICKS = os.sysconf("SC_CLK_TCK")
_TAIL = 3000


class ChildFailedError(RuntimeError):
    """A child ended badly or took too long; the text ends with the last it said."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a child cost from its start to the end of everything it started, and its own report."""

    wall: float
    cpu: float
    peak_mb: float
    report: dict[str, Any]


class Clock:
    """A child's marks: wall since the parent started it, CPU of the child and all below it."""

    def __init__(self) -> None:
        self._started = float(os.environ.get(_STARTED, time.monotonic()))
        self.marks: dict[str, dict[str, float]] = {}

    def mark(self, name: str) -> None:
        """Take the time."""
        self.marks[name] = {"wall": time.monotonic() - self._started, "cpu": tree_cpu()}


def steady(marks: Mapping[str, Mapping[str, float]], what: str, *, num_rounds: int, whole: int) -> float:
    """The cost of ``whole`` rounds, from the mark of round 1 to that of the last of ``num_rounds``."""
    return (marks["last round"][what] - marks["round 1"][what]) * whole / (num_rounds - 1)


def read_task() -> dict[str, Any]:
    """A child's task."""
    task: dict[str, Any] = json.load(sys.stdin)
    return task


def write_report(task: Mapping[str, Any], clock: Clock, **result: object) -> None:
    """Hand a child's report over."""
    own_peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0
    content = {"marks": clock.marks, "own_peak_mb": own_peak, **result}
    Path(task["report"]).write_text(json.dumps(content), encoding="utf-8")


def run_module(
    module: str,
    task: Mapping[str, object],
    *,
    scratch: Path,
    limit: float,
    environment: Mapping[str, str] | None = None,
) -> Cost:
    """Run ``python -m module`` as a measured child with a task."""
    report = scratch / "report.json"
    report.unlink(missing_ok=True)
    given = json.dumps({**task, "report": str(report), "scratch": str(scratch)})
    command = [sys.executable, "-m", module]
    cost = run_command(command, scratch=scratch, limit=limit, given=given, environment=environment)
    content = json.loads(report.read_text(encoding="utf-8"))
    peak = max(cost.peak_mb, content["own_peak_mb"])
    cpu = max(cost.cpu, max(mark["cpu"] for mark in content["marks"].values()))
    return Cost(wall=cost.wall, cpu=cpu, peak_mb=peak, report=content)


def run_command(
    command: Sequence[str],
    *,
    scratch: Path,
    limit: float,
    given: str = "",
    environment: Mapping[str, str] | None = None,
) -> Cost:
    """Run a command as a measured child; its output comes back as ``report["output"]``."""
    _adopt_orphans()
    with tempfile.TemporaryFile() as task, (scratch / "output.txt").open("w+b") as output:
        task.write(given.encode())
        task.seek(0)
        started = time.monotonic()
        process = subprocess.Popen(
            command, stdin=task, stdout=output, stderr=output, start_new_session=True,
            env={**child_environment(scratch), _STARTED: repr(started), **(environment or {})},
        )  # fmt: skip
        try:
            status, cpu, peak_mb = _await(process.pid, started + limit)
            wall = time.monotonic() - started
            process.returncode = os.waitstatus_to_exitcode(status)
        finally:
            left_behind = _end_everything(process)
        output.seek(0)
        said = output.read().decode(errors="replace")
    if process.returncode != 0:
        raise ChildFailedError(f"{' '.join(command)} ended with {process.returncode}:\n{said[-_TAIL:]}")
    return Cost(wall=wall, cpu=cpu + left_behind, peak_mb=peak_mb, report={"output": said})


def child_environment(scratch: Path) -> dict[str, str]:
    """One thread, our sources first, caches in the scratch folder, and the BLAS library's own choice of kernels."""
    environment = {key: value for key, value in os.environ.items() if key not in (*_BLAS_CHOICES, "RAY_ADDRESS")}
    environment["PYTHONPATH"] = os.pathsep.join([str(_SOURCE), str(TESTS)])
    environment.update(dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))
    environment.update(RAY_USAGE_STATS_ENABLED="0", FLWR_TELEMETRY_ENABLED="0", FLWR_DISABLE_UPDATE_CHECK="1")
    environment["FLWR_HOME"] = str(scratch / "flower")
    environment["FEDCREDIT_CACHE"] = str(empty_cache(scratch / "cache"))
    return environment


def empty_cache(folder: Path) -> Path:
    """A cache folder of the benchmark's own; of the user's it has the downloaded tables alone."""
    own = os.environ.get("FEDCREDIT_CACHE")
    tables = (Path(own).expanduser() if own else Path.home() / ".cache" / "fedcredit") / "tables"
    if not folder.exists():
        folder.mkdir(parents=True)
        tables.mkdir(parents=True, exist_ok=True)
        (folder / "tables").symlink_to(tables.resolve())
    return folder


def dropped_settings() -> tuple[str, ...]:
    """The settings of this shell that are kept from the children."""
    return tuple(f"{key}={os.environ[key]}" for key in _BLAS_CHOICES if key in os.environ)


def tree_cpu() -> float:
    """CPU seconds, user and system, of this process, all it has waited for, and all that still run below it."""
    seconds = 0.0
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        usage = resource.getrusage(who)
        seconds += usage.ru_utime + usage.ru_stime
    below = _descendants(os.getpid())
    return seconds + sum(sum(int(field) for field in _stat(pid)[11:15]) / _TICKS for pid in below)


def _await(pid: int, deadline: float) -> tuple[int, float, float]:
    """Wait for a child; return its status, its CPU with all it waited for, and the largest memory seen."""
    peak_kb = 0.0
    handle = os.pidfd_open(pid)
    try:
        while not select.select([handle], [], [], 0.5)[0]:
            tree = [pid, *_descendants(pid)]
            if len(tree) > 1:
                peak_kb = max(peak_kb, sum(_proportional_kb(member) for member in tree))
            if time.monotonic() > deadline:
                raise ChildFailedError("a child took longer than its limit")
        _, status, usage = os.wait4(pid, 0)
    finally:
        os.close(handle)
    return status, usage.ru_utime + usage.ru_stime, max(peak_kb, usage.ru_maxrss) / 1024.0


def _end_everything(process: subprocess.Popen[bytes]) -> float:
    """End what a child left behind, and return the CPU it had used."""
    cpu = 0.0
    while below := [pid for pid in _descendants(os.getpid()) if _parent(pid) == os.getpid()]:
        for pid in below:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                usage = os.wait4(pid, 0)[2]
                cpu += usage.ru_utime + usage.ru_stime
    process.returncode = -signal.SIGKILL if process.returncode is None else process.returncode
    return cpu


def _adopt_orphans() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "this system does not let a process adopt orphans")


def _descendants(pid: int) -> list[int]:
    parents = {int(entry): _parent(int(entry)) for entry in os.listdir("/proc") if entry.isdigit()}
    found, frontier = [], [pid]
    while frontier:
        frontier = [child for child, parent in parents.items() if parent in frontier]
        found += frontier
    return found


def _parent(pid: int) -> int:
    return int(_stat(pid)[1])


def _stat(pid: int) -> list[str]:
    """The fields of /proc/<pid>/stat behind the command's name; zeros for a process that has gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ["0"] * 50


def _proportional_kb(pid: int) -> float:
    """Memory with shared pages divided among those that share them."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0.0
    return float(next((line.split()[1] for line in lines if line.startswith("Pss:")), "0"))

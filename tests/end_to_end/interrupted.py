"""Runs a short study again and again, each time in a process of its own that ends where it is told to.

``python interrupted.py`` reads one JSON object a line from standard input, and answers each with how the process
ended: ``{"arms": [[override, ...], ...], "noted": path, "fault": null}``. A fault is ``{"call": "os.fsync",
"number": 3, "when": "before" | "after" | "full"}`` (the third call of that function; "full" raises ENOSPC instead of
killing), or ``{"seconds": .2}`` (killed from outside). The server imports and compiles once; what it forks starts warm.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Fault = dict[str, Any]


def note_draws(path: str) -> None:
    """Have every private computation write down which draws it is about to use, before it begins."""
    import fedcredit.experiment.prepare as prepare

    find = prepare.trainer

    def noted(*args: Any, **kwargs: Any) -> Callable[..., Any]:  # noqa: ANN401
        compute = find(*args, **kwargs)

        def local_round(*given: Any, **named: Any) -> Any:  # noqa: ANN401
            handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            REAL_WRITE(handle, f"{named['streams'].server_round} {named['streams'].noise}\n".encode())
            os.close(handle)
            return compute(*given, **named)

        return local_round

    prepare.trainer = noted


REAL_WRITE = os.write


def plant(fault: Fault) -> None:
    """Make the n-th call of a function of ``os`` the last thing this process does, or the one that fails."""
    name = fault["call"].removeprefix("os.")
    real = getattr(os, name)
    seen = 0

    def call(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        nonlocal seen
        seen += 1
        if seen == fault["number"]:
            if fault["when"] == "full":
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if fault["when"] == "after":
                real(*args, **kwargs)
            if fault["when"] == "torn":
                real(args[0], args[1][: len(args[1]) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **kwargs)

    setattr(os, name, call)


def study(arms: Sequence[Sequence[str]]) -> None:
    from fedcredit.config import compose
    from fedcredit.experiment.runner import run

    for overrides in arms:
        run(compose(None, list(overrides)), progress=False, report=False)


def child(task: dict[str, Any]) -> int:
    note_draws(task["noted"])
    if task["fault"] is not None and "call" in task["fault"]:
        plant(task["fault"])
    try:
        study(task["arms"])
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


def attempt(task: dict[str, Any]) -> str:
    pid = os.fork()
    if pid == 0:
        try:
            code = child(task)
        finally:
            sys.stderr.flush()
        os._exit(code)
    if task["fault"] is not None and "seconds" in task["fault"]:
        time.sleep(task["fault"]["seconds"])
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        return "killed"
    return "done" if os.WEXITSTATUS(status) == 0 else "failed"


def main() -> None:
    os.environ["FEDCREDIT_CHECKPOINT"] = "round"
    warm = json.loads(sys.stdin.readline())
    Path(warm["noted"]).parent.mkdir(parents=True, exist_ok=True)
    study(warm["arms"])
    print("ready", flush=True)
    for line in sys.stdin:
        print(attempt(json.loads(line)), flush=True)


if __name__ == "__main__":
    main()

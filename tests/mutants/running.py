"""Running tests on a copy of the source, in a fork of a process that has imported what is slow."""

from __future__ import annotations

import importlib
import logging
import os
import re
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import pytest

_STATUS = re.compile(r"^(PASSED|FAILED|ERROR|XFAIL|SKIPPED) (tests/.*)$", re.MULTILINE)
_SLOW = ("numba", "torch", "opacus", "scipy.stats", "dp_accounting.pld", "pydantic")


def run_tests(
    tree: Path, names: Sequence[str], *, cache: Path, time_limit: float = 900.0, first_failure: bool = False
) -> tuple[list[tuple[str, str]], float]:
    """Run tests on a tree; give the status and name of each, and the seconds. Nothing is told after the time limit."""
    cache.mkdir(exist_ok=True)
    report = cache.with_suffix(".report")
    start = time.monotonic()
    child = os.fork()
    if child == 0:
        _test(tree, names, cache=cache, report=report, first_failure=first_failure)
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        if time.monotonic() - start > time_limit:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.02)
    text = report.read_text(encoding="utf-8", errors="replace")
    found = _STATUS.findall(text)
    seconds = time.monotonic() - start
    if not found and seconds < time_limit:
        print(text[-2000:], file=sys.stderr)
    return found, seconds


def import_what_is_slow() -> None:
    """Import other people's packages once, so that a mutant costs its own import and its test."""
    sys.dont_write_bytecode = True
    for name in _SLOW:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            importlib.import_module(name)
    root = logging.getLogger()
    root.handlers[:] = []
    root.setLevel(logging.WARNING)


def _test(tree: Path, names: Sequence[str], *, cache: Path, report: Path, first_failure: bool) -> NoReturn:
    """Run pytest in a forked child, and end it."""
    with report.open("wb") as file:
        for descriptor in (1, 2):
            os.dup2(file.fileno(), descriptor)
    os.environ.update(FEDCREDIT_CACHE=str(cache), PYTHONPATH=str(tree / "src"))
    os.chdir(tree)
    sys.path.insert(0, str(tree / "src"))
    stop = ["-x"] if first_failure else []
    try:
        pytest.main(["-rA", "-q", "--tb=no", "-p", "no:cacheprovider", "-p", "no:xdist", *stop, *names])
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)

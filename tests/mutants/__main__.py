"""Plant every bug, run the tests that must kill it, and print the table; 1 if any bug lives."""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import re
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest

from mutants.inside import INSIDE
from mutants.mutant import OUTSIDE, TRAINERS, Mutant, copy_tree, patched, planted
from mutants.outside import OUTSIDE_TRAINERS

ROOT = Path(__file__).resolve().parents[2]
_TIME_LIMIT = 900.0
_STATUS = re.compile(r"^(PASSED|FAILED|ERROR|XFAIL|SKIPPED) (tests/.*)$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a mutant: place -> ``killed``, ``LIVES`` or ``BROKEN`` (no test failed, but none could run)."""

    mutant: Mutant
    cells: dict[str, str]
    seconds: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for."""
    asked = _parser().parse_args(arguments)
    _import_what_is_slow()
    chosen = [found for found in (*INSIDE, *OUTSIDE_TRAINERS) if asked.only in (found.bug, *found.killers, "all")]
    chosen = [found for found in chosen if not {*asked.without} & {*found.killers}]
    with tempfile.TemporaryDirectory(prefix="fedcredit-mutants-") as folder:
        tree, kept = Path(folder, "tree"), Path(folder, "kept")
        copy_tree(ROOT, tree)
        _check_patches(chosen)
        names = sorted({name for found in chosen for name in found.killers.values()})
        healthy, seconds = _run(tree, names, cache=kept)
        sick = [name for name in names if not _passes(healthy, name)]
        if sick:
            print("these tests do not pass on the source as it is:", *sick, sep="\n  ")
            return 1
        print(f"{len(names)} killing tests pass on the source as it is ({seconds:.0f} s)", flush=True)
        outcomes = []
        for number, found in enumerate(chosen, start=1):
            outcomes.append(_outcome(tree, found, kept=kept, cache=Path(folder, f"cache-{number}")))
            told = ", ".join(f"{place} {state}" for place, state in outcomes[-1].cells.items())
            print(f"  {number}/{len(chosen)} {found.bug}: {told} ({outcomes[-1].seconds:.0f} s)", flush=True)
    print(_table(outcomes))
    states = [state for outcome in outcomes for state in outcome.cells.values()]
    killed = states.count("killed")
    num_bugs = len({outcome.mutant.bug for outcome in outcomes})
    print(f"{num_bugs} bugs in {len(states)} places: {killed}/{len(states)} killed")
    return 0 if states and killed == len(states) else 1


def _check_patches(chosen: Collection[Mutant]) -> None:
    for found in chosen:
        texts: dict[str, str] = {}
        for patch in found.patches:
            text = texts.get(patch.file) or (ROOT / "src/fedcredit" / patch.file).read_text(encoding="utf-8")
            texts[patch.file] = patched(text, patch)
        for file, text in texts.items():
            compile(text, file, "exec")


def _outcome(tree: Path, found: Mutant, *, kept: Path, cache: Path) -> Outcome:
    """Prices of other mutants are never read: only the kernel's code is taken over, and only where it is the same."""
    if not found.is_compiled and (kept / "compiled").exists():
        shutil.copytree(kept / "compiled", cache / "compiled")
    with planted(tree, found):
        statuses, seconds = _run(tree, sorted(set(found.killers.values())), cache=cache)
    shutil.rmtree(cache, ignore_errors=True)
    cells = {}
    for place, name in found.killers.items():
        of_test = [status for status, node in statuses if _is_of(node, name)]
        cells[place] = "killed" if "FAILED" in of_test else "LIVES" if "PASSED" in of_test else "BROKEN"
    return Outcome(mutant=found, cells=cells, seconds=seconds)


def _run(tree: Path, names: Sequence[str], *, cache: Path) -> tuple[list[tuple[str, str]], float]:
    """Run tests on a tree in a fork of this process, which has imported what is slow and nothing of the package."""
    cache.mkdir(exist_ok=True)
    report = cache.with_suffix(".report")
    start = time.monotonic()
    child = os.fork()
    if child == 0:
        _test(tree, names, cache=cache, report=report)
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        if time.monotonic() - start > _TIME_LIMIT:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.02)
    found = _STATUS.findall(report.read_text(encoding="utf-8", errors="replace"))
    if not found:
        print(report.read_text(encoding="utf-8", errors="replace")[-2000:], file=sys.stderr)
    return found, time.monotonic() - start


def _test(tree: Path, names: Sequence[str], *, cache: Path, report: Path) -> NoReturn:
    """Run pytest in a forked child, and end it."""
    with report.open("wb") as file:
        for descriptor in (1, 2):
            os.dup2(file.fileno(), descriptor)
    os.environ.update(FEDCREDIT_CACHE=str(cache), PYTHONPATH=str(tree / "src"))
    os.chdir(tree)
    sys.path.insert(0, str(tree / "src"))
    try:
        pytest.main(["-rA", "-q", "--tb=no", "-p", "no:cacheprovider", "-p", "no:xdist", *names])
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def _import_what_is_slow() -> None:
    """Import other people's packages once, so that a mutant costs its own import and its test."""
    sys.dont_write_bytecode = True
    for name in ("numba", "torch", "opacus", "scipy.stats", "dp_accounting.pld", "pydantic"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            importlib.import_module(name)
    root = logging.getLogger()
    root.handlers[:] = []
    root.setLevel(logging.WARNING)


def _is_of(node: str, name: str) -> bool:
    """Whether a line of the report is of a test, or of one of its parameters."""
    return node == name or node.startswith((f"{name} - ", f"{name}["))


def _passes(statuses: Sequence[tuple[str, str]], name: str) -> bool:
    return {status for status, node in statuses if _is_of(node, name)} == {"PASSED"}


def _table(outcomes: Sequence[Outcome]) -> str:
    """One line for each bug: where it was planted, by which tests it was killed, how long that took."""
    lines = ["", f"| bug | {' | '.join((*TRAINERS, OUTSIDE))} | killed by | seconds |", "|---" * 7 + "|"]
    for bug in dict.fromkeys(outcome.mutant.bug for outcome in outcomes):
        own = [outcome for outcome in outcomes if outcome.mutant.bug == bug]
        cells = {place: state for outcome in own for place, state in outcome.cells.items()}
        tests = dict.fromkeys(name.rpartition("/")[2] for outcome in own for name in outcome.mutant.killers.values())
        shown = [cells.get(place, "n/a") for place in (*TRAINERS, OUTSIDE)]
        seconds = sum(outcome.seconds for outcome in own)
        lines.append(f"| {bug} | {' | '.join(shown)} | {', '.join(f'`{name}`' for name in tests)} | {seconds:.0f} |")
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="mutants", description=__doc__)
    parser.add_argument("--without", nargs="*", default=[], metavar="PLACE", help="places to leave out")
    parser.add_argument("--only", default="all", metavar="BUG", help="one bug, by its words, or one place: a trainer")
    return parser


if __name__ == "__main__":
    sys.exit(main())

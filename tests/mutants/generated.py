"""Change the source of `privacy/` and `training/` in small ways, and see whether the tests of the module notice.

A sample of all such changes, by seed, within a time. A change that no test notices is listed: it is a test that is
missing, or a change that means nothing.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mutants.changes import Change, changes
from mutants.equivalent import EQUIVALENT
from mutants.mutant import COMPILED_FROM, copy_tree
from mutants.running import import_what_is_slow, run_tests

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = Path("src/fedcredit")
KILLED, LIVES, TIMED_OUT = "killed", "LIVES", "killed by time"
_ROOMS = ("privacy", "training")
_ACCOUNTING = "tests/unit/privacy/accounting"
_UNSEEDED = ("tests/statistical/test_unseeded_noise.py",)
# Tests of a module beside those in its own place: each takes seconds.
BESIDE: dict[str, tuple[str, ...]] = {
    "privacy/mechanism.py": ("tests/statistical/test_noise.py", "tests/unit/training/test_clipped_sums.py"),
    "privacy/sampling.py": ("tests/statistical/test_sampling.py",),
    "privacy/entropy.py": _UNSEEDED,
    "privacy/grid.py": _UNSEEDED,
    "privacy/reading.py": ("tests/oracles/test_reading.py",),
    "privacy/auditing/bounds.py": ("tests/statistical/test_audit.py",),
    "privacy/auditing/canaries.py": ("tests/statistical/test_audit.py",),
    "privacy/auditing/tradeoff.py": ("tests/unit/privacy/auditing/test_bounds.py", "tests/statistical/test_audit.py"),
    "privacy/auditing/verdict.py": ("tests/statistical/test_audit.py",),
    "privacy/accounting/accountants.py": ("tests/oracles/test_epsilon.py",),
    "privacy/accounting/events.py": (f"{_ACCOUNTING}/test_accountants.py", f"{_ACCOUNTING}/test_ledger.py"),
    "privacy/accounting/book.py": (f"{_ACCOUNTING}/test_ledger.py",),
    "privacy/accounting/chain.py": (f"{_ACCOUNTING}/test_ledger.py",),
    "privacy/accounting/opening.py": (f"{_ACCOUNTING}/test_ledger.py", f"{_ACCOUNTING}/test_dataset_ledger.py"),
    "privacy/accounting/renyi.py": (f"{_ACCOUNTING}/test_accountants.py", "tests/oracles/test_epsilon.py"),
    "privacy/accounting/dataset_ledger.py": (f"{_ACCOUNTING}/test_dataset_ledger_crashes.py",),
    "privacy/accounting/run_ledger.py": (
        f"{_ACCOUNTING}/test_dataset_ledger.py", f"{_ACCOUNTING}/test_dataset_ledger_crashes.py",
    ),
    "privacy/accounting/releases.py": (f"{_ACCOUNTING}/test_ledger.py",),
    "privacy/accounting/statement_wording.py": (
        f"{_ACCOUNTING}/test_statement.py", f"{_ACCOUNTING}/test_holdings.py",
    ),
    "privacy/accounting/storage.py": (
        f"{_ACCOUNTING}/test_ledger.py", f"{_ACCOUNTING}/test_ledger_crashes.py",
        f"{_ACCOUNTING}/test_dataset_ledger_crashes.py",
    ),
    "training/contract.py": ("tests/contracts/test_trainers.py",),
    "training/clipped_sums.py": ("tests/unit/training/test_host_sums.py", "tests/contracts/test_trainers.py"),
    "training/derivatives.py": ("tests/unit/training/test_clipped_sums.py", "tests/contracts/test_trainers.py"),
    "training/host_room.py": ("tests/unit/training/test_host_sums.py", "tests/unit/training/test_clipped_sums.py"),
    "training/host_sums.py": ("tests/unit/training/test_clipped_sums.py",),
    "training/kept_code.py": ("tests/unit/training/test_compiled.py",),
    "training/optimiser.py": ("tests/unit/training/test_stepwise.py", "tests/contracts/test_trainers.py"),
    "training/reference.py": ("tests/contracts/test_trainers.py",),
    "training/stepwise.py": ("tests/contracts/test_trainers.py",),
    "training/trainers.py": ("tests/contracts/test_trainers.py",),
    "training/unseeded.py": _UNSEEDED,
    "training/vectorised.py": ("tests/contracts/test_trainers.py", "tests/unit/training/test_stepwise.py"),
}  # fmt: skip
_COMPILED_TESTS = ("tests/unit/training/test_compiled.py", "tests/contracts/test_trainers.py")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one change of one file of the package."""

    file: str
    change: Change
    shown: str
    state: str


def main(arguments: Sequence[str] | None = None) -> int:
    """Plant a sample of changes; 1 if the tests fail on the source as it is, or too few changes are killed."""
    asked = _parser().parse_args(arguments)
    chosen = sample(asked.only, number=asked.number, seed=asked.seed)
    import_what_is_slow()
    end = time.monotonic() + 60.0 * asked.minutes
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory(prefix="fedcredit-generated-") as folder:
        tree, kept = Path(folder, "tree"), Path(folder, "kept")
        copy_tree(ROOT, tree)
        limits = _limits(tree, sorted({file for file, _ in chosen}), kept, given=asked.limit)
        if limits is None:
            return 1
        for number, (file, change) in enumerate(chosen, start=1):
            if time.monotonic() > end:
                print(f"time is up after {number - 1} of {len(chosen)}")
                break
            outcomes.append(_outcome(tree, file, change, kept=kept, cache=Path(folder, f"c{number}"), limits=limits))
            found = outcomes[-1]
            print(f"  {number}/{len(chosen)} {found.state}: {file}:{change.line}: {found.shown}", flush=True)
    return _told(outcomes, least=asked.least)


def sample(only: Sequence[str], *, number: int, seed: int) -> list[tuple[str, Change]]:
    """Draw changes of the files below some places of the package, the same for the same seed and source."""
    files = [file for file in _files() if not only or any(file.startswith(place) for place in only)]
    every = [(file, change) for file in files for change in meaning_changes(file)]
    chosen = random.Random(seed).sample(every, min(number, len(every)))  # in its order: what time cuts off is a sample
    print(f"{len(chosen)} of {len(every)} changes of {len(files)} modules, seed {seed}")
    return chosen


def meaning_changes(file: str) -> list[Change]:
    """List the changes of a module, but for those that are known to mean nothing."""
    text = (ROOT / PACKAGE / file).read_text("utf-8")
    nothing = {found.shown for found in EQUIVALENT if found.file == file}
    return [change for change in changes(text) if change.shown(text) not in nothing]


def tests_of(file: str) -> tuple[str, ...]:
    """Name the test files that should notice a change of a module."""
    room, _, name = file.rpartition("/")
    if file.startswith("training/compiled/"):
        return _COMPILED_TESTS
    own = f"tests/unit/{room}/test_{name}"
    return (*((own,) if (ROOT / own).is_file() else ()), *BESIDE.get(file, ()))


def _files() -> list[str]:
    rooms = [path for room in _ROOMS for path in (ROOT / PACKAGE / room).rglob("*.py")]
    return sorted(path.relative_to(ROOT / PACKAGE).as_posix() for path in rooms)


def _limits(tree: Path, files: Sequence[str], kept: Path, *, given: float | None) -> dict[str, float] | None:
    """Run all tests once on the source as it is: how long a change of a module may take, or None if any fails.

    With a given time nothing is run: the tests are known to pass.
    """
    unknown = [file for file in files if not tests_of(file)]
    if unknown:
        print("no test is named for", *unknown, sep="\n  ")
        return None
    if given is not None:
        kept.mkdir()
        return dict.fromkeys(files, given)
    seconds: dict[str, float] = {}
    for name in sorted({name for file in files for name in tests_of(file)}):
        statuses, seconds[name] = run_tests(tree, [name], cache=kept)
        bad = [node for status, node in statuses if status in ("FAILED", "ERROR")]
        if bad or not statuses:
            print(f"{name} does not pass on the source as it is:", *bad, sep="\n  ")
            return None
        print(f"  {name} passes in {seconds[name]:.0f} s", flush=True)
    return {file: 30.0 + 4.0 * sum(seconds[name] for name in tests_of(file)) for file in files}


def _outcome(tree: Path, file: str, change: Change, *, kept: Path, cache: Path, limits: dict[str, float]) -> Outcome:
    path = tree / PACKAGE / file
    before, times = path.read_text("utf-8"), path.stat()
    is_compiled = file.startswith(COMPILED_FROM)
    if not is_compiled and (kept / "compiled").exists():
        shutil.copytree(kept / "compiled", cache / "compiled")
    path.write_text(change.applied(before), "utf-8")
    try:
        limit = limits[file] + 60.0 * is_compiled
        statuses, seconds = run_tests(tree, tests_of(file), cache=cache, time_limit=limit, first_failure=True)
    finally:
        path.write_text(before, "utf-8")
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        shutil.rmtree(cache, ignore_errors=True)
    has_failed = not statuses or any(status in ("FAILED", "ERROR") for status, _ in statuses)
    state = TIMED_OUT if seconds >= limit else KILLED if has_failed else LIVES
    return Outcome(file=file, change=change, shown=change.shown(before), state=state)


def _told(outcomes: Sequence[Outcome], *, least: float) -> int:
    whole, dead = Counter(found.file for found in outcomes), Counter()
    for found in outcomes:
        dead[found.file] += found.state != LIVES
    print("\n| module | changes | killed |\n|---|---|---|")
    for file in sorted(whole):
        print(f"| {file} | {whole[file]} | {dead[file]} |")
    survivors = [found for found in outcomes if found.state == LIVES]
    print("\nsurvivors:" if survivors else "\nno survivor")
    for found in survivors:
        print(f"  {found.file}:{found.change.line}: {found.shown}")
    share = sum(dead.values()) / max(1, len(outcomes))
    late = sum(found.state == TIMED_OUT for found in outcomes)
    print(f"{sum(dead.values())}/{len(outcomes)} killed ({100.0 * share:.0f} %), {late} of them by time")
    return 0 if outcomes and share >= least else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="mutants.generated", description=__doc__)
    parser.add_argument("--number", type=int, default=150, help="changes to plant")
    parser.add_argument("--seed", type=int, default=1, help="of the sample")
    parser.add_argument("--minutes", type=float, default=30.0, help="no change is planted after so long")
    parser.add_argument("--only", nargs="*", default=[], metavar="PLACE", help="files or folders of the package")
    parser.add_argument("--limit", type=float, help="seconds for a change; the tests are not tried without one then")
    parser.add_argument("--least", type=float, default=0.0, help="share to be killed for exit code 0")
    return parser


if __name__ == "__main__":
    sys.exit(main())

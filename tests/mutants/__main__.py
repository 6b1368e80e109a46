"""Plant every bug, run the tests that must kill it, and print the table; 1 if any bug lives."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from mutants.inside import INSIDE
from mutants.mutant import OUTSIDE, TRAINERS, Mutant, copy_tree, patched, planted
from mutants.outside import OUTSIDE_TRAINERS
from mutants.running import import_what_is_slow, run_tests

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a mutant: place -> ``killed``, ``LIVES`` or ``BROKEN`` (no test failed, but none could run)."""

    mutant: Mutant
    cells: dict[str, str]
    seconds: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for."""
    asked = _parser().parse_args(arguments)
    import_what_is_slow()
    chosen = [found for found in (*INSIDE, *OUTSIDE_TRAINERS) if asked.only in (found.bug, *found.killers, "all")]
    chosen = [found for found in chosen if not {*asked.without} & {*found.killers}]
    with tempfile.TemporaryDirectory(prefix="fedcredit-mutants-") as folder:
        tree, kept = Path(folder, "tree"), Path(folder, "kept")
        copy_tree(ROOT, tree)
        _check_patches(chosen)
        names = sorted({name for found in chosen for name in found.killers.values()})
        healthy, seconds = run_tests(tree, names, cache=kept)
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
        statuses, seconds = run_tests(tree, sorted(set(found.killers.values())), cache=cache)
    shutil.rmtree(cache, ignore_errors=True)
    cells = {}
    for place, name in found.killers.items():
        of_test = [status for status, node in statuses if _is_of(node, name)]
        cells[place] = "killed" if "FAILED" in of_test else "LIVES" if "PASSED" in of_test else "BROKEN"
    return Outcome(mutant=found, cells=cells, seconds=seconds)


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

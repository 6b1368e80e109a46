"""The planted bugs of `tests/mutants`: each can still be planted, and the README tells of all of them."""

from __future__ import annotations

import ast
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _tests_on_the_path(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(ROOT / "tests"))
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "mutants"]:
        del sys.modules[name]


def test_the_readme_tells_of_every_planted_bug_and_counts_them() -> None:
    from mutants.groups import GROUPS, bugs_of, readme_table
    from mutants.inside import INSIDE
    from mutants.outside import OUTSIDE_TRAINERS

    told = Counter(bug for bugs in GROUPS.values() for bug in bugs)
    assert told == Counter(bugs_of((*INSIDE, *OUTSIDE_TRAINERS)))
    lines = [line.strip() for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines()]
    count, *table = readme_table((*INSIDE, *OUTSIDE_TRAINERS))
    assert any(line.endswith(count) for line in lines)
    assert [line for line in table if line not in lines] == []


def test_every_planted_bug_fits_the_source_and_names_a_test_that_is_there() -> None:
    from mutants.inside import INSIDE
    from mutants.mutant import patched
    from mutants.outside import OUTSIDE_TRAINERS

    for found in (*INSIDE, *OUTSIDE_TRAINERS):
        texts: dict[str, str] = {}
        for patch in found.patches:
            before = texts.get(patch.file) or (ROOT / "src/fedcredit" / patch.file).read_text(encoding="utf-8")
            texts[patch.file] = patched(before, patch)
            assert texts[patch.file] != before, found.bug
        for text in texts.values():
            ast.parse(text)
        for killer in found.killers.values():
            path, _, test = killer.partition("::")
            assert f"def {test.partition('[')[0]}(" in (ROOT / path).read_text(encoding="utf-8"), killer


def test_every_module_of_privacy_and_training_has_tests_for_its_generated_changes() -> None:
    from mutants.generated import PACKAGE, _files, tests_of
    from mutants.generated import ROOT as TREE

    computing = [file for file in _files() if "def " in (TREE / PACKAGE / file).read_text(encoding="utf-8")]
    assert [file for file in computing if not tests_of(file)] == []
    assert [name for file in computing for name in tests_of(file) if not (TREE / name).is_file()] == []


def test_every_change_that_is_said_to_mean_nothing_is_one_that_would_be_made() -> None:
    from mutants.changes import changes
    from mutants.equivalent import EQUIVALENT

    for found in EQUIVALENT:
        text = (ROOT / "src/fedcredit" / found.file).read_text(encoding="utf-8")
        assert found.shown in {change.shown(text) for change in changes(text)}, found
        assert found.reason

"""How much bad input there is a test for: counted from the lists themselves, so that a figure in the README is true."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Collection
from pathlib import Path
from types import ModuleType

import hostile_files
import test_hostile_archives
import test_hostile_files
import test_malformed_checkpoints

TESTS = Path(__file__).parents[1]
README = (TESTS.parent / "README.md").read_text(encoding="utf-8")


def module(path: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"counted_{Path(path).stem}", TESTS / path)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = loaded
    spec.loader.exec_module(loaded)
    return loaded


def lists() -> dict[str, Collection[object]]:
    config, tables = module("unit/test_config.py"), module("unit/data/test_malformed_tables.py")
    return {
        "tables": tables.CASES,
        "schemas": module("unit/data/test_schema.py").MALFORMED,
        "configs": config.MALFORMED,
        "policies": module("unit/credit/test_bad_policies.py").BAD,
        "checkpoints": test_malformed_checkpoints.MALFORMED,
        "archives and saved experiments": [*test_hostile_archives.ARCHIVES, *test_hostile_archives.EXPERIMENTS],
        "hostile experiment files": [
            *config.HOSTILE, *hostile_files.REFUSED, *hostile_files.PLAIN, *test_hostile_files.FILES,
            *test_hostile_files.NAMES,
        ],
    }  # fmt: skip


def test_there_are_as_many_as_the_readme_says_and_no_fewer_than_were_asked_for() -> None:
    counts = {name: len(found) for name, found in lists().items()}
    malformed = sum(counts[name] for name in ("tables", "schemas", "configs", "checkpoints"))
    assert malformed >= 150
    assert counts["hostile experiment files"] >= 100
    told = " ".join(README.split())
    sentence = re.search(r"Bad input has tests, at least: ([^.]*)\.", told)
    assert sentence is not None
    stated = {name: int(count) for count, name in re.findall(r"(\d+) ([a-z ]+)", sentence[1])}
    assert set(stated) == set(counts)
    assert all(stated[name] <= count for name, count in counts.items()), counts


def test_no_hostile_file_stands_in_two_lists() -> None:
    texts = [*module("unit/test_config.py").HOSTILE.values(), *hostile_files.REFUSED.values()]
    assert len(set(texts)) == len(texts)

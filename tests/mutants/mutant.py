"""What a planted bug is, and how it is put into a copy of the source and taken out again."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

TRAINERS = ("compiled", "vectorised", "reference")
OUTSIDE = "outside"
_PACKAGE = Path("src/fedcredit")
# The kernel is compiled from its folder, and from the clipping constants.
COMPILED_FROM = ("training/compiled/", "privacy/mechanism.py")


class PatchError(ValueError):
    """A text to be changed that a file does not hold exactly once."""


@dataclass(frozen=True, kw_only=True)
class Patch:
    """A change of one file of the package: ``old``, which stands in it exactly once, becomes ``new``."""

    file: str
    old: str
    new: str


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """One bug in one place.

    Attributes:
        bug: in words; bugs of the same words in other trainers are one line of the table.
        killers: where the bug sits, a trainer or outside of all of them -> the test that must fail.
        patches: the changes.
    """

    bug: str
    killers: Mapping[str, str]
    patches: tuple[Patch, ...]

    @property
    def is_compiled(self) -> bool:
        """Whether the kernel must be compiled anew."""
        return any(patch.file.startswith(COMPILED_FROM) for patch in self.patches)


def at(file: str, old: str, new: str) -> Patch:
    """Write a patch in one line."""
    return Patch(file=file, old=old, new=new)


def mutant(bug: str, *patches: Patch, **killers: str) -> Mutant:
    """Write a mutant in one call."""
    return Mutant(bug=bug, killers=killers, patches=patches)


def patched(text: str, patch: Patch) -> str:
    """Return a file's text with a patch in it; raise where the old text is not there exactly once."""
    count = text.count(patch.old)
    if count != 1 or patch.old == patch.new:
        raise PatchError(f"{patch.file} holds {patch.old!r} {count} times; a patch needs it exactly once, and a change")
    return text.replace(patch.old, patch.new)


def copy_tree(source: Path, target: Path) -> None:
    """Copy what tests need, without anything compiled."""
    for name in ("src", "tests", "conf", "experiments"):
        shutil.copytree(source / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in source.glob("*.*"):
        if path.is_file():
            shutil.copy2(path, target / path.name)
    for name in ("Makefile", ".ci"):
        path = source / name
        if path.is_dir():
            shutil.copytree(path, target / name)
        elif path.exists():
            shutil.copy2(path, target / name)


@contextmanager
def planted(tree: Path, found: Mutant) -> Iterator[None]:
    """Plant a bug into a copied tree, and take it out again, down to the files' times."""
    before: dict[Path, tuple[bytes, os.stat_result]] = {}
    try:
        for patch in found.patches:
            path = tree / _PACKAGE / patch.file
            before.setdefault(path, (path.read_bytes(), path.stat()))
            path.write_text(patched(path.read_text(encoding="utf-8"), patch), encoding="utf-8")
        yield
    finally:
        for path, (content, times) in before.items():
            path.write_bytes(content)
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))

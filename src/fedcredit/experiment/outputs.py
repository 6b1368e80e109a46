"""Files that a command writes where its user says: nothing is replaced unasked, and nothing is ever half there."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from fedcredit.errors import InputError


def check_target(
    path: Path, *, force: bool, endings: Sequence[str], inputs: Sequence[Path] = (), what: str = "out"
) -> None:
    """Refuse a file that must not be written, before work is put into what would go there.

    Args:
        path: the file.
        force: whether a file that is there may be replaced.
        endings: what its name may end in, for example ``.csv``.
        inputs: files and folders that are read, which are never replaced or written into.
        what: the option that named it, for messages.

    Raises:
        InputError: saying why.
    """
    if path.suffix.lower() not in endings:
        raise InputError(f"{what}: {path} must end in {' or '.join(endings)}")
    if path.is_dir() or not path.parent.is_dir():
        raise InputError(f"{what}: {path} is a folder, or its folder is not there; name a file in a folder that is")
    if any((path.exists() and path.samefile(one)) or path.parent.samefile(one) for one in inputs if one.exists()):
        raise InputError(f"{what}: {path} is what is read, or in the results folder; name another file")
    if path.exists() and not force:
        raise InputError(f"{what}: {path} is there already; name another file, or add --force")


def write_whole(path: Path, content: bytes, *, force: bool, what: str = "out") -> None:
    """Write a file, whole and then renamed.

    Args:
        path: the file.
        content: its content.
        force: whether a file that is there may be replaced.
        what: the option that named it, for messages.

    Raises:
        InputError: if it is there by now, or cannot be written.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        unfinished.write_bytes(content)
        check_target(path, force=force, endings=(path.suffix.lower(),), what=what)
        unfinished.replace(path)
    except OSError as error:
        raise InputError(f"{what}: {path} cannot be written ({error.strerror}); name a file you may write") from error
    finally:
        unfinished.unlink(missing_ok=True)

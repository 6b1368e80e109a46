"""Who writes a folder: a line that names machine and process, so that others can see whether it still does."""

from __future__ import annotations

import os
import platform
from pathlib import Path

_FILE_BYTES = 1_000


def owner_line() -> str:
    """Return the line that names this process."""
    return f"{platform.node()}:{os.getpid()}\n"


def is_alive(path: Path) -> bool:
    """Say whether the process that a file names may still be there.

    Args:
        path: a file with an `owner_line`.

    Returns:
        False where the file is not there or names no process, or where the process was on this machine and has
        ended; of another machine nothing is known, so it counts as alive.
    """
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            machine, _, number = file.read(_FILE_BYTES).strip().rpartition(":")
    except OSError:
        return False
    if not number.isascii() or not number.isdigit() or int(number) == 0:
        return False
    if machine != platform.node():
        return True
    try:
        os.kill(int(number), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True

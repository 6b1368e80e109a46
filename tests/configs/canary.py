"""A canary that sings when something runs: Python's own audit hook, armed around what must only read.

It sees processes, network, environment, unpickling, libraries, files written, folders made and things removed or moved,
imports of a decoy module, and reads of a decoy file.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

DECOY_MODULE = "fedcredit_canary_module"
DECOY_VARIABLE = "FEDCREDIT_CANARY"
DECOY_VALUE = "s3cr3t-of-the-canary"
_ACTS = frozenset(
    {
        "os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty", "pty.spawn",
        "socket.connect", "socket.bind", "socket.getaddrinfo", "socket.sendto", "urllib.Request", "os.putenv",
        "os.unsetenv", "pickle.find_class", "ctypes.dlopen", "os.mkdir", "os.rmdir", "os.remove", "os.rename",
        "os.link", "os.symlink", "os.chmod", "os.chown", "os.truncate", "os.kill", "shutil.rmtree", "shutil.move",
        "shutil.copyfile", "shutil.unpack_archive", "webbrowser.open",
    }
)  # fmt: skip
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC
_state: dict[str, Any] = {"armed": False, "fired": [], "secret": None}


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    if not _state["armed"]:
        return
    if event == "open":
        path, _, flags = arguments
        writes = isinstance(flags, int) and flags & _WRITES and ".pyc" not in str(path)
        if writes or str(path) == _state["secret"] or DECOY_MODULE in str(path):
            _state["fired"].append((event, str(path)))
    elif event == "import":
        if str(arguments[0]).split(".")[0] == DECOY_MODULE:
            _state["fired"].append((event, str(arguments[0])))
    elif event in _ACTS:
        _state["fired"].append((event, f"{_folder_of(event, arguments)}{arguments}"[:300]))


def _folder_of(event: str, arguments: tuple[Any, ...]) -> str:
    """Name the folder that a descriptor stands for, where a name is relative to one."""
    place = arguments[-1] if event in ("os.remove", "os.rmdir") else -1
    return os.readlink(f"/proc/self/fd/{place}") if isinstance(place, int) and place >= 0 else ""


sys.addaudithook(_watch)


@contextmanager
def armed(*, secret: Path | None = None, may_write: Path | None = None) -> Iterator[list[tuple[str, str]]]:
    """Watch what a block does.

    Args:
        secret: a file that must not be opened, not even to read.
        may_write: a folder in which files may be made and removed.

    Yields:
        What was seen so far, event and detail; the environment and its decoy are compared at the end.
    """
    before = dict(os.environ)
    _state.update(armed=True, fired=[], secret=None if secret is None else str(secret))
    fired: list[tuple[str, str]] = _state["fired"]
    try:
        yield fired
    finally:
        _state["armed"] = False
        if may_write is not None:
            fired[:] = [(event, told) for event, told in fired if str(may_write) not in told]
        if dict(os.environ) != before:
            fired.append(("environment", "changed"))

"""A network of one's own: Ray listens on every interface, so it gets a namespace with loopback only.

Linux only. The calling process and all that it starts are moved; its parent is not.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
from pathlib import Path

from fedcredit.errors import InputError

_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_GET_FLAGS = 0x8913
_SET_FLAGS = 0x8914
_UP_AND_RUNNING = 0x1 | 0x40
_INTERFACE_REQUEST = "16sH22x"


def enter_loopback_namespace() -> None:
    """Move this process into a network namespace in which only loopback exists, and bring that up.

    With the right to do so (root) only the network is new; otherwise a user namespace comes with it,
    in which this user keeps her number. Call it before any thread is started.

    Raises:
        InputError: if the system does not allow it.
    """
    user, group = os.getuid(), os.getgid()
    if _unshare(_CLONE_NEWNET) != 0:
        failure = _unshare(_CLONE_NEWUSER | _CLONE_NEWNET)
        if failure != 0:
            raise InputError(
                f"runtime.isolate is true, but this system allows no network namespace ({os.strerror(failure)}); "
                "use runtime=inline, or set runtime.isolate=false, and then Ray listens on every network interface"
            )
        Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1", encoding="ascii")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1", encoding="ascii")
    _bring_loopback_up()


def _unshare(flags: int) -> int:
    """Return 0, or the error number; systems without the call give ENOSYS."""
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "unshare"):
        return 38
    return ctypes.get_errno() if libc.unshare(flags) != 0 else 0


def _bring_loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        answer = fcntl.ioctl(control, _GET_FLAGS, struct.pack(_INTERFACE_REQUEST, b"lo", 0))
        flags = struct.unpack(_INTERFACE_REQUEST, answer)[1] | _UP_AND_RUNNING
        fcntl.ioctl(control, _SET_FLAGS, struct.pack(_INTERFACE_REQUEST, b"lo", flags))

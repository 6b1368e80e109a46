"""Where compiled code is kept between processes; asking costs no import of numba."""

from __future__ import annotations

import hashlib
import os
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_SOURCE = Path(__file__).parent / "compiled"


def code_folder() -> Path:
    """Name the folder of this version's compiled code, below ``FEDCREDIT_CACHE`` or ``~/.cache/fedcredit``.

    Returns:
        A folder named by a digest of the kernel's source files and of numba's version; nothing is made on disk.
    """
    digest = hashlib.sha256(_numba_version().encode())
    for path in sorted(_SOURCE.glob("*.py")):
        digest.update(path.read_bytes())
    root = os.environ.get("FEDCREDIT_CACHE")
    folder = Path(root) if root else Path.home() / ".cache" / "fedcredit"
    return folder / "compiled" / digest.hexdigest()[:16]


def is_kept() -> bool:
    """Say whether there is compiled code of this version, for this kind of processor or another."""
    return any(code_folder().rglob("*.nbc"))


def _numba_version() -> str:
    try:
        return version("numba")
    except PackageNotFoundError:
        return "none"

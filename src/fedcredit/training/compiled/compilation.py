"""How the kernel is compiled: once per version of its source and of numba, kept in the user's cache folder.

Numba stamps compiled code on disk with the one file its function stands in. The kernel is several files, so
its code lies in a folder named by a digest of all of them.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba

EXACT = frozenset({"contract"})
REASSOCIATED = EXACT | {"reassoc", "nsz", "arcp"}
_SOURCE = Path(__file__).parent


def exact(function: Callable[..., Any]) -> Any:  # noqa: ANN401 (numba has no types)
    """Compile a function whose sums keep their order; a product and a sum may become one instruction.

    Args:
        function: the function.

    Returns:
        Its compiled twin.
    """
    return numba.njit(error_model="numpy", fastmath=set(EXACT))(function)


def reassociated(function: Callable[..., Any]) -> Any:  # noqa: ANN401
    """Compile a function whose sums along a row may be taken in lanes; what is no number stays none.

    Args:
        function: the function.

    Returns:
        Its compiled twin.
    """
    return numba.njit(error_model="numpy", fastmath=set(REASSOCIATED))(function)


def entry(function: Callable[..., Any]) -> Any:  # noqa: ANN401
    """Compile a function that Python calls, and keep its code on disk where there is a place for it.

    Args:
        function: the function.

    Returns:
        Its compiled twin; it lets other threads run.
    """
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
    config: Any = numba.config
    before, config.CACHE_DIR = config.CACHE_DIR, str(cache_folder())
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:
        return numba.njit(**options)(function)
    finally:
        config.CACHE_DIR = before


def cache_folder() -> Path:
    """Return where this version's compiled code is kept: below ``FEDCREDIT_CACHE`` or ``~/.cache/fedcredit``."""
    digest = hashlib.sha256(numba.__version__.encode())
    for path in sorted(_SOURCE.glob("*.py")):
        digest.update(path.read_bytes())
    root = os.environ.get("FEDCREDIT_CACHE")
    folder = Path(root) if root else Path.home() / ".cache" / "fedcredit"
    return folder / "compiled" / digest.hexdigest()[:16]

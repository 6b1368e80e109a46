"""How the kernel is compiled: once per version of its source and of numba, kept in the user's cache folder.

Numba stamps compiled code on disk with the one file its function stands in. The kernel is several files, so
its code lies in a folder named by a digest of all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba

from fedcredit.training.kept_code import code_folder

EXACT = frozenset({"contract"})
REASSOCIATED = EXACT | {"reassoc", "nsz", "arcp"}


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
    before, config.CACHE_DIR = config.CACHE_DIR, str(code_folder())
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:
        return numba.njit(**options)(function)
    finally:
        config.CACHE_DIR = before

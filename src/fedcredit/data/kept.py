"""What later arms of a sweep need again: tables by their content, and what was computed from them.

Everything here is immutable or never written to, and a pure function of what it is kept under. Two
tables are kept at most, none above a million loans, and with a table goes what was computed from it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from fedcredit.data.portfolio import Portfolio

T = TypeVar("T")
MOST_TABLES = 2
MOST_LOANS = 1_000_000
_tables: dict[Hashable, Portfolio] = {}
_lock = Lock()
_computed: WeakKeyDictionary[Portfolio, dict[str, tuple[Hashable, object]]] = WeakKeyDictionary()


def content_of(*paths: Path) -> tuple[str, ...] | None:
    """Name the content of files.

    Args:
        paths: the files.

    Returns:
        A SHA-256 for each, or None if one of them cannot be read as a plain file.
    """
    digests = []
    for path in paths:
        if not path.is_file():
            return None
        try:
            with path.open("rb") as file:
                digests.append(hashlib.file_digest(file, "sha256").hexdigest())
        except OSError:
            return None
    return tuple(digests)


def digest_of(*arrays: NDArray[Any]) -> str:
    """Name the content of arrays, for the key of what is computed from them.

    Args:
        arrays: numbers of any shape.

    Returns:
        SHA-256 of their types, shapes and bytes, as hexadecimal digits.
    """
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def table_of(key: Hashable | None, load: Callable[[], Portfolio]) -> Portfolio:
    """Return a table that was loaded before under the same key, or load it.

    Args:
        key: everything that the portfolio depends on, file contents included; None keeps nothing.
        load: loads and checks it; what it raises is not kept.

    Returns:
        The portfolio.
    """
    with _lock:
        found = None if key is None else _tables.pop(key, None)
    if found is None:
        found = load()
    if key is not None and found.num_loans <= MOST_LOANS:
        with _lock:
            _tables[key] = found
            while len(_tables) > MOST_TABLES:
                del _tables[next(iter(_tables))]
    return found


def computed(portfolio: Portfolio, name: str, key: Hashable, compute: Callable[[], T]) -> T:
    """Return what was computed last from a portfolio under a name, if the key is the same, or compute it.

    Args:
        portfolio: the loans.
        name: what is computed.
        key: everything else that it depends on.
        compute: computes it; the value must not hold the portfolio.

    Returns:
        The value, which nobody may write to.
    """
    known = _computed.setdefault(portfolio, {})
    last, value = known.pop(name, (None, None))
    if value is None or last != key:
        value = compute()
    if portfolio.num_loans <= MOST_LOANS:
        known[name] = (key, value)
    return value  # type: ignore[return-value]

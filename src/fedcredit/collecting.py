"""Python's garbage collector in a process that lives for one command.

Importing what a run needs makes a quarter of a million objects that stay. The collector walks through them again and
again while they are made, and twice more when the process ends: a third of the time of a short run.
"""

from __future__ import annotations

import atexit
import gc
from collections.abc import Iterator
from contextlib import contextmanager

_NEW_OBJECTS = 100_000


@contextmanager
def seldom_collected() -> Iterator[None]:
    """Collect seldom inside, and nothing when the process ends; for the outermost call of a process."""
    before = gc.get_threshold()
    gc.set_threshold(_NEW_OBJECTS, *before[1:])
    atexit.unregister(gc.freeze)
    atexit.register(gc.freeze)
    try:
        yield
    finally:
        gc.set_threshold(*before)

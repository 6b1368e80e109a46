"""Worker processes of a sweep: one thread of arithmetic in each, and an interrupt that reaches the parent alone."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TypeVar

T = TypeVar("T")
Given = TypeVar("Given")
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS", "BLIS_NUM_THREADS")


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Keep arithmetic to one thread: in what is loaded here, and in worker processes started meanwhile.

    The environment is what counts for a library that is loaded later; those that are there already are told.
    """
    before = {name: os.environ.get(name) for name in THREADS}
    with ExitStack() as stack:
        if "numpy" in sys.modules:
            from threadpoolctl import threadpool_limits

            stack.enter_context(threadpool_limits(1))
        if "torch" in sys.modules:
            stack.callback(sys.modules["torch"].set_num_threads, sys.modules["torch"].get_num_threads())
            sys.modules["torch"].set_num_threads(1)
        os.environ.update(dict.fromkeys(THREADS, "1"))
        try:
            yield
        finally:
            os.environ.update({name: value for name, value in before.items() if value is not None})
            for name in (name for name, value in before.items() if value is None):
                os.environ.pop(name, None)


@contextmanager
def interrupts_kept_from_workers() -> Iterator[None]:
    """Start worker processes meanwhile with the interrupt blocked, so that only this process answers Ctrl-C.

    Workers inherit the mask of the thread that starts them. This process still sees the signal in its other
    threads, of which there must be one with it unblocked; a request to terminate is taken as an interrupt.
    """
    if not hasattr(signal, "pthread_sigmask") or not _is_main_thread():
        yield
        return
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    handler = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def call_all(function: Callable[[Given], T], given: Sequence[Given], *, num_workers: int) -> Iterator[T]:
    """Call a function for each of several values in worker processes, as they get ready.

    The pool is that of Hydra's joblib launcher with the same number of workers, so that processes which
    have paid for their imports are used again.

    Args:
        function: picklable.
        given: what it is called with.
        num_workers: processes; 1 is this process itself.

    Yields:
        What it returned, in the order of the calls.
    """
    from joblib import Parallel, delayed

    pool = Parallel(
        n_jobs=num_workers, backend="loky", prefer="processes", batch_size=1, max_nbytes=None, mmap_mode="r",
        return_as="generator",
    )  # fmt: skip
    yield from pool(delayed(function)(value) for value in given)


def _is_main_thread() -> bool:
    import threading

    return threading.current_thread() is threading.main_thread()

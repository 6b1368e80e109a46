"""The errors whose text is the whole message that a user sees."""

from __future__ import annotations

import tempfile
import traceback


class InputError(ValueError):
    """A mistake in a config, a schema, a table or a folder; ends a command with exit code 2.

    The text names the argument, key or column, its value or count, what is allowed and what to do.
    It never holds a cell of a loan table.
    """


class RunFailedError(RuntimeError):
    """Something around a run failed that no setting mends; ends a command with exit code 1.

    The text says what failed and where its output is; it never holds a cell of a loan table.
    """


def crash_message(error: BaseException) -> str:
    """Tell of an error of our own: its traceback goes into a file, because its text might hold a cell of a loan table.

    Args:
        error: what was raised.

    Returns:
        One line that names the kind of error and the file.
    """
    with tempfile.NamedTemporaryFile("w", prefix="fedcredit-traceback-", suffix=".txt", delete=False) as file:
        file.write("".join(traceback.format_exception(error)))
    return f"fedcredit stopped on an error of its own ({type(error).__name__}); the traceback is in {file.name}"

"""The errors whose text is the whole message that a user sees."""

from __future__ import annotations


class InputError(ValueError):
    """A mistake in a config, a schema, a table or a folder; ends a command with exit code 2.

    The text names the argument, key or column, its value or count, what is allowed and what to do.
    It never holds a cell of a loan table.
    """


class RunFailedError(RuntimeError):
    """Something around a run failed that no setting mends; ends a command with exit code 1.

    The text says what failed and where its output is; it never holds a cell of a loan table.
    """

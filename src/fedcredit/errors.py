"""The one error that a user can mend: its text is the whole message she sees."""

from __future__ import annotations


class InputError(ValueError):
    """A mistake in a config, a schema, a table or a folder; ends a command with exit code 2.

    The text names the argument, key or column, its value or count, what is allowed and what to do.
    It never holds a cell of a loan table.
    """

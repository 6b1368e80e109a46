"""Help texts of arguments: typer 0.20 under click 8.5 loses them, options keep theirs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_type_hints

import click
from typer.models import ArgumentInfo


def with_argument_help(command: click.Command) -> click.Command:
    """Give the arguments of a command, and of all below it, the help texts that their functions declare.

    Args:
        command: as typer makes it; changed in place.

    Returns:
        The same command.
    """
    for verb in _commands(command):
        if verb.callback is None:
            continue
        declared = get_type_hints(verb.callback, include_extras=True)
        for parameter in verb.params:
            if isinstance(parameter, click.Argument) and not getattr(parameter, "help", None):
                notes = getattr(declared.get(parameter.name or ""), "__metadata__", ())
                texts = [note.help for note in notes if isinstance(note, ArgumentInfo)]
                vars(parameter)["help"] = texts[0] if texts else None
    return command


def _commands(command: click.Command) -> Iterator[click.Command]:
    yield command
    if isinstance(command, click.Group):
        for below in command.commands.values():
            yield from _commands(below)

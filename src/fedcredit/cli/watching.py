"""The verb that shows runs while they go on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fedcredit.cli.words import DONE, FAILED, INTERRUPTED, console

HELP = "Show runs while they go on: a results folder, or a folder above some; ends when they do."


def watch(
    place: Annotated[Path, typer.Argument(help="a results folder, or a folder above some: results/my_study")],
    once: Annotated[bool, typer.Option("--once", help="print what is there now, and exit")] = False,
) -> int:
    """Show runs until none goes on; exit code 1 if one of them stopped before its end."""
    from fedcredit.experiment import watch_view
    from fedcredit.experiment.watched import Watch

    watched = Watch(place)
    if once:
        console().print(watch_view.view(watched.look()))
        return DONE
    try:
        seen = watch_view.watch(watched, console())
    except KeyboardInterrupt:
        return INTERRUPTED
    if len(seen.runs) == 1 and seen.num_finished == 1:
        _say_statement(seen.runs[0].folder)
    return DONE if seen.num_finished == len(seen.runs) else FAILED


def _say_statement(folder: Path) -> None:
    from fedcredit.experiment.record import read_record

    for line in read_record(folder).statement_lines:
        typer.echo(line)

"""The verb that runs a saved experiment again."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from fedcredit.cli import studies
from fedcredit.cli.words import DONE, FAILED

HELP = "Run a saved experiment again and compare every figure; exit code 1 if one is outside the tolerance."


def reproduce(
    place: Annotated[
        str, typer.Argument(help="a results folder, a folder above some, a zip file of either, or the name of a study")
    ],
    switches: Annotated[
        list[str] | None, typer.Argument(help="what decides no number: runtime=ray, trainer=vectorised, ...")
    ] = None,
    tolerance: Annotated[float, typer.Option(help="absolute for figures up to 1, relative above")] = 1e-3,
    into: Annotated[Path | None, typer.Option(help="keep the new runs in this folder")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="json instead of text")] = False,
) -> int:
    """Reproduce every run of a place, or what a study expects, and return the exit code."""
    if not Path(place).exists() and studies.is_study(place):
        return studies.judge_study(place, switches=switches or (), into=into, as_json=as_json)
    from rich.console import Console

    from fedcredit.experiment.differences import DIFFERENT
    from fedcredit.experiment.reproduce import reproduce, saved_runs
    from fedcredit.experiment.reproduce_view import print_reproduction, reproductions_json

    console = Console()
    with ExitStack() as stack:
        folders = stack.enter_context(saved_runs(Path(place)))
        results = into or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fedcredit-")))
        done = []
        for folder in folders:
            again = reproduce(folder, results_dir=results, switches=switches or (), tolerance=tolerance)
            done.append(again)
            if not as_json:
                print_reproduction(again, console)
    if as_json:
        typer.echo(reproductions_json(done), nl=False)
    return FAILED if any(again.verdict == DIFFERENT for again in done) else DONE

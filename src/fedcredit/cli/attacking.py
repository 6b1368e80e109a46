"""The verb that attacks what a federation gives away."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fedcredit.cli.words import composed, console

HELP = "Attack what a federation gives away: membership of loans, bad_rate of lenders, or inversion of updates."


def attack(
    kind: Annotated[str, typer.Argument(help="membership, bad_rate or inversion")],
    words: Annotated[list[str], typer.Argument(help="an experiment and overrides, as for run; or a results folder")],
    number: Annotated[
        int | None, typer.Option(help="shadow federations [64], shadow lenders [64], or attacked lenders [40]")
    ] = None,
    seed: Annotated[int, typer.Option(help="of all that the attack draws")] = 1,
    lender: Annotated[str | None, typer.Option(help="membership: whose loans; those of all lenders by default")] = None,
    workers: Annotated[int | None, typer.Option(help="processes; as many as there are cores by default")] = None,
    folder: Annotated[
        Path | None, typer.Option(help="for json and png; <results_dir>/attacks/<study>/<arm> by default")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="json instead of text")] = False,
) -> None:
    """Attack an experiment, and the same without privacy."""
    from fedcredit.experiment.attacks.attacking import Asked, as_kind, attack_words, cores
    from fedcredit.experiment.attacks.finding import attack_json, print_attack, write_attack

    asked = Asked(
        kind=as_kind(kind), number=number, seed=seed, lender=lender, num_workers=cores() if workers is None else workers
    )
    done = attack_words(asked, words, compose=composed)
    picture = write_attack(done.attack, done.folder if folder is None else folder)
    if as_json:
        typer.echo(attack_json(done.attack), nl=False)
    else:
        print_attack(done.attack, console())
        typer.echo(f"\npicture: {picture}")

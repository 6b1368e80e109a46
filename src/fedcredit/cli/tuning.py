"""``fedcredit tune``: the best of a random number of runs, at the price of a few."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fedcredit.experiment.spec import Experiment
    from fedcredit.experiment.tuning import Tuned

HELP = "Keep the best of a random number of runs, at the price of a few: experiments=<study>/<arm> key=a,b,c ..."


def tune(
    words: Annotated[list[str], typer.Argument(help="an experiment and overrides with several values, as for run -m")],
    select_by: Annotated[str, typer.Option(help="charged.auc or charged.ks")] = "charged.auc",
    mean_runs: Annotated[float, typer.Option(help="mean number of runs")] = 10.0,
    law: Annotated[str, typer.Option(help="of the number of runs: logarithmic, geometric or poisson")] = "geometric",
) -> int:
    """Run settings drawn at random, keep the best by a charged metric, and print its price."""
    from fedcredit.config import hydra_main
    from fedcredit.experiment.tuning import tune as best_of
    from fedcredit.experiment.tuning import tuned_lines
    from fedcredit.privacy.accounting.selection import Repetitions

    repetitions = Repetitions(law=law, mean=mean_runs)  # type: ignore[arg-type]

    def sweep(arms: Sequence[Experiment], _: object) -> Tuned:
        return best_of(arms, metric=select_by, repetitions=repetitions, tell=lambda line: typer.echo(line, err=True))

    def never(experiment: Experiment) -> Tuned:
        raise AssertionError(f"{experiment.name} was taken for a single run")

    tuned = hydra_main(["--multirun", *words], job=never, sweep=sweep)
    assert tuned is not None
    for line in tuned_lines(tuned, repetitions, select_by):
        typer.echo(line)
    return 0

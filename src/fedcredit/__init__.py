"""fedcredit: federated credit-risk research with differential privacy."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fedcredit.errors import InputError

if TYPE_CHECKING:
    from fedcredit.experiment.record import RunRecord
    from fedcredit.experiment.spec import Experiment
    from fedcredit.experiment.sweep import SweepResult

os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
os.environ.setdefault("FLWR_DISABLE_UPDATE_CHECK", "1")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

__version__ = "0.1.0"
__all__ = ["InputError", "__version__", "run", "sweep"]


def run(
    experiment: str | None = None,
    overrides: Sequence[str] = (),
    *,
    progress: bool = True,
    report: bool = True,
    resume: bool = True,
) -> RunRecord:
    """Compose and run one experiment, as ``fedcredit run`` does.

    Args:
        experiment: ``<study>/<arm>``, for example ``"taiwan/loan_level"``; None for the defaults.
        overrides: what would stand on the command line, for example ``["seed=3", "privacy.target_epsilon=2"]``.
        progress: whether to show the run as it goes.
        report: whether to draw the run's page and its pictures; ``fedcredit show`` makes a page that is missing.
        resume: whether an interrupted run goes on from the last round it kept, or begins again at round 1.

    Returns:
        The record of the run.

    Raises:
        InputError: for a mistake in the experiment, its schema or its table.
    """
    from fedcredit.config import compose

    composed = compose(experiment, overrides)
    from fedcredit.experiment.runner import run as run_experiment

    return run_experiment(composed, progress=progress, report=report, resume=resume)


def sweep(
    experiment: str | None = None,
    overrides: Sequence[str] = (),
    *,
    num_workers: int | None = None,
    progress: bool = True,
) -> SweepResult:
    """Compose and run many experiments over worker processes, as ``fedcredit run -m`` does.

    Each arm is kept as a single run keeps it, below ``results_dir``; no study report is written.

    Args:
        experiment: ``<study>/<arm>``, several of them with commas between, or a pattern such as
            ``"privacy_budgets/*"``; None for the defaults.
        overrides: what would stand on the command line, for example ``["seed=1,2,3"]``.
        num_workers: worker processes, as many as there are cores by default; 1 is this process.
        progress: whether to show the sweep as it goes.

    Returns:
        What came of every arm: ``records()`` of those that are done, and ``failures()``.

    Raises:
        InputError: for a mistake in any arm, before the first one starts; or a results folder that
            cannot be written.
    """
    from rich.console import Console

    from fedcredit.config import hydra_main
    from fedcredit.experiment.sweep import Launcher, run_sweep

    def swept(experiments: Sequence[Experiment], launcher: Launcher) -> SweepResult:
        return run_sweep(experiments, launcher, console=Console(stderr=True), progress=progress)

    chosen = [] if experiment is None else [f"experiments={experiment}"]
    workers = [] if num_workers is None else [f"hydra.launcher.n_jobs={num_workers}"]
    result = hydra_main(["--multirun", *chosen, *overrides, *workers], job=_never, sweep=swept)
    assert result is not None
    return result


def _never(experiment: Experiment) -> SweepResult:
    raise AssertionError(f"{experiment.name} was taken for a single run")

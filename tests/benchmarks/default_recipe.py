"""A measured child: the default recipe on Taiwan's loans, as ``fedcredit run`` would run it, after a warm-up."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.processes import Clock, Cost, read_task, write_report

if TYPE_CHECKING:
    from fedcredit.experiment.spec import Experiment

EXPERIMENT = "taiwan_budgets/epsilon_1"


def main() -> None:
    """Marks: ``imported``, ``warm`` (a first run), ``run`` (a second one), ``prepared``, ``evaluated``."""
    clock = Clock()
    task = read_task()
    from fedcredit.experiment.runner import run

    clock.mark("imported")
    areas = []
    for seed, mark in ((1, "warm"), (2, "run")):
        areas.append(run(_experiment(task, seed), progress=False).evaluation.overall.auc)
        clock.mark(mark)
    _first_message_to_evaluation(_experiment(task, 3), Path(task["scratch"]), clock)
    write_report(task, clock, auc=areas[-1])


def read(_: object, cost: Cost) -> dict[str, Any]:
    """The figures of one repetition, in CPU seconds but for the last two."""
    marks = {name: mark["cpu"] for name, mark in cost.report["marks"].items()}
    walls = {name: mark["wall"] for name, mark in cost.report["marks"].items()}
    return {
        "start_cpu": marks["imported"],
        "first_run_cpu": marks["warm"] - marks["imported"],
        "run_cpu": marks["run"] - marks["warm"],
        "prepare_cpu": marks["prepared"] - marks["run"],
        "federation_cpu": marks["federated"] - marks["prepared"],
        "evaluation_cpu": marks["evaluated"] - marks["federated"],
        "message_to_evaluation_cpu": marks["evaluated"] - marks["prepared"],
        "run_wall": walls["run"] - walls["warm"],
        "peak_mb": cost.peak_mb,
        "auc": cost.report["auc"],
    }


def _experiment(task: dict[str, Any], seed: int) -> Experiment:
    import tempfile

    from fedcredit.config import compose
    from fedcredit.experiment.spec import Trainer

    folder = tempfile.mkdtemp(dir=task["scratch"], prefix="results-")
    overrides = [f"seed={seed}", "evaluation.references=[]", f"results_dir={folder}"]
    rounds = [] if task["num_rounds"] is None else [f"training.num_rounds={task['num_rounds']}"]
    experiment = compose(EXPERIMENT, [*overrides, *rounds])
    return experiment.model_copy(update={"trainer": Trainer.model_validate({"kind": task["trainer"]})})


def _first_message_to_evaluation(experiment: Experiment, scratch: Path, clock: Clock) -> None:
    """A run without its preparation and its report: roster, rounds, and the test loans' evaluation."""
    import tempfile
    from contextlib import ExitStack

    from fedcredit.experiment.measure import measure
    from fedcredit.experiment.prepare import lenders, open_ledgers, prepare
    from fedcredit.federation.runtimes.inline import run_inline
    from fedcredit.federation.server import federate

    with tempfile.TemporaryDirectory(dir=scratch) as folder, ExitStack() as stack:
        prepared = prepare(experiment)
        ledgers = open_ledgers(prepared, folder=Path(folder))
        for ledger in ledgers.values():
            stack.enter_context(ledger)
        ready = lenders(prepared, ledgers=ledgers)
        clock.mark("prepared")
        result = run_inline(
            ready,
            lambda grid: federate(
                grid,
                experiment=experiment,
                fingerprint=prepared.fingerprint,
                contracts=prepared.contracts,
                network=prepared.network,
                initial=prepared.initial,
                noise_multiplier=prepared.plan.noise_multiplier,
            ),
        )
        clock.mark("federated")
        measure(prepared, result.parameters, ledgers=ledgers, progress=lambda *_: None)
        clock.mark("evaluated")


if __name__ == "__main__":
    main()

"""A measured child: rounds of workload W's kind on a table, with lenders of equal size."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.processes import Clock, read_task, write_report
from benchmarks.tables import SCHEMA, TABLE

if TYPE_CHECKING:
    from fedcredit.experiment.spec import Experiment


def main() -> None:
    """Marks: ``imported``, ``prepared``, ``round 1``, ``last round``, ``evaluated``."""
    clock = Clock()
    task = read_task()
    import tempfile
    from contextlib import ExitStack

    from fedcredit.experiment.measure import measure
    from fedcredit.experiment.prepare import lenders, open_ledgers, prepare
    from fedcredit.federation.rounds import RoundRecord
    from fedcredit.federation.runtimes.inline import run_inline
    from fedcredit.federation.server import federate

    clock.mark("imported")
    experiment = _experiment(task)
    prepared = prepare(experiment)

    def on_round(record: RoundRecord) -> None:
        if record.server_round in (1, task["num_rounds"]):
            clock.mark("round 1" if record.server_round == 1 else "last round")

    with tempfile.TemporaryDirectory(dir=task["scratch"]) as folder, ExitStack() as stack:
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
                on_round=on_round,
            ),
        )
        measured = measure(prepared, result.parameters, ledgers=ledgers, progress=lambda *_: None)
        clock.mark("evaluated")
    write_report(
        task, clock, auc=measured.evaluation.overall.auc, num_parameters=prepared.network.num_parameters,
        num_train_loans=sum(institution.train.num_loans for institution in prepared.institutions),
    )  # fmt: skip


def _experiment(task: dict[str, Any]) -> Experiment:
    from fedcredit.experiment import spec

    folder = Path(task["table"])
    return spec.Experiment(
        name="benchmark/growth",
        portfolio=spec.FileTable(kind="parquet", path=str(folder / TABLE), schema_file=str(folder / SCHEMA)),
        partition=spec.IidPartition(num_institutions=task["num_lenders"]),
        network=spec.Network(hidden=tuple(task["hidden"]), activation="relu", output_scale=1.0, prior_bad_rate=0.2),
        training=spec.Training(
            num_rounds=task["num_rounds"],
            local=spec.LocalEpochs(expected_batch=128),
            optimiser=spec.Sgd(learning_rate=0.5),
        ),
        privacy=spec.Privacy(noise_multiplier=1.0, clipping_norm=1.0, target_delta=0.1 / task["num_loans"]),
        strategy=spec.Strategy(server_optimiser=spec.Sgd(learning_rate=1.0), averaging_decay=0.0),
        evaluation=spec.Evaluation(every=1, references=()),
        trainer=spec.Trainer.model_validate({"kind": task["trainer"]}),
    )


if __name__ == "__main__":
    main()

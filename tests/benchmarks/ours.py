"""A measured child: a workload with one of our trainers, with and without messages; it collects as the command does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from benchmarks.processes import Clock, read_task, write_report
from benchmarks.workloads import Dealt, Table, Workload, deal, workload
from fedcredit.collecting import seldom_collected

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fedcredit.data.institution import Institution
    from fedcredit.experiment.prepare import Prepared
    from fedcredit.federation.client import Lender

PATHS = ("bare", "inline", "stock")
OnRound = Callable[[int], None]


def main() -> None:
    """Run the task's workload and report the cost of start-up and of the later rounds."""
    clock = Clock()
    task = read_task()
    work = workload(task["workload"], num_rounds=task["num_rounds"], quick=task["quick"])
    with seldom_collected():
        result = run(work, task["trainer"], task["path"], Path(task["scratch"]), clock)
    write_report(task, clock, **result)


def run(work: Workload, kind: str, path: str, scratch: Path, clock: Clock) -> dict[str, Any]:
    """Prepare, then train; the marks are ``imported``, ``ready``, ``round 1`` and ``last round``."""
    import tempfile
    from contextlib import ExitStack

    from fedcredit.experiment.prepare import lenders, open_ledgers

    clock.mark("imported")
    dealt = deal(work)
    prepared = prepared_workload(work, dealt, kind, stock=path == "stock")
    with tempfile.TemporaryDirectory(dir=scratch) as folder, ExitStack() as stack:
        ledgers = {} if path == "bare" else open_ledgers(prepared, folder=Path(folder))
        for ledger in ledgers.values():
            stack.enter_context(ledger)
        ready = lenders(prepared, ledgers=ledgers)
        clock.mark("ready")

        def on_round(server_round: int) -> None:
            if server_round in (1, work.num_rounds):
                clock.mark("round 1" if server_round == 1 else "last round")

        train = _bare if path == "bare" else _federated
        parameters, auc = train(prepared, ready, dealt.held_out, on_round)
    return {"auc": auc, "digest": _digest(parameters), "num_parameters": len(parameters)}


def prepared_workload(work: Workload, dealt: Dealt, kind: str, *, stock: bool) -> Prepared:
    """Draw up what ``prepare`` would for a table, from loans that are there already."""
    from fedcredit.data.contract import draw_up
    from fedcredit.data.portfolio import Portfolio
    from fedcredit.experiment import spec
    from fedcredit.experiment.prepare import Prepared, initial_network
    from fedcredit.model.network import network_from_spec
    from fedcredit.privacy.plan import plan_privacy

    averaging = spec.Strategy(server_optimiser=spec.Sgd(learning_rate=1.0), averaging_decay=0.0)
    experiment = spec.Experiment(
        name=f"benchmark/{work.name}",
        portfolio=spec.PublicTable(table="german"),
        partition=spec.IidPartition(num_institutions=work.num_lenders),
        network=spec.Network(hidden=work.hidden, activation="relu", output_scale=1.0, prior_bad_rate=0.2),
        training=spec.Training(
            num_rounds=work.num_rounds,
            local=spec.LocalEpochs(expected_batch=work.expected_batch),
            optimiser=spec.Sgd(learning_rate=work.learning_rate),
        ),
        privacy=spec.Privacy(
            noise_multiplier=work.noise_multiplier, clipping_norm=work.clipping_norm, target_delta=1e-8
        ),
        strategy=spec.FlowerStrategy(strategy="FedAvg") if stock else averaging,
        evaluation=spec.Evaluation(every=1, references=()),
        trainer=spec.Trainer.model_validate({"kind": kind}),
    )
    sizes = {name: len(table.default) for name, table in dealt.lenders.items()}
    contracts = draw_up(sizes, local=experiment.training.local, weights="by_size")
    network = network_from_spec(experiment.network, work.num_features)
    return Prepared(
        experiment=experiment,
        fingerprint=f"benchmark-{work.name}",
        data_checksum="",
        portfolio=cast(Portfolio, None),  # these loans come from no table, and nothing below asks for one
        institutions=_institutions(dealt),
        contracts=contracts,
        plan=plan_privacy(experiment.privacy, contracts, num_rounds=work.num_rounds),
        network=network,
        initial=initial_network(experiment, network),
    )


def _institutions(dealt: Dealt) -> tuple[Institution, ...]:
    """Every lender validates on its share of the held-out loans, so a round scores each of them once."""
    import numpy as np

    from fedcredit.data.institution import Institution, Loans

    def loans(features: NDArray[np.float32], default: NDArray[np.float32]) -> Loans:
        return Loans(features=features, default=default, rows=np.arange(len(default)))

    count = len(dealt.lenders)
    features, default = (np.array_split(part, count) for part in (dealt.held_out.features, dealt.held_out.default))
    return tuple(
        Institution(
            name=name,
            kind="synthetic",
            train=loans(table.features, table.default),
            validation=loans(features[position], default[position]),
            test=loans(features[position][:0], default[position][:0]),
        )
        for position, (name, table) in enumerate(dealt.lenders.items())
    )


def _bare(
    prepared: Prepared, ready: dict[str, Lender], held_out: Table, on_round: OnRound
) -> tuple[NDArray[np.float32], float | None]:
    """The arithmetic alone: no messages, no ledger, no gate."""
    import numpy as np

    from fedcredit.credit.discrimination import auc
    from fedcredit.experiment.spec import Strategy
    from fedcredit.federation.aggregate import aggregate
    from fedcredit.federation.server_optimiser import initial_state, released, server_step
    from fedcredit.model.network import to_pd
    from fedcredit.training.contract import RoundStreams
    from fedcredit.training.trainers import predictor

    strategy = prepared.experiment.strategy
    assert isinstance(strategy, Strategy)
    predict = predictor(prepared.experiment.trainer.kind)
    state, area = initial_state(prepared.initial), None
    weights = np.array([lender.contract.weight for lender in ready.values()])
    updates = np.empty((len(ready), prepared.network.num_parameters))
    for server_round in range(1, prepared.experiment.training.num_rounds + 1):
        for position, lender in enumerate(ready.values()):
            train = lender.institution.train
            streams = RoundStreams(sampling=lender.sampling, noise=lender.noise, server_round=server_round)
            outcome = lender.trainer(
                lender.network, state.parameters, train.features, train.default,
                settings=lender.settings, streams=streams,
            )  # fmt: skip
            updates[position] = outcome.parameters.astype(np.float64) - state.parameters
        state = server_step(strategy, state, aggregate(strategy.aggregator, updates, weights))
        area = auc(to_pd(predict(prepared.network, released(state), held_out.features)), held_out.default)
        on_round(server_round)
    return released(state), area


def _federated(
    prepared: Prepared, ready: dict[str, Lender], held_out: Table, on_round: OnRound
) -> tuple[NDArray[np.float32], float | None]:
    """All of the federation, over the inline runtime; the held-out loans lie with the lenders."""
    from fedcredit.federation.runtimes.inline import run_inline
    from fedcredit.federation.server import federate

    result = run_inline(
        ready,
        lambda grid: federate(
            grid,
            experiment=prepared.experiment,
            fingerprint=prepared.fingerprint,
            contracts=prepared.contracts,
            network=prepared.network,
            initial=prepared.initial,
            noise_multiplier=prepared.plan.noise_multiplier,
            on_round=lambda record: on_round(record.server_round),
        ),
    )
    last = result.rounds[-1]
    assert not any(record.quarantined for record in result.rounds)
    assert last.evaluation is not None
    assert last.evaluation.overall.num_loans == len(held_out.default)
    return result.parameters, last.evaluation.overall.auc


def _digest(parameters: NDArray[np.float32]) -> str:
    import hashlib

    return hashlib.sha256(parameters.tobytes()).hexdigest()[:16]


if __name__ == "__main__":
    main()

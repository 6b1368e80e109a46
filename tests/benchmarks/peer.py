"""A measured child: the same workload on stock Flower, Ray and Opacus, in a network namespace of its own."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from benchmarks.processes import Clock, read_task, write_report
from fedcredit.federation.runtimes.isolation import enter_loopback_namespace


def main() -> None:
    """Run the task's workload and report the cost to the end of round 1 and of the later rounds."""
    clock = Clock()
    task = read_task()
    enter_loopback_namespace()
    import logging

    from flwr.simulation import run_simulation

    from benchmarks import peer_app
    from benchmarks.workloads import workload

    logging.getLogger("flwr").setLevel(logging.WARNING)
    clock.mark("imported")
    work = workload(task["workload"], num_rounds=task["num_rounds"], quick=task["quick"])
    areas: list[float] = []
    with tempfile.TemporaryDirectory(prefix="fc-", dir="/tmp") as short:
        run_simulation(
            server_app=peer_app.make_server_app(work, task, clock, areas),
            client_app=peer_app.app,
            num_supernodes=work.num_lenders,
            backend_config={
                "client_resources": {"num_cpus": 1, "num_gpus": 0.0},
                "init_args": _ray_settings(short, task["num_workers"]),
            },
        )
    write_report(task, clock, auc=areas[-1], num_rounds_done=len(areas) - 1)


def _ray_settings(folder: str, num_workers: int) -> dict[str, Any]:
    return {
        "num_cpus": num_workers,
        "_node_ip_address": "127.0.0.1",
        "_temp_dir": str(Path(folder) / "ray"),
        "include_dashboard": False,
        "log_to_driver": False,
        "logging_level": "ERROR",
        "object_store_memory": 256 * 1024 * 1024,
    }


if __name__ == "__main__":
    main()

"""The machine: its name, its matrix libraries, and the multiplications a core can do in a second.

The peak is that of OpenBLAS's single-precision product in numpy, the best over the kernels that this
machine can run: a library that does not know a new processor may choose a slow one by itself.
"""

from __future__ import annotations

import os
import platform
import time
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.processes import ChildFailedError, Clock, dropped_settings, read_task, run_module, write_report

_KERNELS = ("", "Zen", "Haswell", "SkylakeX")
_SIZES = (256, 512, 1024, 2048)
_SECONDS = 0.15
_LIMIT = 120.0


def describe(scratch: Path) -> dict[str, Any]:
    """Measure the peak and describe the machine; plain data."""
    kernels: dict[str, float] = {}
    libraries: list[str] = []
    for kernel in _KERNELS:
        try:
            environment = {"OPENBLAS_CORETYPE": kernel} if kernel else {}
            cost = run_module("benchmarks.machine", {}, scratch=scratch, limit=_LIMIT, environment=environment)
        except ChildFailedError:
            continue
        kernels[kernel or "default"] = cost.report["gflops"]
        libraries = libraries or cost.report["libraries"]
    return {
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
        "processor": _processor(),
        "num_processors": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "load_average": os.getloadavg()[0],
        "python": platform.python_version(),
        "libraries": libraries,
        "gflops_by_kernel": kernels,
        "peak_gflops": max(kernels.values()),
        "not_passed_to_children": dropped_settings(),
    }


def line(machine: dict[str, Any]) -> str:
    """The machine in one line."""
    best = max(machine["gflops_by_kernel"], key=machine["gflops_by_kernel"].get)
    dropped = f"; set in this shell but not in the children: {', '.join(machine['not_passed_to_children'])}"
    return (
        f"{machine['date']}, {machine['processor']}, {machine['num_processors']} cores, {machine['memory_gb']} GB, "
        f"load {machine['load_average']:.1f} at the start; {'; '.join(machine['libraries'])}; FMA peak "
        f"{machine['peak_gflops']:.0f} GFLOP/s a core (sgemm, kernels {best}; by OpenBLAS's own choice "
        f"{machine['gflops_by_kernel'].get('default', float('nan')):.0f})"
        f"{dropped if machine['not_passed_to_children'] else ''}"
    )


def main() -> None:
    """A measured child: the best rate of this process's kernels, and the libraries that are loaded."""
    clock = Clock()
    task = read_task()
    gflops = max(_rate(size) for size in _SIZES)
    import scipy.linalg  # noqa: F401 - loads scipy's OpenBLAS
    import torch  # noqa: F401 - loads MKL

    threadpool_info: Any = import_module("threadpoolctl").threadpool_info
    clock.mark("done")
    libraries = {
        " ".join(str(found.get(key)) for key in ("internal_api", "version", "architecture") if found.get(key))
        for found in threadpool_info()
    }
    write_report(task, clock, gflops=gflops, libraries=sorted(libraries))


def _rate(size: int) -> float:
    import numpy as np

    left, right = (np.random.default_rng(seed).random((size, size), dtype=np.float32) for seed in (1, 2))
    out = np.empty_like(left)
    np.dot(left, right, out=out)
    best = 0.0
    count = max(1, int(_SECONDS * 1e11 / (2.0 * size**3)))
    for _ in range(5):
        started = time.process_time()
        for _ in range(count):
            np.dot(left, right, out=out)
        best = max(best, count * 2.0 * size**3 / (time.process_time() - started) / 1e9)
    return best


def _processor() -> str:
    for row in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if row.startswith("model name"):
            return row.partition(":")[2].strip()
    return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()

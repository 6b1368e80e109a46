"""On what a run was made: versions, machine and threads. It takes no part in comparing runs."""

from __future__ import annotations

import functools
import os
import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

from pydantic import JsonValue

_PACKAGES = (
    "fedcredit", "flwr", "torch", "opacus", "dp-accounting", "hydra-core", "pydantic", "numpy", "scipy",
    "scikit-learn", "pyarrow", "ray", "numba",
)  # fmt: skip


def environment() -> dict[str, JsonValue]:
    """Describe the software and the machine of this process.

    Returns:
        Plain data: versions by package, Python, platform, processor count and the time in UTC.
    """
    return {
        "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "num_processors": os.cpu_count() or 1,
        "packages": {name: _version(name) for name in _PACKAGES},
    }


@functools.cache
def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"

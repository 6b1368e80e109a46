"""What a run loads before, during and after its rounds: libraries are imported where they are used."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("credit_data")

RUN = """
import sys
from fedcredit.config import compose
from fedcredit.experiment.runner import run
run(compose(None, sys.argv[2:]), progress=False, report=sys.argv[1] == "report")
print(*sorted(sys.modules))
"""
OVERRIDES = (
    "portfolio=german", "partition=iid", "partition.num_institutions=3", "privacy.target_delta=1e-4",
    "privacy.target_epsilon=4", "training.num_rounds=2", "evaluation.every=1", "evaluation.references=[]",
)  # fmt: skip
# Of a run on the inline runtime whose prices are in the accounting cache. pandas is not among them: pyarrow loads it
# with its first array wherever it is installed, and fairlearn needs it.
NEVER = {"opacus", "ray", "sklearn", "dp_accounting", "absl", "scipy.stats", "scipy.optimize"}
FOR_THE_PAGE = {"matplotlib", "jinja2", "PIL"}


def loaded(folder: Path, page: str) -> set[str]:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "FEDCREDIT_CACHE": str(folder / "cache"),
    }
    where = f"results_dir={folder / page}"
    command = [sys.executable, "-c", RUN, page, *OVERRIDES, where]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_a_run_loads_no_library_that_it_does_not_use(tmp_path: Path) -> None:
    assert loaded(tmp_path, "cold") >= {"dp_accounting", "flwr"}
    warm = loaded(tmp_path, "warm")
    assert warm & (NEVER | FOR_THE_PAGE) == set()
    assert loaded(tmp_path, "report") & NEVER == set()

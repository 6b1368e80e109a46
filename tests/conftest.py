"""What every test shares: one thread, a cache of its own, and the folder of real tables."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings

for _threads in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_threads, "1")

_TABLE = "taiwan_default_30000.parquet"
_OWN_CACHE = "FEDCREDIT_TEST_CACHE"

settings.register_profile("fedcredit", derandomize=True, deadline=None, database=None)
settings.load_profile("fedcredit")


def pytest_configure(config: pytest.Config) -> None:
    if "FEDCREDIT_CACHE" not in os.environ:
        os.environ["FEDCREDIT_CACHE"] = os.environ[_OWN_CACHE] = tempfile.mkdtemp(prefix="fedcredit-cache-")


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput") and _OWN_CACHE in os.environ:
        shutil.rmtree(os.environ.pop(_OWN_CACHE), ignore_errors=True)
        del os.environ["FEDCREDIT_CACHE"]


@pytest.fixture(scope="session")
def credit_data() -> Path:
    """The folder of real credit tables; without it a test fails in continuous integration and is skipped elsewhere."""
    named = os.environ.get("FEDCREDIT_DATA")
    if named is not None and (Path(named) / _TABLE).is_file():
        return Path(named)
    reason = f"FEDCREDIT_DATA is {named or 'not set'}; it must name a folder that holds {_TABLE}"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)

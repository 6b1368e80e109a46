"""Markets that were simulated before, in the user's cache: a sweep simulates each of its markets once.

An entry is a folder ``markets/<digest>`` of the view's table, the truth of its rows and a manifest. The digest
is of the portfolio's settings and of the simulator's own source, so a changed simulator never meets an old
market. Files that do not verify are simulated again. Deleting the folder loses nothing.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fedcredit.data.market.snapshots import Truth
from fedcredit.experiment import spec

_TABLE, _TRUTH, _MANIFEST = "table.parquet", "truth.parquet", "manifest.json"
_HAZARD = "hazard_"
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What an experiment sees of a market, and what is true of it.

    ``table`` is the view, one row per account and month; ``truth`` belongs to its rows.
    ``default_flow`` counts, by kind of lender, the entries into default four to six months after
    ``shock_month``, whether or not there is a shock.
    """

    table: pa.Table
    truth: Truth
    default_flow: Mapping[str, float]


def load(portfolio: spec.MarketPortfolio) -> Seen | None:
    """Look a market up.

    Args:
        portfolio: the experiment's portfolio.

    Returns:
        The market, or None if there is none that verifies.
    """
    folder = _folder(portfolio)
    try:
        manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
        if any(_digest(folder / name) != manifest["sha256"][name] for name in (_TABLE, _TRUTH)):
            raise ValueError("digest")
        flow = {str(kind): float(count) for kind, count in manifest["default_flow"].items()}
        return Seen(table=pq.read_table(folder / _TABLE), truth=_truth(folder / _TRUTH), default_flow=flow)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        _LOG.warning("cached market %s does not verify (%s) and is simulated again", folder, type(error).__name__)
        return None


def store(portfolio: spec.MarketPortfolio, seen: Seen) -> None:
    """Keep a market. A folder that cannot be written is logged, and the market is not kept.

    Args:
        portfolio: the experiment's portfolio.
        seen: the market.
    """
    folder = _folder(portfolio)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=".tmp-", dir=folder.parent))
        try:
            pq.write_table(seen.table, unfinished / _TABLE)
            pq.write_table(_truth_table(seen.truth), unfinished / _TRUTH)
            digests = {name: _digest(unfinished / name) for name in (_TABLE, _TRUTH)}
            manifest = {"sha256": digests, "default_flow": dict(seen.default_flow)}
            (unfinished / _MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
            shutil.rmtree(folder, ignore_errors=True)
            unfinished.rename(folder)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    except OSError as error:
        _LOG.warning("cached markets: %s cannot be written (%s); nothing is kept", folder.parent, error.strerror)


@contextmanager
def alone(portfolio: spec.MarketPortfolio) -> Iterator[None]:
    """Let one process at a time simulate a market; where no lock can be had, let it go on without.

    Args:
        portfolio: the experiment's portfolio.

    Yields:
        Nothing.
    """
    folder = _folder(portfolio)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        handle = folder.with_suffix(".lock").open("w")
    except OSError:
        yield
        return
    with handle:
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _folder(portfolio: spec.MarketPortfolio) -> Path:
    root = os.environ.get("FEDCREDIT_CACHE")
    cache = Path(root).expanduser() if root else Path.home() / ".cache" / "fedcredit"
    key = f"{portfolio.model_dump_json()}\n{_simulator()}\n{np.__version__}"
    return cache / "markets" / hashlib.sha256(key.encode()).hexdigest()[:32]


@functools.cache
def _simulator() -> str:
    """Digest the simulator's own source and schemas."""
    found = hashlib.sha256()
    package = resources.files("fedcredit.data.market")
    parts = [*package.iterdir(), *(package / "schemas").iterdir(), resources.files("fedcredit") / "seeds.py"]
    for part in sorted((part for part in parts if part.name.endswith((".py", ".yaml"))), key=lambda part: part.name):
        found.update(part.name.encode() + b"\0" + part.read_bytes() + b"\0")
    return found.hexdigest()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _truth_table(truth: Truth) -> pa.Table:
    flat = {name: getattr(truth, name) for name in Truth.__dataclass_fields__ if name != "hazard"}
    return pa.table(flat | {f"{_HAZARD}{ahead}": hazard for ahead, hazard in enumerate(truth.hazard)})


def _truth(path: Path) -> Truth:
    table = pq.read_table(path)
    columns = {name: table.column(name).to_numpy() for name in table.column_names}
    hazard = [columns.pop(f"{_HAZARD}{ahead}") for ahead in range(sum(name.startswith(_HAZARD) for name in columns))]
    return Truth(hazard=np.stack(hazard), **columns)

"""A market on disk: one folder per lender with what it knows, and the truth apart from all of them."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from fedcredit.data.market.lenders import SCENARIOS
from fedcredit.data.market.panel import NOTHING_DUE, Progress
from fedcredit.data.market.plans import NEVER, outcomes
from fedcredit.data.market.risk import BUCKETS
from fedcredit.data.market.settings import MarketSettings
from fedcredit.data.market.simulate import Market, simulate
from fedcredit.data.market.snapshots import (
    Snapshot,
    application_snapshot,
    behavioural_snapshot,
    check_month,
    joined,
    snapshot_table,
)
from fedcredit.errors import InputError

FORMAT = "fedcredit/market/1"
MANIFEST = "manifest.json"
_REASONS = ("none", "cannot pay", "will not pay")
_VIEWS = ("behaviour", "application")


def write_market(
    folder: Path, settings: MarketSettings, *, snapshot_months: tuple[int, ...], progress: Progress | None = None
) -> Path:
    """Simulate a market and write it.

    ``<view>.parquet`` holds all lenders and ``lenders/<lender>/<view>.parquet`` one of them, both readable with
    ``<view>.yaml``; beside it lie the lender's accounts, plans, panel, applications and contacts. ``truth/`` is
    for evaluation only. The folder appears when it is complete.

    Args:
        folder: a folder that does not exist yet, or is empty.
        settings: the market's settings.
        snapshot_months: months of the behavioural snapshot.
        progress: told the stage, the steps done and the steps there are.

    Returns:
        The manifest's path.

    Raises:
        InputError: for a folder that holds something, or settings that do not fit.
    """
    for month in snapshot_months:
        check_month(settings, month)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"folder {folder}: holds something already; name a new or an empty folder")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise InputError(f"folder {folder}: cannot be made ({error.strerror})") from None
    try:
        market = simulate(settings, progress=progress)
        views = {
            "behaviour": joined([behavioural_snapshot(market, month) for month in snapshot_months]),
            "application": application_snapshot(market),
        }
        _write_views(unfinished, market, views)
        for done, place in enumerate(range(len(settings.lenders)), start=1):
            _write_lender(unfinished / "lenders" / settings.lenders[place].name, market, place)
            if progress is not None:
                progress("lenders", done, len(settings.lenders))
        _write_manifest(unfinished, market, snapshot_months)
        unfinished.chmod(0o755)
        if folder.exists():
            folder.rmdir()
        unfinished.rename(folder)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    return folder / MANIFEST


def _write_views(folder: Path, market: Market, views: dict[str, Snapshot]) -> None:
    for view, snapshot in views.items():
        schema = resources.files("fedcredit.data.market") / "schemas" / f"{view}.yaml"
        (folder / f"{view}.yaml").write_text(schema.read_text(encoding="utf-8"), encoding="utf-8")
        table = snapshot_table(market, snapshot)
        _write(folder / f"{view}.parquet", table)
        truth = _truth(snapshot)
        for place, lender in enumerate(market.settings.lenders):
            own = pa.array(np.flatnonzero(snapshot.lender == place))
            _write(folder / "lenders" / lender.name / f"{view}.parquet", table.take(own))
            _write(folder / "truth" / lender.name / f"{view}.parquet", truth.take(own))
    people = market.borrowers
    traits = {name: getattr(people, name) for name in ("ability", "willingness", "sensitivity", "income")}
    identity = {"borrower": np.arange(people.num_borrowers), "ring": _nullable(market.ring, market.ring < 0)}
    _write(folder / "truth" / "borrowers.parquet", pa.table(identity | traits))


def _truth(snapshot: Snapshot) -> pa.Table:
    truth = snapshot.truth
    return pa.table(
        {
            "account": snapshot.account,
            "snapshot_month": snapshot.month,
            "true_pd": truth.pd,
            **{f"true_hazard_{ahead + 1}": hazard for ahead, hazard in enumerate(truth.hazard)},
            "ring": _nullable(truth.ring, truth.ring < 0),
            "other_lenders": truth.other_lenders,
            "other_balance_amount": truth.other_balance_amount,
            "other_overdue": truth.other_overdue,
        }
    )


def _write_lender(folder: Path, market: Market, place: int) -> None:
    own = np.flatnonzero(market.accounts.lender == place)
    _write(folder / "accounts.parquet", _accounts(market, own))
    _write(folder / "plans.parquet", _plans(market, place))
    asked = market.applications
    chosen = asked.lender == place
    names = ("borrower", "month", "score", "accepted")
    _write(folder / "applications.parquet", pa.table({name: getattr(asked, name)[chosen] for name in names}))
    if "contacts" in market.settings.lenders[place].collects:
        customer = np.zeros(market.borrowers.num_borrowers, dtype=np.bool_)
        customer[market.accounts.borrower[own]] = True
        edges = customer[market.contacts.source]
        contacts = {"borrower": market.contacts.source[edges], "contact": market.contacts.target[edges]}
        _write(folder / "contacts.parquet", pa.table(contacts))
    months = _panel(market, own)
    first = next(months)
    with pq.ParquetWriter(folder / "panel.parquet", first.schema) as writer:
        writer.write_table(first)
        for table in months:
            writer.write_table(table)


def _accounts(market: Market, own: NDArray[np.int64]) -> pa.Table:
    accounts, history = market.accounts, market.history
    who = accounts.borrower[own]
    when = history.default_month[own]
    good = when == NEVER
    return pa.table(
        {
            "account": own,
            "borrower": who,
            "opened": accounts.opened[own],
            "scenario": pa.DictionaryArray.from_arrays(accounts.scenario[own], list(SCENARIOS)),
            "limit_amount": accounts.limit[own],
            "device": market.borrowers.device[who],
            "address": market.borrowers.address[who],
            "default_month": _nullable(when, good),
            "ead_amount": _nullable(history.losses.ead[own], good),
            "loss_amount": _nullable(history.losses.ead[own] * history.losses.lgd[own], good),
        }
    )


def _plans(market: Market, place: int) -> pa.Table:
    plans = market.history.plans
    ended = outcomes(market.settings, plans, market.history.default_month)
    chosen = market.accounts.lender[plans.account] == place
    numbers = ("account", "month", "tenor", "amount", "fee_rate", "instalment")
    return pa.table(
        {
            **{name: getattr(plans, name)[chosen] for name in numbers},
            "scenario": pa.DictionaryArray.from_arrays(plans.scenario[chosen], list(SCENARIOS)),
            **{name: values[chosen] for name, values in ended.__dict__.items()},
        }
    )


def _panel(market: Market, own: NDArray[np.int64]) -> Iterator[pa.Table]:
    """Yield the panel month by month, the accounts that are open."""
    panel, accounts = market.history.panel, market.accounts
    for month in range(panel.num_months):
        rows = own[: np.searchsorted(accounts.opened[own], month, side="right")]
        balance, on_time = panel.balance[month, rows], panel.on_time[month, rows]
        yield pa.table(
            {
                "account": rows,
                "month": np.full(len(rows), month, dtype=np.int8),
                "bucket": pa.DictionaryArray.from_arrays(panel.bucket[month, rows], list(BUCKETS)),
                "balance_amount": balance,
                "due_amount": panel.due[month, rows],
                "paid_amount": panel.paid[month, rows],
                "bought_amount": panel.bought[month, rows],
                "utilisation": balance / accounts.limit[rows],
                "on_time_percent": _nullable(on_time, on_time == NOTHING_DUE),
                "orders": panel.orders[month, rows],
                "reason": pa.DictionaryArray.from_arrays(panel.reason[month, rows], list(_REASONS)),
                "holiday": panel.holiday[month, rows],
            }
        )


def _nullable(values: NDArray[Any], missing: NDArray[np.bool_]) -> pa.Array:
    return pa.array(values, mask=missing)


def _write(path: Path, table: pa.Table) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)


def _write_manifest(folder: Path, market: Market, snapshot_months: tuple[int, ...]) -> None:
    settings = asdict(market.settings)
    for lender in settings["lenders"]:
        lender["collects"] = sorted(lender["collects"])
    content = {
        "format": FORMAT,
        "settings": settings,
        "snapshot_months": list(snapshot_months),
        "macro_factor": market.factors.tolist(),
        "num_accounts": market.accounts.num_accounts,
        "num_plans": market.history.plans.num_plans,
        "views": list(_VIEWS),
        "files": {
            str(path.relative_to(folder)): {"bytes": path.stat().st_size, "sha256": _digest(path)}
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        },
    }
    (folder / MANIFEST).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

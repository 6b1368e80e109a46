"""Loan tables: the public ones known by name, and the user's own files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path

import pyarrow as pa

from fedcredit.data.checksum import canonical_checksum
from fedcredit.data.download import DownloadError, download, verified_checksum
from fedcredit.data.files import read_csv, read_parquet
from fedcredit.data.kept import computed, content_of, table_of
from fedcredit.data.portfolio import Portfolio, portfolio_from_table
from fedcredit.data.schema import Schema, read_schema
from fedcredit.data.sources import SOURCES, Source
from fedcredit.errors import InputError
from fedcredit.experiment import spec

Progress = Callable[[str, int, int], None]


def load_portfolio(
    portfolio: spec.Portfolio,
    *,
    progress: Progress | None = None,
    sources: Mapping[str, Source] = SOURCES,
) -> Portfolio:
    """Load and check the loans of an experiment.

    A public table is looked for in the folder of ``FEDCREDIT_DATA``, then in the user's cache
    (``FEDCREDIT_CACHE`` or ``~/.cache/fedcredit``), then downloaded into the cache. No network is
    used when the file is there. A market is simulated. What this process has had before is not read again.

    Args:
        portfolio: the experiment's portfolio.
        progress: told the table, bytes done and bytes there are, while one is downloaded; of a market, the months.
        sources: the known public tables.

    Returns:
        The portfolio.

    Raises:
        InputError: if the file or the schema is not what it must be, or cannot be had.
    """
    if isinstance(portfolio, spec.PublicTable):
        name, source = portfolio.table, sources[portfolio.table]
        path = _public_file(name, source, progress)
        content = content_of(path)
        key = None if content is None else (name, source, content)
        return table_of(key, lambda: portfolio_from_table(_verified(name, path, source), public_schema(name)))
    if isinstance(portfolio, spec.MarketPortfolio):
        from fedcredit.data.market.portfolio import market_portfolio

        market = portfolio
        return table_of(market, lambda: market_portfolio(market, progress=progress))
    content = content_of(Path(portfolio.path), Path(portfolio.schema_file))
    return table_of(None if content is None else (portfolio, content), lambda: _own_table(portfolio))


def _own_table(portfolio: spec.FileTable) -> Portfolio:
    schema = read_schema(portfolio.schema_file)
    table = (read_csv if portfolio.kind == "csv" else read_parquet)(Path(portfolio.path))
    try:
        return portfolio_from_table(table, schema)
    except InputError as error:
        raise InputError(f"portfolio.path {portfolio.path}: {error}") from None


def public_schema(name: str) -> Schema:
    """Return the schema of a public table.

    Args:
        name: the table's name.

    Returns:
        Its schema, which is part of the package.
    """
    with resources.as_file(resources.files("fedcredit.data") / "schemas" / f"{name}.yaml") as path:
        return read_schema(path)


def data_checksum(portfolio: Portfolio) -> str:
    """Hash what an experiment reads: the checked columns, the labels, the keys and the schema.

    Args:
        portfolio: the loans.

    Returns:
        SHA-256 as 64 hexadecimal digits.
    """
    return computed(portfolio, "checksum", None, lambda: _checksum(portfolio))


def _checksum(portfolio: Portfolio) -> str:
    columns = {f"column {name}": pa.array(cells.tolist()) for name, cells in portfolio.columns.items()}
    table = pa.table({**columns, "default": portfolio.default, "borrower": portfolio.borrower.tolist()})
    return hashlib.sha256(f"{portfolio.schema!r}\n{canonical_checksum(table)}".encode()).hexdigest()


def _public_file(name: str, source: Source, progress: Progress | None) -> Path:
    named, cache = _named_folder(), _cache_folder()
    for folder in (named, cache):
        if folder is not None and (folder / source.file_name).exists():
            return folder / source.file_name
    try:
        return download(name, source, cache, progress=progress)
    except (DownloadError, OSError) as error:
        looked = " and ".join(str(folder) for folder in (named, cache) if folder is not None)
        reasons = "".join(f"\n  {line}" for line in str(error).splitlines())
        raise InputError(
            f"table {name}: {source.file_name} is not in {looked}, and could not be downloaded:{reasons}\n"
            f"Put the file into a folder and set FEDCREDIT_DATA to that folder. It is made from {source.origin}."
        ) from None


def _verified(name: str, path: Path, source: Source) -> pa.Table:
    table = read_parquet(path)
    if verified_checksum(table, source) != source.checksum:
        raise InputError(
            f"table {name}: the content of {path} ({table.num_rows} rows) is not the known one (canonical checksum "
            f"{verified_checksum(table, source)[:12]}... instead of {source.checksum[:12]}...). Nothing was changed; "
            "move the file away to have it downloaded again, or load it as your own with kind: parquet"
        )
    return table


def _named_folder() -> Path | None:
    value = os.environ.get("FEDCREDIT_DATA")
    if not value:
        return None
    folder = Path(value).expanduser()
    if not folder.is_dir():
        raise InputError(f"FEDCREDIT_DATA is {value}, which is not a folder; name one or unset it")
    return folder


def _cache_folder() -> Path:
    value = os.environ.get("FEDCREDIT_CACHE")
    return (Path(value).expanduser() if value else Path.home() / ".cache" / "fedcredit") / "tables"

"""New loans through a finished run's schema and network: probabilities of default, points, reasons.

A loan's score has the same bits whatever stands beside it in the table, in whatever order and in chunks of
whatever size; loans of the run itself get the scores that its evaluation saw.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fedcredit.credit.calibration import own_intercept, shift_logits
from fedcredit.credit.reasons import adverse_reasons, attribute
from fedcredit.credit.scorecard import Scorecard
from fedcredit.data.encoding import encode
from fedcredit.data.files import read_csv, read_parquet
from fedcredit.data.new_loans import NewLoans, new_loans
from fedcredit.data.wording import nearest
from fedcredit.errors import InputError
from fedcredit.experiment.kept_model import KeptModel
from fedcredit.experiment.prepare import Prepared, predict_pd
from fedcredit.experiment.review import unit_of_each_feature
from fedcredit.model.input_gradients import log_odds_and_gradients

Progress = Callable[[str, int, int], None]
CHUNK = 65_536
AS_RELEASED = "as released, one level for all lenders"
PARQUET = (".parquet", ".pq")
ENDINGS = (".csv", *PARQUET)
_ROW = "row"


@dataclass(frozen=True, kw_only=True)
class Level:
    """What is added to every logit, whose level that is in a clause, and of a lender's own its kind in few words."""

    shift: float = 0.0
    told: str = AS_RELEASED
    kind: str = ""


@dataclass(frozen=True, kw_only=True)
class ScoredTable:
    """Scores in the order of the table, with what their reader should know.

    ``table`` has the row number from 1, the keys that the loans came with, ``pd``, ``points``, at a lender's own level
    its kind as ``level``, and where reasons were asked for ``reason_1``, ``reason_1_points``, ...: columns that count
    against the loan, the worst first.
    """

    table: pa.Table
    level: Level
    not_read: tuple[str, ...]
    remarks: tuple[str, ...]


def read_loans(path: Path) -> pa.Table:
    """Read a table of loans.

    Args:
        path: a file; a name that ends in ``.parquet`` or ``.pq`` is parquet, any other csv.

    Returns:
        The table.

    Raises:
        InputError: if it is no such file.
    """
    return (read_parquet if path.suffix.lower() in PARQUET else read_csv)(path)


def score(
    model: KeptModel,
    table: pa.Table,
    *,
    level: Level | None = None,
    num_reasons: int = 0,
    chunk: int = CHUNK,
    progress: Progress | None = None,
) -> ScoredTable:
    """Score new loans.

    Args:
        model: a finished run's model.
        table: the loans, one a row; columns that the encoding does not read may be missing.
        level: what is added to the logits; nothing by default.
        num_reasons: columns a loan that count against it, from 0 to all columns; they cost more than the scores.
        chunk: loans that are encoded at once, at least 1; it decides memory and no bit of pd and points.
        progress: told the stage, the loans done and the loans there are.

    Returns:
        The scores.

    Raises:
        InputError: all problems of the table at once, or a number of reasons out of range.
    """
    most = len(set(unit_of_each_feature(model.schema)))
    if not 0 <= num_reasons <= most:
        raise InputError(f"reasons is {num_reasons}; allowed is 0 to {most}, the columns that the run scores by")
    loans, used = new_loans(table, model.schema), level or Level()
    found = np.empty(loans.num_loans)
    reasons: list[dict[str, list[Any]]] = []
    for first in range(0, loans.num_loans, chunk):
        features = encode(loans.between(first, first + chunk))
        pd = model.pd(features)
        found[first : first + chunk] = pd if used.shift == 0.0 else shift_logits(pd, used.shift)
        if num_reasons:
            reasons.append(_reason_columns(model, features, num_reasons))
        if progress is not None:
            progress("scoring", min(first + chunk, loans.num_loans), loans.num_loans)
    columns: dict[str, Any] = _keys(loans, taken={*_names(num_reasons)})
    columns |= {"pd": found, "points": Scorecard().points(found)}
    if used.kind:
        columns["level"] = [used.kind] * loans.num_loans
    for name in reasons[0] if reasons else ():
        columns[name] = [cell for part in reasons for cell in part[name]]
    return ScoredTable(table=pa.table(columns), level=used, not_read=loans.not_read, remarks=loans.remarks)


def lender_level(model: KeptModel, lender: str, *, progress: Progress | None = None) -> Level:
    """Find the level of one lender of the run.

    Args:
        model: the run's model.
        lender: the lender's name.
        progress: told the stage while the lender's loans are built again.

    Returns:
        Its charged intercept where the run released one; else the one that was kept inside, fitted again on the
        lender's own training and validation loans, which must be at hand.

    Raises:
        InputError: if there is no such lender, or the run has no intercepts of lenders.
    """
    names = sorted(contract.institution for contract in model.record.contracts)
    if lender not in names:
        raise InputError(f"lender {lender!r} is none of this run{nearest(lender, names)}; it has {', '.join(names)}")
    if model.record.mode != "simulated" or model.record.own_intercept is None:
        raise InputError(
            f"{model.folder} has no intercepts of single lenders (mode {model.record.mode}, evaluation.own_intercept="
            f"{str(model.experiment.evaluation.own_intercept).lower()}); score without a lender"
        )
    shifts = None if model.record.charged is None else model.record.charged.shifts
    if shifts is not None:
        shift = shifts[lender]
        if shift is None:
            raise InputError(f"noise hides the charged intercept of {lender}, so it has none; score without a lender")
        told = f"{lender}'s charged intercept, {shift:+.4f} on the log-odds"
        return Level(shift=shift, told=told, kind="charged")
    return _kept_inside(model, lender, progress)


def scores_parquet(scored: ScoredTable, *, model: KeptModel) -> bytes:
    """Write scores as parquet.

    Args:
        scored: the scores.
        model: where they are from, which the file's metadata name.

    Returns:
        The file's content.
    """
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    origin = {"fingerprint": model.record.fingerprint, "level": scored.level.told}
    pq.write_table(scored.table.replace_schema_metadata(origin), sink)
    return bytes(sink.getvalue())


def scores_csv(scored: ScoredTable) -> bytes:
    """Write scores as csv; every number reads back to its bits.

    Args:
        scored: the scores.

    Returns:
        UTF-8 text with a header line.
    """
    import pyarrow.csv as pacsv

    sink = pa.BufferOutputStream()
    pacsv.write_csv(scored.table, sink, pacsv.WriteOptions(quoting_style="needed"))
    return bytes(sink.getvalue())


def _names(num_reasons: int) -> list[str]:
    own = [name for place in range(1, num_reasons + 1) for name in (f"reason_{place}", f"reason_{place}_points")]
    return [_ROW, "pd", "points", "level", *own]


def _keys(loans: NewLoans, *, taken: set[str]) -> dict[str, Any]:
    """Name the loans by their place and by what keys there are; a key called like a column of ours gets a prefix."""
    columns: dict[str, Any] = {_ROW: np.arange(1, loans.num_loans + 1)}
    for name, cells in loans.keys.items():
        columns[f"key_{name}" if name in taken else name] = cells.tolist()
    return columns


def _reason_columns(model: KeptModel, features: NDArray[np.float32], num_reasons: int) -> dict[str, list[Any]]:
    found = adverse_reasons(
        attribute(
            features,
            gradients=lambda rows: log_odds_and_gradients(model.network, model.parameters, rows),
            background=np.zeros(features.shape[1]),
            columns=unit_of_each_feature(model.schema),
        ),
        num_reasons=num_reasons,
    )
    columns: dict[str, list[Any]] = {}
    for place in range(num_reasons):
        given = [own[place] if place < len(own) else None for own in found]
        columns[f"reason_{place + 1}"] = [None if one is None else one.column for one in given]
        columns[f"reason_{place + 1}_points"] = [None if one is None else round(one.points, 2) for one in given]
    return columns


def _kept_inside(model: KeptModel, lender: str, progress: Progress | None) -> Level:
    from fedcredit.experiment.decisions.rescoring import rescored

    run = rescored(model.folder, progress=progress)
    shift = fitted_shift(run.prepared, model.parameters, lender)
    if shift is None:
        raise InputError(f"{lender} has loans of one outcome alone, so no intercept of its own; score without a lender")
    return Level(
        shift=shift,
        told=f"{lender}'s own intercept, {shift:+.4f} on the log-odds, fitted on its own loans again: it is kept "
        "inside the lender, was never released, and no epsilon covers these scores",
        kind="inside, never released",
    )


def fitted_shift(prepared: Prepared, parameters: NDArray[np.float32], lender: str) -> float | None:
    """Fit one lender's intercept on its own training and validation loans, as its evaluation did.

    Args:
        prepared: the prepared experiment.
        parameters: the released network, ``[num_parameters]``.
        lender: the lender's name.

    Returns:
        The shift of the logits; ``None`` where its loans have one outcome alone.
    """
    (own,) = (institution for institution in prepared.institutions if institution.name == lender)
    parts = (own.train, own.validation)
    pds = [predict_pd(prepared, prepared.network, parameters, part.features) for part in parts]
    return own_intercept(np.concatenate(pds), np.concatenate([part.default for part in parts]))

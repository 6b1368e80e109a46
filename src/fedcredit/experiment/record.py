"""The record of a run: what was asked, what happened, and what it cost; one JSON file per run.

The file is strict JSON. A number that JSON lacks is written as an object with the single key
``$float``, for example ``{"$float": "inf"}``, and comes back as that number.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import ConfigDict, JsonValue, TypeAdapter, ValidationError

from fedcredit.credit.discrimination import AucDifference
from fedcredit.credit.evaluation import FederationEvaluation
from fedcredit.credit.review import Review
from fedcredit.data.contract import Contract
from fedcredit.errors import InputError
from fedcredit.experiment.charged_record import ChargedRecord
from fedcredit.experiment.market_records import RingRecord, ShockRecord, TruthRecord, WindowRecord

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

RECORD_FILE = "record.json"
FORMAT = "fedcredit/record/1"
_FLOAT_TAG = "$float"
_TAGGED = ({_FLOAT_TAG: "inf"}, {_FLOAT_TAG: "-inf"}, {_FLOAT_TAG: "nan"})


@dataclass(frozen=True, kw_only=True)
class ReferenceRecord:
    """What a reference of the run reached on the same held-out loans.

    ``epsilon`` is that of its worst-off lender, infinite without privacy. ``auc_gap`` is the run's
    AUC minus the reference's, over all held-out loans; ``within_auc_gap`` the same for the
    loan-weighted mean of the lenders' own AUCs, the fair figure where a reference has one model a
    lender. ``everywhere_auc`` exists for such a reference alone: the mean, weighted by training loans,
    of the AUC that each lender's model reaches on the held-out loans of all lenders.
    """

    evaluation: FederationEvaluation
    epsilon: float
    auc_gap: AucDifference | None
    within_auc_gap: AucDifference | None = None
    everywhere_auc: float | None = None


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """What a run was and what came of it.

    ``statement`` is the epsilon statement as data (``None`` without privacy) and
    ``statement_lines`` its text as it was printed. ``rounds`` holds one object per round;
    ``own_intercept`` the evaluation after each lender moved the level to its own. ``seconds`` and
    ``environment`` say how long and where; they take no part in a comparison of runs. ``ledger_heads``
    are the digests of the last line of each lender's ledger. ``truth`` and ``shock`` exist for simulated
    markets, ``windows`` for splits out of time. ``stopped`` says where and why a cap ended the run before its planned
    rounds. ``review`` is the credit review of the final network. ``charged`` is what charged releases beside the
    training gave. ``training_defaults`` counts each lender's, which is private and therefore there in simulated mode
    alone. ``rings`` is what a review of new accounts finds, for markets seen at application.
    """

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    name: str
    fingerprint: str
    mode: str
    experiment: Mapping[str, JsonValue]
    contracts: tuple[Contract, ...]
    noise_multiplier: Mapping[str, float]
    statement: Mapping[str, JsonValue] | None
    statement_lines: tuple[str, ...]
    rounds: tuple[Mapping[str, JsonValue], ...]
    evaluation: FederationEvaluation
    own_intercept: FederationEvaluation | None
    references: Mapping[str, ReferenceRecord]
    remarks: tuple[str, ...]
    seconds: Mapping[str, float]
    environment: Mapping[str, JsonValue]
    ledger_heads: Mapping[str, str] = field(default_factory=dict)
    truth: TruthRecord | None = None
    windows: Mapping[str, WindowRecord] = field(default_factory=dict)
    shock: ShockRecord | None = None
    stopped: str | None = None
    review: Review | None = None
    training_defaults: Mapping[str, int] = field(default_factory=dict)
    rings: RingRecord | None = None
    charged: ChargedRecord | None = None


_ADAPTER: TypeAdapter[RunRecord] = TypeAdapter(RunRecord)


def record_to_json(record: RunRecord) -> str:
    """Write a record as the text of its file.

    Args:
        record: the record.

    Returns:
        Strict JSON, two spaces deep, keys in the order of the fields.
    """
    content = {"format": FORMAT, **as_json(record)}
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def record_from_json(text: str, *, source: str = RECORD_FILE) -> RunRecord:
    """Read a record from the text of its file.

    Args:
        text: what ``record_to_json`` wrote.
        source: where the text is from, for messages.

    Returns:
        The record; written again, it gives the same text.

    Raises:
        InputError: if the text is not JSON, not a record, or of another format.
    """
    try:
        content = json.loads(text, object_hook=_number_from_tag)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{source} is not a whole JSON file ({error}); run the experiment again") from error
    if not isinstance(content, dict) or content.pop("format", None) != FORMAT:
        raise InputError(f"{source} is not a run record of format {FORMAT}; name a results folder of this version")
    try:
        return _ADAPTER.validate_json(json.dumps(content))
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise InputError(f"{source} is not a run record ({wrong}); run the experiment again") from error


def write_record(record: RunRecord, folder: Path) -> Path:
    """Write ``record.json`` into a results folder: whole, then renamed.

    Args:
        record: the record.
        folder: the results folder, which exists.

    Returns:
        The path of the file.
    """
    path = folder / RECORD_FILE
    unfinished = folder / f".{RECORD_FILE}.{os.getpid()}"
    unfinished.write_text(record_to_json(record), encoding="utf-8")
    unfinished.replace(path)
    return path


def read_record(path: Path) -> RunRecord:
    """Read the record of a results folder.

    Args:
        path: the folder, or its ``record.json``.

    Returns:
        The record.

    Raises:
        InputError: if there is no record, or it cannot be read.
    """
    file = path / RECORD_FILE if path.is_dir() else path
    if not file.is_file():
        raise InputError(f"there is no {RECORD_FILE} in {path}; name the results folder of a finished run")
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{file} is not a text file; name the results folder of a finished run") from error
    return record_from_json(text, source=str(file))


def as_json(value: DataclassInstance) -> dict[str, JsonValue]:
    """Turn a dataclass into a plain JSON object, its fields in order.

    Args:
        value: a dataclass made of what ``to_jsonable`` takes.

    Returns:
        The object.

    Raises:
        TypeError: if a part has no JSON form.
    """
    return {field.name: to_jsonable(getattr(value, field.name)) for field in fields(value)}


def record_folders(folders: Sequence[Path]) -> list[Path]:
    """Find the folders of finished runs in or below some folders.

    Args:
        folders: results folders, or folders above them, or record files.

    Returns:
        Each run's folder once, sorted.

    Raises:
        InputError: if one of the folders holds no finished run.
    """
    found: set[Path] = set()
    for folder in folders:
        if folder.is_file() and folder.name != RECORD_FILE:
            raise InputError(f"{folder} is a file; name the results folder of a finished run")
        files = [folder] if folder.is_file() else sorted(folder.rglob(RECORD_FILE))
        if not files:
            if next(folder.rglob("experiment.yaml"), None) is not None:
                raise InputError(
                    f"{folder} holds no run that has finished; run its experiment again, which goes on with what began"
                )
            raise InputError(
                f"there is no {RECORD_FILE} in or below {folder}; name the results folder of a finished run"
            )
        found.update(file.parent for file in files)
    return sorted(found)


def readable_records(places: Sequence[Path]) -> tuple[list[tuple[Path, RunRecord]], list[str]]:
    """Read the records of several runs, and say which cannot be read instead of giving up on all.

    Args:
        places: results folders of finished runs.

    Returns:
        Folders with their records, and one warning for each that cannot be read.

    Raises:
        InputError: if none can be read.
    """
    found, warnings = [], []
    for place in places:
        try:
            found.append((place, read_record(place)))
        except InputError as error:
            if len(places) == 1:
                raise InputError(f"{error}; {remedy(place)}") from error
            warnings.append(f"{place / RECORD_FILE} cannot be read and is left out; {remedy(place)}")
    if not found:
        raise InputError(f"none of {len(places)} records can be read; {remedy(places[0])}")
    return found, warnings


def remedy(place: Path) -> str:
    """Say what to do about a record that cannot be read, without losing anything.

    Args:
        place: its results folder.

    Returns:
        A clause.
    """
    folder = place if place.is_dir() else place.parent
    return (
        f"restore it from a copy, or rename it to {RECORD_FILE}.broken and run {folder / 'experiment.yaml'} again; its "
        "ledgers stay as they are"
    )


def to_jsonable(value: object) -> JsonValue:
    """Turn dataclasses, numpy values, tuples and non-finite numbers into plain JSON values.

    What is plain already stays as it is, tagged numbers included.

    Args:
        value: a value made of such parts.

    Returns:
        Objects, lists, strings, numbers, booleans and null.

    Raises:
        TypeError: if a part has no JSON form, or an object's key is not text.
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float | np.floating):
        number = float(value)
        return number if math.isfinite(number) else {_FLOAT_TAG: str(number)}
    if isinstance(value, np.generic | np.ndarray):
        return to_jsonable(value.tolist())
    if isinstance(value, Mapping):
        return _as_mapping(value)
    if isinstance(value, list | tuple):
        return [to_jsonable(item) for item in value]
    if is_dataclass(value) and not isinstance(value, type):
        return as_json(value)
    raise TypeError(f"a {type(value).__name__} has no JSON form")


def _as_mapping(value: Mapping[object, object]) -> dict[str, JsonValue]:
    if not all(isinstance(key, str) for key in value):
        raise TypeError("an object's keys must be text")
    return {str(key): to_jsonable(item) for key, item in value.items()}


def _number_from_tag(content: dict[str, object]) -> object:
    return float(str(content[_FLOAT_TAG])) if content in _TAGGED else content

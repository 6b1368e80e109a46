"""The model that a results folder keeps: what must be known to use it without the loans it was trained on.

Beside ``weights.safetensors`` a run leaves ``schema.yaml``, the public schema as the run encoded by it (with ranges
that were released for it), and ``model.json``, which ties both to the run by checksums. A folder from before
these files is opened with the run's own loan table, and refused if that is another one now.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedcredit.data.encoding import feature_names
from fedcredit.data.schema import Schema, read_schema
from fedcredit.data.schema_text import schema_yaml
from fedcredit.data.tables import data_checksum, load_portfolio
from fedcredit.errors import InputError
from fedcredit.experiment.charged_ranges import with_charged_ranges
from fedcredit.experiment.differences import WEIGHTS_FILE
from fedcredit.experiment.files import RunFolder
from fedcredit.experiment.prepare import Prepared
from fedcredit.experiment.record import RECORD_FILE, RunRecord, read_record, record_folders
from fedcredit.experiment.spec import Experiment
from fedcredit.experiment.validate import experiment_from_data
from fedcredit.model.network import DefaultNetwork, from_arrays, network_from_spec, to_pd
from fedcredit.training.trainers import predictor

MODEL_FILE, SCHEMA_FILE = "model.json", "schema.yaml"
FORMAT = "fedcredit/model/1"
_EXPERIMENT_FILE = "experiment.yaml"


@dataclass(frozen=True, kw_only=True, eq=False)
class KeptModel:
    """A finished run's network, with the schema that encodes loans for it."""

    folder: Path
    record: RunRecord
    experiment: Experiment
    schema: Schema
    network: DefaultNetwork
    parameters: NDArray[np.float32]

    @property
    def schema_checksum(self) -> str:
        """SHA-256 of the schema's file, 64 hexadecimal digits."""
        return _digest(schema_yaml(self.schema).encode())

    @property
    def weights_checksum(self) -> str:
        """SHA-256 of ``weights.safetensors``, 64 hexadecimal digits."""
        return _digest(_bytes(self.folder / WEIGHTS_FILE))

    def pd(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Score encoded loans, to the bits that the run's own evaluation has.

        Args:
            features: encoded loans, ``[loans, features]``.

        Returns:
            Probabilities of default, ``[loans]``.
        """
        return to_pd(predictor(self.experiment.trainer.kind)(self.network, self.parameters, features))


def write_model(folder: RunFolder, prepared: Prepared) -> None:
    """Write the schema and what ties it to the weights, which are there already.

    Args:
        folder: the results folder.
        prepared: the prepared experiment.
    """
    text = schema_yaml(prepared.portfolio.schema)
    folder.write_text(SCHEMA_FILE, text)
    folder.write_json(
        MODEL_FILE,
        {
            "format": FORMAT,
            "fingerprint": prepared.fingerprint,
            "schema_sha256": _digest(text.encode()),
            "weights_sha256": _digest((folder.path / WEIGHTS_FILE).read_bytes()),
            "features": list(feature_names(prepared.portfolio.schema)),
        },
    )


def open_model(place: Path) -> KeptModel:
    """Open the model of a finished run.

    Args:
        place: its results folder, or a folder above it that holds no other run.

    Returns:
        The model.

    Raises:
        InputError: if there is no finished run, or its weights, its schema or its record are damaged or of another run.
    """
    folder = one_run(place)
    record = read_record(folder)
    experiment = experiment_from_data(record.experiment)
    told = _told(folder, record)
    schema = _rebuilt(folder, record, experiment) if told is None else _kept_schema(folder, told)
    network = network_from_spec(experiment.network, len(feature_names(schema)))
    weights = folder / WEIGHTS_FILE
    if told is not None and _digest(_bytes(weights)) != told["weights_sha256"]:
        raise InputError(f"{weights} is damaged or of another run: its checksum is not the one in {MODEL_FILE}")
    return KeptModel(
        folder=folder,
        record=record,
        experiment=experiment,
        schema=schema,
        network=network,
        parameters=_parameters(weights, network),
    )


def one_run(place: Path) -> Path:
    """Find the one finished run in or below a folder.

    Args:
        place: the folder.

    Returns:
        The run's own folder.

    Raises:
        InputError: if there is none, or more than one.
    """
    if not place.exists():
        raise InputError(f"{place} does not exist; name the results folder of a finished run")
    unfinished = place / _EXPERIMENT_FILE
    if place.is_dir() and unfinished.is_file() and not (place / RECORD_FILE).is_file():
        raise InputError(f"{place} holds a run that has not finished; run its experiment again, which goes on with it")
    found = record_folders([place])
    if len(found) > 1:
        raise InputError(f"{place} holds {len(found)} runs; name one of them, for example {found[0]}")
    return found[0]


def _told(folder: Path, record: RunRecord) -> dict[str, Any] | None:
    path = folder / MODEL_FILE
    if not path.is_file():
        return None
    try:
        told = json.loads(_bytes(path))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not a whole JSON file; take it from a finished run") from error
    if not isinstance(told, dict) or told.get("format") != FORMAT:
        raise InputError(f"{path} is not a model file of format {FORMAT}; name a results folder of this version")
    if told.get("fingerprint") != record.fingerprint:
        raise InputError(f"{path} is of another run than {RECORD_FILE} beside it; take both from one finished run")
    return told


def _kept_schema(folder: Path, told: dict[str, Any]) -> Schema:
    path = folder / SCHEMA_FILE
    if _digest(_bytes(path)) != told.get("schema_sha256"):
        raise InputError(
            f"{path} is damaged or of another run: its checksum is not the one in {MODEL_FILE}, and loans would be "
            "encoded otherwise than in training"
        )
    return read_schema(path)


def _rebuilt(folder: Path, record: RunRecord, experiment: Experiment) -> Schema:
    """Find the schema of a run that kept none, through its loan table, which must be the same."""
    portfolio = load_portfolio(experiment.portfolio)
    if data_checksum(portfolio) != record.environment.get("data_checksum"):
        raise InputError(
            f"{folder} keeps no {SCHEMA_FILE}, and its loan table or schema is another one now, so nobody can say how "
            "the run encoded loans; run the experiment again"
        )
    return with_charged_ranges(experiment, portfolio, fingerprint=record.fingerprint).schema


def _parameters(path: Path, network: DefaultNetwork) -> NDArray[np.float32]:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    content = _bytes(path)
    try:
        arrays = load(content)
    except (SafetensorError, ValueError) as error:
        raise InputError(f"{path} cannot be read as safetensors; take it from a finished run") from error
    try:
        parameters = from_arrays(network, arrays)
    except InputError as error:
        raise InputError(f"{path} is not of this run's network: {error}") from error
    if not np.all(np.isfinite(parameters)):
        raise InputError(f"{path} holds {np.count_nonzero(~np.isfinite(parameters))} weights that are no finite number")
    return parameters


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); take it from a finished run") from error


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()

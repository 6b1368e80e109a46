"""Figures of a run in an MLflow store on this disk.

A study is an MLflow experiment; a run is known by its results folder, so one that is run again after a crash replaces
what the interrupted process left. MLflow would report its own use to its makers; that is switched off.
"""

from __future__ import annotations

import fcntl
import logging
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
TAG, STORE_FILE = "fedcredit.run", "mlflow.db"
_LOCK_FILE = ".lock"
_AT_ONCE, _LONGEST = 100, 500
_SILENT = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}


class MlflowTracker:
    """Writes to ``mlflow.db`` in a folder; artifacts lie beside it.

    Args:
        folder: where the store is.
        name: the path of the run's results folder, ``<study>/<arm>/<fingerprint>/<runtime>``.
    """

    def __init__(self, folder: Path, name: Path) -> None:
        """Start with nothing written."""
        self._folder = folder.absolute()
        self._name = name
        self._client: Any = None
        self._run_id = ""
        self._waiting: list[Any] = []

    @property
    def is_complete(self) -> bool:
        """Whether the store knows the run to its end."""
        return any(run.info.status == "FINISHED" for run in self._quietly(self._known))

    def begin(self, told: Mapping[str, str]) -> None:
        """Drop what an interrupted process left of the run, and start it anew."""

        def start() -> None:
            for run in self._known():
                self._client.delete_run(run.info.run_id)
            run = self._client.create_run(
                self._experiment_id(), run_name=self._name.parts[1], tags={TAG: self._name.as_posix()}
            )
            self._run_id = run.info.run_id
            from mlflow.entities import Param

            params = [Param(key, value[:_LONGEST]) for key, value in told.items()]
            for first in range(0, len(params), _AT_ONCE):
                self._client.log_batch(self._run_id, params=params[first : first + _AT_ONCE])

        self._quietly(start)

    def scalars(self, figures: Mapping[str, float], *, step: int) -> None:
        """Take figures; they go to the store together with those of an evaluated round, or of the end."""
        self._quietly(lambda: self._take(figures, step))

    def text(self, name: str, content: str) -> None:
        """Keep a text as an artifact."""
        self._quietly(lambda: self._client.log_text(self._run_id, content, f"{name}.txt"))

    def end(self) -> None:
        """Write what waits and mark the run as finished."""

        def finish() -> None:
            self._flush()
            self._client.set_terminated(self._run_id)

        self._quietly(finish)

    def _take(self, figures: Mapping[str, float], step: int) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self._waiting += [Metric(name, value, now, step) for name, value in figures.items()]
        if any("/" in name for name in figures):
            self._flush()

    def _flush(self) -> None:
        for first in range(0, len(self._waiting), _AT_ONCE):
            self._client.log_batch(self._run_id, metrics=self._waiting[first : first + _AT_ONCE])
        self._waiting = []

    def _known(self) -> list[Any]:
        found = self._client.search_runs([self._experiment_id()], filter_string=f"tags.`{TAG}` = '{self._name}'")
        return list(found)

    def _experiment_id(self) -> str:
        """Name the study's experiment; only one process at a time may make it."""
        study = self._name.parts[0]
        with self._locked():
            known = self._client.get_experiment_by_name(study)
            if known is not None:
                return str(known.experiment_id)
            place = (self._folder / "artifacts" / study).as_uri()
            return str(self._client.create_experiment(study, artifact_location=place))

    def _opened(self) -> Any:  # noqa: ANN401
        from mlflow import MlflowClient

        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.ERROR)
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._locked():
            return MlflowClient(tracking_uri=f"sqlite:///{self._folder / STORE_FILE}")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self._folder / _LOCK_FILE).open("a") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def _quietly(self, call: Callable[[], T]) -> T:
        """Call MLflow without its log lines and without what its own libraries warn of."""
        os.environ.update(_SILENT)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if self._client is None:
                self._client = self._opened()
            return call()

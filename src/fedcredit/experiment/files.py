"""A results folder: one run's memory on disk, written so that nothing is ever half there.

``results/<study>/<arm>/<fingerprint>/<runtime>-<trainer>/``. Every file is written under another name
and renamed when it is whole, but for ``rounds.jsonl`` and the ledgers, which grow line by line.
``record.json`` comes last: a folder that has it is finished and is never written again.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedcredit.errors import InputError
from fedcredit.experiment.owner import owner_line
from fedcredit.experiment.spec import Experiment

EXPERIMENT_FILE, LOCK_FILE = "experiment.yaml", ".lock"
_DIGITS = 16


@dataclass(frozen=True, kw_only=True)
class RunFolder:
    """The folder of one run."""

    path: Path

    @property
    def is_finished(self) -> bool:
        """Whether the run's record is there."""
        return (self.path / "record.json").is_file()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for this process alone.

        Raises:
            InputError: if another process holds it, or the folder cannot be made.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            handle = (self.path / LOCK_FILE).open("a")
        except OSError as error:
            raise InputError(
                f"results_dir: {self.path} cannot be written ({error.strerror}); name a folder you may write to"
            ) from error
        with handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise InputError(
                    f"{self.path} is being written by another process; wait for it, or give another results_dir"
                ) from error
            handle.truncate(0)
            handle.write(owner_line())
            handle.flush()
            try:
                yield
            finally:
                handle.truncate(0)

    def write_text(self, name: str, text: str) -> None:
        """Write a text file, whole and then renamed.

        Args:
            name: its name in the folder.
            text: its content.
        """
        self.write_bytes(name, text.encode())

    def write_bytes(self, name: str, content: bytes) -> None:
        """Write a file, whole and then renamed.

        Args:
            name: its name in the folder.
            content: its content.
        """
        unfinished = self.path / f".{name}.{os.getpid()}"
        unfinished.write_bytes(content)
        unfinished.replace(self.path / name)

    def write_json(self, name: str, content: object) -> None:
        """Write a JSON file, whole and then renamed.

        Args:
            name: its name in the folder.
            content: plain data without infinite or missing numbers.
        """
        self.write_text(name, json.dumps(content, indent=2, allow_nan=False) + "\n")

    def write_weights(self, tensors: Mapping[str, NDArray[np.float32]]) -> None:
        """Write ``weights.safetensors``.

        Args:
            tensors: named arrays.
        """
        from safetensors.numpy import save

        self.write_bytes("weights.safetensors", save({name: np.ascontiguousarray(a) for name, a in tensors.items()}))

    def write_table(self, name: str, rows: Sequence[Mapping[str, object]]) -> None:
        """Write rows as a parquet file.

        Args:
            name: its name in the folder.
            rows: one mapping a row, all with the same keys.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        unfinished = self.path / f".{name}.{os.getpid()}"
        pq.write_table(pa.Table.from_pylist([dict(row) for row in rows]), unfinished)
        unfinished.replace(self.path / name)

    def start_rounds(self) -> None:
        """Start ``rounds.jsonl`` anew."""
        self.write_text("rounds.jsonl", "")

    def append_round(self, content: Mapping[str, object]) -> None:
        """Append one finished round to ``rounds.jsonl``.

        Args:
            content: the round as plain data.
        """
        with (self.path / "rounds.jsonl").open("a") as handle:
            handle.write(json.dumps(content, allow_nan=False) + "\n")


def run_folder(experiment: Experiment, fingerprint: str) -> RunFolder:
    """Name the results folder of an experiment.

    Args:
        experiment: the experiment.
        fingerprint: its fingerprint.

    Returns:
        The folder; nothing is made on disk.
    """
    study, arm = experiment.name.split("/")
    device = "" if experiment.trainer.device == "cpu" else f"-{experiment.trainer.device}"
    runtime = f"{experiment.runtime.kind}-{experiment.trainer.kind}{device}"
    return RunFolder(path=Path(experiment.results_dir) / study / arm / fingerprint[:_DIGITS] / runtime)


def experiment_yaml(experiment: Experiment) -> str:
    """Write an experiment as the yaml that reads back to it.

    Args:
        experiment: the experiment, fully resolved.

    Returns:
        Block-style yaml.
    """
    import yaml

    text: str = yaml.safe_dump(experiment.model_dump(mode="python"), sort_keys=False, default_flow_style=False)
    return text

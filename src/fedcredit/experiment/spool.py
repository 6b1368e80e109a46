"""The files through which the workers of a sweep tell its parent how far they are.

One folder a sweep, beside its results, gone when the sweep has ended: ``<arm>.json`` is an experiment,
``<arm>.started`` says that a worker has taken it up, ``<arm>.outcome`` what came of it. Files reach the parent
from any process and any machine that shares the folder, and outlive a worker that is killed.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from fedcredit.errors import InputError
from fedcredit.experiment.owner import owner_line
from fedcredit.experiment.spec import Experiment

OWNER_FILE = "owner"
SPOOL_PATTERN = "sweep-*"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of one arm.

    Attributes:
        arm: its number in the sweep, from 0.
        kind: ``done``; ``refused`` for a user's mistake; ``failed`` for all else.
        text: figures, or the reason.
        folder: its results folder where it is done.
        seconds: wall time of this arm.
        worker: machine and process.
        worker_cpu_seconds: CPU time of that process since it was started.
        worker_peak_bytes: the most memory that process has held.
    """

    arm: int
    kind: Literal["done", "refused", "failed"]
    text: str
    folder: str | None = None
    seconds: float = 0.0
    worker: str = ""
    worker_cpu_seconds: float = 0.0
    worker_peak_bytes: int = 0


@dataclass(frozen=True, kw_only=True)
class Spool:
    """The folder of a sweep that is going on; ``made`` are the folders above it that were not there before.

    Names of files in an experiment are seen from ``working_folder``, in any worker.
    """

    folder: Path
    made: tuple[Path, ...] = ()
    working_folder: Path = Path()

    @classmethod
    def opened(cls, parent: Path, experiments: Sequence[Experiment]) -> Spool:
        """Make the folder and put the experiments into it.

        Args:
            parent: where it is made; made as well.
            experiments: the arms.

        Returns:
            The spool.

        Raises:
            InputError: if the folder cannot be written.
        """
        parent = parent.absolute()
        missing = tuple(place for place in (parent, *parent.parents) if not place.exists())
        try:
            parent.mkdir(parents=True, exist_ok=True)
            spool = cls(
                folder=Path(tempfile.mkdtemp(prefix=SPOOL_PATTERN.rstrip("*"), dir=parent)),
                made=missing,
                working_folder=Path.cwd(),
            )
            (spool.folder / OWNER_FILE).write_text(owner_line(), encoding="utf-8")
            for arm, experiment in enumerate(experiments):
                (spool.folder / f"{arm}.json").write_text(experiment.model_dump_json(), encoding="utf-8")
        except OSError as error:
            raise InputError(
                f"results_dir: {parent} cannot be written ({error.strerror}); name a folder you may write to"
            ) from error
        return spool

    def close(self) -> None:
        """Remove the folder, and those above it that were made for it and hold nothing else."""
        shutil.rmtree(self.folder, ignore_errors=True)
        for left in dict.fromkeys((self.folder.parent, *self.made)):
            try:
                left.rmdir()
            except OSError:
                return

    def experiment(self, arm: int) -> Experiment:
        """Return the experiment of an arm."""
        return Experiment.model_validate_json((self.folder / f"{arm}.json").read_text(encoding="utf-8"))

    def start(self, arm: int) -> None:
        """Say that a worker has taken up an arm."""
        self._write(f"{arm}.started", "")

    def started(self) -> set[int]:
        """Return the arms that have been taken up."""
        return {int(path.stem) for path in self.folder.glob("*.started")}

    def put_back(self, arm: int) -> None:
        """Forget that an arm was taken up."""
        (self.folder / f"{arm}.started").unlink(missing_ok=True)

    def finish(self, outcome: Outcome) -> None:
        """Say what came of an arm."""
        self._write(f"{outcome.arm}.outcome", json.dumps(asdict(outcome)))

    def finished(self) -> set[int]:
        """Return the arms that have an outcome."""
        return {int(path.stem) for path in self.folder.glob("*.outcome")}

    def outcome(self, arm: int) -> Outcome:
        """Return what came of an arm that has an outcome."""
        return Outcome(**json.loads((self.folder / f"{arm}.outcome").read_text(encoding="utf-8")))

    def _write(self, name: str, text: str) -> None:
        unfinished = self.folder / f".{name}.{os.getpid()}"
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(self.folder / name)

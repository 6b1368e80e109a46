"""Figures of a run as TensorBoard's event files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

_DONE_FILE = "fedcredit.done"


class TensorboardTracker:
    """Writes event files, one folder a run.

    Args:
        folder: TensorBoard's ``--logdir``.
        name: the run's path below it.
    """

    def __init__(self, folder: Path, name: Path) -> None:
        """Start with nothing written."""
        self._folder = folder / name
        self._writer: SummaryWriter | None = None

    @property
    def is_complete(self) -> bool:
        """Whether the end of the run is written."""
        return (self._folder / _DONE_FILE).is_file()

    def begin(self, told: Mapping[str, str]) -> None:
        """Drop the event files of an interrupted process, and write what the run is."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for left in (*self._folder.glob("events.out.tfevents.*"), self._folder / _DONE_FILE):
            left.unlink(missing_ok=True)
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(self._folder))
        self.text("experiment", "```\n" + json.dumps(dict(told), indent=1) + "\n```")

    def scalars(self, figures: Mapping[str, float], *, step: int) -> None:
        """Write figures; they are on the disk when this returns."""
        writer = self._opened()
        for name, value in figures.items():
            writer.add_scalar(name, value, step)
        writer.flush()

    def text(self, name: str, content: str) -> None:
        """Write a text."""
        self._opened().add_text(name, content)

    def end(self) -> None:
        """Close the file and mark the run as told to its end."""
        self._opened().close()
        self._writer = None
        (self._folder / _DONE_FILE).touch()

    def _opened(self) -> Any:  # noqa: ANN401
        assert self._writer is not None, "begin comes first"
        return self._writer

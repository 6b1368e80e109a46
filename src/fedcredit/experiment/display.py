"""What a person sees while a run goes on: the stage, the round, loss, AUC and the epsilon spent."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Column


class RunDisplay:
    """A progress display with one line per stage; silent when it is switched off.

    Args:
        enabled: whether to draw anything.
        console: where to draw; standard error by default.
    """

    def __init__(self, *, enabled: bool, console: Console | None = None) -> None:
        """Start with no stage."""
        self._progress = Progress(
            TextColumn("{task.description}", table_column=Column(no_wrap=True, max_width=24)),
            BarColumn(bar_width=10),
            TextColumn("{task.completed:.0f}/{task.total:.0f}", justify="right", table_column=Column(no_wrap=True)),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}", table_column=Column(no_wrap=True)),
            console=console or Console(stderr=True),
            disable=not enabled,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> RunDisplay:
        """Start drawing."""
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop drawing and leave the last state on the screen."""
        self._progress.stop()

    def stage(self, name: str, done: int, total: int) -> None:
        """Show how far a stage is.

        Args:
            name: what is being done.
            done: steps done.
            total: steps there are.
        """
        self._progress.update(self._task(name, total), completed=done, total=max(total, 1))

    def note(self, name: str, text: str) -> None:
        """Show figures beside a stage.

        Args:
            name: the stage.
            text: one short line.
        """
        self._progress.update(self._task(name, 1), note=text)

    def _task(self, name: str, total: int) -> TaskID:
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(name, total=max(total, 1), note="")
        return self._tasks[name]

"""What a person sees while a sweep goes on: one line for the whole of it, or plain lines where no terminal is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Column
from rich.text import Text

from fedcredit.experiment.spec import Experiment
from fedcredit.experiment.spool import Outcome

_SILENT = ("name", "results_dir", "ledger_dir", "tracking")


class SweepDisplay:
    """Progress of a sweep.

    Args:
        labels: what each arm is called.
        console: where to draw; a console that is no terminal gets a line a finished arm.
        enabled: whether to show anything.
    """

    def __init__(self, labels: Sequence[str], *, console: Console, enabled: bool = True) -> None:
        """Start with no arm finished."""
        self._labels = labels
        self._console = console
        self._enabled = enabled
        self._progress = Progress(
            TextColumn("{task.description}", table_column=Column(no_wrap=True, max_width=24)),
            BarColumn(bar_width=10),
            TextColumn("{task.completed:.0f}/{task.total:.0f}", justify="right", table_column=Column(no_wrap=True)),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}", table_column=Column(no_wrap=True)),
            console=console,
            disable=not (enabled and console.is_terminal),
        )
        self._tasks: dict[str, TaskID] = {}
        self._outcomes: dict[int, Outcome] = {}

    def __enter__(self) -> SweepDisplay:
        """Start drawing."""
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop drawing and leave the last state on the screen."""
        self._progress.stop()

    def stage(self, name: str, done: int, total: int, note: str = "") -> None:
        """Show how far a stage is.

        Args:
            name: what is being done.
            done: steps done.
            total: steps there are.
            note: what stands beside it.
        """
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(name, total=max(total, 1), note="")
        self._progress.update(self._tasks[name], completed=done, total=max(total, 1), note=note)

    def running(self, arms: Sequence[int]) -> None:
        """Show which arms are being run.

        Args:
            arms: their numbers.
        """
        failures = sum(outcome.kind != "done" for outcome in self._outcomes.values())
        notes = ([f"{failures} failed"] if failures else []) + [self._labels[arm] for arm in sorted(arms)]
        self.stage("arms", len(self._outcomes), len(self._labels), note="  ".join(notes))

    def finished(self, outcome: Outcome) -> None:
        """Show what came of an arm: a line where there is no terminal, or where it failed.

        Args:
            outcome: its outcome.
        """
        self._outcomes[outcome.arm] = outcome
        if outcome.kind == "done" and self._console.is_terminal:
            return
        place = f"{len(self._outcomes)}/{len(self._labels)}"
        seconds = f", {outcome.seconds:.1f} s" if outcome.seconds else ""
        what = outcome.text if outcome.kind == "done" else f"{outcome.kind}: {outcome.text}"
        self.say(f"{place} {self._labels[outcome.arm]}: {what}{seconds}")

    def say(self, line: str) -> None:
        """Show a line that stays.

        Args:
            line: the text.
        """
        if self._enabled:
            self._console.print(Text(line), soft_wrap=True)


def sweep_labels(experiments: Sequence[Experiment]) -> list[str]:
    """Name the arms of a sweep: the name of each, and the keys that differ between arms.

    Args:
        experiments: the arms.

    Returns:
        One label an arm, for example ``"taiwan/loan_level privacy.target_epsilon=2 seed=3"``.
    """
    leaves = [_leaves(experiment.model_dump(mode="python", exclude=set(_SILENT)), "") for experiment in experiments]
    by_name: dict[str, list[Mapping[str, object]]] = {}
    for experiment, found in zip(experiments, leaves, strict=True):
        by_name.setdefault(experiment.name, []).append(found)
    labels = []
    for experiment, found in zip(experiments, leaves, strict=True):
        others = by_name[experiment.name]
        differing = [path for path in found if any(other.get(path) != found[path] for other in others)]
        labels.append(" ".join([experiment.name, *(f"{path}={found[path]}" for path in differing)]))
    return labels


def _leaves(value: object, path: str) -> dict[str, object]:
    if not isinstance(value, Mapping):
        return {path: value}
    found: dict[str, object] = {}
    for key, item in value.items():
        found.update(_leaves(item, f"{path}.{key}" if path else str(key)))
    return found

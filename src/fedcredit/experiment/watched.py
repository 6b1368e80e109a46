"""How far the runs below a folder are, read from what they stream to disk; nothing there is written or locked."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from fedcredit.errors import InputError
from fedcredit.experiment.arms import telling_apart
from fedcredit.experiment.deployed import DEPLOYED
from fedcredit.experiment.files import LOCK_FILE
from fedcredit.experiment.ledger_heads import ROUNDS_FILE
from fedcredit.experiment.owner import is_alive
from fedcredit.experiment.record import RECORD_FILE
from fedcredit.experiment.spool import OWNER_FILE, SPOOL_PATTERN

EXPERIMENT_FILE, SWEEPS_FOLDER = "experiment.yaml", ".sweeps"
State = Literal["running", "stopped", "finished"]


@dataclass(frozen=True, kw_only=True)
class RunSeen:
    """One run as its folder tells it.

    Attributes:
        folder: its results folder.
        label: its name, with its seed and split seed, and the keys that tell it from others of its name.
        state: ``running`` while a process holds the folder; ``stopped`` where none does and no record is there.
        server_round: the last round that is written, 0 before the first.
        num_rounds: rounds that were planned.
        num_quarantined: replies that were set aside, over all rounds.
        auc: AUC on validation loans at the last round that has one; never of a deployed run.
        log_loss: likewise.
        epsilon_spent: the quick upper bound at the last round that has one.
    """

    folder: Path
    label: str
    state: State
    server_round: int
    num_rounds: int
    num_quarantined: int = 0
    auc: float | None = None
    log_loss: float | None = None
    epsilon_spent: float | None = None


@dataclass(frozen=True, kw_only=True)
class SweepSeen:
    """A sweep that goes on: how many of its arms belong to the folder, and how many of these have an outcome."""

    num_arms: int
    num_done: int


@dataclass(frozen=True, kw_only=True)
class Seen:
    """All runs below a folder, and the sweeps that make more of them."""

    runs: tuple[RunSeen, ...]
    sweeps: tuple[SweepSeen, ...]

    @property
    def is_over(self) -> bool:
        """Whether there were runs, and none goes on or is still to come."""
        return bool(self.runs) and not self.sweeps and all(run.state != "running" for run in self.runs)

    @property
    def num_finished(self) -> int:
        """How many runs have their record."""
        return sum(run.state == "finished" for run in self.runs)


@dataclass
class Watch:
    """Looks at a folder again and again; a file that has not changed is not read again.

    Args:
        place: a results folder, or a folder above some.

    Raises:
        InputError: if there is no such folder.
    """

    place: Path
    _known: dict[Path, tuple[tuple[int, int, int], list[dict[str, Any]]]] = field(default_factory=dict)
    _experiments: dict[Path, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the folder."""
        if not self.place.is_dir():
            raise InputError(f"{self.place} is no folder; name a results folder, or one above some, of runs that began")

    def look(self) -> Seen:
        """Read what is there now."""
        sweeps = tuple(self._sweeps())
        folders = sorted(path.parent for path in self.place.rglob(EXPERIMENT_FILE) if path.is_file())
        known = {folder: told for folder in folders if (told := self._experiment(folder)) is not None}
        apart = telling_apart(list(known.values()))
        runs = [self._run(folder, told, more) for (folder, told), more in zip(known.items(), apart, strict=True)]
        return Seen(runs=tuple(runs), sweeps=sweeps)

    def _run(self, folder: Path, told: Mapping[str, Any], apart: str) -> RunSeen:
        label = f"{told['name']} seed={told['seed']} split_seed={told['split_seed']} {apart}".rstrip()
        mode, num_rounds = str(told["mode"]), int(told["training"]["num_rounds"])
        running = is_alive(folder / LOCK_FILE)
        rounds = self._rounds(folder / ROUNDS_FILE)
        is_finished = (folder / RECORD_FILE).is_file()
        state: State = "finished" if is_finished else "running" if running else "stopped"
        return RunSeen(
            folder=folder, label=label, state=state, num_rounds=num_rounds, **_figures(rounds, is_open=mode != DEPLOYED)
        )

    def _experiment(self, folder: Path) -> dict[str, Any] | None:
        """Read an experiment, if it has all that a line says of it; it never changes once it is there."""
        import yaml

        if folder not in self._experiments:
            try:
                told = yaml.load((folder / EXPERIMENT_FILE).read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
                _ = [told[key] for key in ("name", "mode", "seed", "split_seed")], int(told["training"]["num_rounds"])
                self._experiments[folder] = dict(told)
            except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError, ValueError):
                return None
        return self._experiments[folder]

    def _rounds(self, path: Path) -> list[dict[str, Any]]:
        try:
            status = path.stat()
            mark = (status.st_ino, status.st_size, status.st_mtime_ns)
            if self._known.get(path, (None,))[0] != mark:
                self._known[path] = mark, list(whole_lines(path.read_text(encoding="utf-8", errors="replace")))
        except OSError:
            return []
        return self._known[path][1]

    def _sweeps(self) -> Iterator[SweepSeen]:
        """Find the sweeps that go on beside or above the folder, with their arms that belong in it."""
        place = self.place.resolve()
        for results in (place, *place.parents):
            for spool in (results / SWEEPS_FOLDER).glob(SPOOL_PATTERN):
                if not is_alive(spool / OWNER_FILE):
                    continue
                within = place.relative_to(results).parts[:2]
                arms = [arm for arm in spool.glob("*.json") if _name_of(arm)[: len(within)] == within]
                if arms:
                    done = sum(arm.with_suffix(".outcome").is_file() for arm in arms)
                    yield SweepSeen(num_arms=len(arms), num_done=done)


def whole_lines(text: str) -> Iterator[dict[str, Any]]:
    """Read the lines of ``rounds.jsonl`` that are there whole.

    Args:
        text: its content; the last line may be torn.

    Yields:
        One mapping a line that is one; others are passed over.
    """
    for line in text.split("\n")[:-1]:
        try:
            told = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(told, dict) and isinstance(told.get("server_round"), int):
            yield told


def _figures(rounds: list[dict[str, Any]], *, is_open: bool) -> dict[str, Any]:
    """Take what may be shown: of a deployed run nothing but rounds, replies set aside, and what was spent."""
    if not rounds:
        return {"server_round": 0}
    quarantined = sum(len(told.get("quarantined") or ()) for told in rounds)
    found: dict[str, Any] = {"server_round": rounds[-1]["server_round"], "num_quarantined": quarantined}
    for told in rounds:
        if _is_number(spent := told.get("epsilon_spent")):
            found["epsilon_spent"] = spent
        evaluation = told.get("evaluation")
        overall = evaluation.get("overall") if isinstance(evaluation, Mapping) and is_open else None
        fit = overall if isinstance(overall, Mapping) else {}
        found |= {key: fit[key] for key in ("auc", "log_loss") if _is_number(fit.get(key))}
    return found


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _name_of(arm: Path) -> tuple[str, ...]:
    """Return study and arm of an experiment in a spool; nothing while it is being written or taken away."""
    try:
        return tuple(str(json.loads(arm.read_text(encoding="utf-8"))["name"]).split("/"))
    except (OSError, json.JSONDecodeError, KeyError, TypeError):
        return ()

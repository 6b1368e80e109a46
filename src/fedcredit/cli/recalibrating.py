"""What to type where the level of a run's PDs is too wrong for money."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from fedcredit.errors import InputError

if TYPE_CHECKING:
    from fedcredit.experiment.decisions.levels import WrongLevelError
    from fedcredit.experiment.spec import Experiment

_MOST_OVERRIDES = 20


def with_commands(error: WrongLevelError, *, panel: bool) -> InputError:
    """Add to a refusal what can be typed instead.

    Args:
        error: the refusal.
        panel: whether the months were asked for too.

    Returns:
        The refusal with its commands.
    """
    more = " --panel" if panel else ""
    place = shlex.quote(str(error.folder))
    lines = [
        f"{error}",
        f"  fedcredit decide {place} --own-level{more}",
        "      adds each lender's own intercept, which it fits and keeps inside; nothing is charged",
    ]
    if error.has_charged:
        lines += [
            f"  fedcredit decide {place} --charged-level{more}",
            "      applies the correction that the run released and its ledgers hold",
        ]
    else:
        lines += [
            f"  {charged_run(error.folder)}",
            "      runs the experiment again with a charged recalibration; then decide on it with --charged-level",
        ]
    return InputError("\n".join(lines))


def charged_run(folder: Path) -> str:
    """Write the command that runs a run's experiment again with a charged recalibration.

    The command is composed, and given only if it comes to the same experiment.

    Args:
        folder: a results folder.

    Returns:
        The command; where no short one comes to the run's experiment, its own command is referred to.
    """
    from fedcredit.experiment.decisions.levels import CHARGED_OVERRIDE
    from fedcredit.experiment.record import read_record
    from fedcredit.experiment.validate import experiment_from_data

    record = read_record(folder)
    wanted = experiment_from_data(record.experiment)
    name = record.name if _composed(record.name, []) is not None else None
    words = _words(name, wanted)
    if words is None:
        return f"(the command that made this run) {CHARGED_OVERRIDE}"
    chosen = [] if name is None else [f"experiments={name}"]
    return shlex.join(["fedcredit", "run", *chosen, *words, CHARGED_OVERRIDE])


def _words(name: str | None, wanted: Experiment) -> list[str] | None:
    """Return the overrides that lead from an experiment file to an experiment, or ``None`` if keys alone do not."""
    base = _composed(name, [])
    if base is None:
        return None
    here, there = (dict(_leaves(json.loads(item.model_dump_json()), "")) for item in (base, wanted))
    words = [f"{key}={value}" for key, value in there.items() if here.get(key) != value and key != "name"]
    if len(words) > _MOST_OVERRIDES:
        return None
    found = _composed(name, words)
    same = found is not None and found.model_copy(update={"name": wanted.name}) == wanted
    return words if same else None


def _composed(name: str | None, overrides: list[str]) -> Experiment | None:
    from fedcredit.config import compose

    try:
        return compose(name, overrides)
    except InputError:
        return None


def _leaves(value: object, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        yield path, f"[{','.join(map(str, value))}]"
    else:
        yield path, "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)

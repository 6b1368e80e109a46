"""What came of running an experiment again, as text and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from fedcredit.experiment.differences import DIFFERENT, IDENTICAL
from fedcredit.experiment.record import to_jsonable
from fedcredit.experiment.reproduce import Reproduction
from fedcredit.experiment.wording import Table

if TYPE_CHECKING:
    from rich.console import Console


def print_reproduction(done: Reproduction, console: Console) -> None:
    """Print one reproduction.

    Args:
        done: what came out.
        console: where to.
    """
    from fedcredit.experiment.show import TableView

    console.print(TableView(_table(done)))
    if done.surroundings:
        console.print("what differs around them:")
        for name, (before, now) in done.surroundings.items():
            console.print(f"  {name}: {before} then, {now} now", highlight=False)
    console.print(f"verdict: {done.verdict}", style="bold red" if done.verdict == DIFFERENT else "bold")


def reproductions_json(done: Sequence[Reproduction]) -> str:
    """Return reproductions as JSON text.

    Args:
        done: what came out.

    Returns:
        A list with one object a run.
    """
    told = [
        {
            "folder": item.folder,
            "name": item.name,
            "fingerprint": item.again.fingerprint,
            "verdict": item.verdict,
            "tolerance": item.tolerance,
            "compared": [to_jsonable(asdict(found)) for found in item.compared],
            "surroundings": {name: {"then": before, "now": now} for name, (before, now) in item.surroundings.items()},
        }
        for item in done
    ]
    return json.dumps(told, indent=2, allow_nan=False) + "\n"


def _table(done: Reproduction) -> Table:
    rows = tuple(
        (
            found.name,
            str(found.num_figures),
            found.verdict,
            "0" if found.verdict == IDENTICAL else f"{found.largest:.2g}",
            found.where,
        )
        for found in done.compared
    )
    return Table(
        title=f"{done.name}, run again from {done.folder}",
        headings=("part", "figures", "verdict", "largest difference", "where"),
        num_labels=1,
        rows=rows,
        notes=(f"within tolerance: at most {done.tolerance:g} apart, relative for figures above 1",),
        droppable=("where",),
    )

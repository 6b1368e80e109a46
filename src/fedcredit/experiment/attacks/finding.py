"""What an attack found, as it is printed, as JSON and as a picture: one form for all attacks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from fedcredit.experiment.canvas import Picture
from fedcredit.experiment.record import to_jsonable
from fedcredit.experiment.show import TableView
from fedcredit.experiment.wording import Table, readable

T = TypeVar("T")
FORMAT = "fedcredit/attack/1"
IN_THE_CLEAR = (
    "this simulation reads loans in the clear and charges no ledger: its figures are for whoever holds the loans"
)


@dataclass(frozen=True, kw_only=True)
class Arm(Generic[T]):
    """What was found under one promise: a label for it, and the finding."""

    label: str
    found: T


@dataclass(frozen=True, kw_only=True)
class Attack:
    """All that one attack found.

    Attributes:
        kind: the attack, as the command line names it.
        name: of the experiment.
        seed: of all that the attack draws.
        adversary: who attacks.
        knowledge: what they see and know.
        method: how they go about it.
        meaning: what the figures say, and what they do not.
        table: the figures as text.
        figures: the figures as data.
        picture: the figures as a picture.
    """

    kind: str
    name: str
    seed: int
    adversary: str
    knowledge: str
    method: str
    meaning: str
    table: Table
    figures: Mapping[str, object]
    picture: Picture

    @property
    def words(self) -> tuple[tuple[str, str], ...]:
        """What a reader must know beside the figures, as pairs of label and text."""
        return (
            ("adversary", self.adversary),
            ("knows", self.knowledge),
            ("method", self.method),
            ("what it means", self.meaning),
            ("not covered", IN_THE_CLEAR),
        )


def print_attack(attack: Attack, console: Console) -> None:
    """Print an attack.

    Args:
        attack: the attack.
        console: where to print.
    """
    console.print(Text.assemble((readable(attack.name), "bold"), f"  attacked: {attack.kind}, seed {attack.seed}"))
    told = RichTable(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    for label, text in attack.words:
        told.add_row(Text(label, style="dim"), Text(text))
    console.print(told)
    console.print(TableView(attack.table))


def attack_json(attack: Attack) -> str:
    """Write an attack as JSON.

    Args:
        attack: the attack.

    Returns:
        Strict JSON.
    """
    content = {
        "format": FORMAT,
        "kind": attack.kind,
        "name": attack.name,
        "seed": attack.seed,
        **{label.replace(" ", "_"): text for label, text in attack.words},
        **attack.figures,
    }
    return json.dumps(to_jsonable(content), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def write_attack(attack: Attack, folder: Path) -> Path:
    """Write ``<kind>.json`` and ``<kind>.png`` into a folder, each whole and then renamed.

    Args:
        attack: the attack.
        folder: where to; made if it is not there.

    Returns:
        The path of the picture.
    """
    folder.mkdir(parents=True, exist_ok=True)
    picture = folder / f"{attack.kind}.png"
    for path, content in (
        (folder / f"{attack.kind}.json", attack_json(attack).encode()),
        (picture, attack.picture.png),
    ):
        unfinished = path.with_name(f".{path.name}.unfinished")
        unfinished.write_bytes(content)
        unfinished.replace(path)
    return picture

"""A study on disk: its arms, the seeds they are run on, what is expected of them, and how far they have come."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import Field, ValidationError

from fedcredit.data.strict_yaml import read_yaml
from fedcredit.errors import InputError
from fedcredit.experiment.ledger_heads import ROUNDS_FILE
from fedcredit.experiment.spec import Experiment
from fedcredit.experiment.spec.part import Part, Positive, Seed

STUDY_FILE, EXPECTED_FILE = "study.yaml", "expected.yaml"
SEED_KEYS = ("split_seed", "seed")
_Told = TypeVar("_Told", bound=Part)


class StudyFile(Part):
    """``study.yaml``: what a study asks, and how its arms are run and compared.

    Every arm is run on every seed; a seed is ``split_seed`` and ``seed`` at once. ``reference`` is the arm that
    differences are taken against, ``by`` the key on the horizontal axis of the study's picture.
    """

    question: Annotated[str, Field(min_length=1, max_length=600)]
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1, max_length=100)] = (1, 2, 3, 4, 5)
    reference: str | None = None
    by: str | None = None


class Expected(Part):
    """One figure that an arm must reach: the mean of ``metric`` over the seeds of the file."""

    arm: str
    metric: str
    value: Annotated[float, Field(allow_inf_nan=False)]
    tolerance: Positive


class ExpectedFile(Part):
    """``expected.yaml``: figures of some arms, on the seeds that are named."""

    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)]
    figures: Annotated[tuple[Expected, ...], Field(min_length=1)]


@dataclass(frozen=True, kw_only=True)
class Study:
    """A study.

    Attributes:
        name: the name of its folder.
        folder: where its files are.
        told: what ``study.yaml`` says; its defaults where there is none.
        arms: its experiments by name, ``<study>/<arm>``, sorted.
    """

    name: str
    folder: Path
    told: StudyFile
    arms: tuple[str, ...]

    def expected(self) -> ExpectedFile:
        """Read ``expected.yaml``.

        Raises:
            InputError: if there is none, it cannot be read, or it names an arm that there is not.
        """
        path = self.folder / EXPECTED_FILE
        if not path.is_file():
            raise InputError(f"study {self.name} has no {EXPECTED_FILE}; fedcredit study expect {self.name} writes one")
        expected = _read(path, ExpectedFile)
        strangers = sorted({figure.arm for figure in expected.figures} - {arm.partition("/")[2] for arm in self.arms})
        if strangers:
            raise InputError(f"{path}: there is no arm {strangers[0]!r}; there are {', '.join(self.arms)}")
        return expected


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far one arm on one seed has come: ``"finished"``, ``"round 40 of 100"`` or ``"missing"``."""

    experiment: Experiment
    folder: Path
    state: str

    @property
    def is_finished(self) -> bool:
        """Whether there is nothing left to do."""
        return self.state == "finished"


def open_study(name: str, *, names: Sequence[str], folders: Sequence[Path]) -> Study:
    """Find a study.

    Args:
        name: its name.
        names: all experiments there are, ``<study>/<arm>``.
        folders: where studies are looked for, the first one first.

    Returns:
        The study.

    Raises:
        InputError: if there is no such study, or its ``study.yaml`` cannot be read.
    """
    arms = tuple(sorted(arm for arm in names if arm.partition("/")[0] == name))
    if not arms:
        known = sorted({arm.partition("/")[0] for arm in names})
        raise InputError(f"there is no study {name!r}; there are {', '.join(known)}")
    folder = next((place / name for place in folders if (place / name).is_dir()), folders[0] / name)
    path = folder / STUDY_FILE
    default = StudyFile(question=f"The arms of {name}, compared.")
    return Study(name=name, folder=folder, told=_read(path, StudyFile) if path.is_file() else default, arms=arms)


def study_lines(study: Study, *, seeds: Sequence[int], arms: Sequence[str] = ()) -> list[str]:
    """Write a study as the words of a sweep.

    Args:
        study: the study.
        seeds: at least one.
        arms: names of arms, all by default.

    Returns:
        Overrides: every arm on every seed.

    Raises:
        InputError: if an arm is not the study's.
    """
    chosen = [f"{study.name}/{arm.removeprefix(f'{study.name}/')}" for arm in arms] or list(study.arms)
    strangers = sorted(set(chosen) - set(study.arms))
    if strangers:
        raise InputError(f"{strangers[0]} is no arm of {study.name}; there are {', '.join(study.arms)}")
    return [
        f"experiments={','.join(chosen)}",
        f"split_seed={','.join(str(seed) for seed in seeds)}",
        "seed=${split_seed}",
    ]


def progress_of(experiments: Sequence[Experiment]) -> list[Progress]:
    """Look how far the arms of a study have come; nothing is trained or written.

    Args:
        experiments: the arms on their seeds.

    Returns:
        One answer each. Each table is loaded once, for the fingerprints.
    """
    from fedcredit.data.tables import data_checksum, load_portfolio
    from fedcredit.experiment.deployed import checksum_name
    from fedcredit.experiment.files import run_folder
    from fedcredit.experiment.fingerprint import fingerprint

    checksums: dict[str, str] = {}
    found = []
    for experiment in experiments:
        table = experiment.portfolio.model_dump_json()
        if table not in checksums:
            checksums[table] = data_checksum(load_portfolio(experiment.portfolio))
        checksum = checksum_name(experiment, checksums[table], begin=False)
        folder = run_folder(experiment, fingerprint(experiment, data_checksum=checksum))
        state = "finished" if folder.is_finished else _rounds_text(folder.path, experiment)
        found.append(Progress(experiment=experiment, folder=folder.path, state=state))
    return found


def figure_at(record: Mapping[str, object], metric: str) -> float | None:
    """Read a figure of a record by its path.

    Args:
        record: the record as plain data.
        metric: for example ``"evaluation.overall.auc"``.

    Returns:
        The number; None where there is none.

    Raises:
        InputError: if a record has no such path.
    """
    value: object = record
    for step in metric.split("."):
        if not isinstance(value, Mapping) or step not in value:
            known = sorted(map(str, value)) if isinstance(value, Mapping) else []
            raise InputError(
                f"metric {metric!r}: a record has no {step!r} there; it has {', '.join(known) or 'no keys'}"
            )
        value = value[step]
    if isinstance(value, Mapping) and set(value) == {"$float"}:
        return float(str(value["$float"]))
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _rounds_text(folder: Path, experiment: Experiment) -> str:
    path = folder / ROUNDS_FILE
    lines = path.read_text(encoding="utf-8", errors="replace").count("\n") if path.is_file() else 0
    return f"round {lines} of {experiment.training.num_rounds}" if lines else "missing"


def _read(path: Path, model: type[_Told]) -> _Told:
    content = read_yaml(path, what="study file")
    try:
        return model.model_validate_json(json.dumps(content))
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, item['loc'])) or 'the file'}: {item['msg'].lower()}" for item in error.errors()
        )
        raise InputError(f"{path}: {wrong}. {model.__doc__.splitlines()[0] if model.__doc__ else ''}") from None
    except TypeError as error:
        raise InputError(f"{path} holds a value that is no text, number, list or mapping: {error}") from None

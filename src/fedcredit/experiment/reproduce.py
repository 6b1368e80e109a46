"""Running a saved experiment again, and saying figure by figure whether the same came out.

What is run is ``experiment.yaml`` alone; the record and the weights beside it are what it is held against.
"""

from __future__ import annotations

import lzma
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedcredit.data.strict_yaml import read_yaml
from fedcredit.errors import InputError
from fedcredit.experiment.deployed import DEPLOYED
from fedcredit.experiment.differences import Compared, compare_records, compare_weights, leaves, worst_verdict
from fedcredit.experiment.files import run_folder
from fedcredit.experiment.record import RECORD_FILE, RunRecord, read_record
from fedcredit.experiment.spec import Experiment
from fedcredit.experiment.validate import experiment_from_data

EXPERIMENT_FILE = "experiment.yaml"
_MAX_BYTES = 2**31
_MAX_FILES = 100_000
_SWITCHES = ("runtime", "trainer")


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    """What came of running a saved experiment again.

    Attributes:
        folder: the results folder that was held against.
        name: the experiment's name.
        before: the saved record.
        again: the record of the new run.
        compared: the figures by kind, the weights first.
        surroundings: name -> (before, now) of versions, machine, trainer and data that differ.
        tolerance: what "within tolerance" means.
    """

    folder: str
    name: str
    before: RunRecord
    again: RunRecord
    compared: tuple[Compared, ...]
    surroundings: Mapping[str, tuple[str, str]]
    tolerance: float

    @property
    def verdict(self) -> str:
        """The worst verdict of all."""
        return worst_verdict(self.compared)


@contextmanager
def saved_runs(place: Path) -> Iterator[list[Path]]:
    """Find the saved runs of a place: a results folder, a folder above some, or a zip file of either.

    Args:
        place: the folder or the zip file.

    Yields:
        Folders that hold an experiment and a record, sorted; those of a zip file are gone afterwards.

    Raises:
        InputError: if there is none, or the zip file cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="fedcredit-") as scratch:
        root = _unpacked(place, Path(scratch)) if place.is_file() else place
        found = sorted(path.parent for path in root.rglob(EXPERIMENT_FILE) if (path.parent / RECORD_FILE).is_file())
        if not found:
            raise InputError(
                f"there is no finished run in or below {place}: that is a folder with {EXPERIMENT_FILE} and "
                f"{RECORD_FILE}; name a results folder, or a zip file of one"
            )
        yield found


def saved_experiment(folder: Path, *, switches: Sequence[str] = (), results_dir: Path) -> Experiment:
    """Read the experiment of a results folder.

    Args:
        folder: the results folder.
        switches: what may be another than it was, because it decides no number: ``runtime=...``, ``trainer=...``,
            and their own keys, for example ``runtime.num_workers=3``.
        results_dir: where the new run is kept.

    Returns:
        The experiment.

    Raises:
        InputError: if the file is not an experiment, or a switch is none.
    """
    path = folder / EXPERIMENT_FILE
    data = read_yaml(path, what="experiment file", holds="the keys of an experiment")
    if data.get("mode") == DEPLOYED:
        raise InputError(
            f"{path} is of mode deployed, whose noise nobody can draw again: running it would be another release, "
            "charged to the lenders' ledgers. Only simulated runs are reproduced"
        )
    for switch in switches:
        _turn(data, switch)
    return experiment_from_data({**data, "results_dir": str(results_dir), "tracking": {"kind": "none"}})


def reproduce(
    folder: Path, *, results_dir: Path, switches: Sequence[str] = (), tolerance: float = 1e-3, progress: bool = True
) -> Reproduction:
    """Run a saved experiment again and compare every figure of its record.

    Args:
        folder: the results folder.
        results_dir: where the new run is kept; not the one that holds ``folder``.
        switches: see `saved_experiment`.
        tolerance: the largest difference that is still within: absolute for numbers up to 1, relative above.
        progress: whether to show the run as it goes.

    Returns:
        What came out.

    Raises:
        InputError: if the saved run cannot be read, or cannot be run here.
    """
    from fedcredit.experiment.runner import run

    before = read_record(folder)
    experiment = saved_experiment(folder, switches=switches, results_dir=results_dir)
    again = run(experiment, progress=progress, report=False)
    new_folder = run_folder(experiment, again.fingerprint).path
    if new_folder.resolve() == folder.resolve():
        raise InputError(f"{folder} is where the new run would be kept; give another folder with --into")
    figures = compare_records(before, again, tolerance=tolerance)
    return Reproduction(
        folder=str(folder),
        name=before.name,
        before=before,
        again=again,
        compared=(*compare_weights(folder, new_folder, tolerance=tolerance), *figures),
        surroundings=_surroundings(before, again),
        tolerance=tolerance,
    )


def _surroundings(before: RunRecord, again: RunRecord) -> dict[str, tuple[str, str]]:
    one, other = (dict(leaves(record.environment)) for record in (before, again))
    told = {
        name: (str(one.get(name, "not said")), str(other.get(name, "not said")))
        for name in sorted({*one, *other} - {"finished_at"})
        if one.get(name) != other.get(name)
    }
    if before.fingerprint != again.fingerprint:
        told["fingerprint (meaning and data)"] = (before.fingerprint[:16], again.fingerprint[:16])
    return told


def check_switch(switch: str) -> None:
    """Refuse an override that decides a number.

    Args:
        switch: for example ``"trainer=vectorised"``.

    Raises:
        InputError: if it is not of the runtime or the trainer.
    """
    key, equals, _ = switch.partition("=")
    if not equals or key.partition(".")[0] not in _SWITCHES:
        raise InputError(
            f"{switch!r} would change what the experiment means; only {' and '.join(_SWITCHES)} may differ, "
            "for example runtime=ray or trainer=vectorised"
        )


def _turn(data: dict[str, Any], switch: str) -> None:
    """Turn one switch of an experiment's data."""
    import yaml

    check_switch(switch)
    key, _, value = switch.partition("=")
    part, _, inner = key.partition(".")
    plain = yaml.safe_load(value)
    if inner:
        data[part] = {**(data.get(part) or {}), inner: plain}
    else:
        data[part] = {"kind": plain}


def _unpacked(place: Path, scratch: Path) -> Path:
    try:
        with zipfile.ZipFile(place) as archive:
            items = archive.infolist()
            is_large = sum(item.file_size for item in items) > _MAX_BYTES or len(items) > _MAX_FILES
            if not is_large:
                archive.extractall(scratch)
    except (zipfile.BadZipFile, OSError, RuntimeError, EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
        raise InputError(
            f"{place} is no zip file that can be read ({type(error).__name__}); name a results folder"
        ) from error
    if is_large:
        raise InputError(
            f"{place} unpacks to {len(items)} files, or to more bytes than a results folder; at most {_MAX_FILES} "
            f"files and {_MAX_BYTES // 2**30} GB are unpacked"
        )
    return scratch

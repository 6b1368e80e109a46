"""Results folders of strangers, carried in zip files: they stay in their scratch folder and are refused in one line."""

from __future__ import annotations

import io
import os
import stat
import struct
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from canary import armed

from fedcredit.cli import main
from fedcredit.config import compose
from fedcredit.errors import InputError
from fedcredit.experiment import reproduce as reproducing
from fedcredit.experiment.files import experiment_yaml
from fedcredit.experiment.reproduce import saved_experiment, saved_runs

GOOD = experiment_yaml(compose("taiwan/loan_level"))


def packed(files: dict[str, bytes | str], *, how: int = zipfile.ZIP_DEFLATED) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", how) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return sink.getvalue()


def linked(target: str) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        for name in ("run/experiment.yaml", "run/record.json"):
            item = zipfile.ZipInfo(name)
            item.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(item, target)
    return sink.getvalue()


def lying(size: int) -> bytes:
    """An archive that understates what it unpacks to."""
    content = bytearray(packed({"run/experiment.yaml": bytes(2_000_000)}))
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        struct.pack_into("<I", content, content.index(signature) + offset, size)
    return bytes(content)


def run_of(text: str | bytes) -> dict[str, bytes | str]:
    return {"run/experiment.yaml": text, "run/record.json": "{}"}


def edited(**keys: object) -> str:
    return yaml.safe_dump({**yaml.safe_load(GOOD), **keys})


LAUGHS = "\n".join(["a0: &a0 [x, x]"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)])

ARCHIVES: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "no archive": lambda: b"PK\x03\x04",
    "an empty archive": lambda: packed({}),
    "cut short": lambda: packed(run_of(GOOD))[:-30],
    "bits turned": lambda: bytes(byte ^ (0x55 if 60 < at < 90 else 0) for at, byte in enumerate(packed(run_of(GOOD)))),
    "bits turned, by lzma": lambda: bytes(
        byte ^ (0x55 if 70 < at < 90 else 0) for at, byte in enumerate(packed(run_of(GOOD), how=zipfile.ZIP_LZMA))
    ),
    "bits turned, by bzip2": lambda: bytes(
        byte ^ (0x55 if 70 < at < 90 else 0) for at, byte in enumerate(packed(run_of(GOOD), how=zipfile.ZIP_BZIP2))
    ),
    "climbs": lambda: packed({"../../sentinel": "x", **run_of("seed: [")}),
    "climbs in a folder": lambda: packed({"run/../../../sentinel": "x", **run_of("seed: [")}),
    "climbs by backslashes": lambda: packed({"..\\..\\sentinel": "x", **run_of("seed: [")}),
    "absolute": lambda: packed({f"{os.environ['FEDCREDIT_TEST_FOLDER']}/sentinel": "x", **run_of("seed: [")}),
    "links to a secret": lambda: linked("/etc/passwd"),
    "links to itself": lambda: linked("experiment.yaml"),
    "a file where a folder is": lambda: packed({"run": "x", **run_of(GOOD)}),
    "a name of 5,000 letters": lambda: packed({"x" * 5000: "x", **run_of(GOOD)}),
    "understates its size": lambda: lying(10),
    "a record of nested lists": lambda: packed({"run/experiment.yaml": GOOD, "run/record.json": "[" * 200_000}),
    "a record of nothing": lambda: packed({"run/experiment.yaml": GOOD, "run/record.json": ""}),
    "a record of bytes": lambda: packed({"run/experiment.yaml": GOOD, "run/record.json": b"\xff\xfe"}),
}


EXPERIMENTS: dict[str, str | bytes] = {
    "bytes": b"\xff\xfe\x00",
    "a list": "- 1",
    "nothing": "",
    "cut": "seed: [",
    "a tag": "seed: !!python/object/apply:os.mkdir [sentinel]",
    "laughs": LAUGHS,
    "an alias to itself": "a: &a [*a]",
    "nested lists": "[" * 50_000,
    "nested mappings": "network: " + "{a: " * 5000 + "1" + "}" * 5000,
    "many digits": edited(seed=1).replace("\nseed: 1", "\nseed: 0x" + "f" * 6000),
    "a target": edited(_target_="os.mkdir"),
    "a target inside": edited(network={"_target_": "os.mkdir", "path": "sentinel"}),
    "hydra": edited(hydra={"callbacks": {"x": {"_target_": "os.mkdir"}}}),
    "a name that climbs": edited(name="../../sentinel"),
    "a name that is absolute": edited(name="/tmp/sentinel"),
    "a variable as a seed": edited(seed="${oc.env:HOME}"),
    "mode deployed": edited(mode="deployed", ledger_dir="sentinel"),
    "a key twice": GOOD + "seed: 2\n",
    "a merge": "<<: {hydra: {}}\n" + GOOD,
    "two documents": GOOD + "---\nseed: 1\n",
    "5 MB": GOOD + "# " + "x" * 5_000_000,
}


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "deep" / "scratch").mkdir(parents=True)
    monkeypatch.setenv("FEDCREDIT_TEST_FOLDER", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "deep" / "scratch"))
    monkeypatch.chdir(tmp_path / "deep")
    return tmp_path


@pytest.mark.parametrize("make", ARCHIVES.values(), ids=ARCHIVES.keys())
def test_a_strangers_archive_is_one_line_and_leaves_nothing(
    make: Callable[[], bytes], scratch: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = scratch / "deep" / "run.zip"
    place.write_bytes(make())
    with armed(may_write=scratch / "deep" / "scratch") as fired:
        assert main(["reproduce", str(place)]) == 2
    assert fired == []
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert "root:" not in said
    left = {path.name for path in scratch.rglob("*") if path.is_file()}
    assert left == {"run.zip"}


@pytest.mark.parametrize("text", EXPERIMENTS.values(), ids=EXPERIMENTS.keys())
def test_a_saved_experiment_of_a_stranger_is_refused_and_runs_nothing(text: str | bytes, scratch: Path) -> None:
    (scratch / "experiment.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    with armed() as fired, pytest.raises(InputError) as caught:
        saved_experiment(scratch, results_dir=scratch / "mine")
    assert fired == []
    assert len(str(caught.value)) < 2000
    assert [path.name for path in scratch.rglob("*") if path.is_file()] == ["experiment.yaml"]


def test_a_good_archive_is_opened_in_its_scratch_folder_alone(scratch: Path) -> None:
    place = scratch / "deep" / "run.zip"
    place.write_bytes(packed(run_of(GOOD)))
    with saved_runs(place) as (folder,):
        assert folder.is_relative_to(scratch / "deep" / "scratch")
        assert saved_experiment(folder, results_dir=scratch).seed == 1
    assert not folder.exists()


def test_an_archive_that_unpacks_to_too_much_is_not_unpacked(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = scratch / "deep" / "run.zip"
    place.write_bytes(packed({"run/bomb": bytes(3_000_000), **run_of(GOOD)}))
    assert place.stat().st_size < 10_000
    for bound in ("_MAX_BYTES", "_MAX_FILES"):
        with monkeypatch.context() as patched:
            patched.setattr(reproducing, bound, 2)
            watched = armed(may_write=scratch / "deep" / "scratch")
            with watched as fired, pytest.raises(InputError, match="at most"), saved_runs(place):
                pass
            assert fired == []


def test_the_results_folder_that_a_stranger_names_is_not_used(scratch: Path) -> None:
    folder = scratch / "run"
    folder.mkdir()
    (folder / "experiment.yaml").write_text(edited(results_dir=str(scratch / "sentinel")), encoding="utf-8")
    assert saved_experiment(folder, results_dir=scratch / "mine").results_dir == str(scratch / "mine")

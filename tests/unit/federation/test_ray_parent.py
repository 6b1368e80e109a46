"""What the parent does when the child misbehaves; no Ray is started here."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest
import synthetic_federation as synthetic

from fedcredit.errors import InputError
from fedcredit.federation.gate import TransportError
from fedcredit.federation.runtimes import ray
from fedcredit.federation.runtimes.ray import run_ray

SOURCES = {
    "refuses": (
        "from fedcredit.errors import InputError\n"
        "def prepare(experiment):\n"
        "    raise InputError('portfolio: mend it')\n"
    ),
    "raises": "def prepare(experiment):\n    raise KeyError('broken')\n",
    "exits": "import os\ndef prepare(experiment):\n    os._exit(7)\n",
    "hangs": (
        "import subprocess, time\n"
        "def prepare(experiment):\n"
        "    subprocess.Popen(['sleep', '987'])\n"
        "    time.sleep(987)\n"
    ),
    "prints": "def prepare(experiment):\n    print('{\"round\": \"not ours\"}', flush=True)\n    raise KeyError('x')\n",
}


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in SOURCES.items():
        (tmp_path / f"source_that_{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.fixture(autouse=True)
def ended(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Keep the group of every child, to see that nothing of it is left."""
    groups: list[int] = []
    end = ray._end_group

    def keep(process: subprocess.Popen[str]) -> None:
        groups.append(process.pid)
        end(process)

    monkeypatch.setattr(ray, "_end_group", keep)
    return groups


def running(group: int) -> list[str]:
    listing = subprocess.run(["ps", "-eo", "pgid=,stat=,args="], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 2) for line in listing.splitlines()]
    return [row[2] for row in rows if int(row[0]) == group and not row[1].startswith("Z")]


def run(source: str, folder: Path, **limits: float) -> None:
    run_ray(synthetic.small_experiment(), folder=folder, source=f"source_that_{source}", **limits)


def test_a_mistake_in_the_child_is_the_same_mistake_here(sources: Path) -> None:
    with pytest.raises(InputError, match=r"^portfolio: mend it$"):
        run("refuses", sources)


@pytest.mark.parametrize(
    ("source", "text"), [("raises", "failed: KeyError"), ("prints", "failed: KeyError"), ("exits", "without a result")]
)
def test_a_child_that_dies_is_a_failed_runtime_with_its_log(sources: Path, source: str, text: str) -> None:
    with pytest.raises(TransportError, match=text) as caught:
        run(source, sources)
    log = sources / "ray.log"
    assert str(log) in str(caught.value)
    assert source == "exits" or "KeyError" in log.read_text()


def test_a_silent_child_is_ended_with_all_that_it_started(sources: Path, ended: list[int]) -> None:
    started = time.monotonic()
    with pytest.raises(TransportError, match="said nothing for 4 s and was ended"):
        run("hangs", sources, startup_limit_seconds=4.0)
    assert time.monotonic() - started < 15
    (group,) = ended
    time.sleep(0.2)
    assert running(group) == []


def test_an_interrupted_parent_ends_its_child(sources: Path, ended: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ray, "_next", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run("hangs", sources)
    time.sleep(0.2)
    assert running(ended[0]) == []


def test_no_scratch_folder_is_left(sources: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = sources / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(ray, "_short_temporary_folder", lambda: str(scratch))
    with pytest.raises(InputError):
        run("refuses", sources)
    assert os.listdir(scratch) == []

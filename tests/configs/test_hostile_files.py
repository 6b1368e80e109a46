"""More than a hundred experiment files of strangers, and a canary that nothing sets off."""

from __future__ import annotations

import importlib
import os
import pickle
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from canary import DECOY_MODULE, DECOY_VALUE, DECOY_VARIABLE, armed
from hostile_files import PATHS, PLAIN, REFUSED

from fedcredit.config import compose
from fedcredit.data.tables import load_portfolio
from fedcredit.errors import InputError
from fedcredit.experiment.spec import FileTable


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a decoy module on the path, a decoy variable, a secret, and a study to put files into."""
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / f"{DECOY_MODULE}.py").write_text("Fire = fire = print\n", encoding="utf-8")
    (tmp_path / "secret.yaml").write_text(f"seed: {DECOY_VALUE}\n", encoding="utf-8")
    (tmp_path / "experiments" / "study").mkdir(parents=True)
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    monkeypatch.delitem(sys.modules, DECOY_MODULE, raising=False)
    monkeypatch.setenv(DECOY_VARIABLE, DECOY_VALUE)
    return tmp_path


@pytest.fixture(autouse=True, scope="module")
def _warm() -> None:
    """What a first composition imports and caches is done before the canary is armed."""
    compose("taiwan/loan_level")


def filled(text: str, room: Path) -> str:
    text = text.replace("SENTINEL", str(room / "sentinel")).replace("SECRET", str(room / "secret.yaml"))
    return text.replace("DECOY", DECOY_MODULE)


def files_in(room: Path) -> list[str]:
    return sorted(str(path.relative_to(room)) for path in room.rglob("*") if "__pycache__" not in path.parts)


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED.keys())
def test_a_strangers_file_is_refused_in_one_message_and_sets_off_nothing(text: str, room: Path) -> None:
    path = room / "experiments" / "study" / "arm.yaml"
    path.write_bytes(filled(text, room).encode("utf-8"))
    before = files_in(room)
    with armed(secret=room / "secret.yaml") as fired, pytest.raises(InputError) as caught:
        compose("study/arm", folder=room)
    assert fired == []
    assert DECOY_VALUE not in str(caught.value)
    assert len(str(caught.value)) < 3000
    assert "there is no such experiment" not in str(caught.value)
    assert files_in(room) == before


@pytest.mark.parametrize("text", PLAIN.values(), ids=PLAIN.keys())
def test_what_looks_like_a_command_stays_a_text(text: str, room: Path) -> None:
    path = room / "experiments" / "study" / "arm.yaml"
    path.write_text(filled(text, room), encoding="utf-8")
    before = files_in(room)
    with armed(secret=room / "secret.yaml") as fired:
        experiment = compose("study/arm", folder=room)
    assert fired == []
    assert str(room / "sentinel") in experiment.model_dump_json() or "SENTINEL" not in text
    assert files_in(room) == before


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS.keys())
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_table_is_a_file_on_the_disk_and_nothing_else(path: str, kind: str, room: Path) -> None:
    table = FileTable.model_validate({"kind": kind, "path": filled(path, room), "schema_file": str(room / "none.yaml")})
    schema = FileTable.model_validate({"kind": kind, "path": str(room), "schema_file": filled(path, room)})
    for portfolio in (table, schema):
        with armed(secret=room / "secret.yaml") as fired, pytest.raises(InputError) as caught:
            load_portfolio(portfolio)
        assert fired == []
        assert DECOY_VALUE not in str(caught.value)


def _link(target: str | Path) -> Callable[[Path, Path], None]:
    return lambda path, room: path.symlink_to(str(target).replace("ROOM", str(room)))


def _named(name: str, text: str = "seed: 1\n") -> Callable[[Path, Path], None]:
    return lambda path, room: (path.parent / name).write_text(filled(text, room), encoding="utf-8") and None


FILES: dict[str, Callable[[Path, Path], object]] = {
    "a link to a secret": _link("/etc/passwd"),
    "a link to a text beside": _link("ROOM/secret.txt"),
    "a link to itself": _link("arm.yaml"),
    "a link to nothing": _link("nowhere.yaml"),
    "a link to endless zeros": _link("/dev/zero"),
    "a link to a folder": _link("/etc"),
    "a pipe": lambda path, room: os.mkfifo(path),
    "a folder": lambda path, room: path.mkdir(),
    "bytes that are no text": lambda path, room: path.write_bytes(b"\xff\xfe\x00s"),
    "packed text": lambda path, room: path.write_bytes(b"\x1f\x8b\x08\x00\x00\x00\x00\x00"),
    "a pickle of a call": lambda path, room: path.write_bytes(pickle.dumps(_Calls(str(room / "sentinel")))),
    "an archive": lambda path, room: path.write_bytes(b"PK\x03\x04" + bytes(100)),
    "a file of nothing but zeros": lambda path, room: path.write_bytes(bytes(1000)),
}


class _Calls:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("make", FILES.values(), ids=FILES.keys())
def test_a_file_that_is_no_file_is_refused_at_once(make: Callable[[Path, Path], object], room: Path) -> None:
    (room / "secret.txt").write_text(f"{DECOY_VALUE}: [", encoding="utf-8")
    make(room / "experiments" / "study" / "arm.yaml", room)
    with armed() as fired, pytest.raises(InputError) as caught:
        compose("study/arm", folder=room)
    assert fired == []
    assert DECOY_VALUE not in str(caught.value)
    assert "root:" not in str(caught.value)
    assert not (room / "sentinel").exists()


NAMES = (
    "a b", "a;touch SENTINEL", "$(touch SENTINEL)", "`x`", "a\nb", "-m", "..", ".hidden", "a'b", 'a"b', "a|b", "a>b",
    "a*b", "ärm", "a\u202eb", "a%00b", "~root", "a\\b", "{a,b}", "a:b",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_file_of_an_odd_name_cannot_be_asked_for_and_stops_no_other(name: str, room: Path) -> None:
    study = room / "experiments" / "study"
    (study / f"{name.replace('SENTINEL', 'sentinel')}.yaml").write_text("seed: 3\n", encoding="utf-8")
    (study / "good.yaml").write_text("seed: 4\n", encoding="utf-8")
    with armed() as fired:
        assert compose("study/good", folder=room).seed == 4
        with pytest.raises(InputError):
            compose(f"study/{name.replace('SENTINEL', 'sentinel')}", folder=room)
    assert fired == []


OVERRIDES = (
    "seed=$(touch SENTINEL)", "seed=`touch SENTINEL`", "seed=1;touch SENTINEL",
    "network._target_=os.mkdir",
    "+network={_target_: os.mkdir, path: SENTINEL}",
    "seed=!!python/object/apply:os.mkdir [SENTINEL]", "+seed@hydra=1",
    "experiments=../../secret", "experiments=/etc/passwd", "experiments=study/../../secret", "+experiments=study/arm",
    "+x={y:{_target_:os.mkdir,path:SENTINEL}}", "--config-dir=/etc", "-cd=/etc", "privacy=../../secret",
    "portfolio=/etc/passwd", "name=../../SENTINEL", "name=$(touch SENTINEL)", "seed='${eval:1}'", "~hydra",
)  # fmt: skip


@pytest.mark.parametrize("override", OVERRIDES)
def test_a_typed_override_runs_nothing(override: str, room: Path) -> None:
    with armed(secret=room / "secret.yaml") as fired, pytest.raises(InputError) as caught:
        compose("taiwan/loan_level", [filled(override, room)], folder=room)
    assert fired == []
    assert DECOY_VALUE not in str(caught.value)
    assert not (room / "sentinel").exists()


def _environment_touched() -> None:
    os.environ["FEDCREDIT_CANARY_TOUCHED"] = "1"
    del os.environ["FEDCREDIT_CANARY_TOUCHED"]


ACTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a folder": (lambda room: (room / "sentinel").mkdir(), "os.mkdir"),
    "a file": (lambda room: (room / "sentinel").write_text("x"), "open"),
    "a process": (lambda room: subprocess.run(["true"], check=True), "subprocess.Popen"),
    "a shell": (lambda room: os.system("true"), "os.system"),
    "a variable": (lambda room: _environment_touched(), "os.putenv"),
    "a name asked of the network": (lambda room: socket.getaddrinfo("localhost", 80), "socket.getaddrinfo"),
    "a pickle": (lambda room: pickle.loads(pickle.dumps(_Calls(str(room / "sentinel")))), "pickle.find_class"),
    "an import": (lambda room: __import__(DECOY_MODULE), "import"),
    "an import by name": (lambda room: importlib.import_module(DECOY_MODULE), "open"),
    "a secret": (lambda room: (room / "secret.yaml").read_text(), "open"),
    "a removal": (lambda room: (room / "secret.yaml").unlink(), "os.remove"),
}


@pytest.mark.parametrize(("act", "event"), ACTS.values(), ids=ACTS.keys())
def test_the_canary_sings(act: Callable[[Path], object], event: str, room: Path) -> None:
    with armed(secret=room / "secret.yaml") as fired:
        act(room)
    assert event in {name for name, _ in fired}


def test_the_canary_hears_a_tag_that_a_believing_reader_runs(room: Path) -> None:
    import yaml

    text = filled("seed: !!python/object/apply:os.mkdir [SENTINEL]", room)
    with armed() as fired:
        yaml.load(text, Loader=yaml.UnsafeLoader)
    assert [event for event, _ in fired] == ["os.mkdir"]
    assert (room / "sentinel").exists()

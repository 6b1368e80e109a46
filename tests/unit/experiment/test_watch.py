"""Runs in progress as they are seen from outside: from files that may be torn, missing, or of a run that is dead."""

from __future__ import annotations

import io
import json
import os
import platform
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from fedcredit.cli import main
from fedcredit.config import compose
from fedcredit.errors import InputError
from fedcredit.experiment import watch_view
from fedcredit.experiment.files import RunFolder, experiment_yaml
from fedcredit.experiment.owner import is_alive, owner_line
from fedcredit.experiment.spool import Spool
from fedcredit.experiment.watched import Watch

NOBODY = 2**22 + 1


def told(number: int, **more: object) -> str:
    figures = {"overall": {"auc": 0.7, "log_loss": 0.5}}
    return json.dumps({"server_round": number, "evaluation": figures, "epsilon_spent": 0.25, **more}) + "\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run that has begun, of 100 rounds, and that nobody holds."""
    path = tmp_path / "results" / "adhoc" / "run" / "abc" / "inline-compiled"
    path.mkdir(parents=True)
    (path / "experiment.yaml").write_text(experiment_yaml(compose(None, ["mode=simulated"])))
    return path


def shown(place: Path, *, width: int = 120) -> str:
    out = io.StringIO()
    Console(file=out, width=width, color_system=None).print(watch_view.view(Watch(place).look()))
    return out.getvalue()


def test_a_run_without_a_round_yet_is_at_round_nought(folder: Path) -> None:
    (seen,) = Watch(folder).look().runs
    assert (seen.server_round, seen.num_rounds, seen.state, seen.auc) == (0, 100, "stopped", None)
    (folder / "rounds.jsonl").touch()
    assert Watch(folder).look().runs == (seen,)
    assert "0/100" in shown(folder)


def test_arms_of_one_name_and_seed_are_told_apart_by_the_keys_that_differ(folder: Path) -> None:
    for budget in ("inf", "2"):
        other = folder.parents[1] / budget / "inline-compiled"
        other.mkdir(parents=True)
        arm = compose(None, ["mode=simulated", f"privacy.target_epsilon={budget}", "results_dir=elsewhere"])
        (other / "experiment.yaml").write_text(experiment_yaml(arm))
    labels = {run.folder.parent.name: run.label for run in Watch(folder.parents[2]).look().runs}
    assert labels["inf"] == "adhoc/run seed=1 split_seed=1 privacy.target_epsilon=inf"
    assert labels["2"] == "adhoc/run seed=1 split_seed=1 privacy.target_epsilon=2.0"
    assert labels["abc"] == "adhoc/run seed=1 split_seed=1 privacy.target_epsilon=1.0"


def test_every_torn_last_line_is_passed_over(folder: Path) -> None:
    """However many bytes of a line have reached the disk, the rounds before it are shown."""
    watched, whole = Watch(folder), told(1) + told(2)
    third = told(3, epsilon_spent=0.5)
    for written in range(len(third)):
        (folder / "rounds.jsonl").write_text(whole + third[:written])
        (seen,) = watched.look().runs
        assert (seen.server_round, seen.epsilon_spent) == (2, 0.25)
    (folder / "rounds.jsonl").write_text(whole + third)
    assert watched.look().runs[0].server_round == 3


def test_a_round_without_an_evaluation_keeps_the_figures_before_it(folder: Path) -> None:
    quiet = told(2, evaluation=None, epsilon_spent=None, quarantined={"bank_a": "late"})
    (folder / "rounds.jsonl").write_text(told(1) + quiet)
    (seen,) = Watch(folder).look().runs
    assert (seen.server_round, seen.auc, seen.epsilon_spent, seen.num_quarantined) == (2, 0.7, 0.25, 1)


def test_figures_on_private_loans_of_a_deployed_run_are_not_shown_even_if_they_were_there(folder: Path) -> None:
    text = (folder / "experiment.yaml").read_text().replace("mode: simulated", "mode: deployed")
    (folder / "experiment.yaml").write_text(text)
    (folder / "rounds.jsonl").write_text(told(1))
    (seen,) = Watch(folder).look().runs
    assert (seen.auc, seen.log_loss, seen.epsilon_spent) == (None, None, 0.25)
    assert "0.7" not in shown(folder)
    assert "0.7" not in watch_view.line(seen)


def test_a_run_is_running_while_a_process_holds_its_folder(folder: Path) -> None:
    watched = Watch(folder.parent)
    assert watched.look().is_over
    with RunFolder(path=folder).locked():
        seen = watched.look()
        assert (seen.runs[0].state, seen.is_over) == ("running", False)
        with pytest.raises(InputError, match="being written by another process"), RunFolder(path=folder).locked():
            pass
        assert watched.look().runs[0].state == "running"
    assert watched.look().runs[0].state == "stopped"
    (folder / ".lock").write_text(f"{platform.node()}:{NOBODY}\n")
    assert watched.look().runs[0].state == "stopped"
    (folder / "record.json").write_text("{}")
    assert watched.look().runs[0].state == "finished"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (owner_line(), True), (f"another machine:{NOBODY}", True), ("", False), ("no number", False),
        (f"{platform.node()}:{NOBODY}", False), (f"{platform.node()}:0", False),
        (f"{platform.node()}:{10**40}", False), (f"{platform.node()}:-1", False),
    ],
    ids=["own", "elsewhere", "empty", "no number", "ended", "zero", "huge", "negative"],
)  # fmt: skip
def test_an_owner_is_alive_or_on_another_machine(text: str, expected: bool, tmp_path: Path) -> None:
    (tmp_path / "owner").write_text(text)
    assert is_alive(tmp_path / "owner") is expected
    assert not is_alive(tmp_path / "absent")


def test_a_study_is_not_over_before_its_sweep_is(folder: Path) -> None:
    """Arms without a folder are told by the sweep; one of another study, or a dead one, is not waited for."""
    results = folder.parents[3]
    (folder / "record.json").write_text("{}")
    arms = [compose(None, [f"seed={seed}"]) for seed in (1, 2)] + [compose(None, ["name=other/arm"])]
    spool = Spool.opened(results / ".sweeps", arms)
    watched = Watch(results / "adhoc")
    seen = watched.look()
    assert (seen.is_over, seen.sweeps[0].num_arms, seen.sweeps[0].num_done) == (False, 2, 0)
    assert "the sweep has done 0 of 2 arms" in shown(results / "adhoc")
    assert Watch(results).look().sweeps[0].num_arms == 3
    (spool.folder / "owner").write_text(f"{platform.node()}:{NOBODY}\n")
    assert watched.look().is_over
    (spool.folder / "owner").write_text(owner_line())
    assert not watched.look().is_over
    spool.close()
    assert watched.look().is_over


def _later(action: Callable[[], object], *, until: Callable[[], bool]) -> threading.Thread:
    def wait() -> None:
        for _ in range(500):
            if until():
                break
            time.sleep(0.01)
        action()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


@pytest.mark.parametrize("terminal", [True, False])
def test_watching_ends_when_the_run_does_and_tells_what_is_new(folder: Path, terminal: bool) -> None:
    out = io.StringIO()
    console = Console(file=out, width=110, color_system=None, force_terminal=terminal)
    (folder / ".lock").write_text(owner_line())

    def finish() -> None:
        (folder / "rounds.jsonl").write_text("".join(map(told, range(1, 101))))
        (folder / "record.json").write_text("{}")

    thread = _later(finish, until=lambda: "running" in out.getvalue())
    seen = watch_view.watch(Watch(folder), console, look_seconds=0.01)
    thread.join()
    assert [(run.state, run.server_round) for run in seen.runs] == [("finished", 100)]
    assert "running" in out.getvalue()
    assert "100/100" in out.getvalue()


def test_the_verb_prints_once_waits_for_nothing_and_leaves_quietly(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "rounds.jsonl").write_text(told(40))
    (folder / ".lock").write_text(f"another machine:{os.getpid()}\n")
    assert main(["watch", str(folder), "--once"]) == 0
    assert "40/100" in capsys.readouterr().out
    monkeypatch.setattr(watch_view.time, "sleep", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
    assert main(["watch", str(folder)]) == 130
    assert capsys.readouterr().err == ""
    (folder / ".lock").write_text("")
    assert main(["watch", str(folder)]) == 1
    assert "stopped" in capsys.readouterr().out
    assert main(["watch", str(folder / "absent")]) == 2
    assert "is no folder" in capsys.readouterr().err


def test_more_runs_than_a_screen_holds_are_counted(folder: Path) -> None:
    for number in range(40):
        other = folder.parents[1] / f"{number:03}" / folder.name
        other.mkdir(parents=True)
        (other / "experiment.yaml").write_text((folder / "experiment.yaml").read_text())
    assert "and 11 more" in shown(folder.parents[2])
    assert all(len(row) <= 70 for row in shown(folder.parents[2], width=70).splitlines())

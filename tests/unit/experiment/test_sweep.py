"""A sweep's own conduct, with launchers that fail as real ones do; processes are started in the end-to-end test."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest
from rich.console import Console

from fedcredit.config import compose
from fedcredit.errors import InputError, RunFailedError
from fedcredit.experiment import sweep as sweeps
from fedcredit.experiment.spec import Experiment
from fedcredit.experiment.sweep import Finished, SweepResult, loans_together, run_sweep
from fedcredit.experiment.workers import THREADS, one_thread_each


@dataclass(kw_only=True)
class InTurn:
    """A pool of one machine that breaks when it meets a poisonous arm: arms begun beside it are lost as well."""

    folder: Path
    num_workers: int | None = 2
    poison: frozenset[int] = frozenset()
    heals: bool = False
    calls: list[list[int]] = field(default_factory=list)

    def launch(self, task: Callable[[int], None], arms: Sequence[int], *, folder: Path) -> None:
        self.calls.append(list(arms))
        for place, arm in enumerate(arms):
            if arm in self.poison and not (self.heals and len(arms) == 1):
                for begun in list(arms)[place : place + (self.num_workers or 1)]:
                    (folder / f"{begun}.started").touch()
                raise RuntimeError("A worker process was terminated. The exit codes of the workers are {SIGKILL(-9)}")
            task(arm)


def arms(count: int) -> list[Experiment]:
    return [compose(None, ["privacy=none", f"seed={seed}"]) for seed in range(count)]


def fine(experiment: Experiment) -> Finished:
    return Finished(folder=Path(f"/results/{experiment.seed}"), text=f"AUC 0.{experiment.seed}")


def swept(
    launcher: InTurn, count: int, *, job: Callable[[Experiment], Finished] = fine, terminal: bool = False
) -> tuple[SweepResult, str]:
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=terminal, width=100, color_system=None)
    result = run_sweep(arms(count), launcher, console=console, job=job)
    return result, shown.getvalue()


def test_every_arm_is_done_once_and_told_in_one_plain_line(tmp_path: Path) -> None:
    launcher = InTurn(folder=tmp_path / "results" / ".sweeps")
    result, shown = swept(launcher, 3)
    assert launcher.calls == [[0, 1, 2]]
    assert [outcome.folder for outcome in result.outcomes] == ["/results/0", "/results/1", "/results/2"]
    assert sorted(line.partition(", ")[0] for line in shown.splitlines()) == [
        "1/3 adhoc/run seed=0: AUC 0.0", "2/3 adhoc/run seed=1: AUC 0.1", "3/3 adhoc/run seed=2: AUC 0.2",
    ]  # fmt: skip
    assert result.failures() == []
    assert "3 arms" in result.cost_line()
    assert list(tmp_path.iterdir()) == []


def test_arms_may_hold_named_windows_and_options(tmp_path: Path) -> None:
    named = ["split=out_of_time", "split.train=[1,2]", "split.test={later:[20,21]}"]
    twice = [compose(None, ["privacy=none", *more]) for more in (named, ["strategy=flower_krum"], named)]
    result = run_sweep(twice, InTurn(folder=tmp_path), console=Console(file=io.StringIO()), job=fine)
    assert len(result.outcomes) == 2
    assert result.failures() == []


def test_arms_on_the_same_loans_follow_each_other(tmp_path: Path) -> None:
    """A worker finds the table, the lenders and the open references of the arm before."""
    table, budget, seeds = "portfolio.market_seed", "privacy.target_epsilon", ((1, 1), (2, 2), (1, 2))
    experiments = [
        compose(None, [f"{table}={market}", f"{budget}={epsilon}", f"split_seed={split}", f"seed={seed}"])
        for epsilon in (8, 1) for market in (1, 2) for split, seed in seeds
    ]  # fmt: skip
    order = loans_together(experiments)
    assert sorted(order) == list(range(12))
    for keys in (("portfolio",), ("portfolio", "split_seed"), ("portfolio", "split_seed", "seed")):
        seen = [experiments[place].model_dump_json(include=set(keys)) for place in order]
        changes = sum(one != other for one, other in pairwise(seen))
        assert changes == len(set(seen)) - 1
    assert order[:2] == [0, 6]
    launcher = InTurn(folder=tmp_path)
    result = run_sweep(experiments, launcher, console=Console(file=io.StringIO()), job=fine)
    assert launcher.calls == [order]
    assert result.experiments == tuple(experiments)


def test_a_terminal_shows_one_display_with_the_arms_done(tmp_path: Path) -> None:
    shown = swept(InTurn(folder=tmp_path), 3, terminal=True)[1]
    assert "3/3" in shown
    assert "AUC" not in shown


def test_equal_arms_are_run_once(tmp_path: Path) -> None:
    launcher = InTurn(folder=tmp_path)
    console = Console(file=io.StringIO())
    result = run_sweep([*arms(2), *arms(2)], launcher, console=console, job=fine)
    assert launcher.calls == [[0, 1]]
    assert len(result.experiments) == 2


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (InputError("partition.column: there is no such column"), "refused", "partition.column"),
        (RunFailedError("ray ended"), "failed", "ray ended"),
        (KeyError("cell 4711"), "failed", "KeyError"),
    ],
)
def test_an_arm_that_fails_is_told_with_its_reason_and_the_others_are_kept(
    error: Exception, kind: str, said: str, tmp_path: Path
) -> None:
    def job(experiment: Experiment) -> Finished:
        if experiment.seed == 1:
            raise error
        return fine(experiment)

    result, shown = swept(InTurn(folder=tmp_path), 3, job=job)
    ((label, outcome),) = result.failures()
    assert (label, outcome.kind) == ("adhoc/run seed=1", kind)
    assert said in outcome.text
    assert said in shown
    assert "4711" not in shown + outcome.text
    assert [place.folder for place in result.outcomes] == ["/results/0", None, "/results/2"]
    if "traceback" in outcome.text:
        Path(outcome.text.split()[-1]).unlink()


def test_an_arm_whose_worker_is_killed_again_and_again_fails_alone(tmp_path: Path) -> None:
    launcher = InTurn(folder=tmp_path, poison=frozenset({1}))
    result, shown = swept(launcher, 5)
    assert launcher.calls == [[0, 1, 2, 3, 4], [3, 4], [1], [2]]
    ((label, outcome),) = result.failures()
    assert (label, outcome.kind) == ("adhoc/run seed=1", "failed")
    assert "SIGKILL(-9)" in outcome.text
    assert "a worker process was killed (SIGKILL(-9))" in shown


def test_an_arm_whose_worker_was_killed_once_is_done_in_the_end(tmp_path: Path) -> None:
    result, _ = swept(InTurn(folder=tmp_path, poison=frozenset({1, 4}), heals=True), 5)
    assert result.failures() == []


@pytest.mark.parametrize("num_workers", [None, 2])
def test_workers_that_are_lost_before_they_begin_end_the_sweep(num_workers: int | None, tmp_path: Path) -> None:
    @dataclass(kw_only=True)
    class Broken(InTurn):
        def launch(self, task: Callable[[int], None], arms: Sequence[int], *, folder: Path) -> None:
            raise OSError("no cluster")

    result, _ = swept(Broken(folder=tmp_path, num_workers=num_workers), 2)
    assert [outcome.text for _, outcome in result.failures()] == ["its worker was lost (OSError)"] * 2


def test_an_interrupt_leaves_no_folder_and_no_setting_behind(tmp_path: Path) -> None:
    def job(experiment: Experiment) -> Finished:
        raise KeyboardInterrupt

    before = dict(os.environ), threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        swept(InTurn(folder=tmp_path / "results" / ".sweeps"), 2, job=job)
    assert list(tmp_path.iterdir()) == []
    assert (dict(os.environ), threading.active_count()) == before


def test_a_folder_that_cannot_be_made_is_one_clear_message(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="results_dir"):
        swept(InTurn(folder=tmp_path / "file" / "results"), 1)


def test_arithmetic_keeps_to_one_thread_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setenv(THREADS[0], "3")
    monkeypatch.delenv(THREADS[1], raising=False)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with one_thread_each():
            assert torch.get_num_threads() == 1
            assert [os.environ[name] for name in THREADS] == ["1"] * len(THREADS)
        assert torch.get_num_threads() == 2
        assert os.environ[THREADS[0]] == "3"
        assert THREADS[1] not in os.environ
    finally:
        torch.set_num_threads(before)


def test_the_warm_up_comes_once_before_the_first_arm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[object] = []

    def job(experiment: Experiment) -> Finished:
        told.append(experiment.seed)
        return fine(experiment)

    monkeypatch.setattr(sweeps, "warm_up", lambda experiments: told.append([arm.seed for arm in experiments]))
    swept(InTurn(folder=tmp_path), 2, job=job)
    assert told == [[0, 1], 0, 1]

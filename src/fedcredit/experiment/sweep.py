"""A sweep: many experiments over worker processes, each run exactly as it would be alone.

Before the first worker trains, the parent has the accounting of all arms made once (``ahead``). Workers tell
what they do through a folder (``spool``), so that a worker that is killed takes no other arm's result with it,
whatever starts the workers: this machine's processes, a Ray cluster or Slurm.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, chdir
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from fedcredit.errors import InputError, RunFailedError, crash_message
from fedcredit.experiment.ahead import account_ahead
from fedcredit.experiment.spec import Experiment
from fedcredit.experiment.spool import Outcome, Spool
from fedcredit.experiment.sweep_display import SweepDisplay, sweep_labels
from fedcredit.experiment.workers import interrupts_kept_from_workers, one_thread_each

if TYPE_CHECKING:
    from rich.console import Console

    from fedcredit.experiment.record import RunRecord

_LOOK_SECONDS = 0.1
_KILLED = "its worker process was killed twice, the second time while it ran alone{exit}; often for want of memory"


class Launcher(Protocol):
    """What starts jobs: see ``config.sweeps.Launcher``."""

    @property
    def num_workers(self) -> int | None:
        """Worker processes on this machine; 1 is this process itself, None another machine's business."""

    @property
    def folder(self) -> Path:
        """Where the sweep may keep files while it goes on; seen by all workers."""

    def launch(self, task: Callable[[int], None], arms: Sequence[int], *, folder: Path) -> None:
        """Call a task for each arm in the workers, and wait for all of them."""


@dataclass(frozen=True, kw_only=True)
class Finished:
    """What a job hands back of an arm that is done: its results folder, and a line of figures."""

    folder: Path
    text: str


Job = Callable[[Experiment], Finished]


@dataclass(frozen=True, kw_only=True)
class SweepResult:
    """What came of a sweep.

    Attributes:
        experiments: the arms, equal ones once.
        labels: what each arm is called.
        outcomes: what came of each.
        wall_seconds: from the first look at the arms to the last outcome.
        cpu_seconds: of this process and of all workers, imports and accounting included.
        num_workers: how many processes ran arms.
    """

    experiments: tuple[Experiment, ...]
    labels: tuple[str, ...]
    outcomes: tuple[Outcome, ...]
    wall_seconds: float
    cpu_seconds: float
    num_workers: int

    def records(self) -> list[RunRecord]:
        """Read the records of the arms that are done."""
        from fedcredit.experiment.record import read_record

        return [read_record(Path(outcome.folder)) for outcome in self.outcomes if outcome.folder is not None]

    def failures(self) -> list[tuple[str, Outcome]]:
        """Return label and outcome of the arms that are not done."""
        return [
            (label, outcome)
            for label, outcome in zip(self.labels, self.outcomes, strict=True)
            if outcome.kind != "done"
        ]

    def cost_line(self) -> str:
        """Say what the sweep cost."""
        peak = max((outcome.worker_peak_bytes for outcome in self.outcomes), default=0) / 2**20
        arms = "1 arm" if len(self.outcomes) == 1 else f"{len(self.outcomes)} arms"
        workers = "1 process" if self.num_workers == 1 else f"{self.num_workers} processes"
        return (
            f"{arms} in {workers}: {self.wall_seconds:.1f} s wall, {self.cpu_seconds:.1f} CPU-seconds, "
            f"at most {peak:.0f} MB a process"
        )


def run_arm(experiment: Experiment, *, resume: bool = True) -> Finished:
    """Run one arm, as a single run would; its page is made when it is asked for (`fedcredit show`).

    Args:
        experiment: the arm.
        resume: whether an interrupted arm goes on from the last round it kept.

    Returns:
        Its results folder, and its AUC.
    """
    from fedcredit.experiment.files import run_folder
    from fedcredit.experiment.runner import run

    record = run(experiment, progress=False, report=False, resume=resume)
    auc = record.evaluation.overall.auc
    return Finished(
        folder=run_folder(experiment, record.fingerprint).path,
        text="AUC undefined" if auc is None else f"AUC {auc:.4f}",
    )


def warm_up(experiments: Sequence[Experiment]) -> None:
    """Do once, before workers start, what each of them would otherwise do for itself.

    Args:
        experiments: the arms.
    """
    from fedcredit.training import trainers

    for kind in sorted({experiment.trainer.kind for experiment in experiments}):
        trainers.warm_up(kind)


def run_sweep(
    experiments: Sequence[Experiment],
    launcher: Launcher,
    *,
    console: Console,
    job: Job = run_arm,
    progress: bool = True,
) -> SweepResult:
    """Run experiments over worker processes.

    Args:
        experiments: the arms; equal ones are run once.
        launcher: what starts the workers.
        console: where progress is shown.
        job: what is done with each arm, in a worker; picklable.
        progress: whether to show any.

    Returns:
        What came of every arm; a failed one does not stop the others.

    Raises:
        InputError: if the results folder cannot be written.
        KeyboardInterrupt: when interrupted, after the workers were ended.
    """
    started, cpu = time.perf_counter(), time.process_time()
    arms = tuple({experiment.model_dump_json(): experiment for experiment in experiments}.values())
    labels = sweep_labels(arms)
    with ExitStack() as stack:
        spool = Spool.opened(launcher.folder, arms)
        stack.callback(spool.close)
        display = stack.enter_context(SweepDisplay(labels, console=console, enabled=progress))
        stack.enter_context(one_thread_each())
        watch = stack.enter_context(_Watch(spool, display))
        stack.enter_context(interrupts_kept_from_workers())
        account_ahead(arms, num_workers=_local_workers(launcher, len(arms)), progress=display.stage)
        warm_up(arms)
        _launch(launcher, partial(_work, spool, job), spool, loans_together(arms), say=display.say)
        watch.look()
        outcomes = tuple(spool.outcome(arm) for arm in range(len(arms)))
    return SweepResult(
        experiments=arms,
        labels=tuple(labels),
        outcomes=outcomes,
        wall_seconds=time.perf_counter() - started,
        cpu_seconds=time.process_time() - cpu + _workers_cpu(outcomes),
        num_workers=len({outcome.worker for outcome in outcomes if outcome.worker}) or 1,
    )


def loans_together(experiments: Sequence[Experiment]) -> list[int]:
    """Order arms so that those on the same loans, dealt out and split alike, follow each other.

    A worker keeps its last table, its lenders and the references without privacy that were trained on them
    (`fedcredit.data.kept`); in this order the next arm finds them.

    Args:
        experiments: the arms.

    Returns:
        Their places; arms on the same loans stay in the order they have.
    """
    first: dict[tuple[object, ...], tuple[int, ...]] = {}
    keys = []
    for place, one in enumerate(experiments):
        table = (one.portfolio.model_dump_json(),)
        lenders = (*table, one.partition.model_dump_json(), one.split.model_dump_json(), one.split_seed)
        seeded = (*lenders, one.seed)
        keys.append(tuple(first.setdefault(key, (place,)) for key in (table, lenders, seeded)))
    return sorted(range(len(keys)), key=lambda place: (keys[place], place))


def _local_workers(launcher: Launcher, num_arms: int) -> int:
    if launcher.num_workers is not None:
        return launcher.num_workers
    from joblib import cpu_count

    return min(int(cpu_count()), num_arms)


def _work(spool: Spool, job: Job, arm: int) -> None:
    """Run one arm in a worker; whatever happens to it is its outcome."""
    started = time.perf_counter()
    spool.start(arm)
    with one_thread_each(), chdir(spool.working_folder):
        outcome = _attempt(job, spool.experiment(arm))
    spool.finish(outcome(arm=arm, seconds=time.perf_counter() - started, **_this_process()))


def _attempt(job: Job, experiment: Experiment) -> Callable[..., Outcome]:
    try:
        finished = job(experiment)
    except InputError as error:
        return partial(Outcome, kind="refused", text=str(error))
    except RunFailedError as error:
        return partial(Outcome, kind="failed", text=str(error))
    except Exception as error:
        return partial(Outcome, kind="failed", text=crash_message(error))
    return partial(Outcome, kind="done", text=finished.text, folder=str(finished.folder.resolve()))


def _this_process() -> dict[str, object]:
    import os
    import platform
    import resource

    usage = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "worker": f"{platform.node()}:{os.getpid()}",
        "worker_cpu_seconds": usage.ru_utime + usage.ru_stime,
        "worker_peak_bytes": usage.ru_maxrss * 1024,
    }


def _workers_cpu(outcomes: Sequence[Outcome]) -> float:
    """Add up the workers' CPU time, each at its last word; this process counts for itself."""
    here = str(_this_process()["worker"])
    spent: dict[str, float] = {}
    for outcome in outcomes:
        if outcome.worker != here:
            spent[outcome.worker] = max(spent.get(outcome.worker, 0.0), outcome.worker_cpu_seconds)
    return sum(spent.values())


def _launch(
    launcher: Launcher, task: Callable[[int], None], spool: Spool, arms: Sequence[int], *, say: Callable[[str], None]
) -> None:
    """Start all arms; those that were under way when a worker was lost start again, one at a time.

    The pool of a lost worker is lost, so an arm under way is not known to be the guilty one; asked again it
    begins with the same draws, which the ledger knows. Alone, the guilty one shows itself.
    """
    suspects: list[int] = []
    waiting = list(arms)
    while waiting:
        reason = _lost(launcher, task, spool, waiting)
        left = [arm for arm in waiting if arm not in spool.finished()]
        begun = [arm for arm in left if arm in spool.started()]
        if not left:
            break
        if (launcher.num_workers or 1) == 1 or not begun:
            for arm in left:
                spool.finish(Outcome(arm=arm, kind="failed", text=f"its worker was lost{reason}"))
            break
        say(f"a worker process was killed{reason}; what was under way starts again, one arm at a time: {len(begun)}")
        for arm in begun:
            spool.put_back(arm)
        suspects += begun
        waiting = [arm for arm in left if arm not in begun]
    for arm in suspects:
        reason = _lost(launcher, task, spool, [arm])
        if arm not in spool.finished():
            spool.finish(Outcome(arm=arm, kind="failed", text=_KILLED.format(exit=reason)))


def _lost(launcher: Launcher, task: Callable[[int], None], spool: Spool, arms: Sequence[int]) -> str:
    """Start arms, and return why they were not all finished, as far as it is known."""
    try:
        launcher.launch(task, arms, folder=spool.folder)
    except Exception as error:
        codes = re.search(r"exit codes of the workers are \{(.*?)\}", str(error))
        return f" ({codes.group(1) if codes else type(error).__name__})"
    return ""


class _Watch:
    """A thread that looks into the spool and shows what is new; it also hears Ctrl-C for the main thread."""

    def __init__(self, spool: Spool, display: SweepDisplay) -> None:
        self._spool = spool
        self._display = display
        self._seen: set[int] = set()
        self._running: list[int] = []
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._go, daemon=True)

    def __enter__(self) -> _Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def look(self) -> None:
        """Show what has begun or ended since the last look."""
        with self._lock:
            finished = self._spool.finished()
            for arm in sorted(finished - self._seen):
                self._display.finished(self._spool.outcome(arm))
            running = sorted(self._spool.started() - finished)
            if running != self._running or finished != self._seen:
                self._display.running(running)
            self._seen, self._running = finished, running

    def _go(self) -> None:
        while not self._ended.wait(_LOOK_SECONDS):
            self.look()

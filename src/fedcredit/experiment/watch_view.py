"""Runs in progress in a terminal: one line a run, those that go on first; or plain lines where no terminal is."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from fedcredit.experiment.watched import RunSeen, Seen, Watch
from fedcredit.experiment.wording import ABSENT, epsilon_text

LOOK_SECONDS = 0.5
_ORDER = ("running", "stopped", "finished")
_MOST_LINES = 30
_NOTE = (
    "figures on validation loans; epsilon: of the worst-off lender, a quick upper bound until the record has it in full"
)


def watch(watched: Watch, console: Console, *, look_seconds: float = LOOK_SECONDS) -> Seen:
    """Show runs until none of them goes on.

    Args:
        watched: the folder that is looked at.
        console: where to draw; one that is no terminal gets a line when a run has something new to tell.
        look_seconds: time between two looks.

    Returns:
        What was seen last.
    """
    seen = watched.look()
    if not console.is_terminal:
        return _in_lines(watched, console, seen, look_seconds)
    with Live(view(seen), console=console, auto_refresh=False, vertical_overflow="ellipsis") as live:
        while not seen.is_over:
            time.sleep(look_seconds)
            seen = watched.look()
            live.update(view(seen), refresh=True)
    return seen


def view(seen: Seen) -> RenderableType:
    """Lay out what was seen.

    Args:
        seen: the runs.

    Returns:
        What rich can print: a heading, and one line a run.
    """
    heading = Text(headline(seen), style="bold")
    if not seen.runs:
        return heading
    ordered = sorted(seen.runs, key=lambda run: (_ORDER.index(run.state), run.label))
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("run", "state", "", "round", "AUC", "loss", "epsilon at most", "set aside"):
        table.add_column(name, justify="left" if name in ("run", "state", "") else "right", no_wrap=True)
    for run in ordered[:_MOST_LINES]:
        table.add_row(
            Text(run.label, overflow="ellipsis"), run.state,
            ProgressBar(total=max(run.num_rounds, 1), completed=_completed(run), width=12), *_texts(run),
        )  # fmt: skip
    left = len(ordered) - _MOST_LINES
    more = (Text(f"and {left} more", style="dim"),) if left > 0 else ()
    return Group(heading, table, *more, Text(_NOTE, style="dim"))


def headline(seen: Seen) -> str:
    """Say in one line how far all of it is.

    Args:
        seen: the runs.

    Returns:
        For example ``"3 of 7 runs finished, 2 running; the sweep has done 3 of 30 arms"``.
    """
    if not seen.runs:
        return "no run has begun here yet" + _sweeps_text(seen)
    running = sum(run.state == "running" for run in seen.runs)
    stopped = sum(run.state == "stopped" for run in seen.runs)
    parts = [f"{seen.num_finished} of {len(seen.runs)} runs finished", f"{running} running" if running else ""]
    parts.append(f"{stopped} stopped (the same command goes on with them)" if stopped and not seen.sweeps else "")
    return ", ".join(part for part in parts if part) + _sweeps_text(seen)


def _sweeps_text(seen: Seen) -> str:
    done, arms = sum(item.num_done for item in seen.sweeps), sum(item.num_arms for item in seen.sweeps)
    return f"; the sweep has done {done} of {arms} arms" if seen.sweeps else ""


def _in_lines(watched: Watch, console: Console, seen: Seen, look_seconds: float) -> Seen:
    told: dict[str, tuple[object, ...]] = {}
    while True:
        for run in seen.runs:
            news = (run.state, run.auc, run.epsilon_spent)
            if told.get(str(run.folder)) != news:
                told[str(run.folder)] = news
                console.print(Text(line(run)), soft_wrap=True)
        if seen.is_over:
            console.print(Text(headline(seen)), soft_wrap=True)
            return seen
        time.sleep(look_seconds)
        seen = watched.look()


def line(run: RunSeen) -> str:
    """Tell a run in one plain line.

    Args:
        run: the run.

    Returns:
        For example ``"taiwan/loan_level seed=1 split_seed=1: running, round 40/100, AUC 0.7712"``.
    """
    server_round, auc, loss, spent, aside = _texts(run)
    parts = [run.state, f"round {server_round}"]
    named: Sequence[tuple[str, str]] = (("AUC", auc), ("loss", loss), ("epsilon at most", spent), ("set aside", aside))
    return f"{run.label}: {', '.join([*parts, *(f'{name} {text}' for name, text in named if text != ABSENT)])}"


def _completed(run: RunSeen) -> int:
    return run.num_rounds if run.state == "finished" else run.server_round


def _texts(run: RunSeen) -> tuple[str, str, str, str, str]:
    return (
        f"{run.server_round}/{run.num_rounds}",
        ABSENT if run.auc is None else f"{run.auc:.4f}",
        ABSENT if run.log_loss is None else f"{run.log_loss:.4f}",
        ABSENT if run.epsilon_spent is None else epsilon_text(run.epsilon_spent),
        str(run.num_quarantined) if run.num_quarantined else ABSENT,
    )

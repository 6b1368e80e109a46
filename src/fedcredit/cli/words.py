"""What several verbs share: how a typed experiment is read, where text goes, and exit codes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from fedcredit.experiment.spec import Experiment

WIDTH_OF_A_FILE = 140
DONE, FAILED, MISTAKE, INTERRUPTED = 0, 1, 2, 130


def composed(words: Sequence[str]) -> Experiment:
    """Compose what is typed as for run, where a word that sets nothing names an experiment.

    Args:
        words: an experiment and overrides.

    Returns:
        The experiment.

    Raises:
        InputError: for a mistake in what was typed.
    """
    from fedcredit.config import compose

    return compose(None, [word if "=" in word or word.startswith("~") else f"experiments={word}" for word in words])


def console(*, stderr: bool = False) -> Console:
    """Return a console on standard output, or error, wide where it is a file."""
    from rich.console import Console

    is_terminal = (sys.stderr if stderr else sys.stdout).isatty()
    return Console(stderr=stderr) if is_terminal else Console(width=WIDTH_OF_A_FILE, stderr=stderr)

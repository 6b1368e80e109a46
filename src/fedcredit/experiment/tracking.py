"""What a run tells trackers: its rounds as they end, and what it came to. They only listen; nothing is read back.

A tracker that fails is let go with a warning: the results folder has everything, and the same command writes what the
tracker lacks. Of a deployed run it is told what the server knows: no figure on loans.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from fedcredit.errors import InputError
from fedcredit.experiment.deployed import DEPLOYED
from fedcredit.experiment.differences import leaves
from fedcredit.experiment.files import run_folder
from fedcredit.experiment.record import RunRecord, as_json
from fedcredit.experiment.spec import Experiment, NoTracking
from fedcredit.experiment.studies import figure_at

_NEEDED = {"mlflow": ("mlflow", "alembic", "sqlalchemy"), "tensorboard": ("tensorboard",)}
_FITS = ("auc", "ks", "brier", "log_loss", "mean_pd_over_bad_rate", "within_auc")
_OF_A_ROUND = ("update_norm", "train_seconds", "epsilon_spent")
_LOG = logging.getLogger(__name__)


class Tracker(Protocol):
    """Takes figures of one run."""

    @property
    def is_complete(self) -> bool:
        """Whether an earlier process has told it the end of the same run."""

    def begin(self, told: Mapping[str, str]) -> None:
        """Start the run anew: what an interrupted process left of it is dropped."""

    def scalars(self, figures: Mapping[str, float], *, step: int) -> None:
        """Take figures by name."""

    def text(self, name: str, content: str) -> None:
        """Take a text."""

    def end(self) -> None:
        """Say that the run has ended well, and let go."""


class Tracking:
    """Tells a tracker about one run, or nobody.

    Args:
        tracker: who is told; ``None`` for nobody.
        experiment: the experiment.
    """

    def __init__(self, tracker: Tracker | None, experiment: Experiment) -> None:
        """Start with nothing told."""
        self._tracker = tracker
        self._experiment = experiment

    def begin(self) -> None:
        """Start the run in the tracker."""
        self._tell(lambda tracker: tracker.begin(parameters(self._experiment)))

    def round(self, told: Mapping[str, Any]) -> None:
        """Tell a round as ``rounds.jsonl`` holds it."""
        figures = round_scalars(told, is_open=self._experiment.mode != DEPLOYED)
        self._tell(lambda tracker: tracker.scalars(figures, step=int(told["server_round"])))

    def end(self, record: RunRecord) -> None:
        """Tell what the run came to."""

        def tell(tracker: Tracker) -> None:
            tracker.scalars(final_scalars(record), step=len(record.rounds))
            if record.statement_lines:
                tracker.text("privacy_statement", "\n".join(record.statement_lines) + "\n")
            tracker.end()

        self._tell(tell)

    def catch_up(self, record: RunRecord) -> None:
        """Tell a run that had finished before; one that is known to its end is left alone."""

        def tell(tracker: Tracker) -> None:
            if not tracker.is_complete:
                self.begin()
                for told in record.rounds:
                    self.round(told)
                self.end(record)

        self._tell(tell)

    def _tell(self, what: Callable[[Tracker], None]) -> None:
        if self._tracker is None:
            return
        try:
            what(self._tracker)
        except Exception as error:
            _LOG.warning(
                "%s is told no more of %s (%s: %s); its results folder is whole, and the same command tells the rest",
                self._experiment.tracking.kind, self._experiment.name, type(error).__name__, error,
            )  # fmt: skip
            self._tracker = None


def check_tracking(experiment: Experiment) -> None:
    """Refuse a tracker whose library is missing.

    Args:
        experiment: the experiment.

    Raises:
        InputError: if it is not installed.
    """
    kind = experiment.tracking.kind
    missing = [name for name in _NEEDED.get(kind, ()) if find_spec(name) is None]
    if missing:
        raise InputError(
            f"tracking is {kind}, and {missing[0]} is not installed; pip install 'fedcredit[tracking]', or set "
            "tracking=none. Nothing was written"
        )


@contextmanager
def tracked(experiment: Experiment, fingerprint: str) -> Iterator[Tracking]:
    """Open the tracker that an experiment asks for.

    Args:
        experiment: the experiment.
        fingerprint: its fingerprint.

    Yields:
        What to tell; it never raises.
    """
    tracker: Tracker | None = None
    if not isinstance(experiment.tracking, NoTracking):
        place, kind = run_folder(experiment, fingerprint).path, experiment.tracking.kind
        given = experiment.tracking.folder
        folder = Path(experiment.results_dir, "tracking", kind) if given is None else Path(given)
        name = place.relative_to(experiment.results_dir)
        if kind == "mlflow":
            from fedcredit.experiment.tracking_mlflow import MlflowTracker

            tracker = MlflowTracker(folder, name)
        else:
            from fedcredit.experiment.tracking_tensorboard import TensorboardTracker

            tracker = TensorboardTracker(folder, name)
    yield Tracking(tracker, experiment)


def parameters(experiment: Experiment) -> dict[str, str]:
    """Return what an experiment is, as a tracker lists it.

    Args:
        experiment: the experiment.

    Returns:
        Key -> value of its description, without where things are kept.
    """
    plain = experiment.model_dump(mode="json", exclude={"results_dir", "ledger_dir", "tracking"})
    return {key.replace("[", ".").replace("]", ""): str(value) for key, value in leaves(plain)}


def round_scalars(told: Mapping[str, Any], *, is_open: bool) -> dict[str, float]:
    """Take the figures of a round.

    Args:
        told: the round as plain data.
        is_open: whether figures on validation loans may be told.

    Returns:
        Figures by name; ``epsilon_at_most`` is the quick upper bound of the worst-off lender.
    """
    found = {"num_asked": float(len(told["cohort"])), "num_quarantined": float(len(told["quarantined"]))}
    for key in _OF_A_ROUND:
        name = "epsilon_at_most" if key == "epsilon_spent" else key
        found |= {name: float(told[key])} if _is_number(told.get(key)) else {}
    evaluation = told.get("evaluation") if is_open else None
    fit = evaluation["overall"] if isinstance(evaluation, Mapping) else {}
    return found | {f"validation/{key}": float(fit[key]) for key in ("auc", "log_loss") if _is_number(fit.get(key))}


def final_scalars(record: RunRecord) -> dict[str, float]:
    """Take the figures that a run came to.

    Args:
        record: the record.

    Returns:
        Figures by name: of a simulated run those on test loans, its references, and of each run the ledger's epsilon
        for a borrower at one, two and three lenders.
    """
    plain: dict[str, Any] = as_json(record)
    paths = {}
    if plain["statement"] is not None:
        paths["epsilon/one_lender"] = "statement.worst.value"
        for count in plain["statement"]["overlap"]:
            paths[f"epsilon/{count}_lenders"] = f"statement.overlap.{count}.value"
    if record.mode != DEPLOYED:
        paths |= {f"test/{key}": f"evaluation.overall.{key}" for key in _FITS}
        for name in record.references:
            path = f"references.{name}.evaluation.overall"
            paths |= {f"test_{name}/{key}": f"{path}.{key}" for key in _FITS}
    found = {}
    for name, path in paths.items():
        with suppress(InputError):
            value = figure_at(plain, path)
            if value is not None:
                found[name] = value
    return found


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)

"""What `fedcredit audit` was asked for: an experiment with overrides, or the results folder of a finished run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fedcredit.errors import InputError
from fedcredit.experiment.audit import Audit, audit
from fedcredit.experiment.audit_claims import charged_claims, disagreements, planned_claims
from fedcredit.experiment.display import RunDisplay
from fedcredit.experiment.record import RECORD_FILE, read_record
from fedcredit.experiment.spec import Experiment
from fedcredit.experiment.validate import experiment_from_data

_FOLDER = "audits"


@dataclass(frozen=True, kw_only=True)
class FinishedAudit:
    """An audit, and the folder where its files go unless another is given."""

    audit: Audit
    folder: Path


def audit_words(
    words: Sequence[str],
    *,
    compose: Callable[[Sequence[str]], Experiment],
    num_canaries: int,
    confidence: float,
    seed: int,
) -> FinishedAudit:
    """Audit what is named on a command line, with progress on standard error.

    Args:
        words: an experiment and overrides, or one results folder.
        compose: makes an experiment of words.
        num_canaries: as for `audit`.
        confidence: as for `audit`.
        seed: as for `audit`.

    Returns:
        The audit.

    Raises:
        InputError: if there is nothing to audit, or overrides come with a results folder.
    """
    place, differing = Path(words[0]), tuple[str, ...]()
    with RunDisplay(enabled=True) as display:
        if (place / RECORD_FILE).is_file():
            if len(words) > 1:
                raise InputError(
                    f"{len(words) - 1} overrides with a results folder: a finished run is audited as it was; "
                    "leave them out, or name an experiment"
                )
            record = read_record(place)
            experiment, claims = experiment_from_data(record.experiment), charged_claims(record, place)
            differing = disagreements(record, place)
        else:
            if place.is_dir():
                raise InputError(f"{place} is no folder of one finished run: it has no {RECORD_FILE}")
            experiment = compose(words)
            claims = planned_claims(experiment, progress=display.stage)
        found = audit(
            claims, experiment=experiment, num_canaries=num_canaries, confidence=confidence, seed=seed,
            progress=display.stage,
        )  # fmt: skip
    found = replace(found, disagreements=differing)
    study, arm = experiment.name.split("/")
    return FinishedAudit(audit=found, folder=Path(experiment.results_dir) / _FOLDER / study / arm)

"""At which level decisions read PDs: as released, at each lender's own, or after a charged correction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from fedcredit.credit.histogram import on_line
from fedcredit.credit.level import Level
from fedcredit.credit.scored import Scored
from fedcredit.errors import InputError
from fedcredit.experiment.charged import moved
from fedcredit.experiment.charged_record import ChargedRecord
from fedcredit.experiment.decisions.rescoring import Rescored, Scores

CHARGED_OVERRIDE = "evaluation.charged.recalibration.num_bins=8"


class LevelAt(StrEnum):
    """Where the level of a run's PDs comes from."""

    RELEASED = "as released"
    OWN = "each lender at its own intercept"
    CHARGED = "after the run's charged correction"


class WrongLevelError(InputError):
    """PDs whose level is too wrong to be multiplied with money.

    Attributes:
        folder: of the run.
        has_charged: whether the run released a correction that can be applied.
    """

    def __init__(self, message: str, *, folder: Path, has_charged: bool) -> None:
        """Keep what a command needs to be offered."""
        super().__init__(message)
        self.folder, self.has_charged = folder, has_charged


@dataclass(frozen=True, kw_only=True)
class Levelled:
    """Held-out loans of every lender at one level; lender -> its scored loans, and what was added to its log-odds."""

    test: Mapping[str, Scored]
    validation: Mapping[str, Scored]
    shifts: Mapping[str, float]


def levelled(run: Rescored, scores: Scores, at: LevelAt) -> Levelled:
    """Read scores at a level.

    Args:
        run: the run.
        scores: of its shared network.
        at: the level.

    Returns:
        The loans.

    Raises:
        InputError: if a charged correction is asked for and the run has released none.
    """
    if at is LevelAt.OWN:
        return Levelled(test=scores.test_at_own_level, validation=scores.validation_at_own_level, shifts=scores.shifts)
    none = dict.fromkeys(scores.test, 0.0)
    if at is LevelAt.RELEASED:
        return Levelled(test=scores.test, validation=scores.validation, shifts=none)
    charged = run.record.charged
    if charged is None or not is_usable(charged):
        asked = (
            "noise hides the correction that it asked for"
            if charged is not None and _asked(run)
            else ("it was run without one")
        )
        raise InputError(
            f"{run.folder} has no charged correction, as {asked}; run its experiment again with {CHARGED_OVERRIDE} or "
            "evaluation.own_intercept=charged, or give --own-level"
        )
    own = {name: shift for name, shift in (charged.shifts or {}).items() if shift is not None}
    return Levelled(
        test=_corrected(scores.test, charged),
        validation=_corrected(scores.validation, charged),
        shifts=none | ({} if charged.line is not None else own),
    )


def is_usable(charged: ChargedRecord) -> bool:
    """Say whether a run released a correction of its level: a line, or an intercept of at least one lender."""
    return charged.line is not None or any(shift is not None for shift in (charged.shifts or {}).values())


def refuse_wrong_level(run: Rescored, level: Level, at: LevelAt) -> None:
    """Refuse to multiply PDs with money where their level is wrong, and say what to do.

    At each lender's own level nothing more can be offered, so that is warned about and not refused.

    Args:
        run: the run.
        level: of all its validation loans.
        at: how they were read.

    Raises:
        WrongLevelError: if mean PD over bad rate is outside .8 to 1.25.
    """
    if not level.warning or level.ratio is None or at is LevelAt.OWN:
        return
    has_charged = run.record.charged is not None and is_usable(run.record.charged) and at is not LevelAt.CHARGED
    raise WrongLevelError(level.warning, folder=run.folder, has_charged=has_charged)


def _corrected(loans: Mapping[str, Scored], charged: ChargedRecord) -> dict[str, Scored]:
    line = charged.line
    if line is not None:
        return {name: on_line(found, line) for name, found in loans.items()}
    return moved(loans, charged.shifts or {})


def _asked(run: Rescored) -> bool:
    wanted = run.prepared.experiment.evaluation
    return wanted.own_intercept == "charged" or (
        wanted.charged is not None and wanted.charged.recalibration is not None
    )

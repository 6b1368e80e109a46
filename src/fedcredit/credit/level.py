"""Before a probability is multiplied with money: is its level right?"""

from __future__ import annotations

from dataclasses import dataclass

from numpy.typing import ArrayLike

from fedcredit.credit.calibration import mean_pd_over_bad_rate
from fedcredit.credit.discrimination import Interval
from fedcredit.errors import InputError

LOWEST, HIGHEST = 0.8, 1.25


@dataclass(frozen=True, kw_only=True)
class Level:
    """Mean PD over bad rate on loans whose outcome is known.

    Attributes:
        ratio: the figure; ``None`` without a default.
        warning: what is wrong with it, empty if nothing is; it says where a ratio of 1 is within its 95 % interval.
        interval: of the ratio, at 95 %; ``None`` where there is none.
    """

    ratio: float | None
    warning: str
    interval: Interval | None = None


def level_of(pd: ArrayLike, default: ArrayLike) -> Level:
    """Check the level of predictions that decisions are going to read as probabilities.

    Args:
        pd: predicted probability of default, ``[loans]``, in [0, 1].
        default: 0 or 1, ``[loans]``.

    Returns:
        The ratio, with a warning where it is outside .8 to 1.25 or cannot be said.

    Raises:
        InputError: if the arrays are not scored loans.
    """
    found = mean_pd_over_bad_rate(pd, default)
    if found is None:
        return Level(ratio=None, warning="No loan defaulted, so the level of the predictions cannot be checked.")
    if LOWEST <= found.value <= HIGHEST:
        return Level(ratio=found.value, warning="", interval=found.interval)
    return Level(
        ratio=found.value,
        interval=found.interval,
        warning=(
            f"Mean PD is {found.value:.2f} times the bad rate, outside {LOWEST} to {HIGHEST}: amounts that follow from "
            "it are wrong by about as much. Recalibrate first: each lender's own intercept, or a charged recalibration."
            f"{_by_chance(found.interval)}"
        ),
    )


def _by_chance(interval: Interval | None) -> str:
    if interval is None or not interval.lower <= 1.0 <= interval.upper:
        return ""
    return f" With so few defaults it may be chance: the 95 % interval is {interval.lower:.2f} to {interval.upper:.2f}."


def check_level(pd: ArrayLike, default: ArrayLike) -> None:
    """Refuse predictions whose level is too wrong to be multiplied with money.

    Args:
        pd: predicted probability of default, ``[loans]``, in [0, 1].
        default: 0 or 1, ``[loans]``.

    Raises:
        InputError: if mean PD over bad rate is outside .8 to 1.25, or cannot be said.
    """
    level = level_of(pd, default)
    if level.warning:
        raise InputError(f"pd: {level.warning}")

"""Arrays over loans as decisions read them: checked once, and named when something is wrong with them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedcredit.errors import InputError

Floats = NDArray[np.float64]


def numbers(values: ArrayLike, name: str, *, low: float, high: float = float("inf"), num: int | None = None) -> Floats:
    """Check an array of numbers.

    Args:
        values: one number a loan, ``[loans]``.
        name: what it is called in a message.
        low: the smallest number that is allowed.
        high: the largest.
        num: how many loans there must be; any by default.

    Returns:
        The numbers, ``[loans]``, float64.

    Raises:
        InputError: if there is not one number a loan, or some are outside the range. Values are counted, not shown.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or (num is not None and array.size != num):
        wanted = "one number a loan" if num is None else f"one number for each of {num} loans"
        raise InputError(f"{name} has shape {array.shape}; give {wanted}")
    wrong = int(np.count_nonzero(~((array >= low) & (array <= high))))
    if wrong:
        allowed = f"from {low:g}" if high == float("inf") else f"from {low:g} to {high:g}"
        raise InputError(f"{name} is out of range or missing for {wrong} of {array.size} loans; allowed is {allowed}")
    return array


def setting(value: float, name: str, *, low: float, high: float = float("inf"), is_open: bool = False) -> float:
    """Check one number of a policy.

    Args:
        value: the number.
        name: what it is called in a message.
        low: the smallest number that is allowed.
        high: the largest.
        is_open: whether ``low`` itself is not allowed.

    Returns:
        The number.

    Raises:
        InputError: if it is outside the range.
    """
    if not (low < value if is_open else low <= value) or not value <= high:
        above = f"above {low:g}" if is_open else f"from {low:g}"
        upto = "" if high == float("inf") else f" to {high:g}"
        raise InputError(f"{name} is {value}; allowed is {above}{upto}")
    return float(value)

"""What a market is made from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fedcredit.data.market.lenders import Lender, default_lenders
from fedcredit.data.wording import nearest
from fedcredit.errors import InputError

Shock = Literal["none", "mild", "pandemic"]
SHOCKS: tuple[Shock, ...] = ("none", "mild", "pandemic")


def as_shock(name: str) -> Shock:
    """Return a shock by its name.

    Args:
        name: what a user wrote.

    Returns:
        The shock.

    Raises:
        InputError: for a name that is none.
    """
    for shock in SHOCKS:
        if shock == name:
            return shock
    raise InputError(f"shock is {name!r}{nearest(name, SHOCKS)}; allowed are {', '.join(SHOCKS)}")


Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
Bytes = NDArray[np.int8]
Flags = NDArray[np.bool_]

WINDOW_MONTHS = 12
SETTLE_MONTHS = 4


@dataclass(frozen=True, kw_only=True)
class MarketSettings:
    """The inputs of a simulation.

    ``shock_month`` is the first bad month of a named shock; with ``forbearance`` lenders grant payment
    holidays while it lasts. ``cycle`` is the standard deviation of the ordinary macro factor, which moves
    whether or not there is a shock.
    """

    num_borrowers: int
    seed: int = 1
    num_months: int = 36
    shock: Shock = "none"
    shock_month: int = 18
    forbearance: bool = False
    cycle: float = 0.3
    lenders: tuple[Lender, ...] = field(default_factory=default_lenders)

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            InputError: naming the argument, its value and what is allowed.
        """
        limits = {"num_borrowers": (500, 20_000_000), "num_months": (18, 120), "seed": (0, 2**63 - 1)}
        for name, (low, high) in limits.items():
            if not low <= getattr(self, name) <= high:
                raise InputError(f"{name} is {getattr(self, name)}; allowed is {low} to {high}")
        as_shock(self.shock)
        if not 1 <= self.shock_month < self.num_months:
            raise InputError(f"shock_month is {self.shock_month}; allowed is 1 to {self.num_months - 1}")
        if not 0.0 <= self.cycle <= 1.0:
            raise InputError(f"cycle is {self.cycle}; allowed is 0 to 1")

"""A figure of a market and the range it must lie in."""

from __future__ import annotations

from dataclasses import dataclass

TITLES = {
    1: "what models reach",
    2: "how models differ",
    3: "information in columns",
    4: "no column says it all",
    5: "lenders differ",
    6: "what pooling is worth",
    7: "what other lenders know",
    8: "rolls between buckets",
    9: "vintages",
    10: "a pandemic",
    11: "the true PD is true",
    12: "what privacy costs",
}
INFINITE = float("inf")


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One measured figure of a band and its range; NaN says that the market is too small for it."""

    band: int
    name: str
    value: float
    low: float
    high: float

    @property
    def passes(self) -> bool:
        """Whether the value is in its range."""
        return self.low <= self.value <= self.high

"""Lenders of three kinds: where they lend, to whom, how much, and what they ask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fedcredit.errors import InputError

LenderKind = Literal["bank", "bnpl", "consumer_finance"]
KINDS: tuple[LenderKind, ...] = ("bank", "bnpl", "consumer_finance")
NUM_REGIONS = 6

SCENARIOS = ("electronics", "appliances", "travel", "education", "medical")
SCENARIO_AMOUNTS = (2500.0, 3200.0, 2800.0, 9000.0, 8000.0)
SCENARIO_SHIFTS = (0.0, -0.15, 0.15, 0.25, 0.35)
TENORS = (3, 6, 9, 12, 18, 24)

GROUPS = ("repayment", "utilisation", "codebt", "income", "device", "scenario")


@dataclass(frozen=True, kw_only=True)
class Lender:
    """A lender.

    ``regions`` and ``tiers`` weigh where it is chosen, ``[6]`` and ``[5]``; ``scenarios`` and ``tenors``
    are the mix of its plans, ``[5]`` and ``[6]``. ``approval_rate`` is the share of the population that
    its own noisy score would accept, ``macro_loading`` is rho, ``target_pd`` the mean 12-month probability
    of default of its accepted accounts in an ordinary month. ``tilts`` multiply its risk coefficients by
    group (concept shift); ``collects`` names the groups of columns it has.
    """

    name: str
    kind: LenderKind
    appeal: float
    regions: tuple[float, ...]
    tiers: tuple[float, ...]
    scenarios: tuple[float, ...]
    tenors: tuple[float, ...]
    approval_rate: float
    score_noise: float
    limit_to_income: float
    fee_rate: float
    macro_loading: float
    target_pd: float
    tilts: tuple[float, ...]
    collects: frozenset[str]


_TENOR_MIX = (0.25, 0.25, 0.05, 0.35, 0.04, 0.06)
_SCENARIO_MIX = (0.42, 0.22, 0.12, 0.13, 0.11)
_SIZES = (1.0, 0.62, 0.40, 0.27)
_EVERYONE = frozenset({"limits", "history", "bureau"})


def default_lenders(*, num_banks: int = 3, num_bnpl: int = 4, num_consumer_finance: int = 3) -> tuple[Lender, ...]:
    """Return the lenders of a market; lenders of one kind differ by fixed, public rules.

    Args:
        num_banks: 0 to 100.
        num_bnpl: buy-now-pay-later platforms, 0 to 100.
        num_consumer_finance: 0 to 100.

    Returns:
        Lenders, banks first.

    Raises:
        InputError: for a number outside its range, or fewer than two lenders in all.
    """
    numbers = {"num_banks": num_banks, "num_bnpl": num_bnpl, "num_consumer_finance": num_consumer_finance}
    for name, number in numbers.items():
        if not 0 <= number <= 100:
            raise InputError(f"{name} is {number}; allowed is 0 to 100")
    if sum(numbers.values()) < 2:
        raise InputError(f"the market has {sum(numbers.values())} lenders; ask for at least two")
    counts = zip(KINDS, numbers.values(), strict=True)
    return tuple(_lender(kind, place) for kind, number in counts for place in range(number))


def _lender(kind: LenderKind, place: int) -> Lender:
    """Build the lender at a place among those of its kind; the rules repeat with periods of 3 to 6."""
    step = (place % 3) - 1
    home = (2 * place + KINDS.index(kind)) % NUM_REGIONS
    spread = {"bank": 0.25, "bnpl": 0.75, "consumer_finance": 0.4}[kind]
    regions = tuple(1.0 if (region - home) % NUM_REGIONS < 2 else spread for region in range(NUM_REGIONS))
    lean = {"bank": -0.35, "bnpl": 0.0, "consumer_finance": 0.35}[kind] + 0.1 * step
    return Lender(
        name=f"{kind}_{place + 1}",
        kind=kind,
        appeal={"bank": 0.60, "bnpl": 1.0, "consumer_finance": 0.55}[kind] * _SIZES[place % 4],
        regions=regions,
        tiers=tuple(2.718281828 ** (lean * (tier - 3)) for tier in range(1, 6)),
        scenarios=_scenario_mix(kind, place),
        tenors=_tenor_mix(kind),
        approval_rate={"bank": 0.45, "bnpl": 0.80, "consumer_finance": 0.65}[kind] - 0.03 * step,
        score_noise={"bank": 0.5, "bnpl": 0.8, "consumer_finance": 0.7}[kind],
        limit_to_income={"bank": 2.5, "bnpl": 1.1, "consumer_finance": 1.8}[kind] * (1.0 + 0.1 * step),
        fee_rate={"bank": 0.0065, "bnpl": 0.008, "consumer_finance": 0.0095}[kind] + 0.0005 * step,
        macro_loading={"bank": 0.002, "bnpl": 0.065, "consumer_finance": 0.085}[kind] * (1.0 + 0.04 * step),
        target_pd={"bank": 0.0106, "bnpl": 0.022, "consumer_finance": 0.0345}[kind] * (1.0 + 0.05 * step),
        tilts=_tilts(kind, place),
        collects=_EVERYONE | _COLLECTED[kind] | ({"contacts"} if kind != "bank" and place % 2 == 0 else frozenset()),
    )


_COLLECTED = {
    "bank": frozenset({"income", "verified", "tenure"}),
    "bnpl": frozenset({"device", "orders"}),
    "consumer_finance": frozenset({"income", "tenure", "device"}),
}


def _scenario_mix(kind: LenderKind, place: int) -> tuple[float, ...]:
    lean = {
        "bank": (0.8, 1.3, 1.2, 1.2, 0.6),
        "bnpl": (1.3, 1.1, 0.8, 0.6, 0.5),
        "consumer_finance": (0.6, 0.7, 1.1, 1.6, 2.0),
    }[kind]
    favourite = place % len(SCENARIOS)
    raw = [m * w * (1.5 if i == favourite else 1.0) for i, (m, w) in enumerate(zip(_SCENARIO_MIX, lean, strict=True))]
    return tuple(value / sum(raw) for value in raw)


def _tenor_mix(kind: LenderKind) -> tuple[float, ...]:
    lean = {
        "bank": (0.6, 0.8, 1.0, 1.4, 1.5, 1.5),
        "bnpl": (1.3, 1.1, 1.0, 0.8, 0.5, 0.4),
        "consumer_finance": (0.7, 1.0, 1.2, 1.1, 1.3, 1.3),
    }[kind]
    raw = [mix * weight for mix, weight in zip(_TENOR_MIX, lean, strict=True)]
    return tuple(value / sum(raw) for value in raw)


def _tilts(kind: LenderKind, place: int) -> tuple[float, ...]:
    """Let two or three of the six risk coefficients differ by 30 % from those of the market."""
    tilts = [1.0] * len(GROUPS)
    first = (place + 2 * KINDS.index(kind)) % len(GROUPS)
    tilts[first] = 1.3
    tilts[(first + 2) % len(GROUPS)] = 0.7
    if place % 2:
        tilts[(first + 3) % len(GROUPS)] = 1.3
    return tuple(tilts)

"""Borrowers: two latent traits, what follows from them, and the keys that tie borrowers together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedcredit.data.market.lenders import NUM_REGIONS
from fedcredit.data.market.settings import Bytes, Floats, MarketSettings
from fedcredit.data.market.streams import generator

JOBS = ("formal", "gig", "self_employed", "student")
MEDIAN_INCOME = 5500.0
INCOME_SIGMA = 0.6
MONTHS_BETWEEN_LENDERS = 3.0
# Borrowers who would take one, two, ... lenders over their life, set so that 30 to 35 % of those who have
# any account have two or more by the end, and of these 57, 22, 10 and 11 % have two, three, four and more.
_WANTED = (0.645, 0.195, 0.073, 0.040, 0.021, 0.013, 0.013)
_HOME_ADDRESS_SHARE = 0.15
_SHARED_DEVICE_SHARE = 0.04


@dataclass(frozen=True, kw_only=True)
class Borrowers:
    """Arrays over borrowers, each ``[borrowers]``.

    ``ability`` and ``willingness`` to repay are standard normal, higher is better; ``sensitivity`` to stress
    has mean one. ``income`` is CNY a month. Households share an address and sometimes a device.
    """

    ability: Floats
    willingness: Floats
    sensitivity: Floats
    activity: Floats
    region: Bytes
    city_tier: Bytes
    age: Bytes
    job: Bytes
    job_tenure_months: Floats
    income: Floats
    device_age_months: Floats
    devices_12m: Bytes
    addresses_12m: Bytes
    address_matches: NDArray[np.bool_]
    delivery_matches: NDArray[np.bool_]
    device: NDArray[np.int32]
    address: NDArray[np.int32]
    wanted_lenders: Bytes
    arrival: Bytes

    @property
    def num_borrowers(self) -> int:
        """How many borrowers there are."""
        return len(self.ability)


def draw_borrowers(settings: MarketSettings) -> Borrowers:
    """Draw the borrowers of a market.

    Args:
        settings: the market's settings.

    Returns:
        The borrowers.
    """
    count = settings.num_borrowers
    traits = generator(seed=settings.seed, entity="borrowers.traits")
    ability = _normal(traits, count)
    willingness = np.float32(0.2) * ability + np.float32(np.sqrt(0.96)) * _normal(traits, count)
    sensitivity = np.exp(np.float32(0.25) * _normal(traits, count) - np.float32(0.03125))
    place = generator(seed=settings.seed, entity="borrowers.place")
    region = place.integers(0, NUM_REGIONS, count, dtype=np.int8)
    tier = np.clip(np.rint(3.0 - 0.35 * ability + 1.1 * _normal(place, count)), 1, 5).astype(np.int8)
    age, job, tenure, income = _work(settings, ability, tier)
    arrival = _arrivals(settings)
    return Borrowers(
        ability=ability,
        willingness=willingness,
        sensitivity=sensitivity,
        activity=_normal(traits, count),
        region=region,
        city_tier=tier,
        age=age,
        job=job,
        job_tenure_months=tenure,
        income=income,
        **_devices(settings, willingness),
        wanted_lenders=_pick(
            generator(seed=settings.seed, entity="borrowers.wanted").random(count, np.float32), _WANTED
        )
        + np.int8(1),
        arrival=arrival,
    )


def _work(settings: MarketSettings, ability: Floats, tier: Bytes) -> tuple[Bytes, Bytes, Floats, Floats]:
    draw = generator(seed=settings.seed, entity="borrowers.work")
    count = len(ability)
    age = (18.0 + 42.0 * draw.beta(1.6, 2.6, count)).astype(np.int8)
    latent = 0.5 * ability + _normal(draw, count)
    job = np.select([latent > -0.15, latent > -0.75], [0, 2], 1).astype(np.int8)
    job[(age < 24) & (draw.random(count, np.float32) < 0.6)] = 3
    longest = 12.0 * np.maximum(age - 19, 1)
    share = draw.beta(1.0, 3.0, count) * np.array([1.0, 0.35, 0.8, 0.15])[job] * np.exp(0.2 * ability)
    tenure = np.floor(np.minimum(share, 1.0) * longest).astype(np.float32)
    shift = np.array([0.08, -0.12, 0.05, -0.55])[job] - 0.06 * (tier - 3) + 0.006 * np.minimum(age - 32, 18)
    income = MEDIAN_INCOME * np.exp(INCOME_SIGMA * (0.5 * ability + 0.8 * _normal(draw, count)) + shift)
    return age, job, tenure, np.round(np.clip(income, 600.0, 120_000.0), 0).astype(np.float32)


def _devices(settings: MarketSettings, willingness: Floats) -> dict[str, Any]:
    """Draw devices and addresses; weak payers change both a little more often."""
    draw = generator(seed=settings.seed, entity="borrowers.devices")
    count = len(willingness)
    restless = np.exp(-0.25 * willingness)
    own = np.arange(count, dtype=np.int32)
    neighbour = np.minimum(own ^ 1, count - 1).astype(np.int32)
    eldest = np.minimum(own, neighbour)
    home = (draw.random(count, np.float32) < _HOME_ADDRESS_SHARE)[eldest]
    shared = home & (draw.random(count, np.float32) < _SHARED_DEVICE_SHARE / _HOME_ADDRESS_SHARE)[eldest]
    return {
        "device_age_months": np.round(np.minimum(draw.exponential(16.0, count) / restless, 120.0), 1).astype(
            np.float32
        ),
        "devices_12m": (1 + draw.poisson(0.25 * restless)).clip(1, 12).astype(np.int8),
        "addresses_12m": (1 + draw.poisson(0.45 * restless)).clip(1, 12).astype(np.int8),
        "address_matches": draw.random(count, np.float32) > 0.12 * restless,
        "delivery_matches": draw.random(count, np.float32) > 0.09 * restless,
        "device": np.where(shared, eldest, own).astype(np.int32),
        "address": np.where(home, eldest, own).astype(np.int32),
    }


def _arrivals(settings: MarketSettings) -> Bytes:
    """Draw the month of the first application: a stock at the start, then a steady inflow."""
    draw = generator(seed=settings.seed, entity="borrowers.arrival")
    count = settings.num_borrowers
    later = 1.0 + draw.random(count, np.float32) * (settings.num_months - 6)
    stock = draw.random(count, np.float32) < 0.35
    return np.where(stock, draw.integers(0, 4, count), later).astype(np.int8)


def _pick(uniform: Floats, shares: tuple[float, ...]) -> Bytes:
    return np.searchsorted(np.cumsum(shares)[:-1], uniform, side="right").astype(np.int8)


def _normal(draw: np.random.Generator, count: int) -> Floats:
    values: Floats = draw.standard_normal(count, np.float32)
    return values

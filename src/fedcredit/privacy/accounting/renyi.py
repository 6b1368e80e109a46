"""Renyi divergences of single steps, at the orders of dp-accounting, each computed once and kept."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcredit.privacy.accounting import cache, mixture
from fedcredit.privacy.accounting.events import Event, MixtureGaussianSteps


@dataclass(frozen=True, kw_only=True, eq=False)
class RenyiCurve:
    """Renyi divergences of one step, at the library's orders; both ``[orders]``."""

    orders: NDArray[np.float64]
    divergences: NDArray[np.float64]


@functools.lru_cache(maxsize=4096)
def renyi_curve(event: Event) -> RenyiCurve:
    """Return the Renyi divergences of an event of one step, from memory or the user's cache where they are known.

    Args:
        event: one step, with noise.

    Returns:
        The curve, read-only; infinite at orders that were left out.
    """
    inputs = {"q": event.sampling_probability, "noise_multiplier": event.noise_multiplier}
    inputs |= {"rows": event.max_rows} if isinstance(event, MixtureGaussianSteps) else {}
    stored = cache.load("renyi", inputs)
    if stored is None:
        stored = _computed_renyi(event)
        cache.store("renyi", inputs, stored)
    orders, divergences = (np.array(stored[name], dtype=np.float64) for name in ("orders", "divergences"))
    for array in (orders, divergences):
        array.setflags(write=False)
    return RenyiCurve(orders=orders, divergences=divergences)


def _computed_renyi(event: Event) -> dict[str, list[float]]:
    import dp_accounting

    accountant = dp_accounting.rdp.RdpAccountant()
    if isinstance(event, MixtureGaussianSteps):
        orders = [float(order) for order in accountant.orders]
        return {"orders": orders, "divergences": [float(x) for x in mixture.renyi(event, orders)]}
    gaussian = dp_accounting.GaussianDpEvent(event.noise_multiplier)
    step = dp_accounting.PoissonSampledDpEvent(event.sampling_probability, gaussian)
    with _silent_about_left_out_orders(), np.errstate(over="ignore", invalid="ignore"):
        accountant.compose(step)
    return {"orders": [float(order) for order in accountant.orders], "divergences": [float(x) for x in accountant.rdp]}


@contextmanager
def _silent_about_left_out_orders() -> Iterator[None]:
    """An order whose series does not converge is infinite, which is safe; the library warns of each."""

    def is_kept(record: logging.LogRecord) -> bool:
        return "Excluding this order" not in str(record.msg)

    logger = logging.getLogger("absl")
    logger.addFilter(is_kept)
    try:
        yield
    finally:
        logger.removeFilter(is_kept)

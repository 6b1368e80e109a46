"""One million accounts over 36 months through the chain of decisions: seconds and memory of each step.

``python -m benchmarks.decisions [--accounts 1000000]``. Panels are made up: what a step costs does not depend on what
they say. Tables of the months have the types of the simulator (int8, float32); every step reads them as they are.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcredit.credit.cash_collection import collection_curve, recovery_curve, roll_rates
from fedcredit.credit.collections import USUAL_ACTIONS, action_values, assign
from fedcredit.credit.concentration import basel_correlation, herfindahl, tail_contributions
from fedcredit.credit.early_warning import NEVER, AlarmPolicy, early_warning, first_alarms, first_late_months
from fedcredit.credit.provisioning import StagePolicy, expected_credit_losses, roll_forward, stages

MONTHS = 36
AIM_SECONDS, AIM_GB = 60.0, 8.0


@dataclass(frozen=True, kw_only=True)
class Book:
    """A made-up panel, each ``[months, accounts]`` or ``[accounts]``."""

    bucket: NDArray[np.int8]
    hazard: NDArray[np.float32]
    due: NDArray[np.float32]
    paid: NDArray[np.float32]
    opened: NDArray[np.int8]
    default_month: NDArray[np.int64]
    balance: NDArray[np.float32]
    pd: NDArray[np.float32]
    remaining: NDArray[np.int8]
    lender: NDArray[np.int8]


def made_up(num_accounts: int, *, seed: int = 1) -> Book:
    """Make a panel up: 2 % of account-months late, 3 % of accounts default."""
    draw = np.random.default_rng(seed)
    shape = (MONTHS, num_accounts)
    opened = draw.integers(0, MONTHS - 12, num_accounts).astype(np.int8)
    late = draw.random(shape, dtype=np.float32)
    bucket = ((late > 0.98).astype(np.int8) + (late > 0.993) + (late > 0.997)).astype(np.int8)
    months = np.arange(MONTHS)[:, None]
    bucket[months < opened] = -1
    default_month = np.where(draw.random(num_accounts) < 0.03, opened + 4 + draw.integers(0, 20, num_accounts), NEVER)
    bucket[(months >= default_month) & (months >= opened)] = 4
    pd = draw.beta(0.8, 30.0, num_accounts).astype(np.float32)
    hazard = (pd / 4.0)[None, :] * (0.5 + draw.random(shape, dtype=np.float32))
    due = np.where(bucket >= 0, 200.0, 0.0).astype(np.float32)
    return Book(
        bucket=bucket,
        hazard=hazard,
        due=due,
        paid=np.where(bucket == 0, due, np.float32(0.0)).astype(np.float32),
        opened=opened,
        default_month=default_month.astype(np.int64),
        balance=draw.lognormal(7.5, 1.0, num_accounts).astype(np.float32),
        pd=pd,
        remaining=draw.integers(1, 25, num_accounts).astype(np.int8),
        lender=draw.integers(0, 10, num_accounts).astype(np.int8),
    )


def alarms(book: Book) -> object:
    """Raise alarms, and those of the rule that they are held against."""
    watched = (book.bucket >= 0) & (book.bucket < 4)
    found = [first_alarms(book.hazard, watched, AlarmPolicy()), first_late_months(book.bucket)]
    return [early_warning(item, book.default_month, is_watched=watched) for item in found]


def provision(book: Book) -> object:
    """Provide at two dates, and explain the way between them."""
    ahead = np.arange(MONTHS - 12)
    left = book.remaining.astype(np.float64)
    lifetime = 1.0 - (1.0 - book.pd.astype(np.float64)) ** (left / 12.0)
    found = []
    for month in (17, 18):
        stage = stages(
            days_past_due=30 * np.maximum(book.bucket[month], 0),
            lifetime_pd=lifetime,
            lifetime_pd_at_origin=lifetime * 0.7,
            policy=StagePolicy(),
        )
        run_off = np.clip(1.0 - ahead[None, :].astype(np.float32) / book.remaining[:, None], 0.0, 1.0)
        run_off *= book.balance[:, None]
        hazard = np.broadcast_to((book.pd / 12.0)[:, None], run_off.shape)
        found.append(
            expected_credit_losses(
                hazard_rate=hazard,
                exposure_amount=run_off,
                lgd=np.full(book.pd.size, 0.75),
                remaining_months=left,
                effective_rate=0.12,
                stage=stage,
                policy=StagePolicy(),
            )
        )
    ids = np.arange(book.pd.size)
    return roll_forward(found[0], found[1], before_id=ids, after_id=ids)


def collect(book: Book) -> object:
    """Give every overdue account of one month an action; here, all accounts are taken for overdue."""
    values = action_values(
        balance_amount=book.balance * book.pd,
        bucket=np.clip(book.bucket[-1], 0, 3),
        reason_probability=np.broadcast_to(np.array([0.5, 0.3, 0.2]), (book.pd.size, 3)),
        actions=USUAL_ACTIONS,
    )
    return assign(values, USUAL_ACTIONS).expected_value_amount


def cash(book: Book) -> object:
    """Follow the cash of vintages, and what comes back after default."""
    curve = collection_curve(book.due, book.paid, book.opened)
    return curve.collected_rate, recovery_curve(book.paid, book.default_month, book.balance)


def concentration(book: Book) -> object:
    """Say how exposure and tail loss spread over lenders."""
    lgd = np.full(book.pd.size, 0.75)
    rho = basel_correlation(book.pd)
    return herfindahl(book.balance, book.lender), tail_contributions(book.pd, lgd, book.balance, book.lender, rho=rho)


STEPS: dict[str, Callable[[Book], object]] = {
    "alarms": alarms,
    "roll rates": lambda book: roll_rates(book.bucket),
    "provisions, two dates": provision,
    "collections": collect,
    "cash": cash,
    "concentration": concentration,
}


def measured(num_accounts: int) -> dict[str, object]:
    """Send a panel through the chain; seconds of each step, and the largest memory of the process in GB."""
    book = made_up(num_accounts)
    told: dict[str, object] = {"accounts": num_accounts, "months": MONTHS, "machine": platform.machine()}
    start, cpu = time.perf_counter(), time.process_time()
    for name, step in STEPS.items():
        begun, used = time.perf_counter(), time.process_time()
        step(book)
        told[name] = {"wall_s": time.perf_counter() - begun, "cpu_s": time.process_time() - used}
    told["chain"] = {"wall_s": time.perf_counter() - start, "cpu_s": time.process_time() - cpu}
    told["peak_gb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return told


def main() -> int:
    """Print the measurement as json; exit code 1 if a million accounts take more than is aimed at."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--accounts", type=int, default=1_000_000)
    told = measured(parser.parse_args().accounts)
    print(json.dumps(told, indent=2))
    chain, peak = told["chain"], told["peak_gb"]
    assert isinstance(chain, dict)
    assert isinstance(peak, float)
    return int(chain["cpu_s"] > AIM_SECONDS or peak > AIM_GB)


if __name__ == "__main__":
    raise SystemExit(main())

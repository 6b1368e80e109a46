from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from fedcredit.data.market import cached, portfolio
from fedcredit.data.market.panel import Progress
from fedcredit.data.market.portfolio import market_portfolio, market_truth, seen_market
from fedcredit.data.market.settings import MarketSettings
from fedcredit.data.market.simulate import Market
from fedcredit.data.tables import data_checksum
from fedcredit.experiment import spec

SMALL = spec.MarketPortfolio(num_borrowers=1500, market_seed=3, snapshot_months=(9, 17))


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FEDCREDIT_CACHE", str(tmp_path))
    return tmp_path


@pytest.fixture
def simulations(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    made: list[int] = []
    simulate = portfolio.simulate

    def counted(settings: MarketSettings, *, progress: Progress | None = None) -> Market:
        made.append(settings.num_borrowers)
        return simulate(settings, progress=progress)

    monkeypatch.setattr(portfolio, "simulate", counted)
    return made


@pytest.mark.parametrize("view", ["behaviour", "application"])
def test_a_kept_market_is_the_market_that_was_simulated(view: spec.MarketView, simulations: list[int]) -> None:
    wanted = SMALL.model_copy(update={"view": view})
    first, again = (data_checksum(market_portfolio(wanted)) for _ in range(2))
    assert first == again
    assert simulations == [1500]
    kept, fresh = seen_market(wanted), portfolio._simulated(wanted, None)
    for name in cached.Truth.__dataclass_fields__:
        assert np.array_equal(getattr(kept.truth, name), getattr(fresh.truth, name)), name
    assert kept.default_flow == fresh.default_flow


def test_another_setting_is_another_market(simulations: list[int]) -> None:
    calm, struck = (SMALL.model_copy(update={"shock": shock, "shock_month": 12}) for shock in ("none", "pandemic"))
    assert seen_market(struck).default_flow["bnpl"] > seen_market(calm).default_flow["bnpl"]
    assert len(simulations) == 2


def test_a_changed_simulator_never_meets_an_old_market(monkeypatch: pytest.MonkeyPatch, simulations: list[int]) -> None:
    seen_market(SMALL)
    monkeypatch.setattr(cached, "_simulator", lambda: "changed")
    seen_market(SMALL)
    assert len(simulations) == 2


@pytest.mark.parametrize("name", ["table.parquet", "truth.parquet", "manifest.json"])
def test_a_spoiled_market_is_simulated_again(name: str, own_cache: Path, simulations: list[int]) -> None:
    before = seen_market(SMALL)
    (path,) = own_cache.glob(f"markets/*/{name}")
    path.write_bytes(path.read_bytes()[:-3] + b"xyz")
    assert seen_market(SMALL).table.equals(before.table)
    seen_market(SMALL)
    assert len(simulations) == 2


def test_workers_that_ask_at_once_simulate_once(simulations: list[int]) -> None:
    asking = [threading.Thread(target=seen_market, args=(SMALL,)) for _ in range(3)]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()
    assert len(simulations) == 1


def test_a_cache_that_cannot_be_written_costs_the_keeping_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, simulations: list[int]
) -> None:
    (tmp_path / "file").write_text("no folder", encoding="utf-8")
    monkeypatch.setenv("FEDCREDIT_CACHE", str(tmp_path / "file"))
    assert market_truth(SMALL).pd.shape == (seen_market(SMALL).table.num_rows,)
    assert len(simulations) == 2

"""Accounting ahead: what a run asks for is there before it, and nothing is made twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedcredit.config import compose
from fedcredit.experiment import ahead
from fedcredit.experiment.ahead import account_ahead, calibrations
from fedcredit.experiment.charged_plan import training_releases
from fedcredit.experiment.runner import run
from fedcredit.privacy.accounting import accountants, renyi

GERMAN = (
    "portfolio=german", "partition=quantity", "network=tanh16", "partition.num_institutions=3",
    "privacy.target_delta=1e-4",
    "training.num_rounds=2", "evaluation.references=[alone,pooled,federated_logistic,one_shot]",
)  # fmt: skip
EPOCHS = ("training/local=epochs", "training.local.expected_batch=64")


def silent(stage: str, done: int, total: int) -> None:
    pass


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("FEDCREDIT_CACHE", str(tmp_path / "cache"))
    accountants._epsilon.cache_clear()
    renyi.renyi_curve.cache_clear()
    yield tmp_path / "cache"
    accountants._epsilon.cache_clear()


@pytest.mark.usefixtures("credit_data", "own_cache")
@pytest.mark.parametrize(
    "typed",
    [
        ("privacy.target_epsilon=.5",),
        ("privacy.target_epsilon=.5", *EPOCHS),
        ("privacy.target_epsilon=null", "privacy.noise_multiplier=8", *EPOCHS),
        ("privacy.target_epsilon=.5", "strategy=flower_fedavg", "evaluation.references=[one_shot]"),
        ("privacy.target_epsilon=.5", "privacy.budgets={lender_01: 1}"),
        (
            "privacy.target_epsilon=null",
            "privacy.noise_multiplier=3",
            "privacy.epsilon_cap=.5",
            "training.num_rounds=6",
        ),
    ],
)
def test_no_run_prices_anything_that_was_not_priced_ahead(
    typed: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = compose(None, [*GERMAN, *typed, f"results_dir={tmp_path}"])
    account_ahead([experiment], num_workers=1, progress=silent)
    accountants._epsilon.cache_clear()
    renyi.renyi_curve.cache_clear()

    def priced(*_: object) -> float:
        raise AssertionError("a price was made inside the run")

    monkeypatch.setattr(accountants, "_smallest_bound", priced)
    monkeypatch.setattr(renyi, "_computed_renyi", priced)
    assert run(experiment, progress=False).statement is not None


@pytest.mark.usefixtures("own_cache")
def test_equal_calibrations_of_many_arms_are_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: Counter[object] = Counter()
    monkeypatch.setattr(ahead, "_calibrated", lambda asked: made.update([asked]))
    monkeypatch.setattr(ahead, "_priced", lambda promised: made.update(["statement", promised[0].privacy]))
    arms = [
        compose(None, [f"privacy.target_epsilon={target}", f"seed={seed}", f"split_seed={seed}"])
        for target in ("1", "2", "inf")
        for seed in range(4)
    ]
    account_ahead(arms, num_workers=1, progress=silent)
    assert made == Counter(
        {(1.0, 1e-6, 0.25, 100, 1, ()): 1, (2.0, 1e-6, 0.25, 100, 1, ()): 1, "statement": 2,
         arms[0].privacy: 1, arms[4].privacy: 1}
    )  # fmt: skip


def test_where_rates_depend_on_the_lender_each_lender_and_the_pool_are_calibrated() -> None:
    experiment = compose(None, [*GERMAN, *EPOCHS, "privacy.target_epsilon=3"])
    found = calibrations(experiment, {"small": 64, "large": 640})
    assert found == [
        (3.0, 1e-4, 64 / 704, 22, 1, ()), (3.0, 1e-4, 0.1, 20, 1, ()), (3.0, 1e-4, 1.0, 2, 1, ()),
    ]  # fmt: skip


def test_what_is_charged_beside_the_training_is_calibrated_with_it_and_not_with_the_pool() -> None:
    experiment = compose(None, [*GERMAN, "encoding.ranges=charged_quantiles", "privacy.target_epsilon=3"])
    found = calibrations(experiment, {"small": 64, "large": 640})
    assert {asked[5] for asked in found} == {(), training_releases(experiment)}


@pytest.mark.usefixtures("credit_data", "own_cache")
def test_one_market_is_dealt_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    dealt: list[int] = []
    monkeypatch.setattr(ahead, "lender_sizes", lambda arm: dealt.append(arm.split_seed))
    arms = [
        compose(None, [*GERMAN, *EPOCHS, f"privacy.target_epsilon={target}", f"split_seed={seed}"])
        for target in ("1", "2")
        for seed in (1, 2)
    ]
    account_ahead(arms, num_workers=1, progress=silent)
    assert dealt == [1, 2]


@pytest.mark.usefixtures("own_cache")
def test_an_arm_that_cannot_be_foreseen_is_left_to_itself(tmp_path: Path) -> None:
    missing = ["portfolio=csv", f"portfolio.path={tmp_path}/no.csv", f"portfolio.schema_file={tmp_path}/no.yaml"]
    promise = compose(None, [*GERMAN, "privacy.target_epsilon=3", "privacy.target_delta=0.9", *EPOCHS])
    arms = [compose(None, [*EPOCHS, *missing]), promise]
    account_ahead(arms, num_workers=1, progress=silent)

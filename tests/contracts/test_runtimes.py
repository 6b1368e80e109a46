"""One suite over every runtime: the same federation, whoever carries the messages."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import synthetic_federation as synthetic
import torch

from fedcredit.experiment.spec import Experiment, FlowerStrategy
from fedcredit.federation.client import LOGGER
from fedcredit.federation.runtimes.ray import run_ray
from fedcredit.federation.server import FederationResult, RoundRecord
from fedcredit.privacy.accounting.ledger import read_ledger

RUNTIMES = [pytest.param("inline"), pytest.param("ray", marks=pytest.mark.ray)]
FAILING = synthetic.small_experiment(name="small/failing")


@dataclass(frozen=True)
class Outcome:
    """What a runtime made of a federation, and the states of the global generators around it."""

    result: FederationResult
    told: tuple[RoundRecord, ...]
    folder: Path
    generators_kept: bool


def generators() -> tuple[str, bytes, bytes]:
    return repr(random.getstate()), np.random.get_state()[1].tobytes(), torch.get_rng_state().numpy().tobytes()


def run(kind: str, experiment: Experiment, folder: Path) -> Outcome:
    told: list[RoundRecord] = []
    before = generators()
    if kind == "ray":
        result = run_ray(experiment, folder=folder, on_round=told.append, source="synthetic_federation")
    else:
        prepared = synthetic.prepare(experiment)
        lenders = synthetic.lenders(prepared, ledgers=synthetic.open_ledgers(prepared, folder=folder))
        result = synthetic.run(experiment, lenders, told.append)
    return Outcome(result=result, told=tuple(told), folder=folder, generators_kept=generators() == before)


@pytest.fixture(scope="module", autouse=True)
def _lenders_log_nothing_here() -> Iterator[None]:
    LOGGER.disabled = True
    yield
    LOGGER.disabled = False


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Outcome]:
    """Run the federation with a failing lender once per runtime, when it is first asked for."""
    known: dict[str, Outcome] = {}

    def get(kind: str) -> Outcome:
        if kind not in known:
            known[kind] = run(kind, FAILING, tmp_path_factory.mktemp(kind))
        return known[kind]

    return get


def comparable(record: RoundRecord) -> RoundRecord:
    """Leave out how long a round took and the random id of a log entry."""
    quarantined = {name: reason.split("(entry")[0] for name, reason in record.quarantined.items()}
    return replace(record, train_seconds=0.0, quarantined=quarantined)


@pytest.mark.parametrize("kind", RUNTIMES)
def test_every_runtime_gives_the_same_bits_as_inline(
    kind: str, outcome: Callable[[str], Outcome], tmp_path: Path
) -> None:
    expected, found = run("inline", FAILING, tmp_path).result, outcome(kind).result
    assert found.parameters.dtype == np.float32
    assert found.parameters.tobytes() == expected.parameters.tobytes()
    assert found.last_iterate.tobytes() == expected.last_iterate.tobytes()


@pytest.mark.parametrize("kind", RUNTIMES)
def test_every_runtime_sees_the_same_lenders_and_tells_the_same_rounds(
    kind: str, outcome: Callable[[str], Outcome]
) -> None:
    expected, found = outcome("inline"), outcome(kind)
    assert all(record.cohort == tuple(sorted(synthetic.SIZES)) for record in found.told)
    assert [comparable(record) for record in found.told] == [comparable(record) for record in expected.told]
    assert found.told == found.result.rounds
    assert found.result.startup_seconds > 0


@pytest.mark.parametrize("kind", RUNTIMES)
def test_every_runtime_writes_the_same_ledgers(kind: str, outcome: Callable[[str], Outcome]) -> None:
    expected, found = outcome("inline").folder, outcome(kind).folder
    for name in synthetic.SIZES:
        path = Path("ledger") / f"{name}.jsonl"
        assert (found / path).read_bytes() == (expected / path).read_bytes()
        steps = sum(event.num_steps for event in read_ledger(found / path).events("federation"))
        assert steps == 2 * 4


@pytest.mark.parametrize("kind", RUNTIMES)
def test_every_runtime_survives_a_failing_lender_and_keeps_its_text_at_home(
    kind: str, outcome: Callable[[str], Outcome]
) -> None:
    found = outcome(kind)
    failed = {record.server_round: record.quarantined for record in found.told if record.quarantined}
    assert list(failed) == [synthetic.FAILING_ROUND]
    assert list(failed[synthetic.FAILING_ROUND]) == [synthetic.FAILING]
    assert "reports FAILED" in failed[synthetic.FAILING_ROUND][synthetic.FAILING]
    assert synthetic.SECRET not in repr(found.told)


@pytest.mark.ray
def test_a_failure_on_ray_is_in_the_lenders_own_log(outcome: Callable[[str], Outcome]) -> None:
    found = outcome("ray")
    reason = found.told[synthetic.FAILING_ROUND - 1].quarantined[synthetic.FAILING]
    entry = reason.split("(entry ")[1].split(" ")[0]
    log = (found.folder / "lenders.log").read_text()
    assert f"entry {entry}: train failed" in log
    assert synthetic.SECRET in log
    assert synthetic.SECRET not in (found.folder / "ray.log").read_text()


@pytest.mark.parametrize("kind", RUNTIMES)
def test_no_runtime_draws_from_a_global_generator(kind: str, outcome: Callable[[str], Outcome]) -> None:
    assert outcome(kind).generators_kept


def test_a_stock_strategy_draws_from_no_global_generator_either(tmp_path: Path) -> None:
    experiment = synthetic.small_experiment(strategy=FlowerStrategy(strategy="FedAdam"))
    assert run("inline", experiment, tmp_path).generators_kept

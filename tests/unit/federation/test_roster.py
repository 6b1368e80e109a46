from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import synthetic_federation as synthetic
from flwr.serverapp import Grid

from fedcredit.data.contract import draw_up
from fedcredit.errors import InputError
from fedcredit.experiment.spec import FixedSteps
from fedcredit.federation.client import Lender
from fedcredit.federation.roster import RosterError, call_roster
from fedcredit.federation.runtimes.inline import run_inline

Lenders = dict[str, Lender]
CONTRACTS = synthetic.prepare(synthetic.small_experiment()).contracts


@pytest.fixture
def lenders(tmp_path: Path) -> Lenders:
    prepared = synthetic.prepare(synthetic.small_experiment())
    return synthetic.lenders(prepared, ledgers=synthetic.open_ledgers(prepared, folder=tmp_path))


def roster(lenders: Lenders, *, deadline: float = 5.0) -> dict[str, int]:
    def serve(grid: Grid) -> dict[str, int]:
        return call_roster(grid, CONTRACTS, fingerprint=synthetic.FINGERPRINT, deadline_seconds=deadline)

    return run_inline(lenders, serve)


def test_the_roster_is_sorted_by_name_whatever_the_nodes_are(lenders: Lenders) -> None:
    backwards = dict(reversed(lenders.items()))
    assert list(roster(backwards)) == sorted(synthetic.SIZES)
    assert roster(lenders)["anchor bank"] != roster(backwards)["anchor bank"]


def _duplicate(lenders: Lenders) -> Lenders:
    return {**lenders, "twin": lenders["anchor bank"]}


def _impostor(lenders: Lenders) -> Lenders:
    return {**lenders, "delta bank": lenders["anchor bank"]}


def _unknown(lenders: Lenders) -> Lenders:
    stranger = replace(lenders["anchor bank"].institution, name="stranger")
    return {**lenders, "stranger": replace(lenders["anchor bank"], institution=stranger)}


def _other_contract(lenders: Lenders) -> Lenders:
    other = draw_up({**synthetic.SIZES, "anchor bank": 121}, local=FixedSteps(num_steps=2), weights="by_size")
    return {**lenders, "anchor bank": replace(lenders["anchor bank"], contract_digest=other.digest())}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (_duplicate, "anchor bank is there 2 times"),
        (_impostor, "anchor bank is there 2 times; delta bank is missing"),
        (_unknown, "stranger is not in the contract table"),
        (_other_contract, "anchor bank holds another contract table"),
    ],
)
def test_a_roster_that_does_not_match_is_refused(
    lenders: Lenders, change: Callable[[Lenders], Lenders], problem: str
) -> None:
    with pytest.raises(RosterError, match=problem) as caught:
        roster(change(lenders))
    assert isinstance(caught.value, InputError)


def test_lenders_of_another_experiment_give_no_roster_reply(lenders: Lenders) -> None:
    lenders["delta bank"] = replace(lenders["delta bank"], fingerprint="another")
    with pytest.raises(RosterError, match=r"1 of 4 nodes gave no roster reply .*WRONG_EXPERIMENT"):
        roster(lenders)


def test_nobody_is_waited_for_beyond_the_deadline(lenders: Lenders) -> None:
    del lenders["delta bank"]
    started = time.monotonic()
    with pytest.raises(RosterError, match=r"3 of 4 lenders appeared within 0.2 s"):
        roster(lenders, deadline=0.2)
    assert time.monotonic() - started < 5.0

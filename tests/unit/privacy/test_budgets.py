"""Budgets of single lenders: who is promised what, and what is refused."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from fedcredit.config import compose
from fedcredit.data.contract import draw_up
from fedcredit.errors import InputError
from fedcredit.experiment.ahead import calibrations
from fedcredit.experiment.fingerprint import fingerprint
from fedcredit.experiment.runner import run
from fedcredit.experiment.spec import FixedSteps, Privacy
from fedcredit.privacy.accounting.accountants import epsilon
from fedcredit.privacy.accounting.ledger import ledger_path, read_ledger
from fedcredit.privacy.accounting.releases import REFERENCE_POOLED
from fedcredit.privacy.budgets import budget_line, strictest
from fedcredit.privacy.plan import plan_privacy

LOANS = {"bank_a": 5967, "bank_b": 900, "bnpl_b": 429}
BUDGETS = {"bank_a": 1.0, "bnpl_b": 8.0}
# Of taiwan/loan_level and "a table", before there were budgets; made with the code of that time.
BEFORE_BUDGETS = "a0fc95b0c266390aa85b5e90d9b0926682de10016e81e7bdff70645423e66c47"
GERMAN = (
    "portfolio=german", "partition=quantity", "partition.num_institutions=3", "privacy.target_delta=1e-4",
    "training.num_rounds=4", "trainer=vectorised", "evaluation.references=[pooled,one_shot]",
)  # fmt: skip


def promise(**given: object) -> Privacy:
    return Privacy.model_validate({"target_epsilon": 2.0, "budgets": BUDGETS, **given})


def test_every_lender_gets_its_own_target_from_the_safe_side() -> None:
    contracts = draw_up(LOANS, local=FixedSteps(), weights="by_size")
    plan = plan_privacy(promise(), contracts, num_rounds=10)
    for name, target in {**BUDGETS, "bank_b": 2.0}.items():
        assert target * (1.0 - 2e-4) <= plan.epsilon(name).value <= target
    noise = plan.noise_multiplier
    assert noise["bank_a"] > noise["bank_b"] > noise["bnpl_b"]


def test_equal_targets_are_calibrated_once_and_equal_those_of_the_federation() -> None:
    contracts = draw_up(LOANS, local=FixedSteps(), weights="by_size")
    told: list[int] = []
    plan = plan_privacy(
        promise(budgets={"bank_a": 2.0}), contracts, num_rounds=10, progress=lambda _, done, total: told.append(total)
    )
    assert set(told) == {1}
    assert plan.events == plan_privacy(promise(budgets={}), contracts, num_rounds=10).events


@pytest.mark.parametrize(
    ("budgets", "said"),
    [
        ({"bank_aa": 1.0}, "'bank_aa' (nearest: bank_a)"),
        ({"bank_a": 1.0, "zzz": 2.0}, "'zzz', and no lender is called so; the 3 lenders are: bank_a, bank_b, bnpl_b"),
    ],
)
def test_a_budget_for_nobody_is_refused_with_the_nearest_name(budgets: dict[str, float], said: str) -> None:
    contracts = draw_up(LOANS, local=FixedSteps(), weights="by_size")
    with pytest.raises(InputError) as refused:
        plan_privacy(promise(budgets=budgets), contracts, num_rounds=10)
    assert str(refused.value).startswith("privacy.budgets names ")
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["privacy.budgets={bank_a: 1}", "privacy.target_epsilon=inf"], "privacy: budgets stand beside"),
        (["privacy.budgets={bank_a: .inf}"], "privacy.budgets.bank_a"),
        (["privacy.budgets={bank_a: 0}"], "privacy.budgets.bank_a"),
        (
            ["privacy.budgets={bank_a: 1}", "privacy.target_epsilon=null", "privacy.noise_multiplier=1"],
            "privacy: budgets are targets, and noise_multiplier",
        ),
    ],
)
def test_budgets_that_promise_nothing_are_refused_by_name(overrides: list[str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        compose("taiwan/loan_level", overrides)


def test_budgets_are_meaning_and_their_absence_is_none() -> None:
    prints = [
        fingerprint(compose("taiwan/loan_level", overrides), data_checksum="a table")
        for overrides in ([], ["privacy.budgets={}"], ["privacy.budgets={a: 1}"], ["privacy.budgets={a: 2}"])
    ]
    assert prints[0] == prints[1] == BEFORE_BUDGETS
    assert len(set(prints)) == 3


def test_budgets_cannot_be_changed_and_hash_as_they_compare() -> None:
    one, two = promise(), promise(budgets=dict(reversed(BUDGETS.items())))
    assert one == two
    assert hash(one) == hash(two)
    with pytest.raises(TypeError, match="frozen"):
        one.budgets["bank_a"] = 3.0
    assert Privacy.model_validate_json(one.model_dump_json()) == one


def test_all_loans_together_are_trained_at_the_smallest_target_of_any_lender() -> None:
    assert strictest(promise(), LOANS).target_epsilon == 1.0
    assert strictest(promise(budgets={"bank_a": 3.0}), LOANS).target_epsilon == 2.0
    assert strictest(promise(budgets=dict.fromkeys(LOANS, 3.0)), LOANS).target_epsilon == 3.0
    assert not strictest(promise(), LOANS).budgets
    given = Privacy(noise_multiplier=1.0)
    assert strictest(given, LOANS) is given


def test_a_sweep_calibrates_every_target_and_the_pool_at_the_smallest() -> None:
    experiment = compose("taiwan/loan_level", ["privacy.budgets={bank_a: 1, bnpl_b: 8}", "privacy.target_epsilon=2"])
    assert [asked[0] for asked in calibrations(experiment, LOANS)] == [1.0, 2.0, 8.0]


def test_the_line_names_the_budgets_and_the_rest() -> None:
    assert budget_line(BUDGETS, 2.0) == "budgets: epsilon bank_a 1, bnpl_b 8; every other lender 2"
    assert budget_line({}, 2.0) is None


@pytest.mark.usefixtures("credit_data")
def test_a_run_spends_each_lenders_own_budget_and_tells_it(tmp_path: Path) -> None:
    typed = ["privacy.target_epsilon=4", "privacy.budgets={lender_01: 1}", f"results_dir={tmp_path}"]
    record = run(compose(None, [*GERMAN, *typed]), progress=False, report=False)
    assert record.statement is not None
    folder = next(tmp_path.rglob("record.json")).parent
    for lender, target in {"lender_01": 1.0, "lender_02": 4.0, "lender_03": 4.0}.items():
        ledger = read_ledger(ledger_path(folder / "ledger", lender))
        spent = epsilon(ledger.events("federation"), delta=1e-4).value
        assert target * (1.0 - 2e-4) <= spent <= target
        assert record.statement["per_lender"][lender]["value"] == spent  # type: ignore[index, call-overload]
        assert epsilon(ledger.events(REFERENCE_POOLED), delta=1e-4).value <= 1.0
        assert epsilon(ledger.events("reference.one_shot"), delta=1e-4).value <= target
    lines = "\n".join(record.statement_lines)
    assert "(lenders from 1.000 to 4.000)" in lines
    assert "budgets: epsilon lender_01 1; every other lender 4" in lines
    page = (folder / "privacy.md").read_text(encoding="utf-8")
    assert "Targets differ: budgets: epsilon lender_01 1; every other lender 4." in page
    assert math.isclose(record.experiment["privacy"]["budgets"]["lender_01"], 1.0)  # type: ignore[index, call-overload, arg-type]

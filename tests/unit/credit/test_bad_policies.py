"""Policies and inputs that cannot be end in one message that names what is wrong, and never a cell's value."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from fedcredit.credit.approval import CutOff, Terms, accept, approve, swap_set
from fedcredit.credit.cash_collection import collection_curve, recovery_curve, roll_rates
from fedcredit.credit.collections import Action, action_values, assign
from fedcredit.credit.concentration import (
    basel_capital,
    basel_correlation,
    herfindahl,
    simulated_losses,
    stressed_pd,
)
from fedcredit.credit.early_warning import AlarmPolicy, early_warning, first_alarms
from fedcredit.credit.fraud_rings import ReviewPolicy, join_by_keys, review, ring_score
from fedcredit.credit.level import check_level
from fedcredit.credit.limits import LimitPolicy, dynamic_limits, exposure_at_default, limit_amounts
from fedcredit.credit.provisioning import Scenario, StagePolicy, expected_credit_losses, stages
from fedcredit.credit.reject_inference import acceptance_weights, fuzzy_augmentation
from fedcredit.credit.securitisation import JD_BAITIAO_2015, Deal, Eligibility, Tranche, sale_price, tranche_losses
from fedcredit.credit.waterfall import run_waterfall
from fedcredit.errors import InputError

HALF = Tranche(name="senior", thickness_rate=0.5)
REST = Tranche(name="rest", thickness_rate=0.5)
RINGS = join_by_keys({"device": [1, 1, 2]})
GENERATOR = np.random.default_rng(1)


def _ecl(**changed: object) -> object:
    given: dict[str, object] = {
        "hazard_rate": [[0.1, 0.1]], "exposure_amount": [[10.0, 5.0]], "lgd": [0.5], "remaining_months": [2],
        "effective_rate": 0.1, "stage": np.ones(1, dtype=np.int8), "policy": StagePolicy(),
    }  # fmt: skip
    return expected_credit_losses(**{**given, **changed})  # type: ignore[arg-type]


BAD: dict[str, tuple[Callable[[], object], str]] = {
    "negative margin": (lambda: Terms(margin_rate=-0.01), "margin_rate"),
    "margin not a number": (lambda: Terms(margin_rate=math.nan), "margin_rate"),
    "loss above everything": (lambda: Terms(lgd_rate=1.2), "lgd_rate"),
    "no target": (lambda: CutOff(by="bad_rate"), "target"),
    "target above one": (lambda: CutOff(by="approval_rate", target=1.5), "target"),
    "pd above one": (lambda: accept([1.2, 0.1], CutOff()), "pd is out of range or missing for 1 of 2"),
    "amounts missing": (lambda: approve([0.1, 0.2], [0, 1], [1.0], accepted=np.ones(2, bool)), "amount has shape"),
    "negative amount": (lambda: swap_set([0], [-1.0], before=np.ones(1, bool), after=np.ones(1, bool)), "amount"),
    "acceptance of zero": (lambda: acceptance_weights([0.0, 0.5]), "acceptance_probability"),
    "weight below one": (lambda: acceptance_weights([0.5], largest_weight=0.5), "largest_weight"),
    "no harshness": (lambda: fuzzy_augmentation([0.5], harshness=0.0), "harshness"),
    "negative cap": (lambda: LimitPolicy(cap_amount=-1.0), "cap_amount"),
    "service above income": (lambda: LimitPolicy(debt_service_rate=1.2), "debt_service_rate"),
    "no budget": (lambda: LimitPolicy(expected_loss_amount=0.0), "expected_loss_amount"),
    "no months": (lambda: LimitPolicy(tenor_months=0), "tenor_months"),
    "cut that raises": (lambda: LimitPolicy(cut_rate=1.5), "cut_rate"),
    "risk that cannot grow": (lambda: LimitPolicy(risk_factor=1.0), "risk_factor"),
    "income missing": (
        lambda: limit_amounts(pd=[0.1], lgd=[0.5], income_amount=[math.nan], other_debt_service_amount=[0.0],
                              policy=LimitPolicy()), "income_amount is out of range or missing for 1 of 1"),
    "limits that do not fit": (
        lambda: dynamic_limits(start_amount=[1.0], wanted_amount=[[1.0]], pd=[[0.1, 0.2]], is_late=[[False]],
                               policy=LimitPolicy()), "wanted_amount, pd and is_late have shapes"),
    "conversion above one": (lambda: exposure_at_default([1.0], [2.0], conversion_factor=1.2), "conversion_factor"),
    "no threshold": (lambda: AlarmPolicy(threshold_rate=0.0), "threshold_rate"),
    "growth below one": (lambda: AlarmPolicy(growth_factor=0.9), "growth_factor"),
    "hazard above one": (lambda: first_alarms([[1.5]], [[True]], AlarmPolicy()), "hazard_rate is out of range"),
    "months that do not fit": (lambda: first_alarms([0.5], [[True]], AlarmPolicy()), "hazard_rate has shape"),
    "alarms of others": (lambda: early_warning(np.zeros(2, int), [1], is_watched=[[True]]), "first_alarm"),
    "weights below one": (lambda: StagePolicy(scenarios=(Scenario(name="a", weight=0.5, factor=0.0),)), "add up to"),
    "no scenarios": (lambda: StagePolicy(scenarios=()), "0 scenarios"),
    "default before late": (lambda: StagePolicy(past_due_days=90, default_days=30), "default_days"),
    "correlation of one": (lambda: StagePolicy(rho=1.0), "rho"),
    "negative days": (
        lambda: stages(days_past_due=[-1], lifetime_pd=[0.1], lifetime_pd_at_origin=[0.1], policy=StagePolicy()),
        "days_past_due"),
    "flat hazards": (lambda: _ecl(hazard_rate=[0.1]), "hazard_rate has shape"),
    "hazard over one": (lambda: _ecl(hazard_rate=[[2.0, 0.1]]), "in 1 of 2 cells"),
    "exposures of other months": (lambda: _ecl(exposure_amount=[[1.0]]), "exposure_amount"),
    "negative interest": (lambda: _ecl(effective_rate=-0.1), "effective_rate"),
    "thickness not one": (lambda: Deal(tranches=(HALF, Tranche(name="b", thickness_rate=0.4))), "add up to 0.9"),
    "one tranche": (lambda: Deal(tranches=(Tranche(name="a", thickness_rate=1.0),)), "at least two"),
    "tranches of one name": (lambda: Deal(tranches=(HALF, HALF)), "stands twice"),
    "tranches upside down": (
        lambda: Deal(tranches=(Tranche(name="a", thickness_rate=0.25, coupon_rate=0.1),
                               Tranche(name="b", thickness_rate=0.25, coupon_rate=0.05), REST)), "most senior first"),
    "trigger of zero": (lambda: Deal(tranches=(HALF, REST), bad_share_trigger=0.0), "bad_share_trigger"),
    "negative thickness": (lambda: Tranche(name="a", thickness_rate=-0.1), "thickness_rate"),
    "tranches of no loss": (lambda: tranche_losses(JD_BAITIAO_2015, pd=0.0, lgd=0.5, rho=0.1), "pd"),
    "pool of nothing": (
        lambda: run_waterfall(JD_BAITIAO_2015, pool_amount=0.0, principal_amount=[1.0], interest_amount=[1.0],
                              default_amount=[0.0], recovery_amount=[0.0]), "pool_amount"),
    "flows of other months": (
        lambda: run_waterfall(JD_BAITIAO_2015, pool_amount=9.0, principal_amount=[1.0], interest_amount=[],
                              default_amount=[0.0], recovery_amount=[0.0]), "interest_amount has shape"),
    "more than everything comes back": (
        lambda: sale_price(balance_amount=[1.0], recovery_curve_rate=[0.9, 0.9], yearly_rate=0.1, cost_rate=0.1),
        "recovery_curve_rate"),
    "eligible above one": (lambda: Eligibility(max_pd=1.5), "max_pd"),
    "share of nothing": (lambda: herfindahl([0.0, 0.0], ["a", "b"]), "amount is 0"),
    "no such class": (lambda: basel_correlation([0.1], retail_class="car"), "retail_class"),  # type: ignore[arg-type]
    "loss below zero": (lambda: basel_capital([0.1], [-0.5]), "lgd"),
    "quantile above one": (lambda: stressed_pd([0.1], rho=0.1, quantile=1.5), "quantile"),
    "no draws": (
        lambda: simulated_losses([0.1], [0.5], [1.0], rho=0.1, num_draws=0, generator=GENERATOR), "num_draws"),
    "nothing exposed": (
        lambda: simulated_losses([0.1], [0.5], [0.0], rho=0.1, num_draws=1, generator=GENERATOR), "ead is 0"),
    "capacity below zero": (lambda: Action(name="call", cost_amount=1.0, capacity=-1), "capacity of call"),
    "no such reason": (lambda: Action(name="call", cost_amount=1.0, effect={"angry": 0.1}), "'angry'"),
    "no such bucket": (lambda: Action(name="call", cost_amount=1.0, bucket_factor={"M9": 1.0}), "'M9'"),
    "negative cost": (lambda: Action(name="call", cost_amount=-1.0), "cost_amount of call"),
    "reasons that do not add up": (
        lambda: action_values(balance_amount=[1.0], bucket=[1], reason_probability=[[0.5, 0.1, 0.1]],
                              actions=[Action(name="call", cost_amount=1.0)]), "reason_probability"),
    "no actions": (
        lambda: action_values(balance_amount=[1.0], bucket=[1], reason_probability=[[1.0, 0.0, 0.0]], actions=[]),
        "actions is empty"),
    "values of other actions": (lambda: assign(np.zeros((2, 2)), [Action(name="call", cost_amount=1.0)]), "values"),
    "panel of other months": (lambda: collection_curve([[1.0]], [[1.0], [1.0]], [0]), "due_amount"),
    "bucket that is none": (lambda: roll_rates([[7], [0]]), "bucket"),
    "recoveries of others": (lambda: recovery_curve([[1.0]], [0, 1], [1.0, 1.0]), "paid_amount"),
    "negative capacity": (lambda: ReviewPolicy(capacity=-1), "capacity"),
    "group of one": (lambda: ReviewPolicy(capacity=1, largest_group=1), "largest_group"),
    "no keys": (lambda: join_by_keys({}), "keys is empty"),
    "keys of other accounts": (lambda: join_by_keys({"a": [1], "b": [1, 2]}), "keys have shapes"),
    "risk of other accounts": (lambda: ring_score(RINGS, [0.5]), "pd has shape"),
    "score below zero": (lambda: review([-1.0], [1], [1.0], ReviewPolicy(capacity=1)), "score"),
    "level too low": (lambda: check_level([0.1] * 10, [1, 0] * 5), "0.20 times the bad rate"),
    "level unknown": (lambda: check_level([0.1], [0]), "cannot be checked"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_is_refused_by_name(name: str) -> None:
    attempt, said = BAD[name]
    with pytest.raises(InputError, match=said.replace("(", r"\(").replace(".", r"\.")):
        attempt()


def test_there_are_at_least_forty_of_them() -> None:
    assert len(BAD) >= 40

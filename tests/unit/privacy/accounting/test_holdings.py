from __future__ import annotations

import itertools
import json

import pytest

from fedcredit.privacy.accounting.accountants import epsilon, pld_epsilon
from fedcredit.privacy.accounting.events import Event, GaussianSteps, for_rows, merge
from fedcredit.privacy.accounting.holdings import Holding, worst_off
from fedcredit.privacy.accounting.statement import EpsilonStatement, state
from fedcredit.privacy.accounting.statement_wording import statement_lines, worst_off_lines

DELTA = 1e-5


def steps(rate: float, noise: float, count: int) -> GaussianSteps:
    return GaussianSteps(sampling_probability=rate, noise_multiplier=noise, num_steps=count)


LENDERS = {"a": steps(0.25, 9.0, 30), "b": steps(0.1, 3.0, 30), "c": steps(0.25, 14.0, 30), "d": steps(0.5, 20.0, 30)}
HOLDINGS: list[Holding] = [
    (("a", 1),), (("b", 3),), (("a", 2), ("c", 1)), (("b", 1), ("c", 2)), (("b", 1), ("c", 1), ("d", 4)),
]  # fmt: skip


def slowly(holdings: list[Holding], count: int) -> float:
    """Every borrower, every choice of its lenders, priced in full."""
    return max(
        pld_epsilon([for_rows(LENDERS[name], loans) for name, loans in choice], delta=DELTA, grid=3e-3)
        for holding in holdings
        for choice in itertools.combinations(holding, count)
    )


def test_worst_off_borrowers_are_those_of_pricing_every_borrower() -> None:
    found = worst_off({k: (v,) for k, v in LENDERS.items()}, HOLDINGS, is_about_loans=True, delta=DELTA)
    assert sorted(found) == [1, 2, 3]
    for count, worst in found.items():
        assert worst.epsilon.value == pytest.approx(slowly(HOLDINGS, count), rel=1e-2)
        assert len(worst.num_loans) == count
    assert found[3].num_loans == (4, 1, 1)


def test_lenders_that_no_borrower_shares_are_not_composed() -> None:
    apart: list[Holding] = [(("a", 1), ("c", 1)), (("b", 1),), (("d", 1),)]
    found = worst_off({k: (v,) for k, v in LENDERS.items()}, apart, is_about_loans=True, delta=DELTA)
    assert sorted(found) == [1, 2]
    assert found[2].epsilon == epsilon([LENDERS["a"], LENDERS["c"]], delta=DELTA)
    assert found[2].epsilon.value < epsilon([LENDERS["a"], LENDERS["b"]], delta=DELTA).value


def test_where_the_unit_is_a_borrower_its_loans_are_priced_once() -> None:
    events: dict[str, tuple[Event, ...]] = {"a": (for_rows(LENDERS["a"], 2),), "c": (for_rows(LENDERS["c"], 2),)}
    found = worst_off(events, [(("a", 2), ("c", 1))], is_about_loans=False, delta=DELTA)
    assert found[1].epsilon == epsilon(events["a"], delta=DELTA)
    assert found[2].epsilon == epsilon([*events["a"], *events["c"]], delta=DELTA)


def test_the_most_lenders_of_any_borrower_get_a_figure_of_their_own() -> None:
    equal = {f"bank {number}": (steps(0.25, 20.0, 30),) for number in range(5)}
    everywhere: Holding = tuple((name, 1) for name in sorted(equal))
    found = worst_off(equal, [everywhere, everywhere[:2]], is_about_loans=True, delta=DELTA)
    assert sorted(found) == [1, 2, 3, 5]
    assert found[5].epsilon == epsilon(merge(event for events in equal.values() for event in events), delta=DELTA)
    values = [found[count].epsilon.value for count in sorted(found)]
    assert values == sorted(values)


def stated(holdings: list[Holding] | None, *, unit: str = "loan") -> EpsilonStatement:
    example = steps(0.043, 1.0, 460)
    return state(
        {"north": [example], "south": [example], "west": [example]}, delta=DELTA, unit=unit, relation="zero_out",
        mode="simulated", covers="the noised updates", holdings=holdings, max_loans=2 if unit == "borrower" else None,
    )  # fmt: skip


def test_running_example_is_told_for_one_loan_and_for_the_two_of_a_borrower() -> None:
    statement = stated([(("north", 2),), (("north", 1), ("south", 1))])
    assert {1: statement.worst.value, 2: statement.overlap[2].value} == pytest.approx({1: 6.10, 2: 8.81}, abs=0.005)
    assert statement.overlap[3].value == pytest.approx(11.06, abs=0.005)
    assert statement.worst_off[1].epsilon.value == pytest.approx(14.0, rel=0.005)
    told = [line for line in statement_lines(statement) if "worst-off" in line]
    assert told == ["epsilon 13.994 for the worst-off borrower of this table at one lender (2 loans)"]


def test_loans_at_one_lender_and_lenders_add_up() -> None:
    two_and_one = stated([(("north", 2), ("south", 1))])
    assert two_and_one.worst_off[2].num_loans == (2, 1)
    assert two_and_one.worst_off[2].epsilon.value > two_and_one.worst_off[1].epsilon.value > 13.9
    assert any("each of two lenders (2 + 1 loans)" in line for line in statement_lines(two_and_one))


def test_without_keys_or_news_there_is_no_such_line() -> None:
    for statement in (stated(None), stated([(("north", 1), ("south", 1), ("west", 1))])):
        assert not worst_off_lines(statement)
        assert [line.split(" for ")[0] for line in statement_lines(statement)[:3]] == [
            "epsilon 6.100", "epsilon 8.812", "epsilon 11.064",
        ]  # fmt: skip


def test_borrower_level_lines_speak_of_borrowers() -> None:
    lines = statement_lines(stated([(("north", 2), ("south", 1))], unit="borrower"))
    assert lines[0] == "epsilon 6.100 for a borrower at one lender"
    assert "unit: borrower (all training loans of a borrower at one lender, at most 2 of which are kept)" in lines[4]
    assert "numbers of borrowers and of loans are public" in lines[4]


def test_statement_with_worst_off_borrowers_survives_a_trip_through_json() -> None:
    statement = stated([(("north", 2), ("south", 1))])
    plain = json.loads(json.dumps(statement.to_json()))
    assert EpsilonStatement.from_json(plain) == statement

from __future__ import annotations

import itertools
import json
import math

import pytest

from fedcredit.privacy.accounting.accountants import epsilon, pld_epsilon
from fedcredit.privacy.accounting.events import GaussianSteps
from fedcredit.privacy.accounting.statement import EpsilonStatement, Overlap, state, worst_epsilon
from fedcredit.privacy.accounting.statement_wording import statement_lines
from fedcredit.privacy.reading import FALSE_POSITIVE_RATES, read, worst_reading

DELTA = 1e-5


def steps(rate: float, noise: float, count: int) -> GaussianSteps:
    return GaussianSteps(sampling_probability=rate, noise_multiplier=noise, num_steps=count)


RUNNING_EXAMPLE = steps(0.043, 1.0, 460)


def stated(ledgers: dict[str, list[GaussianSteps]], *, known: Overlap | None = None) -> EpsilonStatement:
    return state(
        ledgers,
        delta=DELTA,
        unit="loan",
        relation="zero_out",
        mode="simulated",
        covers="the noised updates of 20 rounds",
        known_overlap=known,
    )


def test_equal_lenders_at_one_two_and_three() -> None:
    statement = stated({f"bank {index}": [RUNNING_EXAMPLE] for index in range(10)})
    assert statement.worst.value == pytest.approx(6.10, abs=0.005)
    assert {count: bound.value for count, bound in statement.overlap.items()} == pytest.approx(
        {2: 8.81, 3: 11.06}, abs=0.005
    )
    assert statement.num_lenders == len(statement.per_lender) == 10


@pytest.mark.parametrize("count", [1, 3, 5])
def test_borrower_at_so_many_lenders_as_the_data_has_gets_a_line_of_their_worst(count: int) -> None:
    lenders = {f"bank {index}": [steps(0.25, 8.0 + 0.1 * index, 100)] for index in range(5)}
    statement = stated(lenders, known=Overlap(num_lenders=count, num_loans=1))
    assert sorted(statement.overlap) == sorted({2, 3, *([count] if count > 1 else [])})
    for number, bound in statement.overlap.items():
        worst = [lenders[f"bank {index}"][0] for index in range(number)]
        assert bound == epsilon(worst, delta=DELTA)
        assert statement.reading[number] == read(worst)
        assert bound.value < number * statement.worst.value
    assert any(line.endswith("one loan at each of 5 lenders") for line in statement_lines(statement)) == (count == 5)


def test_more_lenders_are_never_cheaper_or_harder_to_read() -> None:
    statement = stated({str(index): [RUNNING_EXAMPLE] for index in range(6)}, known=Overlap(num_lenders=6, num_loans=2))
    values = [statement.worst.value, *(bound.value for _, bound in sorted(statement.overlap.items()))]
    advantages = [found.advantage for _, found in sorted(statement.reading.items())]
    assert values == sorted(values)
    assert advantages == sorted(advantages)


def test_keys_are_told_where_they_are_known_and_nowhere_else() -> None:
    ledgers = {"a": [RUNNING_EXAMPLE], "b": [RUNNING_EXAMPLE]}
    assert not any("keys" in line for line in statement_lines(stated(ledgers)))
    for known, text in (
        (Overlap(num_lenders=1, num_loans=1), "at more than one lender, or more than 1 loan at one lender"),
        (Overlap(num_lenders=2, num_loans=7), "at more than two lenders, or more than 7 loans at one lender"),
    ):
        [line] = [line for line in statement_lines(stated(ledgers, known=known)) if "borrower keys" in line]
        assert line.endswith(f"no borrower has training loans {text}")


def test_every_statement_reads_itself_for_one_lender_and_for_each_overlap() -> None:
    ledgers = {"a": [RUNNING_EXAMPLE], "b": [steps(0.2, 5.0, 10)], "c": [steps(1.0, 30.0, 10)]}
    statement = stated(ledgers)
    assert sorted(statement.reading) == [1, 2, 3]
    assert statement.reading[1] == worst_reading([read(events) for events in ledgers.values()])
    whole = "\n".join(statement_lines(statement))
    assert "at 0.1 / 1 / 5 % false alarms an attacker recognises at most 3.2 / 13.0 / 31.9 %" in whole
    assert "(advantage 42.9 %) for a loan at one lender; " in whole
    assert "for a loan at each of three lenders" in whole
    assert "In plain words: somebody who sees all" in whole
    assert statement.reading[1].false_positive_rates == FALSE_POSITIVE_RATES


def test_small_and_large_bank_compose_to_little_more_than_the_small_one() -> None:
    # 3,000 and 30,000 loans, batch 129, 460 steps: 6.10 and 0.52 compose to 6.13.
    statement = stated({"large": [steps(129 / 30_000, 1.0, 460)], "small": [RUNNING_EXAMPLE]})
    assert statement.per_lender["large"].value == pytest.approx(0.52, abs=0.01)
    assert statement.worst == statement.per_lender["small"]
    assert statement.overlap[2].value == pytest.approx(6.13, abs=0.01)
    assert list(statement.overlap) == [2]


def test_worst_pair_is_the_worst_although_all_lenders_have_nearly_the_same_epsilon() -> None:
    # Epsilon 4 alone, by few steps at a high rate or many at a low one: composed in pairs they differ by more than 1 %.
    lenders = {
        "many": [steps(64 / 5967, 0.8377, 1880)],
        "few": [steps(64 / 429, 2.1255, 140)],
        "some": [steps(64 / 1200, 1.3787, 380)],
    }
    together = {
        frozenset(pair): pld_epsilon([*lenders[pair[0]], *lenders[pair[1]]], delta=DELTA, grid=3e-3)
        for pair in itertools.combinations(lenders, 2)
    }
    statement = stated(lenders)
    assert [bound.value for bound in statement.per_lender.values()] == pytest.approx([4.0, 4.0, 4.0], rel=1e-3)
    assert max(together.values()) > 1.01 * min(together.values())
    assert statement.overlap[2].value == pytest.approx(max(together.values()), rel=2e-3)


def test_lines_carry_everything_an_epsilon_needs() -> None:
    text = statement_lines(stated({"a": [RUNNING_EXAMPLE], "b": [RUNNING_EXAMPLE], "c": [steps(0.02, 1.0, 460)]}))
    assert text[0].startswith("epsilon 6.100 for a borrower with one loan at one lender (lenders from ")
    assert text[1].startswith("epsilon 8.812 for a borrower with one loan at each of two lenders")
    assert text[2].startswith("epsilon ")
    assert text[2].endswith("for a borrower with one loan at each of three lenders")
    whole = "\n".join(text)
    for words in (
        "upper bounds at delta 1e-05",
        "privacy-loss distribution (grid 0.0001)",
        "unit: loan",
        "several loans of a borrower at one lender cost more",
        "relation: zero_out",
        "the number of loans is public",
        "mode: simulated",
        "against an adversary without the seed",
        "covers: the noised updates of 20 rounds",
    ):
        assert words in whole


@pytest.mark.parametrize("num_lenders", [1, 2, 3, 4])
def test_only_lines_that_exist_are_told(num_lenders: int) -> None:
    statement = stated({str(index): [steps(1.0, 5.0, 3)] for index in range(num_lenders)})
    assert list(statement.overlap) == [count for count in (2, 3) if count <= num_lenders]
    told = [line for line in statement_lines(statement) if line.startswith("epsilon ")]
    assert len(told) == min(num_lenders, 3)


def test_told_figures_are_rounded_up() -> None:
    statement = stated({"a": [steps(1.0, 5.0, 3)]})
    told = float(statement_lines(statement)[0].split()[1])
    assert statement.worst.value <= told < statement.worst.value + 0.001


def test_figures_are_those_of_the_ledgers_and_do_not_depend_on_their_order() -> None:
    ledgers = {"b": [steps(0.1, 2.0, 3), steps(1.0, 9.0, 1)], "a": [steps(0.1, 2.0, 4)]}
    statement = stated(ledgers)
    assert statement == stated({name: list(reversed(ledgers[name])) for name in reversed(ledgers)})
    assert list(statement.per_lender) == ["a", "b"]
    assert {name: epsilon(events, delta=DELTA) for name, events in ledgers.items()} == statement.per_lender


def test_lender_without_noise_makes_it_infinite_in_words() -> None:
    statement = stated({"a": [steps(0.1, 0.0, 1)], "b": [RUNNING_EXAMPLE]})
    assert statement.worst.value == statement.overlap[2].value == math.inf
    assert statement_lines(statement)[0].startswith("epsilon infinite (no privacy) for a borrower")


def test_statement_survives_a_trip_through_json() -> None:
    statement = stated({"a": [RUNNING_EXAMPLE], "b": [steps(0.1, 0.0, 1)]})
    plain = json.loads(json.dumps(statement.to_json()))
    assert plain == statement.to_json()
    assert EpsilonStatement.from_json(plain) == statement


def test_hundred_different_lenders_are_told_without_trying_every_three() -> None:
    lenders = {str(index): [steps(1.0, 5.0 + index, 3)] for index in range(100)}
    statement = stated(lenders)
    worst = [lenders[str(index)][0] for index in range(3)]
    assert statement.overlap[3] == epsilon(worst, delta=DELTA)


def test_ledgers_without_any_event_are_refused_and_one_idle_lender_is_not() -> None:
    with pytest.raises(ValueError, match="no ledger of 2 lenders has an event"):
        stated({"a": [], "b": []})
    with pytest.raises(ValueError, match="no ledger of 1 lenders has an event"):
        worst_epsilon({"a": []}, delta=DELTA)
    assert stated({"a": [], "b": [RUNNING_EXAMPLE]}).per_lender["a"].value == 0.0


def test_no_lender_is_refused() -> None:
    with pytest.raises(ValueError, match="ledgers is empty"):
        stated({})

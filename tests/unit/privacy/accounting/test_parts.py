from __future__ import annotations

import pytest

from fedcredit.privacy.accounting.accountants import epsilon
from fedcredit.privacy.accounting.calibration import calibrate
from fedcredit.privacy.accounting.events import Events, GaussianSteps, for_rows, merge
from fedcredit.privacy.accounting.parts import (
    EventsOf,
    dearest_epsilon,
    dearest_of_all,
    events_by_part,
    state_parts,
)
from fedcredit.privacy.accounting.releases import (
    FEDERATION,
    OWN_INTERCEPT,
    RECALIBRATION,
    REFERENCE_ALONE,
    RELEASES,
    STATED,
    TEST_HISTOGRAM,
    parts_of,
)
from fedcredit.privacy.accounting.statement import EpsilonStatement, Overlap, state

DELTA = 1e-5
TRAINING = GaussianSteps(sampling_probability=0.25, noise_multiplier=10.0, num_steps=100)


def gaussian(noise: float) -> GaussianSteps:
    return GaussianSteps(sampling_probability=1.0, noise_multiplier=noise, num_steps=1)


def ledger(**releases: GaussianSteps) -> EventsOf:
    named = {name.replace("__", "."): event for name, event in releases.items()}

    def events(name: str) -> Events:
        return merge([named[name]] if name in named else [])

    return events


def told(ledgers: dict[str, EventsOf], *, keys: bool = True) -> EpsilonStatement:
    known = Overlap(num_lenders=1, num_loans=1) if keys else None
    return state_parts(
        ledgers, delta=DELTA, unit="loan", relation="zero_out", mode="simulated", covers="all",
        known=dict.fromkeys(("train", "validation", "test"), known),
    )  # fmt: skip


def price(*events: GaussianSteps) -> float:
    return epsilon(events, delta=DELTA).value


FULL = {
    FEDERATION: TRAINING,
    OWN_INTERCEPT: gaussian(12.0),
    RECALIBRATION: gaussian(5.0),
    TEST_HISTOGRAM: gaussian(6.0),
    REFERENCE_ALONE: TRAINING,
}


def test_each_part_pays_for_what_reads_it() -> None:
    parts = events_by_part(ledger(**FULL))
    assert parts == {
        "train": merge([TRAINING, gaussian(12.0)]),
        "validation": merge([gaussian(12.0), gaussian(5.0)]),
        "test": merge([gaussian(6.0)]),
    }
    assert dearest_epsilon(ledger(**FULL), delta=DELTA).value == max(
        price(TRAINING, gaussian(12.0)), price(gaussian(12.0), gaussian(5.0)), price(gaussian(6.0))
    )
    assert dearest_epsilon(ledger(**FULL), delta=DELTA, everything=True).value == price(
        TRAINING, TRAINING, gaussian(12.0)
    )


def test_every_release_reads_some_part_and_only_references_are_outside_the_statement() -> None:
    assert all(parts_of(name) for name in RELEASES)
    assert set(RELEASES) - set(STATED) == {name for name in RELEASES if name.startswith("reference.")}


def test_without_charged_figures_the_statement_is_that_of_the_training_loans() -> None:
    plain = {name: ledger(**{FEDERATION: TRAINING}) for name in ("a", "b")}
    expected = state(
        {"a": [TRAINING], "b": [TRAINING]}, delta=DELTA, unit="loan", relation="zero_out", mode="simulated",
        covers="all", known_overlap=Overlap(num_lenders=1, num_loans=1),
    )  # fmt: skip
    assert told(plain) == expected


@pytest.mark.parametrize("trust", ["local", "secure_sum"])
def test_without_charged_figures_everything_else_that_is_said_comes_through(trust: str) -> None:
    said = {
        "delta": DELTA, "unit": "loan", "relation": "zero_out", "mode": "simulated", "covers": "all", "trust": trust,
        "notes": ("a note",), "collusion": {1: epsilon([TRAINING], delta=DELTA)}, "max_loans": 3,
    }  # fmt: skip
    overlap = Overlap(num_lenders=2, num_loans=4)
    holdings = {(("a", 4),), (("a", 1), ("b", 2))}
    expected = state({"a": [TRAINING], "b": [TRAINING]}, known_overlap=overlap, holdings=holdings, **said)  # type: ignore[arg-type]
    plain = {name: ledger(**{FEDERATION: TRAINING}) for name in ("a", "b")}
    found = state_parts(plain, known={"train": overlap}, holdings={"train": holdings}, **said)  # type: ignore[arg-type]
    assert found == expected
    assert found.worst_off[1].num_loans == (4,)


def test_the_worst_off_borrower_is_that_of_the_dearest_part_with_all_its_loans_there() -> None:
    ledgers = {
        "a": ledger(**{FEDERATION: TRAINING, TEST_HISTOGRAM: gaussian(2.0)}),
        "b": ledger(**{FEDERATION: TRAINING, TEST_HISTOGRAM: gaussian(50.0)}),
    }
    known = dict.fromkeys(("train", "validation", "test"), Overlap(num_lenders=2, num_loans=3))
    found = state_parts(
        ledgers, delta=DELTA, unit="loan", relation="zero_out", mode="simulated", covers="all", known=known,
        holdings={"train": {(("a", 1), ("b", 1))}, "validation": None, "test": {(("a", 3),)}},
    ).worst_off  # fmt: skip
    assert found[1].num_loans == (3,)
    assert found[1].epsilon.value == pytest.approx(price(gaussian(2.0 / 3.0)), rel=1e-3)
    assert found[2].epsilon.value == pytest.approx(price(TRAINING, TRAINING))


def test_the_dearest_of_all_lenders_is_the_dearest_of_one() -> None:
    ledgers = {"a": ledger(**FULL), "b": ledger(**{FEDERATION: TRAINING})}
    for everything in (False, True):
        each = [dearest_epsilon(own, delta=DELTA, everything=everything).value for own in ledgers.values()]
        assert dearest_of_all(ledgers, delta=DELTA, everything=everything).value == max(each)


def test_with_keys_a_borrower_is_in_one_part_at_every_lender() -> None:
    ledgers = {
        "a": ledger(**{FEDERATION: TRAINING, TEST_HISTOGRAM: gaussian(2.0)}),
        "b": ledger(**{FEDERATION: TRAINING, TEST_HISTOGRAM: gaussian(50.0)}),
    }
    statement = told(ledgers)
    assert statement.worst.value == price(gaussian(2.0))
    assert statement.per_lender["b"].value == price(TRAINING)
    assert statement.overlap[2].value == max(price(TRAINING, TRAINING), price(gaussian(2.0), gaussian(50.0)))


def test_without_keys_the_parts_may_differ_from_lender_to_lender() -> None:
    ledgers = {
        "a": ledger(**{FEDERATION: TRAINING, TEST_HISTOGRAM: gaussian(2.0)}),
        "b": ledger(**{FEDERATION: TRAINING, TEST_HISTOGRAM: gaussian(50.0)}),
    }
    statement = told(ledgers, keys=False)
    assert statement.overlap[2].value >= price(gaussian(2.0), TRAINING)
    assert statement.overlap[2].value > told(ledgers).overlap[2].value


@pytest.mark.parametrize("rate", [0.25, 1.0])
def test_noise_is_calibrated_with_what_is_beside_the_training_composed_and_not_split(rate: float) -> None:
    """A Gaussian worth 10 % of epsilon alone raises the noise by about 0.7 % (a split would by 11 %)."""
    alone = calibrate(target_epsilon=1.0, delta=DELTA, sampling_probability=rate, num_steps=100)
    tenth = gaussian(calibrate(target_epsilon=0.1, delta=DELTA, sampling_probability=1.0, num_steps=1))
    found = calibrate(target_epsilon=1.0, delta=DELTA, sampling_probability=rate, num_steps=100, beside=(tenth,))
    training = GaussianSteps(sampling_probability=rate, noise_multiplier=found, num_steps=100)
    assert 0.999 < price(training, tenth) <= 1.0
    assert 1.003 < found / alone < 1.015


def test_what_is_beside_may_not_use_up_the_target() -> None:
    with pytest.raises(ValueError, match="nothing is left"):
        calibrate(target_epsilon=1.0, delta=DELTA, sampling_probability=0.25, num_steps=100, beside=(gaussian(3.0),))


def test_what_is_beside_counts_all_rows_of_a_neighbour() -> None:
    three = for_rows(gaussian(60.0), 3)
    found = calibrate(
        target_epsilon=1.0, delta=DELTA, sampling_probability=1.0, num_steps=10, max_rows=3, beside=(three,)
    )
    training = for_rows(GaussianSteps(sampling_probability=1.0, noise_multiplier=found, num_steps=10), 3)
    assert 0.999 < epsilon([training, three], delta=DELTA).value <= 1.0

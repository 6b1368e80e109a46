"""A study is priced by all that was looked at, from ledgers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from fedcredit.cli import main
from fedcredit.errors import InputError
from fedcredit.experiment.epsilon_by_round import spending_of
from fedcredit.experiment.looking import cost_of_looking, known_cost, looking_headline, looking_table
from fedcredit.experiment.record import RunRecord, write_record
from fedcredit.experiment.report import study_report, write_study_report
from fedcredit.experiment.wording import epsilon_text
from fedcredit.privacy.accounting.accountants import epsilon, quick_epsilon
from fedcredit.privacy.accounting.book import Release
from fedcredit.privacy.accounting.events import GaussianSteps, merge
from fedcredit.privacy.accounting.ledger import PrivacyLedger, ledger_path
from fedcredit.privacy.accounting.statement import state

MakeRecord = Callable[..., RunRecord]
Put = Callable[..., RunRecord]
DELTA = 1e-5
LENDERS = ("Harbour Bank", "Lotus Pay")
STEP = GaussianSteps(sampling_probability=0.1, noise_multiplier=4.0, num_steps=5)
ALONE = GaussianSteps(sampling_probability=0.1, noise_multiplier=6.0, num_steps=3)


@pytest.fixture
def put(made_up: MakeRecord, tmp_path: Path) -> Put:
    """Lay a finished run with its ledgers into a results folder."""

    def made(
        name: str,
        *,
        steps: Mapping[str, GaussianSteps] | None = None,
        split_seed: int = 1,
        portfolio: Mapping[str, object] | None = None,
        num_rounds: int = 4,
    ) -> RunRecord:
        spent = steps or dict.fromkeys(LENDERS, STEP)
        fingerprint = hashlib.sha256(f"{name} {split_seed}".encode()).hexdigest()
        folder = tmp_path / name / fingerprint[:16] / "inline-compiled"
        ledgers = {}
        for lender, event in spent.items():
            path = ledger_path(folder / "ledger", lender)
            with PrivacyLedger.open(path, institution=lender, fingerprint=fingerprint, mode="simulated") as ledger:
                for number in range(1, num_rounds + 1):
                    release = Release(name="federation", server_round=number, event=event, digest=f"{number:064x}")
                    ledger.intend(release)
                    ledger.commit(release, event.num_steps)
                other = Release(name="reference.alone", server_round=1, event=ALONE, digest="f" * 64)
                ledger.intend(other)
                ledger.commit(other, ALONE.num_steps)
                ledgers[lender] = (ledger.events("federation"), ledger.head)
        statement = state(
            {lender: events for lender, (events, _) in ledgers.items()},
            delta=DELTA, unit="loan", relation="zero_out", mode="simulated", covers="updates",
        )  # fmt: skip
        record = made_up(lenders=LENDERS, name=name)
        record = replace(
            record,
            fingerprint=fingerprint,
            statement=statement.to_json(),
            ledger_heads={lender: head for lender, (_, head) in ledgers.items()},
            experiment={
                **record.experiment,
                "name": name,
                "split_seed": split_seed,
                **({"portfolio": dict(portfolio)} if portfolio else {}),
            },
        )
        write_record(record, folder)
        (folder / "experiment.yaml").write_text(
            f"privacy: {{trust: local}}\n"
            f"portfolio: {dict(record.experiment['portfolio'])}\npartition: {dict(record.experiment['partition'])}\n"  # type: ignore[arg-type]
            f"split_seed: {split_seed}\n"
        )
        return record

    return made


def test_the_whole_study_is_every_release_of_every_run_composed(put: Put, tmp_path: Path) -> None:
    records = [put("tiny/a"), put("tiny/b", num_rounds=2)]
    (found,) = cost_of_looking(records, tmp_path)
    assert found.num_private == 2
    assert found.one is not None
    spent = [*[STEP] * 6, *[ALONE] * 2]
    assert found.whole == {1: epsilon(merge(spent), delta=DELTA), 2: epsilon(merge(spent * 2), delta=DELTA)}
    assert found.one == epsilon([STEP.times(4)], delta=DELTA)
    assert found.whole[1].value > found.one.value


def test_runs_that_are_not_shown_count_as_well(put: Put, tmp_path: Path) -> None:
    """Keeping the best arm out of three does not make it cheaper, nor does deleting the record of another."""
    records = [put(f"tiny/{name}") for name in "abc"]
    (tmp_path / "tiny/c" / records[2].fingerprint[:16] / "inline-compiled" / "record.json").unlink()
    (best,), (all_of_them,) = cost_of_looking(records[:1], tmp_path), cost_of_looking(records[:2], tmp_path)
    assert best.whole == all_of_them.whole
    assert best.whole[1] == epsilon(merge([*[STEP] * 12, *[ALONE] * 3]), delta=DELTA)
    assert best.num_beside == 2
    assert any("2 of the private runs are not shown" in note for note in looking_table([best]).notes)


def test_a_loan_that_may_be_anywhere_is_priced_at_no_less_than_any_path(put: Put, tmp_path: Path) -> None:
    dear = replace(STEP, noise_multiplier=2.0)
    first = put("tiny/a", steps={LENDERS[0]: dear, LENDERS[1]: STEP}, split_seed=1)
    second = put("tiny/a", steps={LENDERS[0]: STEP, LENDERS[1]: dear}, split_seed=2)
    (found,) = cost_of_looking([first, second], tmp_path)
    worst_path = epsilon(merge([*[dear] * 8, *[ALONE] * 2]), delta=DELTA)
    assert found.whole[1].value >= worst_path.value - 1e-9


def test_other_loans_are_priced_apart(put: Put, tmp_path: Path) -> None:
    records = [put("tiny/a"), put("tiny/b", portfolio={"kind": "table", "table": "german"})]
    found = cost_of_looking(records, tmp_path)
    assert [item.table for item in found] == ["taiwan", "german"]
    assert {item.num_private for item in found} == {1}


def test_every_study_report_states_both_figures(put: Put, tmp_path: Path, made_up: MakeRecord) -> None:
    records = [put("tiny/a"), put("tiny/b")]
    cost = known_cost(records, tmp_path)
    page, (found,) = study_report(records, cost=cost), cost.found
    assert found.one is not None
    assert "The cost of looking" in page
    for bound in (found.whole[1], found.whole[2], found.one):
        assert epsilon_text(bound.value) in page
    assert page.index(epsilon_text(found.whole[1].value)) < page.index(epsilon_text(found.one.value))
    (free,) = cost_of_looking([made_up(epsilon=None)], tmp_path)
    assert looking_headline([free]) == (("runs without privacy", "1: no bound"),)


def test_private_loans_are_never_shown_with_the_epsilon_of_a_run_alone(put: Put, tmp_path: Path) -> None:
    own = {"kind": "csv", "path": "loans.csv", "schema_file": "gone.yaml"}
    records = [put(f"tiny/{name}", portfolio=own) for name in "ab"]
    cost = known_cost(records, tmp_path)
    assert not cost.found[0].is_public
    assert any("whichever arm is kept" in note for note in looking_table(cost.found).notes)
    ledger = next((tmp_path / "tiny" / "b").rglob("*.jsonl"))
    ledger.unlink()
    with pytest.raises(InputError, match="is on private loans, and a study of them is shown only with"):
        write_study_report(records, tmp_path / "tiny" / "report.html")
    assert not (tmp_path / "tiny" / "report.html").exists()
    assert main(["show", str(tmp_path / "tiny")]) == 2


@pytest.mark.parametrize("output", ["table", "csv", "latex"])
def test_a_comparison_says_what_one_run_and_all_of_them_cost(
    output: str, put: Put, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records = [put(f"tiny/{name}", split_seed=seed) for name in "ab" for seed in (1, 2)]
    (found,) = cost_of_looking(records, tmp_path)
    assert main(["compare", str(tmp_path / "tiny"), "--output", output]) == 0
    printed = capsys.readouterr()
    told, other = (printed.out, printed.err) if output == "table" else (printed.err, printed.out)
    assert found.one is not None
    assert "The cost of looking" in told
    assert epsilon_text(found.one.value) in told
    assert epsilon_text(found.whole[1].value) in told
    assert "The cost of looking" not in other


def test_a_comparison_of_private_loans_is_refused_without_the_cost_of_all_runs(
    put: Put, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = {"kind": "csv", "path": "loans.csv", "schema_file": "gone.yaml"}
    for name in "ab":
        put(f"tiny/{name}", portfolio=own)
    assert main(["compare", str(tmp_path / "tiny")]) == 0
    assert "These loans are private" in " ".join(capsys.readouterr().out.split())
    next((tmp_path / "tiny" / "b").rglob("*.jsonl")).unlink()
    assert main(["compare", str(tmp_path / "tiny" / "a"), str(tmp_path / "tiny" / "b")]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "is shown only with the epsilon of all its runs together" in printed.err


def test_public_loans_without_ledgers_are_shown_with_what_is_missing(put: Put, tmp_path: Path) -> None:
    records = [put("tiny/a")]
    next((tmp_path / "tiny").rglob("*.jsonl")).unlink()
    cost = known_cost(records, tmp_path)
    assert not cost.found
    assert "is not known" in cost.unknown
    assert "is not known" in write_study_report(records, tmp_path / "tiny" / "report.html").read_text()


def test_epsilon_grows_over_rounds_for_one_lender_and_for_two(put: Put, tmp_path: Path) -> None:
    record = put("tiny/a", num_rounds=7)
    found = spending_of(record, tmp_path / "tiny/a" / record.fingerprint[:16] / "inline-compiled")
    assert found is not None
    assert found.rounds == tuple(range(1, 8))
    for count in (1, 2):
        expected = [quick_epsilon([STEP.times(number * count)], delta=DELTA).value for number in found.rounds]
        assert found.by_lenders[count] == pytest.approx(expected)
    assert set(found.by_lenders) == {1, 2}

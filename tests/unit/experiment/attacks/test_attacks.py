from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from fedcredit.cli import main
from fedcredit.config import compose
from fedcredit.experiment.attacks.bad_rate import ALONE, GUESS, REFERENCE, SHADOWS, BadRates, attack_bad_rate
from fedcredit.experiment.attacks.inversion import Inversion, attack_inversion
from fedcredit.experiment.attacks.membership import LIRA, Membership, attack_membership
from fedcredit.experiment.prepare import Prepared, prepare

SMALL = (
    "portfolio=german",
    "partition=iid",
    "partition.num_institutions=3",
    "privacy.target_delta=1e-4",
    "training.num_rounds=30",
    "evaluation.references=[]",
)
OVERFITTED = ("network.hidden=[64]", "training.num_rounds=150", "strategy.averaging_decay=0")
SKEWED = ("partition=dirichlet", "partition.num_institutions=4", "portfolio=taiwan", "privacy.target_delta=1e-6")


def prepared(*overrides: str) -> Prepared:
    return prepare(compose(None, [*SMALL, *overrides]))


@cache
def membership(epsilon: str, lender: str | None = None) -> Membership:
    return attack_membership(prepared(*OVERFITTED, f"privacy.target_epsilon={epsilon}"), num_runs=24, lender=lender)


@cache
def bad_rates(epsilon: str) -> BadRates:
    return attack_bad_rate(prepared(*SKEWED, f"privacy.target_epsilon={epsilon}"), num_shadows=12)


@cache
def inversion(epsilon: str, *overrides: str) -> Inversion:
    return attack_inversion(prepared(f"privacy.target_epsilon={epsilon}", *overrides), num_lenders=15)


@pytest.mark.usefixtures("credit_data")
def test_overfitted_network_without_privacy_is_attacked_visibly_above_chance() -> None:
    found = membership("inf")
    lira, threshold = found.attacks
    assert lira.method == LIRA
    assert found.num_loans > 600
    assert found.train_gap > 1.0
    assert lira.auc > 0.7
    assert threshold.auc > 0.6
    for point in lira.points[1:]:
        assert point.interval.lower > 2.0 * point.asked
    assert found.allowed_at == (1.0, 1.0, 1.0)
    assert lira.auc > threshold.auc


@pytest.mark.usefixtures("credit_data")
def test_the_same_network_under_epsilon_1_gives_away_no_more_than_the_promise_allows() -> None:
    found = membership("1")
    assert found.epsilon == pytest.approx(1.0, abs=0.01)
    for attack in found.attacks:
        assert attack.auc < found.allowed_auc
        for point, allowed in zip(attack.points, found.allowed_at, strict=True):
            assert point.interval.lower <= allowed < 3.0 * point.asked
        assert np.all(attack.curve <= found.allowed + 0.02)


@pytest.mark.usefixtures("credit_data")
def test_attack_on_one_lender_looks_for_its_loans_alone() -> None:
    small = prepared("privacy.target_epsilon=inf", "training.num_rounds=3")
    name = small.contracts.institutions[1]
    found = attack_membership(small, num_runs=8, lender=name)
    assert found.lenders == (name,)
    assert found.num_loans == small.contracts[name].num_loans


@pytest.mark.long
@pytest.mark.usefixtures("credit_data")
def test_worker_processes_find_what_this_process_finds() -> None:
    small = prepared("privacy.target_epsilon=inf", "training.num_rounds=2")
    here, there = (attack_membership(small, num_runs=8, num_workers=workers) for workers in (1, 2))
    assert [attack.auc for attack in here.attacks] == [attack.auc for attack in there.attacks]


@pytest.mark.parametrize("epsilon", ["inf", "8", "1"])
@pytest.mark.usefixtures("credit_data")
def test_bad_rates_are_read_off_updates_with_and_without_privacy(epsilon: str) -> None:
    found = bad_rates(epsilon)
    errors = {item.method: item.mean_absolute_error for item in found.estimates}
    assert tuple(errors) == (ALONE, REFERENCE, SHADOWS, GUESS)
    assert found.colluder not in found.lenders
    assert errors[REFERENCE] < 0.03
    assert errors[SHADOWS] < 0.06
    assert max(errors[method] for method in (ALONE, REFERENCE, SHADOWS)) < 0.5 * errors[GUESS]


@pytest.mark.parametrize(
    ("override", "why"),
    [
        ("training/local=epochs", "lenders take several steps a round"),
        ("network.focal_gamma=2", "the loss is focal"),
    ],
)
@pytest.mark.usefixtures("credit_data")
def test_where_updates_have_no_closed_form_only_shadow_lenders_are_used_and_it_is_said(override: str, why: str) -> None:
    found = attack_bad_rate(
        prepared(*SKEWED, "privacy.target_epsilon=inf", override, "training.num_rounds=2"),
        num_shadows=8,
    )
    assert [item.method for item in found.estimates] == [SHADOWS, GUESS]
    assert found.why_no_closed_form == why


@pytest.mark.usefixtures("credit_data")
def test_single_loan_is_read_off_its_update_without_privacy_and_not_with_it() -> None:
    for one, several in zip(inversion("inf").recovered[:1], inversion("inf").recovered[1:], strict=False):
        assert (one.num_loans, one.share, one.whole_loans) == (1, 1.0, 1.0)
        assert several.share < one.share
    for epsilon in ("8", "1"):
        for found in inversion(epsilon).recovered:
            assert found.whole_loans == 0.0
            assert found.share < found.guessed + 0.05


@pytest.mark.usefixtures("credit_data")
def test_clipping_alone_does_not_stop_inversion() -> None:
    found = inversion("null", "privacy.noise_multiplier=0.001", "privacy.clipping_norm=0.5").recovered[0]
    assert found.share > 0.9


@pytest.mark.parametrize(("kind", "number"), [("membership", 8), ("bad_rate", 8), ("inversion", 4)])
@pytest.mark.usefixtures("credit_data")
def test_command_says_who_attacks_and_leaves_json_and_a_picture(
    kind: str, number: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["attack", kind, *SMALL, "training.num_rounds=3", "privacy.target_epsilon=1"]
    words += [f"--number={number}", "--workers=1"]
    assert main([*words, f"results_dir={tmp_path}"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    for word in ("adversary", "knows", "method", "what it means", "no privacy", "epsilon 1.000"):
        assert word in shown
    assert main([*words, "--json", f"--folder={tmp_path / 'other'}"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert (content["format"], content["kind"]) == ("fedcredit/attack/1", kind)
    assert [arm["federation"] for arm in content["arms"]] == ["no privacy", "epsilon 1.000"]
    assert json.loads(next(tmp_path.glob(f"attacks/*/*/{kind}.json")).read_text()) == content
    assert (tmp_path / "other" / f"{kind}.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["theft"], "attack is 'theft'; choose one of membership, bad_rate, inversion"),
        (["membership", "--number=9"], "number is 9; allowed is an even number of federations, 8 to 1024"),
        (["membership", "--lender=nobody"], "lender is 'nobody'; this experiment has"),
        (["bad_rate", "--number=2"], "number is 2; allowed is 8 to 4,096 shadow lenders"),
        (["bad_rate", "partition.num_institutions=2"], "2 lenders; the attack needs 3"),
        (["bad_rate", "--lender=lender_1"], "lender is for the membership attack alone"),
        (["inversion", "--number=1"], "number is 1; allowed is 2 to 10,000 attacked lenders"),
        (["inversion", "--number=99"], "takes 792 training loans; there are"),
        (["inversion", "--seed=-1"], "seed is -1"),
        (["membership", "--workers=0"], "workers is 0"),
    ],
)
@pytest.mark.usefixtures("credit_data")
def test_what_cannot_be_attacked_is_one_message(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    kind, *rest = words
    assert main(["attack", kind, *SMALL, *rest, "privacy.target_epsilon=inf", "training.num_rounds=1"]) == 2
    shown = " ".join(capsys.readouterr().err.split())
    assert said in shown
    assert "Traceback" not in shown


def test_folder_without_a_record_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["attack", "inversion", str(tmp_path)]) == 2
    assert "is no folder of one finished run" in capsys.readouterr().err

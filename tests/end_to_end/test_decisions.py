"""Break-even, pairing and flips against their definitions, and finished runs scored again."""

from __future__ import annotations

import itertools
import json
import math
import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from fedcredit.cli import main
from fedcredit.cli.recalibrating import with_commands
from fedcredit.config import compose
from fedcredit.credit.approval import Terms
from fedcredit.credit.calibration import Recalibration, logits_of, shift_logits
from fedcredit.credit.limits import LimitPolicy, limit_amounts
from fedcredit.credit.provisioning import StagePolicy
from fedcredit.credit.scored import Scored
from fedcredit.data.market.application_columns import application_columns
from fedcredit.errors import InputError
from fedcredit.experiment.charged_record import ChargedRecord
from fedcredit.experiment.decisions.beside_money import fairness_figures
from fedcredit.experiment.decisions.churn import decision_churn, flipped
from fedcredit.experiment.decisions.deciding import decide
from fedcredit.experiment.decisions.levels import LevelAt, WrongLevelError, levelled
from fedcredit.experiment.decisions.limiting import incomes_of
from fedcredit.experiment.decisions.panel import Followed, bucket_shifts, follow
from fedcredit.experiment.decisions.panel_alarms import alarms
from fedcredit.experiment.decisions.panel_cash import cash_of
from fedcredit.experiment.decisions.panel_limits import limits_over_months
from fedcredit.experiment.decisions.panel_pool import AS_IT_WENT, STRESSED, sell_pool
from fedcredit.experiment.decisions.panel_provisions import provisions
from fedcredit.experiment.decisions.price_figures import price_figures
from fedcredit.experiment.decisions.price_of_privacy import (
    AGAINST,
    ALWAYS,
    WHERE_SMALL,
    break_even_epsilon,
    price_of_privacy,
)
from fedcredit.experiment.decisions.price_of_privacy import NEVER as NEVER_PAYS
from fedcredit.experiment.decisions.price_view import churn_table, price_tables
from fedcredit.experiment.decisions.reject_study import (
    ACCEPTED,
    EVERYBODY,
    FUZZY,
    REWEIGHTED,
    SLICE,
    reject_study,
)
from fedcredit.experiment.decisions.rescoring import Scores, networks_alone, rescored, scores_of
from fedcredit.experiment.prepare import predict_pd
from fedcredit.experiment.record import read_record, record_folders
from fedcredit.experiment.report import run_report
from fedcredit.experiment.runner import run
from fedcredit.experiment.validate import experiment_from_data

SMALL = [
    "portfolio.num_borrowers=4000",
    "portfolio.num_banks=1",
    "portfolio.num_bnpl=1",
    "portfolio.num_consumer_finance=1",
    "training.num_rounds=6",
    "evaluation.sections=[]",
]
GERMAN = [
    "portfolio=german",
    "partition=iid",
    "partition.num_institutions=2",
    "training.num_rounds=2",
    "privacy=none",
    "evaluation=quick",
]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One run without privacy, and two at epsilon 1 that differ in seed alone."""
    folder = tmp_path_factory.mktemp("results")
    common = [*SMALL, f"results_dir={folder}", "evaluation.references=[alone]"]
    for arm, seed in (("no_privacy", 1), ("epsilon_1", 1), ("epsilon_1", 2)):
        run(compose(f"privacy_budgets/{arm}", [*common, f"seed={seed}", "split_seed=1"]), report=False)
    return folder


def only(study: Path, arm: str) -> Path:
    return record_folders([study / "privacy_budgets" / arm])[0]


@pytest.mark.parametrize(
    ("gains", "verdict", "epsilon"),
    [
        ({8.0: 1.0, 1.0: 0.5}, ALWAYS, None),
        ({8.0: -1.0, 1.0: -0.5}, NEVER_PAYS, None),
        ({8.0: -1.0, 1.0: 0.5}, WHERE_SMALL, None),
        ({8.0: 1.0, 2.0: 1.0, 0.5: -1.0}, "1", 1.0),
        ({8.0: 1.0, 2.0: -1.0, 0.5: 5.0}, "4", 4.0),
        ({4.0: 0.0, 1.0: -2.0}, "4", 4.0),
    ],
)
def test_break_even_is_where_the_line_crosses_zero(
    gains: dict[float, float], verdict: str, epsilon: float | None
) -> None:
    found, where = break_even_epsilon(gains)
    assert found == verdict
    assert where == (None if epsilon is None else pytest.approx(epsilon))


@given(st.integers(2, 6), st.integers(1, 5), st.randoms())
def test_flips_are_the_share_of_pairs_that_disagree(num: int, loans: int, draw: object) -> None:
    decisions = np.array([[draw.random() < 0.5 for _ in range(loans)] for _ in range(num)])  # type: ignore[attr-defined]
    pairs = list(itertools.combinations(decisions, 2))
    assert flipped(decisions) == pytest.approx(np.mean([one != other for one, other in pairs], axis=0))


def test_a_run_scored_again_has_the_figures_of_its_record(study: Path) -> None:
    for arm in ("no_privacy", "epsilon_1"):
        opened = rescored(only(study, arm))
        alone = scores_of(opened, networks_alone(opened)).test
        reference = opened.record.references["alone"].evaluation
        for name, scored in alone.items():
            assert float(scored.pd.mean()) == pytest.approx(reference.institutions[name].mean_pd, abs=1e-12)


def test_scoring_again_leaves_the_results_folder_as_it_is(study: Path) -> None:
    folder = only(study, "epsilon_1")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    networks_alone(rescored(folder))
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_weights_of_another_run_are_refused(study: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(only(study, "epsilon_1"), folder)
    weights = load_file(folder / "weights.safetensors")
    save_file({name: -array for name, array in weights.items()}, folder / "weights.safetensors")
    with pytest.raises(InputError, match="record says"):
        rescored(folder)


def test_a_lender_is_not_trained_alone_where_the_ledgers_do_not_hold_it(study: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(only(study, "epsilon_1"), folder)
    for path in (folder / "ledger").glob("*.jsonl"):
        kept = [line for line in path.read_text().splitlines() if '"reference.alone"' not in line]
        path.write_text("\n".join(kept) + "\n")
    with pytest.raises(InputError, match=r"ledger|release"):
        networks_alone(rescored(folder))


@pytest.mark.long
def test_the_price_is_paired_and_is_nothing_against_itself(study: Path) -> None:
    private = record_folders([study / "privacy_budgets" / "epsilon_1"])
    first = next(folder for folder in private if rescored(folder).prepared.experiment.seed == 1)
    found = price_of_privacy([only(study, "no_privacy"), first])
    assert found.num_seeds == 1
    assert set(found.kinds.values()) == {"bank", "bnpl", "consumer_finance"}
    for price in found.prices:
        gap = price.differences[AGAINST[2]]["true_profit_per_100_asked"]
        assert (gap.num_seeds, gap.half_width) == (1, None)
        mine, base = (
            next(p.figures["true_profit_per_100_asked"] for p in found.prices if (p.group, p.epsilon) == at)
            for at in ((price.group, price.epsilon), (price.group, math.inf))
        )
        assert mine is not None
        assert base is not None
        assert gap.value == pytest.approx(100.0 * (mine - base), abs=1e-9)
    assert len(price_tables(found)) == 6
    gap = next(price for price in found.prices if (price.group, price.epsilon) == ("all", math.inf)).figures
    assert 0.0 <= gap["opportunity_gap.age"] <= 1.0


@pytest.mark.long
def test_early_warning_is_priced_by_budget_and_group(study: Path) -> None:
    first = next(
        folder
        for folder in record_folders([study / "privacy_budgets" / "epsilon_1"])
        if rescored(folder).prepared.experiment.seed == 1
    )
    found = price_of_privacy([only(study, "no_privacy"), first], with_months=True)
    told = alarms(follow(rescored(first)))
    mine = next(price for price in found.prices if (price.group, price.epsilon) == ("all", 1.0))
    assert mine.figures["early_rate"] == pytest.approx(told.by_bucket_level.early_share_rate)
    assert mine.differences[AGAINST[2]]["early_rate"].num_seeds == 1
    assert [table.title for table in price_tables(found)][5].startswith("Early warning")
    assert "price_early" in {figure.name for figure in price_figures(found)}


@pytest.mark.long
def test_two_runs_of_one_budget_and_seed_are_refused(study: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(only(study, "epsilon_1"), folder)
    with pytest.raises(InputError, match="same epsilon and seeds"):
        price_of_privacy([only(study, "no_privacy"), only(study, "epsilon_1"), folder])


def test_a_price_needs_a_run_without_privacy(study: Path) -> None:
    with pytest.raises(InputError, match="without privacy"):
        price_of_privacy([only(study, "epsilon_1")])


def test_churn_counts_trainings_that_differ_in_seed_alone(study: Path) -> None:
    found = decision_churn(record_folders([study]))
    assert {churn.epsilon for churn in found} == {1.0}
    everybody = next(churn for churn in found if churn.group == "all")
    assert everybody.num_seeds == 2
    runs = [rescored(folder) for folder in record_folders([study / "privacy_budgets" / "epsilon_1"])]
    decided = [
        np.concatenate([scored.pd < 0.06 / 0.81 for scored in scores_of(r, r.networks()).test_at_own_level.values()])
        for r in runs
    ]
    assert everybody.approvals_flipped_rate == pytest.approx(np.mean(decided[0] != decided[1]))
    assert churn_table(found).rows


def test_churn_without_repeats_says_what_to_run(study: Path) -> None:
    with pytest.raises(InputError, match="seed=1,2,3"):
        decision_churn([only(study, "epsilon_1")])


@pytest.fixture
def tripled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every PD three times too high once its run has been opened."""
    from fedcredit.experiment.decisions import rescoring

    true_scores = rescoring.scores_of

    def wrong(*given: object) -> Scores:
        found = true_scores(*given)  # type: ignore[arg-type]
        high = {
            name: Scored(pd=np.minimum(3.0 * item.pd, 1.0), default=item.default)
            for name, item in found.validation.items()
        }
        return replace(found, validation=high)

    monkeypatch.setattr("fedcredit.experiment.decisions.deciding.scores_of", wrong)


@pytest.mark.usefixtures("tripled")
def test_a_wrong_level_is_refused_with_the_commands_that_mend_it(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = only(study, "no_privacy")
    assert main(["decide", str(folder), "--no-page"]) == 2
    told = capsys.readouterr().err
    assert "Mean PD is" in told
    assert f"fedcredit decide {folder} --own-level\n" in told
    command = shlex.split(next(line for line in told.splitlines() if line.startswith("  fedcredit run")))
    assert command[:3] == ["fedcredit", "run", "experiments=privacy_budgets/no_privacy"]
    again = compose("privacy_budgets/no_privacy", command[3:])
    wanted = experiment_from_data(read_record(folder).experiment)
    assert again.evaluation.charged is not None
    assert again.evaluation.charged.recalibration is not None
    evaluation = again.evaluation.model_copy(update={"charged": wanted.evaluation.charged})
    assert again.model_copy(update={"evaluation": evaluation}) == wanted


@pytest.mark.usefixtures("tripled")
def test_a_wrong_level_is_no_matter_at_the_lenders_own(study: Path) -> None:
    with pytest.raises(WrongLevelError):
        decide(rescored(only(study, "no_privacy")))
    assert decide(rescored(only(study, "no_privacy")), at=LevelAt.OWN).at is LevelAt.OWN


def test_a_charged_correction_is_applied_where_the_run_released_one(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = only(study, "no_privacy")
    assert main(["decide", str(folder), "--charged-level"]) == 2
    assert "evaluation.charged.recalibration.num_bins=8" in capsys.readouterr().err
    assert main(["decide", str(folder), "--charged-level", "--own-level"]) == 2
    assert "give one of them" in capsys.readouterr().err
    opened = rescored(folder)
    scores = scores_of(opened, opened.networks())
    line = Recalibration(slope=0.8, intercept=-0.3)
    shifts = {name: 0.5 if place else None for place, name in enumerate(sorted(scores.test))}
    for charged in (ChargedRecord(noise_multiplier={}, line=line), ChargedRecord(noise_multiplier={}, shifts=shifts)):
        released = replace(opened, record=replace(opened.record, charged=charged))
        read = levelled(released, scores, LevelAt.CHARGED)
        for name, scored in read.test.items():
            logits = logits_of(scores.test[name].pd)
            expected = logits + (shifts[name] or 0.0) if charged.line is None else -0.3 + 0.8 * logits
            assert logits_of(scored.pd) == pytest.approx(expected)
            assert read.shifts[name] == (0.0 if charged.line else shifts[name] or 0.0)
    with pytest.raises(WrongLevelError) as refused:
        decide(released, at=LevelAt.CHARGED)
    assert not refused.value.has_charged
    with_offer = WrongLevelError("wrong", folder=folder, has_charged=True)
    assert f"decide {folder} --charged-level --panel" in str(with_commands(with_offer, panel=True))


def test_decide_prints_json_that_adds_up(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["decide", str(only(study, "no_privacy")), "--own-level", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    lenders = told["lenders"].values()
    assert sum(item["approval"]["approved_amount"] for item in lenders) == pytest.approx(
        told["portfolio"]["approved_amount"]
    )
    assert sum(told["concentration"]["lender"]["tail_share_rate"].values()) == pytest.approx(1.0)


def test_decide_writes_a_page_and_links_it_in_the_report(study: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(only(study, "no_privacy"), folder)
    record = read_record(folder)
    (folder / "report.html").write_text(run_report(record, folder))
    assert "decisions.html" not in (folder / "report.html").read_text()
    before = (folder / "record.json").read_bytes()
    assert main(["decide", str(folder), "--own-level"]) == 0
    page = (folder / "decisions.html").read_text()
    for name in ("decide_profit", "decide_swaps", "decide_losses"):
        assert f'id="figure-{name}"' in page
        assert (folder / "plots" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert (folder / "plots" / f"{name}.svg").is_file()
    assert "http" not in page.replace("http-equiv", "")
    assert '<a href="decisions.html">' in (folder / "report.html").read_text()
    assert (folder / "record.json").read_bytes() == before


def test_decide_without_a_page_leaves_the_folder_as_it_is(study: Path) -> None:
    folder = only(study, "epsilon_1")
    before = sorted(path for path in folder.rglob("*"))
    assert main(["decide", str(folder), "--own-level", "--no-page"]) == 0
    assert sorted(path for path in folder.rglob("*")) == before


@pytest.mark.long
def test_decide_prints_the_months_of_a_market(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["decide", str(only(study, "no_privacy")), "--own-level", "--panel"]) == 0
    told = capsys.readouterr().out
    page = (only(study, "no_privacy") / "decisions.html").read_text()
    for part in (
        "Swap set",
        "Early warning",
        "Limits over",
        "Provisions",
        "Roll rates",
        "Collections",
        "A pool sold",
        "Ring review",
    ):
        assert part in told
        assert part in page
    for name in ("lead", "alarms", "limits", "provisions", "collected", "recovery", "waterfall"):
        assert f'id="figure-decide_{name}"' in page


def test_decide_on_a_folder_of_several_runs_names_one(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["decide", str(study)]) == 2
    assert "name one of them" in capsys.readouterr().err


def test_the_months_watch_held_out_accounts_with_the_scores_of_the_run(study: Path) -> None:
    opened = rescored(only(study, "no_privacy"))
    followed = follow(opened)
    place = 17 - int(followed.months[0])
    watched = followed.account[followed.is_watched[place]]
    seen = scores_of(opened, opened.networks()).test_at_own_level
    accounts = opened.prepared.portfolio.column("account").astype(np.int64)
    expected = {
        int(account): float(pd)
        for institution in opened.prepared.institutions
        for account, pd in zip(accounts[institution.test.rows], seen[institution.name].pd, strict=True)
    }
    assert set(watched.tolist()) == set(expected)
    found = dict(zip(watched.tolist(), followed.pd[place, followed.is_watched[place]].tolist(), strict=True))
    assert found == pytest.approx(expected, rel=1e-5)
    month = provisions(followed, months=[17], lgd_rate=0.75, policy=StagePolicy())[0]
    history = followed.market.history
    lost = [
        float(history.losses.ead[account]) * float(history.losses.lgd[account])
        for account in watched
        if 17 < int(history.default_month[account]) <= 29
    ]
    assert month.realised_amount == pytest.approx(sum(lost))
    assert month.twelve_month_amount < month.replaced_amount < month.down_amount


def test_the_rule_beside_the_alarms_is_the_first_month_in_m1(study: Path) -> None:
    followed = follow(rescored(only(study, "no_privacy")))
    panel, told = followed.market.history.panel, alarms(followed)
    late = (panel.bucket[followed.months][:, followed.account] >= 1) & followed.is_watched
    defaulted = [
        (account, month)
        for account, month in enumerate(followed.market.history.default_month[followed.account].tolist())
        if month < 36
    ]
    early = sum(
        bool(late[:, account].any()) and month - int(followed.months[0]) - int(np.argmax(late[:, account])) >= 3
        for account, month in defaulted
    )
    assert told.by_rule.num_defaults <= len(defaulted)
    assert told.by_rule.early_share_rate == pytest.approx(early / told.by_rule.num_defaults)


def test_months_of_another_view_are_refused(study: Path) -> None:
    opened = rescored(only(study, "no_privacy"))
    portfolio = opened.prepared.experiment.portfolio.model_copy(update={"view": "application"})
    experiment = opened.prepared.experiment.model_copy(update={"portfolio": portfolio})
    with pytest.raises(InputError, match="view=behaviour"):
        follow(replace(opened, prepared=replace(opened.prepared, experiment=experiment)))


@pytest.fixture(scope="module")
def followed(study: Path) -> Followed:
    """The months of the run without privacy."""
    return follow(rescored(only(study, "no_privacy")))


def test_the_rule_is_early_for_every_default_that_it_sees_coming(followed: Followed) -> None:
    """By construction of the market: three missed payments lie between entering M1 and a default."""
    told = alarms(followed)
    assert told.not_reached_rate is not None
    assert told.by_rule.early_share_rate == pytest.approx(1.0 - told.not_reached_rate)
    last = len(followed.months) - 1
    default = followed.market.history.default_month[followed.account].astype(np.int64) - int(followed.months[0])
    opened = np.argmax(followed.is_watched, axis=0)
    in_time = (default - opened >= 3) & (default <= last + 3) & (default > opened)
    late = np.where((followed.bucket >= 1).any(axis=0), np.argmax(followed.bucket >= 1, axis=0), 99)
    assert ((default - late)[in_time] >= 3).all()


def test_ways_of_raising_alarms_are_compared_at_equal_numbers(followed: Followed) -> None:
    told = alarms(followed)
    totals = {name: sum(counts) for name, counts in told.alarms_by_month.items()}
    assert len(set(totals.values())) == 1
    for rates in told.alarmed_before.values():
        assert list(rates) == sorted(rates, reverse=True)


def test_levels_by_bucket_are_right_on_the_loans_they_were_fitted_on(study: Path, followed: Followed) -> None:
    opened = rescored(only(study, "no_privacy"))
    shifts = scores_of(opened, opened.networks()).shifts
    found = bucket_shifts(opened, followed.market, shifts)
    assert any(own[0] != 0.0 for own in found.values())
    table = opened.prepared.portfolio
    bucket = followed.market.history.panel.bucket[
        table.column("snapshot_month").astype(np.int64), table.column("account").astype(np.int64)
    ]
    for institution in opened.prepared.institutions:
        parts = (institution.train, institution.validation)
        network = opened.prepared.network
        pd = np.concatenate([predict_pd(opened.prepared, network, opened.parameters, p.features) for p in parts])
        default = np.concatenate([part.default for part in parts])
        where = bucket[np.concatenate([part.rows for part in parts])]
        for state, shift in enumerate(found[institution.name].tolist()):
            if shift:
                own = where == state
                moved = shift_logits(pd[own], shift + shifts[institution.name])
                assert moved.mean() == pytest.approx(default[own].mean(), rel=1e-6)


def test_gaps_between_groups_are_those_of_their_good_loans(study: Path) -> None:
    opened = rescored(only(study, "no_privacy"))
    test, names = scores_of(opened, opened.networks()).test_at_own_level, sorted(opened.networks())
    found = fairness_figures(opened, test, names, terms=Terms(margin_rate=0.01))
    table, shares = opened.prepared.portfolio, {}
    ages = table.column("age").astype(float)
    for institution in opened.prepared.institutions:
        for row, pd, bad in zip(
            institution.test.rows.tolist(), test[institution.name].pd, test[institution.name].default, strict=True
        ):
            if not bad:
                shares.setdefault(int(np.searchsorted([25, 35, 45], ages[row], side="right")), []).append(pd < 1 / 76)
    rates = [np.mean(flags) for flags in shares.values() if len(flags) >= 30]
    assert found["opportunity_gap.age"] == pytest.approx(max(rates) - min(rates))
    assert set(found) == {"opportunity_gap.age", "opportunity_gap.city_tier"}


def test_limits_that_may_not_move_earn_what_static_ones_do(followed: Followed) -> None:
    still = LimitPolicy(least_change_rate=1.0, cut_rate=1.0, months_between_raises=10**6)
    found = limits_over_months(followed, terms=Terms(), policy=still)
    assert found.dynamic.num_cuts == found.static.num_cuts == found.static.num_raises == 0
    assert found.dynamic.loss_amount >= found.static.loss_amount
    market, rows = followed.market, followed.account
    usual = limits_over_months(followed, terms=Terms())
    assert usual.dynamic.num_cuts > 0
    assert usual.dynamic.loss_amount < usual.static.loss_amount
    lost, first = 0.0, int(followed.months[0])
    income = application_columns(market)["income_band"][rows].astype(np.float64)
    for place, account in enumerate(rows.tolist()):
        opened = int(np.argmax(followed.is_watched[:, place]))
        month = int(market.history.default_month[account]) - first
        if opened <= month < len(followed.months):
            limit = limit_amounts(
                pd=[followed.pd[opened, place]], lgd=[0.75], income_amount=incomes_of(income[[place]]),
                other_debt_service_amount=[0.0], policy=LimitPolicy(),
            )[0]  # fmt: skip
            lost += limit * float(market.accounts.use[account]) * float(market.history.losses.lgd[account])
    assert usual.static.loss_amount == pytest.approx(lost)


def test_cash_is_all_that_was_promised_and_all_that_came(followed: Followed) -> None:
    found, history, rows = cash_of(followed), followed.market.history, followed.account
    assert found.collected_amount == pytest.approx(float(history.panel.paid[:, rows].sum(dtype=np.float64)))
    assert 0.9 < found.collected_amount / found.promised_amount < 1.0
    for rates in found.roll_rate.values():
        assert sum(rate for rate in rates if rate is not None) == pytest.approx(1.0)


def test_a_sold_pool_pays_what_its_accounts_paid_on_the_plans_that_were_sold(followed: Followed) -> None:
    """No money is made: flows and what is left add up to the pool, and each month's cash is shared out whole."""
    found = sell_pool(followed, month=17)
    flows = found.flows
    gone = sum(flows.principal_amount) + sum(flows.default_amount)
    assert 0.95 * found.pool_amount < gone <= found.pool_amount * (1.0 + 1e-6)
    paid = found.paid[AS_IT_WENT]
    sold = sum(sum(amounts) for amounts in paid.principal_amount.values())
    assert sold + sum(paid.loss_amount.values()) == pytest.approx(found.pool_amount)
    assert sum(found.paid[STRESSED].loss_amount.values()) >= sum(paid.loss_amount.values()) - 1e-6


def test_reject_inference_is_judged_where_the_truth_is_known(tmp_path: Path, credit_data: Path) -> None:
    run(compose(None, [*GERMAN, f"results_dir={tmp_path}"]), report=False)
    opened = rescored(record_folders([tmp_path])[0])
    found = reject_study(opened, accepted_rate=0.6)
    assert found == reject_study(opened, accepted_rate=0.6)
    assert found.bad_rate_accepted < found.bad_rate_refused
    assert found.accepted_rate == pytest.approx(0.6, abs=0.06)
    counts = {name: item.num_loans for name, item in found.found.items()}
    assert counts[ACCEPTED] == counts[REWEIGHTED] == counts[FUZZY] < counts[SLICE] < counts[EVERYBODY]
    assert found.found[EVERYBODY].level_of_refused == pytest.approx(1.0, abs=0.25)
    assert not found.is_true


@pytest.mark.parametrize("rate", ["0", "1", "-0.2", "nan"])
def test_a_past_approval_rate_that_cannot_be_is_one_message(
    study: Path, rate: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["decide", str(only(study, "no_privacy")), "--past-approval", rate]) == 2
    told = capsys.readouterr().err
    assert "past approval rate" in told
    assert "Traceback" not in told

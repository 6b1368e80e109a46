"""Every shipped study says what it asks and what it gives, and one arm of each gives it here."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedcredit.config import compose
from fedcredit.config.files import conf_folder, experiment_names, experiment_roots
from fedcredit.experiment.differences import DIFFERENT
from fedcredit.experiment.expectations import judge
from fedcredit.experiment.runner import run
from fedcredit.experiment.studies import EXPECTED_FILE, STUDY_FILE, ExpectedFile, Study, open_study

pytestmark = pytest.mark.usefixtures("credit_data")

FOLDER = conf_folder().parent / "experiments"
STUDIES = sorted(path.parent.name for path in FOLDER.glob(f"*/{STUDY_FILE}"))
JUDGED = sorted(path.parent.name for path in FOLDER.glob(f"*/{EXPECTED_FILE}"))
# One arm of each that takes seconds; every arm is judged by fedcredit reproduce <study>.
QUICK = {
    "clipping": "norm_1_0",
    "fraud_rings": "default_12m",
    "label_skew": "concentration_0_5",
    "local_steps": "steps_20",
    "many_lenders": "lenders_3",
    "own_level": "borrowers_60k",
    "pool_sale": "epsilon_1",
    "price_of_privacy": "epsilon_1",
    "privacy_budgets": "epsilon_1",
    "rare_defaults": "prior_right",
    "real_tables": "sba",
    "server_rules": "fedavgm",
    "shock": "calm",
    "shock_and_reserves": "calm",
    "taiwan_budgets": "epsilon_1",
    "unequal_lenders": "by_noise",
    "units": "loan",
}


def _study(name: str) -> Study:
    return open_study(name, names=experiment_names(), folders=experiment_roots())


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_has_a_question_a_readme_and_arms(name: str) -> None:
    study = _study(name)
    assert study.told.question.endswith("?")
    assert len(study.arms) >= 2
    assert study.told.reference is None or f"{name}/{study.told.reference}" in study.arms
    readme = (study.folder / "README.md").read_text(encoding="utf-8")
    assert "**Question.**" in readme
    assert all(arm.partition("/")[2] in readme for arm in study.arms)


def test_at_least_ten_studies_are_shipped() -> None:
    assert len(STUDIES) >= 10
    assert set(QUICK) == set(JUDGED)


@pytest.mark.parametrize("name", JUDGED)
def test_one_arm_gives_what_is_expected(name: str, tmp_path: Path) -> None:
    expected, arm = _study(name).expected(), QUICK[name]
    records = [
        run(
            compose(f"{name}/{arm}", [f"seed={seed}", f"split_seed={seed}", f"results_dir={tmp_path}"]),
            progress=False,
            report=False,
        )
        for seed in expected.seeds
    ]
    figures = tuple(figure for figure in expected.figures if figure.arm == arm)
    judged = judge(ExpectedFile(seeds=expected.seeds, figures=figures), records)
    assert len(judged) >= 3
    assert [item for item in judged if item.verdict == DIFFERENT] == []

"""Every word of the vocabulary and every sentence made of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from fedcredit.config import compose, config_groups, experiment_names, json_schema
from fedcredit.experiment.remarks import remarks
from fedcredit.experiment.spec import Experiment

OPTIONS = [(group, option) for group, options in config_groups().items() for option in options]
NEEDED = {
    ("portfolio", "csv"): ["portfolio.path=loans.csv", "portfolio.schema_file=loans.yaml"],
    ("portfolio", "parquet"): ["portfolio.path=loans.parquet", "portfolio.schema_file=loans.yaml"],
    ("strategy/cohort", "poisson"): ["privacy=institution_level"],
    ("privacy", "secure_sum"): ["strategy.quorum=1"],
    ("partition", "natural"): ["partition.column=Bank"],
    ("partition", "bands"): ["partition.column=LIMIT_BAL"],
    ("split", "out_of_time"): ["split.train=[6,8]", "split.test={later:[20,23]}"],
}
STUDIES = Path(__file__).parents[2] / "experiments"


def unset(part: BaseModel, path: str = "") -> Iterator[str]:
    for name in type(part).model_fields:
        if name not in part.model_fields_set:
            yield path + name
        value = getattr(part, name)
        if isinstance(value, BaseModel):
            yield from unset(value, f"{path}{name}.")


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_every_option_composes_and_says_every_key_of_its_part(group: str, option: str) -> None:
    experiment = compose(None, [f"{group}={option}", *NEEDED.get((group, option), [])])
    assert list(unset(experiment)) == []


@pytest.mark.parametrize("name", experiment_names())
def test_every_experiment_composes_under_its_own_name(name: str) -> None:
    experiment = compose(name)
    assert experiment.name == name
    assert all(remark.endswith(".") for remark in remarks(experiment))


@pytest.mark.parametrize("name", experiment_names())
def test_every_experiment_survives_its_own_json(name: str) -> None:
    experiment = compose(name)
    assert Experiment.model_validate_json(experiment.model_dump_json()) == experiment


@pytest.mark.parametrize("study", sorted({name.split("/")[0] for name in experiment_names()}))
def test_every_study_has_a_readme_that_names_its_arms(study: str) -> None:
    text = (STUDIES / study / "README.md").read_text(encoding="utf-8")
    for name in experiment_names():
        if name.startswith(f"{study}/"):
            assert name.split("/")[1] in text


def test_the_default_recipe_is_the_one_that_works_under_privacy() -> None:
    experiment = compose("taiwan/loan_level")
    assert experiment == Experiment.model_validate(
        {
            "name": "taiwan/loan_level",
            "portfolio": {"kind": "table", "table": "taiwan"},
            "partition": {"kind": "dirichlet"},
            "privacy": {"target_epsilon": 1.0},
        }
    )
    assert remarks(experiment) == ()


def test_the_default_is_the_simulated_market_with_the_same_recipe() -> None:
    experiment, recipe = compose(), compose("taiwan/loan_level")
    assert experiment == Experiment.model_validate(
        {
            "portfolio": {"kind": "market"},
            "partition": {"kind": "natural", "column": "lender"},
            "network": {"hidden": (), "prior_bad_rate": 0.022},
            "privacy": {"target_epsilon": 1.0},
        }
    )
    assert (experiment.training, experiment.strategy, experiment.privacy) == (
        recipe.training, recipe.strategy, recipe.privacy
    )  # fmt: skip
    assert remarks(experiment) == ()


@pytest.mark.parametrize("study", ["privacy_budgets", "taiwan_budgets"])
def test_the_budgets_differ_in_their_target_alone(study: str) -> None:
    arms = {name: compose(name) for name in experiment_names() if name.startswith(f"{study}/epsilon")}
    targets = sorted(str(arm.privacy.target_epsilon) for arm in arms.values())
    assert targets == ["0.5", "1.0", "2.0", "4.0", "8.0"]
    fixed = {
        arm.model_copy(update={"name": "a/b", "privacy": arm.privacy.model_copy(update={"target_epsilon": 1.0})})
        .model_dump_json()
        for arm in arms.values()
    }  # fmt: skip
    assert len(fixed) == 1


def test_the_json_schema_closes_every_part() -> None:
    schema = json.loads(json.dumps(json_schema()))
    assert schema["additionalProperties"] is False
    assert all(part.get("additionalProperties") is False for part in schema["$defs"].values() if "properties" in part)

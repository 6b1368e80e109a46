from __future__ import annotations

import itertools
import operator
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Never

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from joblib import cpu_count

from fedcredit.config import compose, conf_folder, config_groups, experiment_names, hydra_main
from fedcredit.config.sweeps import Launcher
from fedcredit.errors import InputError
from fedcredit.experiment.spec import Experiment

# What is typed, the full key path that the message names, and the nearest valid key or the rule.
MALFORMED = [
    ("training.num_round=3", "training.num_round:", "training.num_rounds"),
    ("rounds=3", "rounds:", "training.num_rounds"),
    ("num_rounds=3", "num_rounds:", "training.num_rounds"),
    ("sead=3", "sead:", "seed"),
    ("privacy.target_epsilo=3", "privacy.target_epsilo:", "privacy.target_epsilon"),
    ("privacy.epsilon=3", "privacy.epsilon:", "privacy.target_epsilon"),
    ("privacy.delta=1e-5", "privacy.delta:", "privacy.target_delta"),
    ("dp.delta=1", "dp:", "nearest valid key"),
    ("+dp.delta=1", "dp:", "nearest valid key"),
    ("training.local.num_epochs=2", "training.local.num_epochs:", "training.local.num_steps"),
    ("strategy.server_optimiser.lr=.1", "server_optimiser.lr:", "strategy.server_optimiser.learning_rate"),
    ("strategy.server_optimiser.learning_rat=.1", "learning_rat:", "strategy.server_optimiser.learning_rate"),
    ("partition.alpha=1", "partition.alpha:", "valid here"),
    ("network.hiden=[8]", "network.hiden:", "network.hidden"),
    ("trainer.kinds=reference", "trainer.kinds:", "trainer.kind"),
    ("runtime.workers=3", "runtime.workers:", "runtime"),
    ("seed=-1", "seed is -1", "greater than or equal to 0"),
    ("seed=1.5", "seed is 1.5", "integer"),
    ("seed=one", "seed is 'one'", "integer"),
    ("seed=true", "seed is True", "integer"),
    ("seed=null", "seed is null", "integer"),
    ("training.num_rounds=0", "training.num_rounds is 0", "greater than or equal to 1"),
    ("training.num_rounds=1e3", "training.num_rounds is 1000.0", "integer"),
    ("training.local.sampling_probability=0", "training.local.sampling_probability is 0", "greater than 0"),
    ("training.local.sampling_probability=1.2", "sampling_probability is 1.2", "less than or equal to 1"),
    ("privacy.clipping_norm=-1", "privacy.clipping_norm is -1", "greater than or equal to 0.000001"),
    ("privacy.clipping_norm=inf", "privacy.clipping_norm is inf", "finite"),
    ("privacy.target_epsilon=0", "privacy.target_epsilon is 0", "greater than 0"),
    ("privacy.target_epsilon=nan", "privacy.target_epsilon is nan", "greater than 0"),
    ("privacy.target_epsilon=null", "privacy:", "exactly one of target_epsilon and noise_multiplier"),
    ("privacy.noise_multiplier=1.1", "privacy:", "exactly one of target_epsilon and noise_multiplier"),
    ("privacy.target_delta=1", "privacy.target_delta is 1", "less than 1"),
    ("privacy.privacy_unit=bank", "privacy.privacy_unit is 'bank'", "'loan'"),
    ("network.hidden=16", "network.hidden is 16", "array"),
    ("network.hidden=[16,0]", "network.hidden[1] is 0", "greater than or equal to 1"),
    ("network.activation=relu6", "network.activation is 'relu6'", "'relu', 'tanh' or 'gelu'"),
    ("network.prior_bad_rate=1", "network.prior_bad_rate is 1", "less than 1"),
    ("strategy.averaging_decay=1", "strategy.averaging_decay is 1", "less than 1"),
    ("evaluation.references=[none]", "evaluation.references[0] is 'none'", "'alone'"),
    ("evaluation.confidence=0.5", "evaluation.confidence is 0.5", "greater than 0.5"),
    ("name=../../etc/passwd", "name is '../../etc/passwd'", "pattern"),
    ("mode=live", "mode is 'live'", "'simulated' or 'deployed'"),
    ("portfolio=csv", "portfolio.path: missing", "portfolio.path="),
    ("partition=natural", "partition.column: missing", "partition.column="),
    ("partition.kind=bands", "partition.column: missing", "partition.column="),
    ("strategy.kind=flower", "strategy/flower", "flower_fedavg"),
    ("trainer.device=tpu", "trainer.device is 'tpu'", "'cuda'"),
    ("trainer={kind: reference, device: cuda}", "trainer.device is 'cuda'", "trainer.kind=vectorised"),
    ("runtime=spark", "runtime/spark", "inline, ray"),
    ("seed=${split_sed}", "split_sed", "not found"),
    ("+seed=3", "seed", "++seed=3"),
    ("network={hiden: [8]}", "network.hiden:", "network.hidden"),
    ("portfolio.table=mortgages", "portfolio.table is 'mortgages'", "'taiwan'"),
]


@pytest.mark.parametrize(("override", "path", "help_given"), MALFORMED, ids=[case[0] for case in MALFORMED])
def test_a_malformed_config_is_one_message_with_path_and_remedy(override: str, path: str, help_given: str) -> None:
    with pytest.raises(InputError) as caught:
        compose("taiwan/loan_level", [override])
    assert path in str(caught.value)
    assert help_given in str(caught.value)


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(InputError) as caught:
        compose(None, ["portfolio=csv", "training.num_rounds=0", "seed=-1", "privacy.clip=1", "network.hidden=[0,0]"])
    told = str(caught.value)
    assert told.startswith("7 mistakes")
    for path in ("portfolio.path", "portfolio.schema_file", "training.num_rounds", "seed", "privacy.clip", "hidden[1]"):
        assert path in told


def test_a_long_value_is_cut() -> None:
    with pytest.raises(InputError) as caught:
        compose(None, [f"mode={'x' * 5000}"])
    assert len(str(caught.value)) < 300


def test_overrides_reach_the_experiment() -> None:
    typed = ["seed=7", "network.hidden=[32,16]", "privacy.target_epsilon=.5", "++training.num_rounds=3"]
    experiment = compose("taiwan/loan_level", typed)
    assert (experiment.name, experiment.seed, experiment.network.hidden) == ("taiwan/loan_level", 7, (32, 16))
    assert (experiment.privacy.target_epsilon, experiment.training.num_rounds) == (0.5, 3)


def test_the_experiment_file_wins_over_the_defaults_and_the_caller_over_the_file() -> None:
    assert compose().training.num_rounds == 100
    assert compose("privacy_budgets/no_privacy").training.num_rounds == 200
    assert compose("taiwan_budgets/no_privacy").training.num_rounds == 400
    assert compose("privacy_budgets/no_privacy", ["training.num_rounds=5"]).training.num_rounds == 5


def test_infinite_epsilon_is_one_key() -> None:
    assert not compose(None, ["privacy.target_epsilon=inf"]).privacy.is_private


@pytest.mark.parametrize(
    ("override", "path", "kind"),
    [
        ("training.local.kind=epochs", "training.local", "epochs"),
        ("training.optimiser.kind=adam", "training.optimiser", "adam"),
        ("strategy.server_optimiser.kind=sgd", "strategy.server_optimiser", "sgd"),
        ("strategy.server_optimiser.kind=yogi", "strategy.server_optimiser", "yogi"),
        ("strategy.aggregator.kind=trimmed_mean", "strategy.aggregator", "trimmed_mean"),
        ("strategy.cohort.kind=fraction", "strategy.cohort", "fraction"),
        ("partition.kind=iid", "partition", "iid"),
        ("runtime.kind=ray", "runtime", "ray"),
        ("trainer.kind=reference", "trainer", "reference"),
        ("strategy/server_optimiser=yogi", "strategy.server_optimiser", "yogi"),
    ],
)
def test_a_kind_can_be_switched_by_name(override: str, path: str, kind: str) -> None:
    assert operator.attrgetter(f"{path}.kind")(compose("taiwan/loan_level", [override])) == kind


def test_composing_leaves_no_hydra_behind() -> None:
    compose()
    assert not GlobalHydra.instance().is_initialized()


# hydra_main: one run, sweeps, displays


def refused(*given: object) -> Never:
    raise AssertionError(f"called with {given}")


def experiments_of(arguments: Sequence[str]) -> tuple[Experiment, ...]:
    found = hydra_main(["-m", *arguments], job=refused, sweep=lambda experiments, launcher: tuple(experiments))
    assert found is not None
    return found


def test_a_run_calls_its_job_once_with_the_checked_experiment(tmp_path: Path) -> None:
    arguments = ["experiment=taiwan/loan_level", "seed=3", f"results_dir={tmp_path}"]
    seen: list[Experiment] = []
    assert hydra_main(arguments, job=seen.append, sweep=refused) is None
    assert seen == [compose("taiwan/loan_level", ["seed=3", f"results_dir={tmp_path}"])]


def test_a_sweep_goes_through_no_privacy_in_one_key() -> None:
    arms = experiments_of(["experiments=taiwan/loan_level", "privacy.target_epsilon=inf,8,4,2,1,.5"])
    assert [arm.privacy.target_epsilon for arm in arms] == [float("inf"), 8.0, 4.0, 2.0, 1.0, 0.5]


def test_a_sweep_over_a_study_has_an_arm_for_each_file() -> None:
    names = tuple(arm.name for arm in experiments_of(["experiments=privacy_budgets/*"]))
    assert names == tuple(name for name in experiment_names() if name.startswith("privacy_budgets/"))


def test_arms_composed_together_are_what_each_is_alone() -> None:
    swept = {
        "experiments": ["privacy_budgets/epsilon_2", "privacy_budgets/no_privacy", "taiwan/stock_recipe"],
        "strategy": ["fedadam", "fedyogi"],
        "network": ["{hidden: [3]}", "relu64_32"],
        "seed": ["1", "5"],
    }
    common = ["split_seed=${seed}", "training.local.kind=epochs", "results_dir=out/${hydra.job.name}"]
    arms = experiments_of([f"{key}={','.join(values)}" for key, values in swept.items()] + common)
    alone = [
        compose(None, [f"{key}={value}" for key, value in zip(swept, values, strict=True)] + common)
        for values in itertools.product(*swept.values())
    ]
    assert list(arms) == alone
    assert len(arms) == 24
    assert {arm.results_dir for arm in arms} == {"out/fedcredit"}


def test_a_file_that_extends_another_keeps_its_meaning_in_a_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, GOOD)
    write(tmp_path, "defaults: [arm, _self_]\nseed: 6\n", "study/child")
    arms = experiments_of(["experiments=study/*", "split_seed=7,8"])
    assert [(arm.name, arm.seed, arm.split_seed) for arm in arms] == [
        ("study/arm", 5, 7), ("study/arm", 5, 8), ("study/child", 6, 7), ("study/child", 6, 8),
    ]  # fmt: skip


def test_every_arm_of_a_sweep_is_checked_before_the_first_one_runs() -> None:
    with pytest.raises(InputError, match=r"training\.num_rounds is 0"):
        hydra_main(["-m", "training.num_rounds=1,2,0"], job=refused, sweep=refused)


def test_a_sweeper_that_is_not_known_is_refused() -> None:
    with pytest.raises(InputError, match="hydra/sweeper"):
        experiments_of(["seed=1,2", "hydra.sweeper._target_=somebody.Else"])


@pytest.mark.parametrize(
    ("typed", "workers"),
    [
        ([], min(3, cpu_count())),
        (["hydra.launcher.n_jobs=1"], 1),
        (["hydra.launcher.n_jobs=2"], 2),
        (["hydra.launcher.n_jobs=64"], 3),
        (["hydra/launcher=basic"], 1),
    ],
)
def test_a_sweep_has_as_many_workers_as_cores_or_arms_unless_told(typed: list[str], workers: int) -> None:
    found = hydra_main(["-m", "seed=1,2,3", *typed], job=refused, sweep=lambda _, launcher: launcher.num_workers)
    assert found == workers


def test_workers_are_called_with_the_number_of_their_arm_and_leave_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    called: list[int] = []

    def sweep(experiments: Sequence[Experiment], launcher: Launcher) -> None:
        launcher.launch(called.append, [2, 0], folder=tmp_path)

    hydra_main(["-m", "seed=1,2,3", "hydra/launcher=basic"], job=refused, sweep=sweep)
    assert called == [2, 0]
    assert list(tmp_path.iterdir()) == []


def test_a_job_that_fails_raises_its_own_error_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ZeroDivisionError):
        hydra_main([f"results_dir={tmp_path}"], job=lambda given: 1 // 0, sweep=refused)
    assert capsys.readouterr().err == ""


def test_a_run_leaves_no_folder_of_hydra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    hydra_main([], job=operator.attrgetter("name"), sweep=refused)
    assert list(tmp_path.iterdir()) == []


# experiment files of one's own, and of strangers


def write(folder: Path, text: str, name: str = "study/arm") -> str:
    path = folder / "experiments" / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return name


GOOD = """# @package _global_
defaults:
  - override /privacy: none
  - override /strategy/server_optimiser: yogi
  - _self_
seed: 5
split_seed: ${seed}
privacy: {target_delta: 1e-5}
"""


def test_an_experiment_file_of_ones_own(tmp_path: Path) -> None:
    experiment = compose(write(tmp_path, GOOD), folder=tmp_path)
    assert (experiment.name, experiment.seed, experiment.split_seed) == ("study/arm", 5, 5)
    assert (experiment.privacy.target_delta, experiment.privacy.is_private) == (1e-5, False)


def test_the_experiments_of_the_current_folder_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert compose(write(tmp_path, GOOD)).seed == 5


def test_an_arm_may_extend_another(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    experiment = compose(write(tmp_path, "defaults: [arm, _self_]\nseed: 6\n", "study/child"), folder=tmp_path)
    assert (experiment.name, experiment.seed, experiment.privacy.is_private) == ("study/child", 6, False)


def test_a_file_that_differs_from_one_of_the_same_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="differ"):
        compose(write(tmp_path, GOOD, "taiwan/loan_level"), folder=tmp_path)


def test_a_refused_file_does_not_stand_in_the_way_of_others(tmp_path: Path) -> None:
    write(tmp_path, "hydra: {}\n", "study/evil")
    assert compose(write(tmp_path, GOOD), folder=tmp_path).seed == 5


RUN_CODE = "{_target_: os.mkdir, path: SENTINEL}"
HOSTILE = {
    "callback": f"hydra: {{callbacks: {{x: {RUN_CODE}}}}}",
    "hydra node": "hydra: {run: {dir: SENTINEL}}",
    "dotted hydra node": f"hydra.callbacks: {{x: {RUN_CODE}}}",
    "packaged hydra node": f"hydra@_global_: {{callbacks: {{x: {RUN_CODE}}}}}",
    "package header": f"# @package hydra.callbacks\nx: {RUN_CODE}",
    "second package header": f"# @package _global_\n# @package hydra\ncallbacks: {{x: {RUN_CODE}}}",
    "search path": "hydra: {searchpath: ['file:///tmp']}",
    "hydra default": "defaults: [/hydra/launcher: joblib]",
    "hydra override": "defaults: [override /hydra/launcher: joblib]",
    "hydra override to a package": "defaults: [{'override /hydra/callbacks@hydra.callbacks': x}]",
    "default in a package": "defaults: [{'/privacy@hydra.callbacks': none}]",
    "relative default": "defaults: [{'../privacy': none}]",
    "path in a default": "defaults: [../../secret]",
    "absolute default": "defaults: [/etc/passwd]",
    "optional default": "defaults: [optional study/other]",
    "option that is a path": "defaults: [{override /privacy: ../../secret}]",
    "option from the environment": "defaults: [{override /privacy: '${oc.env:HOME}'}]",
    "option list": "defaults: [{override /privacy: [none, loan_level]}]",
    "unknown group": "defaults: [{override /secrets: none}]",
    "two keys in a default": "defaults: [{override /privacy: none, override /network: tanh16}]",
    "nested defaults": "privacy: {defaults: [/hydra/launcher: joblib]}",
    "defaults as mapping": "defaults: {hydra/launcher: joblib}",
    "target": f"network: {RUN_CODE}",
    "target deep inside": f"strategy: {{options: [{{a: {RUN_CODE}}}]}}",
    "target alone": "_target_: os.mkdir",
    "private key": "network: {_convert_: all}",
    "environment": "results_dir: ${oc.env:HOME}",
    "environment inside a text": "results_dir: a/${oc.env:HOME}/b",
    "environment as a key": "'${oc.env:HOME}': 1",
    "decoded environment": "seed: '${oc.decode:${oc.env:SEED}}'",
    "nested interpolation": "results_dir: '${${name}}'",
    "hydra resolver": "results_dir: ${hydra:runtime.cwd}",
    "created config": "network: '${oc.create:{hidden: [8]}}'",
    "escaped interpolation": "results_dir: '\\${oc.env:HOME}'",
    "python object": "seed: !!python/object/apply:os.mkdir [SENTINEL]",
    "python name": "seed: !!python/name:os.mkdir",
    "local tag": "seed: !mkdir SENTINEL",
    "billion laughs": "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]",
    "merge key": "a: &a {x: 1}\nb: {<<: *a}",
    "two documents": "seed: 1\n---\nhydra: {}",
    "deep nesting": "seed: " + "[" * 400 + "]" * 400,
    "huge file": "# " + "x" * 70_000,
    "many keys": "\n".join(f"k{i}: {i}" for i in range(6000)),
    "kind": "strategy: {server_optimiser: {kind: sgd}}",
    "own name": "name: other/run",
    "self not last": "defaults: [_self_, arm2]",
    "duplicate key": "seed: 1\nseed: 2",
    "a list": "[1, 2]",
    "a text": "hello",
    "empty": "",
    "tab": "seed:\t\t1\n\tx: 2",
    "unknown key": "sead: 1",
    "control character": "seed: \x00",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_experiment_file_is_refused_and_runs_nothing(text: str, tmp_path: Path) -> None:
    sentinel = tmp_path / "sentinel"
    name = write(tmp_path, text.replace("SENTINEL", str(sentinel)))
    with pytest.raises(InputError) as caught:
        compose(name, folder=tmp_path)
    assert "there is no such experiment" not in str(caught.value)
    assert "sead: unknown key" in str(caught.value) or f"{name}.yaml" in str(caught.value)
    assert len(str(caught.value)) < 1500
    assert not sentinel.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["experiments"]


@pytest.mark.parametrize(
    "name", ["../secret/arm", "/etc/passwd", "study/../../arm", "study", "a/b/c", "study/.hidden", ""]
)
def test_a_name_cannot_leave_the_experiments_folder(name: str, tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "arm.yaml").write_text("seed: 3\n", encoding="utf-8")
    (tmp_path / "experiments").mkdir()
    with pytest.raises(InputError):
        compose(name, folder=tmp_path)


def test_a_hostile_file_runs_nothing_in_a_sweep_or_a_display(tmp_path: Path) -> None:
    name = write(tmp_path, HOSTILE["callback"].replace("SENTINEL", str(tmp_path / "sentinel")))
    for flags in (["-m"], ["--cfg", "all"], ["--cfg", "hydra"], ["--cfg", "job", "--resolve"], ["--info", "all"]):
        with pytest.raises(InputError, match=r"arm\.yaml"):
            hydra_main([*flags, "--config-dir", str(tmp_path), f"experiments={name}"], job=refused, sweep=refused)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["experiments"]


def test_the_callback_would_run_if_hydra_read_the_file_itself(tmp_path: Path) -> None:
    sentinel = tmp_path / "sentinel"
    (tmp_path / "raw").mkdir()
    text = "# @package _global_\n" + HOSTILE["callback"].replace("SENTINEL", str(sentinel))
    (tmp_path / "raw" / "file.yaml").write_text(text, encoding="utf-8")
    (tmp_path / "root.yaml").write_text("defaults: [{raw: file}]\n", encoding="utf-8")
    with initialize_config_dir(str(tmp_path), version_base="1.3"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        hydra.run("root", lambda config: None, [f"hydra.run.dir={tmp_path}", "hydra.output_subdir=null"])
    assert sentinel.exists()


def test_groups_are_those_of_the_conf_folder() -> None:
    assert {"portfolio", "strategy/cohort", "training/local"} <= set(config_groups())
    assert (conf_folder() / "config.yaml").is_file()


@pytest.mark.parametrize("override", ["=1", "+=1", "~"])
def test_an_override_without_a_key_is_told_as_one(override: str) -> None:
    with pytest.raises(InputError, match="names no key"):
        compose("taiwan/loan_level", [override])

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pytest

from fedcredit.errors import InputError
from fedcredit.experiment.arms import arm_labels
from fedcredit.experiment.record import RunRecord
from fedcredit.experiment.repeats import mean_over_splits, paired_gap, repeats_table, study_tables

MakeRecord = Callable[..., RunRecord]


def _repeat(record: RunRecord, *, split: int, auc: float, name: str | None = None, epsilon: float = 1.0) -> RunRecord:
    experiment = {**record.experiment, "split_seed": split, "seed": split}
    experiment["privacy"] = {**experiment["privacy"], "target_epsilon": epsilon}  # type: ignore[dict-item]
    overall = dataclasses.replace(record.evaluation.overall, auc=auc)
    return dataclasses.replace(
        record,
        name=name or record.name,
        fingerprint=f"{split}{epsilon}{name}".ljust(64, "0"),
        experiment=experiment,
        evaluation=dataclasses.replace(record.evaluation, overall=overall),
    )


def test_the_mean_and_its_standard_error() -> None:
    values = [0.70, 0.72, 0.77]
    found = mean_over_splits(values)
    assert found is not None
    assert math.isclose(found.value, sum(values) / 3)
    assert found.standard_error is not None
    assert math.isclose(found.standard_error, float(np.std(values, ddof=1)) / math.sqrt(3))


def test_one_split_has_no_standard_error_and_none_has_no_mean() -> None:
    one = mean_over_splits([0.7])
    assert one is not None
    assert one.standard_error is None
    assert mean_over_splits([]) is None


def test_gaps_are_paired_by_split_and_leave_out_splits_that_one_side_lacks(made_up: MakeRecord) -> None:
    record = made_up()
    ours = {(s, s): _repeat(record, split=s, auc=0.7 + 0.05 * s) for s in (1, 2, 3)}
    theirs = {(s, s): _repeat(record, split=s, auc=0.69 + 0.05 * s) for s in (2, 3, 4)}
    gap = paired_gap(ours, theirs, lambda r: r.evaluation.overall.auc, lambda r: r.evaluation.overall.auc)
    assert gap is not None
    assert gap.num_splits == 2
    assert math.isclose(gap.value, 0.01)
    assert gap.standard_error is not None
    assert gap.standard_error < 1e-12


def test_runs_that_differ_in_seeds_alone_are_one_arm(made_up: MakeRecord) -> None:
    record = made_up()
    labels = arm_labels([_repeat(record, split=s, auc=0.7) for s in (1, 2)])
    assert labels == [record.name, record.name]


def test_runs_of_one_name_that_differ_in_more_are_told_apart_by_what_differs(made_up: MakeRecord) -> None:
    record = made_up()
    runs = [_repeat(record, split=s, auc=0.7, epsilon=e) for s in (1, 2) for e in (1.0, 2.0)]
    assert arm_labels(runs)[:2] == [
        f"{record.name} privacy.target_epsilon=1.0",
        f"{record.name} privacy.target_epsilon=2.0",
    ]
    assert [row[1] for row in repeats_table(runs).rows] == ["2", "2"]


def test_a_single_split_is_shown_run_by_run(made_up: MakeRecord) -> None:
    record = made_up()
    assert len(study_tables([_repeat(record, split=1, auc=0.7)])) == 1
    assert len(study_tables([_repeat(record, split=s, auc=0.7) for s in (1, 2)])) == 2


def test_an_arm_that_is_not_there_is_refused_by_name(made_up: MakeRecord) -> None:
    record = made_up()
    with pytest.raises(InputError, match="against is 'a/b'"):
        repeats_table([_repeat(record, split=1, auc=0.7)], against="a/b")

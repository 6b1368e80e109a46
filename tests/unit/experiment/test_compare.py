from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from scipy import stats

from fedcredit.errors import InputError
from fedcredit.experiment.compare import Comparison, compare
from fedcredit.experiment.compare_view import comparison_csv, comparison_latex, comparison_table
from fedcredit.experiment.record import RunRecord

MakeRecord = Callable[..., RunRecord]
AUC = "evaluation.overall.auc"
SERIES = {8.0: [0.80, 0.82, 0.81, 0.79], 2.0: [0.78, 0.79, 0.80, 0.77], 1.0: [0.70, 0.75, 0.72, 0.71]}


def _run(record: RunRecord, *, split: int, auc: float, epsilon: float) -> RunRecord:
    experiment = {**record.experiment, "split_seed": split, "seed": split}
    experiment["privacy"] = {**experiment["privacy"], "target_epsilon": epsilon}  # type: ignore[dict-item]
    overall = dataclasses.replace(record.evaluation.overall, auc=auc)
    return dataclasses.replace(
        record,
        fingerprint=f"{split}{epsilon}".ljust(64, "0"),
        experiment=experiment,
        evaluation=dataclasses.replace(record.evaluation, overall=overall),
    )


def _runs(record: RunRecord) -> list[RunRecord]:
    return [
        _run(record, split=split, auc=auc, epsilon=epsilon)
        for epsilon, values in SERIES.items()
        for split, auc in enumerate(values)
    ]


def _compared(made_up: MakeRecord, metrics: Sequence[str] = (AUC,)) -> Comparison:
    return compare(_runs(made_up()), by="privacy.target_epsilon", reference="8.0", metrics=metrics)


def test_means_and_paired_differences_are_those_of_scipy(made_up: MakeRecord) -> None:
    found = _compared(made_up)
    assert [arm.by for arm in found.arms] == ["8.0", "2.0", "1.0"]
    raw = {}
    for arm, (epsilon, values) in zip(found.arms, SERIES.items(), strict=True):
        mean = arm.figures[AUC]
        assert mean is not None
        low, high = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
        assert (mean.value, mean.low, mean.high) == pytest.approx((np.mean(values), low, high))
        difference = arm.differences.get(AUC)
        if epsilon == 8.0:
            assert difference is None
            continue
        assert difference is not None
        test = stats.ttest_rel(values, SERIES[8.0])
        assert difference.p_value == pytest.approx(test.pvalue)
        interval = test.confidence_interval(0.95)
        assert (difference.mean.low, difference.mean.high) == pytest.approx((interval.low, interval.high))
        raw[epsilon] = difference
    ordered = sorted(raw.values(), key=lambda difference: difference.p_value or 0.0)
    assert ordered[0].adjusted_p_value == pytest.approx(2 * (ordered[0].p_value or 0.0))
    assert ordered[1].adjusted_p_value == pytest.approx(
        max(ordered[1].p_value or 0.0, ordered[0].adjusted_p_value or 0.0)
    )


def test_what_differs_is_computed_and_seeds_are_not_in_it(made_up: MakeRecord) -> None:
    differing = _compared(made_up).differing
    assert set(differing) == {"privacy.target_epsilon"}
    assert sorted(differing["privacy.target_epsilon"].values()) == ["1.0", "2.0", "8.0"]


def test_table_csv_latex_and_frame_say_the_same(made_up: MakeRecord) -> None:
    found = _compared(made_up, metrics=(AUC, "evaluation.overall.ks"))
    table = comparison_table(found)
    assert table.rows[0][0] == "8.0"
    assert len(table.rows) == 3
    rows = list(csv.DictReader(io.StringIO(comparison_csv(found))))
    assert len(rows) == 6
    frame = found.frame()
    assert frame["mean"].tolist() == pytest.approx([float(row["mean"]) for row in rows])
    latex = comparison_latex(found)
    assert latex.count(r"\\") == 4
    assert r"privacy.target\_epsilon" in latex
    first = found.arms[0].figures[AUC]
    assert first is not None
    assert f"{first.value:.4f}" in latex


def test_one_split_has_a_mean_and_no_interval(made_up: MakeRecord) -> None:
    record = made_up()
    runs = [_run(record, split=1, auc=auc, epsilon=epsilon) for epsilon, (auc, *_) in SERIES.items()]
    found = compare(runs, by="privacy.target_epsilon", reference="8.0", metrics=(AUC,))
    assert [arm.figures[AUC].low for arm in found.arms if arm.figures[AUC]] == [None] * 3
    gap = found.arms[1].differences[AUC]
    assert gap is not None
    assert (gap.p_value, gap.adjusted_p_value) == (None, None)
    assert "[" not in " ".join(comparison_table(found).rows[0])


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"by": "privacy.target"}, "has no 'target'"),
        ({"reference": "nobody"}, "names 0 arms"),
        ({"metrics": ("evaluation.overall.auk",)}, "has no 'auk'"),
        ({"confidence": 1.0}, "confidence"),
    ],
)
def test_what_there_is_not_is_refused(made_up: MakeRecord, wrong: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        compare(_runs(made_up()), **wrong)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no run"):
        compare([])

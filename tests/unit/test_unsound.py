from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from fedcredit.config import compose
from fedcredit.data.schema import read_schema
from fedcredit.errors import InputError
from fedcredit.experiment.validate import key_paths
from fedcredit.unsound import why_unsound

TYPED = [
    ("network.batch_norm=true", "network.batch_norm: refused", "layer_norm"),
    ("network.BatchNorm=true", "refused", "layer_norm"),
    ("network.activation=batch_norm", "network.activation: refused", "layer_norm"),
    ("network.pos_weight=balanced", "network.pos_weight: refused", "a public number"),
    ("network.class_weight=balanced", "network.class_weight: refused", "a public number"),
    ("network.loss=auc", None, None),
    ("network.auc_loss=true", "refused", "AUC is measured"),
    ("network.pairwise_loss=true", "refused", "clipping loan by loan"),
    ("network.focal_loss=true", "network.focal_loss: refused", "network.focal_gamma"),
    ("network.label_smoothing=.1", "refused", "prior_bad_rate"),
    ("training.sampler=weighted", "training.sampler: refused", "Poisson"),
    ("training.weighted_sampler=true", "refused", "Poisson"),
    ("training.oversampling=true", "refused", "Poisson"),
    ("training.smote=true", "refused", "Poisson"),
    ("training.local.shuffle=true", "refused", "Poisson"),
    ("training.early_stopping=5", "training.early_stopping: refused", "charged or public metric"),
    ("training.patience=5", "refused", "charged or public metric"),
    ("evaluation.best_round=true", "refused", "charged or public metric"),
    ("strategy.select_best_model=true", None, None),
    ("privacy.adaptive_clipping=true", "refused", "privacy.clipping_norm"),
    ("portfolio.scaler=standard", "portfolio", None),
    ("training.mixup=true", "refused", "mixes the loans"),
]


@pytest.mark.parametrize(("typed", "told", "instead"), TYPED)
def test_a_known_unsound_word_is_refused_with_the_reason_and_what_to_use(
    typed: str, told: str | None, instead: str | None
) -> None:
    with pytest.raises(InputError) as caught:
        compose(None, [typed])
    assert told is None or told in str(caught.value)
    assert instead is None or instead in str(caught.value)


def test_no_valid_key_is_called_unsound() -> None:
    words = {path.rpartition(".")[2] for path in key_paths()}
    assert {word for word in words if why_unsound(word)} == set()


@pytest.mark.parametrize("word", ["num_rounds", "sead", "dp", "learning_rat", "rounds", "epsilon", "hiden"])
def test_a_mere_misspelling_is_not_called_unsound(word: str) -> None:
    assert why_unsound(word, "3") is None


def test_an_encoding_fitted_on_rows_is_refused_by_name(tmp_path: Path) -> None:
    schema = {
        "name": "own", "public": False, "row_norm_cap": 2.5,
        "default": {"column": "bad", "positive": [1], "negative": [0], "horizon": "12 months"},
        "columns": {"income": {"kind": "number", "unit": "amount", "range": "quantiles"}},
        "features": [{"kind": "woe", "of": "income"}, {"kind": "linear", "of": "income", "standardise": True}],
    }  # fmt: skip
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump(schema))
    with pytest.raises(InputError) as caught:
        read_schema(path)
    text = str(caught.value)
    assert text.count("fitted on private loans") >= 2
    assert "columns.income.range: refused" in text or "range" in text

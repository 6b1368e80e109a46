from __future__ import annotations

import errno
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import JsonValue

from fedcredit.errors import InputError
from fedcredit.experiment.record import (
    RunRecord,
    as_json,
    read_record,
    readable_records,
    record_from_json,
    record_to_json,
    to_jsonable,
    write_record,
)

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)

MakeRecord = Callable[..., RunRecord]


@pytest.mark.parametrize("epsilon", [None, 1.0])
@pytest.mark.parametrize("without_defaults", [(), ("Lotus Pay",)])
def test_a_record_read_back_is_the_record_and_its_text_the_text(
    made_up: MakeRecord, epsilon: float | None, without_defaults: tuple[str, ...]
) -> None:
    record = made_up(epsilon=epsilon, without_defaults=without_defaults)
    text = record_to_json(record)
    again = record_from_json(text)
    assert record_to_json(again) == text
    assert again.evaluation == record.evaluation
    assert again.references == record.references
    assert again.contracts == record.contracts
    assert record_from_json(record_to_json(again)) == again


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=_JSON)
def test_whatever_a_configuration_holds_comes_back_with_its_type(made_up: MakeRecord, content: JsonValue) -> None:
    base = _bare(made_up)
    record = replace(base, experiment={"part": content}, rounds=({"part": content},))
    again = record_from_json(record_to_json(record))
    assert again.experiment["part"] == content
    assert json.dumps(again.experiment) == json.dumps(record.experiment)


def test_the_file_is_strict_json_with_infinity_and_nan_tagged(made_up: MakeRecord) -> None:
    record = replace(
        _bare(made_up),
        experiment={"target_epsilon": math.inf, "low": -math.inf, "gap": math.nan},
        noise_multiplier={"a": math.inf},
    )
    text = record_to_json(record)
    content = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not strict JSON"))
    assert content["experiment"]["target_epsilon"] == {"$float": "inf"}
    again = record_from_json(text)
    assert again.experiment["target_epsilon"] == math.inf
    assert again.experiment["low"] == -math.inf
    assert math.isnan(again.experiment["gap"])
    assert again.noise_multiplier == {"a": math.inf}


def test_numpy_values_become_plain_numbers() -> None:
    found = to_jsonable(
        {"a": np.float32(0.5), "b": np.int64(3), "c": np.bool_(True), "d": np.array([1.0, np.inf]), "e": np.str_("x")}
    )
    assert found == {"a": 0.5, "b": 3, "c": True, "d": [1.0, {"$float": "inf"}], "e": "x"}
    assert json.loads(json.dumps(found)) == found


def test_a_plain_form_made_before_is_kept_as_it_is(made_up: MakeRecord) -> None:
    contract = made_up().contracts[0]
    plain = as_json(replace(contract, weight=math.inf))
    assert to_jsonable(plain) == plain
    record = replace(_bare(made_up), rounds=(plain,))
    assert record_from_json(record_to_json(record)).rounds[0]["weight"] == math.inf


@pytest.mark.parametrize("value", [object(), {1: "a"}, {"a": {3}}, b"bytes"])
def test_what_has_no_json_form_is_refused(value: object) -> None:
    with pytest.raises(TypeError):
        to_jsonable(value)


def test_a_record_is_written_whole_and_found_by_folder_or_file(made_up: MakeRecord, tmp_path: Path) -> None:
    record = made_up()
    path = write_record(record, tmp_path)
    assert path == tmp_path / "record.json"
    assert [item.name for item in tmp_path.iterdir()] == ["record.json"]
    assert read_record(tmp_path) == read_record(path)
    assert record_to_json(read_record(path)) == path.read_text(encoding="utf-8")


def test_a_missing_record_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no record\.json .* name the results folder"):
        read_record(tmp_path)
    with pytest.raises(InputError, match=r"no record\.json"):
        read_record(tmp_path / "absent")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[:-40], "not a whole JSON file"),
        (lambda text: "[]", "not a run record of format"),
        (lambda text: text.replace("fedcredit/record/1", "fedcredit/record/9"), "not a run record of format"),
        (lambda text: text.replace('"fingerprint"', '"fingerprints"'), "fingerprint: Field required"),
        (lambda text: text.replace('"num_loans": 700', '"num_loans": "many"'), r"contracts\.0\.num_loans"),
        (lambda text: text.replace('"value": 1.0', '"value": {"$float": "huge"}'), None),
        (lambda text: text.replace('"within_auc"', '"within_auk"'), r"within_auk: Unexpected keyword"),
    ],
)
def test_a_file_that_is_no_record_is_refused_with_the_place(
    made_up: MakeRecord, change: Callable[[str], str], message: str | None
) -> None:
    text = change(record_to_json(made_up()))
    if message is None:
        record_from_json(text)
        return
    with pytest.raises(InputError, match=message) as caught:
        record_from_json(text, source="folder/record.json")
    assert "folder/record.json" in str(caught.value)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "record.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not a text file"):
        read_record(tmp_path)


def _bare(made_up: MakeRecord) -> RunRecord:
    return made_up(lenders=("a",), references=(), own_intercept=False, num_rounds=1)


def test_a_record_that_may_not_be_read_is_said_to_be_so_and_not_to_be_damaged(
    made_up: MakeRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused by the reading itself, since who runs the tests may be allowed to read every file."""
    write_record(made_up(), tmp_path)

    def refused(path: Path, *_: object, **__: object) -> str:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_text", refused)
    with pytest.raises(InputError) as told:
        readable_records([tmp_path])
    assert "record.json cannot be read (Permission denied); change its permissions" in str(told.value)
    assert "restore" not in str(told.value)

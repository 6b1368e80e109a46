from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fedcredit.privacy.accounting import accountants, cache, renyi
from fedcredit.privacy.accounting.accountants import epsilon, quick_epsilon
from fedcredit.privacy.accounting.calibration import calibrate
from fedcredit.privacy.accounting.events import GaussianSteps

EVENT = GaussianSteps(sampling_probability=0.1, noise_multiplier=4.0, num_steps=50)
INPUTS = {"rate": 0.1, "events": [[0.25, 1.5, 3]]}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FEDCREDIT_CACHE", str(tmp_path))
    accountants._epsilon.cache_clear()
    renyi.renyi_curve.cache_clear()
    return tmp_path / "accounting"


def only_file(folder: Path) -> Path:
    (path,) = folder.glob("epsilon-*")
    return path


def forged(path: Path, value: float) -> str:
    content = json.loads(path.read_text())
    content["value"]["value"] = value
    return json.dumps(content)


def test_what_is_stored_is_found_under_all_of_its_inputs(folder: Path) -> None:
    assert cache.load("epsilon", INPUTS) is None
    cache.store("epsilon", INPUTS, {"value": 0.1 + 0.2})
    assert cache.load("epsilon", INPUTS) == {"value": 0.1 + 0.2}
    assert cache.load("noise", INPUTS) is None
    assert cache.load("epsilon", {**INPUTS, "rate": 0.2}) is None
    assert [path.suffix for path in folder.iterdir()] == [".json"]


def test_another_version_of_the_library_or_of_the_cache_is_another_key(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.store("epsilon", INPUTS, {"value": 1.0})
    for versions in (
        {"cache_version": cache.CACHE_VERSION, "dp_accounting": "9.9"},
        {"cache_version": cache.CACHE_VERSION + 1, "dp_accounting": "0.6.0"},
    ):
        monkeypatch.setattr(cache, "_versions", lambda versions=versions: versions)
        assert cache.load("epsilon", INPUTS) is None
    assert only_file(folder).is_file()


def test_prices_come_from_the_disk_in_a_new_process(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = epsilon([EVENT], delta=1e-5)
    accountants._epsilon.cache_clear()
    monkeypatch.setattr(accountants, "_smallest_bound", lambda *_: pytest.fail("priced again"))
    assert epsilon([EVENT], delta=1e-5) == first
    assert only_file(folder).is_file()


def test_quick_prices_come_from_the_disk_to_the_bit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events = [EVENT, GaussianSteps(sampling_probability=0.3, noise_multiplier=0.4, num_steps=2)]
    first = quick_epsilon(events, delta=1e-5)
    assert len(list(folder.glob("renyi-*"))) == 2
    renyi.renyi_curve.cache_clear()
    monkeypatch.setattr(renyi, "_computed_renyi", lambda *_: pytest.fail("computed again"))
    assert quick_epsilon(events, delta=1e-5) == first


WARM = """
import sys
from fedcredit.privacy.accounting.accountants import epsilon, quick_epsilon
from fedcredit.privacy.accounting.calibration import calibrate
from fedcredit.privacy.accounting.events import GaussianSteps
noise = calibrate(target_epsilon=1.5, delta=1e-5, sampling_probability=0.1, num_steps=50)
event = GaussianSteps(sampling_probability=0.1, noise_multiplier=noise, num_steps=50)
print(epsilon([event], delta=1e-5), quick_epsilon([event], delta=1e-5))
print(sorted({name.split(".")[0] for name in sys.modules} & {"dp_accounting", "scipy", "absl"}))
"""


def test_a_new_process_with_a_warm_cache_prices_and_calibrates_without_the_library(folder: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    cold, warm = (
        subprocess.run([sys.executable, "-c", WARM], env=environment, capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    )
    assert cold.splitlines()[0] == warm.splitlines()[0]
    assert "dp_accounting" in cold.splitlines()[1]
    assert warm.splitlines()[1] == "[]"


@pytest.mark.parametrize("damage", ["forged", "empty", "cut", "not text", "another shape"])
def test_damaged_entry_is_warned_of_once_ignored_and_replaced(
    folder: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    first = epsilon([EVENT], delta=1e-5)
    path = only_file(folder)
    sound = path.read_bytes()
    damaged = {
        "forged": forged(path, 0.001).encode(),
        "empty": b"",
        "cut": sound[: len(sound) // 2],
        "not text": b"\xff\xfe\x00",
        "another shape": b"[1, 2]",
    }
    path.write_bytes(damaged[damage])
    accountants._epsilon.cache_clear()
    with caplog.at_level(logging.WARNING):
        assert epsilon([EVENT], delta=1e-5) == first
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert str(path) in caplog.text
    assert path.read_bytes() == sound


def test_stored_noise_is_priced_again_before_it_is_believed(folder: Path) -> None:
    arguments = {"target_epsilon": 1.5, "delta": 1e-5, "sampling_probability": 0.1, "num_steps": 50}
    noise = calibrate(**arguments)  # type: ignore[arg-type]
    inputs = {"target_epsilon": 1.5, "delta": 1e-5, "q": 0.1, "steps": 50, "tolerance": 1e-4}
    assert cache.load("noise", inputs) == {"noise_multiplier": noise}
    cache.store("noise", inputs, {"noise_multiplier": noise / 2.0})
    assert calibrate(**arguments) == noise  # type: ignore[arg-type]


def test_folder_that_cannot_be_written_is_warned_of_and_the_result_still_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    blocked = tmp_path / "a file"
    blocked.write_text("")
    monkeypatch.setenv("FEDCREDIT_CACHE", str(blocked))
    accountants._epsilon.cache_clear()
    with caplog.at_level(logging.WARNING):
        assert epsilon([EVENT], delta=1e-5).value > 0.0
    assert "cannot be written" in caplog.text


def test_what_is_on_disk_is_priced_without_the_library(folder: Path) -> None:
    epsilon([EVENT], delta=1e-5)
    quick_epsilon([EVENT], delta=1e-5)
    calibrate(target_epsilon=0.5, delta=1e-5, sampling_probability=0.25, num_steps=3)
    code = f"""
import sys
from fedcredit.privacy.accounting.accountants import epsilon, quick_epsilon
from fedcredit.privacy.accounting.calibration import calibrate
from fedcredit.privacy.accounting.events import GaussianSteps
event = {EVENT!r}
epsilon([event], delta=1e-5), quick_epsilon([event], delta=1e-5)
calibrate(target_epsilon=0.5, delta=1e-5, sampling_probability=0.25, num_steps=3)
print("dp_accounting" in sys.modules)
"""
    found = {**os.environ, "PYTHONPATH": str(Path(accountants.__file__).parents[3])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=found)
    assert done.stdout == "False\n"

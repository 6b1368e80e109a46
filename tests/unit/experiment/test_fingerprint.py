import pytest

from fedcredit.config import compose
from fedcredit.experiment.files import run_folder
from fedcredit.experiment.fingerprint import fingerprint
from fedcredit.seeds import private_stream

BASE = "taiwan/loan_level"


def _fingerprint(*overrides: str) -> str:
    return fingerprint(compose(BASE, overrides), data_checksum="a table")


@pytest.mark.parametrize(
    "override",
    [
        "runtime=ray",
        "trainer=reference",
        "trainer=vectorised trainer.device=cuda",
        "results_dir=elsewhere",
        "seed=1",
        "privacy.target_epsilon=1.0",
        "network.focal_gamma=0",
    ],
)
def test_what_does_not_change_the_meaning_does_not_change_the_fingerprint(override: str) -> None:
    assert _fingerprint(*override.split()) == _fingerprint()


@pytest.mark.parametrize(
    "override",
    [
        "seed=2",
        "split_seed=2",
        "privacy.target_epsilon=2",
        "privacy.target_delta=1e-7",
        "privacy.clipping_norm=2",
        "training.num_rounds=99",
        "strategy.averaging_decay=0.8",
        "partition.num_institutions=9",
        "network.hidden=[8]",
        "network.focal_gamma=2",
    ],
)
def test_every_change_of_meaning_changes_the_fingerprint(override: str) -> None:
    assert _fingerprint(override) != _fingerprint()


def test_the_name_of_an_arm_is_not_its_meaning() -> None:
    named = compose(BASE)
    assert fingerprint(named.model_copy(update={"name": "other/arm"}), data_checksum="a table") == _fingerprint()


def test_other_data_is_another_experiment() -> None:
    assert fingerprint(compose(BASE), data_checksum="another table") != _fingerprint()


def test_arms_of_a_sweep_with_one_seed_share_no_noise_stream() -> None:
    epsilons = ("inf", "8", "4", "2", "1", "0.5")
    prints = [_fingerprint(f"privacy.target_epsilon={epsilon}") for epsilon in epsilons]
    streams = {
        private_stream(fingerprint=name, seed=1, institution="lender_01", purpose=f"federation.{purpose}")
        for name in prints
        for purpose in ("noise", "sampling")
    }
    assert len(streams) == 2 * len(epsilons)


def test_a_gpu_has_a_results_folder_of_its_own_for_its_bits_are_others() -> None:
    folders = [
        run_folder(compose(BASE, ["trainer=vectorised", f"trainer.device={device}"]), "0" * 64).path
        for device in ("cpu", "cuda")
    ]
    assert [folder.name for folder in folders] == ["inline-vectorised", "inline-vectorised-cuda"]

"""What `fedcredit attack` was asked for: one attack on an experiment as it is, and on the same one without privacy."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar, get_args

from fedcredit.errors import InputError
from fedcredit.experiment.attacks.bad_rate import attack_bad_rate
from fedcredit.experiment.attacks.finding import Arm, Attack
from fedcredit.experiment.attacks.inversion import attack_inversion
from fedcredit.experiment.attacks.membership import attack_membership
from fedcredit.experiment.attacks.telling import tell_bad_rate, tell_inversion, tell_membership
from fedcredit.experiment.display import RunDisplay
from fedcredit.experiment.prepare import Prepared, Progress, prepare
from fedcredit.experiment.record import RECORD_FILE, read_record
from fedcredit.experiment.spec import Experiment
from fedcredit.experiment.validate import experiment_from_data
from fedcredit.experiment.wording import epsilon_text

T = TypeVar("T")
Kind = Literal["membership", "bad_rate", "inversion"]
_NUMBERS: dict[Kind, int] = {"membership": 64, "bad_rate": 64, "inversion": 40}
_FOLDER = "attacks"
NO_PRIVACY = "no privacy"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What one attack is to do; ``number`` and ``lender`` as the attacks take them, or None for their own choice."""

    kind: Kind
    number: int | None = None
    seed: int = 1
    lender: str | None = None
    num_workers: int = 1


@dataclass(frozen=True, kw_only=True)
class FinishedAttack:
    """An attack, and the folder where its files go unless another is given."""

    attack: Attack
    folder: Path


def cores() -> int:
    """Return how many processes can work at once here."""
    from joblib import cpu_count

    return int(cpu_count())


def as_kind(text: str) -> Kind:
    """Read the name of an attack.

    Args:
        text: as it was typed.

    Returns:
        The attack.

    Raises:
        InputError: if there is no such attack.
    """
    for kind in get_args(Kind):
        if kind == text:
            found: Kind = kind
            return found
    raise InputError(f"attack is {text!r}; choose one of {', '.join(get_args(Kind))}")


def attack_words(
    asked: Asked, words: Sequence[str], *, compose: Callable[[Sequence[str]], Experiment]
) -> FinishedAttack:
    """Attack what is named on a command line, with progress on standard error.

    Args:
        asked: the attack.
        words: an experiment and overrides, or one results folder.
        compose: makes an experiment of words.

    Returns:
        The attack.

    Raises:
        InputError: if there is nothing to attack, or a number is outside its range.
    """
    _check(asked)
    experiment = _experiment(words, compose)
    with RunDisplay(enabled=True) as display:
        attack = attack_experiment(asked, experiment, progress=display.stage)
    study, arm = experiment.name.split("/")
    return FinishedAttack(attack=attack, folder=Path(experiment.results_dir) / _FOLDER / study / arm)


def attack_experiment(asked: Asked, experiment: Experiment, *, progress: Progress | None = None) -> Attack:
    """Attack an experiment, and beside it the same one without privacy: what the attack could have seen.

    Args:
        asked: the attack.
        experiment: the experiment.
        progress: told the stage, the steps done and the steps there are.

    Returns:
        The attack.

    Raises:
        InputError: if a number is outside its range, or the experiment cannot be prepared.
    """
    number = _NUMBERS[asked.kind] if asked.number is None else asked.number
    if asked.kind == "membership":
        found = _on_arms(
            experiment,
            lambda prepared, told: attack_membership(
                prepared, num_runs=number, seed=asked.seed, lender=asked.lender, num_workers=asked.num_workers,
                progress=told,
            ),
            progress,
        )  # fmt: skip
        return tell_membership(found, name=experiment.name, seed=asked.seed)
    if asked.kind == "bad_rate":
        rates = _on_arms(
            experiment,
            lambda prepared, told: attack_bad_rate(prepared, num_shadows=number, seed=asked.seed, progress=told),
            progress,
        )
        return tell_bad_rate(rates, name=experiment.name, seed=asked.seed)
    read = _on_arms(
        experiment,
        lambda prepared, told: attack_inversion(prepared, num_lenders=number, seed=asked.seed, progress=told),
        progress,
    )
    return tell_inversion(read, name=experiment.name, seed=asked.seed)


def _on_arms(
    experiment: Experiment, attack: Callable[[Prepared, Progress | None], T], progress: Progress | None
) -> tuple[Arm[T], ...]:
    """Attack the experiment, and first of all the same without privacy where it has any."""
    arms = []
    privacy = experiment.privacy
    if privacy.is_private:
        without = privacy.model_copy(update={"target_epsilon": math.inf, "noise_multiplier": None})
        arms.append(experiment.model_copy(update={"privacy": without}))
    arms.append(experiment)
    found = []
    for arm in arms:
        told = _prefixed(progress, "open: " if arm is not experiment else "")
        prepared = prepare(arm, progress=told)
        found.append(Arm(label=_label(prepared), found=attack(prepared, told)))
    return tuple(found)


def _prefixed(progress: Progress | None, prefix: str) -> Progress | None:
    return None if progress is None else lambda stage, done, total: progress(f"{prefix}{stage}", done, total)


def _label(prepared: Prepared) -> str:
    if not prepared.plan.is_private:
        return NO_PRIVACY
    worst = max(prepared.plan.epsilon(name).value for name in prepared.contracts.institutions)
    return f"epsilon {epsilon_text(worst)}"


def _check(asked: Asked) -> None:
    if asked.seed < 0:
        raise InputError(f"seed is {asked.seed}; allowed is a whole number from 0")
    if asked.num_workers < 1:
        raise InputError(f"workers is {asked.num_workers}; allowed is a whole number from 1")
    if asked.lender is not None and asked.kind != "membership":
        raise InputError(f"lender is for the membership attack alone; {asked.kind} looks at all lenders")


def _experiment(words: Sequence[str], compose: Callable[[Sequence[str]], Experiment]) -> Experiment:
    place = Path(words[0])
    if (place / RECORD_FILE).is_file():
        if len(words) > 1:
            raise InputError(
                f"{len(words) - 1} overrides with a results folder: a finished run is attacked as it was; "
                "leave them out, or name an experiment"
            )
        return experiment_from_data(read_record(place).experiment)
    if place.is_dir():
        raise InputError(f"{place} is no folder of one finished run: it has no {RECORD_FILE}")
    return compose(words)

"""How much noise the charged releases of a run get beside its training, before any loan is read."""

from __future__ import annotations

from collections.abc import Callable

from fedcredit.errors import InputError
from fedcredit.experiment.spec import Charged, Experiment
from fedcredit.privacy.accounting.calibration import unsampled_noise_beside
from fedcredit.privacy.accounting.events import Events, GaussianSteps, merge
from fedcredit.privacy.accounting.releases import (
    ENCODING_RANGES,
    FEDERATION,
    OWN_INTERCEPT,
    RECALIBRATION,
    TEST_HISTOGRAM,
    TRAIN,
    VALIDATION_HISTOGRAM,
    check_release,
    parts_of,
)
from fedcredit.privacy.plan import PrivacyPlan

_SHARE = 0.1


def charged_noise(experiment: Experiment) -> dict[str, float]:
    """Give each charged release its noise multiplier, the same for every lender.

    Held-out loans are not trained on, so what is released of them may cost what training costs the others: without
    a ``noise_multiplier`` their releases share the run's whole target. What reads training loans takes a tenth of
    the target's squared ratio of sensitivity to noise, and the training's noise is calibrated with it. Where lenders
    have budgets, or there is a cap, the target is the smallest of all: the noise is one for all lenders.

    Args:
        experiment: the experiment.

    Returns:
        Release -> noise multiplier, 0 where the run is not private.

    Raises:
        InputError: if the noise is not given and there is no target either, or releases leave nothing of it.
    """
    asked = _asked(experiment)
    if not experiment.privacy.is_private:
        return dict.fromkeys(asked, 0.0)
    noise = {name: given for name, given in asked.items() if given is not None}
    open_names = [name for name, given in asked.items() if given is None]
    if open_names and experiment.privacy.target_epsilon is None and experiment.privacy.epsilon_cap is None:
        raise InputError(
            f"{', '.join(open_names)} has no noise_multiplier, and the run has neither a "
            "target_epsilon nor an epsilon_cap from which to find one; give one of them"
        )
    tenths = [name for name in open_names if TRAIN in parts_of(name)]
    noise.update((name, _noise(experiment, (), share=_SHARE)) for name in tenths)
    for part in ("validation", "test"):
        held_out = [name for name in open_names if name not in tenths and part in parts_of(name)]
        if held_out:
            fixed = merge(charged_event(given) for name, given in noise.items() if part in parts_of(name))
            noise.update(dict.fromkeys(held_out, _noise(experiment, fixed, num_steps=len(held_out))))
    return {name: noise[name] for name in asked}


def training_releases(experiment: Experiment) -> Events:
    """List the charged releases that read training loans, to calibrate the training's noise beside them.

    Args:
        experiment: the experiment.

    Returns:
        Their events; none where the run is not private.

    Raises:
        InputError: as `charged_noise`.
    """
    if not experiment.privacy.is_private:
        return ()
    noise = charged_noise(experiment)
    return merge(charged_event(multiplier) for name, multiplier in noise.items() if TRAIN in parts_of(name))


def planned_releases(experiment: Experiment, plan: PrivacyPlan) -> dict[str, Callable[[str], Events]]:
    """Say what the ledgers of a run will hold when all rounds and charged releases have been, references aside.

    Args:
        experiment: the experiment.
        plan: its plan over the rounds that will run.

    Returns:
        Lender -> what its ledger will hold under a release's name.

    Raises:
        InputError: as `charged_noise`.
    """
    charged = {name: (charged_event(multiplier),) for name, multiplier in charged_noise(experiment).items()}
    planned = {lender: {FEDERATION: (event,), **charged} for lender, event in plan.events.items()}

    def held(lender: str) -> Callable[[str], Events]:
        return lambda name: planned[lender].get(check_release(name), ())

    return {lender: held(lender) for lender in planned}


def charged_event(noise_multiplier: float) -> GaussianSteps:
    """Return the event of one charged release: every loan is read once.

    Args:
        noise_multiplier: standard deviation over sensitivity, from 0.

    Returns:
        The event.
    """
    return GaussianSteps(sampling_probability=1.0, noise_multiplier=noise_multiplier, num_steps=1)


def _asked(experiment: Experiment) -> dict[str, float | None]:
    """List the releases that were asked for, with their noise where it is given."""
    charged = experiment.evaluation.charged or Charged()
    asked: dict[str, float | None] = {}
    if experiment.encoding is not None:
        asked[ENCODING_RANGES] = experiment.encoding.noise_multiplier
    if experiment.evaluation.own_intercept == "charged":
        asked[OWN_INTERCEPT] = charged.own_intercept.noise_multiplier
    if charged.recalibration is not None:
        asked[RECALIBRATION] = charged.recalibration.noise_multiplier
    if charged.score_histogram is not None:
        is_test = charged.score_histogram.loans == "test"
        name = TEST_HISTOGRAM if is_test else VALIDATION_HISTOGRAM
        asked[name] = charged.score_histogram.noise_multiplier
    return asked


def _noise(experiment: Experiment, fixed: Events, *, num_steps: int = 1, share: float = 1.0) -> float:
    privacy = experiment.privacy
    limits = [privacy.target_epsilon, privacy.epsilon_cap, *privacy.budgets.values()]
    strictest = min(limit for limit in limits if limit is not None)
    try:
        whole = unsampled_noise_beside(strictest, delta=privacy.target_delta, num_steps=num_steps, beside=fixed)
    except ValueError as error:
        raise InputError(f"evaluation.charged: {error}") from None
    return float(whole * share**-0.5 * (1.0 + 1e-9))

"""Learning about applicants that a past policy refused, where what they would have done is known.

The loans of a finished run play applicants: a past scorecard, which knew every other column, accepts the safer ones,
and the others' outcomes are hidden. What reject inference then finds is judged on held-out applicants of either side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from fedcredit.credit.approval import Terms
from fedcredit.credit.discrimination import auc
from fedcredit.credit.lending import LendingPolicy, lend
from fedcredit.credit.loans import Floats, setting
from fedcredit.credit.reject_inference import acceptance_weights, fuzzy_augmentation
from fedcredit.errors import InputError
from fedcredit.experiment.decisions.rescoring import Rescored, exposures, truth_of
from fedcredit.seeds import public_stream

SLICE_RATE = 0.05
ACCEPTED, REWEIGHTED, FUZZY = "accepted alone", "reweighted by acceptance", "fuzzy augmentation"
SLICE, EVERYBODY = "with a random slice of the refused", "all applicants (not to be had)"
_SLOPE, _LEAST_DEFAULTS, _SOFTNESS = 1.0, 10, 0.5
_Flags = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Inferred:
    """What one way of learning comes to on held-out applicants.

    Attributes:
        num_loans: whose outcomes it learned from.
        auc: over all held-out applicants.
        auc_of_refused: over those that the past policy would refuse; ``None`` without both outcomes among them.
        level_of_refused: mean PD over the true one (over the bad rate where no truth is known) among them; ``None``
            where nobody is bad.
        level_of_accepted: the same among the others.
        profit_per_100_asked: by the profit cut-off, at the true PD where it is known, else as outcomes went.
    """

    num_loans: int
    auc: float | None
    auc_of_refused: float | None
    level_of_refused: float | None
    level_of_accepted: float | None
    profit_per_100_asked: float | None


@dataclass(frozen=True, kw_only=True)
class RejectStudy:
    """Ways of learning, side by side.

    Attributes:
        accepted_rate: share of applicants that the past policy accepted.
        bad_rate_accepted: of them.
        bad_rate_refused: of the others, which a lender would never see.
        is_true: whether levels and profit are against the true PD.
        found: way of learning -> what it comes to.
    """

    accepted_rate: float
    bad_rate_accepted: float
    bad_rate_refused: float
    is_true: bool
    found: Mapping[str, Inferred]


def checked_rate(rate: float | None) -> float | None:
    """Check the share that a past policy accepted, before anything is read.

    Args:
        rate: the share, or ``None``.

    Returns:
        The same.

    Raises:
        InputError: if it is out of range.
    """
    return None if rate is None else setting(rate, "past approval rate", low=0.0, high=0.999, is_open=True)


def reject_study(run: Rescored, *, accepted_rate: float, terms: Terms | None = None) -> RejectStudy:
    """Hide the outcomes of applicants that a past policy refuses, and infer them.

    All models are logistic regressions on the run's features, fitted in the clear and without privacy.

    Args:
        run: the run, whose training and validation loans are learned from and whose test loans are judged on.
        accepted_rate: share of applicants that the past policy accepts, in (0, 1).
        terms: what loans earn and lose.

    Returns:
        The ways of learning.

    Raises:
        InputError: if the share is out of range, or too few of the accepted or refused loans defaulted.
    """
    checked_rate(accepted_rate)
    seen = [part for lender in run.prepared.institutions for part in (lender.train, lender.validation)]
    features = np.concatenate([part.features for part in seen]).astype(np.float64)
    default = np.concatenate([part.default for part in seen]).astype(np.bool_)
    test_features = np.concatenate([lender.test.features for lender in run.prepared.institutions]).astype(np.float64)
    draw = _generator(run)
    past = _Fit(features[:, ::2], default).logits
    own, held_out = past(features[:, ::2]), past(test_features[:, ::2])
    cut = float(np.quantile(own + _SOFTNESS * draw.logistic(size=own.size), accepted_rate))
    accepted = draw.random(own.size) < expit((cut - own) / _SOFTNESS)
    refused_later = draw.random(held_out.size) >= expit((cut - held_out) / _SOFTNESS)
    num_bad = int(default[accepted].sum()), int(default[~accepted].sum())
    if min(num_bad) < _LEAST_DEFAULTS:
        raise InputError(
            f"{run.folder}: of the applicants that a past approval rate of {accepted_rate:g} accepts {num_bad[0]} "
            f"defaulted, and of the refused {num_bad[1]}; at least {_LEAST_DEFAULTS} of both are needed: give another "
            "rate or a run on more loans"
        )
    judged = _Judge(run, refused_later, LendingPolicy(terms=terms or Terms()))
    found = {
        name: judged.of(fit.pd(test_features), num)
        for name, (fit, num) in _models(features, default, accepted, draw).items()
    }
    return RejectStudy(
        accepted_rate=float(accepted.mean()),
        bad_rate_accepted=float(default[accepted].mean()),
        bad_rate_refused=float(default[~accepted].mean()),
        is_true=judged.is_true,
        found=found,
    )


class _Fit:
    """A logistic regression with weights, as scikit-learn fits it."""

    def __init__(self, features: Floats, default: NDArray[np.bool_], weight: Floats | None = None) -> None:
        from sklearn.linear_model import LogisticRegression

        self._model = LogisticRegression(C=_SLOPE, max_iter=2000).fit(features, default, sample_weight=weight)

    def logits(self, features: Floats) -> Floats:
        found: Floats = self._model.decision_function(features)
        return found

    def pd(self, features: Floats) -> Floats:
        found: Floats = expit(self.logits(features))
        return found


def _models(
    features: Floats, default: _Flags, accepted: _Flags, draw: np.random.Generator
) -> dict[str, tuple[_Fit, int]]:
    """Fit every way of learning; none but the last sees an outcome that the policy hid."""
    known, num = features[accepted], int(accepted.sum())
    plain = _Fit(known, default[accepted])
    chance = np.clip(_Fit(features, accepted).pd(known), 1e-6, 1.0)
    fuzzy = fuzzy_augmentation(plain.pd(features[~accepted]))
    lucky = ~accepted & (draw.random(accepted.size) < SLICE_RATE)
    slice_weight = np.where(lucky, 1.0 / SLICE_RATE, 1.0)[accepted | lucky]
    return {
        ACCEPTED: (plain, num),
        REWEIGHTED: (_Fit(known, default[accepted], acceptance_weights(chance)), num),
        FUZZY: (
            _Fit(
                np.concatenate([known, features[~accepted][fuzzy.applicant]]),
                np.concatenate([default[accepted], fuzzy.default.astype(np.bool_)]),
                np.concatenate([np.ones(num), fuzzy.weight]),
            ),
            num,
        ),
        SLICE: (
            _Fit(features[accepted | lucky], default[accepted | lucky], slice_weight),
            int((accepted | lucky).sum()),
        ),
        EVERYBODY: (_Fit(features, default), int(default.size)),
    }


class _Judge:
    """Held-out applicants, with what is true of them."""

    def __init__(self, run: Rescored, refused: _Flags, policy: LendingPolicy) -> None:
        names = [lender.name for lender in run.prepared.institutions]
        amounts, truth = exposures(run), truth_of(run)
        self._default = np.concatenate([lender.test.default for lender in run.prepared.institutions]).astype(np.bool_)
        self._amount = np.concatenate([amounts[name] for name in names])
        self._truth = None if truth is None else np.concatenate([truth[name] for name in names])
        self._refused, self._policy = refused, policy
        self.is_true = truth is not None

    def of(self, pd: Floats, num_loans: int) -> Inferred:
        lent = lend(pd, self._default, self._amount, policy=self._policy, true_pd=self._truth)
        return Inferred(
            num_loans=num_loans,
            auc=auc(pd, self._default),
            auc_of_refused=auc(pd[self._refused], self._default[self._refused]),
            level_of_refused=self._level(pd, self._refused),
            level_of_accepted=self._level(pd, ~self._refused),
            profit_per_100_asked=lent.true_profit_per_100_asked if self.is_true else lent.profit_per_100_asked,
        )

    def _level(self, pd: Floats, own: _Flags) -> float | None:
        right = (self._default if self._truth is None else self._truth)[own]
        return float(pd[own].mean() / right.mean()) if right.size and right.mean() > 0.0 else None


def _generator(run: Rescored) -> np.random.Generator:
    stream = public_stream(seed=run.prepared.experiment.seed, purpose="decisions.rejects")
    return np.random.Generator(np.random.Philox(key=stream.key0 | stream.key1 << 32 | stream.tag << 64))

"""Words that researchers know from elsewhere and that would make an epsilon wrong: refused by name, with the reason."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class _Refusal:
    pattern: str
    reason: str


_SAMPLING = (
    "the price assumes Poisson sampling, where every loan is drawn independently at one public rate; {what} draws some "
    "loans more often and by what they are, so a loan's chance depends on its label or on other loans. Use "
    "network.pos_weight=<a public number> to weigh defaults, inside the clipping norm"
)
_WEIGHTS = (
    "{what} is computed from the bad rate of private loans, which then shows in every update uncharged. Use "
    "network.pos_weight=<a public number>, for example (1 - r) / r with r = network.prior_bad_rate"
)
_COUPLED = (
    "{what} mixes the loans of a batch, so one loan changes the gradients of others and clipping loan by loan no "
    "longer bounds what it does"
)
_CHOICE = (
    "{what} looks at private loans round after round, and the choice itself is an uncharged release. Every planned "
    "round is charged here and the last network (a moving average) is the result; choose training.num_rounds "
    "beforehand, on public loans, or among whole runs by a charged or public metric"
)
_FITTED = (
    "{what} is fitted on private loans, which then shows in every row. Give public constants in the schema (range, "
    "cuts, categories, impute, centre, scale)"
)

# Keys and values, compared in lower case without signs; the first that matches is told.
_KEYS = (
    _Refusal(pattern="batchnorm(alisation|alization)?|bn|(sync|ghost)batchnorm", reason=_COUPLED + ". Use "
        "network.layer_norm=true, which is loan by loan"),
    _Refusal(pattern="(auc|pairwise|ranking|triplet|contrastive|listwise)(loss|objective)?", reason=_COUPLED + ". The "
        "loss is the logistic one of each loan; AUC is measured, not optimised"),
    _Refusal(pattern="mixup|cutmix", reason=_COUPLED + ". Leave it out"),
    _Refusal(pattern="(weighted|balanced|stratified|importance)?(random)?(batch)?sampl(er|ing)", reason=_SAMPLING),
    _Refusal(pattern="(over|under|re)sampl(e|ing|er)|smote(nc)?|adasyn|bootstrap|augment(ation)?", reason=_SAMPLING),
    _Refusal(pattern="shuffle|droplast", reason="the price assumes Poisson sampling; {what} makes batches of another "
        "law (fixed size, without replacement), which is dearer than what would be printed. "
        "training.local.sampling_probability sets the rate"),
    _Refusal(pattern="class(es)?weights?|sampleweights?|balancedweights?", reason=_WEIGHTS),
    _Refusal(pattern="focal(loss)?", reason="{what} is loan by loan and sound, and has another name here. Use "
        "network.focal_gamma=<a public number>, for example 2"),
    _Refusal(pattern="labelsmoothing", reason="{what} towards the bad rate of private loans is fitted on them, and a "
        "constant one is not built. network.prior_bad_rate sets the public level to start from"),
    _Refusal(pattern="earlystop(ping)?|patience|(best|select)(round|epoch|model|checkpoint|iteration)"
        "|(restore|keep|save)best(weights|only|model)?|reducelronplateau|monitor", reason=_CHOICE),
    _Refusal(pattern="adaptiveclip(ping)?|(clipping)?quantile(clip(ping)?)?|targetunclippedquantile|autoclip",
        reason="{what} sets the norm by private gradients, which needs a charged release of its own. Use "
        "privacy.clipping_norm=<the schema's row_norm_cap>"),
    _Refusal(pattern="scaler|standardi[sz](e|er|ation)|normali[sz](e|er|ation)|zscore|minmax|robustscaler|quantiles?"
        "|quantile(bins|transform(er)?|range)|woe|weightofevidence|target(encoding|encoder|mean)|pca|whiten(ing)?"
        "|kmeans|featureselection|imputer|knn(imputer)?|winsori[sz]e|iv|informationvalue", reason=_FITTED),
)  # fmt: skip
_VALUES = (
    _Refusal(pattern="batchnorm", reason=_KEYS[0].reason),
    _Refusal(pattern="balanced(subsample)?", reason=_WEIGHTS),
    _Refusal(pattern="weighted(random)?(sampler)?|oversample|undersample|smote|stratified", reason=_SAMPLING),
    _Refusal(pattern="best(round|val(idation)?)?|early(stop(ping)?)?", reason=_CHOICE),
    _Refusal(pattern="standardi[sz]e|zscore|minmax|quantiles?|woe|target(encoding|mean)|median|mean|mode|fit(ted)?",
        reason=_FITTED),
)  # fmt: skip


def why_unsound(key: str, value: object = None) -> str | None:
    """Say why a key, or a value that its key does not allow, would break the privacy accounting.

    Args:
        key: the last word of a key's path.
        value: what it was given.

    Returns:
        The reason and what to use instead, or None for a word that is not known to be unsound.
    """
    told = _find(key, _KEYS)
    if told is None and isinstance(value, str):
        told = _find(value, _VALUES)
    return told


def _find(word: str, table: tuple[_Refusal, ...]) -> str | None:
    plain = re.sub(r"[^a-z0-9]", "", word.lower())
    for refusal in table:
        if re.fullmatch(refusal.pattern, plain):
            return "refused, because " + refusal.reason.format(what=word)
    return None

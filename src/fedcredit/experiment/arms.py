"""What tells the runs of a study apart: an arm is a meaning without its seeds, and its label is computed.

Runs that differ in seed, split seed or the seed of their simulated market alone are repeats of one arm. Runs of
one name that differ in more are different arms, and the keys that differ are added to the name; nobody has to
name them by hand.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

from fedcredit.experiment.fingerprint import without_unsaid
from fedcredit.experiment.record import RunRecord

_SEEDS = ("seed", "split_seed")
_MARKET_SEED = "portfolio.market_seed"
_NOT_MEANING = ("name", "runtime", "trainer", "results_dir", "ledger_dir", "tracking")
_AS_TYPED = {"Infinity": "inf", "-Infinity": "-inf"}
Key = tuple[tuple[str, str], ...]


def arm_labels(records: Sequence[RunRecord]) -> list[str]:
    """Label every run with its arm.

    Args:
        records: finished runs.

    Returns:
        One label per record, in their order: the name, and the keys that differ between arms of that
        name, for example ``"taiwan/loan_level privacy.target_epsilon=2"``. Runs of one fingerprint by different
        trainers or runtimes are told apart by these.
    """
    keys = [_key(record) for record in records]
    by_name: dict[str, list[Key]] = {}
    for key, record in zip(keys, records, strict=True):
        by_name.setdefault(record.name, []).append(key)
    differing = {name: _differing(found) for name, found in by_name.items()}
    computed = [_computed(record) for record in records]
    by_fingerprint: dict[str, list[Key]] = {}
    for how, record in zip(computed, records, strict=True):
        by_fingerprint.setdefault(record.fingerprint, []).append(how)
    ways = {fingerprint: _differing(found) for fingerprint, found in by_fingerprint.items()}
    labels = []
    for key, how, record in zip(keys, computed, records, strict=True):
        told = [f"{path}={value}" for path, value in key if path in differing[record.name]]
        told += [f"{path}={value}" for path, value in how if path in ways[record.fingerprint]]
        labels.append(" ".join([record.name, *told]))
    return labels


def telling_apart(experiments: Sequence[Mapping[str, object]]) -> list[str]:
    """Say what tells the experiments of each name apart, beside their seed and split seed.

    Args:
        experiments: as ``experiment.yaml`` keeps them.

    Returns:
        One text per experiment, in their order: ``"privacy.target_epsilon=2.0"``, and empty where nothing differs.
    """
    left_out = ("name", "results_dir", "ledger_dir", *_SEEDS)
    meant = [{key: value for key, value in told.items() if key not in left_out} for told in experiments]
    keys = [tuple(_leaves(told, "")) for told in meant]
    names = [told.get("name") for told in experiments]
    differing = {
        name: _differing([key for key, other in zip(keys, names, strict=True) if other == name])
        for name in dict.fromkeys(names)
    }
    return [
        " ".join(f"{path}={value}" for path, value in key if path in differing[name])
        for key, name in zip(keys, names, strict=True)
    ]


def split_of(record: RunRecord) -> tuple[int, int, int]:
    """Return the seeds of a run.

    Args:
        record: the run.

    Returns:
        ``split_seed``, ``seed`` and the seed of the simulated market, -1 where the loans are of no market.
    """
    split_seed, seed = record.experiment["split_seed"], record.experiment["seed"]
    assert isinstance(split_seed, int)
    assert isinstance(seed, int)
    portfolio = record.experiment.get("portfolio")
    market_seed = portfolio.get("market_seed", -1) if isinstance(portfolio, Mapping) else -1
    assert isinstance(market_seed, int)
    return split_seed, seed, market_seed


def _key(record: RunRecord) -> Key:
    said = without_unsaid(record.experiment)
    meaning = {key: value for key, value in said.items() if key not in (*_NOT_MEANING, *_SEEDS)}
    return tuple(sorted(leaf for leaf in _leaves(meaning, "") if leaf[0] != _MARKET_SEED))


def _computed(record: RunRecord) -> Key:
    """How a run was computed, which its fingerprint leaves out."""
    how = {key: record.experiment[key] for key in ("runtime", "trainer") if key in record.experiment}
    return tuple(sorted(_leaves(how, "")))


def _differing(keys: Sequence[Key]) -> set[str]:
    """Return the paths whose value, or whose presence, is not the same in all keys."""
    paths = {path for key in keys for path, _ in key}
    found = [dict(key) for key in keys]
    return {path for path in paths if len({values.get(path) for values in found}) > 1}


def _leaves(value: object, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(item, f"{path}.{key}" if path else str(key))
    else:
        text = value if isinstance(value, str) else json.dumps(value)
        yield path, _AS_TYPED.get(text, text)

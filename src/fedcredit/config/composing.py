"""From names and overrides to one checked experiment, through Hydra."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hydra import version
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from fedcredit.config.files import REFUSED, conf_folder, config_groups, experiment_names, store_experiments, unsealed
from fedcredit.errors import InputError
from fedcredit.experiment.spec import Experiment
from fedcredit.experiment.validate import experiment_from_data

_NOISE = ("full_key:", "object_type=", "reference_type=", "See https://", "Config search path", "provider=")


def compose(experiment: str | None = None, overrides: Sequence[str] = (), *, folder: Path | None = None) -> Experiment:
    """Compose and check one experiment.

    Args:
        experiment: ``<study>/<arm>``, or None for the defaults of ``conf/`` alone.
        overrides: Hydra overrides, for example ``["seed=3", "privacy.target_epsilon=2"]``.
        folder: a folder of the caller's own with an ``experiments`` folder in it; the current folder
            is searched as well.

    Returns:
        The experiment; its ``name`` is that of the file.

    Raises:
        InputError: naming every mistake, with full key paths and what is allowed.
    """
    chosen = [] if experiment is None else [f"experiments={experiment}"]
    with opened_hydra(folder) as hydra, mistakes_as_input_errors():
        lines = rewritten(hydra, [*chosen, *overrides], experiment_names(folder))
        config = hydra.compose_config("config", lines, run_mode=RunMode.RUN, from_shell=False)
        return checked(config)


def checked(config: DictConfig) -> Experiment:
    """Turn a composed config into an experiment.

    Args:
        config: as Hydra composed it.

    Returns:
        The experiment.

    Raises:
        InputError: naming every mistake.
    """
    data = OmegaConf.to_container(config, resolve=True, throw_on_missing=False)
    assert isinstance(data, dict)
    data.pop("hydra", None)
    if REFUSED in data:
        raise InputError(unsealed(str(data[REFUSED])))
    return experiment_from_data({str(key): value for key, value in data.items()})


@contextmanager
def opened_hydra(folder: Path | None) -> Iterator[Hydra]:
    """Hand out a Hydra that knows our groups and the scanned experiments; leave no global state behind."""
    before = GlobalHydra.instance().hydra
    version.setbase("1.3")
    search_path = create_config_search_path(str(conf_folder()))
    if folder is not None:
        if not folder.is_dir():
            raise InputError(f"--config-dir {folder}: there is no such folder")
        search_path.prepend("command-line", f"file://{folder.resolve()}", anchor=SearchPathQuery(provider="schema"))
    search_path.prepend("schema", "structured://")
    store_experiments(folder)
    GlobalHydra.instance().clear()
    try:
        yield Hydra.create_main_hydra2(task_name="fedcredit", config_search_path=search_path)
    finally:
        GlobalHydra.instance().hydra = before


@contextmanager
def mistakes_as_input_errors() -> Iterator[None]:
    """Turn what Hydra raises into one message."""
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        raise InputError(_message(error)) from None
    except RecursionError:
        raise InputError("experiment files extend one another, or references lead, in a circle") from None


def _message(error: Exception) -> str:
    """Put Hydra's words into one message that begins with the key or the override."""
    subject = str(getattr(error, "override", None) or getattr(error, "full_key", None) or "")
    texts = [str(error)] + [str(error.__cause__)] * (error.__cause__ is not None)
    lines = [line.strip() for text in dict.fromkeys(texts) for line in text.splitlines()]
    kept = [line for line in lines if line and not line.startswith(_NOISE)]
    lists = [position for position, line in enumerate(kept) if line.startswith("Available options")]
    if lists:
        kept = [*kept[: lists[0]], f"({kept[lists[0]]} {', '.join(kept[lists[0] + 1 :])})"]
    told = " ".join(kept).removeprefix("In 'config': ").replace("argument '++", "argument '")
    return told if not subject or subject in told or subject.startswith("hydra.") else f"{subject}: {told}"


def rewritten(hydra: Hydra, lines: Sequence[str], names: Sequence[str]) -> list[str]:
    """Let typed overrides mean what they say: any key is checked by our model, any kind is an option of its group."""
    told = [_with_experiments(line, names) for line in lines]
    parsed = OverridesParser.create(config_loader=hydra.config_loader).parse_overrides(told)
    return [_rewrite(hydra, line, override) for line, override in zip(told, parsed, strict=True)]


def _with_experiments(line: str, names: Sequence[str]) -> str:
    """Spell ``experiment=`` as ``experiments=``, and a pattern as the experiments that it matches."""
    key, equals, value = line.partition("=")
    if not key.strip("+~ "):
        raise InputError(f"override {line!r} names no key; write key=value, for example seed=3")
    if not equals or key.lstrip("+") not in ("experiment", "experiments"):
        return line
    chosen = [name.strip() for name in value.split(",")] if "(" not in value else []
    for name in chosen:
        if name != "null" and not fnmatch.filter(names, name):
            close = difflib.get_close_matches(name, names, n=1)
            nearest = f"nearest: {close[0]}; " if close else ""
            raise InputError(f"experiments={name}: there is no such experiment; {nearest}there are {', '.join(names)}")
    known = [match for name in chosen for match in (fnmatch.filter(names, name) or [name])]
    return f"experiments={','.join(known) if chosen else value}"


def _rewrite(hydra: Hydra, line: str, override: Override) -> str:
    key = override.key_or_group
    if override.type is not OverrideType.CHANGE or key.startswith(("hydra.", "hydra/")) or key == "experiments":
        return line
    group = key.removesuffix(".kind").replace(".", "/")
    if key.endswith(".kind") and group in config_groups():
        return f"{group}={line.partition('=')[2]}"
    is_choice = hydra.config_loader.get_group_options(key) and not isinstance(override.value(), dict)
    return line if is_choice else f"++{line}"

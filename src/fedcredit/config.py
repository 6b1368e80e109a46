"""The one door to Hydra: from names and overrides to a frozen Experiment.

``conf/`` is the vocabulary (groups of options), ``experiments/<study>/<arm>.yaml`` are the sentences.
Hydra composes them with what the caller typed; then one strict model checks everything at once, and
nothing past this module sees a Hydra or OmegaConf object.

Experiment files may come from strangers. They are read and scanned here (``experiment.scan``) and
handed to Hydra as data in its config store, ahead of every folder, so Hydra never opens such a file.
A refused file is stored as its own refusal, which surfaces when somebody chooses it. What the caller
types on her own command line is hers: there, all of Hydra is allowed.
"""

from __future__ import annotations

import fnmatch
import traceback
from argparse import ArgumentError, ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from hydra import version
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path, get_args_parser
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from fedcredit.errors import InputError
from fedcredit.experiment import scan
from fedcredit.experiment.spec import Experiment
from fedcredit.experiment.validate import experiment_from_data

T = TypeVar("T")

_PACKAGE = Path(__file__).parent
_CHECKOUT = _PACKAGE.parents[1]
_REFUSED = "_refused"
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
    with _hydra(folder) as hydra, _mistakes_as_input_errors():
        lines = _rewritten(hydra, [*chosen, *overrides], experiment_names(folder))
        config = hydra.compose_config("config", lines, run_mode=RunMode.RUN, from_shell=False)
        return _checked(config)


def hydra_main(arguments: Sequence[str], *, job: Callable[[Experiment], T]) -> tuple[T, ...]:
    """Serve ``fedcredit run``: one run, a sweep (``-m``), or one of Hydra's displays (``--cfg``, ``--help``, ...).

    Every arm of a sweep is composed and checked before the first one starts.

    Args:
        arguments: the command line behind ``run``.
        job: called with each experiment; picklable, because a sweep calls it in worker processes.

    Returns:
        What ``job`` returned, in the order of the sweep; empty for a display.

    Raises:
        InputError: for a mistake in the arguments, in a config or in an experiment file.
    """
    parser = get_args_parser()
    args = _parsed(parser, arguments)
    folder = None if args.config_dir is None else Path(args.config_dir)
    with _hydra(folder) as hydra, _mistakes_as_input_errors():
        if args.hydra_help:
            hydra.hydra_help("config", args_parser=parser, args=args)
        elif args.help:
            hydra.app_help("config", args_parser=parser, args=args)
        elif args.shell_completion:
            hydra.shell_completion("config", overrides=args.overrides)
        else:
            lines = _rewritten(hydra, args.overrides, experiment_names(folder))
            return _composed(hydra, args, lines, job)
    return ()


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of an experiment, for editors that complete and check experiment files."""
    return Experiment.model_json_schema()


def experiment_names(folder: Path | None = None) -> tuple[str, ...]:
    """Return the names ``<study>/<arm>`` of all experiment files that can be found, sorted."""
    return tuple(sorted(_experiment_files(folder)))


def conf_folder() -> Path:
    """Return the folder of the config groups: in the package, or in the checkout it is imported from."""
    packed = _PACKAGE / "_conf"
    return packed if packed.is_dir() else _CHECKOUT / "conf"


@cache
def config_groups() -> dict[str, tuple[str, ...]]:
    """Return each config group, for example ``"strategy/cohort"``, with the names of its options."""
    root = conf_folder()
    folders = (
        path for path in sorted(root.rglob("*")) if path.is_dir() and path.relative_to(root).parts[0] != "experiments"
    )
    return {
        path.relative_to(root).as_posix(): tuple(sorted(file.stem for file in path.glob("*.yaml"))) for path in folders
    }


def _parsed(parser: ArgumentParser, arguments: Sequence[str]) -> Namespace:
    parser.exit_on_error = False
    try:
        args, unknown = parser.parse_known_args(list(arguments))
    except ArgumentError as error:
        raise InputError(f"fedcredit run: {error}") from None
    if unknown:
        raise InputError(f"fedcredit run does not know {' '.join(unknown)}; fedcredit run --help lists what it knows")
    return args


def _composed(hydra: Hydra, args: Namespace, lines: list[str], job: Callable[[Experiment], T]) -> tuple[T, ...]:
    is_sweep = args.multirun or "hydra.mode=MULTIRUN" in lines
    if is_sweep and not any(line.startswith("hydra/launcher=") for line in lines):
        lines = ["hydra/launcher=joblib", *lines]
    for arm in _arms(hydra, lines) if is_sweep else [lines]:
        _checked(hydra.compose_config("config", arm, run_mode=RunMode.RUN))
    if args.info is not None:
        hydra.show_info(args.info, "config", overrides=lines)
        return ()
    if args.cfg:
        hydra.show_cfg("config", lines, cfg_type=args.cfg, package=args.package, resolve=args.resolve)
        return ()
    task = partial(_call, job)
    if not is_sweep:
        return (hydra.run("config", task, [*lines, "hydra.mode=RUN"]).return_value.result(),)
    batches = hydra.multirun("config", task, [*lines, "hydra.mode=MULTIRUN"])
    return tuple(job_return.return_value.result() for batch in batches for job_return in batch)


@dataclass(frozen=True, kw_only=True)
class _Outcome(Generic[T]):
    """What a job returned or raised; kept as a value, so that Hydra neither prints it nor drops the other arms."""

    value: T | None = None
    error: Exception | None = None

    def result(self) -> T:
        if self.error is not None:
            raise self.error
        return cast("T", self.value)


def _call(job: Callable[[Experiment], T], config: DictConfig) -> _Outcome[T]:
    try:
        return _Outcome(value=job(_checked(config)))
    except Exception as error:
        error.add_note("".join(traceback.format_exception(error)))
        return _Outcome(error=error)


def _checked(config: DictConfig) -> Experiment:
    data = OmegaConf.to_container(config, resolve=True, throw_on_missing=False)
    assert isinstance(data, dict)
    data.pop("hydra", None)
    if _REFUSED in data:
        raise InputError(str(data[_REFUSED]))
    return experiment_from_data({str(key): value for key, value in data.items()})


@contextmanager
def _hydra(folder: Path | None) -> Iterator[Hydra]:
    """Hand out a Hydra that knows our groups and the scanned experiments; leave no global state behind."""
    before = GlobalHydra.instance().hydra
    version.setbase("1.3")
    search_path = create_config_search_path(str(conf_folder()))
    if folder is not None:
        if not folder.is_dir():
            raise InputError(f"--config-dir {folder}: there is no such folder")
        search_path.prepend("command-line", f"file://{folder.resolve()}", anchor=SearchPathQuery(provider="schema"))
    search_path.prepend("schema", "structured://")
    _store_experiments(folder)
    GlobalHydra.instance().clear()
    try:
        yield Hydra.create_main_hydra2(task_name="fedcredit", config_search_path=search_path)
    finally:
        GlobalHydra.instance().hydra = before


@contextmanager
def _mistakes_as_input_errors() -> Iterator[None]:
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        raise InputError(_message(error)) from None


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


def _store_experiments(folder: Path | None) -> None:
    store = ConfigStore.instance()
    store.repo["experiments"] = {}
    for name, paths in _experiment_files(folder).items():
        study, _, arm = name.partition("/")
        node = _read_experiment(name, paths)
        store.store(group=f"experiments/{study}", name=arm, node=node, package="_global_", provider="scanned")


def _experiment_files(folder: Path | None) -> dict[str, list[Path]]:
    packed = _PACKAGE / "_conf" / "experiments"
    roots = [packed if packed.is_dir() else _CHECKOUT / "experiments", Path.cwd() / "experiments"]
    roots += [] if folder is None else [folder / "experiments"]
    found: dict[str, list[Path]] = {}
    for root in dict.fromkeys(root.resolve() for root in roots):
        for path in sorted(root.glob("*/*.yaml")):
            if path.stem != "expected":
                found.setdefault(f"{path.parent.name}/{path.stem}", []).append(path)
    return found


def _read_experiment(name: str, paths: Sequence[Path]) -> DictConfig:
    """Read an experiment file, or the refusal that stands in its place."""
    origin = str(paths[0])
    try:
        if not scan.is_name(name):
            raise InputError(f"{origin}: file and folder names may hold letters, digits and . _ - =")
        texts = {_text(path) for path in paths}
        if len(texts) > 1:
            raise InputError(f"experiments={name}: {' and '.join(map(str, paths))} differ; rename one of them")
        return _scanned(name, origin, texts.pop())
    except InputError as error:
        return OmegaConf.create({_REFUSED: str(error)})


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(scan.MAX_BYTES + 1).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as utf-8 text ({type(error).__name__})") from None


@cache
def _scanned(name: str, origin: str, text: str) -> DictConfig:
    scan.check_text(text, origin=origin)
    try:
        parsed = OmegaConf.to_container(OmegaConf.create(text), resolve=False)
    except (OmegaConfBaseException, YAMLError, ValueError) as error:
        raise InputError(f"{origin}: not valid: {' '.join(str(error).split())}") from None
    content = scan.check_content(parsed, origin=origin, study=name.split("/")[0], groups=config_groups())
    return OmegaConf.create({**content, "name": name})


def _rewritten(hydra: Hydra, lines: Sequence[str], names: Sequence[str]) -> list[str]:
    """Let typed overrides mean what they say: any key is checked by our model, any kind is an option of its group."""
    told = [_with_experiments(line, names) for line in lines]
    parsed = OverridesParser.create(config_loader=hydra.config_loader).parse_overrides(told)
    return [_rewrite(hydra, line, override) for line, override in zip(told, parsed, strict=True)]


def _with_experiments(line: str, names: Sequence[str]) -> str:
    """Spell ``experiment=`` as ``experiments=``, and a pattern as the experiments that it matches."""
    key, equals, value = line.partition("=")
    if not equals or key.lstrip("+") not in ("experiment", "experiments"):
        return line
    chosen = [name.strip() for name in value.split(",")] if "(" not in value else []
    for name in chosen:
        if name != "null" and not fnmatch.filter(names, name):
            raise InputError(f"experiments={name}: there is no such experiment; there are {', '.join(names)}")
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


def _arms(hydra: Hydra, lines: Sequence[str]) -> list[list[str]]:
    """Expand a sweep as Hydra's basic sweeper does."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    overrides = OverridesParser.create(config_loader=hydra.config_loader).parse_overrides(list(lines))
    batches = BasicSweeper.split_arguments(overrides, None)
    return [list(arm) for batch in batches for arm in batch]

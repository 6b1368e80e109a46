"""What stands behind ``fedcredit run``: one run, a sweep, or one of Hydra's displays."""

from __future__ import annotations

import traceback
from argparse import ArgumentError, ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from hydra._internal.hydra import Hydra
from hydra._internal.utils import get_args_parser
from hydra.types import RunMode
from omegaconf import DictConfig

from fedcredit.config.composing import checked, mistakes_as_input_errors, opened_hydra, rewritten
from fedcredit.config.files import experiment_names
from fedcredit.config.sweeps import Launcher, opened_sweep
from fedcredit.errors import InputError
from fedcredit.experiment.spec import Experiment

T = TypeVar("T")
Sweep = Callable[[Sequence[Experiment], Launcher], T]
_SWEEP = "hydra.mode=MULTIRUN"


def hydra_main(arguments: Sequence[str], *, job: Callable[[Experiment], T], sweep: Sweep[T]) -> T | None:
    """Serve ``fedcredit run``: one run, a sweep (``-m``), or one of Hydra's displays (``--cfg``, ``--help``, ...).

    Every arm of a sweep is composed and checked before the first one starts, and composed once.

    Args:
        arguments: the command line behind ``run``.
        job: called with the experiment of a single run.
        sweep: called with the experiments of a sweep and with what starts jobs on them.

    Returns:
        What ``job`` or ``sweep`` returned; None for a display.

    Raises:
        InputError: for a mistake in the arguments, in a config or in an experiment file.
    """
    parser = get_args_parser()
    args = _parsed(parser, arguments)
    folder = None if args.config_dir is None else Path(args.config_dir)
    with opened_hydra(folder) as hydra, mistakes_as_input_errors():
        if args.hydra_help:
            hydra.hydra_help("config", args_parser=parser, args=args)
        elif args.help:
            hydra.app_help("config", args_parser=parser, args=args)
        elif args.shell_completion:
            hydra.shell_completion("config", overrides=args.overrides)
        else:
            lines = rewritten(hydra, args.overrides, experiment_names(folder))
            return _composed(hydra, args, lines, job, sweep)
    return None


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of an experiment, for editors that complete and check experiment files."""
    return Experiment.model_json_schema()


def _parsed(parser: ArgumentParser, arguments: Sequence[str]) -> Namespace:
    parser.exit_on_error = False
    try:
        args, unknown = parser.parse_known_args(list(arguments))
    except ArgumentError as error:
        raise InputError(f"fedcredit run: {error}") from None
    if unknown:
        raise InputError(f"fedcredit run does not know {' '.join(unknown)}; fedcredit run --help lists what it knows")
    return args


def _composed(
    hydra: Hydra, args: Namespace, lines: list[str], job: Callable[[Experiment], T], sweep: Sweep[T]
) -> T | None:
    is_sweep = args.multirun or _SWEEP in lines
    if args.info is not None or args.cfg:
        _display(hydra, args, lines, is_sweep=is_sweep)
        return None
    if is_sweep:
        with opened_sweep(hydra, [*lines, _SWEEP]) as (experiments, launcher):
            return sweep(experiments, launcher)
    returned = hydra.run("config", partial(_call, job), [*lines, "hydra.mode=RUN"]).return_value
    return cast("_Outcome[T]", returned).result()


def _display(hydra: Hydra, args: Namespace, lines: list[str], *, is_sweep: bool) -> None:
    if is_sweep:
        with opened_sweep(hydra, [*lines, _SWEEP]):
            pass
    else:
        checked(hydra.compose_config("config", lines, run_mode=RunMode.RUN))
    if args.info is not None:
        hydra.show_info(args.info, "config", overrides=lines)
    else:
        hydra.show_cfg("config", lines, cfg_type=args.cfg, package=args.package, resolve=args.resolve)


@dataclass(frozen=True, kw_only=True)
class _Outcome(Generic[T]):
    """What a job returned or raised; kept as a value, so that Hydra does not print it."""

    value: T | None = None
    error: Exception | None = None

    def result(self) -> T:
        if self.error is not None:
            raise self.error
        return cast("T", self.value)


def _call(job: Callable[[Experiment], T], config: DictConfig) -> _Outcome[T]:
    try:
        return _Outcome(value=job(checked(config)))
    except Exception as error:
        error.add_note("".join(traceback.format_exception(error)))
        return _Outcome(error=error)

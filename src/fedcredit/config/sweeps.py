"""Sweeps through Hydra: arms composed once, and jobs started by any of Hydra's launchers.

A launcher of Hydra composes the config of every job once more, in the worker. Here it is handed a loader
that answers with the number of the arm alone, so that a job costs no composition.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from hydra._internal.callbacks import Callbacks
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.hydra import Hydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.core.singleton import Singleton
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from fedcredit.config.composing import checked
from fedcredit.errors import InputError
from fedcredit.experiment.spec import Experiment
from fedcredit.experiment.workers import THREADS

if TYPE_CHECKING:
    from hydra.core.config_loader import ConfigLoader

Task = Callable[[int], None]
_PLUGINS = "hydra_plugins.hydra_joblib_launcher."
_BASIC_LAUNCHER = "hydra._internal.core_plugins.basic_launcher."
_BASIC_SWEEPER = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"


@dataclass(frozen=True, kw_only=True)
class Launcher:
    """Starts jobs by one of Hydra's launchers.

    Attributes:
        num_workers: worker processes on this machine; 1 is this process itself, None another machine's business.
        folder: where the sweep may keep files while it goes on; seen by all workers.
    """

    num_workers: int | None
    folder: Path
    _config: DictConfig

    def launch(self, task: Task, arms: Sequence[int], *, folder: Path) -> None:
        """Call a task for each arm in the workers, and wait for all of them.

        Args:
            task: picklable; what it returns is dropped, and it does not raise.
            arms: what it is called with.
            folder: where the launcher may keep files of its own.

        Raises:
            Exception: whatever the launcher raises when a worker is lost.
        """
        config = copy.deepcopy(self._config)
        OmegaConf.set_readonly(config.hydra, False)
        config.hydra.sweep.dir = str(folder)
        config.hydra.job.env_set.update(dict.fromkeys(THREADS, "1"))
        launcher = Plugins.instance().instantiate_launcher(
            hydra_context=HydraContext(config_loader=cast("ConfigLoader", _Composed()), callbacks=Callbacks(config)),
            task_function=partial(_call, task),
            config=config,
        )
        before = Singleton.get_state()
        launcher.launch([[f"+arm={arm}"] for arm in arms], initial_job_idx=0)
        Singleton.set_state(before)


@contextmanager
def opened_sweep(hydra: Hydra, lines: Sequence[str]) -> Iterator[tuple[tuple[Experiment, ...], Launcher]]:
    """Compose and check every arm of a sweep once, and get ready to start jobs.

    Args:
        hydra: an open Hydra.
        lines: rewritten overrides, sweeps among them.

    Yields:
        The experiments in the order of the sweep, and the launcher.

    Raises:
        InputError: for a mistake in any arm, or a sweeper other than Hydra's basic one.
    """
    if not any(line.startswith("hydra/launcher=") for line in lines):
        lines = ["hydra/launcher=joblib", *lines]
    config = hydra.compose_config("config", list(lines), run_mode=RunMode.MULTIRUN)
    experiments = _experiments(hydra, _arms(config, lines))
    callbacks = Callbacks(config)
    callbacks.on_multirun_start(config=config, config_name="config")
    yield experiments, _launcher(config, len(experiments))
    callbacks.on_multirun_end(config=config, config_name="config")


def _arms(config: DictConfig, lines: Sequence[str]) -> list[list[Override]]:
    """Expand a sweep as Hydra's basic sweeper does."""
    sweeper = config.hydra.sweeper
    if sweeper.get("_target_") != _BASIC_SWEEPER:
        raise InputError(
            f"hydra/sweeper is {sweeper.get('_target_')}; allowed: basic, every combination of given values"
        )
    parser = OverridesParser.create()
    given = [f"{key}={value}" for key, value in (sweeper.get("params") or {}).items()]
    batches = BasicSweeper.split_arguments(parser.parse_overrides([*given, *lines]), None)
    return [parser.parse_overrides(list(arm)) for batch in batches for arm in batch]


def _experiments(hydra: Hydra, arms: Sequence[Sequence[Override]]) -> tuple[Experiment, ...]:
    """Compose each choice of options once, and put the values of its arms on top, as Hydra does for one arm."""
    bases: dict[tuple[str, ...], DictConfig] = {}

    @cache
    def is_group(key: str) -> bool:
        return bool(hydra.config_loader.get_group_options(key, results_filter=None))

    def is_choice(override: Override) -> bool:
        key = override.key_or_group
        is_value = isinstance(override.value(), dict) or not is_group(key)
        return key.startswith(("hydra.", "hydra/")) or not is_value

    def composed(arm: Sequence[Override]) -> Experiment:
        choices = tuple(str(override.input_line) for override in arm if is_choice(override))
        if choices not in bases:
            bases[choices] = _own_part(hydra.compose_config("config", list(choices), run_mode=RunMode.RUN), arm)
        config = copy.deepcopy(bases[choices])
        ConfigLoaderImpl._apply_overrides_to_config([override for override in arm if not is_choice(override)], config)
        return checked(config)

    return tuple(composed(arm) for arm in arms)


def _own_part(config: DictConfig, arm: Sequence[Override]) -> DictConfig:
    """Leave Hydra's own node out, which is most of a config, unless some value asks for it."""
    part = OmegaConf.masked_copy(config, [key for key in map(str, config) if key != "hydra"])
    values = [str(override.input_line) for override in arm]
    return config if "{hydra" in repr([part, values]) else part


def _launcher(config: DictConfig, num_arms: int) -> Launcher:
    own = OmegaConf.masked_copy(config, "hydra")
    own.hydra._set_parent(own)
    kind = str(own.hydra.launcher.get("_target_"))
    num_workers = 1 if kind.startswith(_BASIC_LAUNCHER) else None
    if kind.startswith(_PLUGINS):
        from joblib import effective_n_jobs

        num_workers = min(effective_n_jobs(own.hydra.launcher.n_jobs), num_arms)
        with open_dict(own.hydra.launcher):
            own.hydra.launcher.update({"n_jobs": num_workers, "batch_size": "1"})
    return Launcher(num_workers=num_workers, folder=Path(config.hydra.sweep.dir), _config=own)


@dataclass(frozen=True)
class _Composed:
    """Stands where a launcher looks for a config loader: a job's config is the number of its arm."""

    def load_sweep_config(self, master_config: DictConfig, sweep_overrides: Sequence[str]) -> DictConfig:
        config = copy.deepcopy(master_config)
        with open_dict(config):
            config.arm = int(sweep_overrides[-1].rpartition("=")[2])
        return config


def _call(task: Task, config: DictConfig) -> None:
    task(int(config.arm))

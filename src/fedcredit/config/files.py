"""Where options and experiment files are, and how the files are read: scanned first, then stored as data."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from hydra.core.config_store import ConfigNode, ConfigStore
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from fedcredit.errors import InputError
from fedcredit.experiment import scan

REFUSED = "_refused"
_NO_EXPERIMENTS = ("expected", "study")
_PACKAGE = Path(__file__).parents[1]
_CHECKOUT = _PACKAGE.parents[1]


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


def store_experiments(folder: Path | None) -> None:
    """Hand all experiment files to Hydra's config store; those asked for are read, as data or as the refusal of one.

    Args:
        folder: a folder of the caller's own with an ``experiments`` folder in it, or None.
    """
    studies: dict[str, _Arms] = {}
    for name, paths in _experiment_files(folder).items():
        study, _, arm = name.partition("/")
        studies.setdefault(study, _Arms(study)).add(arm, paths)
    ConfigStore.instance().repo["experiments"] = studies


class _Arms(dict[str, ConfigNode | None]):
    """A study as Hydra's store keeps it: its files are known from the start, and one is read when it is asked for."""

    def __init__(self, study: str) -> None:
        super().__init__()
        self._study = study
        self._paths: dict[str, list[Path]] = {}

    def add(self, arm: str, paths: list[Path]) -> None:
        self[f"{arm}.yaml"] = None
        self._paths[f"{arm}.yaml"] = paths

    def __getitem__(self, file: str) -> ConfigNode:
        node = _read_experiment(f"{self._study}/{file.removesuffix('.yaml')}", self._paths[file])
        group = f"experiments/{self._study}"
        return ConfigNode(name=file, node=node, group=group, package="_global_", provider="scanned")


def experiment_roots(folder: Path | None = None) -> tuple[Path, ...]:
    """Return the folders that hold studies: those that come with fedcredit, the current one's, the caller's own."""
    packed = _PACKAGE / "_conf" / "experiments"
    roots = [packed if packed.is_dir() else _CHECKOUT / "experiments", Path.cwd() / "experiments"]
    roots += [] if folder is None else [folder / "experiments"]
    return tuple(dict.fromkeys(root.resolve() for root in roots))


def _experiment_files(folder: Path | None) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for root in experiment_roots(folder):
        for path in sorted(root.glob("*/*.yaml")):
            if path.stem not in _NO_EXPERIMENTS:
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
        return OmegaConf.create({REFUSED: sealed(str(error))})


def sealed(text: str) -> str:
    """Write a refusal so that nothing of the file which it quotes is a reference that would be resolved."""
    return text.encode("utf-8", "backslashreplace").hex()


def unsealed(text: str) -> str:
    """Read what `sealed` wrote."""
    return bytes.fromhex(text).decode()


def _text(path: Path) -> str:
    if not path.is_file():
        raise InputError(f"{path}: is not a plain file")
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
        raise InputError(f"{origin}: not valid: {scan.what_is_wrong(error)}") from None
    content = scan.check_content(parsed, origin=origin, study=name.split("/")[0], groups=config_groups())
    return OmegaConf.create({**content, "name": name})

"""Imports point one way: who may import what, read from the source itself."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src"
MODULES = {
    ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(SOURCE.rglob("*.py"))
}

# A library, and the only modules (with all below them) that may import it.
DOORS = {
    "hydra": ("fedcredit.config",),
    "hydra_plugins": (),
    "omegaconf": ("fedcredit.config",),
    "opacus": ("fedcredit.training.reference",),
    "flwr": ("fedcredit.federation", "fedcredit.model.arrays"),
    "flwr_datasets": ("fedcredit.data",),
    "ray": ("fedcredit.federation.runtimes",),
    "dp_accounting": ("fedcredit.privacy.accounting",),
    "typer": ("fedcredit.cli",),
    "click": ("fedcredit.cli",),
    "onnx": ("fedcredit.experiment.onnx_export",),
    "onnxruntime": (),
    "interpret": ("fedcredit.experiment.dp_ebm",),
    "pickle": (),
    # Flower's samplers draw from the global generator; the door puts its state back.
    "random": ("fedcredit.federation.flower_strategy",),
}

# A room, and the rooms of the package that it must not know.
WALLS = {
    "fedcredit.credit": ("federation", "training", "privacy", "data", "model", "config", "cli"),
    "fedcredit.data": ("federation", "training", "privacy", "credit", "model", "config", "cli"),
    "fedcredit.privacy": ("federation", "training", "credit", "model", "config", "cli"),
    "fedcredit.model": ("federation", "training", "privacy", "credit", "data", "config", "cli"),
    "fedcredit.training": ("federation", "credit", "config", "cli"),
    "fedcredit.federation": ("config", "cli"),
    "fedcredit.experiment": ("config", "cli"),
}
# Of the experiment room, other rooms may know the description and nothing that runs it.
DESCRIPTION = "fedcredit.experiment.spec"
ENTRIES_INTO_A_RUN = (
    "fedcredit", "fedcredit.cli", "fedcredit.federation.runtimes.ray_process",
    *(module for module in MODULES if module.startswith(("fedcredit.config", "fedcredit.cli."))),
)  # fmt: skip

HEAVY = ("torch", "numpy", "flwr", "ray", "opacus", "hydra", "omegaconf", "pydantic", "sklearn", "scipy", "pandas",
         "pyarrow", "matplotlib", "dp_accounting", "yaml")  # fmt: skip


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_in(module: str, room: str) -> bool:
    return module == room or module.startswith(f"{room}.")


def test_the_reader_sees_the_imports_of_the_door_to_hydra() -> None:
    seen = set(imports(MODULES["fedcredit.config.composing"]))
    assert "omegaconf.OmegaConf" in seen
    assert any(is_in(name, "hydra") for name in seen)


@pytest.mark.parametrize("module", MODULES)
def test_a_library_is_imported_through_its_door_alone(module: str) -> None:
    for name in imports(MODULES[module]):
        allowed = DOORS.get(name.split(".")[0], (module,))
        assert any(is_in(module, door) for door in allowed), f"{module} imports {name}; only {allowed} may"


@pytest.mark.parametrize("module", MODULES)
def test_rooms_know_only_the_rooms_below_them(module: str) -> None:
    for room, forbidden in WALLS.items():
        if is_in(module, room) and module not in ENTRIES_INTO_A_RUN:
            for name in imports(MODULES[module]):
                for other in forbidden:
                    assert not is_in(name, f"fedcredit.{other}"), f"{module} imports {name}"


@pytest.mark.parametrize("module", MODULES)
def test_of_the_experiment_room_other_rooms_know_the_description_alone(module: str) -> None:
    if not is_in(module, "fedcredit.experiment") and module not in ENTRIES_INTO_A_RUN:
        for name in imports(MODULES[module]):
            if is_in(name, "fedcredit.experiment"):
                assert is_in(name, DESCRIPTION), f"{module} imports {name}"


def test_the_description_of_an_experiment_imports_nothing_else_of_the_package() -> None:
    described = [module for module in MODULES if is_in(module, DESCRIPTION)]
    assert len(described) > 1
    for module in described:
        own = [name for name in imports(MODULES[module]) if is_in(name, "fedcredit")]
        assert all(is_in(name, DESCRIPTION) for name in own), f"{module} imports {own}"


@pytest.mark.parametrize("module", MODULES)
def test_nothing_touches_a_global_generator(module: str) -> None:
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute):
            text = ast.unparse(node)
            assert not text.startswith(("np.random.seed", "numpy.random.seed", "torch.manual_seed", "torch.seed")), text


def loaded(code: str) -> set[str]:
    code = f"import sys; {code}; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=_environment())
    return set(done.stdout.split())


def test_help_loads_no_heavy_library() -> None:
    assert sorted(loaded("import fedcredit.cli") & set(HEAVY)) == []


def test_what_starts_a_run_loads_nothing_that_only_some_runs_need() -> None:
    some = {"torch", "ray", "opacus", "sklearn", "pandas", "matplotlib", "dp_accounting", "fairlearn", "numba"}
    assert sorted(loaded("import fedcredit.experiment.runner") & some) == []


def _environment() -> dict[str, str]:
    return {"PYTHONPATH": str(SOURCE), "PATH": ""}

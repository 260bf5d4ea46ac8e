"""Imports point inwards, and what is heavy is paid for when it is used."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "diffusers", "scipy", "skimage", "rasterio", "h5py", "zarr", "matplotlib", "dask")
FACES = ("napari", "qtpy", "PySide6", "PyQt6", "pyqtgraph", "magicgui")


def loaded_by(statement: str) -> set[str]:
    """Top-level packages in memory after a statement, in a new process."""
    script = f"import sys\n{statement}\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd="/")
    return set(out.stdout.split())


def sources(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def imports_of(path: Path, *, only_module_level: bool = False) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = tree.body if only_module_level else ast.walk(tree)
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
    return found


@pytest.mark.parametrize(
    "statement",
    [
        "import hsi_app",
        "import hsi_app.methods.registry as r; r.methods(); r.broken_methods()",
        "import hsi_app.recipe",
        "import hsi_models.store",
        "import hsi_app.cli.main",
    ],
)
def test_what_must_answer_at_once_imports_nothing_heavy(statement: str) -> None:
    assert loaded_by(statement).isdisjoint((*HEAVY, *FACES))


def test_running_a_method_imports_no_viewer() -> None:
    statement = (
        "import numpy as np; from hsi_app import Cube, restore;"
        "restore(Cube(np.random.default_rng(0).random((4, 9, 9)).astype('f4')), 'lowrank')"
    )
    assert loaded_by(statement).isdisjoint(FACES)


@pytest.mark.parametrize("path", sources("hsi_app"), ids=lambda p: str(p.relative_to(ROOT)))
def test_the_engine_names_no_viewer_and_no_toolkit(path: Path) -> None:
    packages = {name.split(".")[0] for name in imports_of(path)}
    assert packages.isdisjoint((*FACES, "hsi_napari"))


@pytest.mark.parametrize("path", sources("hsi_app"), ids=lambda p: str(p.relative_to(ROOT)))
def test_only_the_command_line_parses_arguments(path: Path) -> None:
    if "cli" in path.parts:
        pytest.skip("the command line")
    assert imports_of(path).isdisjoint({"click", "argparse", "rich"})


@pytest.mark.parametrize("path", sources("models/hsi_models"), ids=lambda p: str(p.relative_to(ROOT)))
def test_networks_know_nothing_of_the_engine(path: Path) -> None:
    packages = {name.split(".")[0] for name in imports_of(path)}
    assert packages.isdisjoint({"hsi_app", "hsi_napari", "hsi_sample_data", *FACES})


@pytest.mark.parametrize("path", sources("sample_data"), ids=lambda p: str(p.relative_to(ROOT)))
def test_sample_data_know_nothing_of_the_engine(path: Path) -> None:
    assert {name.split(".")[0] for name in imports_of(path)}.isdisjoint({"hsi_app", "hsi_models", "hsi_napari"})


ALL = [p for folder in ("hsi_app", "models", "plugins", "sample_data", "benchmarks") for p in sources(folder)]


@pytest.mark.parametrize("path", ALL, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_module_is_longer_than_600_lines_or_named_after_nothing(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 600
    assert path.stem not in {"utils", "util", "helpers", "misc", "common", "base", "core"}


@pytest.mark.parametrize("path", ALL, ids=lambda p: str(p.relative_to(ROOT)))
def test_nothing_is_left_for_later(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"\b(TODO|FIXME|XXX|HACK)\b", text)
    assert "raise NotImplementedError" not in text
    assert not re.search(r"^\s*except( (Base)?Exception)?:", text, re.MULTILINE)
    assert not re.search(r"\b(eval|exec)\(|pickle\.load|allow_pickle=True|weights_only=False", text)

"""What is needed to run is in the package that pip installs."""

from __future__ import annotations

import subprocess
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

import hsi_app

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
TOOL = PROJECT["tool"]["setuptools"]


def tracked() -> list[Path]:
    listing = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listing.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / line for line in listing.stdout.splitlines() if (ROOT / line).is_file()]


def test_every_folder_of_modules_is_a_listed_package() -> None:
    found = set()
    for name, folder in TOOL["package-dir"].items():
        for path in (ROOT / folder).rglob("__init__.py"):
            parts = path.parent.relative_to(ROOT / folder).parts
            found.add(".".join([name, *parts]))
    assert found == set(TOOL["packages"])


def test_every_data_file_of_a_package_is_packed_with_it() -> None:
    left_out = []
    for name, folder in TOOL["package-dir"].items():
        patterns = TOOL["package-data"].get(name, [])
        for path in tracked():
            if path.is_relative_to(ROOT / folder) and path.suffix != ".py":
                inner = path.relative_to(ROOT / folder).as_posix()
                if not any(fnmatch(inner, pattern) for pattern in patterns):
                    left_out.append(inner)
    assert left_out == []


def test_the_version_is_told_once() -> None:
    assert PROJECT["project"]["version"] == hsi_app.__version__
    changes = (ROOT / "CHANGELOG.md").read_text()
    assert f"## [{hsi_app.__version__}]" in changes


def test_every_bound_of_a_dependency_has_its_reason_beside_it() -> None:
    lines = (ROOT / "pyproject.toml").read_text().splitlines()
    inside = lines[lines.index("dependencies = [") : lines.index("[project.scripts]")]
    unexplained = [line.strip() for line in inside if ("<" in line or "!=" in line) and "#" not in line]
    assert unexplained == []


def test_no_large_file_is_in_the_repository() -> None:
    def most(path: Path) -> int:
        return 16 * 2**20 if "weights" in path.parts and path.suffix == ".safetensors" else 3 * 2**20

    large = [
        f"{path.relative_to(ROOT)}: {path.stat().st_size}" for path in tracked() if path.stat().st_size > most(path)
    ]
    assert large == []


def test_the_bundled_samples_are_found_where_they_are_installed() -> None:
    import hsi_sample_data

    assert all(hsi_sample_data.path(name).is_file() for name in hsi_sample_data.names())

"""A method in somebody else's package is found by its entry point, and a broken one harms nobody."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

EXAMPLE = Path(__file__).resolve().parents[2] / "plugins" / "example_method"

LIST = """
import json
from hsi_app.methods.registry import broken_methods, methods
print(json.dumps([list(methods()), dict(broken_methods())]))
"""


def install(folder: Path, name: str, entry_points: dict[str, str]) -> None:
    """What pip leaves of a package's metadata."""
    info = folder / f"{name.replace('-', '_')}-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1.0\n")
    lines = [f"{key} = {value}" for key, value in entry_points.items()]
    (info / "entry_points.txt").write_text("\n".join(["[hsi_app.methods]", *lines, ""]))


def listed(*folders: Path) -> tuple[list[str], dict[str, str]]:
    """(usable, broken) methods of a new process that also looks into ``folders``."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders))}
    out = subprocess.run([sys.executable, "-c", LIST], env=env, capture_output=True, text=True, check=True)
    usable, broken = json.loads(out.stdout)
    return usable, broken


def test_the_example_package_is_found_by_the_entry_point_it_declares(tmp_path: Path) -> None:
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    install(tmp_path, project["name"], project["entry-points"]["hsi_app.methods"])
    usable, broken = listed(tmp_path, EXAMPLE)
    assert "savgol" in usable
    assert broken == {}


def test_a_broken_package_is_named_with_its_reason_and_the_rest_goes_on(tmp_path: Path) -> None:
    (tmp_path / "faulty.py").write_text("SPEC = 1 / 0\n")
    (tmp_path / "odd.py").write_text("SPEC = 'a text'\n")
    entry_points = {"absent": "no_such_package:SPEC", "faulty": "faulty:SPEC", "odd": "odd:SPEC", "bare": "odd:NONE"}
    install(tmp_path, "somebody", entry_points)
    usable, broken = listed(tmp_path)
    assert "lowrank" in usable
    assert set(broken) == set(entry_points)
    assert "No module named" in broken["absent"]
    assert "division by zero" in broken["faulty"]
    assert "not a MethodSpec" in broken["odd"]


def test_a_package_cannot_take_the_place_of_a_built_in_method(tmp_path: Path) -> None:
    install(tmp_path, "impostor", {"mine": "hsi_app.methods.lowrank.spec:SPEC"})
    usable, broken = listed(tmp_path)
    assert usable.count("lowrank") == 1
    assert "taken" in broken["mine"]


def test_an_option_no_form_can_show_makes_a_package_broken(tmp_path: Path) -> None:
    (tmp_path / "shapeless.py").write_text(
        "from hsi_app.methods.registry import MethodSpec\n"
        "from hsi_app.params import Parameters, parameter\n"
        "class P(Parameters):\n"
        "    sizes: list[int] = parameter([1], 'Sizes.')\n"
        "SPEC = MethodSpec('shapeless', 'S', 'S.', ('denoise',), P, 'shapeless:run')\n"
    )
    install(tmp_path, "shapeless-package", {"shapeless": "shapeless:SPEC"})
    assert "has no form" in listed(tmp_path)[1]["shapeless"]

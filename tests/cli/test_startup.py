"""What a user waits for before anything happens: the packages that a command imports."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from hsi_app.cli.main import cli

# Each costs between half a second and fifteen; none is needed to list, describe or refuse.
HEAVY = ("torch", "diffusers", "napari", "qtpy", "matplotlib", "scipy", "skimage", "h5py", "zarr", "dask", "rasterio")

_PROBE = """
import json, sys
from hsi_app.cli.main import cli
try:
    cli.main({arguments!r})
except SystemExit as end:
    assert end.code == {code}, end.code
print()
print(json.dumps(sorted({{name.partition(".")[0] for name in sys.modules}})))
"""


def modules_after(*arguments: str, code: int = 0) -> set[str]:
    """Top-level packages loaded once ``hsi-app ARGUMENTS`` has run in a fresh interpreter."""
    probe = _PROBE.format(arguments=list(arguments), code=code)
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--help",), 0),
        (("methods",), 0),
        (("restore", "lowrank", "--help"), 0),
        (("restore", "lowrank", "absent.hdr", "out.hdr"), 4),
        (("cite", "lowrank"), 0),
        (("completion", "bash"), 0),
    ],
)
def test_command_that_computes_nothing_loads_no_heavy_package(arguments: tuple[str, ...], code: int) -> None:
    assert modules_after(*arguments, code=code).isdisjoint(HEAVY)


def test_info_on_an_envi_file_loads_no_tensor_or_viewer_package() -> None:
    import hsi_sample_data

    loaded = modules_after("info", str(hsi_sample_data.path("scene_noisy")))
    assert loaded.isdisjoint({"torch", "diffusers", "napari", "matplotlib", "qtpy"})


@pytest.mark.parametrize("arguments", [[], ["restore"]])
def test_bare_name_of_a_group_shows_its_help(arguments: list[str]) -> None:
    bare, asked = (CliRunner().invoke(cli, [*arguments, *more]) for more in ([], ["--help"]))
    assert (bare.exit_code, bare.stdout, bare.stderr) == (0, asked.stdout, "")

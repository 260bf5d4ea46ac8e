"""``hsi-app view``: the cubes in napari, with the plugin's docks."""

from __future__ import annotations

import importlib
from pathlib import Path

import click

from hsi_app.errors import CapabilityError, FormatError


@click.command()
@click.argument("paths", nargs=-1)
def view(paths: tuple[str, ...]) -> None:
    """Open PATHS in napari; without any, napari opens empty."""
    for path in paths:
        if not Path(path.split("::")[0]).exists():
            raise FormatError(f"no file '{path}'; check the path.")
    # By name: the engine knows no viewer, and the command line only starts one.
    try:
        launch = importlib.import_module("hsi_napari.launch")
    except ModuleNotFoundError as missing:
        if missing.name is not None and missing.name.split(".")[0] not in ("napari", "qtpy", "hsi_napari", "npe2"):
            raise
        raise CapabilityError(
            f"the viewer needs '{missing.name}', which is not installed; run: pip install \"hsi-app[gui]\"."
        ) from None
    launch.view(paths)

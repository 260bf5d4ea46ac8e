"""``hsi-app view``: the cubes in napari, with the plugin's docks."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

import click

from hsi_app.errors import CapabilityError, FormatError

_PLUGIN = "hsi-app"


@click.command(short_help="Open cubes in napari.")
@click.argument("paths", nargs=-1, type=click.Path())
def view(paths: tuple[str, ...]) -> None:
    """Open PATHS in napari, with the docks of hsi-app; without any, napari opens empty."""
    for path in paths:
        if not Path(path.split("::")[0]).exists():
            raise FormatError(f"no file '{path}'; check the path.")
    # By name: the engine knows no viewer, and the command line only starts one.
    try:
        napari = importlib.import_module("napari")
        importlib.import_module("qtpy.QtWidgets")
    except ImportError as missing:
        what = missing.name or "a Qt binding"
        raise CapabilityError(
            f"the viewer needs {what}, which cannot be loaded; run: pip install 'hsi-app[gui]'."
        ) from None
    if sys.platform == "linux" and not any(os.environ.get(v) for v in ("DISPLAY", "WAYLAND_DISPLAY")):
        raise CapabilityError("there is no display to open a window on (DISPLAY is not set); run it on a desktop.")
    viewer = napari.Viewer()
    if paths:
        viewer.open(list(paths), plugin=_PLUGIN)
    widgets = importlib.import_module("npe2").PluginManager.instance().get_manifest(_PLUGIN).contributions.widgets
    for widget in widgets or ():
        viewer.window.add_plugin_dock_widget(_PLUGIN, widget.display_name, tabify=True)
    napari.run()

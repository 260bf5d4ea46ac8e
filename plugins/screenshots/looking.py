"""Looking at cubes: colours and bands, spectra, before and after."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .stage import BAND, PINS, open_dock, picture, restored, settle, shoot, stage, wait

if TYPE_CHECKING:
    from napari import Viewer


@picture("pictures/cube.png")
def cube(path: Path) -> None:
    """The colour picture and the quality of the bands, the noisy ones selected."""
    with stage() as viewer:
        (scene,) = viewer.open_sample("hsi-app", "noisy")
        dock = open_dock(viewer, "Cube", width_px=430)
        dock.picture.choose_preset("infrared")
        dock.bands.measure()
        wait(lambda: not dock.bands.measuring.is_running)
        dock.bands.select_striped()
        viewer.layers.selection.active = scene
        shoot(viewer, path)


@picture("pictures/spectrum.png")
def spectrum(path: Path) -> None:
    """Pins before and after, the mean of painted regions, and the best matches of a library."""
    import hsi_sample_data

    with restored() as (viewer, scene, better):
        painted = np.zeros(scene.data.shape[1:], int)
        painted[66:73, 38:46], painted[25:32, 66:74] = 1, 2  # a field, the gravel pit
        viewer.add_labels(painted, name="fields", opacity=0.5)
        viewer.layers.selection.active = scene
        dock = open_dock(viewer, "Spectrum", "bottom")
        dock.second_choice.choose(better)
        dock.tools.library.setChecked(True)
        dock.library.open(hsi_sample_data.path("library"))
        for place in PINS:
            dock.pin(*place)
        dock.tools.regions.choose(viewer.layers["fields"])
        settle(4000)
        dock.library.choose([0])
        shoot(viewer, path)


@picture("pictures/compare.png")
def compare(path: Path) -> None:
    """A divider between the noisy and the restored scene."""
    from hsi_napari.compare_modes import Mode

    with _comparing() as (viewer, dock):
        dock.comparison.set_mode(Mode.SWIPE)
        dock.comparison.move(0.45)
        dock.figures.open()
        settle(3000)
        shoot(viewer, path)


@picture("pictures/side-by-side.png")
def side_by_side(path: Path) -> None:
    """Both scenes beside each other, moved together."""
    from hsi_napari.compare_modes import Mode

    with _comparing() as (viewer, dock):
        dock.comparison.set_mode(Mode.SIDE)
        settle(3000)
        shoot(viewer, path)


@picture("pictures/trust.png")
def trust(path: Path) -> None:
    """What was removed, band by band, and whether pinned pixels are still found."""
    with restored() as (viewer, scene, better):
        viewer.layers.selection.active = scene
        dock = open_dock(viewer, "Trust", width_px=430)
        dock.after_choice.choose(better)
        dock.check()
        wait(lambda: not dock.is_running)
        shoot(viewer, path)


@contextmanager
def _comparing() -> Iterator[tuple[Viewer, Any]]:
    """The Compare dock beside the noisy and the restored scene."""
    with restored() as (viewer, scene, _):
        dock = open_dock(viewer, "Compare")
        viewer.layers.selection.active = scene
        viewer.dims.set_current_step(0, BAND + 3)
        yield viewer, dock

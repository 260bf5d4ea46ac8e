"""Fusion, unmixing, a batch, and the plugin's page of the Preferences."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from .stage import BAND, PINS, finish, open_dock, picture, settle, shoot, stage, wait

# What the scenes of the batch suffer from, and how many are done when its picture is taken.
SPOILT = ("mixed-5", "gauss-50", "mixed-2", "gauss-70", "mixed-4") * 2
SHOWN_DONE = 3


@picture("fuse.png")
def fuse(path: Path) -> None:
    """The noisy scene made sharp by the camera's picture, with spectra of both."""
    with stage() as viewer:
        (scene,) = viewer.open_sample("hsi-app", "noisy")
        viewer.open_sample("hsi-app", "sharp")
        dock = open_dock(viewer, "Fuse")
        spectra = open_dock(viewer, "Spectrum", "bottom")
        viewer.dims.set_current_step(0, BAND)
        settle()
        dock.run()
        finish(dock)
        spectra.first_choice.choose(scene)
        for place in PINS:
            spectra.pin(*place)
        shoot(viewer, path)


@picture("unmix.png")
def unmix(path: Path) -> None:
    """Materials of the clean scene as coloured layers, with their spectra."""
    with stage() as viewer:
        scene = viewer.open_sample("hsi-app", "clean")[0]
        viewer.layers.selection.active = scene
        dock = open_dock(viewer, "Unmix", width_px=430)
        dock.form.options()[0].put({"endmembers": 6})
        dock.run()
        finish(dock)
        settle(1500)
        dock.bring_into_view(dock.results)
        shoot(viewer, path)


@picture("batch.png")
def batch(path: Path) -> None:
    """Scenes at work, one that is damaged, and a result that was opened meanwhile."""
    from hsi_app.recipe import Recipe, Step, write_recipe

    with TemporaryDirectory() as made, stage() as viewer:
        flight = flight_in(Path(made))
        recipe = write_recipe(Recipe((Step("lowrank", "denoise", {"rank": 8}),)), Path(made) / "denoise.toml")
        dock = open_dock(viewer, "Batch", width_px=460)
        dock.form.put_recipe(str(recipe))
        dock.form.inputs.add([str(flight)])
        dock.form.how.put({"workers": 2})
        settle()
        dock.run()
        counts = dock.results.model.scenes
        wait(lambda: counts.counts["done"] >= SHOWN_DONE or not dock.foot.is_running)
        viewer.open(counts.rows[0].source, plugin="hsi-app")
        dock.open_result(0)
        wait(lambda: "restored" in viewer.layers[-1].name)
        viewer.dims.set_current_step(0, BAND)
        dock.results.choose_failed()
        wait(lambda: sum(scene.fraction > 0.2 for scene in counts.rows) > 1, 60_000)
        shoot(viewer, path)
        dock.stop()
        wait(lambda: not dock.foot.is_running)


def flight_in(folder: Path) -> Path:
    """A folder of ten scenes that differ, the third one damaged; large enough that a picture can be taken meanwhile."""
    import hsi_sample_data

    from hsi_app import degrade, open_cube
    from hsi_app.cube import Cube
    from hsi_app.io import save_cube
    from hsi_app.physics.resample import interpolated

    flight = folder / "flight_0612"
    flight.mkdir()
    clean = interpolated(open_cube(hsi_sample_data.path("scene_clean")), 2)
    for number, spoilt in enumerate(SPOILT, 1):
        turned = np.rot90(clean.read()[:, :: -1 if number % 2 else 1], number // 2, axes=(1, 2))
        scene = Cube(np.ascontiguousarray(turned), clean.axis, unit=clean.unit)
        save_cube(degrade(scene, spoilt, seed=number).observed, flight / f"line_{number:02d}.hdr")
    data = flight / "line_03.bsq"
    data.write_bytes(data.read_bytes()[:1_000_000])
    return flight


@picture("pictures/preferences.png")
def preferences(path: Path) -> None:
    """The page Hyperspectral of napari's Preferences."""
    from napari._qt.dialogs.preferences_dialog import PreferencesDialog

    with stage() as viewer:
        dialog = PreferencesDialog(parent=viewer.window._qt_window)
        dialog.resize(820, 420)
        for row in range(dialog._list.count()):
            if dialog._list.item(row).text() == "Hyperspectral":
                dialog._list.setCurrentRow(row)
        dialog.show()
        settle()
        path.parent.mkdir(parents=True, exist_ok=True)
        dialog.grab().save(str(path))
        dialog.close()

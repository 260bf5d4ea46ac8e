"""Make the pictures of the plugin for the README.

xvfb-run python plugins/screenshot.py docs/plugin.png
xvfb-run python plugins/screenshot.py docs/forming.png forming
xvfb-run python plugins/screenshot.py docs/filling.png filling
xvfb-run python plugins/screenshot.py docs/fuse.png fuse
xvfb-run python plugins/screenshot.py docs/prompt.png prompt
xvfb-run python plugins/screenshot.py docs/batch.png batch
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

SIZE = (1500, 940)
# A band with stripes, a region with fields, houses and river, and places on a field and a roof.
BAND, REGION, PINS = 36, (24, 14, 72, 62), ((60.0, 40.0), (32.0, 26.0))
LIMIT_MS = 300_000
# What the scenes of the batch suffer from, and how many are done when its picture is taken.
SPOILT = ("mixed-5", "gauss-50", "mixed-2", "gauss-70", "mixed-4") * 2
SHOWN_DONE = 3
PROMPT = "get rid of the noise and the stripes, leave the haze alone"


def wait(done: Callable[[], bool], limit_ms: int = LIMIT_MS) -> None:
    """Let the window work until something is done."""
    from qtpy.QtCore import QDeadlineTimer, QEventLoop
    from qtpy.QtWidgets import QApplication

    deadline = QDeadlineTimer(limit_ms)
    while not done() and not deadline.hasExpired():
        QApplication.processEvents(QEventLoop.ProcessEventsFlag.AllEvents, 50)


def settle() -> None:
    """Give the window time to draw."""
    wait(lambda: False, 800)


def take_forming(path: Path, task: str, method: str, at: int, degradation: str | None = None) -> Path:
    """Open the sample, restore it, and save a picture while the result forms.

    at : progress of the picture in thousandths; degradation : of the clean sample, which stands for the noisy one then
    """
    import napari

    viewer = napari.Viewer()
    viewer.theme = "dark"
    viewer.window.resize(*SIZE)
    if degradation is None:
        viewer.open_sample("hsi-app", "noisy")
    else:
        import hsi_sample_data
        from hsi_napari.layers import cube_to_layer
        from napari.layers import Layer

        from hsi_app import degrade, open_cube

        spoilt = degrade(open_cube(hsi_sample_data.path("scene_clean")), degradation, seed=0).observed
        viewer.add_layer(Layer.create(*cube_to_layer(spoilt, degradation)))
    _, restore = viewer.window.add_plugin_dock_widget("hsi-app", "Restore")
    restore.form.choose(task, method)
    restore.run()
    wait(lambda: "· forming" in viewer.layers[-1].name and restore.run_panel.bar.value() > at)
    viewer.reset_view()
    settle()
    viewer.screenshot(str(path), canvas_only=False, flash=False)
    restore.cancel()
    wait(lambda: not restore.run_panel.is_running)
    viewer.close()
    return path


def take_fuse(path: Path) -> Path:
    """Open the noisy sample and the sharp one, fuse them, pin spectra, and save a picture of the window."""
    import napari
    from hsi_napari.spectrum_dock import SpectrumDock

    viewer = napari.Viewer()
    viewer.theme = "dark"
    viewer.window.resize(*SIZE)
    (scene,) = viewer.open_sample("hsi-app", "noisy")
    viewer.open_sample("hsi-app", "sharp")
    _, dock = viewer.window.add_plugin_dock_widget("hsi-app", "Fuse")
    spectra = SpectrumDock(viewer)
    viewer.window.add_dock_widget(spectra, name="Spectrum (hsi-app)", area="bottom")
    viewer.dims.set_current_step(0, BAND)
    settle()
    dock.run()
    wait(lambda: not dock.run_panel.is_running)
    if dock.run_panel.message.is_error:
        raise SystemExit(dock.run_panel.message.text())
    spectra.first_choice.choose(scene)
    for place in PINS:
        spectra.pin(*place)
    settle()
    viewer.reset_view()
    settle()
    path.parent.mkdir(parents=True, exist_ok=True)
    viewer.screenshot(str(path), canvas_only=False, flash=False)
    viewer.close()
    return path


def take_prompt(path: Path, theme: str = "dark") -> Path:
    """Open the noisy sample, say in words what to do, preview a region, and save a picture of the window."""
    import napari
    from hsi_napari.region import region_layer

    viewer = napari.Viewer()
    viewer.theme = theme
    viewer.window.resize(*SIZE)
    (scene,) = viewer.open_sample("hsi-app", "noisy")
    _, dock = viewer.window.add_plugin_dock_widget("hsi-app", "Restore")
    viewer.dims.set_current_step(0, BAND)
    settle()
    dock.form.choose("denoise", "mphsir")
    asked = dock.form.options()[0]
    asked.put({"prompt": PROMPT})
    top, left, bottom, right = (edge - 0.5 for edge in REGION)
    region = region_layer(viewer)
    region.add_rectangles(np.array([[top, left], [top, right], [bottom, right], [bottom, left]]))
    dock.preview()
    wait(lambda: not dock.run_panel.is_running)
    if dock.run_panel.message.is_error:
        raise SystemExit(dock.run_panel.message.text())
    region.visible = False
    viewer.layers.selection.active = scene
    viewer.reset_view()
    settle()
    dock.bring_into_view(asked)
    settle()
    path.parent.mkdir(parents=True, exist_ok=True)
    viewer.screenshot(str(path), canvas_only=False, flash=False)
    viewer.close()
    return path


def take_batch(path: Path, theme: str = "dark") -> Path:
    """Run a batch of scenes of which one is damaged, open a result, and save a picture of the window meanwhile."""
    import hsi_sample_data
    import napari
    from qtpy.QtCore import Qt

    from hsi_app import degrade, open_cube
    from hsi_app.cube import Cube
    from hsi_app.io import save_cube
    from hsi_app.physics.resample import interpolated
    from hsi_app.recipe import Recipe, Step, write_recipe

    with TemporaryDirectory() as made:
        flight = Path(made) / "flight_0612"
        flight.mkdir()
        # Large enough that a picture can be taken meanwhile.
        clean = interpolated(open_cube(hsi_sample_data.path("scene_clean")), 2)
        for number, spoilt in enumerate(SPOILT, 1):
            # Turned and mirrored: scenes that differ.
            turned = np.rot90(clean.read()[:, :: -1 if number % 2 else 1], number // 2, axes=(1, 2))
            scene = Cube(np.ascontiguousarray(turned), clean.axis, unit=clean.unit)
            save_cube(degrade(scene, spoilt, seed=number).observed, flight / f"line_{number:02d}.hdr")
        data = flight / "line_03.bsq"
        data.write_bytes(data.read_bytes()[:1_000_000])
        recipe = write_recipe(Recipe((Step("lowrank", "denoise", {"rank": 8}),)), Path(made) / "denoise.toml")
        viewer = napari.Viewer()
        viewer.theme = theme
        viewer.window.resize(*SIZE)
        place, dock = viewer.window.add_plugin_dock_widget("hsi-app", "Batch")
        viewer.window._qt_window.resizeDocks([place], [460], Qt.Orientation.Horizontal)
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
        viewer.reset_view()
        settle()
        path.parent.mkdir(parents=True, exist_ok=True)
        viewer.screenshot(str(path), canvas_only=False, flash=False)
        dock.stop()
        wait(lambda: not dock.foot.is_running)
        viewer.close()
    return path


def take(path: Path, theme: str = "dark") -> Path:
    """Open the sample, preview a region, restore the cube, pin spectra, and save a picture of the window."""
    import napari
    from hsi_napari.region import region_layer

    viewer = napari.Viewer()
    viewer.theme = theme
    viewer.window.resize(*SIZE)
    (scene,) = viewer.open_sample("hsi-app", "noisy")
    _, restore = viewer.window.add_plugin_dock_widget("hsi-app", "Restore")
    from hsi_napari.spectrum_dock import SpectrumDock

    spectra = SpectrumDock(viewer)
    viewer.window.add_dock_widget(spectra, name="Spectrum (hsi-app)", area="bottom")
    viewer.dims.set_current_step(0, BAND)
    settle()

    def wait_for_run() -> None:
        wait(lambda: not restore.run_panel.is_running)
        if restore.run_panel.message.is_error:
            raise SystemExit(restore.run_panel.message.text())

    restore.form.choose("denoise", "lowrank")
    restore.run()
    wait_for_run()
    top, left, bottom, right = (edge - 0.5 for edge in REGION)
    region = region_layer(viewer)
    region.add_rectangles(np.array([[top, left], [top, right], [bottom, right], [bottom, left]]))
    restore.preview()
    wait_for_run()
    region.visible = False
    restore.results.compare.click()
    viewer.layers.selection.active = scene
    spectra.second_choice.choose(viewer.layers[f"{scene.name} · restored"])
    for place in PINS:
        spectra.pin(*place)
    settle()
    viewer.reset_view()
    settle()
    path.parent.mkdir(parents=True, exist_ok=True)
    viewer.screenshot(str(path), canvas_only=False, flash=False)
    viewer.close()
    return path


if __name__ == "__main__":
    place = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/plugin.png")
    what = sys.argv[2] if len(sys.argv) > 2 else "dark"
    if what == "forming":
        print(take_forming(place, "sr", "hirdiff", 700))
    elif what == "filling":
        print(take_forming(place, "inpaint", "dds2m", 600, "inpaint-0.9+lines-0.1"))
    elif what == "fuse":
        print(take_fuse(place))
    elif what == "batch":
        print(take_batch(place))
    elif what == "prompt":
        print(take_prompt(place))
    else:
        print(take(place, what))

"""One person's way through the plugin in a real window: open, preview, run, cancel, pin, save, open again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("qtpy", reason="the extra 'gui' is not installed")

pytestmark = pytest.mark.gui

LONG_MS = 120_000


def click(toolkit: Any, viewer: Any, y: float, x: float) -> None:
    """Press and release the mouse over a place of the world."""
    from hsi_napari.viewer_parts import camera
    from qtpy.QtCore import QPoint, Qt

    canvas = viewer.window._qt_viewer.canvas.native
    view = camera(viewer)
    across = canvas.width() / 2 + (x - view.center[2]) * view.zoom
    down = canvas.height() / 2 + (y - view.center[1]) * view.zoom
    place = QPoint(round(across), round(down))
    toolkit.mouseMove(canvas, place)
    toolkit.mouseClick(canvas, Qt.MouseButton.LeftButton, pos=place)


def test_a_person_restores_the_sample(window: Callable[..., Any], toolkit: Any, pictures: Path, tmp_path: Path) -> None:
    from hsi_napari.facts import RUN
    from hsi_napari.layers import cube_of
    from hsi_napari.region import region_layer
    from qtpy.QtWidgets import QApplication

    viewer = window(show=True)
    viewer.window.resize(1500, 950)
    (scene,) = viewer.open_sample("hsi-app", "noisy")
    assert viewer.canvas.overlays.text.text.startswith("band ")
    _, dock = viewer.window.add_plugin_dock_widget("hsi-app", "Restore")
    _, spectra = viewer.window.add_plugin_dock_widget("hsi-app", "Spectrum")
    toolkit.waitUntil(lambda: dock.isVisible() and spectra.isVisible())

    def wait() -> None:
        toolkit.waitUntil(lambda: not dock.run_panel.is_running, timeout=LONG_MS)

    # A look at a part first.
    dock.form.choose("denoise", "lowrank")
    dock.form.options()[0].put({"denoiser": "none", "outliers": "off"})  # the quickest way through
    region_layer(viewer).add_rectangles(np.array([[19.5, 9.5], [19.5, 41.5], [51.5, 41.5], [51.5, 9.5]]))
    dock.preview()
    wait()
    assert not dock.run_panel.message.is_error, dock.run_panel.message.text()
    preview = viewer.layers[f"{scene.name} · preview"]
    assert preview.data.shape == (90, 32, 32)
    assert tuple(preview.translate) == (0, 20, 10)

    # Then the whole.
    dock.run()
    wait()
    restored = viewer.layers[f"{scene.name} · restored"]
    assert restored.data.shape == scene.data.shape
    assert restored.metadata[RUN]["options"]["denoiser"] == "none"

    # A second run is not wanted after all.
    before = [layer.name for layer in viewer.layers]
    dock.form.options()[0].put({"denoiser": "collaborative"})
    dock.run()
    toolkit.waitUntil(lambda: dock.run_panel.bar.value() > 0, timeout=LONG_MS)
    dock.cancel()
    wait()
    assert [layer.name for layer in viewer.layers] == before
    assert "Cancelled" in dock.run_panel.message.text()

    # Two spectra, picked with the mouse.
    viewer.layers[f"{scene.name} · preview"].visible = False
    viewer.layers.selection.active = scene
    viewer.reset_view()
    for place in ((30.0, 25.0), (60.0, 60.0)):
        click(toolkit, viewer, *place)
    toolkit.waitUntil(lambda: len(spectra.model.pins) == 2)
    for pin, place in zip(spectra.model.pins, ((30, 25), (60, 60)), strict=True):
        assert (round(pin.y), round(pin.x)) == place
    assert spectra.second_choice.layer() is restored
    assert len(spectra.plot.lines()) == 4
    spectra.export_to(tmp_path / "pins.csv")
    assert (tmp_path / "pins.csv").read_text(encoding="utf-8").count("# pin") == 2

    # Saved and opened again it is the same cube.
    with toolkit.waitSignal(dock.results.told, timeout=LONG_MS):
        dock.results.save_to(tmp_path / "restored.hdr")
    (again,) = viewer.open(str(tmp_path / "restored.hdr"), plugin="hsi-app")
    kept, opened = cube_of(restored), cube_of(again)
    assert np.array_equal(opened.read(), kept.read())
    assert opened.axis == kept.axis
    assert opened.georef == kept.georef or opened.georef.transform == pytest.approx(kept.georef.transform)
    viewer.layers.remove(again)

    QApplication.processEvents()  # what is new in the legend finds its place
    viewer.screenshot(str(pictures / "journey.png"), canvas_only=False, flash=False)
    assert (pictures / "journey.png").stat().st_size > 50_000


def test_closing_the_window_stops_the_run(
    window: Callable[..., Any], toolkit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from qtpy.QtCore import QThreadPool

    from hsi_app.jobs import Job

    def restore(*given: Any, job: Job, **more: Any) -> None:
        while True:
            job.step(0.25, "waiting")

    monkeypatch.setattr("hsi_app.runner.restore", restore)
    viewer = window(show=True)
    viewer.open_sample("hsi-app", "noisy")
    _, dock = viewer.window.add_plugin_dock_widget("hsi-app", "Restore")
    dock.run()
    toolkit.waitUntil(lambda: dock.run_panel.bar.value() > 0, timeout=LONG_MS)
    job = dock._worker.job
    dock = _ = None  # only the window holds the dock now
    viewer.close()
    toolkit.waitUntil(lambda: job.is_cancelled, timeout=LONG_MS)
    assert QThreadPool.globalInstance().waitForDone(LONG_MS)

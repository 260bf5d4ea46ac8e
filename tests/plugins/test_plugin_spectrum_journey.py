"""One person's way through the Spectrum dock in a real window: pin, draw, paint, compare with a library, save."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("qtpy", reason="the extra 'gui' is not installed")

pytestmark = pytest.mark.gui

LONG_MS = 60_000


def drag(toolkit: Any, viewer: Any, *places: tuple[float, float]) -> None:
    """Press the mouse over the first place of the world, move over the others, release over the last."""
    from hsi_napari.viewer_parts import camera
    from qtpy.QtCore import QPoint, Qt

    canvas = viewer.window._qt_viewer.canvas.native
    view = camera(viewer)
    points = [
        QPoint(
            round(canvas.width() / 2 + (x - view.center[2]) * view.zoom),
            round(canvas.height() / 2 + (y - view.center[1]) * view.zoom),
        )
        for y, x in places
    ]
    toolkit.mouseMove(canvas, points[0])
    toolkit.mousePress(canvas, Qt.MouseButton.LeftButton, pos=points[0])
    for point in points[1:]:
        toolkit.mouseMove(canvas, point)
    toolkit.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=points[-1])


def test_a_person_compares_regions_with_a_library(
    window: Callable[..., Any], toolkit: Any, pictures: Path, tmp_path: Path
) -> None:
    from hsi_napari.layers import cube_of
    from qtpy.QtWidgets import QApplication

    from hsi_app.io.spectral_library import write_library
    from hsi_app.library import SpectralLibrary

    viewer = window(show=True)
    viewer.window.resize(1500, 940)
    (scene,) = viewer.open_sample("hsi-app", "clean")[:1]
    _, dock = viewer.window.add_plugin_dock_widget("hsi-app", "Spectrum")
    toolkit.waitUntil(dock.isVisible)
    for layer in viewer.layers[1:]:
        layer.visible = False
    viewer.layers.selection.active = scene
    viewer.reset_view()
    QApplication.processEvents()

    # A library of what stands at four places of the scene, under names.
    cube = cube_of(scene)
    places = {"river": (30, 46), "field": (12, 25), "wood": (50, 60), "meadow": (70, 20)}
    spectra = np.stack([cube.spectrum(*place) for place in places.values()], axis=1)
    write_library(SpectralLibrary(spectra, tuple(places), cube.axis.centres_nm), tmp_path / "places.csv")

    # A pin with the mouse, and regions painted with it.
    drag(toolkit, viewer, (12.0, 25.0))
    toolkit.waitUntil(lambda: len(dock.model.pins) == 1)
    labels = viewer.add_labels(np.zeros(cube.shape[1:], np.uint8), name="areas")
    dock.region_choice.choose(labels)
    labels.mode, labels.brush_size, labels.selected_label = "paint", 8, 1
    viewer.layers.selection.active = labels
    drag(toolkit, viewer, (46.0, 56.0), (50.0, 60.0), (54.0, 64.0))
    assert labels.data.any()
    toolkit.waitUntil(lambda: [region.name for region in dock.model.regions] == ["label 1"], timeout=LONG_MS)
    labels.selected_label = 2
    drag(toolkit, viewer, (70.0, 16.0), (70.0, 24.0))
    toolkit.waitUntil(lambda: len(dock.model.regions) == 2 and not dock.regions.is_busy, timeout=LONG_MS)
    assert len(dock.model.pins) == 1  # painting is not pinning
    counts = [region.first.count for region in dock.model.regions]
    assert counts == [int((labels.data == k).sum()) for k in (1, 2)]

    # The library knows the pin.
    dock.tools.library.click()
    dock.library.open(tmp_path / "places.csv")
    dock.library.picked.setCurrentText("1")
    toolkit.waitUntil(lambda: dock.library.table.item(0, 0).text() == "field", timeout=LONG_MS)
    dock.library.choose([0])
    assert len(dock.plot.library_lines()) == 1

    # Views, and what is saved.
    dock.tools.view.setCurrentIndex(1)
    assert dock.plot.item.getAxis("left").labelText == "Continuum removed"
    dock.tools.view.setCurrentIndex(0)
    for name in ("spectra.csv", "spectra.png", "spectra.svg"):
        dock.export_to(tmp_path / name)
        assert dock.message.text() == f"Saved {tmp_path / name}"
    header = next(
        line for line in (tmp_path / "spectra.csv").read_text(encoding="utf-8").splitlines() if line[0] != "#"
    )
    assert header.count("label 2") == 3

    for _ in range(3):  # what is new in the legend finds its place
        QApplication.processEvents()
    viewer.screenshot(str(pictures / "spectra.png"), canvas_only=False, flash=False)
    assert (pictures / "spectra.png").stat().st_size > 50_000


def test_closing_the_window_stops_reading(window: Callable[..., Any], toolkit: Any, tmp_path: Path) -> None:
    from hsi_napari.facts import FACTS, facts_of
    from hsi_napari.planes import shown
    from qtpy.QtCore import QThreadPool

    from hsi_app.cube import Cube
    from hsi_app.io.lazy import RawValues

    shape = 200, 2000, 2000
    path = tmp_path / "sparse.bsq"
    with path.open("wb") as file:
        file.truncate(2 * int(np.prod(shape, dtype=np.int64)))
    cube = Cube(RawValues(str(path), shape, np.dtype(np.int16)), name="sparse")
    viewer = window(show=True)
    viewer.add_image(
        shown(cube.values), name="sparse", contrast_limits=(0, 1), rgb=False, multiscale=False,
        metadata={FACTS: facts_of(cube)},
    )  # fmt: skip
    _, dock = viewer.window.add_plugin_dock_widget("hsi-app", "Spectrum")
    dock.model.first.spectra.cost_s = 1.0  # a disk that is slow
    dock.hover(5, 5)
    toolkit.waitUntil(lambda: dock.reader.is_building, timeout=LONG_MS)
    job = dock.reader._builder[0].job
    dock = _ = None  # only the window holds the dock now
    viewer.close()
    toolkit.waitUntil(lambda: job.is_cancelled, timeout=LONG_MS)
    assert QThreadPool.globalInstance().waitForDone(LONG_MS)

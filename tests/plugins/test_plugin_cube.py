"""The Cube dock as a whole: facts, tint, what happens when layers come and go, and a journey in a window."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hsi_napari import readout
from hsi_napari.cube_facts import cube_lines
from hsi_napari.cube_tint import TINT, is_tinted, tint_missing
from hsi_napari.facts import change_facts
from hsi_napari.layers import cube_of, cube_to_layer
from napari.components import ViewerModel
from napari.layers import Layer

from hsi_app.cube import Cube
from hsi_app.overview import Gaps

pytest.importorskip("qtpy", reason="the extra 'gui' is not installed")

pytestmark = pytest.mark.usefixtures("toolkit")

WAIT_MS = 20_000


@pytest.fixture
def dock(viewer: ViewerModel, layer: Layer, toolkit: Any) -> Any:
    from hsi_napari.cube_dock import CubeDock

    dock = CubeDock(viewer)
    toolkit.addWidget(dock)
    toolkit.waitUntil(lambda: not dock.facts._counting.is_busy, timeout=WAIT_MS)
    yield dock
    dock.links.cut()


# ---- facts ---------------------------------------------------------------------------------------------------------


def test_the_facts_are_those_of_hsi_app_info_and_the_header_and_the_history(dock: Any) -> None:
    told = dock.facts.lines()
    labels = [label for label, _ in told]
    assert labels == [
        "file", "size", "wavelengths", "bad bands", "map frame", "scale", "missing", "sensor type", "history",
    ]  # fmt: skip
    facts = dict(told)
    assert facts["map frame"] == "EPSG:32633, pixel 8 x 8, origin (400000, 5800000)"
    assert facts["missing"] == "5.83% of the samples, nodata -9999"
    assert facts["history"] == "made for a test"


def test_an_edit_of_the_bands_is_in_the_facts_without_counting_again(dock: Any, layer: Layer) -> None:
    change_facts(layer, bad_bands=[0, 1, 2])
    assert dict(dock.facts.lines())["bad bands"] == "3: 1-3"
    assert "3 bad" in dock.line.text()
    assert not dock.facts._counting.is_busy


def test_facts_are_copied_whole_as_text(dock: Any, layer: Layer, toolkit: Any) -> None:
    from qtpy.QtWidgets import QApplication

    change_facts(layer, history=["a line of many words " * 40])
    assert "…" in dock.facts.text.text()
    dock.facts.copy.click()
    copied = QApplication.clipboard().text()
    assert copied.splitlines()[0] == "file\tscene.hdr"
    assert copied.count("a line of many words") == 40


def test_header_entries_cannot_write_into_the_table(full_cube: Cube, dock: Any, layer: Layer) -> None:
    change_facts(layer, facts={"description": "<b>bold</b> & plain"})
    assert "&lt;b&gt;bold&lt;/b&gt; &amp; plain" in dock.facts.text.text()


def test_a_history_of_many_lines_has_one_label(full_cube: Cube) -> None:
    cube = full_cube.replace(full_cube.values, "another step")
    assert cube_lines(cube, Gaps(0, True))[-2:] == [("history", "made for a test"), ("", "another step")]


# ---- the tint ------------------------------------------------------------------------------------------------------


def test_missing_samples_get_a_colour_and_lose_it_again(layer: Layer) -> None:
    before = layer.colormap
    assert not is_tinted(layer)
    tint_missing(layer, True)
    assert np.allclose(layer.colormap.map(np.array([np.nan]))[0], TINT)
    assert np.allclose(layer.colormap.map(np.linspace(0, 1, 9)), before.map(np.linspace(0, 1, 9)))
    tint_missing(layer, False)
    assert layer.colormap.name == before.name
    assert layer.colormap.map(np.array([np.nan]))[0, 3] == 0


def test_the_tint_of_one_layer_leaves_others_transparent(viewer: ViewerModel, layer: Layer, full_cube: Cube) -> None:
    tint_missing(layer, True)
    other = viewer.add_layer(Layer.create(*cube_to_layer(full_cube)))
    assert other.colormap.name == "gray"
    assert not is_tinted(other)


def test_the_box_shows_the_tint_of_the_chosen_cube(
    viewer: ViewerModel, layer: Layer, dock: Any, full_cube: Cube
) -> None:
    dock.tint.setChecked(True)
    assert is_tinted(layer)
    other = viewer.add_layer(Layer.create(*cube_to_layer(full_cube)))
    viewer.layers.selection.active = other
    assert not dock.tint.isChecked()
    viewer.layers.selection.active = layer
    assert dock.tint.isChecked()


# ---- layers that come and go ---------------------------------------------------------------------------------------


def test_an_empty_viewer_says_what_to_open(viewer: ViewerModel, toolkit: Any) -> None:
    from hsi_napari.cube_dock import CubeDock

    dock = CubeDock(viewer)
    toolkit.addWidget(dock)
    assert "Open Sample" in dock.line.text()
    assert not any(part.isEnabled() for part in (dock.picture, dock.bands, dock.facts, dock.tint))
    viewer.add_image(np.zeros((4, 12, 9), np.float32), name="plain")
    assert dock.bands.isEnabled()
    viewer.layers.clear()
    assert "Open Sample" in dock.line.text()
    dock.links.cut()


def test_removing_the_cube_frees_its_layer(viewer: ViewerModel, full_cube: Cube, toolkit: Any) -> None:
    from hsi_napari.cube_dock import CubeDock

    held = weakref.ref(viewer.add_layer(Layer.create(*cube_to_layer(full_cube))))
    dock = CubeDock(viewer)
    toolkit.addWidget(dock)
    dock.picture.show_picture()
    dock.bands.select([1])
    dock.bands.mark(True)
    toolkit.waitUntil(lambda: len(viewer.layers) == 2, timeout=WAIT_MS)
    toolkit.waitUntil(lambda: not dock.facts._counting.is_busy, timeout=WAIT_MS)
    # napari's own selection keeps the layer that was active last.
    viewer.layers.selection.active = viewer.layers["scene · colour"]
    viewer.layers.remove("scene")

    def is_gone() -> bool:
        gc.collect()
        return held() is None

    toolkit.waitUntil(is_gone, timeout=WAIT_MS)
    assert dock.cube_choice.layer() is None
    dock.links.cut()


def test_a_layer_whose_data_no_longer_fit_its_facts_is_told(layer: Layer, dock: Any, viewer: ViewerModel) -> None:
    layer.data = np.zeros((3, 12, 10), np.float32)
    change_bad = {"bad_bands": [4]}
    change_facts(layer, **change_bad)
    assert "bad" in dock.line.text()
    assert dock.message.is_error
    assert not dock.bands.isEnabled()


def test_a_closed_dock_hears_nothing_more(viewer: ViewerModel, layer: Layer, dock: Any) -> None:
    dock.links.cut()
    before = dock.line.text()
    change_facts(layer, bad_bands=[0])
    viewer.dims.set_current_step(0, 1)
    viewer.theme = "light"
    assert dock.line.text() == before
    dock.links.cut()


def test_a_theme_is_followed(viewer: ViewerModel, dock: Any) -> None:
    viewer.theme = "light"
    assert dock.bands.plot.plot.view.backgroundBrush().color().lightness() > 128
    viewer.theme = "dark"
    assert dock.bands.plot.plot.view.backgroundBrush().color().lightness() < 128


def test_a_band_of_very_many_pixels_is_said_to_be_slow(
    viewer: ViewerModel, layer: Layer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "slow" not in readout.band_text(layer, viewer)
    monkeypatch.setattr(readout, "LARGE_PX", 100)
    assert readout.band_text(layer, viewer).endswith("million px, slow to draw")


# ---- in a window ---------------------------------------------------------------------------------------------------


@pytest.mark.gui
def test_a_person_looks_at_a_cube_and_marks_its_bad_bands(
    window: Callable[..., Any], toolkit: Any, pictures: Path
) -> None:
    from qtpy.QtWidgets import QApplication

    viewer = window(show=True)
    viewer.window.resize(1500, 940)
    (scene,) = viewer.open_sample("hsi-app", "noisy")
    _, dock = viewer.window.add_plugin_dock_widget("hsi-app", "Cube")
    toolkit.waitUntil(dock.isVisible)
    # The picture follows the controls.
    dock.picture.choose_preset("infrared")
    toolkit.waitUntil(lambda: not dock.picture.live.is_busy, timeout=WAIT_MS)
    (picture,) = (layer for layer in viewer.layers if layer is not scene)
    assert [float(cube_of(scene).axis.centres_nm[band - 1]) for band in picture.metadata["bands"]] == [855, 645, 555]
    # The bands are measured, the worst marked.
    dock.bands.measure()
    toolkit.waitUntil(lambda: not dock.bands.measuring.is_running, timeout=WAIT_MS)
    dock.bands.tools.least_db.setValue(5)
    dock.bands.select_noisy()
    dock.bands.mark(True)
    flagged = cube_of(scene).axis.is_bad
    assert flagged[dock.bands.measuring.quality_of(scene).snr_db < 5].all()
    dock.bands.table.picked.emit(int(np.flatnonzero(flagged)[-1]))
    assert viewer.canvas.overlays.text.text.endswith("· bad")
    # No part of the dock is cut off at its side.
    for part in (dock.picture, dock.bands, dock.facts):
        assert part.minimumSizeHint().width() <= part.width()
    viewer.mouse_over_canvas = True
    viewer.cursor.position = (45, 30, 30)
    viewer.update_status_from_cursor()  # what napari's own thread does where a mouse moves
    assert "row 30, col 30" in str(viewer.status)
    dock.tint.setChecked(True)
    QApplication.processEvents()
    viewer.screenshot(str(pictures / "cube_dock.png"), canvas_only=False, flash=False)
    assert (pictures / "cube_dock.png").stat().st_size > 50_000


@pytest.mark.gui
def test_missing_samples_are_drawn_transparent_or_tinted(window: Callable[..., Any], full_cube: Cube) -> None:
    viewer = window(show=True)
    layer = viewer.add_layer(Layer.create(*cube_to_layer(full_cube)))
    viewer.reset_view(margin=0)

    def corner() -> np.ndarray:
        picture = viewer.screenshot(canvas_only=True, flash=False)
        height, width = picture.shape[:2]
        # The upper left of the image, which is missing; the picture is 12 x 10 px in the middle of the canvas.
        pixel = min(height / 12, width / 10)
        return picture[round(height / 2 - 5.4 * pixel), round(width / 2 - 4.4 * pixel), :3].astype(float)

    assert (corner() == 0).all()  # the black canvas
    tint_missing(layer, True)
    assert np.allclose(corner(), 255 * np.array(TINT[:3]), atol=3)

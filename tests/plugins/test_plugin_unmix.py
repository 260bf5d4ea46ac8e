"""The Unmix dock with the real engine on a small scene of three materials."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hsi_napari import lineage
from hsi_napari.facts import FACTS, RUN
from hsi_napari.layers import cube_of, cube_to_layer
from napari.components import ViewerModel
from napari.layers import Layer

from hsi_app.cube import Cube
from hsi_app.io import open_cube

pytest.importorskip("qtpy", reason="the extra 'gui' is not installed")

pytestmark = [pytest.mark.gui, pytest.mark.usefixtures("toolkit")]

ROWS, COLS = 18, 16
VCA = {"endmembers": 3, "endmembers_from": "vca", "normalise": "none"}
LIMIT_MS = 60_000
# Corners of 'three_materials' with one material each.
PURE = ((0, 0), (0, COLS - 1), (ROWS - 1, 0))


@pytest.fixture
def layer(viewer: ViewerModel, three_materials: Cube) -> Layer:
    data, options, kind = cube_to_layer(three_materials)
    placing = {"scale": (1, 0.5, 0.5), "translate": (0, 10, 20)}
    return viewer.add_layer(Layer.create(data, {**options, **placing}, kind))


@pytest.fixture
def dock(viewer: ViewerModel, layer: Layer, toolkit: Any) -> Any:
    from hsi_napari.unmix_dock import UnmixDock

    dock = UnmixDock(viewer)
    toolkit.addWidget(dock)
    dock.form.choose("unmix", "fcls")
    dock.form.options()[0].put(VCA)
    return dock


@pytest.fixture
def run(toolkit: Any) -> Callable[[Any], str]:
    """Run a dock to its end and give back what it says."""

    def wait(dock: Any) -> str:
        dock.run()
        toolkit.waitUntil(lambda: not dock.run_panel.is_running, timeout=LIMIT_MS)
        return str(dock.run_panel.message.text())

    return wait


def materials(viewer: ViewerModel) -> list[Layer]:
    """Layers of materials, the first material first."""
    return [layer for layer in reversed(viewer.layers) if layer.blending == "additive"]


def test_the_dock_opens_from_the_menu_and_runs_in_a_window(
    window: Callable[..., Any], run: Any, three_materials: Cube, pictures: Path
) -> None:
    viewer = window(show=True)
    viewer.window.resize(1500, 950)
    data, options, kind = cube_to_layer(three_materials)
    viewer.add_layer(Layer.create(data, options, kind))
    _, dock = viewer.window.add_plugin_dock_widget("hsi-app", "Unmix")
    dock.form.choose("unmix", "fcls")
    dock.form.options()[0].put(VCA)
    assert run(dock) == "Added 3 materials. Hidden: error."
    # What lies on the canvas is the materials: where one is pure, the picture has its colour.
    picture = viewer.screenshot(canvas_only=True, flash=False)[..., :3].reshape(-1, 3).astype(int)
    for found in materials(viewer):
        colour = np.round(found.colormap.colors[-1, :3] * 255)
        assert np.abs(picture - colour).max(axis=1).min() < 25
    viewer.screenshot(str(pictures / "unmix.png"), canvas_only=False, flash=False)
    assert (pictures / "unmix.png").stat().st_size > 0


# ---- what a run leaves ---------------------------------------------------------------------------------------------


def test_a_run_adds_a_layer_for_each_material_and_hides_what_is_under_them(
    viewer: ViewerModel, layer: Layer, dock: Any, run: Any
) -> None:
    assert run(dock) == "Added 3 materials. Hidden: error."
    names = ["field", "field: error", "field: material 3", "field: material 2", "field: material 1"]
    assert [found.name for found in viewer.layers] == names
    assert [found.visible for found in viewer.layers] == [False, False, True, True, True]
    assert viewer.layers.selection.active is layer
    for found in materials(viewer):
        assert found.data.shape == (ROWS, COLS)
        assert found.contrast_limits == [0, 1]
        assert found.metadata[RUN]["method"] == "fcls"
        assert lineage.source_of(found) is layer


def test_abundances_are_the_true_shares(viewer: ViewerModel, dock: Any, run: Any) -> None:
    run(dock)
    shares = np.stack([found.data for found in materials(viewer)])
    assert shares.min() >= 0
    assert shares.max() <= 1 + 1e-6
    assert np.allclose(shares.sum(axis=0), 1, atol=1e-5)
    # Each corner is one material and no two the same.
    assert sorted(int(shares[(slice(None), *place)].argmax()) for place in PURE) == [0, 1, 2]
    assert min(shares[(slice(None), *place)].max() for place in PURE) > 0.97


def test_materials_lie_where_their_cube_lies(viewer: ViewerModel, layer: Layer, dock: Any, run: Any) -> None:
    run(dock)
    for found in [*materials(viewer), viewer.layers["field: error"]]:
        assert np.array_equal(found.scale, layer.scale[-2:])
        assert np.array_equal(found.translate, layer.translate[-2:])


def test_materials_of_a_turned_cube_are_turned_with_it(viewer: ViewerModel, layer: Layer, dock: Any, run: Any) -> None:
    layer.affine = np.array([[1, 0, 0, 0], [0, 0.6, -0.8, 3], [0, 0.8, 0.6, -2], [0, 0, 0, 1]])
    run(dock)
    for found in materials(viewer):
        for place in PURE:
            assert np.allclose(found.data_to_world(place), layer.data_to_world((0, *place))[-2:])


def test_each_material_has_a_colour_of_its_own_in_layer_list_and_plot(viewer: ViewerModel, dock: Any, run: Any) -> None:
    run(dock)
    tops = [np.round(found.colormap.colors[-1, :3] * 255).astype(int).tolist() for found in materials(viewer)]
    assert len({tuple(top) for top in tops}) == 3
    pens = [line.opts["pen"].color().getRgb()[:3] for line in dock.results.plot._pins]
    assert [list(pen) for pen in pens] == tops
    assert all(found.colormap.colors[0, :3].max() == 0 for found in materials(viewer))


def test_spectra_are_drawn_over_wavelengths_with_gaps_where_bands_were_left_out(dock: Any, run: Any) -> None:
    run(dock)
    assert dock.results.plot.item.getAxis("bottom").labelText == "Wavelength (nm)"
    x, y = dock.results.plot.lines()[0]
    assert (x[0], x[-1]) == (450, 900)
    assert np.flatnonzero(np.isnan(y)).tolist() == [12]


def test_guidance_of_the_robust_method_is_a_hidden_layer(viewer: ViewerModel, dock: Any, run: Any) -> None:
    dock.form.choose("unmix", "rrlbs")
    assert dock.form.options()[0].values()["endmembers"] == 3, "what was entered of the materials stays"
    assert run(dock) == "Added 3 materials. Hidden: error, guidance."
    assert not viewer.layers["field: guidance"].visible


def test_a_saved_material_opens_as_a_cube_with_its_map_frame(
    viewer: ViewerModel, dock: Any, run: Any, tmp_path: Path
) -> None:
    from hsi_napari.writer import write_cube

    run(dock)
    found = viewer.layers["field: material 1"]
    (path,) = write_cube(str(tmp_path / "one.tif"), found.data, {"name": found.name, "metadata": found.metadata})
    back = open_cube(path)
    assert np.array_equal(back.read()[0], found.data)
    assert back.axis.names == ("material 1",)
    assert back.georef == cube_of(viewer.layers["field"]).georef


# ---- what can go wrong ---------------------------------------------------------------------------------------------


def test_a_cancelled_run_leaves_nothing(
    viewer: ViewerModel, layer: Layer, dock: Any, toolkit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = threading.Event()

    def unmix(*given: Any, job: Any, **more: Any) -> None:
        while True:
            job.step(0.25, "waiting")
            begun.set()

    monkeypatch.setattr("hsi_app.unmixing.runner.unmix", unmix)
    dock.run()
    toolkit.waitUntil(begun.is_set, timeout=LIMIT_MS)
    dock.cancel()
    toolkit.waitUntil(lambda: not dock.run_panel.is_running, timeout=LIMIT_MS)
    assert list(viewer.layers) == [layer]
    assert layer.visible
    assert dock.results.isHidden()
    assert dock.run_panel.message.text() == "Cancelled; nothing was changed."


def test_too_many_materials_are_refused_in_one_line(viewer: ViewerModel, layer: Layer, dock: Any, run: Any) -> None:
    dock.form.options()[0].put({"endmembers": 64})
    told = run(dock)
    assert dock.run_panel.message.is_error
    assert "64" in told
    assert "\n" not in told
    assert "unexpected" not in told
    assert list(viewer.layers) == [layer]


# ---- the panel -----------------------------------------------------------------------------------------------------


def test_the_list_names_shares_that_add_up(dock: Any, run: Any) -> None:
    run(dock)
    table = dock.results.table
    cells = [[table.item(row, column).text() for column in range(3)] for row in range(table.rowCount())]
    assert [name for name, _, _ in cells] == ["material 1", "material 2", "material 3"]
    assert sum(float(mean.rstrip("%")) for _, mean, _ in cells) == pytest.approx(100, abs=0.2)
    assert sum(int(pixels.removesuffix(" px")) for _, _, pixels in cells) == ROWS * COLS


def test_a_new_name_reaches_the_layer_and_the_saved_result(
    viewer: ViewerModel, dock: Any, run: Any, toolkit: Any, tmp_path: Path
) -> None:
    run(dock)
    dock.results.table.item(1, 0).setText("wet clay")
    assert "field: wet clay" in viewer.layers
    viewer.layers["field: material 3"].name = "field: maize"
    assert dock.results.table.item(2, 0).text() == "maize"
    assert viewer.layers["field: maize"].metadata[FACTS]["band_names"] == ["maize"]
    with toolkit.waitSignal(dock.results.told, timeout=LIMIT_MS):
        dock.results.save_to(tmp_path / "result")
    made = {path.name for path in (tmp_path / "result").iterdir()}
    assert {"abundances.hdr", "error.hdr", "endmembers.csv", "endmembers.sli", "channels.csv"} <= made
    assert {"report.html", "report.json"} <= made
    saved = open_cube(tmp_path / "result" / "abundances.hdr")
    assert saved.axis.names == ("material 1", "wet clay", "maize")
    assert np.array_equal(saved.read()[1], viewer.layers["field: wet clay"].data)
    assert "wet clay" in (tmp_path / "result" / "report.html").read_text(encoding="utf-8")
    # A folder that holds something gets a new one inside.
    with toolkit.waitSignal(dock.results.told, timeout=LIMIT_MS):
        dock.results.save_to(tmp_path)
    assert (tmp_path / "field_unmixed" / "report.html").is_file()


def test_the_report_opens_in_the_browser(dock: Any, run: Any, toolkit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pages: list[Path] = []
    monkeypatch.setattr("hsi_napari.material_panel.open_page", lambda path: pages.append(path))
    run(dock)
    dock.results.report.click()
    toolkit.waitUntil(lambda: bool(pages), timeout=LIMIT_MS)
    assert "<html" in pages[0].read_text(encoding="utf-8")
    dock.links.cut()
    assert not pages[0].exists()

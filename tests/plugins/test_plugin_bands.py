"""Bad bands: the editor, the table and the plot of their quality, and that every part follows an edit."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hsi_napari import readout
from hsi_napari.band_edit import BadBands
from hsi_napari.cube_slider import band_at, show_band
from hsi_napari.cube_watch import watch_cubes
from hsi_napari.facts import FACTS, change_facts
from hsi_napari.layers import cube_of, cube_to_layer
from hsi_napari.viewer_parts import text_overlay
from hsi_napari.writer import write_cube
from napari.components import ViewerModel
from napari.layers import Layer

from hsi_app.bands import BandAxis
from hsi_app.cube import Cube
from hsi_app.errors import CubeError
from hsi_app.io import open_cube
from hsi_app.jobs import Job

pytest.importorskip("qtpy", reason="the extra 'gui' is not installed")

pytestmark = pytest.mark.usefixtures("toolkit")

WAIT_MS = 20_000
NOISY = 11


def bad(layer: Layer) -> list[int]:
    return [int(band) for band in np.flatnonzero(cube_of(layer).axis.is_bad)]


@pytest.fixture
def scene() -> Cube:
    """40 bands from 400 to 2350 nm, 40 x 32 px; one noisy; the third marked bad."""
    rng = np.random.default_rng(9)
    maps = rng.normal(size=(3, 40, 32)).cumsum(axis=1)
    values = np.tensordot(rng.uniform(0.2, 1, (40, 3)), maps, 1) * 20 + 1000
    values += rng.normal(size=values.shape)
    values[NOISY] += rng.normal(size=(40, 32)) * 300
    return Cube(
        values.astype(np.float32),
        BandAxis(40, np.linspace(400, 2350, 40), np.full(40, 50.0), np.arange(40) == 2),
        name="scene",
    )


@pytest.fixture
def shown(viewer: ViewerModel, scene: Cube) -> Layer:
    return viewer.add_layer(Layer.create(*cube_to_layer(scene)))


@pytest.fixture
def panel(viewer: ViewerModel, shown: Layer, toolkit: Any) -> Any:
    from hsi_napari.cube_dock import CubeDock

    dock = CubeDock(viewer)
    toolkit.addWidget(dock)
    dock.resize(400, 900)
    yield dock.bands
    dock.links.cut()


@pytest.fixture
def measured(panel: Any, toolkit: Any) -> Any:
    panel.measure()
    toolkit.waitUntil(lambda: not panel.measuring.is_running, timeout=WAIT_MS)
    return panel


# ---- the list ------------------------------------------------------------------------------------------------------


def test_marks_change_the_facts_of_the_layer_and_nothing_else(shown: Layer, scene: Cube) -> None:
    before = {key: value for key, value in shown.metadata[FACTS].items() if key != "bad_bands"}
    edits = BadBands(shown)
    assert edits.mark([5, 7, 5]) == 2
    assert bad(shown) == [2, 5, 7]
    edits.mark([2, 5], bad=False)
    assert bad(shown) == [7]
    edits.toggle([7, 8])
    assert bad(shown) == [8]
    edits.replace([0, 39])
    assert bad(shown) == [0, 39]
    assert {key: value for key, value in shown.metadata[FACTS].items() if key != "bad_bands"} == before
    assert cube_of(shown).values is scene.values


def test_every_change_is_undone_and_done_again(shown: Layer) -> None:
    edits, seen = BadBands(shown), [[2]]
    for change in (lambda: edits.mark([4]), lambda: edits.toggle([2, 9]), lambda: edits.replace([1])):
        change()
        seen.append(bad(shown))
    for before in reversed(seen[:-1]):
        edits.undo()
        assert bad(shown) == before
    assert not edits.can_undo
    edits.undo()
    for after in seen[1:]:
        edits.redo()
        assert bad(shown) == after
    assert not edits.can_redo


def test_a_change_that_changes_nothing_is_no_step_and_a_new_one_drops_what_was_undone(shown: Layer) -> None:
    edits = BadBands(shown)
    edits.mark([2])
    assert not edits.can_undo
    edits.mark([3])
    edits.undo()
    edits.mark([6])
    assert not edits.can_redo


def test_a_cube_that_was_removed_is_said_to_be_so_and_not_kept(viewer: ViewerModel, scene: Cube) -> None:
    layer = Layer.create(*cube_to_layer(scene))
    edits, held = BadBands(layer), weakref.ref(layer)
    del layer
    gc.collect()
    assert held() is None
    with pytest.raises(CubeError, match="removed"):
        edits.mark([1])


def test_a_plain_image_gets_facts_when_its_bands_are_marked(viewer: ViewerModel) -> None:
    layer = viewer.add_image(np.zeros((5, 6, 7), np.float32), name="plain")
    BadBands(layer).mark([3])
    assert bad(layer) == [3]


# ---- who follows ---------------------------------------------------------------------------------------------------


def test_the_readout_follows_an_edit(viewer: ViewerModel, shown: Layer) -> None:
    readout.attach(viewer)
    viewer.dims.set_current_step(0, 6)
    assert "bad" not in text_overlay(viewer).text
    BadBands(shown).mark([6])
    assert text_overlay(viewer).text.endswith("· bad")


class Listener:
    """Counts what it is told; links of its own."""

    def __init__(self, viewer: ViewerModel) -> None:
        from hsi_napari.links import Links

        self.links, self.heard = Links(), []  # type: ignore[var-annotated]
        watch_cubes(self.links, viewer, self.hear)

    def hear(self, event: Any) -> None:
        self.heard.append(event.source)


def test_listeners_hear_of_layers_that_were_there_and_that_come_until_they_leave(
    viewer: ViewerModel, shown: Layer, scene: Cube
) -> None:
    listener = Listener(viewer)
    change_facts(shown, bad_bands=[1])
    later = viewer.add_layer(Layer.create(*cube_to_layer(scene)))
    change_facts(later, bad_bands=[2])
    assert listener.heard == [shown, later]
    viewer.layers.remove(later)
    change_facts(later, bad_bands=[3])
    assert listener.heard == [shown, later]
    listener.links.cut()
    change_facts(shown, bad_bands=[])
    assert listener.heard == [shown, later]


def test_a_listener_is_not_kept_alive_and_nor_is_the_viewer(scene: Cube) -> None:
    viewer = ViewerModel()
    layer = viewer.add_layer(Layer.create(*cube_to_layer(scene)))
    readout.attach(viewer)
    listener, held = Listener(viewer), weakref.ref(viewer)
    gone = weakref.ref(listener)
    listener.links.cut()
    del listener, viewer
    gc.collect()
    assert gone() is None
    assert held() is None
    change_facts(layer, bad_bands=[4])


@pytest.mark.parametrize("ending", [".hdr", ".zarr"])
def test_an_edited_list_is_saved_with_the_cube(shown: Layer, tmp_path: Path, ending: str) -> None:
    BadBands(shown).replace([1, 17, 39])
    data, options, _ = shown.as_layer_data_tuple()
    (path,) = write_cube(str(tmp_path / f"edited{ending}"), data, options)
    assert np.flatnonzero(open_cube(path).axis.is_bad).tolist() == [1, 17, 39]


def test_an_edited_list_reaches_the_engine(viewer: ViewerModel, shown: Layer, toolkit: Any, halving: list[Any]) -> None:
    from hsi_napari.restore_dock import RestoreDock

    dock = RestoreDock(viewer)
    toolkit.addWidget(dock)
    BadBands(shown).replace([0, 1, 30])
    dock.run()
    toolkit.waitUntil(lambda: not dock.run_panel.is_running, timeout=WAIT_MS)
    assert np.flatnonzero(halving[0][0].axis.is_bad).tolist() == [0, 1, 30]
    assert bad(viewer.layers["scene · restored"]) == [0, 1, 30]
    dock.links.cut()


# ---- selecting and marking -----------------------------------------------------------------------------------------


def test_typed_ranges_are_selected_and_marked(shown: Layer, panel: Any) -> None:
    panel.tools.ranges.setText("1-3, 1350-1450 nm")
    panel.tools.ranges.returnPressed.emit()
    assert panel.table.chosen() == [0, 1, 2, 19, 20, 21]
    panel.tools.bad.click()
    assert bad(shown) == [0, 1, 2, 19, 20, 21]
    assert panel.note.text() == "6 of 40 bad: 1-3, 20-22 · 6 selected"
    panel.tools.good.click()
    assert bad(shown) == []
    panel.tools.undo.click()
    panel.tools.undo.click()
    assert bad(shown) == [2]
    panel.tools.redo.click()
    assert len(bad(shown)) == 6
    assert not panel.tools.undo.isHidden()


def test_what_is_no_range_is_told_and_selects_nothing(panel: Any, toolkit: Any) -> None:
    with toolkit.waitSignal(panel.failed) as told:
        panel.select_ranges("12-99")
    assert "12-99" in told.args[0]
    assert panel.table.chosen() == []


def test_rules_select_water_vapour_and_what_is_bad(panel: Any) -> None:
    panel.select_water_vapour()
    assert panel.table.chosen() == [19, 20, 21, 28, 29, 30, 31]
    panel.select_bad()
    assert panel.table.chosen() == [2]


def test_a_cube_without_wavelengths_has_no_water_vapour_to_select(
    viewer: ViewerModel, panel: Any, toolkit: Any
) -> None:
    blind = viewer.add_layer(Layer.create(*cube_to_layer(Cube(np.zeros((7, 9, 9), np.float32), name="blind"))))
    viewer.layers.selection.active = blind
    with toolkit.waitSignal(panel.failed) as told:
        panel.select_water_vapour()
    assert "wavelengths" in told.args[0]
    panel.select_ranges("2-4")
    panel.mark(True)
    assert bad(blind) == [1, 2, 3]


def test_each_cube_has_its_own_steps_to_undo(viewer: ViewerModel, shown: Layer, panel: Any, scene: Cube) -> None:
    panel.select([4])
    panel.mark(True)
    other = viewer.add_layer(Layer.create(*cube_to_layer(scene)))
    viewer.layers.selection.active = other
    assert not panel.tools.undo.isEnabled()
    panel.undo()
    viewer.layers.selection.active = shown
    assert panel.tools.undo.isEnabled()
    panel.undo()
    assert (bad(shown), bad(other)) == ([2], [2])


def test_lists_are_exported_and_loaded(shown: Layer, panel: Any, tmp_path: Path, toolkit: Any) -> None:
    panel.select([5, 6, 7])
    panel.mark(True)
    for ending in (".csv", ".txt"):
        panel.export_to(tmp_path / f"list{ending}")
    panel.select(range(40))
    panel.mark(False)
    for ending in (".csv", ".txt"):
        with toolkit.waitSignal(panel.told) as told:
            panel.load_from(tmp_path / f"list{ending}")
        assert told.args[0].endswith("3, 6-8")
        assert bad(shown) == [2, 5, 6, 7]
        panel.undo()
    with toolkit.waitSignal(panel.failed):
        panel.load_from(tmp_path / "absent.csv")
    assert bad(shown) == []


# ---- table and plot ------------------------------------------------------------------------------------------------


def cell(panel: Any, band: int, column: int) -> str:
    return str(panel.table.bands.text(band, column))


def test_the_table_tells_what_is_known_before_a_measurement(panel: Any) -> None:
    assert [cell(panel, 3, column) for column in range(1, 7)] == ["4", "550.0", "50.0", "", "", ""]
    assert panel.tools.noisy.isHidden()


def test_measuring_finds_the_noisy_band(shown: Layer, measured: Any) -> None:
    quality = measured.measuring.quality_of(shown)
    assert int(np.argmin(quality.snr_db)) == NOISY
    assert cell(measured, NOISY, 4) == f"{quality.snr_db[NOISY]:.1f}"
    assert not measured.tools.noisy.isHidden()
    measured.tools.least_db.setValue(float(np.sort(quality.snr_db)[1]) - 1)
    measured.tools.noisy.click()
    assert measured.table.chosen() == [NOISY]
    ((x, y),) = measured.plot.plot.lines()
    assert np.allclose(x, np.linspace(400, 2350, 40))
    assert np.allclose(y, quality.snr_db)


def test_the_measurement_stays_with_its_cube_until_the_values_change(
    viewer: ViewerModel, shown: Layer, measured: Any, scene: Cube
) -> None:
    other = viewer.add_layer(Layer.create(*cube_to_layer(scene)))
    viewer.layers.selection.active = other
    assert cell(measured, NOISY, 4) == ""
    viewer.layers.selection.active = shown
    assert cell(measured, NOISY, 4) != ""
    shown.data = np.zeros((40, 40, 32), np.float32)
    assert measured.measuring.quality_of(shown) is None


def test_columns_sort_by_number_and_ticks_find_their_band(shown: Layer, measured: Any) -> None:
    from qtpy.QtCore import Qt

    measured.table.sortByColumn(4, Qt.SortOrder.AscendingOrder)
    model = measured.table.model()
    assert model.data(model.index(0, 1)) == str(NOISY + 1)
    assert model.setData(model.index(0, 0), Qt.CheckState.Checked, Qt.ItemDataRole.CheckStateRole)
    assert bad(shown) == [2, NOISY]
    measured.table.choose([3, 4, NOISY])
    model.setData(model.index(0, 0), Qt.CheckState.Unchecked, Qt.ItemDataRole.CheckStateRole)
    assert bad(shown) == [2]
    model.setData(model.index(0, 0), Qt.CheckState.Checked, Qt.ItemDataRole.CheckStateRole)
    assert bad(shown) == [2, 3, 4, NOISY]


def test_a_row_and_a_click_in_the_plot_move_the_slider_and_the_slider_the_line(
    viewer: ViewerModel, shown: Layer, panel: Any
) -> None:
    panel.table.picked.emit(17)
    assert band_at(viewer, shown) == 17
    panel.plot.picked.emit(8)
    assert band_at(viewer, shown) == 8
    assert panel.table.chosen() == [8]
    viewer.dims.set_current_step(0, 33)
    assert panel.plot._current.value() == pytest.approx(400 + 50 * 33)


def test_the_slider_is_moved_in_the_bands_of_a_shifted_layer(viewer: ViewerModel, shown: Layer) -> None:
    shown.translate = (5, 0, 0)
    show_band(viewer, shown, 12)
    assert band_at(viewer, shown) == 12
    assert viewer.dims.point[0] == 17
    viewer.dims.ndisplay = 3
    show_band(viewer, shown, 3)
    assert viewer.dims.point[0] == 17


@pytest.fixture
def drag(panel: Any, toolkit: Any) -> Callable[[float, float], None]:
    """Drag the mouse over the plot from one wavelength to another."""
    from qtpy.QtCore import QPoint, QPointF, Qt

    panel.window().show()
    toolkit.waitExposed(panel.window())
    view = panel.plot.plot.view

    def place(nm: float) -> QPoint:
        scene = panel.plot.plot.item.getViewBox().mapViewToScene(QPointF(nm, 0.5))
        return QPoint(view.mapFromScene(scene).x(), view.height() // 2)

    def do(first: float, last: float) -> None:
        toolkit.mousePress(view.viewport(), Qt.MouseButton.LeftButton, pos=place(first))
        for nm in np.linspace(first, last, 4)[1:]:
            toolkit.mouseMove(view.viewport(), place(float(nm)))
        toolkit.mouseRelease(view.viewport(), Qt.MouseButton.LeftButton, pos=place(last))

    return do


def test_a_drag_in_the_plot_selects_its_bands_in_either_direction(panel: Any, drag: Any) -> None:
    for first, last in ((975.0, 1325.0), (1325.0, 975.0)):
        panel.select([])
        drag(first, last)
        assert panel.table.chosen() == [12, 13, 14, 15, 16, 17, 18]
        assert panel.plot._chosen.isVisible()


def test_a_click_in_the_plot_goes_to_its_band(viewer: ViewerModel, shown: Layer, panel: Any, drag: Any) -> None:
    drag(1195.0, 1195.0)
    assert band_at(viewer, shown) == 16


# ---- measuring that is cut short -----------------------------------------------------------------------------------


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """A measurement that goes on until it is cancelled."""
    jobs: list[Job] = []

    def measure(cube: Cube, job: Job) -> Any:
        jobs.append(job)
        while True:
            job.step(0.4, "measuring")

    monkeypatch.setattr("hsi_napari.band_measuring.measure_bands", measure)
    return jobs


def test_the_button_cancels_what_it_began(panel: Any, toolkit: Any, endless: list[Job]) -> None:
    panel.tools.measure.click()
    assert panel.tools.measure.text() == "Cancel"
    toolkit.waitUntil(lambda: panel.tools.bar.value() == 40, timeout=WAIT_MS)
    panel.tools.measure.click()
    assert endless[0].is_cancelled
    assert panel.tools.measure.text() == "Measure"
    assert panel.tools.bar.isHidden()


def test_a_dock_that_goes_stops_its_measurement(panel: Any, toolkit: Any, endless: list[Job]) -> None:
    panel.measure()
    toolkit.waitUntil(lambda: bool(endless), timeout=WAIT_MS)
    panel.window().links.cut()
    assert endless[0].is_cancelled


def test_a_cube_that_is_removed_while_it_is_measured_leaves_an_empty_dock(
    viewer: ViewerModel, panel: Any, toolkit: Any
) -> None:
    panel.measure()
    viewer.layers.clear()
    toolkit.waitUntil(lambda: not panel.measuring.is_running, timeout=WAIT_MS)
    assert not panel.isEnabled()
    assert panel.plot.plot.lines() == []


def test_an_image_that_is_too_small_is_told(viewer: ViewerModel, panel: Any, toolkit: Any) -> None:
    tiny = viewer.add_layer(Layer.create(*cube_to_layer(Cube(np.zeros((7, 3, 3), np.float32), name="tiny"))))
    viewer.layers.selection.active = tiny
    with toolkit.waitSignal(panel.failed, timeout=WAIT_MS) as told:
        panel.measure()
    assert "8 x 8" in told.args[0]
    assert not panel.measuring.is_running

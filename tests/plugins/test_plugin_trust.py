"""The Trust dock: judges a pair in a thread, shows what it found, marks targets, saves the page."""

from __future__ import annotations

import gc
import json
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("qtpy", reason="the extra 'gui' is not installed")

from hsi_napari import lineage
from hsi_napari.layers import cube_to_layer
from hsi_napari.spectrum_model import spans_of
from hsi_napari.trust_dock import TrustDock
from hsi_napari.trust_layers import MOST_MARKS, cubes_of, may_follow, painted_target, pinned_target, target_layers
from hsi_napari.trust_plot import REMOVED, SNR, STRIPES, abscissa, flagged_of, lines_of
from hsi_napari.trust_table import TrustTable
from hsi_napari.trust_target import LIBRARY, PINS, REGION

from hsi_app.bands import BandAxis
from hsi_app.cube import Cube
from hsi_app.errors import CubeError
from hsi_app.io import write_library
from hsi_app.jobs import Job
from hsi_app.library import SpectralLibrary
from hsi_app.trust.assessment import Assessment, assess
from hsi_app.trust.targets import Target, check_target

pytestmark = pytest.mark.gui

BANDS, ROWS, COLS = 20, 50, 44
PLACES = np.array([(10, 12), (30, 33), (41, 5)])
LONG_MS = 60_000


@pytest.fixture(scope="module")
def pair() -> tuple[Cube, Cube]:
    """A sharp scene with noise and three targets, and what a box filter left of it; band 4 is bad."""
    rng = np.random.default_rng(1)
    sharp = rng.uniform(0.2, 0.6, (10, 11)).repeat(5, 0).repeat(4, 1)
    values = sharp[None] * np.linspace(0.7, 1.2, BANDS)[:, None, None] + rng.normal(0, 0.01, (BANDS, ROWS, COLS))
    rows, cols = PLACES.T
    values[8:11, rows, cols] += 0.3
    axis = BandAxis(BANDS, np.linspace(450, 2300, BANDS), bad=np.arange(BANDS) == 4)
    before = Cube(values.astype(np.float32), axis, unit="reflectance", name="sharp")
    padded = np.pad(values, ((0, 0), (1, 1), (1, 1)), mode="edge")
    blurred = sum(padded[:, i : i + ROWS, j : j + COLS] for i in range(3) for j in range(3)) / 9
    return before, before.replace(np.asarray(blurred, np.float32), "blurred")


@pytest.fixture(scope="module")
def found(pair: tuple[Cube, Cube]) -> Assessment:
    return assess(*pair, Target("three", pixels=PLACES))


def add(viewer: Any, cube: Cube, name: str, **options: Any) -> Any:
    from napari.layers import Layer

    data, given, kind = cube_to_layer(cube, name)
    return viewer.add_layer(Layer.create(data, {**given, **options}, kind))


@pytest.fixture
def layers(viewer: Any, pair: tuple[Cube, Cube]) -> tuple[Any, Any]:
    place = {"scale": (1, 2, 2), "translate": (0, 10, 20)}
    before, after = add(viewer, pair[0], "sharp", **place), add(viewer, pair[1], "blurred", **place)
    lineage.remember(after, before)
    viewer.layers.selection.active = before
    return before, after


@pytest.fixture
def dock(viewer: Any, layers: tuple[Any, Any], toolkit: Any) -> TrustDock:
    made = TrustDock(viewer)
    toolkit.addWidget(made)
    return made


def wait(toolkit: Any, dock: TrustDock) -> None:
    toolkit.waitUntil(lambda: not dock.is_running, timeout=LONG_MS)


# ---- models, without a toolkit --------------------------------------------------------------------------------------


def test_only_cubes_of_one_shape_follow(viewer: Any, layers: tuple[Any, Any], full_cube: Cube) -> None:
    before, after = layers
    other = add(viewer, full_cube, "other")
    flat = viewer.add_image(np.zeros((ROWS, COLS)))
    assert may_follow(after, before)
    assert not any(may_follow(layer, before) for layer in (before, other, flat))
    assert not may_follow(after, None)


def test_pins_become_a_target_at_their_pixels(viewer: Any, layers: tuple[Any, Any], pair: tuple[Cube, Cube]) -> None:
    before, _ = layers
    with pytest.raises(CubeError, match="no spectrum is pinned"):
        pinned_target(viewer, before)
    viewer.add_points([before.data_to_world((0, row, col))[1:] for row, col in PLACES], metadata={"hsi_pins": True})
    target = pinned_target(viewer, before)(pair[0])
    assert target.pixels is not None
    assert target.pixels.tolist() == PLACES.tolist()
    assert target.name == "3 pinned pixels"


def test_paint_becomes_a_target_as_it_was_when_asked(viewer: Any, pair: tuple[Cube, Cube]) -> None:
    labels = viewer.add_labels(np.zeros((ROWS, COLS), int), name="cars")
    labels.data[tuple(PLACES.T)] = 2
    make = painted_target(labels)
    labels.data[:] = 0
    target = make(pair[0])
    assert target.pixels is not None
    assert target.name == "cars"
    assert len(target.pixels) == 3


def test_maps_and_marks_lie_over_the_cube(viewer: Any, layers: tuple[Any, Any], pair: tuple[Cube, Cube]) -> None:
    from napari.layers import Layer

    gone = pair[0].replace(np.zeros((BANDS, ROWS, COLS), np.float32) + pair[0].read().mean((1, 2), keepdims=True), "x")
    noise = np.random.default_rng(0).normal(0, 0.01, gone.shape)
    gone = gone.replace((gone.read() + noise).astype(np.float32), "noise")
    check = check_target(pair[0], gone, Target("three", pixels=PLACES))
    made = [Layer.create(*data) for data in target_layers(check, layers[0], "sharp")]
    assert [layer.name for layer in made] == ["sharp · target before", "sharp · target after", "sharp · lost targets"]
    assert made[0].contrast_limits == made[1].contrast_limits
    for (row, col), mark in zip(PLACES, made[2].data, strict=True):
        there = layers[0].data_to_world((0, row, col))[1:]
        assert tuple(made[2].data_to_world(mark)) == there
        assert tuple(made[0].data_to_world((row, col))) == there


def test_charts_leave_bad_bands_out_and_shade_what_was_lost(found: Assessment) -> None:
    for kind, names in ((REMOVED, 3), (SNR, 2), (STRIPES, 2)):
        lines = lines_of(found, kind)
        assert len(lines) == names
        assert all(np.isnan(values[4]) for _, values in lines)
    assert flagged_of(found, REMOVED) == [b for b in range(BANDS) if b != 4]


def test_one_cube_has_one_line_a_chart(pair: tuple[Cube, Cube]) -> None:
    single = assess(pair[0])
    for kind in (SNR, STRIPES):
        ((name, values),) = lines_of(single, kind)
        assert name == "measured"
        assert np.isfinite(values).sum() == BANDS - 1
    assert flagged_of(single, REMOVED) == []


def test_bands_without_wavelengths_are_counted(pair: tuple[Cube, Cube]) -> None:
    x, title = abscissa(BandAxis(4))
    assert (x.tolist(), title) == ([1, 2, 3, 4], "Band")
    assert abscissa(pair[0].axis)[1] == "Wavelength (nm)"


def test_cubes_are_called_as_their_layers(layers: tuple[Any, Any]) -> None:
    layers[1].name = "second try"
    before, after = cubes_of(*layers)
    assert after is not None
    assert (before.name, after.name) == ("sharp", "second try")
    assert cubes_of(layers[0], None)[1] is None


def test_only_so_many_marks_are_added(layers: tuple[Any, Any], pair: tuple[Cube, Cube]) -> None:
    check = check_target(pair[0], pair[0], Target("three", pixels=PLACES))
    assert check.after is not None
    everywhere = np.argwhere(np.ones((ROWS, COLS), bool))
    lost = replace(
        check, pixels=everywhere, before=replace(check.before, found=np.ones((ROWS, COLS), bool)),
        after=replace(check.after, found=np.zeros((ROWS, COLS), bool)),
    )  # fmt: skip
    marks = target_layers(lost, layers[0], "sharp")[-1]
    assert len(marks[0]) == min(MOST_MARKS, ROWS * COLS)


def test_without_losses_there_are_no_marks(layers: tuple[Any, Any], pair: tuple[Cube, Cube]) -> None:
    check = check_target(pair[0], None, Target("three", pixels=PLACES))
    assert [options["name"] for _, options, _ in target_layers(check, layers[0], "sharp")] == ["sharp · target before"]


# ---- the dock -------------------------------------------------------------------------------------------------------


def test_a_restored_cube_is_judged_against_its_source(viewer: Any, layers: tuple[Any, Any], dock: TrustDock) -> None:
    before, after = layers
    assert (dock.before_choice.layer(), dock.after_choice.layer()) == (before, after)
    dock.after_choice.choose(None)
    viewer.layers.selection.active = after
    assert (dock.before_choice.layer(), dock.after_choice.layer()) == (before, after)


def test_a_check_shows_verdicts_chart_and_table(toolkit: Any, dock: TrustDock) -> None:
    assert not dock.report_button.isEnabled()
    dock.check()
    assert dock.is_running
    assert not dock.check_button.isEnabled()
    wait(toolkit, dock)
    assert not dock.message.is_error, dock.message.text()
    assert dock.found is not None
    assert "Scene structure was removed in 19 of 19 bands" in dock.found.lines()[0]
    assert dock.results.isVisibleTo(dock)
    assert dock.plot.shaded == 2  # on both sides of the bad band
    assert dock.table.rowCount() == BANDS - 1
    assert dock.report_button.isEnabled()
    assert [dock.chart_choice.itemText(n) for n in range(3)] == [REMOVED, SNR, STRIPES]
    dock.chart_choice.setCurrentText(SNR)
    assert dock.plot.shaded == len(spans_of(flagged_of(dock.found, SNR), dock.found.before.axis.centres_nm))


def test_one_cube_can_be_judged_alone(toolkit: Any, dock: TrustDock) -> None:
    dock.after_choice.choose(None)
    dock.check()
    wait(toolkit, dock)
    assert dock.found is not None
    assert dock.found.after is None
    assert dock.chart_choice.count() == 2
    assert dock.table.columnCount() == 4


def test_a_click_on_a_row_moves_the_slider_to_its_band(viewer: Any, toolkit: Any, dock: TrustDock) -> None:
    dock.check()
    wait(toolkit, dock)
    for row in (3, 7):
        dock.table.setCurrentCell(row, 0)
        assert viewer.dims.current_step[0] == dock.table.bands()[row]


def test_columns_sort_by_number(toolkit: Any, found: Assessment) -> None:
    from qtpy.QtCore import Qt

    table = TrustTable()
    toolkit.addWidget(table)
    table.show_bands(found)
    assert table.bands() == found.ranking.order_after()
    table.sortByColumn(0, Qt.SortOrder.DescendingOrder)
    assert table.bands() == [b for b in range(BANDS - 1, -1, -1) if b != 4]
    table.sortByColumn(2, Qt.SortOrder.AscendingOrder)
    assert table.bands() == found.ranking.order()


def test_a_target_leaves_maps_that_the_next_check_replaces(viewer: Any, toolkit: Any, dock: TrustDock) -> None:
    labels = viewer.add_labels(np.zeros((ROWS, COLS), int), name="cars")
    labels.data[tuple(PLACES.T)] = 1
    viewer.layers.selection.active = dock.before_choice.layer()
    viewer.dims.set_current_step(0, 6)
    dock.target.choose(REGION)
    for _ in range(2):
        dock.check()
        wait(toolkit, dock)
        assert dock.found is not None
        assert dock.found.target is not None
        assert "'cars'" in dock.found.lines()[1]
        names = [layer.name for layer in viewer.layers]
        assert names.count("sharp · target before") == names.count("sharp · target after") == 1
        assert viewer.dims.current_step[0] == 6
        assert viewer.layers.selection.active is dock.before_choice.layer()


def test_a_library_offers_its_spectra_and_one_is_looked_for(toolkit: Any, dock: TrustDock, tmp_path: Path) -> None:
    spectra = np.stack([np.linspace(0.2, 0.9, BANDS), np.full(BANDS, 0.4)], 1)
    path = write_library(
        SpectralLibrary(spectra, ("rising", "flat"), np.linspace(450, 2300, BANDS)), tmp_path / "l.csv"
    )
    dock.target.choose(LIBRARY)
    dock.check()
    assert "no library is chosen" in dock.message.text()
    dock.target.open_library(str(path))
    toolkit.waitUntil(lambda: dock.target.spectrum.count() == 2)
    dock.target.spectrum.setCurrentText("rising")
    dock.check()
    wait(toolkit, dock)
    assert dock.found is not None
    assert dock.found.target is not None
    assert dock.found.target.name == "rising"


def test_mistakes_are_told_in_the_dock(toolkit: Any, dock: TrustDock, tmp_path: Path) -> None:
    dock.target.choose(PINS)
    dock.check()
    assert not dock.is_running
    assert "no spectrum is pinned" in dock.message.text()
    dock.target.choose(REGION)
    dock.check()
    assert "no Labels layer" in dock.message.text()
    dock.target.choose(LIBRARY)
    dock.target.open_library(str(tmp_path / "absent.csv"))
    toolkit.waitUntil(lambda: "absent.csv" in dock.message.text())


def test_a_check_can_be_cancelled(toolkit: Any, dock: TrustDock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hsi_app.trust.assessment.assess", _endless)
    dock.check()
    dock.cancel()
    wait(toolkit, dock)
    assert dock.message.text() == "Cancelled."
    assert dock.found is None
    assert dock.check_button.isEnabled()


def test_a_closed_dock_takes_no_result(toolkit: Any, dock: TrustDock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hsi_app.trust.assessment.assess", _endless)
    dock.check()
    worker = dock._worker
    assert worker is not None
    with toolkit.waitSignal(worker.finished, timeout=LONG_MS):
        dock.links.cut()
    assert dock.found is None


def test_a_layer_removed_during_the_check_gets_no_maps_and_is_let_go(
    viewer: Any, toolkit: Any, dock: TrustDock, pair: tuple[Cube, Cube]
) -> None:
    copy = add(viewer, pair[0].replace(pair[0].read().copy(), "copy"), "copy")
    # Of a layer without a name napari looks for one in this frame, which then holds what is deleted below.
    labels = viewer.add_labels(np.zeros((ROWS, COLS), int), name="paint")
    labels.data[tuple(PLACES.T)] = 1
    viewer.layers.selection.active = copy
    dock.after_choice.choose(None)
    dock.target.choose(REGION)
    dock.check()
    viewer.layers.remove(copy)
    held = weakref.ref(copy)
    del copy
    wait(toolkit, dock)
    assert dock.found is not None
    assert not [layer for layer in viewer.layers if "target" in layer.name]
    dock.go_to(3)
    viewer.layers.selection.active = labels  # napari itself remembers the layer that was chosen last
    gc.collect()
    assert held() is None


def test_the_report_is_written_beside_its_figures(toolkit: Any, dock: TrustDock, tmp_path: Path) -> None:
    dock.check()
    wait(toolkit, dock)
    dock.save_report(tmp_path / "qa.html")
    toolkit.waitUntil(lambda: dock.message.text().startswith("Saved"), timeout=LONG_MS)
    assert "Scene structure" in (tmp_path / "qa.html").read_text(encoding="utf-8")
    assert json.loads((tmp_path / "qa.json").read_text())["before"]["name"] == "sharp"
    dock.save_report(tmp_path / "absent" / "qa.html")
    toolkit.waitUntil(lambda: dock.message.is_error, timeout=LONG_MS)
    assert dock.report_button.isEnabled()


def test_the_dock_follows_the_theme_and_an_empty_viewer(viewer: Any, toolkit: Any, dock: TrustDock) -> None:
    dock.check()
    wait(toolkit, dock)
    viewer.theme = "light"
    viewer.layers.clear()
    assert dock.before_choice.layer() is None
    assert not dock.check_button.isEnabled()
    assert "Open a hyperspectral cube" in dock.message.text()
    dock.check()
    assert not dock.is_running


def test_what_is_restored_later_is_chosen_once(viewer: Any, toolkit: Any, pair: tuple[Cube, Cube]) -> None:
    before = add(viewer, pair[0], "sharp")
    dock = TrustDock(viewer)
    toolkit.addWidget(dock)
    assert dock.after_choice.layer() is None
    after = add(viewer, pair[1], "blurred")
    lineage.remember(after, before)
    viewer.layers.selection.active = before
    assert dock.before_choice.layer() is before
    assert dock.after_choice.layer() is after


def test_a_dock_in_an_empty_viewer_waits_for_a_cube(viewer: Any, toolkit: Any, pair: tuple[Cube, Cube]) -> None:
    dock = TrustDock(viewer)
    toolkit.addWidget(dock)
    assert not dock.check_button.isEnabled()
    assert "Open a hyperspectral cube" in dock.message.text()
    add(viewer, pair[0], "sharp")
    assert dock.check_button.isEnabled()
    assert dock.message.text() == ""


def test_the_slider_marks_its_band_in_the_chart(viewer: Any, toolkit: Any, dock: TrustDock) -> None:
    dock.check()
    wait(toolkit, dock)
    viewer.dims.set_current_step(0, 11)
    assert dock.found is not None
    centres = dock.found.before.axis.centres_nm
    assert centres is not None
    assert dock.plot._marker.value() == pytest.approx(centres[11])


def test_a_second_check_waits_for_the_first(toolkit: Any, dock: TrustDock) -> None:
    dock.check()
    first = dock._worker
    dock.check()
    assert dock._worker is first
    wait(toolkit, dock)


def test_the_target_section_shows_what_goes_with_the_choice(dock: TrustDock) -> None:
    section = dock.target
    section.open()
    for kind, shown in ((PINS, set()), (REGION, {"labels"}), (LIBRARY, {"file", "spectrum"})):
        section.choose(kind)
        parts = {"labels": section.labels, "file": section._file, "spectrum": section.spectrum}
        assert {name for name, part in parts.items() if part.isVisibleTo(section)} == shown
        assert section.detector.isEnabled()


def test_only_the_library_chosen_last_is_listed(toolkit: Any, dock: TrustDock) -> None:
    section = dock.target
    section._path = "second.csv"
    section._listed(("first.csv", ("old",)))
    assert section.spectrum.count() == 0
    section._listed(("second.csv", ("new", "newer")))
    assert [section.spectrum.itemText(n) for n in range(2)] == ["new", "newer"]


def test_cells_say_what_is_wrong(toolkit: Any, found: Assessment, pair: tuple[Cube, Cube]) -> None:
    table = TrustTable()
    toolkit.addWidget(table)
    table.show_bands(found)
    assert {table.item(row, 5).text() for row in range(table.rowCount())} == {"scene"}
    assert not table.isColumnHidden(1)
    plain = replace(pair[0], bands=BandAxis(BANDS))
    table.show_bands(assess(plain, pair[1]))
    assert table.isColumnHidden(1)
    assert table.rowCount() == BANDS


def test_notes_are_told_in_the_dock(toolkit: Any, dock: TrustDock, tmp_path: Path) -> None:
    spectra = np.linspace(2000, 9000, BANDS)[:, None]
    path = write_library(SpectralLibrary(spectra, ("counts",), np.linspace(450, 2300, BANDS)), tmp_path / "l.csv")
    dock.target.choose(LIBRARY)
    dock.target.open_library(str(path))
    toolkit.waitUntil(lambda: dock.target.spectrum.count() == 1)
    dock.check()
    wait(toolkit, dock)
    assert "other units" in dock.message.text()


def test_going_to_a_band_uncovers_it(viewer: Any, toolkit: Any, dock: TrustDock) -> None:
    labels = viewer.add_labels(np.zeros((ROWS, COLS), int), name="cars")
    labels.data[tuple(PLACES.T)] = 1
    dock.target.choose(REGION)
    dock.check()
    wait(toolkit, dock)
    assert viewer.layers["sharp · target after"].visible
    dock.go_to(2)
    assert not viewer.layers["sharp · target after"].visible
    assert not viewer.layers["sharp · target before"].visible


def _endless(*_: Any, job: Job, **__: Any) -> None:
    import threading

    pause = threading.Event()
    while True:
        job.step(0.5, "going on")
        pause.wait(0.01)


# ---- a whole journey ------------------------------------------------------------------------------------------------


def test_a_person_checks_a_result(
    window: Callable[..., Any], toolkit: Any, pictures: Path, pair: tuple[Cube, Cube]
) -> None:
    from qtpy.QtWidgets import QApplication

    viewer = window(show=True)
    viewer.window.resize(1500, 940)
    before = add(viewer, pair[0], "sharp")
    lineage.remember(add(viewer, pair[1], "sharp · blurred"), before)
    viewer.layers.selection.active = before
    _, dock = viewer.window.add_plugin_dock_widget("hsi-app", "Trust")
    labels = viewer.add_labels(np.zeros((ROWS, COLS), int), name="cars")
    labels.data[tuple(PLACES.T)] = 1
    viewer.layers.selection.active = before
    dock.target.open()
    dock.target.choose(REGION)
    dock.check_button.click()
    wait(toolkit, dock)
    assert not dock.message.is_error, dock.message.text()
    viewer.layers["sharp · target before"].visible = True
    dock.table.setCurrentCell(0, 0)
    QApplication.processEvents()
    viewer.screenshot(str(pictures / "trust.png"), canvas_only=False, flash=False)
    assert (pictures / "trust.png").stat().st_size > 50_000

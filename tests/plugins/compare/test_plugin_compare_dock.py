"""The Compare dock: its choices and settings, its figures, its key, and a walk through it in a window."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hsi_napari import lineage
from hsi_napari.facts import FACTS
from hsi_napari.viewer_parts import camera, grid_of
from napari.components import ViewerModel

from hsi_app.bands import BandAxis
from hsi_app.cube import Cube
from tests.plugins.compare.comparisons import LONG_MS, add, cube, gui, visible

# ---- the dock ------------------------------------------------------------------------------------------------------


def test_without_two_images_nothing_can_be_compared(viewer: ViewerModel, dock: Any) -> None:
    assert not dock.modes.buttons["swipe"].isEnabled()
    assert "Open two images" in dock.facts.text()
    add(viewer, cube(0))
    assert not dock.modes.buttons["swipe"].isEnabled()
    add(viewer, cube(1))
    assert dock.modes.buttons["swipe"].isEnabled()
    assert dock.facts.text() == "4 bands · 12 × 10 px"
    assert (dock.comparison.before.name, dock.comparison.after.name) == ("cube 0", "cube 1")


def test_a_restored_layer_is_set_against_its_source(viewer: ViewerModel, dock: Any) -> None:
    add(viewer, cube(0))
    source, restored, other = add(viewer, cube(1)), add(viewer, cube(2)), add(viewer, cube(3))
    lineage.remember(restored, source)
    viewer.layers.selection.active = restored
    assert (dock.comparison.before, dock.comparison.after) == (source, restored)
    viewer.layers.selection.active = other
    assert (dock.comparison.before, dock.comparison.after) == (source, restored)


def test_what_a_person_chose_stays_when_a_run_adds_its_layer(viewer: ViewerModel, dock: Any) -> None:
    first, second, third = (add(viewer, cube(i)) for i in range(3))
    dock.before_choice.choose(second)
    dock.after_choice.choose(first)
    lineage.remember(third, first)
    viewer.layers.selection.active = third
    assert (dock.comparison.before, dock.comparison.after) == (second, first)


def test_the_pair_does_not_change_by_itself_while_it_is_looked_at(viewer: ViewerModel, dock: Any) -> None:
    first, second = add(viewer, cube(0)), add(viewer, cube(1))
    dock.modes.buttons["blink"].click()
    third = add(viewer, cube(2))
    lineage.remember(third, first)
    viewer.layers.selection.active = third
    assert (dock.comparison.before, dock.comparison.after) == (first, second)


def test_swapping_exchanges_the_two_and_the_mode_goes_on(viewer: ViewerModel, dock: Any) -> None:
    first, second = add(viewer, cube(0)), add(viewer, cube(1))
    dock.modes.buttons["side by side"].click()
    dock.swap_button.click()
    assert (dock.comparison.before, dock.comparison.after) == (second, first)
    assert dock.comparison.mode == "side by side"
    assert grid_of(viewer).stride == -1
    assert dock.modes.note.text() == "left: cube 1\nright: cube 0"


def test_buttons_and_mode_are_always_the_same(viewer: ViewerModel, dock: Any) -> None:
    from hsi_napari.compare_modes import Mode

    add(viewer, cube(0))
    add(viewer, cube(1))
    for mode in (Mode.BLINK, Mode.SIDE, Mode.OFF):
        dock.comparison.set_mode(mode)
        assert [each for each, button in dock.modes.buttons.items() if button.isChecked()] == [mode]
    dock.modes.buttons["blink"].click()
    viewer.dims.ndisplay = 3
    assert dock.modes.buttons["off"].isChecked()
    assert "flat view" in dock.message.text()


def test_hiding_the_dock_rests_the_blinking(viewer: ViewerModel, dock: Any, toolkit: Any) -> None:
    add(viewer, cube(0))
    add(viewer, cube(1))
    dock.show()
    dock.modes.buttons["blink"].click()
    assert dock.comparison.timer.isActive()
    dock.hide()
    assert not dock.comparison.timer.isActive()
    dock.show()
    assert dock.comparison.timer.isActive()


def test_settings_of_the_modes_reach_the_comparison(viewer: ViewerModel, dock: Any, toolkit: Any) -> None:
    add(viewer, cube(0))
    add(viewer, cube(1))
    dock.modes.interval.setValue(0.1)
    assert dock.comparison.timer.interval() == 300
    dock.modes.interval.setValue(9)
    assert dock.comparison.timer.interval() == 3000
    dock.modes.buttons["swipe"].click()
    toolkit.waitUntil(lambda: dock.comparison.layers.line is not None, timeout=LONG_MS)
    dock.modes.place.setValue(200)
    assert dock.comparison.share == 0.2
    assert dock.modes.note.text() == "left: cube 0\nright: cube 1"
    dock.modes.direction.setCurrentIndex(1)
    assert dock.modes.note.text() == "above: cube 0\nbelow: cube 1"
    assert dock.comparison.layers.line.data[0, 1].tolist() == [0, 10]


def test_the_switch_links_contrast_also_of_later_pairs(viewer: ViewerModel, dock: Any) -> None:
    first, second, third = (add(viewer, cube(i)) for i in range(3))
    dock.after_choice.choose(second)
    own = list(second.contrast_limits)
    dock.same_contrast.setChecked(True)
    first.contrast_limits = (0.2, 0.3)
    assert list(second.contrast_limits) == [0.2, 0.3]
    dock.after_choice.choose(third)
    assert list(second.contrast_limits) == own
    assert list(third.contrast_limits) == [0.2, 0.3]
    dock.same_contrast.setChecked(False)
    first.contrast_limits = (0.1, 0.9)
    assert list(third.contrast_limits) != [0.1, 0.9]


def test_bands_of_other_wavelengths_are_said_to_be_set_side_by_side(viewer: ViewerModel, dock: Any) -> None:
    first = add(viewer, cube(0, bands=BandAxis(4, [450, 550, 650, 850])))
    second = add(viewer, cube(1, (2, 24, 20), bands=BandAxis(2, [560, 840])))
    dock.before_choice.choose(first)
    dock.after_choice.choose(second)
    viewer.dims.set_current_step(0, 3)
    lines = dock.facts.text().splitlines()
    assert lines[:2] == ["before: 4 bands · 12 × 10 px", "after: 2 bands · 24 × 20 px"]
    assert lines[2].startswith("band 4 is compared with band 2")


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_the_dock_follows_the_theme(viewer: ViewerModel, dock: Any, theme: str) -> None:
    from hsi_napari.theme import theme_colours

    viewer.theme = theme
    assert theme_colours(theme).accent in dock.modes.styleSheet()
    assert theme_colours(theme).muted in dock.facts.styleSheet()


# ---- figures -------------------------------------------------------------------------------------------------------


@pytest.fixture
def measured(viewer: ViewerModel, dock: Any, toolkit: Any) -> Any:
    """The dock beside a noisy and a clean cube of 20 bands, one of them bad."""
    rng = np.random.default_rng(0)
    axis = BandAxis(20, np.linspace(400, 900, 20), bad=np.arange(20) == 7)
    clean = np.tensordot(rng.random((20, 2)), rng.random((2, 40, 50)), (1, 0)).astype(np.float32)
    noise = rng.normal(0, 0.1, clean.shape).astype(np.float32)
    add(viewer, Cube(clean + noise, axis, unit="reflectance", name="noisy"))
    add(viewer, Cube(clean, axis, unit="reflectance", name="clean"))
    return dock


def lines(dock: Any) -> list[tuple[np.ndarray, np.ndarray]]:
    found: list[tuple[np.ndarray, np.ndarray]] = dock.figures.plot.lines()
    return found


def test_folded_figures_measure_nothing(measured: Any) -> None:
    assert measured._worker is None
    assert not measured.comparison._work.is_busy
    assert lines(measured) == []


def test_the_histogram_shows_both_and_follows_the_slider(viewer: ViewerModel, measured: Any, toolkit: Any) -> None:
    measured.figures.open()
    toolkit.waitUntil(lambda: len(lines(measured)) == 2, timeout=LONG_MS)
    first = measured.figures.numbers.text()
    assert "mean" in first
    assert float(first.split()[-1]) == pytest.approx(0.1, rel=0.05)
    viewer.dims.set_current_step(0, 5)
    toolkit.waitUntil(lambda: measured.figures.numbers.text() not in ("", first), timeout=LONG_MS)
    (x, before), (other_x, after) = lines(measured)
    assert np.array_equal(x, other_x)
    assert (before[0], before[-1], after[0], after[-1]) == (0, 0, 0, 0)


def test_charts_over_the_bands_are_measured_once_and_leave_bad_bands_out(measured: Any, toolkit: Any) -> None:
    measured.figures.open()
    measured.figures.choose("noise")
    toolkit.waitUntil(lambda: len(lines(measured)) == 2, timeout=LONG_MS)
    (x, before), (_, after) = lines(measured)
    assert x.tolist() == np.linspace(400, 900, 20).tolist()
    assert np.isnan(before[7])
    assert np.nanmedian(before) == pytest.approx(0.1, rel=0.2)
    assert np.nanmedian(after) < 0.01
    assert "dB" in measured.figures.numbers.text()
    for chart, count in (("mean", 2), ("spread", 2), ("changed", 1)):
        measured.figures.choose(chart)
        assert measured._worker is None
        assert len(lines(measured)) == count
    assert measured.figures.numbers.text() == "100 % of the samples changed"


def test_new_values_are_measured_again(viewer: ViewerModel, measured: Any, toolkit: Any) -> None:
    measured.figures.open()
    measured.figures.choose("changed")
    toolkit.waitUntil(lambda: "100 %" in measured.figures.numbers.text(), timeout=LONG_MS)
    viewer.layers["clean"].data = np.array(viewer.layers["noisy"].data)
    toolkit.waitUntil(lambda: measured.figures.numbers.text().startswith("0 %"), timeout=LONG_MS)


def test_an_edited_list_of_bad_bands_is_heeded(viewer: ViewerModel, measured: Any, toolkit: Any) -> None:
    layer = viewer.layers["noisy"]
    measured.figures.open()
    measured.figures.choose("mean")
    toolkit.waitUntil(lambda: len(lines(measured)) == 2, timeout=LONG_MS)
    layer.metadata = {**layer.metadata, FACTS: {**layer.metadata[FACTS], "bad_bands": [3]}}
    toolkit.waitUntil(lambda: len(lines(measured)) == 2, timeout=LONG_MS)
    (_, before), (_, after) = lines(measured)
    assert np.flatnonzero(np.isnan(before)).tolist() == [3]
    assert np.flatnonzero(np.isnan(after)).tolist() == [7]


def test_measuring_is_cancelled_and_said_so(measured: Any, toolkit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def forever(before: Cube, after: Cube, job: Any) -> None:
        while True:
            job.step(0.3, "levels")
            time.sleep(0.002)

    monkeypatch.setattr("hsi_napari.compare_dock.compare_bands", lambda before, after, job: forever(before, after, job))
    measured.figures.open()
    measured.figures.choose("mean")
    toolkit.waitUntil(lambda: measured.figures.bar.value() > 0, timeout=LONG_MS)
    assert not measured.figures.cancel.isHidden()
    measured.figures.cancel.click()
    toolkit.waitUntil(lambda: measured._worker is None, timeout=LONG_MS)
    assert measured.figures.cancel.isHidden()
    assert "Cancelled" in measured.figures.note.text()
    assert not measured.message.text()


def test_cancelling_is_heard_at_once_and_measuring_again_waits_for_the_thread(
    measured: Any, toolkit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hsi_app.compare import compare_bands

    go_on, calls = threading.Event(), []

    def deaf(before: Cube, after: Cube, job: Any) -> Any:
        calls.append(before.name)
        go_on.wait(20)
        job.step(0.5)
        return compare_bands(before, after, job=job)

    monkeypatch.setattr("hsi_napari.compare_dock.compare_bands", deaf)
    measured.figures.open()
    measured.figures.choose("mean")
    toolkit.waitUntil(lambda: calls != [], timeout=LONG_MS)
    measured.figures.cancel.click()
    assert measured.figures.cancel.isHidden()
    assert "Cancelled" in measured.figures.note.text()
    measured.figures.choose("noise")
    assert calls == ["noisy"]
    go_on.set()
    toolkit.waitUntil(lambda: len(lines(measured)) == 2, timeout=LONG_MS)
    assert calls == ["noisy", "noisy"]


def test_figures_of_another_pair_are_not_shown_for_this_one(
    viewer: ViewerModel, measured: Any, toolkit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hsi_app.compare import compare_bands

    go_on, names = threading.Event(), []

    def slow(before: Cube, after: Cube, job: Any) -> Any:
        names.append((before.name, after.name))
        go_on.wait(20)
        job.step(0.5)
        return compare_bands(before, after, job=job)

    monkeypatch.setattr("hsi_napari.compare_dock.compare_bands", slow)
    measured.figures.open()
    measured.figures.choose("changed")
    measured.swap()
    go_on.set()
    toolkit.waitUntil(lambda: len(lines(measured)) == 1, timeout=LONG_MS)
    assert names == [("noisy", "clean"), ("clean", "noisy")]


def test_even_bands_have_no_noise_to_draw(viewer: ViewerModel, dock: Any, toolkit: Any) -> None:
    for _ in range(2):
        add(viewer, Cube(np.full((4, 30, 30), 5.0, np.float32)))
    dock.figures.open()
    dock.figures.choose("noise")
    toolkit.waitUntil(lambda: len(lines(dock)) == 2, timeout=LONG_MS)
    assert not dock.message.text()


def test_cubes_of_other_sizes_say_why_changes_are_not_counted(viewer: ViewerModel, dock: Any, toolkit: Any) -> None:
    add(viewer, cube(0, (4, 20, 20)))
    add(viewer, cube(1, (4, 40, 40)), scale=(1, 0.5, 0.5))
    dock.figures.open()
    dock.figures.choose("changed")
    toolkit.waitUntil(lambda: "different sizes" in dock.figures.note.text(), timeout=LONG_MS)
    dock.figures.choose("noise")
    assert "differ in size" in dock.figures.note.text()


# ---- the key -------------------------------------------------------------------------------------------------------


def test_the_key_flips_the_pair_of_the_dock(viewer: ViewerModel, dock: Any) -> None:
    from hsi_napari.compare_commands import toggle_in

    add(viewer, cube(0))
    add(viewer, cube(1))
    assert toggle_in(viewer)
    assert visible(viewer) == ["cube 1"]
    assert dock.comparison.mode == "blink"
    assert toggle_in(viewer)
    assert visible(viewer) == ["cube 0"]


@gui
def test_without_the_dock_the_key_hides_and_shows_the_restored_cube(viewer: ViewerModel) -> None:
    from hsi_napari.compare_commands import toggle_in

    assert not toggle_in(viewer)
    source, restored = add(viewer, cube(0)), add(viewer, cube(1))
    assert not toggle_in(viewer)
    lineage.remember(restored, source)
    for active in (source, restored, None):
        viewer.layers.selection.active = active
        assert toggle_in(viewer)
        assert not restored.visible
        assert toggle_in(viewer)
        assert restored.visible
    assert source.visible


# ---- in a window ---------------------------------------------------------------------------------------------------


@pytest.mark.gui
def test_a_person_compares_the_noisy_with_the_clean_sample(
    window: Callable[..., Any], toolkit: Any, pictures: Path
) -> None:
    from qtpy.QtCore import QPoint, Qt
    from qtpy.QtWidgets import QApplication

    viewer = window(show=True)
    viewer.window.resize(1500, 950)
    (noisy,) = viewer.open_sample("hsi-app", "noisy")
    clean, colour = viewer.open_sample("hsi-app", "clean")
    viewer.dims.set_current_step(0, 30)
    _, dock = viewer.window.add_plugin_dock_widget("hsi-app", "Compare")
    toolkit.waitUntil(dock.isVisible)
    comparison = dock.comparison
    assert (comparison.before, comparison.after) == (noisy, clean)
    found = [layer.visible for layer in viewer.layers]

    def shoot(name: str) -> None:
        QApplication.processEvents()
        viewer.screenshot(str(pictures / f"compare_{name}.png"), canvas_only=False, flash=False)
        assert (pictures / f"compare_{name}.png").stat().st_size > 50_000

    # Two halves, the line dragged with the mouse.
    dock.modes.buttons["swipe"].click()
    toolkit.waitUntil(lambda: comparison.layers.line is not None, timeout=LONG_MS)
    viewer.reset_view()
    canvas, view = viewer.window._qt_viewer.canvas.native, camera(viewer)

    def at(x: float) -> QPoint:
        return QPoint(round(canvas.width() / 2 + (x - view.center[2]) * view.zoom), canvas.height() // 2)

    centre = view.center
    toolkit.mouseMove(canvas, at(39.5))
    toolkit.mousePress(canvas, Qt.MouseButton.LeftButton, pos=at(39.5))
    for x in (45.0, 52.0, 59.5):
        QApplication.processEvents()
        toolkit.mouseMove(canvas, at(x))
    QApplication.processEvents()
    toolkit.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=at(59.5))
    assert comparison.share == pytest.approx(0.75, abs=0.02)
    assert view.center == centre
    dock.figures.open()
    toolkit.waitUntil(lambda: len(dock.figures.plot.lines()) == 2, timeout=LONG_MS)
    shoot("swipe")

    dock.modes.buttons["side by side"].click()
    assert grid_of(viewer).enabled
    shoot("side_by_side")

    dock.modes.buttons["difference"].click()
    toolkit.waitUntil(lambda: comparison.layers.image is not None, timeout=LONG_MS)
    dock.figures.choose("noise")
    toolkit.waitUntil(lambda: dock._worker is None and len(dock.figures.plot.lines()) == 2, timeout=LONG_MS)
    shoot("difference")

    # The dock is closed in the middle of it.
    viewer.window.remove_dock_widget(dock)
    assert list(viewer.layers) == [noisy, clean, colour]
    assert [layer.visible for layer in viewer.layers] == found
    assert not grid_of(viewer).enabled


@pytest.mark.gui
def test_closing_the_window_in_the_middle_of_a_comparison_is_quiet(window: Callable[..., Any], toolkit: Any) -> None:
    viewer = window(show=True)
    viewer.open_sample("hsi-app", "noisy")
    viewer.open_sample("hsi-app", "clean")
    _, dock = viewer.window.add_plugin_dock_widget("hsi-app", "Compare")
    dock.same_contrast.setChecked(True)
    dock.figures.open()
    dock.modes.buttons["swipe"].click()
    toolkit.waitUntil(lambda: dock.comparison.layers.line is not None, timeout=LONG_MS)
    dock.figures.choose("noise")
    dock = _ = None
    viewer.close()

"""The modes of a comparison, layers that go away in the middle, the divider under the mouse."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from hsi_napari.compare_planes import (
    Planes,
    Wanted,
    is_comparable,
    painted,
    read_plane,
    side_of,
)
from hsi_napari.viewer_parts import camera, grid_of
from napari.components import ViewerModel
from napari.layers import Image

from hsi_app.cube import Cube
from tests.plugins.compare.comparisons import LONG_MS, MODES, add, cube, state, visible

# ---- the viewer is left as it was found ----------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_off_leaves_everything_as_it_was_found(crowd: ViewerModel, comparison: Any, enter: Any, mode: str) -> None:
    found = state(crowd)
    enter(mode)
    assert state(crowd) != found
    enter("off")
    assert state(crowd) == found


def test_going_through_all_modes_leaves_everything_as_it_was_found(
    crowd: ViewerModel, comparison: Any, enter: Any
) -> None:
    found = state(crowd)
    for mode in [*MODES, *reversed(MODES)]:
        enter(mode)
    enter("off")
    assert state(crowd) == found


@pytest.mark.parametrize("mode", MODES)
def test_closing_leaves_everything_as_it_was_found(crowd: ViewerModel, comparison: Any, enter: Any, mode: str) -> None:
    found = state(crowd)
    comparison.hold_contrast(True)
    enter(mode)
    comparison.close()
    assert state(crowd) == found
    assert not comparison.timer.isActive()


def test_swipe_shows_its_picture_under_the_marks_and_no_other_image(
    crowd: ViewerModel, comparison: Any, enter: Any
) -> None:
    enter("swipe")
    assert visible(crowd) == ["before | after", "pins", "divider"]
    assert crowd.layers.selection.active is comparison.before
    assert not any(is_comparable(layer) for layer in (comparison.layers.image, comparison.layers.line))


def test_the_swiped_picture_is_before_on_one_side_and_after_on_the_other(comparison: Any, enter: Any) -> None:
    enter("swipe")
    comparison.move(0.3)
    sides = [
        painted(read_plane(side_of(layer, 2)), side_of(layer, 2)) for layer in (comparison.before, comparison.after)
    ]
    assert np.array_equal(comparison.layers.image.data[:, :3], sides[0][:, :3])
    assert np.array_equal(comparison.layers.image.data[:, 3:], sides[1][:, 3:])
    comparison.turn(False)
    assert np.array_equal(comparison.layers.image.data[:4], sides[0][:4])
    assert np.array_equal(comparison.layers.image.data[4:], sides[1][4:])


def picture_becomes(toolkit: Any, comparison: Any, band: int) -> None:
    """Wait until the left half shows this band of the first layer as it looks now."""
    side = side_of(comparison.before, band)
    expected = painted(read_plane(side), side)[:, :5]
    toolkit.waitUntil(lambda: np.array_equal(comparison.layers.image.data[:, :5], expected), timeout=LONG_MS)


def test_swipe_follows_slider_contrast_colours_and_data(
    crowd: ViewerModel, comparison: Any, enter: Any, toolkit: Any
) -> None:
    enter("swipe")
    crowd.dims.set_current_step(0, 0)
    picture_becomes(toolkit, comparison, 0)
    comparison.before.contrast_limits = (0.4, 0.5)
    picture_becomes(toolkit, comparison, 0)
    comparison.before.colormap = "viridis"
    picture_becomes(toolkit, comparison, 0)
    comparison.before.data = np.flip(comparison.before.data, axis=1)
    picture_becomes(toolkit, comparison, 0)


def test_swipe_follows_a_layer_that_is_moved(comparison: Any, enter: Any, toolkit: Any) -> None:
    enter("swipe")
    comparison.after.translate = (0, 0, 6)
    toolkit.waitUntil(lambda: comparison.layers.image.data.shape == (12, 16, 4), timeout=LONG_MS)
    side = side_of(comparison.after, 2)
    assert np.array_equal(comparison.layers.image.data[:, 8:], painted(read_plane(side), side)[:, 2:])


def test_dragging_reads_nothing(viewer: ViewerModel, on_disk: Any, toolkit: Any) -> None:
    from hsi_napari.compare_modes import Comparison, Mode
    from hsi_napari.links import Links

    arrays = [on_disk(np.random.default_rng(i).random((4, 12, 10)).astype(np.float32)) for i in range(2)]
    layers = [add(viewer, Cube(array)) for array in arrays]
    links = Links()
    comparison = Comparison(viewer, links)
    comparison.pair(*layers)
    comparison.set_mode(Mode.SWIPE)
    toolkit.waitUntil(lambda: comparison.layers.line is not None, timeout=LONG_MS)
    for array in arrays:
        array.samples = 0
    for share in np.linspace(0, 1, 30):
        comparison.move(float(share))
    assert [array.samples for array in arrays] == [0, 0]
    links.cut()


def test_no_file_is_read_in_the_window_s_own_thread(viewer: ViewerModel, toolkit: Any) -> None:
    from hsi_napari.compare_modes import Comparison, Mode
    from hsi_napari.links import Links

    readers: list[int] = []

    class Slow:
        shape, dtype, ndim = (4, 12, 10), np.dtype(np.float32), 3

        def __getitem__(self, key: Any) -> np.ndarray:
            readers.append(threading.get_ident())
            return np.zeros(self.shape, np.float32)[key]

    layers = [add(viewer, Cube(Slow())) for _ in range(2)]
    for layer in layers:
        layer.visible = False  # napari itself reads what it shows
    viewer.dims.set_current_step(0, 0)
    links = Links()
    comparison = Comparison(viewer, links)
    comparison.pair(*layers)
    readers.clear()
    comparison.count(True)
    for mode in (Mode.SWIPE, Mode.DIFFERENCE):
        comparison.set_mode(mode)
        toolkit.waitUntil(lambda: comparison.layers.image is not None, timeout=LONG_MS)
    with toolkit.waitSignal(comparison.made, timeout=LONG_MS):
        viewer.dims.set_current_step(0, 3)
    links.cut()
    assert readers
    assert threading.get_ident() not in readers


def test_swiped_images_of_other_scales_lie_over_one_another(viewer: ViewerModel, toolkit: Any) -> None:
    from hsi_napari.compare_modes import Comparison, Mode
    from hsi_napari.links import Links

    coarse = add(viewer, cube(0))
    fine = add(viewer, cube(1, (4, 48, 40)), scale=(1, 0.25, 0.25), translate=(0, -0.375, -0.375))
    links = Links()
    comparison = Comparison(viewer, links)
    comparison.pair(coarse, fine)
    comparison.set_mode(Mode.SWIPE)
    toolkit.waitUntil(lambda: comparison.layers.line is not None, timeout=LONG_MS)
    image = comparison.layers.image
    assert image.data.shape == (48, 40, 4)
    assert (tuple(image.scale), tuple(image.translate)) == ((0.25, 0.25), (-0.375, -0.375))
    side = side_of(coarse, comparison.bands[0])
    left = painted(read_plane(side), side).repeat(4, 0).repeat(4, 1)
    assert np.array_equal(image.data[:, :20], left[:, :20])
    start, along = comparison.layers.line.data[0]
    assert list(comparison.layers.line.data_to_world(start)) == [-0.5, 4.5]
    assert along.tolist() == [48, 0]
    links.cut()


def test_the_difference_goes_with_the_slider_and_keeps_limits_that_a_person_set(
    crowd: ViewerModel, comparison: Any, enter: Any, toolkit: Any
) -> None:
    enter("difference")
    image = comparison.layers.image
    a, b = (np.asarray(layer.data) for layer in (comparison.before, comparison.after))
    assert np.allclose(image.data, b[2] - a[2])
    assert image.contrast_limits[0] == -image.contrast_limits[1]
    assert visible(crowd) == ["difference: after − before", "pins"]
    comparison.subtract(True)
    toolkit.waitUntil(lambda: np.allclose(image.data, a[2] - b[2]), timeout=LONG_MS)
    assert image.name.startswith("removed")
    free = list(image.contrast_limits)
    crowd.dims.set_current_step(0, 0)
    toolkit.waitUntil(lambda: np.allclose(image.data, a[0] - b[0]), timeout=LONG_MS)
    assert list(image.contrast_limits) != free
    image.contrast_limits = (-0.01, 0.01)
    crowd.dims.set_current_step(0, 1)
    toolkit.waitUntil(lambda: np.allclose(image.data, a[1] - b[1]), timeout=LONG_MS)
    assert list(image.contrast_limits) == [-0.01, 0.01]


def test_side_by_side_shows_before_left_whichever_lies_below(crowd: ViewerModel, comparison: Any, enter: Any) -> None:
    for first, second in ((0, 1), (1, 0)):
        pair = crowd.layers[first], crowd.layers[second]
        comparison.pair(*pair)
        enter("side by side")
        grid, layers = grid_of(crowd), list(crowd.layers)
        assert visible(crowd) == ["cube 0", "cube 1"]
        assert [grid.position(layers.index(layer), layers) for layer in pair] == [(0, 0), (0, 1)]
        assert grid.actual_shape(layers) == (1, 2)
        enter("off")


def test_blinking_shows_one_after_the_other_until_it_is_off(
    crowd: ViewerModel, comparison: Any, enter: Any, toolkit: Any
) -> None:
    comparison.timer.setInterval(10)
    enter("blink")
    assert visible(crowd) == ["cube 0", "pins"]
    toolkit.waitUntil(lambda: visible(crowd) == ["cube 1", "pins"], timeout=LONG_MS)
    toolkit.waitUntil(lambda: visible(crowd) == ["cube 0", "pins"], timeout=LONG_MS)
    enter("off")
    assert not comparison.timer.isActive()


def test_blinking_rests_while_paused_or_asleep_and_goes_on(comparison: Any, enter: Any) -> None:
    enter("blink")
    comparison.sleep(True)
    assert not comparison.timer.isActive()
    comparison.sleep(False)
    assert comparison.timer.isActive()
    comparison.pause()
    assert not comparison.timer.isActive()
    comparison.sleep(False)
    assert not comparison.timer.isActive()
    comparison.pause(False)
    assert comparison.timer.isActive()


def test_flipping_blinks_by_hand(crowd: ViewerModel, comparison: Any) -> None:
    comparison.flip()
    assert visible(crowd) == ["cube 1", "pins"]
    comparison.flip()
    assert visible(crowd) == ["cube 0", "pins"]
    assert not comparison.timer.isActive()


def test_what_a_person_shows_meanwhile_stays_shown(crowd: ViewerModel, comparison: Any, enter: Any) -> None:
    enter("swipe")
    crowd.layers["hidden"].visible = True
    crowd.layers["colour"].visible = True
    enter("off")
    assert crowd.layers["hidden"].visible
    assert crowd.layers["colour"].visible
    assert not comparison.after.visible


def test_colour_pictures_are_compared_but_not_subtracted(crowd: ViewerModel, comparison: Any, enter: Any) -> None:
    comparison.pair(crowd.layers["cube 0"], crowd.layers["colour"])
    assert "difference" not in comparison.possible()
    enter("swipe")
    assert (comparison.layers.image.data[:, 5:, :3] == 0).all()
    comparison.hold_contrast(True)
    assert not comparison.contrast.is_held


# ---- layers and views that go away in the middle -------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("which", ["before", "after"])
def test_the_mode_ends_when_a_layer_is_removed(
    crowd: ViewerModel, pair: tuple[Image, Image], toolkit: Any, mode: str, which: str
) -> None:
    from hsi_napari.compare_dock import CompareDock
    from hsi_napari.compare_modes import Mode

    dock = CompareDock(crowd)
    toolkit.addWidget(dock)
    found = state(crowd)["layers"]
    dock.before_choice.choose(pair[0])
    dock.after_choice.choose(pair[1])
    dock.comparison.set_mode(Mode(mode))
    if mode in ("swipe", "difference"):
        toolkit.waitUntil(lambda: dock.comparison.layers.image is not None, timeout=LONG_MS)
    layer = pair[0 if which == "before" else 1]
    crowd.layers.remove(layer)
    assert dock.comparison.mode is Mode.OFF
    assert state(crowd)["layers"] == [kept for kept in found if kept[0] != layer.name]
    assert layer not in (dock.comparison.before, dock.comparison.after)
    assert not grid_of(crowd).enabled


@pytest.mark.parametrize("name", ["before | after", "divider"])
def test_removing_what_the_comparison_added_switches_it_off(
    crowd: ViewerModel, comparison: Any, enter: Any, name: str
) -> None:
    found = state(crowd)
    enter("swipe")
    crowd.layers.remove(crowd.layers[name])
    assert state(crowd) == found
    assert comparison.mode == "off"


@pytest.mark.parametrize("mode", MODES)
def test_the_solid_view_switches_it_off(
    crowd: ViewerModel, comparison: Any, enter: Any, mode: str, toolkit: Any
) -> None:
    found = state(crowd)["layers"]
    enter(mode)
    with toolkit.waitSignal(comparison.told):
        crowd.dims.ndisplay = 3
    assert state(crowd)["layers"] == found
    assert comparison.possible() == ("off",)
    crowd.dims.ndisplay = 2
    assert "swipe" in comparison.possible()


def test_a_late_answer_for_a_closed_comparison_adds_nothing(
    crowd: ViewerModel, comparison: Any, monkeypatch: pytest.MonkeyPatch, toolkit: Any
) -> None:
    from hsi_napari.compare_modes import Mode

    go_on = threading.Event()
    made = Planes.make

    def slow(planes: Planes, wanted: Wanted) -> Any:
        go_on.wait(20)
        return made(planes, wanted)

    monkeypatch.setattr(Planes, "make", slow)
    found = state(crowd)
    comparison.set_mode(Mode.SWIPE)
    comparison.close()
    go_on.set()
    toolkit.waitUntil(lambda: comparison._work._worker is None, timeout=LONG_MS)
    assert state(crowd) == found


def test_layers_are_not_kept_alive(crowd: ViewerModel, pair: tuple[Image, Image], comparison: Any) -> None:
    import gc
    import weakref

    held = [weakref.ref(layer) for layer in pair]
    assert held[0]() is comparison.before
    comparison.pair(None, None)
    crowd.layers.clear()
    del pair
    assert comparison.before is None
    gc.collect()
    assert comparison.after is None


def test_a_failure_to_read_is_one_line_and_the_mode_is_off(
    crowd: ViewerModel, comparison: Any, monkeypatch: pytest.MonkeyPatch, toolkit: Any
) -> None:
    from hsi_napari.compare_modes import Mode

    def broken(planes: Planes, wanted: Wanted) -> Any:
        raise OSError("disk is gone\nlong story")

    monkeypatch.setattr(Planes, "make", broken)
    found = state(crowd)
    with toolkit.waitSignal(comparison.failed, timeout=LONG_MS) as failed:
        comparison.set_mode(Mode.SWIPE)
    assert failed.args == ["unexpected OSError: disk is gone"]
    assert state(crowd) == found


# ---- the divider under the mouse -----------------------------------------------------------------------------------


class FakeEvent:
    """What napari hands to a mouse callback."""

    def __init__(self, kind: str, y: float, x: float, button: int = 1) -> None:
        self.type, self.position, self.button = kind, (0.0, y, x), button


def drag(viewer: ViewerModel, start: tuple[float, float], *places: tuple[float, float]) -> bool:
    """Press, move and release the mouse; True where the view would have stayed."""
    event = FakeEvent("mouse_press", *start)
    ours = [call for call in viewer.mouse_drag_callbacks if call.__module__ == "hsi_napari.compare_divider"]
    going = [one for call in ours if next(one := call(viewer, event), "ended") != "ended"]
    stays = not camera(viewer).mouse_pan
    for kind, at in [*[("mouse_move", at) for at in places], ("mouse_release", (places or (start,))[-1])]:
        event.type, event.position = kind, (0.0, *at)
        for one in going:
            next(one, None)
    return stays


def test_a_drag_near_the_divider_moves_it_and_not_the_view(crowd: ViewerModel, comparison: Any, enter: Any) -> None:
    enter("swipe")
    comparison.move(0.5)
    assert drag(crowd, (3, 4.6), (3, 6), (3, 7.5))
    assert comparison.share == pytest.approx(0.8)
    assert camera(crowd).mouse_pan
    assert drag(crowd, (3, 7.5), (3, 99))
    assert comparison.share == 1


def test_a_drag_elsewhere_or_while_painting_is_left_alone(crowd: ViewerModel, comparison: Any, enter: Any) -> None:
    enter("swipe")
    assert not drag(crowd, (3, 0.5), (3, 7))
    assert comparison.share == 0.5
    crowd.layers.selection.active = crowd.layers["regions"]
    crowd.layers["regions"].visible = True
    crowd.layers["regions"].mode = "paint"
    camera(crowd).mouse_pan = True
    assert not drag(crowd, (3, 4.5), (3, 7))
    assert comparison.share == 0.5


def test_the_cursor_points_near_the_divider_only(crowd: ViewerModel, comparison: Any, enter: Any) -> None:
    enter("swipe")

    def move(y: float, x: float) -> str:
        for callback in crowd.mouse_move_callbacks:
            callback(crowd, FakeEvent("mouse_move", y, x))
        return str(crowd.cursor.style)

    assert move(3, 4.5) == "pointing"
    assert move(3, 0) == "standard"
    assert move(3, 4.5) == "pointing"
    enter("off")
    assert str(crowd.cursor.style) == "standard"


def test_the_line_is_as_wide_on_the_screen_at_every_zoom(crowd: ViewerModel, comparison: Any, enter: Any) -> None:
    enter("swipe")
    widths = []
    for zoom in (1.0, 4.0):
        camera(crowd).zoom = zoom
        widths.append(float(comparison.layers.line.edge_width) * zoom)
    assert widths[0] == pytest.approx(widths[1])

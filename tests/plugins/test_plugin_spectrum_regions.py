"""Regions of layers: what is taken from Labels and Shapes, and that the dock follows them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("qtpy", reason="the extra 'gui' is not installed")

from hsi_napari.spectrum_model import Source
from hsi_napari.spectrum_regions import (
    MOST_REGIONS,
    Drawn,
    Image,
    Painted,
    may_hold_regions,
    region_lines,
    regions_in,
)

from hsi_app.bands import BandAxis
from hsi_app.cube import Cube
from hsi_app.errors import Cancelled
from hsi_app.jobs import Job

SQUARE = np.array([[2.0, 1.0], [2.0, 4.0], [6.0, 4.0], [6.0, 1.0]])


def images(*cubes: Cube) -> list[Image]:
    return [Image.of(Source(cube.name, cube)) for cube in cubes]


def lines_of(layer: Any, *cubes: Cube) -> dict[int, Any]:
    """Spectra of a layer's regions by number, in the first cube."""
    found = region_lines(regions_in(layer), images(*cubes), {}, Job())
    return {number: row[0] for number, row in found.spectra.items()}


# ---- what a layer holds --------------------------------------------------------------------------------------------


def test_shapes_and_labels_of_the_cubes_size_may_hold_regions(viewer: Any, layer: Any) -> None:
    shapes = viewer.add_shapes(ndim=2)
    flat = viewer.add_labels(np.zeros((12, 10), int))
    deep = viewer.add_labels(np.zeros((6, 12, 10), int))
    other = viewer.add_labels(np.zeros((5, 5), int))
    points = viewer.add_points(ndim=2)
    fits = [may_hold_regions(found, layer) for found in (shapes, flat, deep, other, points, layer)]
    assert fits == [True, True, True, False, False, False]
    assert not may_hold_regions(flat, None)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64])
def test_each_label_is_a_region(viewer: Any, layer: Any, full_cube: Cube, dtype: Any) -> None:
    data = np.zeros((12, 10), dtype)
    data[4:6, 3:6], data[9, 1] = 2, 5
    found = lines_of(viewer.add_labels(data), full_cube)
    assert {number: spectrum.count for number, spectrum in found.items()} == {2: 6, 5: 1}
    block = np.asarray(full_cube.values)[:, 4:6, 3:6].reshape(6, -1).mean(axis=1) * 1e-4 + 0.5
    assert np.allclose(found[2].mean, block)


def test_a_rectangle_a_polygon_and_an_ellipse_are_regions_and_lines_are_none(
    viewer: Any, layer: Any, full_cube: Cube
) -> None:
    shapes = viewer.add_shapes(ndim=2)
    shapes.add_rectangles(SQUARE)
    shapes.add_lines(np.array([[0, 0], [9, 9]]))
    shapes.add_ellipses(SQUARE)
    shapes.add_polygons(SQUARE[:3])
    shapes.add_paths(SQUARE)
    found = lines_of(shapes, full_cube)
    assert list(found) == [1, 3, 4]
    counts = {number: spectrum.count for number, spectrum in found.items()}
    assert counts[1] > counts[3] > counts[4]
    # Area of an ellipse in its box, within the pixels of its edge.
    assert counts[3] == pytest.approx(np.pi * 4 * 3 / 4, abs=3)


def test_a_turned_ellipse_stays_in_its_box(viewer: Any) -> None:
    angle = np.radians(30)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    box = np.array([[-4, -9], [-4, 9], [4, 9], [4, -9]]) @ turn.T + 50
    shapes = viewer.add_shapes(ndim=2)
    shapes.add_ellipses(box)
    drawn = regions_in(shapes)
    assert isinstance(drawn, Drawn)
    local = (drawn.outlines[1] - 50) @ turn
    assert np.allclose((local[:, 0] / 4) ** 2 + (local[:, 1] / 9) ** 2, 1)


def test_shapes_drawn_over_a_band_and_layers_that_lie_elsewhere_count_where_they_are_seen(
    viewer: Any, layer: Any, full_cube: Cube
) -> None:
    flat = viewer.add_shapes(ndim=2)
    flat.add_rectangles(SQUARE)
    deep = viewer.add_shapes(ndim=3)
    deep.add_rectangles(np.column_stack([np.full(4, 3.0), SQUARE]))
    moved = viewer.add_shapes(ndim=2, scale=(2, 2), translate=(2, 1))
    moved.add_rectangles((SQUARE - (2, 1)) / 2)
    means = [lines_of(found, full_cube)[1].mean for found in (flat, deep, moved)]
    assert np.allclose(means[0], means[1])
    assert np.allclose(means[0], means[2])


# ---- measuring -----------------------------------------------------------------------------------------------------


def test_the_second_image_is_measured_on_the_same_ground(full_cube: Cube) -> None:
    fine = replace(full_cube.upsampled(np.repeat(np.repeat(full_cube.values, 2, 1), 2, 2), 2, "finer"), valid=None)
    part = replace(full_cube, values=np.asarray(full_cube.values)[:, 4:10, 2:8], valid=None, georef=None)
    sources = [
        Source("scene", full_cube),
        Source("finer", fine, lambda y, x: (2 * y + 0.5, 2 * x + 0.5)),
        Source("part", part, lambda y, x: (y - 4, x - 2)),
    ]
    labels = np.zeros((12, 10), int)
    labels[5:8, 3:6] = 1
    outline = np.array([[4.5, 2.5], [4.5, 5.5], [7.5, 5.5], [7.5, 2.5]])
    for regions in (Painted(labels), Drawn({1: outline})):
        (row,) = region_lines(regions, [Image.of(source) for source in sources], {}, Job()).spectra.values()
        first, finer, cut = row
        assert first is not None
        assert finer is not None
        assert cut is not None
        assert (first.count, finer.count, cut.count) == (9, 36, 9)
        assert np.allclose(first.mean, finer.mean)
        assert np.allclose(first.mean, cut.mean)


def test_a_region_beside_the_second_image_has_no_line_there(full_cube: Cube) -> None:
    labels = np.zeros((12, 10), int)
    labels[10, 1] = 1
    there = Source("part", replace(full_cube, values=np.asarray(full_cube.values)[:, :4, :4], valid=None))
    (row,) = region_lines(Painted(labels), [*images(full_cube), Image.of(there)], {}, Job()).spectra.values()
    assert row[0] is not None
    assert row[1] is None


def test_what_did_not_change_is_not_read_again(full_cube: Cube, on_disk: Any) -> None:
    values = on_disk(np.asarray(full_cube.values))
    image = images(replace(full_cube, values=values))
    labels = np.zeros((12, 10), int)
    labels[5:8, 3:6], labels[9:, 8:] = 1, 2
    cache: dict[Any, Any] = {}
    region_lines(Painted(labels), image, cache, Job())
    read = values.samples
    labels[9, 7] = 2
    found = region_lines(Painted(labels), image, cache, Job())
    assert values.samples - read == 6 * 9  # rows 9-11, columns 7-9 of the second label
    assert found.spectra[2][0].samples.max() == 6  # type: ignore[union-attr]
    assert len(cache) == 2
    labels[:] = 0
    region_lines(Painted(labels), image, cache, Job())
    assert cache == {}


def test_of_many_regions_the_first_are_measured(full_cube: Cube) -> None:
    labels = np.arange(120).reshape(12, 10)
    found = region_lines(Painted(labels), images(full_cube), {}, Job())
    assert found.found == 119
    assert list(found.spectra) == list(range(1, MOST_REGIONS + 1))
    squares = dict.fromkeys(range(1, 31), SQUARE)
    found = region_lines(Drawn(squares), images(full_cube), {}, Job())
    assert (found.found, len(found.spectra)) == (30, MOST_REGIONS)


def test_measuring_can_be_stopped(full_cube: Cube) -> None:
    job = Job()
    job.cancel()
    with pytest.raises(Cancelled):
        region_lines(Drawn({1: SQUARE}), images(full_cube), {}, job)


# ---- the dock ------------------------------------------------------------------------------------------------------


@pytest.fixture
def measured(toolkit: Any, spectra: Any) -> Callable[[], list[Any]]:
    """Waits until the dock has measured, and gives its regions."""

    def wait() -> list[Any]:
        toolkit.waitUntil(lambda: not spectra.regions.is_busy, timeout=10_000)
        return list(spectra.model.regions)

    return wait


def test_painting_is_followed(viewer: Any, spectra: Any, measured: Any) -> None:
    labels = viewer.add_labels(np.zeros((12, 10), np.uint8))
    spectra.region_choice.choose(labels)
    assert measured() == []
    labels.data_setitem((np.array([5, 5]), np.array([5, 6])), 3)
    (region,) = measured()
    assert (region.name, region.first.count) == ("label 3", 2)
    labels.brush_size = 1
    labels.paint((8, 5), 1)
    assert [region.name for region in measured()] == ["label 1", "label 3"]
    labels.undo()
    assert [region.name for region in measured()] == ["label 3"]


def test_labels_give_their_colours_to_the_lines(viewer: Any, spectra: Any, measured: Any) -> None:
    data = np.zeros((12, 10), np.uint8)
    data[4, 4], data[5, 5] = 1, 2
    labels = viewer.add_labels(data)
    spectra.region_choice.choose(labels)
    for region, number in zip(measured(), (1, 2), strict=True):
        red, green, blue = (int(region.colour[k : k + 2], 16) / 255 for k in (1, 3, 5))
        assert np.allclose((red, green, blue), labels.get_color(number)[:3], atol=0.01)


def test_shapes_are_followed_and_get_the_colours_of_their_lines(viewer: Any, spectra: Any, measured: Any) -> None:
    shapes = viewer.add_shapes(ndim=2)
    spectra.region_choice.choose(shapes)
    shapes.add_rectangles(SQUARE)
    shapes.add_rectangles(SQUARE + 3)
    first, second = measured()
    assert first.colour != second.colour
    for region, edge in zip((first, second), shapes.edge_color, strict=True):
        red, green, blue = (int(region.colour[k : k + 2], 16) / 255 for k in (1, 3, 5))
        assert np.allclose((red, green, blue), edge[:3], atol=0.01)
    shapes.data = [SQUARE + 1, SQUARE + 3]
    moved, _ = measured()
    assert not np.allclose(moved.first.mean, first.first.mean)
    shapes.selected_data = {0}
    shapes.remove_selected()
    assert [region.name for region in measured()] == ["ROI 1"]


def test_a_colour_that_a_person_gave_a_shape_stays(viewer: Any, spectra: Any, measured: Any) -> None:
    shapes = viewer.add_shapes(ndim=2)
    shapes.add_rectangles([SQUARE, SQUARE + 3], edge_color=["#123456", "#abcdef"])
    spectra.region_choice.choose(shapes)
    assert [region.colour for region in measured()] == ["#123456", "#abcdef"]


def test_a_regions_line_and_band_are_drawn_and_named(viewer: Any, spectra: Any, measured: Any) -> None:
    shapes = viewer.add_shapes(ndim=2)
    shapes.add_rectangles(SQUARE)
    spectra.region_choice.choose(shapes)
    measured()
    assert [label.text for _, label in spectra.plot.legend.items] == ["ROI 1 (12 px)"]
    assert len(spectra.plot.lines()) == 1
    spectra.region_choice.setCurrentIndex(0)
    assert spectra.plot.lines() == []


def test_many_regions_are_told(viewer: Any, spectra: Any, measured: Any) -> None:
    spectra.region_choice.choose(viewer.add_labels(np.arange(120).reshape(12, 10)))
    measured()
    assert f"the first {MOST_REGIONS} of 119 regions are shown" in spectra.where.text()


def test_restored_spectra_of_regions_come_with_the_second_cube(
    viewer: Any, layer: Any, spectra: Any, measured: Any, full_cube: Cube
) -> None:
    from hsi_napari.layers import cube_to_layer
    from napari.layers import Layer

    better = viewer.add_layer(Layer.create(*cube_to_layer(full_cube.replace(full_cube.values // 2, "halved"))))
    viewer.layers.selection.active = layer
    shapes = viewer.add_shapes(ndim=2)
    shapes.add_rectangles(SQUARE)
    spectra.first_choice.choose(layer)
    spectra.second_choice.choose(better)
    spectra.region_choice.choose(shapes)
    (region,) = measured()
    assert region.second is not None
    assert np.allclose(region.second.mean - 0.5, (region.first.mean - 0.5) / 2, atol=1e-4)


@pytest.mark.parametrize("what", ["regions", "cube"])
def test_removing_a_layer_in_the_middle_leaves_no_regions(
    viewer: Any, layer: Any, spectra: Any, measured: Any, what: str
) -> None:
    shapes = viewer.add_shapes(ndim=2)
    shapes.add_rectangles(SQUARE)
    spectra.region_choice.choose(shapes)
    shapes.data = [SQUARE + 1]
    viewer.layers.remove(shapes if what == "regions" else layer)
    assert measured() == []
    shapes.data = [SQUARE + 2]  # whoever holds the layer may go on
    assert measured() == []


def test_a_slow_region_is_given_up_when_another_cube_is_chosen(
    viewer: Any, layer: Any, spectra: Any, measured: Any, toolkit: Any, full_cube: Cube
) -> None:
    import threading

    from hsi_napari.layers import cube_to_layer
    from napari.layers import Layer

    class Stuck:
        """Gives its first block when it is let go."""

        def __init__(self) -> None:
            self.shape, self.dtype, self.ndim = (6, 400, 10), np.dtype(np.float32), 3
            self.reads, self.go = 0, threading.Event()

        def __getitem__(self, key: Any) -> np.ndarray:
            block = np.zeros(self.shape, np.float32)[key]
            if threading.current_thread() is not threading.main_thread():
                self.reads += 1
                assert self.go.wait(20)
            return block

    values = Stuck()
    data, options, kind = cube_to_layer(Cube(values, BandAxis(6), name="stuck"))
    slow = viewer.add_layer(Layer.create(data, options, kind))
    spectra.first_choice.choose(slow)
    shapes = viewer.add_shapes(ndim=2)
    shapes.add_polygons([np.array([[0, 0], [0, 9], [390, 9], [390, 0]]), SQUARE])
    spectra.region_choice.choose(shapes)
    toolkit.waitUntil(lambda: values.reads == 1, timeout=10_000)
    assert "reading the regions…" in spectra.where.text()
    viewer.layers.remove(slow)
    values.go.set()
    regions = measured()
    assert values.reads == 1
    assert spectra.first_choice.layer() is layer
    assert len(regions) == 2  # those of the other cube


def test_a_closed_dock_follows_no_layer(viewer: Any, spectra: Any, measured: Any) -> None:
    shapes = viewer.add_shapes(ndim=2)
    spectra.region_choice.choose(shapes)
    measured()
    before = len(shapes.events.data.callbacks)
    spectra.links.cut()
    assert len(shapes.events.data.callbacks) < before
    shapes.add_rectangles(SQUARE)
    assert not spectra.regions.is_busy

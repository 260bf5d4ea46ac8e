"""Regions, masks, the band readout and colour commands, on napari's model without a window."""

from __future__ import annotations

import numpy as np
import pytest
from hsi_napari import lineage, readout
from hsi_napari.commands import add_composite, chosen_cube
from hsi_napari.layers import cube_to_layer
from hsi_napari.masks import may_mask, observed_mask
from hsi_napari.region import LARGEST_PX, SMALLEST_PX, region_layer, region_of
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer

from hsi_app.bands import INFRARED_NM, BandAxis
from hsi_app.cube import Cube
from hsi_app.errors import CubeError
from hsi_app.tiling import Window


def add(viewer: ViewerModel, cube: Cube, **place: object) -> Layer:
    data, options, kind = cube_to_layer(cube)
    return viewer.add_layer(Layer.create(data, {**options, **place}, kind))


def overlay(viewer: ViewerModel) -> str:
    return str(viewer.canvas.overlays.text.text)


# ---- regions -------------------------------------------------------------------------------------------------------


@pytest.fixture
def large(viewer: ViewerModel) -> Layer:
    return add(viewer, Cube(np.zeros((2, 400, 500), np.float32)))


def draw(viewer: ViewerModel, top: float, left: float, bottom: float, right: float) -> None:
    layer = region_layer(viewer)
    layer.add_rectangles(np.array([[top, left], [top, right], [bottom, right], [bottom, left]]))


def test_a_drawn_rectangle_is_the_region(viewer: ViewerModel, large: Layer) -> None:
    draw(viewer, 99.5, 199.5, 139.5, 249.5)
    assert region_of(viewer, large) == (Window(100, 200, 40, 50), "drawn region")


def test_a_rectangle_is_taken_in_the_pixels_of_a_scaled_and_shifted_layer(viewer: ViewerModel) -> None:
    layer = add(viewer, Cube(np.zeros((2, 400, 500), np.float32)), scale=(1, 2, 2), translate=(0, 10, 20))
    draw(viewer, 10 + 2 * 49.5, 20 + 2 * 59.5, 10 + 2 * 79.5, 20 + 2 * 99.5)
    assert region_of(viewer, layer)[0] == Window(50, 60, 30, 40)


def test_a_large_region_is_cut_around_its_centre(viewer: ViewerModel, large: Layer) -> None:
    draw(viewer, -0.5, -0.5, 399.5, 499.5)
    window, _ = region_of(viewer, large)
    assert (window.height, window.width) == (LARGEST_PX, LARGEST_PX)
    assert abs(window.row + window.height / 2 - 200) <= 0.5
    assert abs(window.col + window.width / 2 - 250) <= 0.5


@pytest.mark.parametrize("corner", [(0, 0), (399, 499), (-50, 600)], ids=["first", "last", "outside"])
def test_a_tiny_region_grows_within_the_image(viewer: ViewerModel, large: Layer, corner: tuple[int, int]) -> None:
    draw(viewer, corner[0], corner[1], corner[0] + 1, corner[1] + 1)
    window, _ = region_of(viewer, large)
    assert (window.height, window.width) == (SMALLEST_PX, SMALLEST_PX)
    assert 0 <= window.row <= 400 - SMALLEST_PX
    assert 0 <= window.col <= 500 - SMALLEST_PX


def test_without_a_rectangle_the_visible_part_is_the_region(viewer: ViewerModel, large: Layer) -> None:
    large.corner_pixels = np.array([[0, 50, 60], [0, 89, 99]])
    assert region_of(viewer, large) == (Window(50, 60, 40, 40), "current view")


def test_an_image_smaller_than_a_region_is_taken_whole(viewer: ViewerModel) -> None:
    layer = add(viewer, Cube(np.zeros((2, 7, 9), np.float32)))
    assert region_of(viewer, layer)[0] == Window(0, 0, 7, 9)


# ---- masks ---------------------------------------------------------------------------------------------------------

SHAPE = (3, 4, 5)


def painted(*shape: int) -> Labels:
    data = np.zeros(shape, int)
    data[..., 1, 2] = 0
    data[(0,) * (len(shape) - 2) + (1, 2)] = 7
    return Labels(data, name="paint")


@pytest.mark.parametrize("means_missing", [True, False])
def test_paint_means_what_was_chosen(means_missing: bool) -> None:
    mask = observed_mask(painted(4, 5), SHAPE, painted_is_missing=means_missing, on_all_bands=True)
    assert mask.shape == (4, 5)
    assert mask[1, 2] != means_missing
    assert (mask.sum() == 1) is not means_missing


def test_paint_on_one_band_counts_for_all_or_for_that_band() -> None:
    layer = painted(*SHAPE)
    everywhere = observed_mask(layer, SHAPE, painted_is_missing=True, on_all_bands=True)
    there = observed_mask(layer, SHAPE, painted_is_missing=True, on_all_bands=False)
    assert everywhere.shape == (4, 5)
    assert there.shape == SHAPE
    assert (~there).sum() == 1


def test_a_mask_of_another_size_is_refused_with_both_sizes() -> None:
    with pytest.raises(CubeError, match=r"\(9, 9\).*\(3, 4, 5\)"):
        observed_mask(painted(9, 9), SHAPE, painted_is_missing=True, on_all_bands=True)


def test_a_mask_that_leaves_nothing_is_refused() -> None:
    with pytest.raises(CubeError, match="no sample"):
        observed_mask(Labels(np.ones((4, 5), int)), SHAPE, painted_is_missing=True, on_all_bands=True)


def test_colour_pictures_cannot_be_masks() -> None:
    assert not may_mask(Image(np.zeros((4, 5, 3), np.uint8), rgb=True), (4, 5, 3))


# ---- the readout ---------------------------------------------------------------------------------------------------


def test_the_canvas_names_the_band_of_the_slider(viewer: ViewerModel, full_cube: Cube) -> None:
    add(viewer, full_cube)
    readout.attach(viewer)
    viewer.dims.set_current_step(0, 4)
    assert overlay(viewer) == "band 5 of 6 · 1380.0 nm · bad"
    viewer.dims.set_current_step(0, 0)
    assert overlay(viewer) == "band 1 of 6 · 450.0 nm"


def test_the_readout_follows_the_chosen_cube(viewer: ViewerModel, full_cube: Cube) -> None:
    first = add(viewer, full_cube)
    add(viewer, Cube(np.zeros((6, 12, 10)), bands=BandAxis(6, names=tuple("uvwxyz"))))
    readout.attach(viewer)
    viewer.dims.set_current_step(0, 1)
    assert overlay(viewer) == "band 2 of 6 · v"
    viewer.layers.selection.active = first
    assert overlay(viewer) == "band 2 of 6 · 550.0 nm"


def test_the_readout_is_empty_without_a_cube_and_in_three_dimensions(viewer: ViewerModel, full_cube: Cube) -> None:
    readout.attach(viewer)
    assert overlay(viewer) == ""
    add(viewer, full_cube)
    viewer.dims.ndisplay = 3
    assert overlay(viewer) == ""


# ---- commands and lineage ------------------------------------------------------------------------------------------


def test_a_colour_picture_lies_over_its_cube_and_leaves_it_chosen(viewer: ViewerModel, full_cube: Cube) -> None:
    layer = add(viewer, full_cube, scale=(1, 3, 3), translate=(0, 5, 6))
    picture = add_composite(viewer, layer, INFRARED_NM, "infrared")
    assert picture.rgb
    assert picture.name == "scene · infrared"
    assert np.allclose(picture.extent.world[:, -2:], layer.extent.world[:, -2:])
    assert viewer.layers.selection.active is layer


def test_the_chosen_cube_is_the_active_one_else_the_topmost(viewer: ViewerModel, full_cube: Cube) -> None:
    first, second = add(viewer, full_cube), add(viewer, full_cube)
    viewer.layers.selection.active = first
    assert chosen_cube(viewer) is first
    viewer.layers.selection.active = None
    assert chosen_cube(viewer) is second


def test_without_a_cube_a_command_says_what_to_open(viewer: ViewerModel) -> None:
    with pytest.raises(CubeError, match="Open Sample"):
        chosen_cube(viewer)


def test_lineage_forgets_layers_that_are_gone(full_cube: Cube) -> None:
    source = Image(np.zeros((2, 3, 4)), rgb=False)
    lineage.remember(Image(np.zeros((2, 3, 4)), rgb=False), source)
    kept = Image(np.zeros((2, 3, 4)), rgb=False)
    lineage.remember(kept, source)
    assert kept in lineage.restored_from(source)
    assert lineage.source_of(kept) is source
    assert lineage.source_of(source) is None

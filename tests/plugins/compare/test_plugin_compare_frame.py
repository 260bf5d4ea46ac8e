"""One grid for two images, a picture in two halves, planes, and one contrast."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hsi_napari.compare_frame import Place, Regrid, common_frame, place_of, same_grid
from hsi_napari.compare_planes import (
    TEMPORARY,
    Planes,
    Side,
    Wanted,
    is_comparable,
    painted,
    read_plane,
    shown_bands,
    side_of,
    symmetric_limits,
)
from hsi_napari.compare_swipe import Swipe
from hsi_napari.layers import cube_of, is_cube
from napari.components import ViewerModel
from napari.layers import Image, Layer

from hsi_app.bands import BandAxis
from hsi_app.cube import Cube
from tests.plugins.compare.comparisons import add, cube, place

# ---- one grid for two images ---------------------------------------------------------------------------------------


def test_equal_grids_are_their_own_frame() -> None:
    frame, thinning = common_frame(place(), place())
    assert thinning == 1
    assert frame.shape == (12, 10)
    assert same_grid(frame, place())


@pytest.mark.parametrize("factor", [2, 3, 4, 5])
@pytest.mark.parametrize("is_first_finer", [True, False])
def test_the_frame_has_the_pixels_of_the_finer_image(factor: int, is_first_finer: bool) -> None:
    coarse = place()
    fine = place(1 / factor, ((1 / factor - 1) / 2,) * 2, (12 * factor, 10 * factor))
    frame, thinning = common_frame(*((fine, coarse) if is_first_finer else (coarse, fine)))
    assert thinning == 1
    assert same_grid(frame, fine)


@pytest.mark.parametrize("factor", [1, 2, 3, 4, 7])
def test_a_coarse_image_is_repeated_on_the_frame(factor: int) -> None:
    coarse = place(shape=(3, 4))
    fine = place(1 / factor, ((1 / factor - 1) / 2,) * 2, (3 * factor, 4 * factor))
    image = np.arange(12, dtype=np.float32).reshape(3, 4)
    assert np.array_equal(Regrid(coarse, fine)(image), image.repeat(factor, 0).repeat(factor, 1))


def test_the_frame_reaches_over_both_images_and_no_further() -> None:
    patch = place(start=(-3, 4), shape=(5, 20))
    frame, _ = common_frame(place(), patch)
    assert frame.shape == (15, 24)
    assert frame.start.tolist() == [-3, 0]
    image = Regrid(patch, frame)(np.ones((5, 20), np.float32))
    assert np.isnan(image[5:]).all()
    assert np.isnan(image[:5, :4]).all()
    assert (image[:5, 4:] == 1).all()


def test_a_frame_of_too_many_pixels_shows_one_of_each_block() -> None:
    big = place(shape=(301, 400))
    frame, thinning = common_frame(big, big, most=10_000)
    assert thinning == 4
    assert np.prod(frame.shape) <= 10_000
    image = np.arange(301 * 400, dtype=np.float32).reshape(301, 400)
    shown = Regrid(big, frame)(image)
    assert np.isfinite(shown[:-1]).all()
    rows, cols = np.divmod(shown[:-1].astype(int), 400)
    assert (rows // 4 == np.arange(shown.shape[0] - 1)[:, None]).all()
    assert (cols // 4 == np.arange(shown.shape[1])).all()


def test_a_turned_image_is_found_where_it_lies() -> None:
    # A quarter turn: row of one is column of the other.
    turned = Place(np.array([[0.0, 1.0], [1.0, 0.0]]), np.zeros(2), (10, 12))
    image = np.arange(120, dtype=np.float32).reshape(10, 12)
    assert np.array_equal(Regrid(turned, place())(image), image.T)


def test_an_image_at_an_angle_keeps_its_values_and_leaves_the_rest_empty() -> None:
    angle = np.deg2rad(20)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    tilted = Place(turn, np.array([2.0, 5.0]), (12, 10))
    frame, _ = common_frame(place(), tilted)
    assert np.allclose(frame.step, np.eye(2))
    image = Regrid(tilted, frame)(np.full((12, 10), 5.0, np.float32))
    assert set(np.unique(image[np.isfinite(image)])) == {5.0}
    assert np.isfinite(image).sum() == pytest.approx(120, rel=0.1)


def test_a_layer_lies_where_napari_shows_it(viewer: ViewerModel) -> None:
    layer = add(viewer, cube(), scale=(1, 0.5, 0.5), translate=(0, 3, -2))
    found = place_of(layer, (12, 10))
    assert found.to_world(np.array([4, 6])).tolist() == [5, 1]
    assert found.to_pixel(np.array([5, 1])).tolist() == [4, 6]
    assert found.pixel == 0.5


# ---- a picture in two halves ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_upright", [True, False], ids=["columns", "rows"])
@pytest.mark.parametrize("shape", [(5, 7), (48, 40), (1, 9), (9, 1)], ids=str)
def test_each_side_of_the_divider_is_one_of_the_pictures(shape: tuple[int, int], is_upright: bool) -> None:
    before, after = np.full((*shape, 4), 1, np.uint8), np.full((*shape, 4), 2, np.uint8)
    for share in np.linspace(0, 1, 23):
        swipe = Swipe(before, after, float(share), is_upright=is_upright)
        picture = swipe.picture if is_upright else swipe.picture.swapaxes(0, 1)
        assert (picture[:, : swipe.split] == 1).all()
        assert (picture[:, swipe.split :] == 2).all()
        assert abs(swipe.split - share * picture.shape[1]) <= 0.5


def test_a_moved_divider_leaves_the_picture_that_it_would_have_made_there() -> None:
    rng = np.random.default_rng(0)
    before, after = rng.integers(0, 255, (2, 20, 30, 4)).astype(np.uint8)
    swipe = Swipe(before, after)
    for share in rng.random(40):
        swipe.move(float(share))
        assert np.array_equal(swipe.picture, Swipe(before, after, float(share)).picture)


def test_moving_changes_the_shown_array_in_place_and_never_the_sources() -> None:
    before, after = np.zeros((4, 6, 4), np.uint8), np.full((4, 6, 4), 9, np.uint8)
    swipe = Swipe(before, after, 0.5)
    picture = swipe.picture
    assert swipe.move(0.9)
    assert not swipe.move(0.9)
    assert swipe.picture is picture
    assert not before.any()
    assert (after == 9).all()


def test_the_divider_stays_inside_and_keeps_its_share_when_it_is_turned() -> None:
    swipe = Swipe(np.zeros((4, 8, 4), np.uint8), np.ones((4, 8, 4), np.uint8))
    swipe.move(7.0)
    assert (swipe.share, swipe.split) == (1.0, 8)
    swipe.move(0.25)
    swipe.turn(False)
    assert (swipe.split, swipe.is_upright) == (1, False)
    assert (swipe.picture[0] == 0).all()
    assert (swipe.picture[1:] == 1).all()


def test_pictures_of_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="shapes"):
        Swipe(np.zeros((4, 8, 4), np.uint8), np.zeros((4, 9, 4), np.uint8))


# ---- planes --------------------------------------------------------------------------------------------------------


def test_a_plane_is_physical_and_nan_where_missing(viewer: ViewerModel) -> None:
    values = np.array([[[1, 2], [-9, 4]], [[5, 6], [7, -9]]], np.int16)
    layer = add(viewer, Cube(values, nodata=-9.0, gain=np.array([1.0, 0.5]), offset=1.0))
    planes = [read_plane(side_of(layer, band)) for band in (0, 1)]
    assert planes[0].dtype == np.float32
    assert np.array_equal(planes[0], [[2, 3], [np.nan, 5]], equal_nan=True)
    assert np.array_equal(planes[1], [[3.5, 4], [4.5, np.nan]], equal_nan=True)


def test_a_painted_plane_looks_like_the_layer(viewer: ViewerModel) -> None:
    layer = add(viewer, cube(gain=0.1, offset=2.0), colormap="viridis", gamma=0.7, contrast_limits=(0.2, 0.8))
    picture = painted(read_plane(side_of(layer, 1)), side_of(layer, 1))
    scaled = np.clip((layer.data[1] - 0.2) / 0.6, 0, 1) ** 0.7
    expected = layer.colormap.map(scaled.ravel()).reshape(12, 10, 4) * 255
    assert np.abs(picture - expected).max() <= 1


def test_missing_samples_are_painted_transparent() -> None:
    side = Side("a", None, None, None, 0, place(), colours=np.full((8, 4), 255, np.uint8))
    picture = painted(np.array([[0.5, np.nan]], np.float32), side)
    assert picture[0, 0].tolist() == [255] * 4
    assert picture[0, 1].tolist() == [0] * 4


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_colour_pictures_of_any_type_are_shown_alike(viewer: ViewerModel, dtype: type) -> None:
    grey = np.array([0, 128, 255], np.uint8)
    scale = {np.uint8: 1, np.uint16: 257, np.float32: 1 / 255}[dtype]
    picture = np.broadcast_to((grey.astype(float) * scale).astype(dtype)[:, None, None], (3, 2, 3)).copy()
    layer = viewer.add_image(picture, rgb=True)
    plane = read_plane(side_of(layer, 0))
    assert plane.dtype == np.uint8
    assert plane[:, 0].tolist() == [[g, g, g, 255] for g in grey.tolist()]


def test_the_band_of_the_slider_is_shown_and_its_partner_by_wavelength(viewer: ViewerModel) -> None:
    first = add(viewer, cube(0, bands=BandAxis(4, [450, 550, 650, 850])))
    second = add(viewer, cube(1, (2, 24, 20), bands=BandAxis(2, [560, 840])))
    flat = viewer.add_image(np.ones((12, 10)))
    viewer.dims.set_current_step(0, 3)
    assert shown_bands(first, second, viewer.dims.point) == (3, 1)
    assert shown_bands(second, first, viewer.dims.point) == (1, 3)
    viewer.dims.set_current_step(0, 0)
    assert shown_bands(first, second, viewer.dims.point) == (0, 0)
    assert shown_bands(first, flat, viewer.dims.point) == (0, 0)
    assert shown_bands(flat, first, viewer.dims.point) == (0, 0)


def test_planes_are_read_once_for_each_band(viewer: ViewerModel, on_disk: Any) -> None:
    arrays = [on_disk(np.ones((4, 12, 10), np.float32)) for _ in range(2)]
    layers = [add(viewer, Cube(array)) for array in arrays]
    for array in arrays:
        array.samples = 0
    planes = Planes()
    for _ in range(3):
        planes.make(Wanted(*(side_of(layer, 2) for layer in layers), is_painted=True, is_counted=True))
    assert [array.samples for array in arrays] == [120, 120]
    planes.make(Wanted(side_of(layers[0], 2), side_of(layers[1], 1), is_painted=True))
    assert [array.samples for array in arrays] == [120, 240]


def test_the_difference_is_physical_signed_and_on_the_finer_grid(viewer: ViewerModel) -> None:
    coarse = add(viewer, Cube(np.full((1, 3, 4), 100, np.int16), gain=0.01))
    fine = add(viewer, Cube(np.full((1, 6, 8), 3, np.float32)), scale=(1, 0.5, 0.5), translate=(0, -0.25, -0.25))
    sides = side_of(coarse, 0), side_of(fine, 0)
    shown = Planes().make(Wanted(*sides, is_subtracted=True))
    assert shown.difference is not None
    assert shown.difference.shape == (6, 8)
    assert np.allclose(shown.difference, 2)
    shown = Planes().make(Wanted(*sides, is_subtracted=True, is_removed=True))
    assert shown.difference is not None
    assert np.allclose(shown.difference, -2)


def test_limits_of_a_difference_are_symmetric_and_never_empty() -> None:
    low, high = symmetric_limits(np.array([[-1.0, 3.0], [np.nan, 2.0]]))
    assert low == -high
    assert 2 < high <= 3
    assert symmetric_limits(np.zeros((3, 3))) == (-1, 1)
    assert symmetric_limits(np.full((3, 3), np.nan)) == (-1, 1)
    rare = np.zeros((50, 50))
    rare[0, 0] = -4
    assert symmetric_limits(rare) == (-4, 4)


def test_figures_of_the_shown_band_are_those_of_its_samples(viewer: ViewerModel, pair: tuple[Image, Image]) -> None:
    shown = Planes().make(Wanted(side_of(pair[0], 1), side_of(pair[1], 1), is_counted=True))
    assert shown.levels is not None
    a, b = (np.asarray(layer.data[1], dtype=float) for layer in pair)
    assert shown.levels == pytest.approx((a.mean(), a.std(), b.mean(), b.std(), np.sqrt(((b - a) ** 2).mean())))
    assert shown.histogram is not None
    assert shown.counted == 1
    assert shown.pictures is None
    assert shown.difference is None


def test_what_a_comparison_adds_is_neither_a_cube_nor_comparable(viewer: ViewerModel, layer: Layer) -> None:
    own = viewer.add_image(np.zeros((4, 4)), metadata={TEMPORARY: True})
    assert not is_comparable(own)
    assert not is_cube(own)
    assert is_comparable(layer)
    assert is_comparable(viewer.add_image(np.zeros((4, 4, 3), np.uint8), rgb=True))
    assert is_comparable(viewer.add_image(np.zeros((4, 4))))
    assert not is_comparable(viewer.add_labels(np.zeros((4, 4), int)))
    assert not is_comparable(viewer.add_image(np.zeros((2, 2, 4, 4))))
    assert not is_comparable(viewer.add_image([np.zeros((8, 8)), np.zeros((4, 4))], multiscale=True))


# ---- the same contrast ---------------------------------------------------------------------------------------------


@pytest.fixture
def held() -> Any:
    from hsi_napari.compare_contrast import SameContrast

    def scale_of(layer: Image) -> tuple[float, float]:
        of = cube_of(layer)
        return float(np.max(of.gain)), float(np.max(of.offset))

    return SameContrast(scale_of)


def test_contrast_follows_whichever_is_changed(pair: tuple[Image, Image], held: Any) -> None:
    before, after = pair
    before.contrast_limits, before.gamma, before.colormap = (0.1, 0.6), 1.4, "viridis"
    held.hold(before, after)
    assert (list(after.contrast_limits), after.gamma, after.colormap.name) == ([0.1, 0.6], 1.4, "viridis")
    after.contrast_limits, after.colormap = (0.3, 2.0), "magma"
    assert (list(before.contrast_limits), before.colormap.name) == ([0.3, 2.0], "magma")
    before.gamma = 0.5
    assert after.gamma == 0.5


def test_released_the_second_has_its_own_contrast_again(pair: tuple[Image, Image], held: Any) -> None:
    before, after = pair
    found = (list(after.contrast_limits), list(after.contrast_limits_range), after.gamma, after.colormap.name)
    before.contrast_limits, before.gamma = (-5, 30), 1.7
    held.hold(before, after)
    held.release()
    assert (list(after.contrast_limits), list(after.contrast_limits_range), after.gamma, after.colormap.name) == found
    before.gamma = 0.3
    assert after.gamma == found[2]
    assert list(before.contrast_limits) == [-5, 30]


def test_limits_mean_the_same_where_gains_differ(viewer: ViewerModel, held: Any) -> None:
    counts = add(viewer, Cube(np.arange(12, dtype=np.int16).reshape(1, 3, 4), gain=0.01, offset=0.5))
    reflectance = add(viewer, Cube(np.ones((1, 3, 4), np.float32)))
    counts.contrast_limits = (10, 50)
    held.hold(counts, reflectance)
    assert list(reflectance.contrast_limits) == pytest.approx([0.6, 1.0])
    reflectance.contrast_limits = (0.5, 2.5)
    assert list(counts.contrast_limits) == pytest.approx([0, 200])

"""Placements: affine maps between the pixel centres of two grids, whatever says where the images lie."""

from __future__ import annotations

import numpy as np
import pytest

from hsi_app.fusion.placement import LEVEL_PX, Placement
from hsi_app.georef import GeoRef
from hsi_app.tiling import Window

UTM_33N = "EPSG:32633"
# Turned, sheared, shifted and with another ratio along either axis.
ODD = Placement((0.24, -0.03, 1.7, 0.05, 0.31, -2.2))
PLACES = np.array([[0.0, 0.0], [3.0, 8.0], [-2.5, 100.0], [40.25, 7.0]])


def frame(pixel: float, left: float = 0.0, top: float = 0.0, crs: str | None = UTM_33N) -> GeoRef:
    return GeoRef((pixel, 0, left, 0, -pixel, top), crs)


# Frames


def test_a_corner_on_a_corner_puts_the_first_small_pixel_inside_the_first_large_one() -> None:
    # GeoRef speaks of corners, a placement of centres: the centre of the first of 4 x 4 lies 3/8 before that of all.
    placement = Placement.from_georefs(frame(20.0), frame(5.0))
    assert placement is not None
    np.testing.assert_allclose(placement.matrix, (0.25, 0, -0.375, 0, 0.25, -0.375), atol=1e-12)


def test_georefs_put_a_point_of_the_ground_on_itself() -> None:
    hsi = GeoRef((28.0, 4.0, 380_000.0, 5.0, -30.0, 5_820_000.0), UTM_33N)
    msi = GeoRef((3.0, -0.4, 380_100.0, -0.2, -4.0, 5_819_900.0), UTM_33N)
    placement = Placement.from_georefs(hsi, msi)
    assert placement is not None
    for own, other in zip(PLACES, placement.points(PLACES), strict=True):
        np.testing.assert_allclose(hsi.xy(*other), msi.xy(*own), atol=1e-6)


@pytest.mark.parametrize(("hsi", "msi"), [(UTM_33N, "EPSG:32632"), (UTM_33N, None), (None, UTM_33N), (UTM_33N, "here")])
def test_frames_of_different_reference_systems_place_nothing(hsi: str | None, msi: str | None) -> None:
    assert Placement.from_georefs(frame(30.0, crs=hsi), frame(10.0, crs=msi)) is None


def test_frames_of_plain_grids_are_taken_to_be_of_one_system() -> None:
    assert Placement.from_georefs(frame(30.0, crs=None), frame(10.0, crs=None)) is not None


def test_a_reference_system_is_the_same_as_text_and_as_a_code() -> None:
    from rasterio.crs import CRS

    placement = Placement.from_georefs(frame(30.0), frame(10.0, crs=CRS.from_epsg(32633).to_wkt()))
    assert placement == Placement.from_georefs(frame(30.0), frame(10.0))


def test_shapes_alone_lay_corner_on_corner() -> None:
    placement = Placement.from_shapes((10, 7), (40, 21))
    corners = np.array([[-0.5, -0.5], [39.5, 20.5]])
    np.testing.assert_allclose(placement.points(corners), [[-0.5, -0.5], [9.5, 6.5]], atol=1e-12)
    assert placement.ratio == pytest.approx((4.0, 3.0))


def test_shapes_and_frames_of_one_ground_agree() -> None:
    by_frames = Placement.from_georefs(frame(30.0), frame(3.6))
    assert by_frames is not None
    # 25 pixels of 3.6 m are 3 of 30 m.
    np.testing.assert_allclose(by_frames.matrix, Placement.from_shapes((3, 3), (25, 25)).matrix, atol=1e-12)


# Maps


def test_the_inverse_brings_points_back() -> None:
    np.testing.assert_allclose(ODD.inverse_points(ODD.points(PLACES)), PLACES, atol=1e-10)


def test_a_turn_leaves_its_centre_where_it_is() -> None:
    centre = (12.0, 30.0)
    turned = ODD.moved(angle_deg=23.0, centre=centre)
    np.testing.assert_allclose(turned.points(np.array([centre])), ODD.points(np.array([centre])), atol=1e-12)


def test_a_turn_of_a_square_grid_is_its_angle() -> None:
    for angle in (-35.0, 0.0, 10.0, 90.0):
        turned = Placement.from_shapes((16, 16), (64, 64)).moved(angle_deg=angle, centre=(31.5, 31.5))
        assert turned.angle_deg == pytest.approx(angle)
        assert turned.ratio == pytest.approx((4.0, 4.0))


def test_a_right_angle_takes_rows_towards_columns() -> None:
    turned = Placement((1, 0, 0, 0, 1, 0)).moved(angle_deg=90.0)
    np.testing.assert_allclose(turned.points(np.array([[1.0, 0.0]])), [[0.0, 1.0]], atol=1e-12)


def test_a_shift_is_counted_in_pixels_of_the_sharp_image() -> None:
    moved = ODD.moved(rows=3.0, cols=-5.0)
    np.testing.assert_allclose(moved.points(PLACES), ODD.points(PLACES + np.array([3.0, -5.0])), atol=1e-12)


def test_the_turn_comes_before_the_shift() -> None:
    both = ODD.moved(rows=3.0, cols=-5.0, angle_deg=30.0, centre=(8.0, 9.0))
    in_turn = ODD.moved(rows=3.0, cols=-5.0).moved(angle_deg=30.0, centre=(8.0, 9.0))
    np.testing.assert_allclose(both.matrix, in_turn.matrix, atol=1e-12)


def test_distance_is_that_of_the_corner_furthest_off_in_coarse_pixels() -> None:
    start = Placement.from_shapes((10, 20), (40, 80))
    assert start.distance(start, (40, 80)) == 0
    assert start.distance(start.moved(rows=3.0, cols=4.0), (40, 80)) == pytest.approx(5.0 / 4)
    # A turn about one corner moves the opposite one by 2 sin(angle / 2) times the diagonal.
    turned = start.moved(angle_deg=10.0)
    expected = 2 * np.sin(np.radians(5.0)) * np.hypot(39, 79) / 4
    assert start.distance(turned, (40, 80)) == pytest.approx(expected)


# Averages


@pytest.mark.parametrize("factor", [1, 2, 3, 7])
def test_averaging_and_its_undoing_are_inverse(factor: int) -> None:
    np.testing.assert_allclose(ODD.on_averaged(factor).on_finer(factor).matrix, ODD.matrix, atol=1e-12)
    np.testing.assert_allclose(ODD.on_finer(factor).on_averaged(factor).matrix, ODD.matrix, atol=1e-12)


def test_an_averaged_pixel_lies_in_the_middle_of_its_block() -> None:
    # Block (2, 5) of 3 x 3 has its middle at pixel (7, 16).
    np.testing.assert_allclose(ODD.on_averaged(3).points(np.array([[2, 5]])), ODD.points(np.array([[7, 16]])))


def test_averaging_an_image_of_whole_blocks_keeps_corner_on_corner() -> None:
    averaged = Placement.from_shapes((6, 5), (36, 30)).on_averaged(3)
    np.testing.assert_allclose(averaged.matrix, Placement.from_shapes((6, 5), (12, 10)).matrix, atol=1e-12)


# Windows


def test_a_window_covers_all_that_its_pixels_lie_on() -> None:
    rows, cols = np.mgrid[4:14, 6:30]
    places = ODD.points(np.stack([rows.ravel(), cols.ravel()], 1))
    window = ODD.window(Window(4, 6, 10, 24), (50, 50))
    first, last = np.array([window.row, window.col]), np.array([window.row + window.height, window.col + window.width])
    assert (first <= np.maximum(places.min(0), 0)).all()
    assert (last - 1 >= places.max(0)).all()


def test_a_margin_is_added_around_and_cut_at_the_edge() -> None:
    placement = Placement.from_shapes((10, 10), (40, 40))
    # Pixels 16 to 23 are coarse ones 4 and 5; their centres lie between 3.6 and 5.4.
    assert placement.window(Window(16, 16, 8, 8), (10, 10)) == Window(3, 3, 4, 4)
    assert placement.window(Window(16, 16, 8, 8), (10, 10), margin=2) == Window(1, 1, 8, 8)
    assert placement.window(Window(0, 36, 4, 4), (10, 10), margin=2) == Window(0, 6, 4, 4)


@pytest.mark.parametrize(("rows", "cols"), [(-200, 0), (200, 0), (0, -200), (0, 200), (300, -300)])
def test_off_the_image_a_window_is_empty(rows: int, cols: int) -> None:
    placement = Placement.from_shapes((10, 10), (40, 40)).moved(rows=rows, cols=cols)
    window = placement.window(Window(0, 0, 40, 40), (10, 10), margin=3)
    assert window.pixels == 0
    assert 0 <= window.row <= 10
    assert 0 <= window.col <= 10


# Levelness


def test_a_placement_is_level_up_to_a_tenth_of_a_pixel_over_the_image() -> None:
    start, shape = Placement.from_shapes((25, 50), (100, 200)), (100, 200)
    # Rows shift most across the 200 columns.
    limit = np.degrees(np.arcsin(LEVEL_PX / 200))
    assert start.is_level_over(shape)
    assert start.moved(angle_deg=0.9 * limit, centre=(50, 100)).is_level_over(shape)
    assert not start.moved(angle_deg=1.1 * limit, centre=(50, 100)).is_level_over(shape)


@pytest.mark.parametrize("matrix", [(-0.25, 0, 9, 0, 0.25, 0), (0.25, 0, 0, 0, -0.25, 9), (0, 0.25, 0, 0.25, 0, 0)])
def test_a_mirrored_or_transposed_grid_is_not_level(matrix: tuple[float, ...]) -> None:
    assert not Placement(matrix).is_level_over((4, 4))  # type: ignore[arg-type]


def test_levelling_moves_no_pixel_by_more_than_a_tenth_where_it_is_due() -> None:
    nearly = Placement.from_shapes((25, 50), (100, 200)).moved(angle_deg=0.02)
    assert nearly.is_level_over((100, 200))
    level = nearly.level()
    assert level.angle_deg == 0
    # Along either axis, and in coarse pixels: 0.1 of a sharp one each.
    assert nearly.distance(level, (100, 200)) * 4 <= np.hypot(LEVEL_PX, LEVEL_PX)


def test_a_record_holds_plain_numbers() -> None:
    import json

    plain = json.loads(json.dumps(ODD.to_plain()))
    assert tuple(plain["matrix"]) == ODD.matrix

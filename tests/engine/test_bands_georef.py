"""The band axis and the map frame; the latter against rasterio's own arithmetic."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsi_app.bands import INFRARED_NM, BandAxis
from hsi_app.errors import CubeError
from hsi_app.georef import GeoRef

CENTRES = np.array([450.0, 550.0, 650.0, 860.0, 1600.0])


def test_an_axis_does_not_follow_later_changes_of_the_array_it_was_made_from() -> None:
    centres = CENTRES.copy()
    axis = BandAxis(5, centres)
    centres[0] = 0
    assert axis.centres_nm is not None
    assert axis.centres_nm[0] == 450


def test_an_axis_cannot_be_changed_in_place() -> None:
    axis = BandAxis(5, CENTRES)
    assert axis.centres_nm is not None
    with pytest.raises(ValueError, match="read-only"):
        axis.centres_nm[0] = 1


def test_making_an_axis_leaves_the_given_array_writable() -> None:
    centres = CENTRES.copy()
    BandAxis(5, centres)
    centres[0] = 1.0


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({"centres_nm": [1, 2]}, "3 bands but 2 wavelengths"),
        ({"fwhm_nm": [1] * 4}, "3 bands but 4 band widths"),
        ({"bad": [0, 1]}, "3 bands but 2 entries in the bad-band list"),
        ({"names": ["a"]}, "3 bands but 1 band names"),
    ],
)
def test_columns_of_another_length_name_both_numbers(facts: dict, says: str) -> None:
    with pytest.raises(CubeError, match=says):
        BandAxis(3, **facts)


def test_select_reorders_every_column() -> None:
    axis = BandAxis(5, CENTRES, CENTRES / 50, CENTRES > 1000, tuple("abcde")).select([4, 0])
    assert axis == BandAxis(2, [1600, 450], [32, 9], [True, False], ("e", "a"))


def test_marked_changes_only_the_named_bands() -> None:
    axis = BandAxis(5, CENTRES).marked([1, 3])
    assert axis.good.tolist() == [0, 2, 4]
    assert axis.marked([3], bad=False).good.tolist() == [0, 2, 3, 4]


def test_nearest_skips_bad_bands_while_there_are_good_ones() -> None:
    assert BandAxis(5, CENTRES, bad=CENTRES == 650).nearest(655) == 1
    assert BandAxis(5, CENTRES, bad=np.ones(5, bool)).nearest(655) == 2


def test_nearest_without_wavelengths_is_refused() -> None:
    with pytest.raises(CubeError, match="no wavelengths"):
        BandAxis(3).nearest(550)


def test_composite_follows_wavelengths_where_the_sensor_covers_them() -> None:
    assert BandAxis(5, CENTRES).composite() == (2, 1, 0)
    assert BandAxis(5, CENTRES).composite(INFRARED_NM) == (3, 2, 1)


def test_composite_of_an_infrared_sensor_spreads_over_its_good_bands() -> None:
    axis = BandAxis(10, np.linspace(8000, 12000, 10), bad=np.arange(10) >= 8)
    red, green, blue = axis.composite()
    assert red > green > blue
    assert red < 8


@pytest.mark.parametrize("count", [1, 2, 3])
def test_composite_exists_for_any_number_of_bands(count: int) -> None:
    assert all(0 <= band < count for band in BandAxis(count).composite())


def test_labels_count_from_one_and_name_bad_bands() -> None:
    axis = BandAxis(2, [450, 1400.04], bad=[False, True])
    assert (axis.label(0), axis.label(1)) == ("1 (450.0 nm)", "2 (1400.0 nm, bad)")


def test_axes_differ_by_any_column() -> None:
    axis = BandAxis(5, CENTRES, names=tuple("abcde"))
    assert axis == BandAxis(5, CENTRES, names=tuple("abcde"))
    assert axis != BandAxis(5, CENTRES + 1, names=tuple("abcde"))
    assert axis != BandAxis(5, names=tuple("abcde"))
    assert axis != axis.marked([0])
    assert axis != BandAxis(5, CENTRES)


finite = st.floats(-1e6, 1e6, allow_nan=False).map(lambda v: round(v, 3))
frames = st.tuples(finite, finite, finite, finite, finite, finite)


@given(frames, st.integers(0, 500), st.integers(0, 500))
def test_pixel_centres_agree_with_affine(frame: tuple, row: int, col: int) -> None:
    from affine import Affine

    expected = Affine(*frame) * (col + 0.5, row + 0.5)
    np.testing.assert_allclose(GeoRef(frame).xy(row, col), expected, rtol=1e-12, atol=1e-6)


@given(frames, st.integers(0, 500), st.integers(0, 500))
def test_crop_agrees_with_rasterio(frame: tuple, row: int, col: int) -> None:
    from affine import Affine
    from rasterio import windows

    expected = windows.transform(windows.Window(col, row, 3, 3), Affine(*frame))
    np.testing.assert_allclose(GeoRef(frame).cropped(row, col).transform, tuple(expected)[:6], rtol=1e-12, atol=1e-6)


@given(frames, st.sampled_from([2, 3, 4, 8]))
def test_upsampling_agrees_with_affine_scale(frame: tuple, factor: int) -> None:
    from affine import Affine

    expected = tuple(Affine(*frame) * Affine.scale(1 / factor))[:6]
    np.testing.assert_allclose(GeoRef(frame).upsampled(factor).transform, expected, rtol=1e-12, atol=1e-9)


@given(frames, st.sampled_from([2, 4, 8]))
def test_coarsening_undoes_upsampling(frame: tuple, factor: int) -> None:
    there_and_back = GeoRef(frame).upsampled(factor).upsampled(1 / factor)
    np.testing.assert_allclose(there_and_back.transform, frame, rtol=1e-12)


def test_pixel_size_of_a_rotated_grid_is_its_side_length() -> None:
    turn = np.deg2rad(30)
    c, s = 8 * np.cos(turn), 8 * np.sin(turn)
    np.testing.assert_allclose(GeoRef((c, s, 0, s, -c, 0)).pixel_size, (8, 8))


def test_crs_is_named_by_its_code_however_it_was_written() -> None:
    from rasterio.crs import CRS

    frame = (30.0, 0, 0, 0, -30.0, 0)
    assert GeoRef(frame, "epsg:32633").crs_name() == "EPSG:32633"
    assert GeoRef(frame, CRS.from_epsg(32633).to_wkt()).crs_name() == "EPSG:32633"
    assert GeoRef(frame).crs_name() == "unknown CRS"
    assert GeoRef(frame, "no such system").crs_name() == "no such system"


def test_the_origin_is_described_to_the_metre() -> None:
    text = GeoRef((30.0, 0, 380_001.0, 0, -30.0, 5_820_003.0), "EPSG:32633").describe()
    assert text == "EPSG:32633, pixel 30 x 30, origin (380001, 5820003)"

"""A cube keeps its facts through every operation, and knows which samples were observed."""

from __future__ import annotations

import numpy as np
import pytest

from hsi_app.bands import BandAxis
from hsi_app.cube import Cube
from hsi_app.errors import CubeError
from hsi_app.georef import GeoRef
from hsi_app.tiling import Window

BANDS, HEIGHT, WIDTH = 5, 6, 7


class LazyValues:
    """Values that count the samples read from them, as from a file."""

    def __init__(self, values: np.ndarray) -> None:
        self._values, self.samples_read = values, 0
        self.shape, self.dtype, self.ndim = values.shape, values.dtype, values.ndim

    def __getitem__(self, key: object) -> np.ndarray:
        block = np.asarray(self._values[key])  # type: ignore[index]
        self.samples_read += block.size
        return block


@pytest.fixture
def cube() -> Cube:
    """Every fact set, every band different."""
    values = np.arange(BANDS * HEIGHT * WIDTH, dtype=np.int16).reshape(BANDS, HEIGHT, WIDTH)
    valid = np.ones((HEIGHT, WIDTH), bool)
    valid[0, 1] = False
    return Cube(
        values,
        BandAxis(BANDS, np.linspace(450, 850, BANDS), np.full(BANDS, 9.0), np.arange(BANDS) == 3, tuple("abcde")),
        valid=valid,
        nodata=-999,
        georef=GeoRef((30.0, 0.0, 500_000.0, 0.0, -30.0, 4_000_000.0), "EPSG:32633"),
        gain=np.linspace(1e-4, 5e-4, BANDS),
        offset=np.linspace(0.0, 0.4, BANDS),
        unit="reflectance",
        name="test",
        source="scene.hdr",
        facts={"sensor": "none", "acquired": "2020-01-01"},
        history=("made",),
    )


CARRIED = ("nodata", "unit", "name", "source", "facts")


def test_crop_moves_the_map_frame_to_its_first_pixel(cube: Cube) -> None:
    part = cube.crop(Window(2, 3, 3, 2))
    assert part.georef is not None
    assert cube.georef is not None
    assert part.georef.xy(0, 0) == cube.georef.xy(2, 3)
    assert part.georef.crs == cube.georef.crs


def test_crop_cuts_values_and_mask_alike(cube: Cube) -> None:
    part = cube.crop(Window(0, 1, 2, 3))
    np.testing.assert_array_equal(part.values, cube.values[:, 0:2, 1:4])
    assert part.valid is not None
    assert part.valid.tolist() == [[False, True, True], [True, True, True]]


@pytest.mark.parametrize("fact", CARRIED)
def test_crop_and_select_carry_every_other_fact(cube: Cube, fact: str) -> None:
    assert getattr(cube.crop(Window(0, 0, 2, 2)), fact) == getattr(cube, fact)
    assert getattr(cube.select([1, 3]), fact) == getattr(cube, fact)


def test_select_takes_gain_offset_and_band_facts_with_the_bands(cube: Cube) -> None:
    part = cube.select([4, 1])
    np.testing.assert_array_equal(part.values, cube.values[[4, 1]])
    np.testing.assert_array_equal(part.gain, np.asarray(cube.gain)[[4, 1]])
    np.testing.assert_array_equal(part.offset, np.asarray(cube.offset)[[4, 1]])
    assert part.axis.names == ("e", "b")


def test_select_by_flags_is_select_by_their_positions(cube: Cube) -> None:
    flags = np.array([True, False, False, True, False])
    np.testing.assert_array_equal(cube.select(flags).values, cube.select([0, 3]).values)


def test_select_takes_a_mask_of_every_band_with_it(cube: Cube) -> None:
    valid = np.ones(cube.shape, bool)
    valid[4, 0, 0] = False
    part = Cube(cube.values, valid=valid).select([4, 0])
    assert part.valid is not None
    assert not part.valid[0, 0, 0]
    assert part.valid[1].all()


def test_replace_keeps_all_facts_and_adds_one_line_of_history(cube: Cube) -> None:
    new = cube.replace(np.zeros(cube.shape, np.float32), "zeroed")
    assert new.history == ("made", "zeroed")
    assert new.axis == cube.axis
    assert new.georef == cube.georef
    assert new.gain is cube.gain
    for fact in CARRIED:
        assert getattr(new, fact) == getattr(cube, fact)


def test_replace_refuses_another_shape(cube: Cube) -> None:
    with pytest.raises(CubeError, match="shape"):
        cube.replace(np.zeros((BANDS, HEIGHT, WIDTH + 1), np.float32), "wrong")


def test_upsampled_keeps_the_ground_it_covers(cube: Cube) -> None:
    fine = cube.upsampled(np.zeros((BANDS, HEIGHT * 4, WIDTH * 4), np.float32), 4, "finer")
    assert fine.georef is not None
    assert cube.georef is not None
    # Outer corners: pixel index -0.5 and n - 0.5.
    assert fine.georef.xy(-0.5, -0.5) == cube.georef.xy(-0.5, -0.5)
    assert fine.georef.xy(HEIGHT * 4 - 0.5, WIDTH * 4 - 0.5) == cube.georef.xy(HEIGHT - 0.5, WIDTH - 0.5)


def test_upsampled_mask_covers_all_fine_pixels_of_a_coarse_one(cube: Cube) -> None:
    fine = cube.upsampled(np.zeros((BANDS, HEIGHT * 2, WIDTH * 2), np.float32), 2, "finer")
    assert fine.valid is not None
    assert np.argwhere(~fine.valid).tolist() == [[0, 2], [0, 3], [1, 2], [1, 3]]


def test_xarray_round_trip_loses_nothing(cube: Cube) -> None:
    back = Cube.from_xarray(cube.to_xarray())
    np.testing.assert_array_equal(np.asarray(back.values), cube.values)
    np.testing.assert_array_equal(np.asarray(back.valid), np.asarray(cube.valid))
    np.testing.assert_array_equal(back.gain, cube.gain)
    np.testing.assert_array_equal(back.offset, cube.offset)
    assert back.axis == cube.axis
    assert back.georef == cube.georef
    assert back.history == cube.history
    for fact in CARRIED:
        assert getattr(back, fact) == getattr(cube, fact)


def test_xarray_of_lazy_values_reads_nothing() -> None:
    lazy = LazyValues(np.zeros((3, 4, 5), np.float32))
    Cube(lazy).to_xarray()
    assert lazy.samples_read == 0


def test_nan_infinity_nodata_and_mask_are_all_missing() -> None:
    values = np.array([1.0, np.nan, np.inf, -9999.0, 5.0, 6.0], np.float32).reshape(1, 1, 6)
    cube = Cube(values, nodata=-9999.0, valid=np.array([[True, True, True, True, False, True]]))
    block, valid = cube.block()
    assert valid.ravel().tolist() == [True, False, False, False, False, True]
    assert block.ravel().tolist() == [1, 0, 0, 0, 0, 6]


@pytest.mark.parametrize(
    ("dtype", "nodata", "sample"),
    [
        ("uint16", -9999.0, 55537),  # -9999 wrapped to 16 bits
        ("uint8", 256.0, 0),
        ("int16", 1.5, 1),
        ("int16", 65535.0, -1),
    ],
)
def test_nodata_that_the_dtype_cannot_hold_matches_no_sample(dtype: str, nodata: float, sample: int) -> None:
    cube = Cube(np.full((1, 1, 1), sample, dtype), nodata=nodata)
    assert cube.block()[1].all()


def test_nodata_is_found_although_the_header_rounds_it_in_decimal() -> None:
    lowest = np.finfo(np.float32).min
    cube = Cube(np.full((1, 1, 2), [[[lowest, 1.0]]], np.float32), nodata=-3.4028234663852886e38)
    assert cube.block()[1].ravel().tolist() == [False, True]


def test_nodata_beyond_float32_is_no_error() -> None:
    cube = Cube(np.ones((1, 1, 1), np.float32), nodata=-1.7976931348623157e308)
    assert cube.block()[1].all()


def test_float64_beyond_float32_is_missing() -> None:
    block, valid = Cube(np.array([[[1e300, 2.0]]])).block()
    assert valid.ravel().tolist() == [False, True]
    assert block.ravel().tolist() == [0, 2]


def test_block_never_shares_memory_with_the_cube() -> None:
    cube = Cube(np.ones((2, 3, 4), np.float32))
    block, _ = cube.block()
    block[:] = 7
    assert (np.asarray(cube.values) == 1).all()


def test_block_of_a_window_and_bands_equals_that_part_of_the_whole(cube: Cube) -> None:
    whole, seen = cube.block()
    part, valid = cube.block(Window(0, 1, 3, 4), [4, 0])
    np.testing.assert_array_equal(part, whole[[4, 0], 0:3, 1:5])
    np.testing.assert_array_equal(valid, seen[[4, 0], 0:3, 1:5])


def test_lazy_values_give_the_same_block_as_an_array(cube: Cube) -> None:
    lazy = cube.replace(LazyValues(np.asarray(cube.values)), "lazy")
    for bands in (None, slice(1, 4), [3, 0]):
        np.testing.assert_array_equal(
            lazy.block(Window(1, 2, 2, 3), bands)[0], cube.block(Window(1, 2, 2, 3), bands)[0]
        )


def test_spectrum_is_the_mean_over_valid_samples_in_physical_units(cube: Cube) -> None:
    # The box around (0, 0) is cut to 2 x 2 pixels and (0, 1) is masked.
    stored = (np.asarray(cube.values)[:, [0, 1, 1], [0, 0, 1]]).mean(1)
    np.testing.assert_allclose(cube.spectrum(0, 0, box=3), stored * cube.gain + cube.offset)


def test_spectrum_of_a_missing_pixel_is_nan(cube: Cube) -> None:
    assert np.isnan(cube.spectrum(0, 1)).all()


def test_spectrum_outside_the_image_is_refused(cube: Cube) -> None:
    with pytest.raises(CubeError, match="outside the image of 6 x 7"):
        cube.spectrum(HEIGHT, 0)


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({"values": np.zeros((3, 4))}, "three axes"),
        ({"values": np.zeros((0, 4, 4))}, "at least one"),
        ({"values": np.zeros((1, 2, 2), complex)}, "real numbers"),
        ({"bands": BandAxis(4)}, "band axis 4"),
        ({"valid": np.ones((3, 2), bool)}, "mask of shape"),
        ({"gain": np.ones(7)}, "7 entries of gain"),
    ],
)
def test_contradicting_facts_are_one_line(facts: dict, says: str) -> None:
    with pytest.raises(CubeError, match=says) as caught:
        Cube(**{"values": np.zeros((2, 2, 3)), **facts})
    assert "\n" not in str(caught.value)

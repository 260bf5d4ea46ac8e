"""Colour pictures: which bands, how they are stretched, and that no more is read than is shown."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from hsi_app.bands import BandAxis
from hsi_app.composite import (
    SHORTWAVE_NM,
    Stretch,
    ThinBands,
    _largest_determinant,
    composite,
    most_different,
    reaches,
    stretched,
)
from hsi_app.cube import Cube
from hsi_app.errors import Cancelled, CubeError, ParameterError
from hsi_app.jobs import Job


class Counting:
    """Values that count the samples that were asked for."""

    def __init__(self, values: np.ndarray) -> None:
        self.values, self.samples = values, 0
        self.shape, self.dtype, self.ndim = values.shape, values.dtype, values.ndim

    def __getitem__(self, key: Any) -> np.ndarray:
        block = self.values[key]
        self.samples += block.size
        return block


@pytest.fixture
def ramp() -> np.ndarray:
    """Four bands from 0 to 100, 200, 300, 400 along the rows; 50 x 40 px."""
    line = np.linspace(0, 100, 2000, dtype=np.float32).reshape(50, 40)
    return np.stack([line * k for k in (1, 2, 3, 4)])


def test_each_channel_is_stretched_by_itself_unless_linked(ramp: np.ndarray) -> None:
    alone = composite(Cube(ramp), (3, 1, 0)).rgba[..., :3]
    assert np.array_equal(alone[..., 0], alone[..., 1])
    assert np.array_equal(alone[..., 0], alone[..., 2])
    linked = composite(Cube(ramp), (3, 1, 0), Stretch(0, 100, is_linked=True)).rgba[..., :3].astype(float)
    # The same limits keep the ratios of the bands, 4 : 2 : 1, to a grade.
    assert np.abs(linked[..., 0] - 2 * linked[..., 1]).max() <= 2
    assert np.abs(linked[..., 1] - 2 * linked[..., 2]).max() <= 2


@pytest.mark.parametrize(("low", "high"), [(0, 100), (2, 98), (25, 60)])
def test_the_quantiles_are_what_is_black_and_white(ramp: np.ndarray, low: float, high: float) -> None:
    red = composite(Cube(ramp), (0, 1, 2), Stretch(low, high)).rgba[..., 0]
    assert np.isclose((red == 0).mean() * 100, max(low, 0.2), atol=0.6)
    assert np.isclose((red == 255).mean() * 100, max(100 - high, 0.1), atol=0.6)


@pytest.mark.parametrize(("low", "high"), [(-1, 98), (2, 101), (50, 50), (98, 2)])
def test_a_stretch_out_of_order_is_refused(low: float, high: float) -> None:
    with pytest.raises(ParameterError, match="stretch"):
        Stretch(low, high)


def test_a_stretch_of_constant_values_has_a_width() -> None:
    for fill in (0.0, -7.0, 1e9):
        low, high = Stretch().limits(np.full(9, fill))
        assert low < high
    assert Stretch().limits(np.empty(0)) == (0.0, 1.0)


def test_values_beyond_the_limits_are_cut() -> None:
    assert stretched(np.array([-1.0, 0.0, 5.0, 10.0, 99.0], np.float32), 0.0, 10.0).tolist() == [0, 0, 127, 255, 255]


def test_a_pixel_that_one_band_lacks_is_transparent_and_moves_no_limit(ramp: np.ndarray) -> None:
    whole = composite(Cube(ramp), (0, 1, 2)).rgba
    values = ramp.copy()
    values[1, 3, 4], values[0, 7, 8] = np.nan, -9999
    holed = composite(Cube(values, nodata=-9999.0), (0, 1, 2)).rgba
    assert (holed[3, 4] == 0).all()
    assert (holed[7, 8] == 0).all()
    seen = holed[..., 3] == 255
    assert (~seen).sum() == 2
    assert np.abs(holed[seen].astype(int) - whole[seen]).max() <= 1


@pytest.mark.parametrize("bands", [(0, 1), (0, 1, 4), (-1, 0, 1)])
def test_bands_that_the_cube_lacks_are_refused(ramp: np.ndarray, bands: tuple[int, ...]) -> None:
    with pytest.raises(CubeError, match="1 to 4"):
        composite(Cube(ramp), bands)


# ---- reading -------------------------------------------------------------------------------------------------------


def test_a_large_picture_is_thinned_and_reads_only_its_rows(ramp: np.ndarray) -> None:
    values = Counting(np.tile(ramp, (1, 4, 5)))  # 200 x 200 px
    picture = composite(Cube(values), (0, 1, 2), most_pixels=2500)
    assert picture.step == 4
    assert picture.rgba.shape == (50, 50, 4)
    assert values.samples == 3 * 50 * 200
    assert np.array_equal(picture.rgba[..., 0], composite(Cube(values.values[:, ::4, ::4]), (0, 1, 2)).rgba[..., 0])


def test_a_picture_read_in_strips_is_that_of_the_whole(ramp: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = composite(Cube(ramp), (2, 1, 0)).rgba
    monkeypatch.setattr("hsi_app.composite._STRIP_SAMPLES", 7 * 40)
    assert np.array_equal(composite(Cube(ramp), (2, 1, 0)).rgba, whole)


def test_another_stretch_and_one_more_band_read_that_band_only(ramp: np.ndarray) -> None:
    values = Counting(ramp)
    bands = ThinBands(Cube(values))
    bands.picture((0, 1, 2))
    assert values.samples == 3 * 2000
    bands.picture((2, 1, 0), Stretch(5, 95))
    bands.picture((3, 1, 0))
    bands.picture((3, 3, 3))
    assert values.samples == 4 * 2000


def test_a_picture_is_cancelled_between_strips(ramp: np.ndarray) -> None:
    values, job = Counting(np.tile(ramp, (1, 4, 5))), Job()
    job.cancel()
    with pytest.raises(Cancelled):
        composite(Cube(values), (0, 1, 2), most_pixels=2500, job=job)
    assert values.samples == 0


# ---- the choice of bands -------------------------------------------------------------------------------------------


def test_a_target_is_reached_by_a_good_band_within_sixty_nanometres() -> None:
    axis = BandAxis(4, [660.0, 850.0, 1600.0, 2150.0])
    assert reaches(axis, SHORTWAVE_NM)
    assert not reaches(axis.marked([3]), SHORTWAVE_NM)
    assert not reaches(axis, (640.0, 550.0, 465.0))
    assert not reaches(BandAxis(4), SHORTWAVE_NM)


def test_the_largest_determinant_is_found_among_all_triples() -> None:
    correlation = np.corrcoef(np.random.default_rng(4).normal(size=(9, 12)))
    best = max(itertools.combinations(range(9), 3), key=lambda t: float(np.linalg.det(correlation[np.ix_(t, t)])))
    assert tuple(_largest_determinant(correlation)) == best


@pytest.fixture
def three_groups() -> Cube:
    """30 bands in three groups of ten, alike within a group; one band of pure noise, one bad, one constant."""
    rng = np.random.default_rng(6)
    maps = rng.normal(size=(3, 60, 50))
    values = np.concatenate([np.repeat(m[None], 10, axis=0) for m in maps]) * 100 + 1000
    values += rng.normal(size=values.shape)
    values[4] = rng.normal(size=(60, 50)) * 100
    values[15] = rng.normal(size=(60, 50)) * 100
    values[25] = 7
    return Cube(values.astype(np.float32), BandAxis(30, np.linspace(400, 2000, 30), bad=np.arange(30) == 15))


def test_most_different_bands_come_one_from_each_group_and_never_from_noise(three_groups: Cube) -> None:
    bands = most_different(three_groups)
    assert sorted(band // 10 for band in bands) == [0, 1, 2]
    assert not {4, 15, 25} & set(bands)
    assert list(bands) == sorted(bands, reverse=True)  # the longest wavelength is red


def test_most_different_bands_do_without_a_band_that_is_missing(three_groups: Cube) -> None:
    values = np.asarray(three_groups.values).copy()
    values[7], values[:, :5] = np.nan, np.nan
    bands = most_different(three_groups.replace(values, "holed"))
    assert sorted(band // 10 for band in bands) == [0, 1, 2]
    assert 7 not in bands


def test_a_cube_without_three_bands_that_vary_is_refused() -> None:
    with pytest.raises(CubeError, match="three"):
        most_different(Cube(np.ones((5, 20, 20), np.float32)))
    with pytest.raises(CubeError, match="three"):
        most_different(Cube(np.random.default_rng(0).random((2, 20, 20))))


def test_looking_for_bands_is_cancelled(three_groups: Cube) -> None:
    job = Job()
    job.cancel()
    with pytest.raises(Cancelled):
        most_different(three_groups, job)

"""Which pixels a region has, and the mean and spread of their spectra."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hsi_app.cube import Cube
from hsi_app.errors import Cancelled, CubeError
from hsi_app.jobs import Job
from hsi_app.spectral_regions import Region, labelled, outlined, region_spectrum
from hsi_app.tiling import Window

SQUARE = np.array([[1.6, 2.4], [1.6, 6.6], [5.4, 6.6], [5.4, 2.4]])


def full(region: Region, shape: tuple[int, int]) -> np.ndarray:
    """The region as a mask of the image."""
    mask = np.zeros(shape, bool)
    rows, cols = np.nonzero(region.inside)
    mask[region.window.row + rows * region.step, region.window.col + cols * region.step] = True
    return mask


@pytest.fixture
def cube() -> Cube:
    """Unequal gains, a missing corner, 5 bands of 30 x 40 px."""
    values = np.random.default_rng(3).integers(0, 3000, (5, 30, 40)).astype(np.int16)
    values[:, :4, :4] = -1
    return Cube(values, nodata=-1, gain=np.array([1e-4, 2e-4, -1e-4, 1e-4, 1e-4]), offset=0.1)


# ---- outlines ------------------------------------------------------------------------------------------------------


def test_pixels_whose_centres_lie_inside_count() -> None:
    region = outlined(SQUARE, (10, 10))
    assert region is not None
    expected = np.zeros((10, 10), bool)
    expected[2:6, 3:7] = True
    assert np.array_equal(full(region, (10, 10)), expected)
    assert region.count == 16


def test_an_outline_agrees_with_scikit_image() -> None:
    from skimage.draw import polygon2mask

    rng = np.random.default_rng(5)
    for _ in range(5):
        corners = rng.uniform(-5, 45, (7, 2))  # crosses itself, and the image's edge
        region = outlined(corners, (40, 40))
        found = np.zeros((40, 40), bool) if region is None else full(region, (40, 40))
        assert np.array_equal(found, polygon2mask((40, 40), corners))


@pytest.mark.parametrize(
    "corners",
    [SQUARE[:2], SQUARE + 100, SQUARE - 20, [[2.1, 2.1], [2.1, 2.4], [2.4, 2.4]], np.full((4, 2), np.nan)],
    ids=["a line", "right below", "left above", "between centres", "nowhere"],
)
def test_an_outline_around_no_centre_is_no_region(corners: Any) -> None:
    assert outlined(np.asarray(corners), (10, 10)) is None


def test_a_vast_outline_is_looked_at_place_by_place() -> None:
    region = outlined(np.array([[0, 0], [0, 29_999], [19_999, 29_999], [19_999, 0]]), (20_000, 30_000))
    assert region is not None
    assert region.step == 12
    assert region.inside.size <= 2**22
    assert region.count == pytest.approx(6e8, rel=0.01)


# ---- labels --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("numbers", [(1, 2, 7), (5, 70_000, 2_000_000_000)], ids=["small", "large"])
@pytest.mark.parametrize("fills", [False, True], ids=["beside nothing", "everywhere"])
def test_each_label_has_its_pixels(numbers: tuple[int, ...], fills: bool) -> None:
    labels = np.random.default_rng(1).choice([numbers[0] if fills else 0, *numbers], (20, 25))
    regions, found = labelled(labels, 10)
    assert list(regions) == list(numbers)
    assert found == 3
    for number, region in regions.items():
        assert np.array_equal(full(region, labels.shape), labels == number)


def test_of_many_labels_the_first_are_taken_and_all_counted() -> None:
    regions, found = labelled(np.arange(30).reshape(5, 6), 4)
    assert list(regions) == [1, 2, 3, 4]
    assert found == 29


def test_labels_painted_on_any_band_count_and_the_largest_wins() -> None:
    labels = np.zeros((3, 6, 6), np.uint8)
    labels[0, 1, 1], labels[2, 1, 2], labels[1, 1, 2] = 1, 1, 2
    regions, _ = labelled(labels, 5)
    assert np.argwhere(full(regions[1], (6, 6))).tolist() == [[1, 1]]
    assert np.argwhere(full(regions[2], (6, 6))).tolist() == [[1, 2]]


def test_nothing_painted_is_no_region() -> None:
    assert labelled(np.zeros((4, 4), int), 5) == ({}, 0)


def test_the_key_tells_regions_apart() -> None:
    one, two = outlined(SQUARE, (10, 10)), outlined(SQUARE + np.array([0, 1]), (10, 10))
    again = outlined(SQUARE, (10, 10))
    assert one is not None
    assert two is not None
    assert again is not None
    assert one.key == again.key != two.key


# ---- other grids ---------------------------------------------------------------------------------------------------


def test_on_a_finer_grid_the_region_covers_the_same_ground() -> None:
    region = outlined(SQUARE, (10, 10))
    assert region is not None
    to_coarse = np.array([[0.5, 0, -0.25], [0, 0.5, -0.25]])
    finer = region.seen_from(to_coarse, (20, 20))
    assert finer is not None
    assert np.array_equal(full(finer, (20, 20)), np.kron(full(region, (10, 10)), np.ones((2, 2), bool)))


def test_on_a_cut_out_the_part_within_it_is_seen() -> None:
    region = outlined(SQUARE, (10, 10))
    assert region is not None
    part = region.seen_from(np.array([[1.0, 0, 4], [0, 1, 5]]), (6, 5))
    assert part is not None
    assert np.array_equal(full(part, (6, 5)), full(region, (10, 10))[4:, 5:])
    assert region.seen_from(np.array([[1.0, 0, 8], [0, 1, 8]]), (2, 2)) is None


# ---- mean and spread -----------------------------------------------------------------------------------------------


def test_mean_and_deviation_are_those_of_the_observed_pixels(cube: Cube) -> None:
    region = outlined(np.array([[-0.5, -0.5], [-0.5, 12.2], [20, 25.0], [9, -0.5]]), (30, 40))
    assert region is not None
    mask = full(region, (30, 40))
    found = region_spectrum(cube, region)
    stored = np.asarray(cube.values, np.float64)[:, mask]
    stored = np.where(stored == -1, np.nan, stored)
    assert np.allclose(found.mean, np.nanmean(stored, axis=1) * np.asarray(cube.gain) + 0.1)
    assert np.allclose(found.std, np.nanstd(stored, axis=1, ddof=1) * np.abs(cube.gain))
    assert found.samples.tolist() == np.isfinite(stored).sum(axis=1).tolist()
    assert (found.count, found.read) == (mask.sum(), mask.sum())
    assert not found.is_thinned


def test_a_small_spread_around_a_large_level_is_not_lost() -> None:
    noise = np.random.default_rng(0).normal(0, 1, (2, 60, 60))
    cube = Cube(1e6 + noise)
    found = region_spectrum(cube, Region(Window(0, 0, 60, 60), np.ones((60, 60), bool)))
    assert np.allclose(found.std, 1, rtol=0.05)  # float32 rounds a million to a sixteenth


def test_the_pieces_it_is_read_in_change_nothing(cube: Cube, monkeypatch: pytest.MonkeyPatch) -> None:
    regions, _ = labelled(np.random.default_rng(7).integers(0, 2, (30, 40)), 1)
    whole = region_spectrum(cube, regions[1])
    monkeypatch.setattr("hsi_app.spectral_regions.READ_VALUES", 500)
    pieces = region_spectrum(cube, regions[1])
    assert np.allclose(pieces.mean, whole.mean)
    assert np.allclose(pieces.std, whole.std)
    assert pieces.read == whole.read


def test_one_pixel_has_a_mean_and_no_deviation(cube: Cube) -> None:
    found = region_spectrum(cube, Region(Window(9, 9, 1, 1), np.ones((1, 1), bool)))
    assert np.allclose(found.mean, cube.spectrum(9, 9))
    assert np.isnan(found.std).all()


def test_where_nothing_was_observed_there_is_no_mean(cube: Cube) -> None:
    found = region_spectrum(cube, Region(Window(0, 0, 2, 2), np.ones((2, 2), bool)))
    assert np.isnan(found.mean).all()
    assert found.samples.sum() == 0


class Counting:
    """Counts the samples that are read."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self.shape, self.dtype, self.ndim = shape, np.dtype(np.float32), 3
        self.samples = 0

    def __getitem__(self, key: Any) -> np.ndarray:
        rows = np.arange(self.shape[1], dtype=np.float32)[key[1]]
        cols = np.arange(self.shape[2])[key[2]]
        bands = np.arange(self.shape[0])[key[0]]
        block = np.broadcast_to(rows[None, :, None], (bands.size, rows.size, cols.size)).copy()
        self.samples += block.size
        return block


def test_a_large_region_is_thinned_evenly_and_says_so() -> None:
    values = Counting((3, 2000, 1000))
    region = Region(Window(200, 100, 1600, 800), np.ones((1600, 800), bool))
    found = region_spectrum(Cube(values), region, most=10_000)
    assert found.is_thinned
    assert found.count == 1600 * 800
    assert 8_000 <= found.read <= 10_000
    assert np.allclose(found.mean, 999.5, atol=6)  # every twelfth row of all of it
    assert np.allclose(found.std, 1600 / np.sqrt(12), rtol=0.01)
    assert values.samples < 3 * 1600 * 800 / 10


def test_only_rows_of_the_region_are_read() -> None:
    values = Counting((3, 2000, 1000))
    inside = np.zeros((1800, 900), bool)
    inside[:3, :4] = inside[-2:, -5:] = True
    found = region_spectrum(Cube(values), Region(Window(10, 20, 1800, 900), inside))
    assert found.read == 22
    assert values.samples == 3 * 22


def test_a_thin_region_is_not_thinned_away() -> None:
    inside = np.eye(300, dtype=bool)
    found = region_spectrum(Cube(Counting((2, 300, 300))), Region(Window(0, 0, 300, 300), inside), most=20)
    assert found.read >= 20
    assert np.allclose(found.mean, 149.5, atol=5)


def test_a_region_beyond_the_image_is_refused(cube: Cube) -> None:
    with pytest.raises(CubeError, match="reaches beyond the image of 30 x 40"):
        region_spectrum(cube, Region(Window(28, 0, 5, 5), np.ones((5, 5), bool)))


def test_reading_can_be_stopped(cube: Cube) -> None:
    job = Job()
    job.cancel()
    with pytest.raises(Cancelled):
        region_spectrum(cube, Region(Window(0, 0, 5, 5), np.ones((5, 5), bool)), job)

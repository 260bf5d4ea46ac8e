"""Figures of two cubes: known levels and noise come out, changes are counted, and the bands that belong together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hsi_app.bands import BandAxis
from hsi_app.compare import (
    ROUNDING,
    BandComparison,
    common_histogram,
    compare_bands,
    gain_of,
    matching_band,
    physical,
)
from hsi_app.cube import Cube
from hsi_app.errors import Cancelled
from hsi_app.jobs import Job

NOISE = 0.05


@pytest.fixture
def scene() -> Cube:
    """Five smooth mixtures of two materials, 40 bands, 96 x 80 px."""
    rng = np.random.default_rng(3)
    shares = rng.random((2, 96, 80))
    spectra = np.stack([np.linspace(0.1, 0.6, 40), np.linspace(0.5, 0.2, 40)])
    return Cube(np.tensordot(spectra, shares, (0, 0)).astype(np.float32), unit="reflectance", name="scene")


def noisy(scene: Cube, std: float = NOISE, seed: int = 0) -> Cube:
    noise = np.random.default_rng(seed).normal(0, std, scene.shape).astype(np.float32)
    return Cube(scene.values + noise, unit=scene.unit, name="noisy")


# ---- histograms ----------------------------------------------------------------------------------------------------


def test_both_histograms_have_the_same_bins_and_count_shares_of_their_own_samples() -> None:
    rng = np.random.default_rng(0)
    found = common_histogram(rng.normal(0, 1, 4000), rng.normal(1, 1, (50, 20)), bins=30)
    assert found is not None
    assert found.edges.shape == (31,)
    assert (np.diff(found.edges) > 0).all()
    assert found.before.sum() == pytest.approx(100, abs=0.5)
    assert found.after.sum() == pytest.approx(100, abs=0.5)


def test_an_outlier_does_not_squeeze_the_rest_into_one_bin() -> None:
    values = np.r_[np.random.default_rng(1).random(5000), 1e6]
    found = common_histogram(values, values)
    assert found is not None
    assert found.edges[-1] < 2
    assert 0 < found.outside < 0.01


def test_missing_samples_do_not_count() -> None:
    values = np.array([1.0, np.nan, 2.0, np.inf, 3.0])
    found = common_histogram(values, np.full(4, np.nan), bins=2)
    assert found is not None
    assert found.before.sum() == pytest.approx(100, abs=70)  # the outermost may lie outside
    assert not found.after.any()
    assert np.isfinite(found.edges).all()


def test_without_samples_there_is_no_histogram() -> None:
    assert common_histogram(np.full(3, np.nan), np.empty(0)) is None


def test_a_constant_image_has_a_histogram() -> None:
    found = common_histogram(np.full(10, 7.0), np.full(10, 7.0), bins=3)
    assert found is not None
    assert found.before.tolist() == [0, 100, 0]


# ---- bands that belong together ------------------------------------------------------------------------------------


def test_equal_axes_pair_equal_numbers_even_with_repeated_wavelengths() -> None:
    axis = BandAxis(4, [500, 600, 600, 700])
    marked = axis.marked([3])
    assert [matching_band(b, axis, axis) for b in range(4)] == [0, 1, 2, 3]
    assert [matching_band(b, axis, marked) for b in range(4)] == [0, 1, 2, 3]


def test_other_wavelengths_pair_by_the_nearest() -> None:
    fine, coarse = BandAxis(5, [400, 450, 500, 650, 900]), BandAxis(3, [460, 660, 850])
    assert [matching_band(b, fine, coarse) for b in range(5)] == [0, 0, 0, 1, 2]
    assert [matching_band(b, coarse, fine) for b in range(3)] == [1, 3, 4]


def test_without_wavelengths_numbers_pair_and_the_last_stands_for_those_beyond() -> None:
    assert [matching_band(b, BandAxis(4), BandAxis(2)) for b in range(4)] == [0, 1, 1, 1]
    assert matching_band(2, BandAxis(4, [1, 2, 3, 4]), BandAxis(4)) == 2


# ---- figures of all bands ------------------------------------------------------------------------------------------


def test_mean_and_deviation_are_those_of_the_samples(scene: Cube) -> None:
    found = compare_bands(scene, scene)
    values = np.asarray(scene.values, dtype=np.float64)
    assert found.pixels == found.of_pixels == 96 * 80
    assert np.allclose(found.before.mean, values.mean(axis=(1, 2)), rtol=1e-6)
    assert np.allclose(found.before.std, values.std(axis=(1, 2)), rtol=1e-5)
    assert np.array_equal(found.before.mean, found.after.mean)


def test_the_deviation_of_a_bright_even_band_does_not_cancel() -> None:
    values = (1e4 + np.random.default_rng(0).normal(0, 0.1, (12, 30, 30))).astype(np.float32)
    found = compare_bands(Cube(values), Cube(values))
    assert np.allclose(found.before.std, values.astype(np.float64).std(axis=(1, 2)), rtol=1e-6)


def test_planted_noise_is_found_before_and_not_after(scene: Cube) -> None:
    found = compare_bands(noisy(scene), scene)
    assert np.median(found.before.noise) == pytest.approx(NOISE, rel=0.1)
    assert np.median(found.after.noise) < NOISE / 100


def test_figures_are_in_physical_units(scene: Cube) -> None:
    counts = Cube((noisy(scene).values * 1000).astype(np.int16), gain=np.full(40, 1e-3), offset=0.25)
    found = compare_bands(counts, noisy(scene))
    assert np.allclose(found.before.mean - 0.25, found.after.mean, atol=1e-3)
    assert np.allclose(found.before.std, found.after.std, rtol=0.01)
    assert np.allclose(found.before.noise, found.after.noise, rtol=0.05)


def test_the_share_of_changed_samples_is_counted_band_by_band(scene: Cube) -> None:
    values = np.array(scene.values)
    values[3] += 1
    values[7, :48] += 1
    found = compare_bands(scene, Cube(values))
    assert found.changed is not None
    assert found.changed[3] == 1
    assert found.changed[7] == pytest.approx(0.5)
    assert not np.delete(found.changed, [3, 7]).any()


def test_what_float32_rounds_is_no_change(scene: Cube) -> None:
    values = np.asarray(scene.values)
    found = compare_bands(scene, Cube(np.nextafter(values, np.float32(9))))
    assert found.changed is not None
    assert not found.changed.any()
    found = compare_bands(scene, Cube(values * np.float32(1 + 4 * ROUNDING)))
    assert found.changed is not None
    assert found.changed.min() > 0.99


def test_missing_samples_count_neither_as_levels_nor_as_changes() -> None:
    rng = np.random.default_rng(2)
    values = rng.normal(5, 1, (6, 40, 40)).astype(np.float32)
    holed = values.copy()
    holed[:, :20] = -99
    before = Cube(holed, nodata=-99.0)
    found = compare_bands(before, Cube(values))
    assert np.allclose(found.before.mean, values[:, 20:].mean(axis=(1, 2)), rtol=1e-5)
    assert found.changed is not None
    assert not found.changed.any()


def test_a_band_without_samples_has_no_figures() -> None:
    values = np.random.default_rng(2).normal(5, 1, (5, 30, 30)).astype(np.float32)
    values[2] = np.nan
    found = compare_bands(Cube(values), Cube(values))
    assert found.changed is not None
    for figures in (found.before.mean, found.before.std, found.before.noise, found.changed):
        assert np.isnan(figures).tolist() == [False, False, True, False, False]


def test_cubes_of_other_sizes_are_measured_each_for_itself(scene: Cube) -> None:
    fine = Cube(np.repeat(np.repeat(np.asarray(scene.values), 2, 1), 2, 2)[:20])
    found = compare_bands(scene, fine)
    assert found.changed is None
    assert (found.before.mean.size, found.after.mean.size) == (40, 20)
    assert found.after.mean == pytest.approx(found.before.mean[:20], rel=0.05)


class Counting:
    """An array that stays 'on disk' and counts the samples that were asked for."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self.shape, self.dtype, self.ndim, self.samples = shape, np.dtype(np.float32), 3, 0

    def __getitem__(self, key: Any) -> np.ndarray:
        bands, rows, cols = (range(n)[k] if isinstance(k, slice) else [k] for k, n in zip(key, self.shape, strict=True))
        self.samples += len(bands) * len(rows) * len(cols)
        at = np.arange(len(rows))[:, None] + 3 * np.arange(len(cols)) % 7
        return np.broadcast_to(at.astype(np.float32), (len(bands), *at.shape)).copy()


def test_of_a_large_scene_windows_are_read_and_it_is_said_how_much() -> None:
    big = Counting((10, 3000, 3000))
    found = compare_bands(Cube(big), Cube(Counting((10, 3000, 3000))))
    assert found.pixels < found.of_pixels == 9_000_000
    assert big.samples < 0.01 * 10 * 9_000_000


def test_progress_rises_to_one_and_a_stop_is_heard(scene: Cube) -> None:
    told: list[float] = []
    compare_bands(scene, noisy(scene), job=Job(on_progress=lambda p: told.append(p.fraction)))
    assert told == sorted(told)
    assert told[-1] == 1
    job = Job()
    job.cancel()
    with pytest.raises(Cancelled):
        compare_bands(scene, scene, job=job)


def test_the_same_cubes_give_the_same_figures_again(scene: Cube) -> None:
    def figures(found: BandComparison) -> list[np.ndarray]:
        assert found.changed is not None
        return [found.before.noise, found.after.mean, found.changed]

    first, second = (figures(compare_bands(scene, noisy(scene))) for _ in range(2))
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


# ---- physical values -----------------------------------------------------------------------------------------------


def test_gain_and_offset_of_a_band_are_its_own() -> None:
    cube = Cube(np.ones((3, 2, 2), np.float32), gain=np.array([1.0, 2.0, 4.0]), offset=-1.0)
    assert [gain_of(cube, band) for band in range(3)] == [(1, -1), (2, -1), (4, -1)]
    plane = physical(np.ones((2, 2), np.float32), cube, 2)
    assert plane.dtype == np.float32
    assert (plane == 3).all()


def test_stored_values_that_are_physical_are_not_copied() -> None:
    values = np.ones((2, 2), np.float32)
    assert physical(values, Cube(values[None]), 0) is values

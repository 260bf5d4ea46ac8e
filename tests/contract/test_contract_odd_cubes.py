"""Cubes at the edge of what is a cube: every method restores them or refuses in one line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from hsi_app.bands import BandAxis
from hsi_app.cube import Cube
from hsi_app.errors import HsiError
from hsi_app.methods.registry import MethodSpec
from hsi_app.runner import Result
from tests.contract.conftest import on_grid_of

Run = Callable[..., Result]
MakeCube = Callable[..., Cube]


def noisy(make_cube: MakeCube, bands: int = 12, height: int = 24, width: int = 30) -> np.ndarray:
    return np.asarray(make_cube(bands, height, width, sigma=0.03, seed=2).values).copy()


def one_band(make_cube: MakeCube) -> Cube:
    return make_cube(1, 24, 30, sigma=0.03)


def two_bands(make_cube: MakeCube) -> Cube:
    return make_cube(2, 24, 30, sigma=0.03)


def constant_band(make_cube: MakeCube) -> Cube:
    values = noisy(make_cube)
    values[4] = 0.5
    return Cube(values)


def band_without_samples(make_cube: MakeCube) -> Cube:
    values = noisy(make_cube)
    values[4] = np.nan
    return Cube(values)


def constant_cube(make_cube: MakeCube) -> Cube:
    return Cube(np.full((6, 16, 16), 0.3, np.float32))


def dead_sensor(make_cube: MakeCube) -> Cube:
    return Cube(np.zeros((6, 16, 16), np.float32))


def one_pixel(make_cube: MakeCube) -> Cube:
    return Cube(noisy(make_cube)[:, :1, :1])


def one_row(make_cube: MakeCube) -> Cube:
    return Cube(noisy(make_cube)[:, :1])


def tall(make_cube: MakeCube) -> Cube:
    return Cube(noisy(make_cube, 8, 90, 9))


def more_bands_than_pixels(make_cube: MakeCube) -> Cube:
    return Cube(noisy(make_cube, 60, 5, 6))


def one_observed_pixel(make_cube: MakeCube) -> Cube:
    valid = np.zeros((24, 30), bool)
    valid[5, 7] = True
    return Cube(noisy(make_cube), valid=valid)


def mostly_missing(make_cube: MakeCube) -> Cube:
    values = noisy(make_cube)
    return Cube(values, valid=np.random.default_rng(0).random(values.shape) > 0.9)


def counts(make_cube: MakeCube) -> Cube:
    return Cube((noisy(make_cube) * 60_000).astype(np.uint16))


def bytes_as_counts(make_cube: MakeCube) -> Cube:
    return Cube((noisy(make_cube) * 200).astype(np.uint8))


def doubles(make_cube: MakeCube) -> Cube:
    return Cube(noisy(make_cube).astype(np.float64) * 1e-9)


def big_endian(make_cube: MakeCube) -> Cube:
    return Cube(noisy(make_cube).astype(">f4"))


def no_wavelengths(make_cube: MakeCube) -> Cube:
    return Cube(noisy(make_cube))


def equal_wavelengths(make_cube: MakeCube) -> Cube:
    return Cube(noisy(make_cube), BandAxis(12, np.full(12, 550.0)))


def falling_wavelengths(make_cube: MakeCube) -> Cube:
    return Cube(noisy(make_cube), BandAxis(12, np.linspace(2400, 400, 12)))


def all_but_one_bad(make_cube: MakeCube) -> Cube:
    return Cube(noisy(make_cube), BandAxis(12, bad=np.arange(12) != 5))


def read_only(make_cube: MakeCube) -> Cube:
    values = noisy(make_cube)
    values.setflags(write=False)
    return Cube(values)


ODD = [
    one_band, two_bands, constant_band, band_without_samples, constant_cube, dead_sensor, one_pixel, one_row, tall,
    more_bands_than_pixels, one_observed_pixel, mostly_missing, counts, bytes_as_counts, doubles, big_endian,
    no_wavelengths, equal_wavelengths, falling_wavelengths, all_but_one_bad, read_only,
]  # fmt: skip


@pytest.mark.parametrize("odd", ODD, ids=lambda make: make.__name__)
def test_an_odd_cube_is_restored_with_its_observed_samples_present(
    spec: MethodSpec, task: str, run: Run, make_cube: MakeCube, odd: Callable[[MakeCube], Cube]
) -> None:
    cube = odd(make_cube)
    _, seen = cube.block()
    result = run(cube, spec, task=task)
    values, present = result.cube.block()
    assert values.shape == result.observed.shape
    assert present[on_grid_of(result, seen)].all()
    # Nothing leaves the range of what was observed by more than that range.
    low, high = float(cube.block()[0][seen].min()), float(cube.block()[0][seen].max())
    reach = max(high - low, 1e-6 * max(abs(low), abs(high)))
    assert values[present].min() >= low - reach
    assert values[present].max() <= high + reach


def test_a_constant_cube_stays_constant(spec: MethodSpec, task: str, run: Run, make_cube: MakeCube) -> None:
    values, _ = run(constant_cube(make_cube), spec, task=task).cube.block()
    np.testing.assert_allclose(values, 0.3, atol=1e-4)


def test_a_constant_band_stays_constant(spec: MethodSpec, task: str, run: Run, make_cube: MakeCube) -> None:
    # A band without noise and without signal has nothing to be removed from it.
    values, _ = run(constant_band(make_cube), spec, task=task).cube.block()
    np.testing.assert_allclose(values[4].mean(), 0.5, atol=0.02)


@pytest.mark.parametrize("fill", [np.nan, np.inf, -9999.0])
def test_a_cube_without_any_sample_is_refused_in_one_line(spec: MethodSpec, run: Run, fill: float) -> None:
    cube = Cube(np.full((4, 10, 10), fill, np.float32), nodata=-9999.0)
    with pytest.raises(HsiError, match="every sample is missing") as caught:
        run(cube, spec)
    assert "\n" not in str(caught.value)


def test_number_types_do_not_change_the_result(spec: MethodSpec, run: Run, make_cube: MakeCube) -> None:
    whole = np.round(noisy(make_cube) * 20_000)
    results = [
        run(Cube(whole.astype(dtype)), spec).cube.block()[0]
        for dtype in ("uint16", "int32", "float32", "float64", ">i2")
    ]
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


@pytest.mark.parametrize("value", [10.0, 1e4, 1e9])
def test_one_hot_sample_does_not_spoil_the_rest(spec: MethodSpec, run: Run, make_cube: MakeCube, value: float) -> None:
    clean = make_cube(12, 24, 30, seed=2)
    values = noisy(make_cube)
    values[3, 12, 15] = value
    restored = run(replace(clean, values=values), spec).cube.block()[0]
    far = np.ones((24, 30), bool)
    far[2:23, 5:26] = False
    error = np.abs(restored - np.asarray(clean.values))[:, far]
    # 0.03 is the standard deviation of the noise that was added.
    assert np.median(error, axis=1).max() < 0.03

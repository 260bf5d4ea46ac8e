"""What the smoother promises beyond the contract of every method."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hsi_savgol.run import restore
from hsi_savgol.spec import LARGEST_REACH_PX, SPEC, SavitzkyGolayParameters
from scipy.signal import savgol_filter

from hsi_app.jobs import Job
from hsi_app.problem import Problem, Restoration

BANDS, HEIGHT, WIDTH = 21, 5, 6


def smooth(
    values: np.ndarray, valid: np.ndarray | None = None, wavelengths: np.ndarray | None = None, **options: int
) -> np.ndarray:
    observed = torch.from_numpy(values.astype(np.float32))
    seen = torch.ones(values.shape, dtype=torch.bool) if valid is None else torch.from_numpy(valid)
    problem = Problem(torch.where(seen, observed, 0.0), seen, "denoise", wavelengths)
    restoration: Restoration = restore(problem, SavitzkyGolayParameters(**options), Job())
    return restoration.values.numpy()


@pytest.fixture
def noisy() -> np.ndarray:
    return np.random.default_rng(0).normal(0.5, 0.1, (BANDS, HEIGHT, WIDTH))


@pytest.mark.parametrize(("half_window", "order"), [(1, 0), (3, 2), (4, 3), (6, 5)])
def test_on_even_complete_spectra_it_is_scipys_filter(noisy: np.ndarray, half_window: int, order: int) -> None:
    # mode='interp' fits the last full window at the ends, as here.
    expected = savgol_filter(noisy, 2 * half_window + 1, order, axis=0, mode="interp")
    np.testing.assert_allclose(smooth(noisy, half_window=half_window, order=order), expected, atol=1e-5)


@pytest.mark.parametrize("reach", [0, 2])
def test_a_polynomial_in_wavelength_passes_unchanged_through_gaps_and_jumps(reach: int) -> None:
    wavelengths = np.concatenate([np.linspace(400, 900, 12), np.linspace(1000, 2400, 9)])
    t = (wavelengths - 1400) / 1000
    values = np.broadcast_to((0.4 + 0.2 * t - 0.1 * t**2)[:, None, None], (BANDS, HEIGHT, WIDTH))
    valid = np.random.default_rng(1).random(values.shape) > 0.2
    restored = smooth(values, valid, wavelengths, half_window=4, order=2, reach=reach)
    np.testing.assert_allclose(restored[valid], values[valid], atol=1e-5)


def test_missing_samples_carry_no_weight(noisy: np.ndarray) -> None:
    valid = np.random.default_rng(2).random(noisy.shape) > 0.3
    other = np.where(valid, noisy, 1e3)
    np.testing.assert_array_equal(smooth(noisy, valid), smooth(other, valid))


def test_a_window_with_too_few_bands_keeps_the_sample_it_has(noisy: np.ndarray) -> None:
    valid = np.zeros(noisy.shape, bool)
    valid[10] = True
    restored = smooth(noisy, valid, half_window=2, order=2)
    np.testing.assert_array_equal(restored[10], noisy[10].astype(np.float32))
    assert np.isnan(restored[0]).all()


def test_white_noise_shrinks_as_theory_says() -> None:
    # A quadratic over 7 points keeps 1/3 of the variance at its centre (Savitzky and Golay 1964, table I: 7/21).
    noise = np.random.default_rng(3).normal(0, 1, (41, 40, 40))
    kept = smooth(noise, half_window=3, order=2)[3:-3].var()
    assert kept == pytest.approx(1 / 3, rel=0.03)


def test_its_result_depends_on_no_pixel_beyond_the_margin_it_declares(noisy: np.ndarray) -> None:
    far = np.tile(noisy, (1, 3, 3))
    near = far.copy()
    near[:, : 7 - LARGEST_REACH_PX] = 9.0
    a, b = (smooth(x, reach=LARGEST_REACH_PX) for x in (far, near))
    np.testing.assert_array_equal(a[:, 7:], b[:, 7:])
    assert not np.allclose(a[:, 6], b[:, 6])
    assert SPEC.extent.margin_px == LARGEST_REACH_PX


@pytest.mark.parametrize("bands", [1, 2, 3])
def test_a_few_bands_are_fitted_by_what_they_can_fix(bands: int) -> None:
    values = np.random.default_rng(4).random((bands, 3, 3))
    np.testing.assert_allclose(smooth(values, order=5), values, atol=1e-4)

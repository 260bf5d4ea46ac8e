"""Continuum, derivatives and likeness of spectra against what is known of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hsi_app.errors import CubeError, ParameterError
from hsi_app.spectra import (
    angles_to,
    best_matches,
    continuum,
    continuum_removed,
    derivative,
    scale_factor,
)
from hsi_app.unmixing.matching import spectral_angles

NAN = float("nan")
# 60 bands with unequal spacing between 400 and 1000 nm.
WAVELENGTHS = 400 + 600 * np.linspace(0, 1, 60) ** 1.3


def hull_by_brute_force(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The highest of all chords over each sample."""
    over = y.copy()
    for i in range(x.size):
        for j in range(i + 1, x.size):
            between = (x >= x[i]) & (x <= x[j])
            chord = y[i] + (y[j] - y[i]) * (x[between] - x[i]) / (x[j] - x[i])
            over[between] = np.maximum(over[between], chord)
    return over


# ---- continuum -----------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0.01, 1.0), min_size=2, max_size=25))
def test_the_continuum_is_the_highest_chord_everywhere(samples: list[float]) -> None:
    y = np.array(samples)
    x = WAVELENGTHS[: y.size]
    assert np.allclose(continuum(x, y), hull_by_brute_force(x, y), rtol=1e-12)


def test_a_known_absorption_comes_out_with_its_depth() -> None:
    slope = 0.2 + 0.0004 * (WAVELENGTHS - 400)
    depth = 0.3 * np.exp(-(((WAVELENGTHS - 700) / 40) ** 2))
    depth[[0, -1]] = 0  # the ends carry the continuum
    assert np.allclose(continuum_removed(WAVELENGTHS, slope * (1 - depth)), 1 - depth, atol=1e-5)


def test_removing_the_continuum_does_not_depend_on_brightness() -> None:
    y = 0.3 + 0.1 * np.sin(WAVELENGTHS / 60)
    assert np.allclose(continuum_removed(WAVELENGTHS, 7.5 * y), continuum_removed(WAVELENGTHS, y))


def test_missing_bands_stay_missing_and_do_not_hold_the_hull() -> None:
    y = 0.3 + 0.1 * np.sin(WAVELENGTHS / 60)
    spoilt = y.copy()
    spoilt[[5, 20, 21]] = NAN
    removed = continuum_removed(WAVELENGTHS, spoilt)
    rest = np.isfinite(spoilt)
    assert np.flatnonzero(np.isnan(removed)).tolist() == [5, 20, 21]
    assert np.allclose(removed[rest], continuum_removed(WAVELENGTHS[rest], y[rest]))


def test_the_order_of_bands_makes_no_difference() -> None:
    y = 0.3 + 0.1 * np.sin(WAVELENGTHS / 60)
    mixed = np.random.default_rng(1).permutation(y.size)
    for view in (continuum_removed, derivative):
        assert np.allclose(view(WAVELENGTHS[mixed], y[mixed]), view(WAVELENGTHS, y)[mixed])


def test_of_two_samples_at_one_wavelength_the_continuum_rests_on_the_brighter() -> None:
    x, y = np.array([400.0, 500, 500, 600]), np.array([0.1, 0.4, 0.8, 0.1])
    assert continuum_removed(x, y).tolist() == [1.0, 0.5, 1.0, 1.0]


@pytest.mark.parametrize("y", [[NAN, NAN, NAN], [0.5, NAN, NAN]])
def test_without_two_samples_there_is_no_continuum(y: list[float]) -> None:
    assert np.isnan(continuum_removed(np.array([400.0, 500, 600]), np.array(y))).all()


def test_where_the_continuum_is_not_positive_nothing_is_told() -> None:
    removed = continuum_removed(np.array([400.0, 500, 600]), np.array([-0.1, -0.2, 0.3]))
    assert np.isnan(removed[0])
    assert removed[2] == 1


# ---- derivatives ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("window", [3, 5, 9, 15])
def test_a_parabola_has_its_derivatives_at_every_band_whatever_the_window(window: int) -> None:
    y = 2 + 0.03 * WAVELENGTHS - 4e-5 * WAVELENGTHS**2
    assert np.allclose(derivative(WAVELENGTHS, y, 1, window), 0.03 - 8e-5 * WAVELENGTHS, rtol=1e-8)
    assert np.allclose(derivative(WAVELENGTHS, y, 2, window), -8e-5, rtol=1e-6)


def test_three_bands_agree_with_numpy() -> None:
    y = np.sin(WAVELENGTHS / 50)
    assert np.allclose(derivative(WAVELENGTHS, y), np.gradient(y, WAVELENGTHS, edge_order=2))


def test_a_wider_window_lets_less_noise_through() -> None:
    noise = np.random.default_rng(3).normal(0, 1e-2, WAVELENGTHS.size)
    spread = [np.std(derivative(WAVELENGTHS, noise, 1, window)) for window in (3, 7, 15)]
    assert spread[0] > 2 * spread[1] > 4 * spread[2]


def test_nothing_is_derived_across_a_missing_band() -> None:
    y = np.where(np.arange(60) < 30, 1.0, 5.0)
    y[30] = NAN
    slope = derivative(WAVELENGTHS, y, 1, 7)
    assert np.flatnonzero(np.isnan(slope)).tolist() == [30]
    assert np.allclose(slope[np.isfinite(slope)], 0, atol=1e-12)  # the jump lies in the gap


def test_nothing_is_derived_across_bands_that_were_taken_out() -> None:
    kept = np.r_[0:20, 45:60]
    x = np.arange(400.0, 460.0)[kept]
    y = np.where(x < 430, 1.0, 5.0)
    assert np.allclose(derivative(x, y), 0, atol=1e-12)


def test_a_stretch_of_two_bands_has_no_derivative() -> None:
    y = np.array([1.0, 2, NAN, 3, 4, 5])
    slope = derivative(np.arange(6.0), y)
    assert np.isnan(slope).tolist() == [True, True, True, False, False, False]


def test_a_window_wider_than_the_stretch_takes_what_there_is() -> None:
    x = np.arange(4.0)
    assert np.allclose(derivative(x, x**2, 1, 15), 2 * x)


@pytest.mark.parametrize(("order", "window"), [(0, 3), (3, 3), (1, 1), (1, 4)])
def test_orders_and_windows_that_cannot_be_are_refused(order: int, window: int) -> None:
    with pytest.raises(ParameterError, match=r"order|window"):
        derivative(WAVELENGTHS, WAVELENGTHS, order, window)


@pytest.mark.parametrize("view", [continuum, continuum_removed, derivative])
def test_a_wavelength_for_each_band_is_needed(view: object) -> None:
    with pytest.raises(CubeError, match="3 wavelengths for a spectrum of 2 bands"):
        view(np.zeros(3), np.zeros(2))  # type: ignore[operator]


# ---- likeness ------------------------------------------------------------------------------------------------------


@pytest.fixture
def library() -> np.ndarray:
    rng = np.random.default_rng(8)
    return rng.uniform(0.05, 0.6, (40, 12))


def test_angles_agree_with_those_of_the_engine(library: np.ndarray) -> None:
    target = library @ np.linspace(0, 1, 12)
    assert np.allclose(angles_to(target, library), spectral_angles(target[:, None], library)[:, 0], atol=1e-12)


def test_gaps_of_one_library_spectrum_cost_the_others_nothing(library: np.ndarray) -> None:
    target = library[:, 4].copy()
    full = angles_to(target, library)
    library[:10, 3] = NAN
    target[-2:] = NAN
    found = angles_to(target, library)
    seen = slice(10, 38)
    assert found[3] == pytest.approx(spectral_angles(target[seen, None], library[seen, 3:4])[0, 0])
    assert found[4] == pytest.approx(0, abs=1e-12)
    assert found[5] == pytest.approx(full[5], rel=0.2)


def test_spectra_that_share_too_little_or_are_zero_cannot_be_compared(library: np.ndarray) -> None:
    library[:30, 0] = NAN
    library[:, 1] = 0
    found = angles_to(library[:, 5], library)
    assert np.isnan(found[:2]).all()
    assert np.isfinite(found[2:]).all()
    assert np.isnan(angles_to(np.full(40, NAN), library)).all()


def test_the_best_matches_come_first_whatever_their_brightness(library: np.ndarray) -> None:
    target = 3.7 * library[:, 7] + 1e-3 * library[:, 2]
    library[:30, 0] = NAN
    found = best_matches(target, library, 20)
    assert found[0][0] == 7
    assert len(found) == 11  # one cannot be compared
    assert [angle for _, angle in found] == sorted(angle for _, angle in found)
    assert best_matches(target, library, 0) == []


def test_bands_must_agree(library: np.ndarray) -> None:
    with pytest.raises(CubeError, match="39 bands against a library"):
        angles_to(library[1:, 0], library)


def test_the_factor_brings_a_scaled_spectrum_back() -> None:
    target = np.array([0.1, 0.4, NAN, 0.3])
    assert scale_factor(np.array([1000.0, 4000.0, 500.0, NAN]), target) == pytest.approx(1e-4)
    assert np.isnan(scale_factor(np.array([NAN, NAN, 1.0, NAN]), target))
    assert np.isnan(scale_factor(np.zeros(4), target))

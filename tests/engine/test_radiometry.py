"""Responses and numbers found from two images: as good as prediction needs, with noise and foreign pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hsi_app.errors import ParameterError
from hsi_app.fusion.radiometry import REACH_NM, estimate_response, radiometric_match, same_radiometry
from hsi_app.physics.spectral import gaussian_response

AT = np.linspace(420.0, 2380.0, 80)
# Landsat TM 1-5 and 7.
CENTRES = np.array([485.0, 560, 660, 830, 1650, 2215])
PLANTED = gaussian_response(CENTRES, np.array([70.0, 80, 60, 140, 200, 270]), AT)
GAIN, OFFSET = np.array([1.0, 0.7, 1.4, 2.0, 0.5, 1.1]), np.array([0.0, 0.1, -0.05, 0.02, 0.3, -0.2])


def spectra(count: int, seed: int = 0, materials: int = 8) -> np.ndarray:
    """(B, count) mixtures of broad features; the materials are the same for every seed."""
    generator = np.random.default_rng(99)
    pure = np.empty((len(AT), materials))
    for k in range(materials):
        at, wide = generator.uniform(400, 2400, 5), generator.uniform(80, 500, 5)
        pure[:, k] = 0.5 + np.exp(-0.5 * ((AT[:, None] - at) / wide) ** 2) @ generator.uniform(-0.4, 0.4, 5)
    shares = np.random.default_rng(seed).dirichlet(np.full(materials, 0.7), count).T
    return np.clip(pure, 0.05, 1) @ shares


def worst_error(matrix: np.ndarray, planted: np.ndarray, others: np.ndarray) -> float:
    """Largest over bands of the root mean square error of predicted broad bands, over their mean."""
    expected, found = planted @ others, matrix @ others
    return float((np.sqrt(np.square(found - expected).mean(1)) / expected.mean(1)).max())


# An estimated response is used to predict broad bands; a hundredth is what sensors are calibrated to.


@pytest.mark.parametrize("knows_wavelengths", [False, True])
@pytest.mark.parametrize("noise", [0.0, 0.005])
@pytest.mark.parametrize("changed", [0.0, 0.03])
def test_planted_responses_predict_other_spectra_within_a_hundredth(
    knows_wavelengths: bool, noise: float, changed: float
) -> None:
    generator = np.random.default_rng(1)
    hsi = spectra(600)
    msi = GAIN[:, None] * (PLANTED @ hsi) + OFFSET[:, None]
    msi += noise * generator.standard_normal(msi.shape)
    foreign = generator.random(msi.shape[1]) < changed
    msi[:, foreign] += 0.4
    seen = hsi + noise * generator.standard_normal(hsi.shape)
    known = {"centres_nm": CENTRES, "at_nm": AT} if knows_wavelengths else {}
    matrix, gain, offset = estimate_response(seen, msi, **known)
    np.testing.assert_allclose(matrix.sum(1), 1)
    assert (matrix >= 0).all()
    others = spectra(400, seed=7)
    assert worst_error(matrix, PLANTED, others) < 0.01
    left = gain[:, None] * (matrix @ others) + offset[:, None] - (GAIN[:, None] * (PLANTED @ others) + OFFSET[:, None])
    assert np.sqrt(np.square(left).mean()) < 0.01 * GAIN.mean()


def test_planted_responses_of_a_real_scene_predict_its_other_half(real_data: Path) -> None:
    with np.load(real_data / "hsi" / "jasper_ridge_raw224.npz", allow_pickle=False) as file:
        kept = np.ravel(file["selected_bands"])
        cube = file["cube"].transpose(2, 0, 1)[kept].astype(float) / 10_000
    at = np.linspace(380, 2500, 224)[kept]
    planted = gaussian_response(CENTRES[:4], np.array([70.0, 80, 60, 140]), at)
    left, right = (half.reshape(len(cube), -1)[:, ::5] for half in (cube[:, :, :50], cube[:, :, 50:]))
    matrix, _, _ = estimate_response(left, planted @ left, centres_nm=CENTRES[:4], at_nm=at)
    assert worst_error(matrix, planted, right) < 0.01


def test_a_band_sees_nothing_far_from_its_centre_where_that_is_known() -> None:
    hsi = spectra(300)
    matrix, _, _ = estimate_response(hsi, PLANTED @ hsi, centres_nm=CENTRES, at_nm=AT)
    assert (matrix[np.abs(AT - CENTRES[:, None]) > REACH_NM] == 0).all()


def test_wavelengths_off_the_bands_forbid_nothing() -> None:
    hsi = spectra(300)
    plain, _, _ = estimate_response(hsi, PLANTED[:1] @ hsi)
    far, _, _ = estimate_response(hsi, PLANTED[:1] @ hsi, centres_nm=np.array([9000.0]), at_nm=AT)
    np.testing.assert_allclose(far, plain)


def test_without_an_offset_none_is_found() -> None:
    hsi = spectra(300)
    matrix, gain, offset = estimate_response(hsi, 1.5 * (PLANTED @ hsi), with_offset=False)
    assert (offset == 0).all()
    np.testing.assert_allclose(gain, 1.5, rtol=0.02)
    assert worst_error(matrix, PLANTED, spectra(300, 7)) < 0.01


def test_the_unit_of_either_image_is_of_no_account() -> None:
    hsi = spectra(300)
    plain, gain, _ = estimate_response(hsi, PLANTED @ hsi)
    scaled, other, _ = estimate_response(1e4 * hsi, 255 * (PLANTED @ hsi))
    np.testing.assert_allclose(scaled, plain, atol=1e-6)
    np.testing.assert_allclose(other, gain * 255 / 1e4, rtol=1e-4)


@pytest.mark.parametrize("kind", ["against", "constant", "flat spectra"])
def test_a_band_that_does_not_follow_from_the_spectra_is_named(kind: str) -> None:
    hsi = spectra(300)
    msi = PLANTED[:2] @ hsi
    if kind == "flat spectra":
        hsi = np.full_like(hsi, 0.3)
    else:
        msi[1] = 0.5 if kind == "constant" else 2 - 3 * hsi.mean(0)
    band = 1 if kind == "flat spectra" else 2
    with pytest.raises(ParameterError, match=f"^band {band} of the multispectral image does not follow.*--srf"):
        estimate_response(hsi, msi)


# Numbers


@pytest.mark.parametrize(("gain", "offset"), [(1.0, 0.0), (0.004, -0.2), (250.0, 30.0)])
def test_pairs_are_matched_whatever_the_unit(gain: float, offset: float) -> None:
    projected = PLANTED @ spectra(500)
    found = radiometric_match(projected, (projected - offset) / gain, paired=True)
    np.testing.assert_allclose(found[0], gain)
    np.testing.assert_allclose(found[1], offset, atol=1e-9)


def test_pairs_are_matched_in_spite_of_changed_pixels() -> None:
    generator = np.random.default_rng(0)
    projected = PLANTED @ spectra(1000)
    msi = (projected - OFFSET[:, None]) / GAIN[:, None] + 0.002 * generator.standard_normal(projected.shape)
    msi[:, generator.random(1000) < 0.05] = 3.0
    gain, offset = radiometric_match(projected, msi, paired=True)
    error = gain[:, None] * (projected - OFFSET[:, None]) / GAIN[:, None] + offset[:, None] - projected
    # Least squares would be off by a third of the range.
    assert np.abs(error).max() < 0.01


def test_distributions_are_matched_where_pixels_are_of_the_same_ground_in_another_order() -> None:
    projected = PLANTED @ spectra(3000)
    msi = ((PLANTED @ spectra(4000, seed=5)) - OFFSET[:, None]) / GAIN[:, None]
    gain, offset = radiometric_match(projected, msi, paired=False)
    matched = gain[:, None] * msi + offset[:, None]
    # Quantiles of 3000 draws are good to a fortieth of the range between them.
    np.testing.assert_allclose(gain, GAIN, rtol=0.05)
    for level in (0.1, 0.5, 0.9):
        left = np.quantile(matched, level, axis=1) - np.quantile(projected, level, axis=1)
        assert (np.abs(left) < 0.05 * np.ptp(projected, axis=1)).all()


def test_a_band_that_runs_against_its_pixels_keeps_the_match_of_the_distributions() -> None:
    projected = PLANTED @ spectra(500)
    gain, offset = radiometric_match(projected, -projected, paired=True)
    expected = radiometric_match(projected, -projected, paired=False)
    assert (gain > 0).all()
    np.testing.assert_allclose((gain, offset), expected)


def test_a_constant_band_is_brought_to_the_median() -> None:
    projected = PLANTED @ spectra(500)
    for paired in (True, False):
        gain, offset = radiometric_match(projected, np.full_like(projected, 0.25), paired=paired)
        assert np.isfinite(gain).all()
        np.testing.assert_allclose(gain * 0.25 + offset, np.median(projected, axis=1), rtol=1e-3)


@pytest.mark.parametrize(
    ("factor", "paired", "is_same"),
    [(1.0, True, True), (1.2, True, True), (1 / 1.2, True, True), (1.5, True, False), (1 / 1.5, True, False),
     (2.0, False, True), (0.5, False, True), (3.0, False, False), (10_000.0, True, False), (1e-4, False, False)],
)  # fmt: skip
def test_one_unit_is_told_from_another(factor: float, paired: bool, is_same: bool) -> None:
    projected = PLANTED @ spectra(500)
    assert same_radiometry(projected, factor * projected, paired=paired) is is_same


def test_one_odd_band_does_not_make_another_unit() -> None:
    projected = PLANTED @ spectra(500)
    msi = projected.copy()
    msi[4] *= 50
    assert same_radiometry(projected, msi, paired=True)


def test_numbers_around_zero_are_of_another_unit_than_reflectance() -> None:
    # Standardised images have medians near and below zero.
    projected = PLANTED @ spectra(500)
    assert not same_radiometry(projected, projected - 2 * projected.mean(1, keepdims=True), paired=True)

"""Metrics against scikit-image and by definition."""

import numpy as np
import pytest
from skimage.metrics import structural_similarity as skimage_ssim

from hsi_app.cube import Cube
from hsi_app.errors import CubeError
from hsi_app.metrics import score, stripe_strength, structural_similarity


@pytest.fixture
def pair():
    generator = np.random.default_rng(0)
    truth = generator.random((5, 40, 37)).astype(np.float32)
    return truth, truth + generator.normal(0, 0.1, truth.shape).astype(np.float32)


def test_ssim_equals_scikit_image(pair):
    truth, found = pair
    expected = skimage_ssim(
        truth[0], found[0], data_range=1.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    assert abs(structural_similarity(truth[0], found[0]) - expected) < 1e-4


def test_psnr_is_the_mean_over_bands_with_the_reference_peak(pair):
    truth, found = pair
    mse = ((found - truth) ** 2).mean(axis=(1, 2))
    expected = np.mean(10 * np.log10(truth.max() ** 2 / mse))
    assert score(Cube(found), Cube(truth))["psnr"] == pytest.approx(expected, abs=1e-3)


def test_sam_ignores_brightness_and_measures_degrees():
    truth = np.zeros((2, 3, 3), np.float32)
    truth[0] = 1
    found = np.zeros_like(truth)
    found[:] = 5
    assert score(Cube(found), Cube(truth))["sam"] == pytest.approx(45.0, abs=1e-6)


def test_ergas_of_a_one_per_cent_error_is_one():
    truth = np.full((3, 4, 4), 10.0, np.float32)
    figures = score(Cube(truth + 0.1), Cube(truth))
    assert figures["ergas"] == pytest.approx(1.0, rel=1e-4)
    assert score(Cube(truth + 0.1), Cube(truth), scale=4)["ergas"] == pytest.approx(0.25, rel=1e-4)


def test_scaling_both_changes_only_rmse(pair):
    truth, found = pair
    one, ten = score(Cube(found), Cube(truth)), score(Cube(found * 10), Cube(truth * 10))
    for key in ("psnr", "ssim", "sam", "ergas"):
        assert one[key] == pytest.approx(ten[key], rel=1e-4)
    assert ten["rmse"] == pytest.approx(10 * one["rmse"], rel=1e-4)


def test_missing_samples_do_not_count(pair):
    truth, found = pair
    before = score(Cube(found[:, :, :30]), Cube(truth[:, :, :30]))
    found[:, :, 30:] = np.nan
    after = score(Cube(found), Cube(truth))
    for key in ("psnr", "sam", "rmse"):
        assert after[key] == pytest.approx(before[key], rel=0.05)


def test_equal_cubes_score_best(pair):
    figures = score(Cube(pair[0]), Cube(pair[0]))
    assert figures["psnr"] == 200
    assert figures["ssim"] == pytest.approx(1)
    assert figures["rmse"] == 0


def test_other_shapes_are_refused(pair):
    with pytest.raises(CubeError, match="shape"):
        score(Cube(pair[0][:4]), Cube(pair[0]))


def test_nothing_in_common_is_refused(pair):
    with pytest.raises(CubeError, match="no sample"):
        score(Cube(np.full_like(pair[0], np.nan)), Cube(pair[0]))


@pytest.mark.parametrize("axis", [0, 1])
def test_stripe_strength_is_one_for_noise_and_grows_with_stripes(axis):
    generator = np.random.default_rng(1)
    noise = generator.normal(0, 1, (200, 200))
    assert 0.75 < stripe_strength(noise, axis) < 1.25
    stripes = generator.normal(0, 0.5, (200, 1) if axis == 0 else (1, 200))
    # Line means scatter by sqrt(0.5^2 + 1/200) where noise alone gives 1/sqrt(200): a factor of 7.1.
    assert 5.5 < stripe_strength(noise + stripes, axis) < 9
    assert 0.75 < stripe_strength(noise + stripes, 1 - axis) < 1.25


def test_real_row_stripes_are_seen(real_data):
    with np.load(real_data / "hsi" / "abu_bay_champagne.npz") as file:
        values = file["cube"].transpose(2, 0, 1).astype(np.float64)
    flat = values.reshape(len(values), -1)
    inverse = np.linalg.inv(np.cov(flat))
    centred = flat - flat.mean(axis=1, keepdims=True)
    residual = ((inverse @ centred) / inverse.diagonal()[:, None]).reshape(values.shape)
    strengths = [stripe_strength(band) for band in residual]
    assert strengths[103] > 3
    assert strengths[106] > 2
    assert np.median(strengths) < 1.2

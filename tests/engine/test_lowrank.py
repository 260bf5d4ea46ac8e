"""The low-rank method: what it gains, what it must not touch, and how its pieces agree."""

import numpy as np
import pytest
import torch

from hsi_app.methods.lowrank.complete import solve_coefficients
from hsi_app.methods.lowrank.denoise import denoise_components
from hsi_app.runner import Settings, restore
from tests.conftest import mixed_scene

SHAPE = (40, 72, 66)


def psnr(found, truth):
    return float(np.mean(10 * np.log10(truth.max() ** 2 / ((found - truth) ** 2).mean(axis=(1, 2)))))


def svd_psnr(observed, truth, ranks=range(1, 9)):
    """Best plain truncation, chosen by the truth: a bar, not a method."""
    u, s, v = np.linalg.svd(observed.reshape(len(observed), -1), full_matrices=False)
    return max(psnr(((u[:, :k] * s[:k]) @ v[:k]).reshape(observed.shape), truth) for k in ranks)


@pytest.fixture(scope="module")
def truth():
    return mixed_scene(*SHAPE, rank=4)[0].astype(np.float32)


@pytest.fixture(scope="module")
def noisy(truth):
    return truth + np.random.default_rng(5).normal(0, 0.1, truth.shape).astype(np.float32)


@pytest.fixture
def as_cube(make_cube):
    return lambda values: make_cube(*values.shape).replace(values.astype(np.float32), "observed")


def test_denoising_beats_the_best_plain_truncation(as_cube, noisy, truth):
    restored = restore(as_cube(noisy)).cube.values
    assert psnr(restored, truth) > svd_psnr(noisy, truth) + 3


def test_zero_strength_is_a_projection(as_cube, noisy):
    result = restore(as_cube(noisy), "lowrank", {"strength": 0.0, "rank": 4, "outliers": "off"})
    again = restore(result.cube, "lowrank", {"strength": 0.0, "rank": 4, "outliers": "off"})
    assert np.abs(again.cube.values - result.cube.values).max() < 1e-4


def test_rank_given_is_the_rank_of_the_result(as_cube, noisy):
    values = restore(as_cube(noisy), "lowrank", {"rank": 2}).cube.values
    flat = values.reshape(len(values), -1).astype(np.float64)
    singular = np.linalg.svd(flat - flat.mean(1, keepdims=True), compute_uv=False)
    assert singular[2] < 1e-4 * singular[0]


def test_impulses_and_unequal_noise_are_split_off(as_cube, truth):
    generator = np.random.default_rng(6)
    std = generator.choice([0.03, 0.1, 0.2], len(truth))[:, None, None]
    observed = truth + std * generator.standard_normal(truth.shape)
    for band in generator.permutation(len(truth))[:13]:
        hit = generator.random(truth.shape[1:]) < 0.5
        observed[band][hit] = generator.random(hit.sum()) < 0.5
    result = restore(as_cube(observed))
    assert psnr(result.cube.values, truth) > psnr(observed, truth) + 12
    assert psnr(result.cube.values, truth) > svd_psnr(observed, truth) + 6


def test_completion_rebuilds_a_mostly_missing_cube(as_cube, noisy, truth):
    seen = np.random.default_rng(7).random(truth.shape) < 0.2
    observed = np.where(seen, noisy, np.nan)
    restored = restore(as_cube(observed), "lowrank", None, Settings(task="inpaint", keep_observed=False)).cube.values
    assert np.isfinite(restored).all()
    assert psnr(restored, truth) > 26


def test_dead_columns_are_filled_from_their_neighbours(as_cube, truth):
    observed = truth.copy()
    observed[:, :, 20:22] = np.nan
    restored = restore(as_cube(observed), "lowrank", None, Settings(task="inpaint")).cube.values
    assert np.abs(restored[:, :, 20:22] - truth[:, :, 20:22]).max() < 0.05
    np.testing.assert_array_equal(restored[:, :, :20], observed[:, :, :20])


def test_destriping_changes_damaged_samples_only(as_cube, truth):
    generator = np.random.default_rng(8)
    observed = (truth + generator.normal(0, 0.01, truth.shape)).astype(np.float32)
    striped = observed.copy()
    striped[10] += generator.normal(0, 0.05, (1, truth.shape[2])).astype(np.float32)
    striped[20, :, 33] = 0.0
    result = restore(as_cube(striped), "lowrank", None, Settings(task="destripe"))
    restored = result.cube.values
    others = np.delete(np.arange(len(truth)), [10, 20])
    # Noise passes 4.5 standard deviations 7 times in a million: next to nothing may change elsewhere.
    assert (restored[others] != striped[others]).mean() < 1e-3
    # Stripes of 0.05 shrink to the noise level; their mean over the band is not theirs to know.
    assert (restored[10] - observed[10]).std() < 0.012
    assert np.abs(restored[20, :, 33] - truth[20, :, 33]).max() < 0.04


@pytest.mark.parametrize("task", ["denoise", "destripe"])
def test_tiles_agree_with_the_whole(as_cube, noisy, task):
    observed = noisy.copy()
    observed[7, :, 11] = 0.0
    whole = restore(as_cube(observed), "lowrank", None, Settings(task=task)).cube.values
    tiled = restore(as_cube(observed), "lowrank", None, Settings(task=task, tile=36)).cube.values
    assert np.abs(tiled - whole).max() < 1e-4 * np.ptp(observed)


def test_a_constant_band_and_a_tiny_cube_are_survived(make_cube):
    cube = make_cube(6, 5, 4, sigma=0.05)
    values = cube.values.copy()
    values[3] = 0.25
    restored = restore(cube.replace(values, "constant band")).cube.values
    assert np.isfinite(restored).all()
    np.testing.assert_allclose(restored[3], 0.25, atol=1e-3)


def test_gaps_are_solved_as_least_squares_would():
    generator = torch.Generator().manual_seed(0)
    basis = torch.linalg.qr(torch.randn(12, 3, generator=generator))[0]
    spectra = torch.randn(12, 9, generator=generator)
    ok = torch.rand(12, 9, generator=generator) > 0.3
    prior = torch.tensor([4.0, 2.0, 1.0])
    found = solve_coefficients(torch.where(ok, spectra, 0.0), ok, basis, prior)
    for pixel in range(9):
        e, y = basis[ok[:, pixel]], spectra[ok[:, pixel], pixel]
        direct = torch.linalg.solve(e.T @ e + torch.diag(1 / prior), e.T @ y)
        if not ok[:, pixel].all():
            torch.testing.assert_close(found[:, pixel], direct, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["collaborative", "dct"])
def test_component_denoisers_halve_the_error_of_a_smooth_image(kind):
    generator = torch.Generator().manual_seed(1)
    row = torch.linspace(0, 6, 64)
    clean = torch.stack([10 * torch.sin(row)[:, None] * torch.cos(row), 5 * torch.cos(row)[:, None].expand(64, 64)])
    noisy = clean + torch.randn(clean.shape, generator=generator)
    error = (denoise_components(noisy, 1.0, kind) - clean).std()
    assert error < 0.5


def test_denoising_scales_with_the_noise_level():
    images = torch.randn(2, 30, 30, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(
        denoise_components(images, 1.0, "collaborative") * 8, denoise_components(images * 8, 8.0, "collaborative")
    )

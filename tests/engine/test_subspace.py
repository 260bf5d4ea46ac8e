"""Subspaces: planted ranks, float64 sums, gaps, strong RRQR bound."""

import numpy as np
import pytest
import torch

from hsi_app.errors import SubspaceError
from hsi_app.noise import noise_from_covariance
from hsi_app.subspace import Moments, coefficient_matrix, fit_subspace, fix_signs, pick_base_bands


def orthonormal(bands, rank, seed):
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((bands, rank)))[0]


def planted(rank=4, bands=40, pixels=6000, noise=0.01, seed=0):
    generator = np.random.default_rng(seed)
    spectra = generator.random((bands, rank)) @ generator.random((rank, pixels))
    std = noise * generator.uniform(0.5, 3, bands)
    return (spectra + std[:, None] * generator.standard_normal(spectra.shape)).astype(np.float32), std


def angle_degrees(a, b):
    """Largest principal angle between the spans of two orthonormal bases."""
    return float(np.degrees(np.arccos(np.clip(np.linalg.svd(a.T @ b, compute_uv=False).min(), -1, 1))))


def test_moments_do_not_depend_on_the_pieces():
    values = torch.from_numpy(planted()[0])
    whole, pieces = Moments(40), Moments(40)
    whole.add(values)
    for part in values.split(777, dim=1):
        pieces.add(part)
    np.testing.assert_allclose(whole.covariance, pieces.covariance, rtol=0, atol=1e-13)
    np.testing.assert_allclose(whole.covariance, np.cov(values.double().numpy(), bias=True), rtol=0, atol=1e-12)


def test_float64_sums_keep_a_direction_a_float32_gram_loses():
    generator = np.random.default_rng(1)
    basis = orthonormal(30, 2, 2)
    strong, weak = generator.standard_normal((2, 20000)) * [[1.0], [3e-5]]
    values = torch.from_numpy((np.outer(basis[:, 0], strong) + np.outer(basis[:, 1], weak)).astype(np.float64))
    moments = Moments(30)
    moments.add(values)
    found = np.linalg.eigh(moments.covariance)[1][:, -2:]
    assert angle_degrees(basis, found) < 0.1


def test_gaps_leave_the_covariance_right():
    values = torch.from_numpy(planted(pixels=40000)[0])
    seen = torch.from_numpy(np.random.default_rng(3).random(values.shape) > 0.5)
    full, gappy = Moments(40), Moments(40)
    full.add(values)
    gappy.add(torch.where(seen, values, 0.0), seen)
    # 10,000 pairs of samples: relative standard error about 1 %.
    assert np.abs(gappy.covariance - full.covariance).max() < 0.05 * full.covariance.max()


def test_noise_of_each_band_is_found():
    # Regression on the others adds rank/bands of their noise: 3 % here.
    values, std = planted(bands=160, noise=0.02)
    moments = Moments(len(values))
    moments.add(torch.from_numpy(values))
    found = noise_from_covariance(moments.covariance, moments.pixels)
    np.testing.assert_allclose(found, std, rtol=0.12)


@pytest.mark.parametrize("rank", [1, 3, 6])
def test_planted_rank_is_found(rank):
    values, std = planted(rank=rank)
    moments = Moments(len(values))
    moments.add(torch.from_numpy(values))
    assert fit_subspace(moments.mean, moments.covariance, std, moments.pixels).rank == rank


def test_too_large_a_rank_is_refused():
    with pytest.raises(SubspaceError, match="rank 9"):
        fit_subspace(np.zeros(5), np.eye(5), np.ones(5), 100, rank=9)


def test_one_spectrum_has_no_covariance():
    moments = Moments(3)
    moments.add(torch.ones(3, 1))
    with pytest.raises(SubspaceError, match="at least two"):
        _ = moments.covariance


def test_signs_do_not_depend_on_the_solver():
    basis = orthonormal(20, 5, 4)
    flipped = basis * np.array([1, -1, -1, 1, -1])
    np.testing.assert_array_equal(fix_signs(basis), fix_signs(flipped))


@pytest.mark.parametrize("bands", [20, 60, 220])
def test_base_bands_bound_the_coefficients(bands):
    for seed in range(30):
        basis = orthonormal(bands, 3, seed)
        chosen = pick_base_bands(basis)
        matrix = coefficient_matrix(basis, chosen)
        assert len(set(chosen.tolist())) == 3
        assert np.abs(matrix).max() <= 1.2 + 1e-9
        np.testing.assert_allclose(matrix[chosen], np.eye(3), atol=1e-12)
        span = np.linalg.qr(matrix)[0]
        assert np.abs(span @ span.T - basis @ basis.T).max() < 1e-8


def test_strong_choice_repairs_what_plain_pivoting_gets_wrong():
    # Kahan's matrix: column pivoting changes nothing, although a swap enlarges the volume greatly.
    size, cosine = 30, 0.4
    sine = np.sqrt(1 - cosine**2)
    kahan = np.diag(sine ** np.arange(size)) @ (np.eye(size) - cosine * np.triu(np.ones((size, size)), 1))
    kahan *= 1 - 1e-9 * np.arange(size)
    basis = kahan.T
    chosen = pick_base_bands(basis, size - 1)
    rest = np.setdiff1d(np.arange(size), chosen)
    _, r = np.linalg.qr(kahan[:, np.r_[chosen, rest]])
    ratio = np.abs(np.linalg.solve(r[:-1, :-1], r[:-1, -1:])).max()
    assert ratio <= 1.2 + 1e-9


def test_base_bands_ignore_rotation_of_the_basis():
    basis = orthonormal(50, 3, 7)
    turned = basis @ orthonormal(3, 3, 8)
    chosen = pick_base_bands(basis)
    np.testing.assert_allclose(coefficient_matrix(basis, chosen), coefficient_matrix(turned, chosen), atol=1e-9)


def test_dependent_rows_are_refused():
    basis = np.zeros((6, 2))
    basis[:, 0] = 1
    with pytest.raises(SubspaceError, match="independent"):
        pick_base_bands(basis, 2)

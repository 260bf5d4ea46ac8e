"""Sparse unmixing with a library, on the benchmark DC1."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import loadmat
from scipy.optimize import nnls

from hsi_app.jobs import Job
from hsi_app.unmixing.sparse import sunsal

DC1 = tuple[np.ndarray, np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def dc1(real_data: Path) -> DC1:
    """Clean spectra (B, N), library (B, 240), abundances (240, N)."""

    def array(file: str) -> np.ndarray:
        return next(v for k, v in loadmat(real_data / "unmix" / "DC1" / f"{file}.mat").items() if k[0] != "_")

    return array("Y_clean").reshape(-1, 224).T, array("EE"), array("XT").reshape(240, -1)


def reconstruction_error_db(dc1: DC1, snr_db: float, sparsity: float, step: int) -> float:
    """Signal over error of the abundances of every ``step``-th pixel, dB."""
    clean, library, shares = (a if a.shape[1] == 240 else a[:, ::step] for a in dc1)
    noise = np.random.default_rng(0).normal(size=clean.shape) * np.sqrt((clean**2).mean() / 10 ** (snr_db / 10))
    found, _ = sunsal(torch.from_numpy(clean + noise), torch.from_numpy(library), Job(), sparsity=sparsity)
    return float(10 * np.log10((shares**2).sum() / ((found.numpy() - shares) ** 2).sum()))


def test_the_benchmark_is_read_in_the_right_order(dc1: DC1) -> None:
    clean, library, shares = dc1
    assert np.linalg.norm(clean - library @ shares) / np.linalg.norm(clean) < 1e-12


@pytest.mark.parametrize(("snr_db", "least"), [(30, 7.0), (40, 12.9)])
def test_few_of_many_spectra_are_found_in_a_part(dc1: DC1, snr_db: float, least: float) -> None:
    assert reconstruction_error_db(dc1, snr_db, 0.01, 5) >= least


@pytest.mark.slow
@pytest.mark.parametrize(("snr_db", "least"), [(30, 7.0), (40, 12.9)])
def test_few_of_many_spectra_are_found(dc1: DC1, snr_db: float, least: float) -> None:
    assert reconstruction_error_db(dc1, snr_db, 0.01, 1) >= least


def small() -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(0)
    library = rng.uniform(0, 1, (30, 8))
    return torch.from_numpy(library @ rng.dirichlet(np.ones(8), 50).T + rng.normal(0, 0.1, (30, 50))), torch.from_numpy(
        library
    )


def test_without_sparsity_it_is_non_negative_least_squares() -> None:
    y, d = small()
    found, _ = sunsal(y, d, Job(), sparsity=0.0, iterations=5000, tolerance=1e-10)
    expected = np.stack([nnls(d.numpy(), column)[0] for column in y.numpy().T], axis=1)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)


def test_the_optimality_conditions_hold() -> None:
    y, d = small()
    found, _ = sunsal(y, d, Job(), sparsity=0.3, iterations=5000, tolerance=1e-10)
    slope = d.T @ (d @ found - y) + 0.3
    assert float(slope[found > 1e-6].abs().max()) < 1e-5
    assert float(slope.min()) > -1e-5
    signed, _ = sunsal(y - 0.7, d, Job(), sparsity=0.3, nonnegative=False, iterations=5000, tolerance=1e-10)
    slope = d.T @ (d @ signed - (y - 0.7))
    inside = signed.abs() > 1e-6
    np.testing.assert_allclose(slope[inside], -0.3 * signed[inside].sign(), atol=1e-5)
    assert float(slope.abs().max()) < 0.3 + 1e-5


def test_on_the_simplex_it_is_fully_constrained_least_squares() -> None:
    from hsi_app.unmixing.abundances import solve_abundances

    y, d = small()
    found, _ = sunsal(y, d, Job(), sum_to_one=True, iterations=5000, tolerance=1e-10)
    torch.testing.assert_close(found, solve_abundances(y, d), atol=1e-5, rtol=0)


def test_the_sum_alone_can_be_held() -> None:
    y, d = small()
    found, _ = sunsal(y, d, Job(), sparsity=0.0, nonnegative=False, sum_to_one=True, iterations=5000, tolerance=1e-10)
    torch.testing.assert_close(found.sum(0), torch.ones(50, dtype=torch.float64), atol=1e-8, rtol=0)


def test_more_sparsity_leaves_fewer_spectra() -> None:
    y, d = small()
    used = [int((sunsal(y, d, Job(), sparsity=s)[0] > 1e-3).sum()) for s in (0.0, 0.3, 2.0)]
    assert used[0] > used[1] > used[2]


def test_pixels_do_not_know_of_each_other() -> None:
    y, d = small()
    whole, _ = sunsal(y, d, Job(), sparsity=0.05)
    part, _ = sunsal(y[:, 10:20], d, Job(), sparsity=0.05)
    torch.testing.assert_close(part, whole[:, 10:20], atol=1e-12, rtol=0)

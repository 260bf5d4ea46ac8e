"""Abundances of known endmembers are exact, whatever the constraints, the gaps and the number of materials."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from materials import KNOWN
from scipy.optimize import nnls

from hsi_app.errors import SubspaceError
from hsi_app.unmixing.abundances import project_to_simplex, solve_abundances

BANDS = 40


def mixture(count: int, pixels: int = 300, noise: float = 0.05, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Spectra (B, N) off the simplex of the endmembers (B, K), so that all supports occur."""
    rng = np.random.default_rng(seed)
    endmembers = rng.uniform(0, 1, (BANDS, count)).cumsum(axis=0) / 20
    shares = rng.dirichlet(np.full(count, 0.4), pixels).T
    return endmembers @ shares + rng.normal(0, noise, (BANDS, pixels)), endmembers


def solved(spectra: np.ndarray, endmembers: np.ndarray, **options: object) -> np.ndarray:
    found = solve_abundances(torch.from_numpy(spectra), torch.from_numpy(endmembers), **options)  # type: ignore[arg-type]
    return found.numpy()


def brute_force(spectra: np.ndarray, endmembers: np.ndarray) -> np.ndarray:
    """Equality-constrained least squares on every support; the best feasible one."""
    count = endmembers.shape[1]
    best, cost = np.zeros((count, spectra.shape[1])), np.full(spectra.shape[1], np.inf)
    for size in range(1, count + 1):
        for support in combinations(range(count), size):
            part = endmembers[:, support]
            system = np.block([[part.T @ part, np.ones((size, 1))], [np.ones((1, size)), np.zeros((1, 1))]])
            right = np.vstack([part.T @ spectra, np.ones((1, spectra.shape[1]))])
            shares = np.linalg.solve(system, right)[:size]
            value = ((spectra - part @ shares) ** 2).sum(axis=0)
            take = (shares >= 0).all(axis=0) & (value < cost)
            cost[take] = value[take]
            best[:, take] = 0
            best[np.ix_(support, take)] = shares[:, take]
    return best


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6, 8])
def test_fully_constrained_equals_brute_force_over_supports(count: int) -> None:
    spectra, endmembers = mixture(count)
    found = solved(spectra, endmembers)
    np.testing.assert_allclose(found, brute_force(spectra, endmembers), atol=1e-6)
    assert found.min() >= 0
    np.testing.assert_allclose(found.sum(axis=0), 1, atol=1e-9)


@pytest.mark.parametrize("count", [3, 6, 9, 25])
def test_non_negative_equals_lawson_and_hanson(count: int) -> None:
    spectra, endmembers = mixture(count, 80)
    expected = np.stack([nnls(endmembers, y)[0] for y in spectra.T], axis=1)
    np.testing.assert_allclose(solved(spectra, endmembers, sum_to_one=False), expected, atol=1e-7)


@pytest.mark.parametrize("count", [4, 12])
def test_unconstrained_equals_least_squares(count: int) -> None:
    spectra, endmembers = mixture(count)
    expected = np.linalg.lstsq(endmembers, spectra, rcond=None)[0]
    found = solved(spectra, endmembers, nonnegative=False, sum_to_one=False)
    np.testing.assert_allclose(found, expected, atol=1e-8)


@pytest.mark.parametrize("count", [4, 12])
def test_the_sum_alone_lies_between(count: int) -> None:
    spectra, endmembers = mixture(count)
    found = solved(spectra, endmembers, nonnegative=False)
    np.testing.assert_allclose(found.sum(axis=0), 1, atol=1e-9)
    # Optimal on the plane: the slope is the same in all directions.
    slope = endmembers.T @ (endmembers @ found - spectra)
    np.testing.assert_allclose(slope - slope.mean(axis=0), 0, atol=1e-8)


def test_many_materials_that_look_alike(real_data: Path) -> None:
    with np.load(real_data / "speclib" / "usgs_1995_aviris224.npz") as file:
        library = file["spectra"].T.astype(float)
    rng = np.random.default_rng(1)
    endmembers = library[:, rng.choice(library.shape[1], 24, replace=False)]
    shares = rng.dirichlet(np.full(24, 0.2), 60).T
    spectra = endmembers @ shares + rng.normal(0, 0.005, (len(library), 60))
    found = solved(spectra, endmembers)
    # A row of weight 1e5 holds the sum of a non-negative solution at one.
    heavy = np.vstack([endmembers, np.full((1, 24), 1e5)])
    expected = np.stack([nnls(heavy, np.r_[y, 1e5])[0] for y in spectra.T], axis=1)
    costs = [((spectra - endmembers @ a) ** 2).sum(axis=0) for a in (found, expected)]
    np.testing.assert_allclose(costs[0], costs[1], rtol=1e-6)
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize(("count", "apart"), [(4, 1e-3), (4, 1e-7), (6, 1e-7), (9, 1e-3), (9, 1e-4)])
def test_an_endmember_that_is_nearly_a_mixture_of_others(count: int, apart: float) -> None:
    # Above six materials the normal equations square the condition, which is 3e4 at a distance of 1e-4.
    spectra, endmembers = mixture(count, 100)
    endmembers[:, 1] = 0.7 * endmembers[:, 0] + 0.3 * endmembers[:, 2]
    endmembers[:, 1] += apart * np.random.default_rng(4).normal(size=BANDS)
    found = solved(spectra, endmembers)
    np.testing.assert_allclose(found, brute_force(spectra, endmembers), atol=1e-6)
    assert found.min() >= 0
    np.testing.assert_allclose(found.sum(axis=0), 1, atol=1e-9)


@pytest.mark.parametrize("count", [3, 9])
def test_endmembers_given_twice_share_their_abundance(count: int) -> None:
    spectra, endmembers = mixture(count)
    twice = np.concatenate([endmembers, endmembers[:, :1]], axis=1)
    found = solved(spectra, twice)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found.sum(axis=0), 1, atol=1e-9)
    once = solved(spectra, endmembers)
    np.testing.assert_allclose(endmembers @ once, twice @ found, atol=1e-5)


@pytest.mark.parametrize("count", [3, 9])
def test_gaps_are_bands_left_out(count: int) -> None:
    spectra, endmembers = mixture(count, 40)
    valid = np.random.default_rng(2).random(spectra.shape) > 0.3
    valid[:, 0] = True
    valid[: BANDS - count + 1, 1] = False
    found = solved(np.where(valid, spectra, 99.0), endmembers, valid=torch.from_numpy(valid))
    for n in (0, *range(2, 40)):
        rows = valid[:, n]
        np.testing.assert_allclose(found[:, n], solved(spectra[rows, n : n + 1], endmembers[rows])[:, 0], atol=1e-6)
    assert np.isnan(found[:, 1]).all()


def test_weights_scale_the_channels() -> None:
    spectra, endmembers = mixture(4)
    weights = np.random.default_rng(3).uniform(0, 2, BANDS)
    weights[5] = 0
    root = np.sqrt(weights)[:, None]
    found = solved(spectra, endmembers, weights=torch.from_numpy(weights))
    np.testing.assert_allclose(found, solved(spectra * root, endmembers * root), atol=1e-9)
    spectra[5] = 1e6
    np.testing.assert_allclose(found, solved(spectra, endmembers, weights=torch.from_numpy(weights)), atol=1e-9)


def test_pixels_do_not_know_of_each_other() -> None:
    spectra, endmembers = mixture(9)
    whole = solved(spectra, endmembers)
    np.testing.assert_allclose(solved(spectra[:, 100:117], endmembers), whole[:, 100:117], atol=1e-12)


def test_more_endmembers_than_bands_need_a_constraint() -> None:
    spectra, endmembers = mixture(6)
    with pytest.raises(SubspaceError, match="6 endmembers in 4 bands"):
        solved(spectra[:4], endmembers[:4], nonnegative=False, sum_to_one=False)
    found = solved(spectra[:4], endmembers[:4])
    np.testing.assert_allclose(found.sum(axis=0), 1, atol=1e-9)


def test_projection_onto_the_simplex_is_the_nearest_point() -> None:
    columns = torch.randn((5, 200), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = project_to_simplex(columns).numpy()
    np.testing.assert_allclose(found, brute_force(columns.numpy(), np.eye(5)), atol=1e-12)


@pytest.mark.parametrize(
    ("name", "scale", "normalise", "expected"),
    [
        ("Samson", 1.0, "l2", 0.0406), ("Jasper198", 1.0, "l2", 0.0412),
        ("Samson", 1.0, "none", 0.417), ("Jasper198", 5437 / 5000, "none", 0.085), ("Sim1", 1.0, "none", 0.0),
    ],
)  # fmt: skip
def test_with_the_true_endmembers_the_truth_leaves_its_own_error(
    real_data: Path, name: str, scale: float, normalise: str, expected: float
) -> None:
    # Order of the axes, scale and normalisation in one figure: the truths hold for spectra divided by their norm, and
    # leave ten times the error without.
    scene = KNOWN[name]()
    spectra = scene.cube.read().reshape(scene.cube.shape[0], -1).astype(float) * scale
    endmembers = scene.endmembers
    if normalise == "l2":
        spectra, endmembers = (s / np.linalg.norm(s, axis=0) for s in (spectra, endmembers))
    found = solved(spectra, endmembers).reshape(scene.abundances.shape)
    assert np.sqrt(((found - scene.abundances) ** 2).mean()) == pytest.approx(expected, abs=0.002)

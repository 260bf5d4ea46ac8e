"""Subspaces of spectra that are mostly missing, and pixels filled from their four sides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from hsi_app.factor_analysis import fit_factors
from hsi_app.methods.lowrank.complete import FILL_REACH_PX, fill_from_sides
from hsi_app.methods.lowrank.outliers import robust_fit
from hsi_app.subspace import Subspace, fit_subspace

# Eight of 80 samples of each spectrum remain, twice as many as there are factors.
BANDS, PIXELS, RANK, KEPT = 80, 4000, 4, 0.1


@dataclass(frozen=True, eq=False)
class Planted:
    """Spectra of known factors and noise; ``values`` are 0 where missing."""

    values: torch.Tensor
    seen: torch.Tensor
    loadings: np.ndarray
    noise_std: np.ndarray

    @property
    def start(self) -> Subspace:
        """The first guess, as the survey of a scene makes it."""
        return robust_fit(self.values, self.seen, None, reject=False, on_step=lambda fraction: None).subspace


def planted(seed: int = 0, lost: tuple[int, ...] = ()) -> Planted:
    rng = np.random.default_rng(seed)
    strength = np.sqrt(BANDS) * np.array([0.3, 0.2, 0.15, 0.1])  # root mean squares of each band's signal
    loadings = np.linalg.qr(rng.normal(size=(BANDS, RANK)))[0] * strength
    noise_std = rng.uniform(0.05, 0.1, BANDS)
    clean = rng.uniform(0.3, 0.7, (BANDS, 1)) + loadings @ rng.normal(size=(RANK, PIXELS))
    seen = rng.random(clean.shape) < KEPT
    seen[list(lost)] = False
    some = seen.any(0)
    values = np.where(seen, clean + noise_std[:, None] * rng.normal(size=clean.shape), 0.0)[:, some]
    return Planted(torch.from_numpy(values.astype(np.float32)), torch.from_numpy(seen[:, some]), loadings, noise_std)


@pytest.fixture(scope="module")
def scene() -> Planted:
    return planted()


@pytest.fixture(scope="module")
def found(scene: Planted) -> Subspace:
    return fit_factors(scene.values, scene.seen, scene.start, None)


def angle(loadings: np.ndarray, others: np.ndarray) -> float:
    """Largest angle between two subspaces, degrees."""
    inside = np.linalg.svd(np.linalg.qr(loadings)[0].T @ np.linalg.qr(others)[0], compute_uv=False)
    return float(np.degrees(np.arccos(np.clip(inside.min(), -1, 1))))


def loadings_of(subspace: Subspace) -> np.ndarray:
    """The strongest factors, in the units of the data."""
    return subspace.noise_std[:, None] * subspace.basis[:, :RANK]


def test_planted_factors_are_found_in_a_tenth_of_the_samples(scene: Planted, found: Subspace) -> None:
    # 400 samples of each band, with noise of 0.075 in factors of 0.1 to 0.3: 0.75 / 20 rad is 2 degrees
    assert angle(scene.loadings, loadings_of(found)) < 5


def test_zeros_in_place_of_gaps_hide_the_factors(scene: Planted) -> None:
    zeros = scene.values - scene.values.mean(1, keepdim=True)
    left = torch.linalg.svd(zeros, full_matrices=False).U[:, :RANK].numpy()
    assert angle(scene.loadings, left) > 45


def test_factors_are_added_while_they_predict_and_no_longer(found: Subspace) -> None:
    # They are added in pairs, from one on: four lies between.
    assert abs(found.rank - RANK) <= 1
    assert found.basis.shape == (BANDS, found.rank)


def test_the_noise_of_each_band_is_found(scene: Planted, found: Subspace) -> None:
    share = found.noise_std / scene.noise_std
    # 400 samples fix a standard deviation to 4 %; factors eat some of it.
    assert np.sqrt(np.square(share - 1).mean()) < 0.15
    assert np.median(share) == pytest.approx(1, abs=0.05)


def test_a_rank_that_is_given_is_kept(scene: Planted) -> None:
    given = fit_factors(scene.values, scene.seen, scene.start, RANK)
    assert given.rank == RANK
    assert angle(scene.loadings, loadings_of(given)) < 5


def test_what_is_made_of_the_number_found_is_kept(scene: Planted, found: Subspace) -> None:
    assert fit_factors(scene.values, scene.seen, scene.start, lambda rank: rank + 2).rank == found.rank + 2


def test_a_basis_is_orthonormal_and_eigenvalues_are_those_of_the_model(found: Subspace) -> None:
    np.testing.assert_allclose(found.basis.T @ found.basis, np.eye(found.rank), atol=1e-9)
    assert (np.diff(found.eigenvalues) <= 0).all()
    assert (found.eigenvalues[: found.rank] > 1).all()
    np.testing.assert_array_equal(found.eigenvalues[found.rank :], 1)


def test_a_band_without_samples_has_no_part_in_any_factor() -> None:
    lost = (7, 31)
    part = planted(lost=lost)
    subspace = fit_factors(part.values, part.seen, part.start, None)
    np.testing.assert_array_equal(subspace.basis[list(lost)], 0)
    others = np.delete(np.arange(BANDS), lost)
    assert angle(part.loadings[others], loadings_of(subspace)[others]) < 5
    np.testing.assert_allclose(subspace.noise_std[list(lost)], np.median(subspace.noise_std[others]), rtol=0.05)


def test_noise_that_is_known_is_kept(scene: Planted) -> None:
    start = scene.start
    known = Subspace(start.mean, scene.noise_std, start.basis, start.eigenvalues)
    subspace = fit_factors(scene.values, scene.seen, known, None, fit_noise=False)
    np.testing.assert_allclose(subspace.noise_std, scene.noise_std, rtol=1e-12)
    assert angle(scene.loadings, loadings_of(subspace)) < 5


def test_the_same_spectra_give_the_same_factors(scene: Planted, found: Subspace) -> None:
    again = fit_factors(scene.values, scene.seen, scene.start, None)
    np.testing.assert_array_equal(again.basis, found.basis)
    np.testing.assert_array_equal(again.noise_std, found.noise_std)


def test_spectra_without_gaps_give_the_factors_of_principal_components() -> None:
    rng = np.random.default_rng(1)
    loadings = np.linalg.qr(rng.normal(size=(20, 3)))[0] * np.sqrt(20) * np.array([0.3, 0.2, 0.1])
    values = 0.5 + loadings @ rng.normal(size=(3, 2000)) + 0.05 * rng.normal(size=(20, 2000))
    covariance, mean = np.cov(values), values.mean(1)
    plain = fit_subspace(mean, covariance, np.full(20, 0.05), 2000, 3)
    tensor = torch.from_numpy(values)
    fitted = fit_factors(tensor, torch.ones_like(tensor, dtype=torch.bool), plain, 3)
    assert angle(plain.basis, loadings_of(fitted)[:, :3]) < 0.5


def test_progress_is_told_and_may_stop_the_fit(scene: Planted) -> None:
    told: list[float] = []
    fit_factors(scene.values[:, :500], scene.seen[:, :500], scene.start, 2, told.append)
    assert told == sorted(told)
    assert 0 <= told[0] < told[-1] <= 1

    class Enough(Exception):
        pass

    def stop(fraction: float) -> None:
        raise Enough

    with pytest.raises(Enough):
        fit_factors(scene.values, scene.seen, scene.start, None, stop)


# Pixels filled from their sides


def plane(height: int = 20, width: int = 24) -> torch.Tensor:
    rows, cols = np.mgrid[:height, :width]
    return torch.from_numpy(np.stack([1 + 2.0 * rows - 0.5 * cols, 3.0 * cols - rows]).astype(np.float32))


def missing(where: Callable[[torch.Tensor], None], height: int = 20, width: int = 24) -> torch.Tensor:
    known = torch.ones(height, width, dtype=torch.bool)
    where(known)
    return known


def column(known: torch.Tensor) -> None:
    known[:, 7:11] = False


def row(known: torch.Tensor) -> None:
    known[5:8] = False


def hole(known: torch.Tensor) -> None:
    known[4:13, 6:15] = False


def both_lines(known: torch.Tensor) -> None:
    column(known)
    row(known)


@pytest.mark.parametrize("gap", [column, row, hole])
def test_filling_from_the_sides_is_exact_for_planes(gap: Callable[[torch.Tensor], None]) -> None:
    known = missing(gap)
    filled = fill_from_sides(torch.where(known, plane(), 1e3), known)
    torch.testing.assert_close(filled, plane(), atol=1e-4, rtol=0)


def test_across_a_missing_column_pixels_are_interpolated_linearly() -> None:
    image = torch.randn(3, 20, 24, generator=torch.Generator().manual_seed(0))
    filled = fill_from_sides(image, missing(column))
    for step, place in enumerate(range(7, 11), start=1):
        between = image[:, :, 6] + (image[:, :, 11] - image[:, :, 6]) * step / 5
        torch.testing.assert_close(filled[:, :, place], between)


def test_what_is_known_stays() -> None:
    image, known = torch.randn(2, 20, 24, generator=torch.Generator().manual_seed(0)), missing(both_lines)
    assert torch.equal(fill_from_sides(image, known)[:, known], image[:, known])


def test_what_a_gap_held_has_no_say() -> None:
    image, known = torch.randn(2, 20, 24, generator=torch.Generator().manual_seed(0)), missing(hole)
    torch.testing.assert_close(fill_from_sides(torch.where(known, image, -9.0), known), fill_from_sides(image, known))


def test_nothing_is_filled_from_beyond_reach() -> None:
    width = 2 * FILL_REACH_PX + 20
    known = torch.zeros(3, width, dtype=torch.bool)
    known[:, 0] = True
    filled = fill_from_sides(torch.full((1, 3, width), 5.0), known)
    assert (filled[:, :, : FILL_REACH_PX + 1] == 5).all()
    assert (filled[:, :, FILL_REACH_PX + 1 :] == 0).all()


def test_an_image_of_which_nothing_is_known_is_filled_with_zeros() -> None:
    filled = fill_from_sides(torch.full((2, 5, 6), 7.0), torch.zeros(5, 6, dtype=torch.bool))
    assert (filled == 0).all()

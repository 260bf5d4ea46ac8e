"""Endmembers found in a scene, channels screened out of it, materials counted in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from materials import KNOWN, spoilt

from hsi_app.bands import BandAxis
from hsi_app.cube import Cube
from hsi_app.errors import Cancelled
from hsi_app.jobs import Job
from hsi_app.runner import Settings
from hsi_app.unmixing.abundances import solve_abundances
from hsi_app.unmixing.archetypes import archetypes
from hsi_app.unmixing.count import count_materials
from hsi_app.unmixing.matching import match
from hsi_app.unmixing.runner import unmix
from hsi_app.unmixing.screening import screen_channels
from hsi_app.unmixing.vertices import nfindr, vca


def unlike(library: np.ndarray, count: int) -> np.ndarray:
    """(B, K) bright spectra of a library (B, M), each the one farthest in angle from those before."""
    bright = library[:, library.mean(axis=0) > 0.3]
    unit = bright / np.linalg.norm(bright, axis=0)
    chosen = [0]
    while len(chosen) < count:
        chosen.append(int((unit[:, chosen].T @ unit).max(axis=0).argmin()))
    return bright[:, chosen]


def pure_pixel_scene(
    real_data: Path, count: int, snr_db: float | None, *, spread: float = 0.5
) -> tuple[np.ndarray, ...]:
    """Spectra (B, N), endmembers (B, K), abundances (K, N) with a pure pixel of each material."""
    with np.load(real_data / "speclib" / "usgs_1995_aviris224.npz") as file:
        endmembers = unlike(file["spectra"].T.astype(float), count)
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(np.full(count, spread), 3000).T
    shares[:, :count] = np.eye(count)
    spectra = endmembers @ shares
    if snr_db is not None:
        spectra = spectra + rng.normal(0, np.sqrt((spectra**2).mean() / 10 ** (snr_db / 10)), spectra.shape)
    return spectra, endmembers, shares


def scores(spectra: np.ndarray, found: torch.Tensor, endmembers: np.ndarray, shares: np.ndarray) -> tuple[float, float]:
    """Spectral angle and abundance error of found endmembers (B, K)."""
    abundances = solve_abundances(torch.from_numpy(spectra), found).numpy()
    result = match(found.numpy(), endmembers, abundances, shares)
    return float(result.angles.mean()), result.rmse


@pytest.mark.parametrize("count", [4, 6])
def test_pure_pixels_are_found_without_noise(real_data: Path, count: int) -> None:
    spectra, endmembers, shares = pure_pixel_scene(real_data, count, None)
    y = torch.from_numpy(spectra)
    _, found = vca(y, count, torch.Generator().manual_seed(0))
    assert max(scores(spectra, found, endmembers, shares)) < 5e-4
    # From any start.
    pure = nfindr(y, count, torch.arange(50, 50 + count))
    assert max(scores(spectra, y[:, pure], endmembers, shares)) < 5e-4


def test_pure_pixels_are_found_at_30_db(real_data: Path) -> None:
    spectra, endmembers, shares = pure_pixel_scene(real_data, 4, 30)
    angle, rmse = np.mean(
        [
            scores(spectra, vca(torch.from_numpy(spectra), 4, torch.Generator().manual_seed(s))[1], endmembers, shares)
            for s in range(5)
        ],
        axis=0,
    )  # fmt: skip
    assert angle <= 0.012
    assert rmse <= 0.012


def test_nfindr_only_ever_enlarges_the_simplex(real_data: Path) -> None:
    spectra, _, _ = pure_pixel_scene(real_data, 4, 20)
    y = torch.from_numpy(spectra)

    def volume(found: torch.Tensor) -> float:
        centred = y - y.mean(1, keepdim=True)
        basis = torch.linalg.eigh(centred @ centred.T).eigenvectors[:, -3:]
        corners = basis.T @ centred[:, found]
        return float(torch.linalg.det(corners[:, 1:] - corners[:, :1]).abs())

    start = torch.tensor([7, 8, 9, 10])
    found = nfindr(y, 4, start)
    assert volume(found) > volume(start)
    assert torch.equal(nfindr(y, 4, found), found)


def test_archetypes_are_mixtures_of_pixels_that_explain_them(real_data: Path) -> None:
    spectra, endmembers, _ = pure_pixel_scene(real_data, 3, 40, spread=0.2)
    y = torch.from_numpy(spectra / np.linalg.norm(spectra, axis=0))
    found = archetypes(y, 3, Job(seed=1), starts=10)
    mixing = found.mixing.double()
    assert float(mixing.min()) >= 0
    torch.testing.assert_close(mixing.sum(0), torch.ones(3, dtype=torch.float64), atol=1e-5, rtol=0)
    assert len(found.residuals) == 10
    assert found.residuals[found.chosen] <= 1.05 * min(found.residuals)
    assert match((y @ mixing).numpy(), endmembers).angles.mean() < 0.05


def test_the_same_seed_gives_the_same_archetypes_and_another_other_ones(real_data: Path) -> None:
    y = torch.from_numpy(pure_pixel_scene(real_data, 3, 30)[0][:, :400])
    first, again, other = (archetypes(y, 3, Job(seed=s), starts=3, rounds=20).mixing for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_archetypes_stop_when_asked(real_data: Path) -> None:
    y = torch.from_numpy(pure_pixel_scene(real_data, 3, 30)[0][:, :400])
    job = Job()
    job.cancel()
    with pytest.raises(Cancelled):
        archetypes(y, 3, job)


@pytest.mark.parametrize("channels", [5, 20, 40])
@pytest.mark.parametrize("name", ["Samson", "Jasper198"])
def test_screening_finds_every_spoilt_channel(real_data: Path, name: str, channels: int) -> None:
    scene = KNOWN[name]()
    for seed in range(3):
        cube, bad = spoilt(scene.cube, channels, seed)
        kept, note = screen_channels(np.cov(cube.read().reshape(cube.shape[0], -1)))
        assert not kept[bad].any()
        assert (~kept).sum() - channels <= 2
        assert note is not None
        assert "screened out" in note


def test_screening_finds_the_water_bands(real_data: Path) -> None:
    with np.load(real_data / "hsi" / "jasper_ridge_raw224.npz") as file:
        values, usual = file["cube"].transpose(2, 0, 1), file["selected_bands"].ravel()
    kept, _ = screen_channels(np.cov(values.reshape(224, -1)))
    unusual = np.setdiff1d(np.arange(224), usual)
    inner = unusual[(unusual > 5) & (unusual < 215)]
    assert not kept[inner].any()
    assert (~kept[usual]).sum() <= 2


def test_a_sensor_of_few_or_unlike_bands_keeps_all_of_them() -> None:
    independent = np.random.default_rng(0).normal(size=(40, 500))
    kept, note = screen_channels(np.cov(independent))
    assert kept.all()
    assert "all were kept" in str(note)
    assert screen_channels(np.cov(independent[:5]))[0].all()
    assert screen_channels(np.eye(1))[0].all()


@pytest.mark.parametrize("name", ["Samson", "Jasper198", "Sim1"])
def test_materials_of_the_known_scenes_are_counted(real_data: Path, name: str) -> None:
    scene = KNOWN[name]()
    spectra = scene.cube.read().reshape(scene.cube.shape[0], -1).astype(float)
    found = count_materials(spectra / np.linalg.norm(spectra, axis=0))
    assert found.count == found.gap == scene.count
    assert found.hysime >= scene.count
    assert (np.diff(found.power) <= 0).all()


@pytest.mark.parametrize("count", [3, 5])
def test_hysime_counts_the_dimensions_above_white_noise(real_data: Path, count: int) -> None:
    spectra, _, _ = pure_pixel_scene(real_data, count, 45)
    assert count_materials(spectra).hysime == count


def test_a_rare_pure_pixel_of_a_large_scene_is_not_missed() -> None:
    # 40 000 px: only every third is looked at, and this one is not among them.
    rng = np.random.default_rng(0)
    x = np.linspace(0, 1, 20)
    endmembers = np.stack([0.2 + 0.6 * x, 0.7 - 0.5 * x, 0.4 + 0.3 * np.cos(6 * x)], axis=1)
    shares = rng.dirichlet(np.ones(3), (200, 200)).transpose(2, 0, 1)
    shares[2] *= 0.2
    shares /= shares.sum(axis=0)
    shares[:, 133, 71] = (0, 0, 1)
    values = np.tensordot(endmembers, shares, axes=1).astype(np.float32)
    cube = Cube(values, BandAxis(20))
    result = unmix(cube, "fcls", {"endmembers": 3, "endmembers_from": "nfindr", "normalise": "none"}, Settings())
    assert match(result.endmembers.spectra, endmembers).angles[2] < 1e-3
    assert any("sought among" in note for note in result.record["notes"])

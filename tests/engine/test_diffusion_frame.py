"""Frames between spectra and the prior's images, and noise that tiles agree on."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hsi_app.diffusion.frame import Frame, anchored_noise, band_frame, component_frame, from_triples, to_triples
from hsi_app.subspace import pick_base_bands
from hsi_app.tiling import Window

MAKERS = {"bands": band_frame, "components": component_frame}


def subspace(bands: int = 40, rank: int = 6, seed: int = 0, strength: float = 60.0) -> tuple[np.ndarray, np.ndarray]:
    """An orthonormal basis, and variances of its components with unit noise."""
    basis = np.linalg.qr(np.random.default_rng(seed).normal(size=(bands, rank)))[0]
    return basis, 1 + (strength * 0.5 ** np.arange(rank)) ** 2


def spectra_of(basis: np.ndarray, eigenvalues: np.ndarray, pixels: int = 2000) -> np.ndarray:
    signal = np.random.default_rng(1).normal(size=(len(eigenvalues), pixels))
    return basis @ (np.sqrt(eigenvalues - 1)[:, None] * signal)


def images_of(frame: Frame, spectra: np.ndarray) -> np.ndarray:
    return np.linalg.lstsq(frame.lift, spectra, rcond=None)[0]


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("rank", [1, 2, 3, 5, 6])
def test_a_frame_loses_nothing_of_the_subspace(kind: str, rank: int) -> None:
    given = subspace(rank=rank)
    frame, spectra = MAKERS[kind](*given), spectra_of(*given)
    np.testing.assert_allclose(frame.lift @ images_of(frame, spectra), spectra, atol=1e-8)
    assert frame.rank == (rank if kind == "bands" else 3 * -(-rank // 3))


@pytest.mark.parametrize("kind", MAKERS)
def test_images_fill_the_range_of_the_prior(kind: str) -> None:
    given = subspace()
    largest = np.quantile(np.abs(images_of(MAKERS[kind](*given), spectra_of(*given))), 0.999, axis=1)
    assert largest.max() < 1.3
    assert largest.max() > 0.7


def test_images_of_the_band_frame_are_bands() -> None:
    basis, eigenvalues = subspace()
    frame, picked = band_frame(basis, eigenvalues), pick_base_bands(basis)
    assert (np.diff(picked) > 0).all()
    np.testing.assert_allclose(frame.lift[picked], np.diag(frame.reach), atol=1e-9)
    # Strong RRQR: no coefficient beyond 1.2.
    assert np.abs(frame.lift / frame.reach).max() <= 1.2 + 1e-9


def test_components_keep_white_noise_white_and_level_within_a_triple() -> None:
    frame = component_frame(*subspace())
    np.testing.assert_allclose(frame.lift.T @ frame.lift, np.diag(frame.reach**2), atol=1e-8)
    np.testing.assert_allclose(frame.reach[:3], frame.reach[0])
    np.testing.assert_allclose(frame.reach[3:], frame.reach[3])


def test_the_strongest_component_is_the_brightness_of_its_triple() -> None:
    basis, eigenvalues = subspace()
    frame = component_frame(basis, eigenvalues)
    spectra = spectra_of(basis[:, :1], eigenvalues[:1])
    np.testing.assert_allclose(np.corrcoef(images_of(frame, spectra)[:3]), 1, atol=1e-6)


def test_an_image_of_mere_noise_is_not_blown_up() -> None:
    basis, _ = subspace()
    assert (band_frame(basis, np.full(6, 1 + 1e-6)).reach >= 0.5).all()


@pytest.mark.parametrize("rank", [1, 2, 3, 4, 6])
def test_triples_hold_every_image_once(rank: int) -> None:
    images = torch.arange(rank * 6.0).reshape(rank, 2, 3)
    triples = to_triples(images)
    assert triples.shape == (-(-rank // 3), 3, 2, 3)
    assert torch.equal(from_triples(triples, rank), images)


def test_noise_belongs_to_places_of_the_scene() -> None:
    whole = anchored_noise(2, Window(0, 0, 150, 200), 3)
    part = anchored_noise(2, Window(50, 60, 80, 100), 3)
    assert torch.equal(part, whole[:, 50:130, 60:160])
    assert not torch.equal(whole, anchored_noise(2, Window(0, 0, 150, 200), 4))
    assert float(whole.std()) == pytest.approx(1, abs=0.02)
    assert abs(float(whole.mean())) < 0.02

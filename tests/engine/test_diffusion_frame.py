"""Frames between spectra and the prior's images, and noise that tiles agree on."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hsi_app.diffusion.frame import Frame, anchored_noise, band_frame, component_frame, from_triples, to_triples
from hsi_app.subspace import pick_base_bands
from hsi_app.tiling import Window

MAKERS = {"bands": band_frame, "components": component_frame}


def subspace(bands: int = 40, rank: int = 6, pixels: int = 500, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.normal(size=(bands, rank)))[0]
    strength = 60.0 * 0.5 ** np.arange(rank)
    return basis, basis @ (strength[:, None] * rng.normal(size=(rank, pixels)))


def images_of(frame: Frame, spectra: np.ndarray) -> np.ndarray:
    return np.linalg.lstsq(frame.lift, spectra - frame.centre[:, None], rcond=None)[0]


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("rank", [1, 2, 3, 5, 6])
def test_a_frame_loses_nothing_of_the_subspace(kind: str, rank: int) -> None:
    basis, spectra = subspace(rank=rank)
    frame = MAKERS[kind](basis, spectra)
    again = frame.lift @ images_of(frame, spectra) + frame.centre[:, None]
    np.testing.assert_allclose(again, spectra, atol=1e-8)
    assert frame.rank == rank


@pytest.mark.parametrize("kind", MAKERS)
def test_images_fill_the_range_of_the_prior(kind: str) -> None:
    images = images_of(MAKERS[kind](*(given := subspace())), given[1])
    inside = np.quantile(np.abs(images), 0.99)
    assert 0.6 < inside < 1.1


def test_images_of_the_band_frame_are_bands() -> None:
    basis, spectra = subspace()
    frame, picked = band_frame(basis, spectra), pick_base_bands(basis)
    assert (np.diff(picked) > 0).all()
    np.testing.assert_allclose(frame.lift[picked], np.diag(frame.reach), atol=1e-9)
    # Strong RRQR: no coefficient beyond 1.2.
    assert np.abs(frame.lift / frame.reach).max() <= 1.2 + 1e-9


def test_components_keep_white_noise_white_and_level_within_a_triple() -> None:
    frame = component_frame(*subspace())
    normal = frame.lift.T @ frame.lift
    np.testing.assert_allclose(normal, np.diag(frame.reach**2), atol=1e-8)
    np.testing.assert_allclose(frame.reach[:3], frame.reach[0])
    np.testing.assert_allclose(frame.reach[3:], frame.reach[3])


def test_the_strongest_component_is_the_brightness_of_its_triple() -> None:
    basis, _ = subspace()
    rng = np.random.default_rng(1)
    spectra = basis[:, :1] @ (60 * rng.normal(size=(1, 500)))
    images = images_of(component_frame(basis, spectra), spectra)[:3]
    np.testing.assert_allclose(np.corrcoef(images), 1, atol=1e-6)


def test_an_image_of_mere_noise_is_not_blown_up() -> None:
    basis, spectra = subspace()
    assert (band_frame(basis, 1e-3 * spectra).reach >= 0.5).all()


@pytest.mark.parametrize("rank", [1, 2, 3, 4, 6])
def test_triples_hold_every_image_once(rank: int) -> None:
    images = torch.arange(rank * 6.0).reshape(rank, 2, 3)
    triples = to_triples(images)
    assert triples.shape == (-(-rank // 3), 3, 2, 3)
    assert torch.equal(from_triples(triples, rank), images)


def test_noise_belongs_to_places_of_the_scene() -> None:
    whole = anchored_noise(2, Window(0, 0, 150, 200), seed=3)
    part = anchored_noise(2, Window(50, 60, 80, 100), seed=3)
    assert torch.equal(part, whole[:, 50:130, 60:160])
    assert not torch.equal(whole, anchored_noise(2, Window(0, 0, 150, 200), seed=4))
    assert float(whole.std()) == pytest.approx(1, abs=0.02)
    assert abs(float(whole.mean())) < 0.02

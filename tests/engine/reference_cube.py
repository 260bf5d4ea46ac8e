"""A cube of known truth with the texture of photographs, for checks of diffusion methods."""

from __future__ import annotations

from functools import cache

import numpy as np
from skimage import color, data, transform

PHOTOS = ("astronaut", "coffee", "chelsea", "rocket", "stereo_motorcycle", "camera")


@cache
def photo_cube(height: int = 128, width: int = 128, bands: int = 60, seed: int = 0) -> np.ndarray:
    """(B, H, W) float32 in [0, 1]: six spectra mixed by six photographs, shaded, with one bilinear term."""
    rng = np.random.default_rng(seed)
    place = np.linspace(0, 1, bands)
    spectra = []
    for _ in range(6):
        spectrum = np.full(bands, rng.uniform(0.03, 0.18))
        for _ in range(3):
            spectrum += rng.uniform(0, 0.6) * np.exp(-0.5 * ((place - rng.uniform()) / rng.uniform(0.08, 0.25)) ** 2)
        spectra.append(spectrum)
    maps = np.stack([_grey(name, height, width, turns=k + seed) for k, name in enumerate(PHOTOS)])
    share = np.exp(7 * maps) / np.exp(7 * maps).sum(0)
    rows, cols = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    shading = 0.675 + 0.325 * np.sin(3 * rows + 2 * cols)
    cube = np.tensordot(np.transpose(spectra), share, 1) * shading
    cube += 0.15 * (spectra[0] * spectra[1])[:, None, None] * (share[0] * share[1])
    return np.clip(cube / np.quantile(cube, 0.9995), 0, 1).astype(np.float32)


def _grey(name: str, height: int, width: int, turns: int) -> np.ndarray:
    photo = getattr(data, name)()
    photo = photo[0] if isinstance(photo, tuple) else photo
    grey = photo / 255.0 if photo.ndim == 2 else color.rgb2gray(photo[..., :3])
    side = min(grey.shape)
    top, left = (grey.shape[0] - side) // 2, (grey.shape[1] - side) // 2
    square = np.rot90(grey[top : top + side, left : left + side], turns)
    small: np.ndarray = transform.resize(square, (height, width), anti_aliasing=True)
    return (small - small.min()) / np.ptp(small)


def psnr(values: np.ndarray, truth: np.ndarray) -> float:
    return float(np.mean(-10 * np.log10(np.square(np.clip(values, 0, 1) - truth).mean((1, 2)))))


def svd(values: np.ndarray, rank: int) -> np.ndarray:
    left, scale, right = np.linalg.svd(values.reshape(len(values), -1), full_matrices=False)
    return ((left[:, :rank] * scale[:rank]) @ right[:rank]).reshape(values.shape)


def filled(values: np.ndarray, rank: int = 3, rounds: int = 40) -> np.ndarray:
    """Iterated low-rank fill, the classical answer to missing samples."""
    seen = np.isfinite(values)
    mean = np.array([band[ok].mean() for band, ok in zip(values, seen, strict=True)])
    found = np.where(seen, values, mean[:, None, None])
    for _ in range(rounds):
        found = np.where(seen, values, svd(found, rank))
    return svd(found, rank)

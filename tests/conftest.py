"""What every test may use: small cubes of known truth, and the folder of real scenes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hsi_app.bands import BandAxis
from hsi_app.cube import Cube
from hsi_app.georef import GeoRef

ROOT = Path(__file__).resolve().parents[1]
UTM_33N = "EPSG:32633"

# Sums over threads come out in any order; with one thread the same input gives the same bits. Set here, before
# anything imports torch, so that tests without torch need not pay for its import.
for _variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_variable] = "1"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real scenes: ``HSI_TEST_DATA``, or ``../shared/data`` beside the project."""
    folder = Path(os.environ.get("HSI_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real scenes in {folder}; set HSI_TEST_DATA to the folder that holds them")
    return folder


def smooth_field(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """(height, width) float64 in [0, 1]: a few slow waves, as an abundance map varies."""
    rows, cols = (
        np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j] if min(height, width) > 1 else np.zeros((2, height, width))
    )
    field = np.zeros((height, width))
    for _ in range(4):
        fy, fx, phase = rng.uniform(-2.5, 2.5), rng.uniform(-2.5, 2.5), rng.uniform(0, 2 * np.pi)
        field += np.sin(2 * np.pi * (fy * rows + fx * cols) + phase)
    return (field - field.min()) / max(float(np.ptp(field)), 1e-9)


def mixed_scene(
    bands: int = 24, height: int = 32, width: int = 40, *, rank: int = 3, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """A noise-free cube (B, H, W) float64 within [0.05, 0.95] of exact rank ``rank``, and its centres in nm.

    Smooth abundances that add to one, times spectra made of broad features.
    """
    rng = np.random.default_rng(seed)
    centres = np.linspace(420.0, 2380.0, bands) if bands > 1 else np.array([850.0])
    spectra = np.empty((bands, rank))
    for k in range(rank):
        at, wide = rng.uniform(500, 2300, 3), rng.uniform(180, 500, 3)
        bumps = np.exp(-0.5 * ((centres[:, None] - at) / wide) ** 2) @ rng.uniform(-0.5, 0.5, 3)
        spectra[:, k] = np.clip(0.5 + bumps, 0.05, 0.95)
    abundances = np.stack([smooth_field(rng, height, width) + 0.05 for _ in range(rank)])
    abundances /= abundances.sum(0)
    return np.einsum("bk,khw->bhw", spectra, abundances), centres


CubeFactory = Callable[..., Cube]


@pytest.fixture(scope="session")
def make_cube() -> CubeFactory:
    """``make_cube(bands, height, width, sigma=..., seed=..., **facts)``: a georeferenced cube with Gaussian noise.

    ``facts`` replace any field of the cube. The clean values are ``mixed_scene(...)`` with the same arguments.
    """

    def make(
        bands: int = 24, height: int = 32, width: int = 40, /, *, sigma: float = 0.0, seed: int = 0, **facts: object
    ) -> Cube:
        clean, centres = mixed_scene(bands, height, width, seed=seed)
        noise = np.random.default_rng(seed + 1).normal(0, sigma, clean.shape) if sigma else 0.0
        given: dict[str, object] = {
            "values": (clean + noise).astype(np.float32),
            "bands": BandAxis(bands, centres, np.full(bands, 10.0)),
            "georef": GeoRef((30.0, 0.0, 380_000.0, 0.0, -30.0, 5_820_000.0), UTM_33N),
            "unit": "reflectance",
            "name": "synthetic",
        }
        return Cube(**{**given, **facts})  # type: ignore[arg-type]

    return make

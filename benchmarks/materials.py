"""Scenes with known materials, as the tables and tests of unmixing use them, and channels spoilt on purpose."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scenes import data_folder

from hsi_app.bands import BandAxis
from hsi_app.cube import Cube


@dataclass(frozen=True, eq=False)
class KnownScene:
    """A cube and its truth.

    truth : where it comes from; normalise : the brightness it holds for
    endmembers : (B, K); abundances : (K, H, W)
    """

    name: str
    truth: str
    cube: Cube
    endmembers: np.ndarray
    abundances: np.ndarray
    normalise: str

    @property
    def count(self) -> int:
        return self.endmembers.shape[1]


def samson() -> KnownScene:
    with np.load(data_folder() / "hsi" / "samson.npz") as file:
        values, centres = file["cube"].transpose(2, 0, 1).astype(np.float32), file["wavelengths_nm"]
        endmembers, abundances = file["endmembers"].astype(float), file["abundances"].transpose(2, 0, 1).astype(float)
    cube = Cube(values, BandAxis(len(values), centres), name="Samson")
    return KnownScene("Samson", "F. Zhu", cube, endmembers, abundances, "l2")


def jasper() -> KnownScene:
    with np.load(data_folder() / "hsi" / "jasper_ridge_raw224.npz") as file:
        kept = file["selected_bands"].ravel()
        values, centres = file["cube"].transpose(2, 0, 1)[kept].astype(np.float32), file["wavelengths_nm"][kept]
        endmembers, abundances = file["endmembers"].astype(float), file["abundances"].transpose(2, 0, 1).astype(float)
    cube = Cube(values / values.max(), BandAxis(len(values), centres), name="Jasper Ridge, 198 bands")
    return KnownScene("Jasper198", "F. Zhu", cube, endmembers, abundances, "l2")


def sim1() -> KnownScene:
    """Synthetic, without pure pixels; its materials differ in brightness, so it must not be normalised."""
    from scipy.io import loadmat

    folder = data_folder() / "unmix" / "Sim1"

    def array(name: str) -> np.ndarray:
        return np.asarray(loadmat(folder / f"{name}.mat")[name], float)

    cube = Cube(array("Y_clean").transpose(2, 0, 1).astype(np.float32), name="Sim1")
    return KnownScene("Sim1", "exact", cube, array("E"), array("A_true").transpose(2, 0, 1), "none")


KNOWN = {"Samson": samson, "Jasper198": jasper, "Sim1": sim1}


def spoilt(cube: Cube, channels: int, seed: int) -> tuple[Cube, np.ndarray]:
    """The cube with channels replaced, half by the magnitude of noise as strong as the cube's maximum, half by salt;
    and which ones."""
    generator = np.random.default_rng(seed)
    values = np.array(cube.read())
    bad = generator.choice(len(values), channels, replace=False)
    top = float(values.max())
    for index, band in enumerate(bad):
        if index % 2 == 0:
            values[band] = np.abs(generator.normal(0, top, values.shape[1:]))
        else:
            values[band] = np.where(generator.random(values.shape[1:]) < 0.5, 0, top)
    return replace(cube, values=values), bad

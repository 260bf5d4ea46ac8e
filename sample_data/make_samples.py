"""Makes the bundled scenes: ``python -m hsi_sample_data.make_samples [FOLDER]``.

Reads ``library.csv`` and writes four ENVI images, byte for byte the same on every run. See README.md for what is in
them and ``landscape`` and ``sensor`` for how they come about.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .landscape import MATERIALS, SUN, Land, draw
from .sensor import CAMERA, SPECTROMETER, Detector, Faults, is_blind, point_spread

SEED = 20240617
ROWS, COLS = 96, 80
PIXEL_M = 8  # ground size of a spectrometer pixel; the landscape's cells are one metre
RATIO = 4  # the camera is this much sharper
MARGIN_M = 16
SCALE = 10_000  # stored number of reflectance 1
NODATA = -9999

# The camera's picture against the spectrometer's: it is shifted by so many of its own pixels (to the right, down) and
# then turned counter-clockwise about the image centre. Both headers claim the same map frame.
SHIFT_PX = (1.1, -0.7)
ROTATION_DEG = 0.4

CORNER = (400_000.0, 5_800_000.0)
CRS_WKT = (
    'PROJCS["WGS_1984_UTM_Zone_33N",GEOGCS["GCS_WGS_1984",DATUM["D_WGS_1984",'
    'SPHEROID["WGS_1984",6378137.0,298.257223563]],PRIMEM["Greenwich",0.0],UNIT["Degree",0.0174532925199433]],'
    'PROJECTION["Transverse_Mercator"],PARAMETER["False_Easting",500000.0],PARAMETER["False_Northing",0.0],'
    'PARAMETER["Central_Meridian",15.0],PARAMETER["Scale_Factor",0.9996],PARAMETER["Latitude_Of_Origin",0.0],'
    'UNIT["Meter",1.0]]'
)


@dataclass(frozen=True)
class Scene:
    """The samples before rounding.

    Parameters
    ----------
    clean, noisy : (B, H, W) reflectance; the noisy one is NaN where nothing was recorded
    camera : (4, H * RATIO, W * RATIO) reflectance of the multispectral partner
    abundances : (M, H, W), adding up to one
    """

    clean: np.ndarray
    noisy: np.ndarray
    camera: np.ndarray
    abundances: np.ndarray


def read_library(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Wavelengths (N,) in nm and spectra (M, N) in reflectance, in the order of ``MATERIALS``.

    Raises
    ------
    ValueError
        If the table holds other materials.
    """
    names = path.read_text(encoding="ascii").partition("\n")[0].split(",")[1:]
    if tuple(names) != MATERIALS:
        raise ValueError(f"{path.name} holds {', '.join(names)}; needed are {', '.join(MATERIALS)}.")
    table = np.loadtxt(path, delimiter=",", skiprows=1)
    return table[:, 0], table[:, 1:].T


def make_scene(library: Path, seed: int = SEED) -> Scene:
    """Draw the landscape and look at it with both instruments.

    A cell of material m with light q and spectral tilt t has the reflectance q s_m(w) (1 + t (w - 1200) / 1200), w in
    nm; a pixel is the mean of its cells over the point spread (linear mixing, Keshava and Mustard 2002).
    """
    wavelengths, spectra = read_library(library)
    shape = (ROWS * PIXEL_M + 2 * MARGIN_M, COLS * PIXEL_M + 2 * MARGIN_M)
    land = draw(seed, shape)
    rows, cols = point_spread(ROWS, PIXEL_M, MARGIN_M), point_spread(COLS, PIXEL_M, MARGIN_M).T
    tilted = spectra * (wavelengths - 1200) / 1200

    abundances = rows @ land.fractions @ cols
    bright = rows @ (land.fractions * land.light) @ cols
    turned = rows @ (land.fractions * (land.light * land.tilt)) @ cols
    response = SPECTROMETER.response(wavelengths)
    clean = np.tensordot(response @ spectra.T, bright, axes=1) + np.tensordot(response @ tilted.T, turned, axes=1)

    rng = np.random.default_rng([seed, 1])
    noise = Detector().noise(clean, SPECTROMETER, SUN.zenith_deg) * rng.standard_normal(clean.shape)
    faults = Faults()
    noisy = faults.apply(np.clip(clean + noise, -0.5, 2.0), rng)
    noisy[:, faults.missing((ROWS, COLS))] = np.nan
    return Scene(clean, noisy, _photograph(land, wavelengths, spectra, tilted, rng), abundances)


def camera_to_ground(shape: tuple[int, ...], cell: float) -> tuple[np.ndarray, np.ndarray]:
    """Where the ground seen at a place of the camera's picture lies in the spectrometer's frame.

    Parameters
    ----------
    shape : (H, W) of the grid
    cell : size of a camera pixel in cells of that grid

    Returns
    -------
    turn : (2, 2), offset : (2,)
        ground (row, col) = turn @ seen (row, col) + offset, in cells.
    """
    angle = np.radians(ROTATION_DEG)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    centre = (np.array(shape) - 1) / 2
    return turn, centre - turn @ centre - cell * np.array(SHIFT_PX[::-1])


def _photograph(
    land: Land, wavelengths: np.ndarray, spectra: np.ndarray, tilted: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """What the camera sees: turned and shifted against the spectrometer, with noise of 0.5 % of a white surface."""
    from scipy.ndimage import affine_transform  # type: ignore[import-untyped]

    response = CAMERA.response(wavelengths)
    fine = np.tensordot(response @ spectra.T, land.fractions * land.light, axes=1)
    fine += np.tensordot(response @ tilted.T, land.fractions * (land.light * land.tilt), axes=1)
    cell = PIXEL_M // RATIO
    turn, offset = camera_to_ground(fine.shape[1:], cell)
    seen = np.stack([affine_transform(band, turn, offset, order=1, mode="nearest") for band in fine])
    rows = point_spread(ROWS * RATIO, cell, MARGIN_M)
    cols = point_spread(COLS * RATIO, cell, MARGIN_M).T
    sharp = rows @ seen @ cols
    return np.clip(sharp + 0.005 * rng.standard_normal(sharp.shape), 0.0, None)


def header(values: np.ndarray, description: str, pixel_m: float, lists: dict[str, str]) -> str:
    """ENVI header of a (B, H, W) cube stored band by band in little-endian order."""
    kind = {"<i2": 2, "<u2": 12}[values.dtype.str]
    bands, height, width = values.shape
    lines = [
        "ENVI",
        f"description = {{{description}}}",
        f"samples = {width}",
        f"lines = {height}",
        f"bands = {bands}",
        "header offset = 0",
        "file type = ENVI Standard",
        f"data type = {kind}",
        "interleave = bsq",
        "byte order = 0",
        f"reflectance scale factor = {SCALE}",
        f"map info = {{UTM, 1, 1, {CORNER[0]:.1f}, {CORNER[1]:.1f}, {pixel_m:g}, {pixel_m:g}, "
        "33, North, WGS-84, units=Meters}",
        f"coordinate system string = {{{CRS_WKT}}}",
        *(f"{key} = {value}" for key, value in lists.items()),
    ]
    return "\n".join(lines) + "\n"


def listed(values: object) -> str:
    """A sequence as ENVI writes it."""
    return "{" + ", ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in np.asarray(values).tolist()) + "}"


def stored(physical: np.ndarray, kind: str) -> np.ndarray:
    """Reflectance or abundance as little-endian integers; NaN becomes the nodata value."""
    whole = np.rint(np.nan_to_num(physical, nan=NODATA / SCALE) * SCALE)
    limits = np.iinfo(kind)
    return np.clip(whole, limits.min, limits.max).astype(kind)


def write(scene: Scene, folder: Path) -> None:
    """Write the four images (.bsq with .hdr) into ``folder``, which must exist."""
    spectral = {
        "wavelength units": "Nanometers",
        "wavelength": listed(SPECTROMETER.centres_nm),
        "fwhm": listed(SPECTROMETER.fwhm_nm),
        "default bands": "{17, 11, 5}",
    }
    flags = {"bbl": listed((~is_blind(SPECTROMETER)).astype(int)), "data ignore value": str(NODATA)}
    camera = {
        "wavelength units": "Nanometers",
        "wavelength": listed(CAMERA.centres_nm),
        "fwhm": listed(CAMERA.fwhm_nm),
        "band names": "{Blue, Green, Red, NIR}",
        "default bands": "{3, 2, 1}",
    }
    shift = (
        f"against scene_clean its picture is shifted by {SHIFT_PX[0]:g} px to the right and {-SHIFT_PX[1]:g} px up, "
        f"then turned by {ROTATION_DEG:g} degrees counter-clockwise about the centre"
    )
    images = (
        ("scene_clean", scene.clean, "<i2", "Simulated river valley, reflectance without noise", PIXEL_M, spectral),
        ("scene_noisy", scene.noisy, "<i2", "Simulated river valley, reflectance with noise, stripes, dead lines, "
         "impulses and a missing corner", PIXEL_M, spectral | flags),
        ("scene_msi", scene.camera, "<u2", f"Simulated river valley, multispectral camera; {shift}", PIXEL_M / RATIO,
         camera),
        ("scene_abundances", scene.abundances, "<u2", "Simulated river valley, area fraction of each material",
         PIXEL_M, {"band names": "{" + ", ".join(MATERIALS) + "}"}),
    )  # fmt: skip
    for name, physical, kind, description, pixel_m, lists in images:
        values = stored(physical, kind)
        (folder / f"{name}.bsq").write_bytes(values.tobytes())
        (folder / f"{name}.hdr").write_text(header(values, description, pixel_m, lists), encoding="ascii", newline="\n")


if __name__ == "__main__":
    if len(sys.argv) > 2:
        sys.exit("usage: python -m hsi_sample_data.make_samples [FOLDER]")
    here = Path(__file__).parent
    target = Path(sys.argv[1]) if len(sys.argv) == 2 else here
    target.mkdir(parents=True, exist_ok=True)
    write(make_scene(here / "library.csv"), target)

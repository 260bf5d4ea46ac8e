"""Pairs of images for the fusion benchmark: simulated from clean references, and one that was really flown.

The simulated ones are those of the field: blocks of f x f pixels are averaged to the hyperspectral image, Gaussian
bands of the sharp cube make the multispectral one. A misregistered hyperspectral image is the middle of the sharp cube
after a turn, a shift or a bend.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scenes import data_folder, reference
from scipy.ndimage import gaussian_filter, map_coordinates, rotate

from hsi_app.bands import BandAxis
from hsi_app.cube import Cube
from hsi_app.fusion.grids import Grids
from hsi_app.fusion.placement import Placement
from hsi_app.georef import GeoRef
from hsi_app.physics.spectral import gaussian_response

# Centre and width, nm: Landsat TM 1-5 and 7; blue to near infrared; visible.
BANDS = {
    "tm": ((485, 70), (560, 80), (660, 60), (830, 140), (1650, 200), (2215, 270)),
    "vnir": ((485, 70), (560, 80), (660, 60), (830, 140)),
    "visible": ((450, 60), (550, 80), (650, 70)),
}
# Signal over noise of hyperspectral and multispectral image where a pair is noisy, dB.
NOISY_DB = (35.0, 40.0)
RATIO = 4


@dataclass(frozen=True, eq=False)
class FusionPair:
    """Both images, the truth where there is one, and the ratio of their grids."""

    hsi: Cube
    msi: Cube
    truth: Cube | None
    ratio: float


def with_wavelengths(cube: Cube) -> Cube:
    """A cube without wavelengths gets even ones of an airborne spectrometer, which a simulated response needs."""
    if cube.axis.centres_nm is not None:
        return cube
    return replace(cube, bands=BandAxis(cube.shape[0], np.linspace(400, 2450, cube.shape[0])))


def sharp(name: str, side: int) -> Cube:
    cube = with_wavelengths(reference(name))
    return replace(cube, values=np.ascontiguousarray(cube.read()[:, :side, :side]))


def averaged(values: np.ndarray, ratio: int = RATIO) -> np.ndarray:
    bands, height, width = values.shape
    return values.reshape(bands, height // ratio, ratio, width // ratio, ratio).mean((2, 4))


def seen_by(cube: Cube, bands: str) -> Cube:
    """The sharp cube as a multispectral camera sees it."""
    centres, widths = np.array(BANDS[bands], float).T
    matrix = gaussian_response(centres, widths, cube.axis.centres_nm)
    values = np.tensordot(matrix, cube.read(), 1).astype(np.float32)
    return Cube(values, BandAxis(len(values), centres, widths), name=f"{cube.name} {bands}")


def noisy(cube: Cube, snr_db: float, generator: np.random.Generator) -> Cube:
    values = cube.read()
    level = np.sqrt(np.square(values).mean((1, 2), keepdims=True)) * 10 ** (-snr_db / 20)
    return replace(cube, values=(values + level * generator.standard_normal(values.shape)).astype(np.float32))


def simulated(name: str, bands: str, side: int, *, is_noisy: bool = False, seed: int = 0) -> FusionPair:
    """Registered: the truth is the sharp cube."""
    truth = sharp(name, side)
    hsi = replace(truth, values=averaged(truth.read()), name=f"{name} coarse")
    msi = seen_by(truth, bands)
    if is_noisy:
        generator = np.random.default_rng(seed)
        hsi, msi = (noisy(cube, level, generator) for cube, level in zip((hsi, msi), NOISY_DB, strict=True))
    return FusionPair(hsi, msi, truth, RATIO)


def misregistered(
    name: str,
    bands: str,
    *,
    angle_deg: float = 0.0,
    shift: tuple[int, int] = (0, 0),
    bend_px: float = 0.0,
    window: int = 64,
    seed: int = 0,
) -> FusionPair:
    """The hyperspectral image is the middle of the sharp cube after it was turned, moved or bent.

    angle_deg : about the middle; shift : of the window, px of the sharp image; bend_px : standard deviation of a smooth
    random displacement, px of the sharp image. Both frames say that the window lies in the middle, unmoved.
    """
    truth = sharp(name, 100)
    values = truth.read()
    if angle_deg:
        values = rotate(values, angle_deg, axes=(1, 2), order=3, reshape=False, mode="reflect")
    if bend_px:
        generator = np.random.default_rng(seed)
        fields = [gaussian_filter(generator.standard_normal(values.shape[1:]), 12, mode="reflect") for _ in range(2)]
        grid = np.meshgrid(*map(np.arange, values.shape[1:]), indexing="ij")
        places = [axis + bend_px * field / field.std() for axis, field in zip(grid, fields, strict=True)]
        values = np.stack([map_coordinates(image, places, order=3, mode="reflect") for image in values])
    start = (values.shape[1] - window) // 2
    rows, cols = (slice(start + move, start + move + window) for move in shift)
    hsi = replace(
        truth, values=averaged(values[:, rows, cols]).astype(np.float32), name=f"{name} coarse",
        georef=GeoRef((RATIO, 0, start, 0, -RATIO, -start)),
    )  # fmt: skip
    msi = replace(seen_by(truth, bands), georef=GeoRef((1, 0, 0, 0, -1, 0)))
    return FusionPair(hsi, msi, truth, RATIO)


def berlin() -> FusionPair:
    """The real pair: 244 bands at 30 m (simulated EnMAP) and a camera's four at 3.6 m, upper left corners together."""
    with np.load(data_folder() / "hsi" / "berlin_enmap_sim_30m.npz", allow_pickle=False) as file:
        values, centres = file["cube"].transpose(2, 0, 1), file["wavelengths_nm"].astype(float)
        picture, seen = file["msi_highres_3p6m"].transpose(2, 0, 1), file["msi_wavelengths_nm"].astype(float)
    corner = 383472.37, 5818302.35
    bad = np.isin(np.arange(len(values)), (190, 243))

    def frame(side: float) -> GeoRef:
        return GeoRef((side, 0, corner[0], 0, -side, corner[1]), "EPSG:32633")

    hsi = Cube(values.astype(np.float32), BandAxis(len(values), centres, bad=bad), georef=frame(30.0), name="berlin")
    msi = Cube(picture.astype(np.float32), BandAxis(4, seen), georef=frame(3.6), name="berlin picture")
    return FusionPair(hsi, msi, None, 30 / 3.6)


def berlin_coarser(ratio: float) -> FusionPair:
    """The real pair one step down (Wald's protocol): the 30 m cube is the truth, the picture is averaged to its grid.

    ratio : of the grids; 30 / 3.6 is that of the pair itself, and leaves 63 hyperspectral pixels.
    """
    import torch

    pair = berlin()
    truth = pair.hsi.select(pair.hsi.axis.good)
    step = 3.6 / 30
    placement = Placement((step, 0, step / 2 - 0.5, 0, step, step / 2 - 0.5))
    picture = torch.from_numpy(pair.msi.read())
    seen = Grids(placement, truth.shape[1:], picture.shape[1:]).to_coarse(picture).numpy()
    # The picture ends a little before the last row and column.
    height, width = (int(np.isfinite(line).sum()) for line in (seen[0, :, 0], seen[0, 0]))
    shape = int(height // ratio), int(width // ratio)
    size = tuple(int(np.floor(n * ratio + 1e-9)) for n in shape)
    values = np.ascontiguousarray(truth.read()[:, : size[0], : size[1]])
    coarser = Placement((1 / ratio, 0, 0.5 / ratio - 0.5, 0, 1 / ratio, 0.5 / ratio - 0.5))
    tall, wide = (int(np.ceil(n * ratio - 1e-9)) for n in shape)
    whole = torch.from_numpy(np.ascontiguousarray(truth.read()[:, :tall, :wide]))
    averages = Grids(coarser, shape, (tall, wide)).to_coarse(whole).numpy()
    fine = GeoRef((30, 0, pair.msi.georef.transform[2], 0, -30, pair.msi.georef.transform[5]), "EPSG:32633")
    assert np.isfinite(averages).all()
    return FusionPair(
        replace(truth, values=averages, georef=fine.upsampled(1 / ratio), name="berlin coarser"),
        replace(pair.msi, values=np.ascontiguousarray(seen[:, : size[0], : size[1]]), georef=fine),
        replace(truth, values=values, georef=fine),
        ratio,
    )


PAIRS = {
    "jasper-6": lambda: simulated("jasper_ridge_raw224", "tm", 96),
    "jasper-4-noisy": lambda: simulated("jasper_ridge_raw224", "vnir", 96, is_noisy=True),
    "samson-3": lambda: simulated("samson", "visible", 92),
    "berlin-x4": lambda: berlin_coarser(4),
    "berlin-x8.33": lambda: berlin_coarser(30 / 3.6),
}
# For choosing defaults and rules; none of these scenes is scored in a table.
TRAINING = {
    "la-6": lambda: simulated("abu_la_airport1", "tm", 96),
    "la-4-noisy": lambda: simulated("abu_la_airport1", "vnir", 96, is_noisy=True),
    "la-3": lambda: simulated("abu_la_airport1", "visible", 96),
    "texas-6": lambda: simulated("abu_texas_coast1", "tm", 96),
    "texas-4-noisy": lambda: simulated("abu_texas_coast1", "vnir", 96, is_noisy=True),
    "sandiego-6": lambda: simulated("sandiego_airport_b", "tm", 96),
    "sandiego-4-noisy": lambda: simulated("sandiego_airport_b", "vnir", 96, is_noisy=True),
    "muufl-4": lambda: simulated("muufl_100", "vnir", 96),
    "muufl-3": lambda: simulated("muufl_100", "visible", 96),
    "pavia-3": lambda: simulated("paviaU_50", "visible", 48),
}

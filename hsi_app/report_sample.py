"""What a report shows of a result: single bands, one full-resolution crop, and measures on it. Never a whole cube."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hsi_app.bands import INFRARED_NM, TRUE_COLOUR_NM
from hsi_app.cube import Cube
from hsi_app.noise import NoiseReport, measure_noise, robust_std
from hsi_app.runner import Result
from hsi_app.tiling import Window, strips

OVERVIEW_PX = 720
CROP_PX = 256
# About 32 MiB of float32 at a time.
_READ_SAMPLES = 2**23


@dataclass(frozen=True, eq=False)
class Pixel:
    """A pixel worth a look: what it stands for, where it is, and its spectra (B,) in physical units, NaN missing."""

    role: str
    row: int
    col: int
    before: np.ndarray
    after: np.ndarray


@dataclass(frozen=True, eq=False)
class ReportSample:
    """Everything the pictures are drawn from.

    colour_bands : three band indices, red first; band : the band that changed most against its own contrast
    overview_before, overview_after : (3, h, w) float32 of the whole scene, thinned to OVERVIEW_PX, NaN missing
    band_before, band_after : (h, w) of ``band``, same grid
    step : thinning of the overview, px
    crop : window of full resolution; removed : (B, h, w) float32 of it, observed - restored
    removed_std : (B,) robust standard deviation of ``removed``, stored units
    noise_before, noise_after : measured on the same central window
    """

    colour_bands: tuple[int, int, int]
    band: int
    overview_before: np.ndarray
    overview_after: np.ndarray
    band_before: np.ndarray
    band_after: np.ndarray
    step: int
    crop: Window
    removed: np.ndarray
    removed_std: np.ndarray
    noise_before: NoiseReport
    noise_after: NoiseReport
    pixels: tuple[Pixel, ...]


def thinned(cube: Cube, bands: Sequence[int], step: int) -> np.ndarray:
    """Every ``step``-th pixel of some bands: (len(bands), h, w) float32, NaN where missing; read strip by strip."""
    _, height, width = cube.shape
    rows = max(_READ_SAMPLES // (len(bands) * width) // step, 1) * step
    parts = []
    for window in strips((height, width), rows):
        values, valid = cube.block(window, list(bands))
        values = np.where(valid, values, np.float32(np.nan))
        parts.append(values[:, ::step, ::step])
    return np.concatenate(parts, axis=1)


def take_sample(result: Result) -> ReportSample:
    """Read what the report needs from a result."""
    before, after = result.observed, result.cube
    _, height, width = before.shape
    step = max(-(-max(height, width) // OVERVIEW_PX), 1)
    side_rows, side_cols = min(height, CROP_PX), min(width, CROP_PX)
    crop = Window((height - side_rows) // 2, (width - side_cols) // 2, side_rows, side_cols)
    removed = result.removed(crop)
    spread = _std_of_each(removed)
    colours = _colour_bands(before)
    band = _most_changed(before, crop, spread)
    return ReportSample(
        colour_bands=colours,
        band=band,
        overview_before=thinned(before, colours, step),
        overview_after=thinned(after, colours, step),
        band_before=thinned(before, [band], step)[0],
        band_after=thinned(after, [band], step)[0],
        step=step,
        crop=crop,
        removed=removed,
        removed_std=spread,
        noise_before=measure_noise(before),
        noise_after=measure_noise(after),
        pixels=_pixels(result, crop, removed, spread),
    )


def _colour_bands(cube: Cube) -> tuple[int, int, int]:
    """Colour infrared where the sensor sees it (vegetation stands out), else natural colour, else spread."""
    centres = cube.axis.centres_nm
    sees_infrared = centres is not None and float(np.nanmax(centres)) >= INFRARED_NM[0] - 60
    return cube.axis.composite(INFRARED_NM if sees_infrared else TRUE_COLOUR_NM)


def _std_of_each(removed: np.ndarray) -> np.ndarray:
    """Robust (B,) standard deviation; NaN where a band has no sample, plain where most of a band is untouched."""
    out = np.full(len(removed), np.nan)
    for b, band in enumerate(removed):
        seen = band[np.isfinite(band)]
        if seen.size:
            robust = float(robust_std(seen))
            out[b] = robust if robust > 0 else float(seen.std())
    return out


def _most_changed(cube: Cube, crop: Window, spread: np.ndarray) -> int:
    """The band, not marked bad, whose change is largest against its contrast in the scene."""
    values, valid = cube.block(crop)
    contrast = np.array([v[s].std() if s.any() else np.nan for v, s in zip(values, valid, strict=True)])
    ratio = np.where(contrast > 0, spread / np.where(contrast > 0, contrast, 1), np.nan)
    if cube.axis.good.size:
        ratio = np.where(cube.axis.is_bad, np.nan, ratio)
    return int(np.nanargmax(ratio)) if np.isfinite(ratio).any() else 0


def _pixels(result: Result, crop: Window, removed: np.ndarray, spread: np.ndarray) -> tuple[Pixel, ...]:
    """A bright, a dark, a typical and the most changed pixel of the crop."""
    values, valid = result.observed.block(crop)
    good = result.observed.axis.good if result.observed.axis.good.size else np.arange(len(values))
    counts = valid[good].sum(0)
    usable = counts >= max(1, good.size // 2)
    if not usable.any():
        return ()
    total = np.where(valid[good], values[good], 0).sum(0) / np.maximum(counts, 1)
    scaled = removed[good] / np.where(spread[good] > 0, spread[good], np.inf)[:, None, None]
    finite = np.isfinite(scaled)
    change = (np.where(finite, scaled, 0) ** 2).sum(0) / np.maximum(finite.sum(0), 1)
    level = np.where(usable, total, np.nan)
    # The 99th and 1st percentile rather than the extremes, which are often faults.
    targets = [("bright", np.nanpercentile(level, 99)), ("typical", np.nanmedian(level)),
               ("dark", np.nanpercentile(level, 1))]  # fmt: skip
    places = [(role, int(np.nanargmin(np.abs(level - target)))) for role, target in targets]
    places.append(("most changed", int(np.argmax(np.where(usable, change, -1)))))
    found, seen = [], set()
    for role, place in places:
        row, col = (int(k) for k in np.unravel_index(place, level.shape))
        if (row, col) in seen:
            continue
        seen.add((row, col))
        row, col = row + crop.row, col + crop.col
        spectra = (result.observed.spectrum(row, col), result.cube.spectrum(row, col))
        found.append(Pixel(role, row, col, *spectra))
    return tuple(found)

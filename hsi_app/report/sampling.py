"""Small pieces of a large scene: thumbnails of single bands, and windows spread over the image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hsi_app.cube import Cube
from hsi_app.jobs import Job
from hsi_app.tiling import Window

# A thumbnail is no larger than a screen shows; a band of up to this many pixels is read at once.
THUMBNAIL_PX = 720
WHOLE_BAND_PIXELS = 2**22
CENTRE_PX = 256
# 3 x 3 windows of 48 px: 20 000 spectra, 20 MB for 224 bands.
WINDOW_PX = 48
WINDOWS_PER_AXIS = 3


@dataclass(frozen=True, eq=False)
class Thumbnail:
    """Bands of a scene, every ``step``-th row and column.

    values : (b, h, w) float32 in stored units, NaN where missing
    step : int >= 1, px of the scene between neighbours
    """

    values: np.ndarray
    step: int


def thumbnail(cube: Cube, bands: Sequence[int], *, side_px: int = THUMBNAIL_PX) -> Thumbnail:
    """Read single bands so that neither side exceeds ``side_px``; a large band is read row by row."""
    _, height, width = cube.shape
    step = max(1, -(-max(height, width) // side_px))
    if height * width <= WHOLE_BAND_PIXELS or step == 1:
        values, valid = cube.block(None, list(bands))
        values, valid = values[:, ::step, ::step], valid[:, ::step, ::step]
    else:
        rows = [cube.block(Window(row, 0, 1, width), list(bands)) for row in range(0, height, step)]
        values = np.concatenate([row[:, :, ::step] for row, _ in rows], axis=1)
        valid = np.concatenate([row[:, :, ::step] for _, row in rows], axis=1)
    return Thumbnail(np.where(valid, values, np.float32(np.nan)), step)


def centre(shape: tuple[int, int], side_px: int = CENTRE_PX) -> Window:
    """The middle of an image, at most ``side_px`` high and wide."""
    height, width = (min(length, side_px) for length in shape)
    return Window((shape[0] - height) // 2, (shape[1] - width) // 2, height, width)


def spread_windows(height: int, width: int) -> list[Window]:
    """Windows that sample the whole image evenly, without overlap; the image itself where it is small."""
    side = WINDOW_PX * WINDOWS_PER_AXIS
    tops = _starts(height, side)
    lefts = _starts(width, side)
    return [Window(top, left, rows, cols) for top, rows in tops for left, cols in lefts]


def _starts(length: int, enough: int) -> list[tuple[int, int]]:
    if length <= enough:
        return [(0, length)]
    starts = np.round(np.linspace(0, length - WINDOW_PX, WINDOWS_PER_AXIS)).astype(int)
    return [(int(start), WINDOW_PX) for start in starts]


@dataclass(frozen=True, eq=False)
class Spectra:
    """Full spectra sampled from the scene, before and after.

    before, after : (B, P) float32 in stored units, NaN where missing
    rows, cols : (P,) int pixel positions in the scene
    pieces : windows they came from, with the slice of P each holds
    """

    before: np.ndarray
    after: np.ndarray
    rows: np.ndarray
    cols: np.ndarray
    pieces: tuple[tuple[Window, slice], ...]

    @property
    def removed(self) -> np.ndarray:
        """(B, P) before - after, NaN where either is missing."""
        return self.before - self.after


def sample_spectra(observed: Cube, restored: Cube, job: Job | None = None) -> Spectra:
    """Spectra at the same pixels of two cubes of one shape, in windows spread over the scene.

    A cube given twice is read once. Raises Cancelled if the job was asked to stop.
    """
    _, height, width = observed.shape
    job = job or Job()
    before: list[np.ndarray] = []
    after: list[np.ndarray] = []
    rows: list[np.ndarray] = []
    cols: list[np.ndarray] = []
    pieces: list[tuple[Window, slice]] = []
    count = 0
    windows = spread_windows(height, width)
    pairs = [(observed, before)] if restored is observed else [(observed, before), (restored, after)]
    for n, window in enumerate(windows):
        for k, (cube, parts) in enumerate(pairs):
            job.step((n + k / len(pairs)) / len(windows), "reading samples")
            values, valid = cube.block(window)
            parts.append(np.where(valid, values, np.float32(np.nan)).reshape(cube.shape[0], -1))
        row, col = np.mgrid[window.row : window.row + window.height, window.col : window.col + window.width]
        rows.append(row.ravel())
        cols.append(col.ravel())
        pieces.append((window, slice(count, count + window.pixels)))
        count += window.pixels
    first = np.concatenate(before, axis=1)
    return Spectra(
        first, np.concatenate(after, axis=1) if after else first,
        np.concatenate(rows), np.concatenate(cols), tuple(pieces),
    )  # fmt: skip

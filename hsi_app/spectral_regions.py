"""Regions of interest: the pixels of an outline or a label, and the mean and spread of their spectra."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b

import numpy as np

from hsi_app.cube import Cube
from hsi_app.errors import CubeError
from hsi_app.jobs import Job
from hsi_app.tiling import Window

# Pixels read of a region; a mean over more of them would change by less than half a percent of the spread.
MOST_PIXELS = 40_000
# Pixels told inside from outside at a time; of a larger rectangle every n-th row and column.
MOST_PLACES = 2**22
# Labels up to this number are looked for as they are.
MOST_NUMBER = 2**16
# Values read at a time.
READ_VALUES = 2**22


@dataclass(frozen=True, eq=False)
class Region:
    """Pixels of an image: those places of a grid over ``window`` that are ``inside``.

    window : rectangle that holds the region
    inside : (h, w) bool, of the pixels (row + i * step, col + j * step), at least one True
    step : px between the places; 1 where every pixel was looked at
    """

    window: Window
    inside: np.ndarray
    step: int = 1

    @cached_property
    def count(self) -> int:
        """Number of pixels, about that many where ``step`` > 1."""
        return int(np.count_nonzero(self.inside)) * self.step**2

    @cached_property
    def key(self) -> bytes:
        """Equal for equal regions."""
        digest = blake2b(np.packbits(self.inside).tobytes(), digest_size=16)
        digest.update(repr((self.window, self.inside.shape, self.step)).encode())
        return digest.digest()

    def seen_from(self, to_here: np.ndarray, shape: tuple[int, int]) -> Region | None:
        """The same ground on another grid.

        Parameters
        ----------
        to_here : (2, 3) affine matrix, (row, col, 1) of the other image -> (row, col) of this region's image
        shape : (H, W) of the other image

        Returns
        -------
        Region of the other image's pixels whose centres lie inside, or None where there is none
        """
        back = np.linalg.inv(to_here[:, :2])
        row, col, height, width = self.window.row, self.window.col, self.window.height, self.window.width
        ends = np.array([[r, c] for r in (row - 0.5, row + height - 0.5) for c in (col - 0.5, col + width - 0.5)])
        corners = (ends - to_here[:, 2]) @ back.T
        grid = _grid(corners.min(axis=0), corners.max(axis=0), shape)
        if grid is None:
            return None
        window, step, rows, cols = grid
        down, right = np.meshgrid(rows, cols, indexing="ij")
        places = np.stack([down, right], axis=-1) @ to_here[:, :2].T + to_here[:, 2] - (row, col)
        index = np.floor(places / self.step + 0.5).astype(np.intp)
        within = ((index >= 0) & (index < self.inside.shape)).all(axis=-1)
        inside = np.zeros(down.shape, bool)
        inside[within] = self.inside[index[within, 0], index[within, 1]]
        return Region(window, inside, step) if inside.any() else None


def outlined(corners: np.ndarray, shape: tuple[int, int]) -> Region | None:
    """The pixels whose centres lie within a closed outline (even-odd rule).

    Parameters
    ----------
    corners : (n, 2) float array, (row, col) of the corners; pixel centres are whole numbers
    shape : (H, W) of the image

    Returns
    -------
    Region, or None where no centre lies inside the outline and the image
    """
    corners = np.asarray(corners, np.float64)
    if len(corners) < 3 or not np.isfinite(corners).all():
        return None
    grid = _grid(corners.min(axis=0), corners.max(axis=0), shape)
    if grid is None:
        return None
    window, step, rows, cols = grid
    (y, x), (next_y, next_x) = corners.T, np.roll(corners, -1, axis=0).T
    inside = np.zeros((rows.size, cols.size), bool)
    for k, row in enumerate(rows):
        crosses = (y <= row) != (next_y <= row)
        share = (row - y[crosses]) / (next_y - y)[crosses]
        places = np.sort(x[crosses] + share * (next_x - x)[crosses])
        inside[k] = np.searchsorted(places, cols, side="right") % 2 == 1
    return Region(window, inside, step) if inside.any() else None


def labelled(labels: np.ndarray, most: int) -> tuple[dict[int, Region], int]:
    """The pixels of each label.

    Parameters
    ----------
    labels : (H, W) int array, 0 where nothing is labelled; with bands (B, H, W) the largest label of a pixel counts
    most : so many labels are taken, the smallest first

    Returns
    -------
    regions : by label
    found : number of labels there are
    """
    from scipy.ndimage import find_objects

    labels = np.asarray(labels)
    labels = labels.max(axis=0) if labels.ndim == 3 else labels
    known: np.ndarray | None = None
    if labels.size and int(labels.max()) > MOST_NUMBER:
        # A box would be looked for at every number up to the largest.
        known, places = np.unique(labels, return_inverse=True)
        labels = places.reshape(labels.shape) + int(known[0] > 0)
        known = known if known[0] <= 0 else np.concatenate([[0], known])
    boxes = [(k, box) for k, box in enumerate(find_objects(labels.astype(np.int32, copy=False)), 1) if box is not None]
    regions = {}
    for number, (rows, cols) in boxes[:most]:
        window = Window(rows.start, cols.start, rows.stop - rows.start, cols.stop - cols.start)
        inside = labels[rows, cols] == number
        regions[int(number if known is None else known[number])] = Region(window, inside)
    return regions, len(boxes)


@dataclass(frozen=True, eq=False)
class RegionSpectrum:
    """Spectra of a region in one mean and spread.

    count : pixels of the region; read : pixels that were read, the same unless it is a large one
    mean : (B,) float64, physical units, NaN where nothing was observed
    std : (B,) float64, sample standard deviation, physical units, NaN where fewer than two samples were observed
    samples : (B,) int, samples behind each band
    """

    count: int
    read: int
    mean: np.ndarray
    std: np.ndarray
    samples: np.ndarray

    @property
    def is_thinned(self) -> bool:
        """True where only part of the pixels was read."""
        return self.read < self.count


def region_spectrum(cube: Cube, region: Region, job: Job | None = None, *, most: int = MOST_PIXELS) -> RegionSpectrum:
    """Mean and standard deviation of the spectra of a region; reads its rows only, between their outermost pixels.

    Of more than ``most`` pixels every n-th row that has any is read, and of it every n-th pixel.

    Parameters
    ----------
    job : for progress and cancelling between reads

    Raises
    ------
    CubeError
        If the region reaches beyond the image.
    Cancelled
        If the job was asked to stop.

    Source: pairwise update of mean and squares, Chan, Golub and LeVeque 1983.
    """
    job = job or Job()
    bands, height, width = cube.shape
    window = region.window
    if window.row < 0 or window.col < 0 or window.row + window.height > height or window.col + window.width > width:
        raise CubeError(f"the region {window} reaches beyond the image of {height} x {width}; draw it inside.")
    apart = max(1, math.ceil(math.sqrt(np.count_nonzero(region.inside) / most)))
    samples, read = np.zeros(bands, np.int64), 0
    mean, squares = np.zeros(bands), np.zeros(bands)
    for done, part, picks in _parts(region, apart, bands):
        job.step(done, "reading a region")
        values, valid = cube.block(part)
        picked, seen = values[:, picks].astype(np.float64), valid[:, picks]
        read += picked.shape[1]
        here = seen.sum(axis=1)
        level = picked.sum(axis=1) / np.maximum(here, 1)
        spread = (np.where(seen, picked - level[:, None], 0.0) ** 2).sum(axis=1)
        total = np.maximum(samples + here, 1)
        shift = level - mean
        squares += np.where(here > 0, spread + shift**2 * samples * here / total, 0.0)
        mean += np.where(here > 0, shift * here / total, 0.0)
        samples += here
    job.step(1.0, "reading a region")
    gain, offset = np.asarray(cube.gain), np.asarray(cube.offset)
    std = np.sqrt(np.divide(squares, samples - 1, out=np.full(bands, np.nan), where=samples > 1))
    mean = np.where(samples > 0, mean * gain + offset, np.nan)
    return RegionSpectrum(region.count, read, mean, std * np.abs(gain), samples)


def _parts(region: Region, apart: int, bands: int) -> Iterator[tuple[float, Window, np.ndarray]]:
    """Share done, window to read, and (h, w) bool of the pixels that count in it."""
    window, step = region.window, region.step
    filled = np.flatnonzero(region.inside.any(axis=1))
    if apart == step == 1:
        some = max(1, READ_VALUES // (bands * window.width))
        done = 0
        # Rows between the pieces of a scattered label are not read.
        for run in np.split(filled, np.flatnonzero(np.diff(filled) > 1) + 1):
            for start in range(0, run.size, some):
                rows = run[start : start + some]
                inside = region.inside[rows[0] : rows[-1] + 1]
                cols = np.flatnonzero(inside.any(axis=0))
                left, stop = int(cols[0]), int(cols[-1]) + 1
                part = Window(window.row + int(rows[0]), window.col + left, rows.size, stop - left)
                yield done / filled.size, part, inside[:, left:stop]
                done += rows.size
        return
    rows = filled[min((apart - 1) // 2, filled.size - 1) :: apart]
    for place, k in enumerate(rows):
        cols = np.flatnonzero(region.inside[k])
        cols = cols[min((apart - 1) // 2, cols.size - 1) :: apart] * step
        picks = np.zeros((1, int(cols[-1] - cols[0]) + 1), bool)
        picks[0, cols - cols[0]] = True
        yield place / rows.size, Window(window.row + int(k) * step, window.col + int(cols[0]), *picks.shape), picks


Grid = tuple[Window, int, np.ndarray, np.ndarray]


def _grid(low: np.ndarray, high: np.ndarray, shape: tuple[int, int]) -> Grid | None:
    """Window of the pixels whose centres lie between two corners, the step between the places looked at, and these."""
    first = np.maximum(np.ceil(low), 0).astype(np.intp)
    last = np.minimum(np.floor(high), np.asarray(shape) - 1).astype(np.intp)
    if (last < first).any():
        return None
    height, width = (int(n) for n in last - first + 1)
    step = max(1, math.ceil(math.sqrt(height * width / MOST_PLACES)))
    window = Window(int(first[0]), int(first[1]), height, width)
    return window, step, np.arange(first[0], last[0] + 1, step), np.arange(first[1], last[1] + 1, step)

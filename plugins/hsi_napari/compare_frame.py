"""One grid for two images of the same ground: the finer of the two, over all that either covers. Knows no viewer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from hsi_napari.placing import plane_of

if TYPE_CHECKING:
    from napari.layers import Layer

# A picture of more pixels is thinned: 16 MB of RGBA can still be sent to the screen while a hand drags.
FRAME_PIXELS = 4_000_000
# Grids that are turned against each other by less, pixels over the whole picture, count as parallel.
_PARALLEL_PX = 0.01


@dataclass(frozen=True, eq=False)
class Place:
    """Where an image lies: pixel (row, col) is centred at ``start + step @ (row, col)`` of the world (y, x).

    step : (2, 2); start : (2,); shape : (H, W)
    """

    step: np.ndarray
    start: np.ndarray
    shape: tuple[int, int]

    @property
    def pixel(self) -> float:
        """Side of a pixel in world units."""
        return float(np.sqrt(abs(np.linalg.det(self.step))))

    def to_pixel(self, world: np.ndarray) -> np.ndarray:
        """(row, col) of places (..., 2) of the world."""
        return np.asarray((np.asarray(world) - self.start) @ np.linalg.inv(self.step).T)

    def to_world(self, pixel: np.ndarray) -> np.ndarray:
        """(y, x) of pixels (..., 2)."""
        return np.asarray(self.start + np.asarray(pixel) @ self.step.T)

    @cached_property
    def corners(self) -> np.ndarray:
        """(4, 2) of the world: the outer corners of the corner pixels."""
        height, width = self.shape
        return self.to_world(np.array([[r, c] for r in (-0.5, height - 0.5) for c in (-0.5, width - 0.5)]))


def place_of(layer: Layer, shape: tuple[int, int]) -> Place:
    """Where a layer with pixels (H, W) lies."""
    step, start = plane_of(layer)
    return Place(np.asarray(step, dtype=float), np.asarray(start, dtype=float), shape)


def same_grid(first: Place, second: Place) -> bool:
    """True where the pixels of one lie on those of the other."""
    return first.shape == second.shape and bool(
        np.allclose(first.corners, second.corners, rtol=0, atol=_PARALLEL_PX * first.pixel)
    )


def common_frame(first: Place, second: Place, most: int = FRAME_PIXELS) -> tuple[Place, int]:
    """The grid of the finer image, ``first`` of equals, extended over both; thinned to at most ``most`` pixels.

    Returns
    -------
    frame : pixels lie on pixels of the finer image, or in the middle of blocks of them
    thinning : side of these blocks, 1 where nothing was left out
    """
    finer = second if second.pixel < first.pixel * (1 - 1e-6) else first
    # In the finer image's pixels; thousandths of one are rounding, not ground.
    reach = np.concatenate([finer.to_pixel(place.corners) for place in (first, second)])
    low = np.floor(reach.min(axis=0) + 0.5 + 1e-3).astype(int)
    high = np.ceil(reach.max(axis=0) + 0.5 - 1e-3).astype(int)
    size = np.maximum(high - low, 1)
    thinning = max(1, int(np.ceil(np.sqrt(size[0] * size[1] / most))))
    shape = tuple(int(n) for n in -(-size // thinning))
    start = finer.to_world(low + (thinning - 1) / 2)
    return Place(finer.step * thinning, start, (shape[0], shape[1])), thinning


class Regrid:
    """Takes images from one grid to another by the nearest pixel."""

    def __init__(self, source: Place, frame: Place) -> None:
        turn = np.linalg.inv(source.step) @ frame.step
        shift = source.to_pixel(frame.start)
        self._shape = frame.shape
        height, width = frame.shape
        off = max(abs(turn[0, 1]) * width, abs(turn[1, 0]) * height)
        self._is_parallel = off < _PARALLEL_PX
        if self._is_parallel:
            rows, cols = turn[0, 0] * np.arange(height) + shift[0], turn[1, 1] * np.arange(width) + shift[1]
            rows, cols = rows[:, None], cols[None, :]
        else:
            row, col = np.mgrid[0:height, 0:width]
            rows = turn[0, 0] * row + turn[0, 1] * col + shift[0]
            cols = turn[1, 0] * row + turn[1, 1] * col + shift[1]
        # Half a pixel up is the next one; a hair less keeps rounding from doing so.
        rows, cols = (np.floor(at + 0.5 - 1e-6).astype(np.intp) for at in (rows, cols))
        down, right = source.shape
        self._outside = (rows < 0) | (rows >= down) | (cols < 0) | (cols >= right)
        self._rows, self._cols = np.clip(rows, 0, down - 1), np.clip(cols, 0, right - 1)
        self._is_same = source.shape == frame.shape and same_grid(source, frame)

    def __call__(self, image: np.ndarray, fill: float = np.nan) -> np.ndarray:
        """An image (H, W, ...) on the frame's grid; ``fill`` where the image does not reach."""
        if self._is_same:
            return image
        rows, cols = self._rows, self._cols
        # One axis after the other is several times faster than both at once.
        taken = image[rows[:, 0]][:, cols[0]] if self._is_parallel else image[rows, cols]
        if self._outside.any():
            taken[np.broadcast_to(self._outside, self._shape)] = fill
        return taken

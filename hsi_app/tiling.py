"""Windows on the image plane, and tilings whose blended pieces add up to the whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, order=True)
class Window:
    """A rectangle of pixels: rows row ... row+height-1, columns col ... col+width-1."""

    row: int
    col: int
    height: int
    width: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """(rows, cols) as slices."""
        return slice(self.row, self.row + self.height), slice(self.col, self.col + self.width)

    @property
    def pixels(self) -> int:
        """Number of pixels."""
        return self.height * self.width

    def grown(self, by: int, shape: tuple[int, int]) -> Window:
        """The window with ``by`` more pixels on each side, cut at the image's edge."""
        top, left = max(self.row - by, 0), max(self.col - by, 0)
        bottom = min(self.row + self.height + by, shape[0])
        right = min(self.col + self.width + by, shape[1])
        return Window(top, left, bottom - top, right - left)

    def inside(self, outer: Window) -> tuple[slice, slice]:
        """Slices of this window within an array that holds ``outer``."""
        top, left = self.row - outer.row, self.col - outer.col
        return slice(top, top + self.height), slice(left, left + self.width)


@dataclass(frozen=True)
class Tile:
    """A piece of work: read ``read``, keep ``keep`` of the result, weigh it with ``weight``."""

    read: Window
    keep: Window
    ramps: tuple[np.ndarray, np.ndarray]

    @property
    def weight(self) -> np.ndarray:
        """(height, width) float32 weights of ``keep``; over all tiles they add to 1 at every pixel."""
        rows, cols = self.ramps
        return rows[:, None] * cols[None, :]

    @property
    def blends(self) -> bool:
        """True where the tile shares pixels with a neighbour."""
        return bool((self.ramps[0] < 1).any() or (self.ramps[1] < 1).any())


def _spans(length: int, size: int, overlap: int, align: int) -> list[tuple[int, int, np.ndarray]]:
    """Cut an axis into spans (start, stop, ramp) whose ramps add to one."""
    # Counted in units of ``align``. Even spans are at least 2/3 of the longest; a span shorter than the overlap
    # would put three ramps over one pixel, which no longer add to one.
    longest = max((size - overlap) // align, -(-3 * -(-overlap // align) // 2), 1)
    units = -(-(length - overlap) // align)
    count = 1 if size >= length else max(-(-units // longest), 1)
    # Even spans rather than a thin last one: a thin span has little context to work with.
    edges = np.round(np.linspace(0, units, count + 1)).astype(int) * align
    edges[-1] = length - overlap
    spans = []
    for k in range(count):
        start, stop = int(edges[k]), int(edges[k + 1]) + overlap
        ramp = np.ones(stop - start, np.float32)
        rise = (np.arange(overlap, dtype=np.float32) + 0.5) / max(overlap, 1)
        if k > 0:
            ramp[:overlap] = rise
        if k < count - 1 and overlap:
            ramp[-overlap:] = 1 - rise
        spans.append((start, stop, ramp))
    return spans


def plan_tiles(
    shape: tuple[int, int], size: tuple[int, int], *, margin: int = 0, overlap: int = 0, align: int = 1
) -> list[Tile]:
    """Cover an image with tiles, row by row.

    Parameters
    ----------
    shape : (H, W) of the image, px
    size : (height, width) of a tile's kept part at most, px; at least one ``align`` and 3/2 overlaps beside the
        overlap itself are used
    margin : context read around the kept part and thrown away, px
    overlap : px shared by neighbours and blended with linear ramps
    align : kept parts begin at multiples of this, px; with ``margin`` a multiple too, so do the parts read

    Returns
    -------
    Tiles in row-major order; ``sum(tile.weight) == 1`` at every pixel.
    """
    tiles = []
    for top, bottom, row_ramp in _spans(shape[0], size[0], overlap, align):
        for left, right, col_ramp in _spans(shape[1], size[1], overlap, align):
            keep = Window(top, left, bottom - top, right - left)
            tiles.append(Tile(keep.grown(margin, shape), keep, (row_ramp, col_ramp)))
    return tiles


def strips(shape: tuple[int, int], rows: int) -> Iterator[Window]:
    """Full-width windows of at most ``rows`` rows, top to bottom."""
    for top in range(0, shape[0], max(rows, 1)):
        yield Window(top, 0, min(max(rows, 1), shape[0] - top), shape[1])

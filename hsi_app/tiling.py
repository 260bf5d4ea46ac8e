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

    def scaled(self, by: int) -> Window:
        """The same ground on a grid ``by`` times finer."""
        return Window(self.row * by, self.col * by, self.height * by, self.width * by)

    def shrunk(self, by: int) -> Window:
        """The same ground on a grid ``by`` times coarser; the window lies on its blocks."""
        assert not any(n % by for n in (self.row, self.col, self.height, self.width))
        return Window(self.row // by, self.col // by, self.height // by, self.width // by)

    def inside(self, outer: Window) -> tuple[slice, slice]:
        """Slices of this window within an array that holds ``outer``."""
        top, left = self.row - outer.row, self.col - outer.col
        return slice(top, top + self.height), slice(left, left + self.width)


@dataclass(frozen=True)
class Tile:
    """A piece of work: read ``read``, keep ``keep`` of the result, weigh it with ``weight``.

    fades : pixels shared with the neighbours before and after, along rows and along columns
    """

    read: Window
    keep: Window
    fades: tuple[tuple[int, int], tuple[int, int]]

    @property
    def ramps(self) -> tuple[np.ndarray, np.ndarray]:
        """(height,) and (width,) float32 weights of rows and columns, rising and falling linearly."""
        return _ramp(self.keep.height, *self.fades[0]), _ramp(self.keep.width, *self.fades[1])

    @property
    def weight(self) -> np.ndarray:
        """(height, width) float32 weights of ``keep``; over all tiles they add to 1 at every pixel."""
        rows, cols = self.ramps
        return rows[:, None] * cols[None, :]

    @property
    def blends(self) -> bool:
        """True where the tile shares pixels with a neighbour."""
        return any(map(any, self.fades))

    def scaled(self, by: int) -> Tile:
        """The same tile on a grid ``by`` times finer; its weights are linear on that grid."""
        rows, cols = ((before * by, after * by) for before, after in self.fades)
        return Tile(self.read.scaled(by), self.keep.scaled(by), (rows, cols))


def _ramp(length: int, before: int, after: int) -> np.ndarray:
    ramp = np.ones(length, np.float32)
    if before:
        ramp[:before] = _rise(before)
    if after:
        ramp[-after:] = 1 - _rise(after)
    return ramp


def _rise(length: int) -> np.ndarray:
    return (np.arange(length, dtype=np.float32) + 0.5) / length


def _spans(length: int, size: int, overlap: int, align: int) -> list[tuple[int, int, tuple[int, int]]]:
    """Cut an axis into spans (start, stop, fades) whose weights add to one."""
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
        fades = overlap if k > 0 else 0, overlap if k < count - 1 else 0
        spans.append((int(edges[k]), int(edges[k + 1]) + overlap, fades))
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
    for top, bottom, row_fades in _spans(shape[0], size[0], overlap, align):
        for left, right, col_fades in _spans(shape[1], size[1], overlap, align):
            keep = Window(top, left, bottom - top, right - left)
            tiles.append(Tile(keep.grown(margin, shape), keep, (row_fades, col_fades)))
    return tiles


def strips(shape: tuple[int, int], rows: int) -> Iterator[Window]:
    """Full-width windows of at most ``rows`` rows, top to bottom."""
    for top in range(0, shape[0], max(rows, 1)):
        yield Window(top, 0, min(max(rows, 1), shape[0] - top), shape[1])

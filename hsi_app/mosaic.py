"""Put restored tiles together: finished windows come out as soon as no later tile can touch them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hsi_app.tiling import Tile, Window


class Mosaic:
    """Blend tiles given in row-major order, holding one row of tiles at a time.

    Where one tile has NaN (it could not restore the sample) its neighbours' weights count for the whole;
    NaN is left only where no tile has a number.

    Parameters
    ----------
    tiles : all tiles, as ``plan_tiles`` made them
    """

    def __init__(self, tiles: list[Tile]) -> None:
        self._tiles = tiles
        self._width = max(tile.keep.col + tile.keep.width for tile in tiles)
        self._done = 0
        self._rows = (0, 0)
        self._held: np.ndarray | None = None
        # Weight that NaN took away, per sample; made only when there is any, for it doubles what is held.
        self._lost: np.ndarray | None = None

    def add(self, tile: Tile, values: np.ndarray) -> Iterator[tuple[Window, np.ndarray]]:
        """Take the next tile's kept part (B, h, w) and give out the windows that are finished by it."""
        assert tile is self._tiles[self._done]
        self._done += 1
        following = self._tiles[self._done] if self._done < len(self._tiles) else None
        if not tile.blends:
            yield tile.keep, values
            return
        top, bottom = tile.keep.row, tile.keep.row + tile.keep.height
        if self._held is None or self._rows != (top, bottom):
            self._open_row(values.shape[0], values.dtype, top, bottom)
        self._blend(tile, values)
        if following is not None and following.keep.row == top:
            return
        last = bottom if following is None else following.keep.row
        yield Window(top, 0, last - top, self._width), self._finished(last - top)

    def _blend(self, tile: Tile, values: np.ndarray) -> None:
        assert self._held is not None
        cols = slice(tile.keep.col, tile.keep.col + tile.keep.width)
        nowhere = np.isnan(values)
        if nowhere.any():
            if self._lost is None:
                self._lost = np.zeros_like(self._held)
            self._lost[:, :, cols] += nowhere * tile.weight
            values = np.where(nowhere, 0, values)
        self._held[:, :, cols] += values * tile.weight

    def _finished(self, rows: int) -> np.ndarray:
        assert self._held is not None
        if self._lost is None:
            return self._held[:, :rows]
        left = 1 - self._lost[:, :rows]
        # A weight is at least (1 / 2 overlap)^2; what is smaller is what rounding left of zero.
        somewhere = left > 1e-5
        return np.where(somewhere, self._held[:, :rows] / np.where(somewhere, left, 1), np.nan).astype(self._held.dtype)

    def _open_row(self, bands: int, dtype: np.dtype, top: int, bottom: int) -> None:
        shape, shared = (bands, bottom - top, self._width), self._rows[1] - top
        self._held = _carried(self._held, shape, shared, dtype)
        self._lost = None if self._lost is None else _carried(self._lost, shape, shared, dtype)
        self._rows = (top, bottom)


def _carried(before: np.ndarray | None, shape: tuple[int, int, int], shared: int, dtype: np.dtype) -> np.ndarray:
    """Zeros of ``shape`` whose first ``shared`` rows are the last ones of the row of tiles before."""
    row = np.zeros(shape, dtype)
    if before is not None:
        row[:, :shared] = before[:, before.shape[1] - shared :]
    return row

"""Put restored tiles together: finished windows come out as soon as no later tile can touch them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from hsi_app.tiling import Tile, Window


class Mosaic:
    """Blend tiles given in row-major order, holding one row of tiles at a time.

    Parameters
    ----------
    tiles : all tiles, as ``plan_tiles`` made them
    """

    def __init__(self, tiles: list[Tile]) -> None:
        self._tiles = tiles
        self._done = 0
        self._held: np.ndarray | None = None
        self._held_rows = (0, 0)

    def add(self, tile: Tile, values: np.ndarray) -> Iterator[tuple[Window, np.ndarray]]:
        """Take the next tile's kept part (B, h, w) and give out the windows that are finished by it."""
        assert tile is self._tiles[self._done]
        self._done += 1
        following = self._tiles[self._done] if self._done < len(self._tiles) else None
        if not tile.blends:
            yield tile.keep, values
            return
        top, bottom = tile.keep.row, tile.keep.row + tile.keep.height
        if self._held is None or self._held_rows != (top, bottom):
            self._open_row(values.shape[0], values.dtype, top, bottom)
        assert self._held is not None
        cols = slice(tile.keep.col, tile.keep.col + tile.keep.width)
        # NaN marks what a method could not restore; it must not spread through a zero weight.
        self._held[:, :, cols] += np.where(tile.weight > 0, values * tile.weight, 0).astype(values.dtype)
        if following is not None and following.keep.row == top:
            return
        last = bottom if following is None else following.keep.row
        width = self._held.shape[2]
        yield Window(top, 0, last - top, width), self._held[:, : last - top]

    def _open_row(self, bands: int, dtype: np.dtype, top: int, bottom: int) -> None:
        width = max(tile.keep.col + tile.keep.width for tile in self._tiles)
        row = np.zeros((bands, bottom - top, width), dtype)
        if self._held is not None:
            shared = self._held_rows[1] - top
            row[:, :shared] = self._held[:, self._held.shape[1] - shared :]
        self._held, self._held_rows = row, (top, bottom)

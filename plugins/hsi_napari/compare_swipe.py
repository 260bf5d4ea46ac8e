"""A picture that is one image on this side of a divider and another one on that. Knows no viewer."""

from __future__ import annotations

import numpy as np


class Swipe:
    """Two pictures of one shape, put together at a divider that moves.

    Parameters
    ----------
    before, after : (H, W, 4) uint8
    share : where the divider is, from 0 (all after) to 1 (all before)
    is_upright : the divider is a column, before left of it; otherwise a row, before above it
    """

    def __init__(self, before: np.ndarray, after: np.ndarray, share: float = 0.5, *, is_upright: bool = True) -> None:
        self._share, self._is_upright = min(max(share, 0.0), 1.0), is_upright
        self.show(before, after)

    @property
    def share(self) -> float:
        """Where the divider is, from 0 to 1."""
        return self._share

    @property
    def is_upright(self) -> bool:
        """True where the divider is a column."""
        return self._is_upright

    @property
    def split(self) -> int:
        """The first column, or row, that shows after."""
        return round(self._share * self._length)

    def show(self, before: np.ndarray, after: np.ndarray) -> None:
        """Put other pictures in the place of these; the divider stays at its share."""
        if before.shape != after.shape:
            raise ValueError(f"pictures of shapes {before.shape} and {after.shape} cannot be put together")
        self._before, self._after = before, after
        # An array of its own, changed in place when the divider moves.
        self.picture = after.copy()
        self._put(before, 0, self.split)

    def turn(self, is_upright: bool) -> None:
        """Set the divider upright or level; it stays at its share."""
        self._is_upright = is_upright
        self.show(self._before, self._after)

    def move(self, share: float) -> bool:
        """Move the divider; False where the picture stays the same. Copies no more than the strip it passes over."""
        before = self.split
        self._share = min(max(share, 0.0), 1.0)
        after = self.split
        if after > before:
            self._put(self._before, before, after)
        else:
            self._put(self._after, after, before)
        return after != before

    @property
    def _length(self) -> int:
        return int(self._before.shape[1 if self._is_upright else 0])

    def _put(self, source: np.ndarray, start: int, stop: int) -> None:
        part = (slice(None), slice(start, stop)) if self._is_upright else (slice(start, stop),)
        self.picture[part] = source[part]

"""Plain binary samples written in any order of windows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np


class RawSamples:
    """A file of samples that takes blocks of a cube.

    Parameters
    ----------
    path : file to make
    shape : (B, H, W)
    dtype : number type with byte order, as stored
    order : which of the axes (band, row, col) is stored first, second and last
    start : bytes written before the samples of a new file
    offset : where the samples begin in a file that exists, whose other bytes stay; None makes a new file
    """

    def __init__(
        self,
        path: Path,
        shape: tuple[int, int, int],
        dtype: np.dtype[Any],
        order: tuple[int, ...],
        start: bytes = b"",
        offset: int | None = None,
    ) -> None:
        self._order, self._dtype = order, dtype
        self._offset = len(start) if offset is None else offset
        self._sizes = [shape[axis] for axis in order]
        self._file = open(path, "w+b" if offset is None else "r+b")  # noqa: SIM115 - open until close()
        if offset is None:
            self._file.write(start)
            # The full length at once: windows may come in any order.
            self._file.truncate(len(start) + int(np.prod(shape, dtype=np.int64)) * dtype.itemsize)

    def put(self, rows: slice, cols: slice, block: np.ndarray) -> None:
        """Store a block (B, h, w)."""
        first, second, third = ((0, rows.start, cols.start)[axis] for axis in self._order)
        for k, plane in enumerate(block.transpose(self._order)):
            stored = np.ascontiguousarray(plane, self._dtype)
            line = (first + k) * self._sizes[1] + second
            if stored.shape[1] == self._sizes[2]:
                self._write_at(line * self._sizes[2], stored)
            else:
                for j, part in enumerate(stored):
                    self._write_at((line + j) * self._sizes[2] + third, part)
        # A full disk should be met here, where the caller expects it.
        self._file.flush()

    def _write_at(self, sample: int, values: np.ndarray) -> None:
        self._file.seek(self._offset + sample * self._dtype.itemsize)
        self._file.write(values.data)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

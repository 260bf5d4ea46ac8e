"""Where finished windows go: into memory, or streamed into a file that appears complete or not at all."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from hsi_app.cube import Cube
from hsi_app.errors import OutputError
from hsi_app.tiling import Window


class Sink(Protocol):
    """Takes each window of the result once, then gives the whole."""

    @property
    def unfinished(self) -> Path | None:
        """Where files lie until they are whole, or None."""

    def write(self, window: Window, block: np.ndarray) -> None:
        """Take (B, h, w) float32 values in stored units."""

    def result(self) -> Cube:
        """The cube of all windows; after the context has closed."""


class MemorySink:
    """Collects the result in memory."""

    def __init__(self, like: Cube) -> None:
        self._like, self._values = like, np.empty(like.shape, np.float32)
        self.unfinished = None

    def write(self, window: Window, block: np.ndarray) -> None:
        """Put a window in its place."""
        rows, cols = window.slices
        self._values[:, rows, cols] = block

    def result(self) -> Cube:
        """The cube, with its values in memory."""
        return dataclasses.replace(self._like, values=self._values)


class FileSink:
    """Streams the result into a file; ``unfinished`` is the hidden folder where it lies until it is whole."""

    def __init__(self, writer: Any, path: Path) -> None:
        self._writer, self._path = writer, path
        self.unfinished: Path = writer.hidden

    def write(self, window: Window, block: np.ndarray) -> None:
        """Append a window to the file."""
        self._writer.write(window, block)

    def result(self) -> Cube:
        """The cube, read lazily from the finished file."""
        from hsi_app.io import open_cube

        return open_cube(self._path)


@contextmanager
def open_sink(out: str | Path | None, like: Cube, overwrite: bool) -> Iterator[Sink]:
    """A sink in memory, or into the file ``out``, which is removed again where the block raises.

    Raises OutputError if the file exists (without ``overwrite``) or cannot be written.
    """
    if out is None:
        yield MemorySink(like)
        return
    from hsi_app.io import create_cube

    with create_cube(out, like, dtype="float32", overwrite=overwrite) as writer:
        yield FileSink(writer, Path(out))


def refuse_own_input(cube: Cube, out: Path) -> None:
    """Raise OutputError if writing ``out`` would replace the file that is being read, or its header."""
    if cube.source is None:
        return
    source = Path(cube.source.split("::")[0]).resolve()
    target = out.resolve()
    # An ENVI pair shares its stem, and writing one of the two names replaces the header of both.
    paired = {".hdr", ".img", ".dat", ".bsq", ".bil", ".bip", ".raw", ".sli", ""}
    is_pair = (
        target.with_suffix("") == source.with_suffix("") and {source.suffix.lower(), target.suffix.lower()} <= paired
    )
    if target == source or is_pair:
        raise OutputError(f"'{out}' is the input itself, which is never changed; choose another name.")

"""Damaged files: whatever a library raises on them as one error of ours, and no memory on their word alone."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hsi_app.device import format_bytes
from hsi_app.errors import FormatError, HsiError

# Deflate, which packs .npz, MATLAB, HDF5 and ENVI files, never does better (zlib's technical notes).
BEST_RATIO = 1032
# A cube has fewer bands; a band axis, unlike the samples, is held in memory whole.
MOST_BANDS = 2**20


@contextmanager
def readable(path: str | Path, kind: str = "an image") -> Iterator[None]:
    """Turn every failure of a reader into a FormatError of one line.

    Every one: readers of files that others wrote raise whatever a damaged byte leads them to, in no list that holds.
    """
    try:
        yield
    except FormatError:
        raise
    except HsiError as error:
        raise FormatError(f"'{path}': {error}") from error
    except PermissionError as error:
        raise FormatError(f"'{path}' may not be read; ask its owner for permission.") from error
    except MemoryError as error:
        raise FormatError(
            f"'{path}' does not fit in memory, and its format is read whole; convert it first."
        ) from error
    except Exception as error:
        told = " ".join(str(error).split())[:160] or type(error).__name__
        raise FormatError(f"'{path}' cannot be read as {kind} ({told}); it may be damaged.") from error


def check_claim(path: str | Path, nbytes: int) -> None:
    """Raise FormatError where a file, packed as well as can be, cannot hold the bytes its header claims."""
    size = Path(path).stat().st_size
    if nbytes > size * BEST_RATIO:
        raise FormatError(
            f"'{path}' claims {format_bytes(nbytes)} of samples, more than its {format_bytes(size)} can hold;"
            " it is damaged: fetch it again."
        )


def check_room(path: str | Path, nbytes: int) -> None:
    """Raise FormatError, before any memory is taken, where what is read whole does not fit in what is free."""
    import psutil

    free = psutil.virtual_memory().available
    if nbytes > free:
        raise FormatError(
            f"'{path}' needs {format_bytes(nbytes)} of memory, for its format is read whole, but {format_bytes(free)}"
            " are free; convert it first."
        )


class BoundedFile(io.BufferedReader):
    """A file that is asked for no more than it has left: Python makes room first for whatever a read asks for."""

    def __init__(self, path: str | Path) -> None:
        super().__init__(io.FileIO(path))
        self._end = Path(path).stat().st_size

    def read(self, size: int | None = -1, /) -> bytes:
        """See io.BufferedReader."""
        left = max(self._end - self.tell(), 0)
        return super().read(left if size is None or size < 0 else min(size, left))

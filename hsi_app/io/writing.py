"""Writing a cube window by window: checked beforehand, verified afterwards, and all or nothing."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, final

import numpy as np

from hsi_app.cube import Cube
from hsi_app.device import format_bytes
from hsi_app.errors import FormatError, HsiError, OutputError, PlanError
from hsi_app.tiling import Window


@dataclass(frozen=True, eq=False)
class Plan:
    """What will be written: shape and number type, and the cube whose facts go with it.

    Parameters
    ----------
    like : cube whose bands, map frame, scale, unit, facts and history are written; its values are not read
    shape : (B, H, W)
    dtype : number type of the file
    nodata : number that stands for "missing" in the file, or None
    """

    like: Cube
    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    nodata: float | None

    @property
    def nbytes(self) -> int:
        """Bytes of the samples."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize


class BlockWriter(ABC):
    """What a format offers for writing: blocks in any order, then a finish."""

    @abstractmethod
    def put(self, rows: slice, cols: slice, block: np.ndarray) -> None:
        """Store a block (B, h, w), already of the file's number type."""

    @abstractmethod
    def finish(self) -> None:
        """Write what is left and close the file."""

    @abstractmethod
    def abandon(self) -> None:
        """Close the file; it will be deleted."""


# What NumPy, h5py, zarr and the system raise where a write fails.
WRITE_FAULTS = (OSError, RuntimeError, ValueError, TypeError)

CreateWriter = Callable[[Path, Plan], BlockWriter]


def fit_to_dtype(block: np.ndarray, dtype: np.dtype[Any], nodata: float | None) -> np.ndarray:
    """Samples as the given number type: rounded and clipped to its limits where it is an integer; NaN -> nodata."""
    if block.dtype == dtype:
        return block
    if dtype.kind not in "iu" or block.dtype.kind not in "f":
        if dtype.kind in "iu" and block.dtype.kind in "iu":
            to, given = np.iinfo(dtype), np.iinfo(block.dtype)
            block = np.clip(block, max(to.min, given.min), min(to.max, given.max))
        with np.errstate(over="ignore"):
            return block.astype(dtype)
    limits = np.iinfo(dtype)
    missing = np.isnan(block)
    # float64 holds no integer between 2**63 - 1024 and 2**63, so the upper limit is the float below.
    top = float(limits.max) if dtype.itemsize < 8 else np.nextafter(float(limits.max), 0)
    whole = np.clip(np.rint(np.where(missing, 0, block).astype(np.float64)), float(limits.min), top).astype(dtype)
    if missing.any() and nodata is not None:
        whole[missing] = dtype.type(int(nodata))
    return whole


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def output_error(error: BaseException, path: Path) -> HsiError:
    """The error a person should see where writing to ``path`` failed."""
    if isinstance(error, HsiError):
        return error
    code = error.errno if isinstance(error, OSError) else None
    if code in (errno.ENOSPC, errno.EDQUOT):
        return OutputError(f"no space left while writing '{path}'; free some, or write to another disk.")
    if code in (errno.EACCES, errno.EPERM, errno.EROFS):
        return OutputError(f"'{path.parent}' may not be written to ({error}); choose another folder.")
    return OutputError(f"'{path}' could not be written: {_one_line(error)}.")


def _check_target(path: Path, finals: list[Path], nbytes: int, overwrite: bool) -> None:
    folder = path.parent
    if not folder.is_dir():
        raise OutputError(f"the folder '{folder}' does not exist; make it, or choose another.")
    for final_path in finals:
        if final_path.exists() and not overwrite:
            raise OutputError(f"'{final_path}' exists already; choose another name, or ask for overwriting.")
        if final_path.is_dir() and final_path.suffix.lower() != ".zarr":
            raise OutputError(f"'{final_path}' is a folder; choose another name.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"'{folder}' may not be written to; choose another folder.")
    free = shutil.disk_usage(folder).free
    if nbytes > free:
        raise PlanError(
            f"'{path}' needs {format_bytes(nbytes)} but '{folder}' has {format_bytes(free)} free;"
            " free some, or write to another disk."
        )


@final
class CubeWriter:
    """Context manager that takes a cube window by window.

    All files are made in a hidden folder beside the target. On a clean exit they are re-opened, checked and moved to
    their names; on an error nothing appears and an existing target stays as it was. ``write`` may be called from any
    one thread at a time; a lock guards it.

    Raises
    ------
    OutputError
        On entering: missing or unwritable folder, or an existing target without ``overwrite``. On writing: full disk.
        On leaving: rows left unwritten, or a file that does not read back as written.
    PlanError
        If the samples cannot fit on the disk.
    """

    def __init__(
        self,
        path: Path,
        names: tuple[str, ...],
        plan: Plan,
        create: CreateWriter,
        reopen: Callable[[Path], Cube],
        overwrite: bool,
    ) -> None:
        self.path, self.plan = path, plan
        self._finals = [path.parent / name for name in names]
        self._create, self._reopen, self._overwrite = create, reopen, overwrite
        self._lock = threading.Lock()
        self._hidden: Path | None = None
        self._block_writer: BlockWriter | None = None
        self._written = np.zeros(plan.shape[1], np.int64)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(B, H, W) being written."""
        return self.plan.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Number type being written."""
        return self.plan.dtype

    @property
    def hidden(self) -> Path | None:
        """The hidden folder beside the target, while the files are being written."""
        return self._hidden

    def __enter__(self) -> CubeWriter:
        _check_target(self.path, self._finals, self.plan.nbytes, self._overwrite)
        try:
            self._hidden = Path(tempfile.mkdtemp(prefix=f".{self.path.name}.", suffix=".partial", dir=self.path.parent))
            self._block_writer = self._create(self._hidden / self.path.name, self.plan)
        except BaseException as error:
            self._discard()
            if isinstance(error, WRITE_FAULTS):
                raise output_error(error, self.path) from error
            raise
        return self

    def write(self, window: Window, block: np.ndarray) -> None:
        """Store the samples of a window.

        Parameters
        ----------
        window : rectangle inside the image
        block : (B, h, w) real numbers; rounded and clipped where the file holds integers, with NaN as ``nodata``

        Raises OutputError where the window or the block does not fit, and on a full disk.
        """
        bands, height, width = self.plan.shape
        fits = window.row >= 0 and window.row + window.height <= height
        if not (fits and window.col >= 0 and window.col + window.width <= width):
            raise OutputError(f"{window} lies outside the image of {height} x {width}.")
        if block.shape != (bands, window.height, window.width):
            raise OutputError(
                f"a block of shape {block.shape} for {window} of {bands} bands;"
                f" it needs {(bands, window.height, window.width)}."
            )
        if self._block_writer is None:
            raise OutputError("the writer is not open; use it in a with statement.")
        with self._lock:
            try:
                self._block_writer.put(*window.slices, fit_to_dtype(block, self.plan.dtype, self.plan.nodata))
            except WRITE_FAULTS as error:
                raise output_error(error, self.path) from error
            self._written[window.slices[0]] += window.width

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._publish()
        finally:
            self._discard()

    def _publish(self) -> None:
        assert self._block_writer is not None
        assert self._hidden is not None
        for rows, how in ((self._written < self.plan.shape[2], "left unwritten"),
                          (self._written > self.plan.shape[2], "written twice")):  # fmt: skip
            if rows.any():
                raise OutputError(f"{rows.sum()} rows of '{self.path}' were {how} (first: {np.argmax(rows)}).")
        try:
            writer, self._block_writer = self._block_writer, None
            writer.finish()
            self._verify(self._hidden / self.path.name)
            self._move_into_place(self._hidden)
        except WRITE_FAULTS as failure:
            raise output_error(failure, self.path) from failure

    def _verify(self, hidden: Path) -> None:
        try:
            again = self._reopen(hidden)
            np.asarray(again.values[-1:, -1:, -1:])
        except FormatError as error:
            raise OutputError(f"'{self.path}' does not read back after writing: {_one_line(error)}") from error
        if again.shape != self.plan.shape or again.dtype.newbyteorder("=") != self.plan.dtype:
            raise OutputError(
                f"'{self.path}' reads back as {again.shape} {again.dtype}, not {self.plan.shape} {self.plan.dtype}."
            )

    def _move_into_place(self, hidden: Path) -> None:
        replaced = hidden / "replaced"
        replaced.mkdir()
        # Headers are listed last: a reader never finds one without its data.
        for final_path in self._finals:
            aside = replaced / final_path.name
            if final_path.is_dir():
                # A folder cannot be replaced in one step; it steps aside first.
                final_path.rename(aside)
            try:
                os.replace(hidden / final_path.name, final_path)
            except OSError:
                if aside.exists():
                    aside.rename(final_path)
                raise

    def _discard(self) -> None:
        writer, self._block_writer = self._block_writer, None
        if writer is not None:
            # The first error is the one to report.
            with contextlib.suppress(*WRITE_FAULTS):
                writer.abandon()
        if self._hidden is not None:
            shutil.rmtree(self._hidden, ignore_errors=True)
            self._hidden = None

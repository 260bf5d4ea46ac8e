"""NumPy files: a bare array (.npy), read in place, or an archive of several (.npz)."""

from __future__ import annotations

import io
import math
import zipfile
from pathlib import Path
from typing import Any, final

import numpy as np

from hsi_app.bands import BandAxis
from hsi_app.cube import ArrayLike, Cube
from hsi_app.errors import FormatError
from hsi_app.io.arrays import ArrayInfo, band_axis, choose, is_vector, vector_lengths
from hsi_app.io.damage import check_claim, check_room, readable
from hsi_app.io.lazy import RawValues
from hsi_app.io.raw_writing import RawSamples
from hsi_app.io.writing import BlockWriter, Plan

# Vectors and texts beside a cube are small; anything longer is data.
SMALL_BYTES = 2**19


def _header(file: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, Fortran order and number type; the file stands at the first sample afterwards."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    try:
        shape, fortran, dtype = read(file)
    except MemoryError:
        # So Python's parser calls brackets that nest too deep.
        raise ValueError("its header is no description of an array") from None
    return tuple(int(n) for n in shape), bool(fortran), dtype


def open_npy(path: Path, array: str | None, wavelengths: bool) -> Cube:
    """Open a bare array of shape (H, W, B), or (H, W) for one band. It has no wavelengths.

    Raises FormatError where it is damaged, of another shape, or holds objects.
    """
    if array is not None:
        raise FormatError(f"'{path}' holds one array only; open it without '::{array}'.")
    with readable(path, "a .npy file"), open(path, "rb") as file:
        shape, fortran, dtype = _header(file)
        offset = file.tell()
    info = ArrayInfo(path.stem, shape, dtype)
    choice = choose([info], path.stem, {}, {}, path, squares=False)
    needed = offset + info.nbytes
    size = path.stat().st_size
    if size < needed:
        raise FormatError(f"'{path}' needs {needed} bytes for {shape} {dtype} but has {size}; fetch it again.")
    sizes, axes = (info.squeezed, choice.order) if choice.order else ((1, *info.squeezed), (0, 1, 2))
    bands, height, width = (sizes[axis] for axis in axes)
    order = tuple(axes.index(axis) for axis in range(3))
    if fortran:
        order = order[::-1]
    values = RawValues(str(path), (bands, height, width), dtype, order, offset)
    return _cube(path, values, BandAxis(bands), {"format": "NumPy array"}, choice.notes)


def _cube(path: Path, values: ArrayLike, axis: BandAxis, facts: dict[str, Any], notes: tuple[str, ...]) -> Cube:
    return Cube(values=values, bands=axis, name=path.stem, source=str(path), facts=facts, history=notes)


def _infos(path: Path) -> list[ArrayInfo]:
    """Arrays of an archive, by their headers, none larger than the file may hold."""
    infos = []
    with readable(path, "a .npz archive"), zipfile.ZipFile(path) as archive:
        for member in archive.namelist():
            if member.endswith(".npy"):
                with archive.open(member) as file:
                    # A header is short; its reader wants a file it can read in small bites.
                    shape, _, dtype = _header(io.BytesIO(file.read(2**16)))
                info = ArrayInfo(member[: -len(".npy")], shape, dtype)
                check_claim(path, info.nbytes)
                infos.append(info)
    return infos


def arrays(path: Path) -> list[tuple[str, tuple[int, ...], str]]:
    """Name, shape and number type of each array."""
    return [(i.name, i.shape, str(i.dtype)) for i in _infos(path)]


def open_npz(path: Path, array: str | None, wavelengths: bool) -> Cube:
    """Open the cube of an archive (H, W, B), with the wavelengths that lie beside it.

    The array is read whole: archives are packed. Texts beside it become facts.

    Raises FormatError where it is damaged or no array is clearly the cube.
    """
    infos = _infos(path)
    with readable(path, "a .npz archive"), np.load(path, allow_pickle=False) as archive:
        small = [i for i in infos if not i.dtype.hasobject and i.nbytes <= SMALL_BYTES]
        scalars = {i.base: float(archive[i.name].reshape(-1)[0]) for i in small if i.is_real and _is_one(i)}
        choice = choose(infos, array, vector_lengths(infos), scalars, path, squares=False)
        check_room(path, choice.info.nbytes)
        values = choice.arrange(archive[choice.info.name])
        vectors = {i.name: archive[i.name] for i in small if i.is_real and is_vector(i.shape)}
        texts = {i.name: str(archive[i.name]) for i in small if i.dtype.kind == "U" and not i.shape}
    axis, notes = band_axis(values.shape[0], vectors, {}, wavelengths)
    facts: dict[str, Any] = {"format": "NumPy archive", "array": choice.info.name, **texts}
    return _cube(path, values, axis, facts, (*choice.notes, *notes))


def _is_one(info: ArrayInfo) -> bool:
    return math.prod(info.shape) == 1


def looks_like_cube(path: Path) -> bool:
    """Whether a .npy has three axes of real numbers (or two), a .npz an array of three."""
    if path.suffix.lower() == ".npz":
        return any(i.is_real and len(i.squeezed) == 3 for i in _infos(path))
    with open(path, "rb") as file:
        shape, _, dtype = _header(file)
    return len(shape) in (2, 3) and dtype.kind in "buif"


@final
class NpyWriter(BlockWriter):
    """Writes (H, W, B), the order in which bare arrays are read again; facts have no place in a .npy."""

    def __init__(self, path: Path, plan: Plan) -> None:
        bands, height, width = plan.shape
        start = io.BytesIO()
        stored = plan.dtype.newbyteorder("<")
        about = {"descr": stored.str, "fortran_order": False, "shape": (height, width, bands)}
        np.lib.format.write_array_header_1_0(start, about)
        self._samples = RawSamples(path, plan.shape, stored, (1, 2, 0), start.getvalue())

    def put(self, rows: slice, cols: slice, block: np.ndarray) -> None:
        """See BlockWriter."""
        self._samples.put(rows, cols, block)

    def finish(self) -> None:
        """See BlockWriter."""
        self._samples.close()

    def abandon(self) -> None:
        """See BlockWriter."""
        self._samples.close()

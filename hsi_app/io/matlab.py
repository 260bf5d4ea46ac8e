"""MATLAB files: versions 4 to 7.2 through SciPy, read whole; version 7.3, which is HDF5, read in place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from hsi_app.cube import Cube
from hsi_app.errors import FormatError
from hsi_app.io import hdf5
from hsi_app.io.arrays import ArrayInfo, band_axis, choose, is_vector, vector_lengths
from hsi_app.io.damage import BoundedFile, check_room, readable
from hsi_app.io.matlab_claims import check_claims

_CLASSES = {
    "double": "f8", "single": "f4", "int8": "i1", "int16": "i2", "int32": "i4", "int64": "i8",
    "uint8": "u1", "uint16": "u2", "uint32": "u4", "uint64": "u8", "logical": "b1",
}  # fmt: skip
# Structures within structures deeper than this are no place for a cube.
_DEPTH = 4


def _is_hdf5(path: Path) -> bool:
    with open(path, "rb") as file:
        start = file.read(1024)
    # MATLAB puts 512 bytes of its own before the HDF5 signature.
    return start.startswith(b"\x89HDF") or start[512:].startswith(b"\x89HDF")


def _listed(path: Path) -> tuple[list[ArrayInfo], list[str]]:
    """Arrays at the top of the file, and names of its structures."""
    from scipy.io import whosmat

    with readable(path, "MATLAB"), BoundedFile(path) as file:
        check_claims(path)
        found = whosmat(file)
    infos = [
        ArrayInfo(name, tuple(int(n) for n in shape), np.dtype(_CLASSES[kind]))
        for name, shape, kind in found
        if kind in _CLASSES
    ]
    return infos, [name for name, _, kind in found if kind == "struct"]


def _load(path: Path, names: list[str]) -> dict[str, Any]:
    from scipy.io import loadmat

    with readable(path, "MATLAB"), BoundedFile(path) as file:
        loaded: dict[str, Any] = loadmat(file, variable_names=names)
    return {name: loaded[name] for name in names if name in loaded}


def _fields(name: str, value: Any, depth: int = 0) -> dict[str, np.ndarray]:
    """Arrays inside a structure: {'scene/data': array, ...}."""
    if not isinstance(value, np.ndarray):
        return {}
    if value.dtype.names is None:
        return {name: value} if value.dtype.kind in "buif" else {}
    if value.size != 1 or depth >= _DEPTH:
        return {}
    inner = value.reshape(-1)[0]
    found: dict[str, np.ndarray] = {}
    for field in value.dtype.names:
        found |= _fields(f"{name}/{field}", inner[field], depth + 1)
    return found


def open_mat(path: Path, array: str | None, wavelengths: bool) -> Cube:
    """Open the cube of a MATLAB file.

    A matrix (bands x pixels) beside nRow and nCol, as unmixing scenes are passed round, is laid out down the
    columns first. ``array`` may name a field of a structure: 'scene/data'.

    Raises FormatError where it is damaged or no array is clearly the cube.
    """
    if _is_hdf5(path):
        with hdf5.opened(path) as file:
            return hdf5.open_arrays(file, path, array, wavelengths, reverse=True)
    infos, structures = _listed(path)
    if array is None or "/" not in array:
        try:
            return _chosen(path, array, wavelengths, infos, {})
        except FormatError:
            # A structure may hold what the top of the file does not.
            if not structures:
                raise
    fields: dict[str, np.ndarray] = {}
    for name, value in _load(path, structures).items():
        fields |= _fields(name, value)
    infos = [*infos, *(ArrayInfo(name, value.shape, value.dtype) for name, value in fields.items())]
    return _chosen(path, array, wavelengths, infos, fields)


def _chosen(
    path: Path, array: str | None, wavelengths: bool, infos: list[ArrayInfo], fields: dict[str, np.ndarray]
) -> Cube:
    small = [i for i in infos if i.name not in fields and (is_vector(i.shape) or np.prod(i.shape) == 1)]
    values = {**fields, **(_load(path, [i.name for i in small]) if small else {})}
    scalars = {
        i.base: float(values[i.name].reshape(-1)[0]) for i in infos if np.prod(i.shape) == 1 and i.name in values
    }
    choice = choose(infos, array, vector_lengths(infos), scalars, path)
    name = choice.info.name
    check_room(path, choice.info.nbytes)
    loaded = values[name] if name in values else _load(path, [name])[name]
    cube = choice.arrange(loaded)
    vectors = {i.name: np.asarray(values[i.name]) for i in infos if i.name in values and is_vector(i.shape)}
    axis, notes = band_axis(cube.shape[0], vectors, {}, wavelengths)
    return Cube(
        values=cube, bands=axis, name=path.stem, source=str(path), facts={"format": "MATLAB", "array": name},
        history=(*choice.notes, *notes),
    )  # fmt: skip


def arrays(path: Path) -> list[tuple[str, tuple[int, ...], str]]:
    """Name, shape and number type of each array, as MATLAB orders axes; fields of structures as 'scene/data'."""
    if _is_hdf5(path):
        return [(name, shape[::-1], kind) for name, shape, kind in hdf5.arrays(path)]
    infos, structures = _listed(path)
    listed = [(i.name, i.shape, str(i.dtype)) for i in infos]
    for name, value in _load(path, structures).items() if structures else ():
        listed += [(key, field.shape, str(field.dtype)) for key, field in _fields(name, value).items()]
    return listed


def looks_like_cube(path: Path) -> bool:
    """Whether there is an array of three axes, a matrix beside its image size, or a structure that may hold one."""
    if _is_hdf5(path):
        return hdf5.looks_like_cube(path)
    infos, structures = _listed(path)
    names = {i.base for i in infos}
    return bool(structures) or "nrow" in names or any(i.is_real and len(i.squeezed) == 3 for i in infos)

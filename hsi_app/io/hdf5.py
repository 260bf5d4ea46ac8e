"""HDF5 files: our own, NEON-like products, MATLAB 7.3, and plain arrays with a wavelength vector beside them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hsi_app.cube import ArrayLike, Cube
from hsi_app.errors import FormatError
from hsi_app.georef import GeoRef
from hsi_app.io.arrays import ArrayInfo, Choice, band_axis, choose, is_vector, vector_lengths
from hsi_app.io.cube_facts import cube_from_facts
from hsi_app.io.damage import check_room, readable
from hsi_app.io.lazy import LazyValues, Span
from hsi_app.io.map_frame import comparable_crs, parse_map_info

FACTS_NAME = "hsi_app_facts"
# Vectors and texts beside a cube are small; anything longer is data.
SMALL = 2**16


@contextmanager
def opened(path: str | Path) -> Iterator[Any]:
    """An h5py file, closed afterwards. Raises FormatError where it is damaged."""
    import h5py

    with readable(path, "HDF5"), h5py.File(path, "r") as file:
        yield file


@dataclass(frozen=True)
class Hdf5Values(LazyValues):
    """A dataset of an HDF5 file.

    Parameters
    ----------
    path, name : file and dataset
    shape : (B, H, W)
    dtype : number type as stored
    axes : which axes of the dataset are band, row and column; any other has length 1
    rank : number of axes of the dataset
    """

    path: str
    name: str
    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    axes: tuple[int, ...] = (0, 1, 2)
    rank: int = 3

    def read_block(self, bands: Sequence[int], rows: Span, cols: Span) -> np.ndarray:
        """See LazyValues."""
        low, high = min(bands), max(bands) + 1
        with opened(self.path) as file:
            dataset = file[self.name]
            if list(bands) == list(range(low, high)):
                return self._cut(dataset, slice(low, high), rows, cols)
            # Bands far apart, one by one: h5py's own lists must ascend and are slow.
            return np.concatenate([self._cut(dataset, slice(b, b + 1), rows, cols) for b in bands])

    def _cut(self, dataset: Any, bands: slice, rows: Span, cols: Span) -> np.ndarray:
        key: list[Any] = [0] * self.rank
        for axis, part in zip(self.axes, (bands, slice(*rows), slice(*cols)), strict=True):
            key[axis] = part
        # The axes of length 1 vanish; what is left stands in the dataset's order.
        kept = sorted(self.axes)
        return np.asarray(dataset[tuple(key)]).transpose([kept.index(axis) for axis in self.axes])


def infos_of(file: Any) -> list[ArrayInfo]:
    """All arrays of an open file, without MATLAB's texts and cells."""
    import h5py

    found: list[ArrayInfo] = []

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and not name.startswith("#") and item.shape is not None:
            kind = item.attrs.get("MATLAB_class", b"")
            if kind not in (b"char", b"cell", b"struct", b"function_handle"):
                found.append(ArrayInfo(name, tuple(int(n) for n in item.shape), np.dtype(item.dtype)))

    file.visititems(visit)
    return found


def arrays(path: Path) -> list[tuple[str, tuple[int, ...], str]]:
    """Name, shape and number type of each array."""
    with opened(path) as file:
        return [(i.name, i.shape, str(i.dtype)) for i in infos_of(file)]


def text_of(value: Any) -> str:
    """An attribute or a scalar as text."""
    value = np.asarray(value).reshape(-1)[0] if np.ndim(value) else value
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def vectors_of(file: Any, infos: Sequence[ArrayInfo], dataset: Any) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Vectors beside a cube, and the units written with them; attributes of the cube and the file count as vectors."""
    vectors, units = {}, {}
    for info in infos:
        if info.is_real and is_vector(info.shape) and max(info.shape) <= SMALL:
            vectors[info.name] = np.asarray(file[info.name][()])
            unit = next(
                (file[info.name].attrs[k] for k in ("units", "Units", "unit") if k in file[info.name].attrs), None
            )
            units[info.name] = None if unit is None else text_of(unit)
    for holder in (file, dataset):
        written = {key.lower(): holder.attrs[key] for key in holder.attrs}
        unit = next(
            (written[k] for k in ("wavelength_units", "wavelength_unit", "wavelengths_units") if k in written), None
        )
        for key, value in written.items():
            if isinstance(value, np.ndarray) and value.dtype.kind in "buif" and is_vector(value.shape):
                vectors[key] = value
                units[key] = None if unit is None else text_of(unit)
    return vectors, units


def open_hdf5(path: Path, array: str | None, wavelengths: bool) -> Cube:
    """Open the cube of an HDF5 file; reads its small arrays only.

    Without other sign bands are the last axis, as in (H, W, B); an axis as long as the wavelength vector goes before.
    Raises FormatError where no array is clearly the cube.
    """
    with opened(path) as file:
        if array in (None, "cube") and FACTS_NAME in file:
            return _own(file, path, wavelengths)
        return open_arrays(file, path, array, wavelengths, reverse=False)


def _own(file: Any, path: Path, wavelengths: bool) -> Cube:
    try:
        facts, dataset = json.loads(text_of(file[FACTS_NAME][()])), file["cube"]
        shape = tuple(int(n) for n in dataset.shape)
        values = Hdf5Values(str(path), "cube", shape, np.dtype(dataset.dtype))  # type: ignore[arg-type]
        return cube_from_facts(values, facts, path, "HDF5", wavelengths)
    except (KeyError, ValueError, TypeError) as error:
        raise FormatError(f"'{path}' has damaged facts ({error}); name its array: '{path}::cube'.") from error


def open_arrays(file: Any, path: Path, array: str | None, wavelengths: bool, *, reverse: bool) -> Cube:
    """The cube among the arrays of an open file; ``reverse`` where the axes lie as MATLAB 7.3 stores them."""
    real = infos_of(file)
    infos = [ArrayInfo(i.name, i.shape[::-1], i.dtype) for i in real] if reverse else real
    scalars = {
        i.base: float(file[i.name][()].reshape(-1)[0]) for i in infos if i.is_real and np.prod(i.shape) == 1 and i.shape
    }
    lengths = vector_lengths(infos)
    if not reverse:
        for key, value in ((k, file.attrs[k]) for k in file.attrs):
            if np.ndim(value) == 1 and "wave" in key.lower():
                lengths[key] = len(value)
    hidden = {name: n for name, n in _attribute_lengths(file, infos).items() if array is None or array in name}
    choice = choose(infos, array, {**lengths, **hidden}, scalars, path)
    dataset = file[choice.info.name]
    vectors, units = vectors_of(file, infos, dataset)
    values = _values(dataset, path, choice, reverse)
    axis, notes = band_axis(int(values.shape[0]), vectors, units, wavelengths)
    written = {key: dataset.attrs[key] for key in dataset.attrs}
    gain, offset, nodata, unit = scale_of(written)
    return Cube(
        values=values,
        bands=axis,
        nodata=nodata,
        georef=_georef(file, infos, path),
        gain=gain,
        offset=offset,
        unit=unit,
        name=path.stem,
        source=str(path),
        facts={"format": "MATLAB 7.3" if reverse else "HDF5", "array": choice.info.name},
        history=(*choice.notes, *notes),
    )


def _attribute_lengths(file: Any, infos: Sequence[ArrayInfo]) -> dict[str, int]:
    """Lengths of wavelength vectors kept as attributes of the arrays."""
    found = {}
    for info in infos:
        if len(info.squeezed) == 3:
            attributes = file[info.name].attrs
            for key in attributes:
                if "wave" in key.lower() and np.ndim(attributes[key]) == 1:
                    found[f"{info.name}@{key}"] = len(attributes[key])
    return found


def _values(dataset: Any, path: Path, choice: Choice, reverse: bool) -> ArrayLike:
    info = choice.info
    if choice.grid is not None or not choice.order:
        check_room(path, info.nbytes)
        whole = np.asarray(dataset[()])
        return np.asarray(choice.arrange(whole.T if reverse else whole))
    long = [k for k, n in enumerate(info.shape) if n != 1] if len(info.shape) > 3 else list(range(3))
    axes = [long[axis] for axis in choice.order]
    if reverse:
        axes = [len(info.shape) - 1 - axis for axis in axes]
    sizes = tuple(info.squeezed[axis] for axis in choice.order)
    return Hdf5Values(str(path), info.name, sizes, info.dtype, tuple(axes), len(info.shape))  # type: ignore[arg-type]


def scale_of(attributes: dict[str, Any]) -> tuple[float, float, float | None, str]:
    """Gain, offset, missing value and unit from the attributes of an array.

    'scale_factor' multiplies (CF); 'Scale_Factor' of 1 or more divides (NEON writes 10000 for reflectance).
    """

    def number(*names: str) -> float | None:
        for name in names:
            if name in attributes:
                value = np.asarray(attributes[name]).reshape(-1)
                if value.size and value.dtype.kind in "buif":
                    return float(value[0])
        return None

    gain = number("scale_factor")
    if gain is None:
        divisor = number("Scale_Factor", "Scale Factor")
        gain = 1.0 if not divisor else (1.0 / divisor if divisor >= 1 else divisor)
    unit = next((text_of(attributes[k]) for k in ("units", "Units", "unit", "Unit") if k in attributes), "")
    nodata = number("_FillValue", "missing_value", "Data_Ignore_Value", "Data Ignore Value", "nodata", "NODATA")
    return gain or 1.0, number("add_offset") or 0.0, nodata, "" if unit in ("1", "unitless") else unit


def _georef(file: Any, infos: Sequence[ArrayInfo], path: Path) -> GeoRef | None:
    """Map frame of NEON-like products: ENVI's map info as a text beside an EPSG code or WKT."""
    texts = {
        i.base.replace(" ", "_"): text_of(file[i.name][()])
        for i in infos
        if i.dtype.kind in "OSU" and np.prod(i.shape) <= 1 and i.dtype.itemsize <= SMALL
    }
    if "map_info" not in texts:
        return None
    code = texts.get("epsg_code", "").strip()
    crs = f"EPSG:{code}" if code.isdigit() else texts.get("coordinate_system_string")
    return parse_map_info([part.strip() for part in texts["map_info"].split(",")], crs and comparable_crs(crs), path)


def looks_like_cube(path: Path) -> bool:
    """Whether there is an array of three axes of real numbers."""
    with opened(path) as file:
        return any(i.is_real and len(i.squeezed) == 3 for i in infos_of(file))

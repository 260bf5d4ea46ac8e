"""NetCDF files with CF metadata: version 4 through h5py, version 3 through SciPy."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hsi_app.cube import ArrayLike, Cube
from hsi_app.georef import GeoRef
from hsi_app.io import hdf5
from hsi_app.io.arrays import ArrayInfo, Choice, band_axis, choose, is_vector, vector_lengths
from hsi_app.io.damage import BoundedFile, check_room, readable
from hsi_app.io.lazy import LazyValues, Span
from hsi_app.io.map_frame import comparable_crs

_BAND_WORDS = ("wave", "band", "lambda", "wl", "spectral", "channel", "wvl")
_X_NAMES, _Y_NAMES = ("x", "lon", "longitude", "easting"), ("y", "lat", "latitude", "northing")


@contextmanager
def _opened3(path: str | Path) -> Iterator[Any]:
    """A NetCDF 3 file. Raises FormatError where it is damaged."""
    from scipy.io import netcdf_file

    with readable(path, "NetCDF"), warnings.catch_warnings(), BoundedFile(path) as stream:
        warnings.simplefilter("ignore", RuntimeWarning)
        # Mapped only while open: without a map SciPy would read every variable at once.
        with netcdf_file(stream, "r", mmap=True) as file:
            yield file


@dataclass(frozen=True)
class Netcdf3Values(LazyValues):
    """A variable of a NetCDF 3 file; ``axes`` says which of its axes are band, row and column."""

    path: str
    name: str
    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    axes: tuple[int, ...]
    rank: int

    def read_block(self, bands: Sequence[int], rows: Span, cols: Span) -> np.ndarray:
        """See LazyValues."""
        with _opened3(self.path) as file:
            key: list[Any] = [0] * self.rank
            for axis, part in zip(
                self.axes, (slice(min(bands), max(bands) + 1), slice(*rows), slice(*cols)), strict=True
            ):
                key[axis] = part
            kept = sorted(self.axes)
            view = file.variables[self.name].data[tuple(key)].transpose([kept.index(axis) for axis in self.axes])
            block = np.array(view[np.asarray(bands) - min(bands)])
            del view
        return block


@dataclass(frozen=True)
class _Contents:
    """A NetCDF file without its large arrays: what each variable is, and the values of small ones."""

    infos: list[ArrayInfo]
    dims: dict[str, tuple[str, ...]]
    attributes: dict[str, dict[str, Any]]
    small: dict[str, np.ndarray] = field(default_factory=dict)


def _contents4(path: Path) -> _Contents:
    with hdf5.opened(path) as file:
        infos = hdf5.infos_of(file)
        dims, attributes, small = {}, {}, {}
        for info in infos:
            item = file[info.name]
            names = []
            for axis in item.dims:
                label = axis[0].name.rsplit("/", 1)[-1] if len(axis) else axis.label
                names.append(label)
            dims[info.name] = tuple(names)
            # References to other variables say nothing that names do not.
            attributes[info.name] = {
                key: item.attrs[key] for key in item.attrs if key not in ("DIMENSION_LIST", "REFERENCE_LIST")
            }
            if info.is_real and is_vector(info.shape) and max(info.shape) <= hdf5.SMALL:
                small[info.name] = np.asarray(item[()])
    return _Contents(infos, dims, attributes, small)


def _contents3(path: Path) -> _Contents:
    with _opened3(path) as file:
        infos, dims, attributes, small = [], {}, {}, {}
        for name, variable in file.variables.items():
            info = ArrayInfo(name, tuple(int(n) for n in variable.shape), variable.data.dtype)
            infos.append(info)
            dims[name] = tuple(variable.dimensions)
            attributes[name] = dict(variable._attributes)
            if info.is_real and is_vector(info.shape) and max(info.shape) <= hdf5.SMALL:
                small[name] = np.array(variable.data)
    return _Contents(infos, dims, attributes, small)


def _is_version3(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(3) == b"CDF"


def _contents(path: Path) -> _Contents:
    return _contents3(path) if _is_version3(path) else _contents4(path)


def open_netcdf(path: Path, array: str | None, wavelengths: bool) -> Cube:
    """Open the cube of a NetCDF file; reads its coordinates only.

    The band axis is the one named so (wavelength, band, ...), else the one as long as the wavelength vector, else the
    last. scale_factor, add_offset, _FillValue and the grid mapping follow CF.

    Raises FormatError where it is damaged or no variable is clearly the cube.
    """
    contents = _contents(path)
    band_axes = {
        name: next(k for k, dim in enumerate(dims) if dim.lower().startswith(_BAND_WORDS))
        for name, dims in contents.dims.items()
        if len(dims) == 3 and any(dim.lower().startswith(_BAND_WORDS) for dim in dims)
    }
    choice = choose(contents.infos, array, vector_lengths(contents.infos), {}, path, band_axes=band_axes)
    name = choice.info.name
    values = _values(path, choice)
    units = {
        key: hdf5.text_of(attributes["units"])
        for key, attributes in contents.attributes.items()
        if "units" in attributes
    }
    axis, notes = band_axis(int(values.shape[0]), contents.small, units, wavelengths)
    gain, offset, nodata, unit = hdf5.scale_of(contents.attributes[name])
    return Cube(
        values=values,
        bands=axis,
        nodata=nodata,
        georef=_georef(contents, name, choice),
        gain=gain,
        offset=offset,
        unit=unit,
        name=path.stem,
        source=str(path),
        facts={"format": "NetCDF", "array": name},
        history=(*choice.notes, *notes),
    )


def _values(path: Path, choice: Choice) -> ArrayLike:
    info = choice.info
    if choice.grid is not None or not choice.order:
        if _is_version3(path):
            with _opened3(path) as file:
                whole = np.array(file.variables[info.name].data)
        else:
            with hdf5.opened(path) as file:
                check_room(path, info.nbytes)
                whole = np.asarray(file[info.name][()])
        return choice.arrange(whole)
    long = [k for k, n in enumerate(info.shape) if n != 1] if len(info.shape) > 3 else [0, 1, 2]
    axes = tuple(long[axis] for axis in choice.order)
    bands, height, width = (info.shape[axis] for axis in axes)
    reader = Netcdf3Values if _is_version3(path) else hdf5.Hdf5Values
    return reader(str(path), info.name, (bands, height, width), info.dtype, axes, len(info.shape))


def _georef(contents: _Contents, name: str, choice: Choice) -> GeoRef | None:
    """Map frame from the grid mapping's GeoTransform, else from evenly spaced coordinates."""
    attributes = contents.attributes[name]
    mapping: Mapping[str, Any] = {}
    if "grid_mapping" in attributes:
        wanted = hdf5.text_of(attributes["grid_mapping"]).split(":")[0].strip()
        mapping = next((a for key, a in contents.attributes.items() if key.rsplit("/", 1)[-1] == wanted), {})
    wkt = next((hdf5.text_of(mapping[key]) for key in ("crs_wkt", "spatial_ref", "epsg_code") if key in mapping), None)
    crs = comparable_crs(wkt) if wkt else None
    if "GeoTransform" in mapping:
        try:
            c, a, b, f, d, e = (float(part) for part in hdf5.text_of(mapping["GeoTransform"]).split())
            return GeoRef((a, b, c, d, e, f), crs)
        except ValueError:
            # Fall back on the coordinates.
            pass
    dims = contents.dims[name]
    if len(dims) != 3 or len(choice.order) != 3:
        return None
    rows, cols = (dims[axis] for axis in choice.order[1:])
    y, x = (_even(contents.small.get(dim)) for dim in (rows, cols))
    if y is None or x is None or not (cols.lower() in _X_NAMES and rows.lower() in _Y_NAMES):
        return None
    if crs is None and cols.lower().startswith("lon"):
        crs = "EPSG:4326"
    return GeoRef((x[1], 0.0, x[0] - x[1] / 2, 0.0, y[1], y[0] - y[1] / 2), crs)


def _even(centres: np.ndarray | None) -> tuple[float, float] | None:
    """First centre and spacing of pixel centres that are evenly spaced to a hundredth of a pixel."""
    if centres is None or centres.size < 2:
        return None
    column = centres.astype(np.float64).reshape(-1)
    step = float((column[-1] - column[0]) / (column.size - 1))
    if step == 0 or np.abs(np.diff(column) - step).max() > abs(step) / 100:
        return None
    return float(column[0]), step


def arrays(path: Path) -> list[tuple[str, tuple[int, ...], str]]:
    """Name, shape and number type of each variable."""
    return [(i.name, i.shape, str(i.dtype)) for i in _contents(path).infos]


def looks_like_cube(path: Path) -> bool:
    """Whether there is a variable of three axes of real numbers."""
    return any(i.is_real and len(i.squeezed) == 3 for i in _contents(path).infos)

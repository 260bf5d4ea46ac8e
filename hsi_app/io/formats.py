"""The registry of file formats. Importing it loads none of them: each is loaded by its first use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from hsi_app.errors import FormatError


@dataclass(frozen=True)
class Format:
    """One file format.

    Parameters
    ----------
    id : short name, 'envi'
    title : name for people
    extensions : in lower case, with the dot; '' for files without one
    open : 'module:function' of (path, array name or None, wavelengths wanted) -> Cube
    create : 'module:function' of (path, Plan) -> BlockWriter, or None where it can only be read
    arrays : 'module:function' of (path) -> list of (name, shape, number type); None for one image a file
    peek : 'module:function' of (path) -> bool, where the extension alone does not say that there is a cube inside
    dtype : 'module:function' of (number type) -> the one the format writes in its stead; None where it takes all
    names : 'module:function' of (path) -> names of all files written for a target; None where it is one
    folder : True where a cube is a folder
    """

    id: str
    title: str
    extensions: tuple[str, ...]
    open: str
    create: str | None = None
    arrays: str | None = None
    peek: str | None = None
    dtype: str | None = None
    names: str | None = None
    folder: bool = False

    @property
    def patterns(self) -> tuple[str, ...]:
        """File name patterns, '*.tif'."""
        return tuple(f"*{extension}" for extension in self.extensions if extension)


_IO = "hsi_app.io"

FORMATS: tuple[Format, ...] = (
    Format(
        "envi", "ENVI image or spectral library", (".hdr", ".img", ".dat", ".bsq", ".bil", ".bip", ".raw", ".sli", ""),
        f"{_IO}.envi:open_envi", f"{_IO}.envi_writing:EnviWriter", peek=f"{_IO}.envi:looks_like_envi",
        dtype=f"{_IO}.envi_writing:envi_dtype", names=f"{_IO}.envi_writing:pair_names",
    ),
    Format(
        "geotiff", "GeoTIFF", (".tif", ".tiff"),
        f"{_IO}.geotiff:open_raster", f"{_IO}.geotiff_writing:GeoTiffWriter", peek=f"{_IO}.geotiff:looks_like_cube",
        dtype=f"{_IO}.geotiff_writing:tiff_dtype",
    ),
    Format(
        "zarr", "Zarr store", (".zarr",),
        f"{_IO}.zarr_store:open_zarr", f"{_IO}.zarr_store:ZarrWriter", arrays=f"{_IO}.zarr_store:arrays",
        peek=f"{_IO}.zarr_store:looks_like_zarr", folder=True,
    ),
    Format(
        "npy", "NumPy array", (".npy",),
        f"{_IO}.numpy_files:open_npy", f"{_IO}.numpy_files:NpyWriter", peek=f"{_IO}.numpy_files:looks_like_cube",
    ),
    Format(
        "npz", "NumPy archive", (".npz",),
        f"{_IO}.numpy_files:open_npz", arrays=f"{_IO}.numpy_files:arrays", peek=f"{_IO}.numpy_files:looks_like_cube",
    ),
    Format(
        "matlab", "MATLAB file", (".mat",),
        f"{_IO}.matlab:open_mat", arrays=f"{_IO}.matlab:arrays", peek=f"{_IO}.matlab:looks_like_cube",
    ),
    Format(
        "hdf5", "HDF5 file", (".h5", ".hdf5", ".he5"),
        f"{_IO}.hdf5:open_hdf5", f"{_IO}.hdf5_writing:Hdf5Writer", arrays=f"{_IO}.hdf5:arrays",
        peek=f"{_IO}.hdf5:looks_like_cube",
    ),
    Format(
        "netcdf", "NetCDF file", (".nc", ".nc4", ".cdf"),
        f"{_IO}.netcdf:open_netcdf", arrays=f"{_IO}.netcdf:arrays", peek=f"{_IO}.netcdf:looks_like_cube",
    ),
    Format(
        "gdal", "raster read by GDAL", (".vrt", ".jp2", ".pix", ".ers", ".hdf", ".rst", ".bt"),
        f"{_IO}.geotiff:open_raster", peek=f"{_IO}.geotiff:looks_like_cube",
    ),
)  # fmt: skip


def load(target: str) -> Callable[..., Any]:
    """The function or class that 'module:name' names."""
    module, _, name = target.partition(":")
    found: Callable[..., Any] = getattr(import_module(module), name)
    return found


def split_array(path: str | Path) -> tuple[Path, str | None]:
    """'scene.mat::data/cube' as file and array name; a path without '::' has none."""
    text = str(path)
    if "::" in text and not Path(text).exists():
        file, _, array = text.rpartition("::")
        return Path(file).expanduser(), array or None
    return Path(text).expanduser(), None


def known_extensions() -> str:
    """All extensions in one line, for messages."""
    return ", ".join(extension for format in FORMATS for extension in format.extensions if extension)


def format_by_extension(path: Path) -> Format | None:
    """The format that claims the path's extension, or None. Looks at the name only."""
    suffix = path.suffix.lower()
    found = next((format for format in FORMATS if suffix in format.extensions), None)
    if found is None and path.with_name(path.name + ".hdr").exists():
        # 'scene.v2' beside 'scene.v2.hdr' is the data half of an ENVI pair.
        found = FORMATS[0]
    return found


def format_to_read(path: Path) -> Format:
    """The format of a file that exists.

    Raises
    ------
    FormatError
        If nothing is there, it is a folder of no known kind, or its extension is unknown.
    """
    if not path.exists():
        raise FormatError(f"'{path}' does not exist; check the name.")
    found = format_by_extension(path)
    if path.is_dir():
        if (path / "zarr.json").exists() or (path / ".zarray").exists() or (path / ".zgroup").exists():
            return next(format for format in FORMATS if format.folder)
        raise FormatError(f"'{path}' is a folder, not an image; name a file in it.")
    if found is None or found.folder:
        raise FormatError(
            f"'{path.name}' has the extension '{path.suffix}', which no reader knows; known are {known_extensions()}."
        )
    return found

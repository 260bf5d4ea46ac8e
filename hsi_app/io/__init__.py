"""Reading and writing hyperspectral cubes in many file formats, behind three functions.

``open_cube`` reads the header only; the values follow when asked for. ``create_cube`` takes a result window by
window; ``save_cube`` is built on it. Importing this package loads no file format.
"""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hsi_app.bands import BandAxis
from hsi_app.cube import Cube
from hsi_app.errors import FormatError, OutputError
from hsi_app.io.damage import readable
from hsi_app.io.formats import FORMATS, Format, format_by_extension, format_to_read, load, split_array
from hsi_app.tiling import strips

if TYPE_CHECKING:
    from hsi_app.io.spectral_library import read_library, write_library
    from hsi_app.io.writing import CubeWriter

__all__ = [
    "Format", "can_read", "create_cube", "formats", "list_arrays", "open_cube", "read_library", "read_mask",
    "read_patterns", "save_cube", "write_library",
]  # fmt: skip

STRIP_BYTES = 32 * 2**20


def __getattr__(name: str) -> Any:
    # Spectra are no cubes: their file formats are imported when first asked for.
    if name not in ("read_library", "write_library"):
        raise AttributeError(f"module 'hsi_app.io' has no attribute '{name}'")
    return getattr(importlib.import_module("hsi_app.io.spectral_library"), name)


def formats() -> tuple[Format, ...]:
    """All formats, those we write best first."""
    return FORMATS


def read_patterns() -> list[str]:
    """File name patterns of everything that can be read: '*.hdr', '*.tif', ..."""
    return [pattern for format in FORMATS for pattern in format.patterns]


def open_cube(path: str | Path, *, wavelengths: bool = True, lazy: bool = True) -> Cube:
    """Open a hyperspectral image of any known format.

    Parameters
    ----------
    path : file, or 'file.mat::name' to name an array inside it; either file of an ENVI pair; a Zarr folder
    wavelengths : False leaves out the file's wavelengths, widths and bad-band list, for headers that contradict
        themselves
    lazy : True leaves the values in the file (formats that can: all but packed ENVI, .npz and MATLAB 5); False
        reads them into memory

    Returns
    -------
    Cube with stored values (B, H, W), nanometres, map frame, scale, missing value, facts and history as the file has
    them. What was assumed about a file that does not say (which array, which axis) stands in its history.

    Raises
    ------
    FormatError
        If the file is missing, damaged, of no known format or holds no cube; the line says what to do.
    """
    file, array = split_array(path)
    with readable(path):
        cube: Cube = load(format_to_read(file).open)(file, array, wavelengths)
        return cube if lazy else replace(cube, values=np.asarray(cube.values[:, :, :]))


def can_read(path: str | Path) -> bool:
    """Whether ``open_cube`` is likely to open the path: by extension, and a look inside where that is ambiguous.

    Fast; never raises.
    """
    try:
        with readable(path):
            file, _ = split_array(path)
            found = format_to_read(file)
            return True if found.peek is None else bool(load(found.peek)(file))
    except FormatError:
        return False


def list_arrays(path: str | Path) -> list[tuple[str, tuple[int, ...], str]]:
    """Arrays of a container (MATLAB, HDF5, NetCDF, NumPy archive, Zarr): (name, shape, number type) each.

    A file that holds one image gives that one, named after the file. Raises FormatError as ``open_cube`` does.
    """
    file, _ = split_array(path)
    found = format_to_read(file)
    if found.arrays is None:
        cube = open_cube(file)
        return [(cube.name, cube.shape, str(cube.dtype))]
    with readable(file):
        listed: list[tuple[str, tuple[int, ...], str]] = load(found.arrays)(file)
        return listed


def read_mask(path: str | Path) -> np.ndarray:
    """Read a mask from any supported format.

    Returns
    -------
    (H, W) bool where the file has one band, else (B, H, W); True = observed. Zero, NaN and the missing value are
    False, everything else True.
    """
    cube = open_cube(path, wavelengths=False)
    stored = cube.read()
    # Zero means "not observed" even in a header that declares zero as its missing value.
    seen = cube.valid_of(stored) & (stored != 0)
    return np.asarray(seen[0] if seen.shape[0] == 1 else seen)


def _plan_shape(like: Cube, shape: tuple[int, int, int] | None) -> Cube:
    """``like`` with the facts that still hold for an image of another shape; its values keep their old shape."""
    if shape is None or tuple(shape) == like.shape:
        return like
    bands, height, width = (int(n) for n in shape)
    if min(bands, height, width) < 1:
        raise OutputError(f"an image of shape {tuple(shape)} cannot be written; each size must be at least 1.")
    georef = like.georef
    if georef is not None and (height, width) != like.shape[1:]:
        factor, rest = divmod(height, like.shape[1])
        georef = georef.upsampled(factor) if not rest and factor and width == factor * like.shape[2] else None
    values = np.broadcast_to(np.zeros((), like.dtype), (bands, height, width))
    if bands == like.shape[0]:
        return replace(like, values=values, georef=georef, valid=None)
    return replace(like, values=values, georef=georef, valid=None, bands=BandAxis(bands), gain=1.0, offset=0.0, unit="")


def create_cube(
    path: str | Path,
    like: Cube,
    *,
    dtype: Any = "float32",
    overwrite: bool = False,
    shape: tuple[int, int, int] | None = None,
) -> CubeWriter:
    """Write a cube window by window: ``with create_cube(...) as writer: writer.write(window, block)``.

    Everything is written under a hidden name beside the target, re-opened and checked on a clean exit, then renamed.
    After an error nothing is left, and an existing target is as it was.

    Parameters
    ----------
    path : target; its extension says the format. '.hdr' writes 'name.hdr' and 'name.bsq'; '.bil' and '.bip' choose
        the interleave
    like : cube whose bands, map frame, scale, missing value, unit, facts and history are written
    dtype : number type of the file; where the format lacks it, the narrowest that holds it
    overwrite : replace an existing target
    shape : (B, H, W) where it is not that of ``like``. With other bands, the band axis and the scale are dropped;
        a whole multiple of rows and columns refines the map frame, any other size drops it

    Raises
    ------
    OutputError
        If the extension is unknown or only readable. The writer raises it too; see CubeWriter.
    """
    from hsi_app.io.writing import CubeWriter, Plan

    target = Path(path).expanduser()
    found = format_by_extension(target)
    if found is None or found.create is None or not target.suffix:
        known = ", ".join(e for format in FORMATS if format.create for e in format.extensions if e)
        raise OutputError(f"'{target.name}' cannot be written in a format of that extension; choose one of {known}.")
    kind = np.dtype(dtype).newbyteorder("=")
    if kind.kind not in "buif":
        raise OutputError(f"a cube cannot be written as {kind}; ask for real numbers, such as float32.")
    if found.dtype is not None:
        kind = load(found.dtype)(kind)
    frame = _plan_shape(like, shape)
    nodata = frame.nodata
    if nodata is None and kind.kind in "iu" and (frame.dtype.kind == "f" or frame.valid is not None):
        # Integers have no NaN: the far end of their range stands for "missing".
        nodata = float(np.iinfo(kind).min if kind.kind == "i" else np.iinfo(kind).max)
    plan = Plan(frame, frame.shape, kind, nodata)
    names: tuple[str, ...] = load(found.names)(target) if found.names is not None else (target.name,)
    opener = load(found.open)
    return CubeWriter(target, names, plan, load(found.create), lambda hidden: opener(hidden, None, True), overwrite)


def save_cube(cube: Cube, path: str | Path, *, dtype: Any = None, overwrite: bool = False) -> Path:
    """Write a cube strip by strip, so that it is never whole in memory; returns the path.

    Samples that ``cube.valid`` marks as missing are written as ``nodata``, or as NaN where there is none.

    Parameters
    ----------
    cube : to be written; may be lazy, also from the very file that is overwritten
    path : target, format by extension (see ``create_cube``)
    dtype : number type of the file; the cube's own when None. Floating numbers are rounded and clipped to fit integers
    overwrite : replace an existing target

    Raises
    ------
    OutputError, PlanError
        As ``create_cube`` and its writer do.
    """
    with create_cube(path, cube, dtype=cube.dtype if dtype is None else dtype, overwrite=overwrite) as writer:
        bands, height, width = cube.shape
        rows = max(STRIP_BYTES // max(bands * width * max(cube.dtype.itemsize, 4), 1), 1)
        for window in strips((height, width), rows):
            stored = cube.read(window)
            if cube.valid is not None:
                unseen = np.broadcast_to(~cube.valid[..., window.slices[0], :], stored.shape)
                if unseen.any():
                    missing = np.nan if writer.plan.nodata is None else writer.plan.nodata
                    if stored.dtype.kind != "f" and not np.can_cast(np.min_scalar_type(missing), stored.dtype):
                        stored = stored.astype(np.float64)
                    stored = np.where(unseen, missing, stored)
            writer.write(window, stored)
    return Path(path).expanduser()

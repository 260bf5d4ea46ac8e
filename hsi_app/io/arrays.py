"""Files that hold arrays without saying which is the cube: choosing one, and its axes, by rules that are told."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hsi_app.bands import BandAxis
from hsi_app.errors import FormatError
from hsi_app.io.damage import MOST_BANDS
from hsi_app.io.wavelengths import VECTOR_NAMES, WIDTH_NAMES, to_nm

# Names by which the community calls its cubes, the surest first.
_CUBE_NAMES = (
    "cube", "hsi", "hyperspectral", "datacube", "data_cube", "reflectance", "radiance", "image", "img", "data", "im",
)  # fmt: skip
_ROWS = ("nrow", "nrows", "rows", "height", "nlines", "lines", "h")
_COLS = ("ncol", "ncols", "cols", "columns", "width", "nsamples", "samples", "w")
# Pixels for each band above which a matrix is taken as (bands x pixels) of a square image.
_SQUARE_RATIO = 100


@dataclass(frozen=True)
class ArrayInfo:
    """An array in a file: its name, shape and number type."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def nbytes(self) -> int:
        """Bytes of all its values."""
        # Python integers: sizes out of a damaged header must not wrap around.
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def is_real(self) -> bool:
        """True for real numbers and flags."""
        return self.dtype.kind in "buif"

    @property
    def squeezed(self) -> tuple[int, ...]:
        """Shape; without its axes of length 1 where there are more than three."""
        return self.shape if len(self.shape) <= 3 else tuple(n for n in self.shape if n != 1)

    @property
    def base(self) -> str:
        """Last part of the name in lower case."""
        return self.name.rsplit("/", 1)[-1].lower()


@dataclass(frozen=True)
class Choice:
    """Which array is the cube, and how it becomes (band, row, col).

    Parameters
    ----------
    info : the array
    order : axes of the squeezed array that are band, row and column; (0, 1) for a matrix (bands x pixels),
        (1, 0) for (pixels x bands); () for a single image
    grid : (H, W) of a matrix whose pixels run down the columns first, as MATLAB stores them; else None
    notes : what was assumed, a line each
    """

    info: ArrayInfo
    order: tuple[int, ...]
    grid: tuple[int, int] | None
    notes: tuple[str, ...]

    def arrange(self, array: np.ndarray) -> np.ndarray:
        """The array as (B, H, W); a view where possible."""
        array = array.reshape(self.info.squeezed)
        if self.grid is not None:
            matrix = array.transpose(self.order)
            return matrix.reshape(-1, self.grid[1], self.grid[0]).transpose(0, 2, 1)
        return array[None] if not self.order else array.transpose(self.order)


def _listing(infos: Sequence[ArrayInfo]) -> str:
    shown = [f"{i.name} {'x'.join(map(str, i.shape)) or 'scalar'} {i.dtype}" for i in infos[:12]]
    return ", ".join(shown) + (", ..." if len(infos) > 12 else "") if shown else "no arrays"


def choose(
    infos: Sequence[ArrayInfo],
    name: str | None,
    vectors: Mapping[str, int],
    scalars: Mapping[str, float],
    path: object,
    *,
    squares: bool = True,
    band_axes: Mapping[str, int] | None = None,
) -> Choice:
    """Choose the cube of a file.

    Parameters
    ----------
    infos : all arrays of the file
    name : the array the user asked for, or None
    vectors : lengths of the wavelength vectors of the file by name
    scalars : single numbers of the file by lower-case name (rows and columns of a matrix of pixels)
    path : for messages
    squares : take a very wide matrix as the pixels of a square image
    band_axes : axis of the bands of arrays whose axes are named in the file

    Raises
    ------
    FormatError
        If nothing is called ``name``, it is no image, or no array can be told to be the cube.
    """
    if name is not None:
        wanted = [i for i in infos if i.name.strip("/") == name.strip("/")] or [
            i for i in infos if i.base == name.lower()
        ]
        if not wanted:
            raise FormatError(f"'{path}' has no array '{name}'; it holds {_listing(infos)}.")
        candidates = wanted[:1]
    else:
        candidates = list(infos)
    cubes = [i for i in candidates if i.is_real and len(i.squeezed) == 3 and min(i.squeezed) >= 1]
    lengths = set(vectors.values())

    def likeness(info: ArrayInfo) -> tuple[int, int, int]:
        rank = len(_CUBE_NAMES) - _CUBE_NAMES.index(info.base) if info.base in _CUBE_NAMES else 0
        return rank, int(bool(lengths & set(info.squeezed))), math.prod(info.shape)

    if cubes:
        best = max(cubes, key=likeness)
        told = len(cubes) > 1
        return _with_axes(best, vectors, (band_axes or {}).get(best.name), path, told=told)
    choice = _matrix(candidates, scalars, squares=squares) or _plain_image(candidates, named=name is not None)
    if choice is None:
        many = f"'{path}' holds no array that is clearly a cube: {_listing(candidates)}"
        raise FormatError(f"{many}; name one as '{path}::NAME'." if candidates else f"{many}.")
    return choice


def _with_axes(
    info: ArrayInfo, vectors: Mapping[str, int], axis_named: int | None, path: object, *, told: bool
) -> Choice:
    shape = info.squeezed
    notes = [f"array '{info.name}' taken as the cube"] if told else []
    matching = [axis for axis in (2, 0, 1) if shape[axis] in vectors.values()]
    if axis_named is not None:
        matching = [axis_named]
    band = matching[0] if matching else 2
    if shape[band] > MOST_BANDS:
        raise FormatError(f"'{path}' has {shape[band]} bands in '{info.name}'; more than {MOST_BANDS} are no cube.")
    rows_and_cols = tuple(axis for axis in range(3) if axis != band)
    if not matching:
        notes.append(f"bands taken from the last axis of {'x'.join(map(str, shape))}")
    return Choice(info, (band, *rows_and_cols), None, tuple(notes))


def _matrix(infos: Sequence[ArrayInfo], scalars: Mapping[str, float], *, squares: bool) -> Choice | None:
    """A matrix of pixels whose image size is written in the file, or is a square."""
    matrices = sorted((i for i in infos if i.is_real and len(i.shape) == 2), key=lambda i: -math.prod(i.shape))
    rows = next((int(scalars[key]) for key in _ROWS if key in scalars), 0)
    cols = next((int(scalars[key]) for key in _COLS if key in scalars), 0)
    for info in matrices:
        if rows * cols > 1 and rows * cols in info.shape:
            pixels_axis = 1 if info.shape[1] == rows * cols else 0
            note = f"matrix '{info.name}' taken as pixels of {rows} x {cols}, down the columns first"
            return Choice(info, (1 - pixels_axis, pixels_axis), (rows, cols), (note,))
    for info in matrices if squares else []:
        few, many = sorted(info.shape)
        side = math.isqrt(many)
        if few and side * side == many and many >= _SQUARE_RATIO * few:
            pixels_axis = info.shape.index(many)
            note = f"matrix '{info.name}' taken as pixels of {side} x {side}, down the columns first"
            return Choice(info, (1 - pixels_axis, pixels_axis), (side, side), (note,))
    return None


def _plain_image(infos: Sequence[ArrayInfo], *, named: bool) -> Choice | None:
    images = [i for i in infos if i.is_real and len(i.squeezed) == 2 and min(i.squeezed) > 1]
    if len(images) != 1:
        return None
    notes = () if named else (f"array '{images[0].name}' taken as an image of one band",)
    return Choice(images[0], (), None, notes)


def vector_lengths(infos: Sequence[ArrayInfo]) -> dict[str, int]:
    """Lengths of the arrays that are wavelength vectors by their names."""
    return {
        info.name: math.prod(info.shape)
        for info in infos
        if info.is_real and is_vector(info.shape) and _is_wavelength_name(info.base)
    }


def is_vector(shape: Sequence[int]) -> bool:
    """True for shapes (n,), (n, 1), (1, n) of more than one number."""
    return len(shape) >= 1 and math.prod(shape) > 1 and max(shape) == math.prod(shape)


def _is_wavelength_name(name: str) -> bool:
    return name in VECTOR_NAMES or name.endswith(("_wavelengths_nm", "_wavelengths", "_wavelength"))


def band_axis(
    count: int, vectors: Mapping[str, np.ndarray], units: Mapping[str, str | None], wavelengths: bool
) -> tuple[BandAxis, tuple[str, ...]]:
    """Band axis from the vectors of a file, and notes on what was assumed.

    Parameters
    ----------
    count : number of bands
    vectors : candidate arrays by name; the last part of the name counts, the names surest for wavelengths first
    units : units written beside them, by the same names
    """
    if not wavelengths:
        return BandAxis(count), ("opened without the file's wavelengths",)
    by_base = {name.rsplit("/", 1)[-1].lower(): name for name in sorted(vectors, key=len, reverse=True)}
    fitting = {base: name for base, name in by_base.items() if vectors[name].size == count}
    ranked = sorted(
        (base for base in fitting if _is_wavelength_name(base)),
        key=lambda base: VECTOR_NAMES.index(base) if base in VECTOR_NAMES else len(VECTOR_NAMES),
    )
    centres, factor, unit = None, 1.0, None
    for base in ranked:
        unit = units.get(fitting[base]) or ("nm" if base.endswith("_nm") else None)
        centres, factor = to_nm(vectors[fitting[base]].reshape(-1), unit)
        if centres is not None:
            break
    widths = None
    for base in WIDTH_NAMES:
        if base in fitting:
            column = np.asarray(vectors[fitting[base]], np.float64).reshape(-1)
            widths = np.round(column * (1.0 if base.endswith("_nm") else factor), 6)
            break
    bad = None
    for base, good_is in (("bbl", 1), ("good_wavelengths", 1), ("bad_bands", 0), ("badbands", 0), ("bad_band", 0)):
        if base in fitting:
            flags = np.asarray(vectors[fitting[base]]).reshape(-1)
            if np.isin(flags, (0, 1)).all():
                bad = flags != good_is
                break
    return BandAxis(count, centres, widths, bad), ()

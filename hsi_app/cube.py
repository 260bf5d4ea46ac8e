"""The hyperspectral cube: values (band, row, col) and the facts that must survive every operation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from hsi_app.bands import BandAxis, band_indices
from hsi_app.errors import CubeError
from hsi_app.georef import GeoRef
from hsi_app.tiling import Window

if TYPE_CHECKING:
    import xarray


@runtime_checkable
class ArrayLike(Protocol):
    """What a cube's values must offer: NumPy arrays, Zarr, dask and the lazy readers of ``hsi_app.io`` do."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(B, H, W)."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Number type as stored."""

    @property
    def ndim(self) -> int:
        """3."""

    def __getitem__(self, key: Any, /) -> Any: ...


@dataclass(frozen=True, eq=False)
class Cube:
    """A hyperspectral image.

    Parameters
    ----------
    values : (B, H, W) array-like of real numbers, as stored; may be lazy (larger than memory)
    bands : BandAxis; made without wavelengths when not given
    valid : bool array (H, W) or (B, H, W), True where a sample was observed, or None
        Adds to NaN, infinities and ``nodata``, which are always read as missing.
    nodata : the stored number that means "missing", or None
    georef : map frame, or None
    gain, offset : physical value = gain * stored + offset; numbers or (B,) arrays
        The engine works on stored numbers and carries these along.
    unit : of the physical value ('reflectance', 'radiance', 'W m-2 sr-1 um-1', ''), free text
    name : short name for people
    source : path it was read from, or None
    facts : further header entries worth keeping (acquisition time, sensor, description), plain types
    history : one line for each operation, oldest first

    Raises
    ------
    CubeError
        If ``values`` is not three-dimensional and real, is empty, or a fact has another shape.
    """

    values: ArrayLike
    bands: BandAxis | None = None
    valid: np.ndarray | None = None
    nodata: float | None = None
    georef: GeoRef | None = None
    gain: float | np.ndarray = 1.0
    offset: float | np.ndarray = 0.0
    unit: str = ""
    name: str = "cube"
    source: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    history: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        shape = tuple(int(n) for n in self.values.shape)
        if len(shape) != 3:
            raise CubeError(
                f"'{self.name}' has shape {shape}; a cube needs three axes (band, row, col): name the right array."
            )
        if min(shape) < 1:
            raise CubeError(f"'{self.name}' has shape {shape}; a cube needs at least one band, row and column.")
        if np.dtype(self.values.dtype).kind not in "buif":
            raise CubeError(
                f"'{self.name}' holds {self.values.dtype}; a cube needs real numbers: take the magnitude first."
            )
        if self.bands is None:
            object.__setattr__(self, "bands", BandAxis(shape[0]))
        if self.axis.count != shape[0]:
            raise CubeError(
                f"'{self.name}' has {shape[0]} bands but its band axis {self.axis.count}; correct the header."
            )
        if self.valid is not None:
            valid = np.asarray(self.valid, dtype=bool)
            if valid.shape not in (shape, shape[1:]):
                raise CubeError(
                    f"mask of shape {valid.shape} for a cube of shape {shape}; give {shape[1:]} or {shape}."
                )
            object.__setattr__(self, "valid", valid)
        for what in ("gain", "offset"):
            column = np.asarray(getattr(self, what), dtype=np.float64)
            if column.ndim and column.shape != (shape[0],):
                raise CubeError(f"{column.size} entries of {what} for {shape[0]} bands; give one number or {shape[0]}.")

    @property
    def axis(self) -> BandAxis:
        """The band axis (never None)."""
        assert self.bands is not None
        return self.bands

    @property
    def shape(self) -> tuple[int, int, int]:
        """(B, H, W)."""
        bands, rows, cols = (int(n) for n in self.values.shape)
        return bands, rows, cols

    @property
    def dtype(self) -> np.dtype[Any]:
        """Number type as stored."""
        return np.dtype(self.values.dtype)

    @property
    def nbytes(self) -> int:
        """Bytes of the stored values."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize

    def read(self, window: Window | None = None, bands: Sequence[int] | slice | None = None) -> np.ndarray:
        """Stored values of a window: (b, h, w) in the stored dtype. May be a view of ``values``: do not change it."""
        rows, cols = (slice(None), slice(None)) if window is None else window.slices
        pick: Any = slice(None) if bands is None else bands
        if isinstance(pick, slice) or isinstance(self.values, np.ndarray):
            return np.asarray(self.values[pick, rows, cols])
        return np.stack([np.asarray(self.values[int(band), rows, cols]) for band in pick])

    def valid_of(
        self, block: np.ndarray, window: Window | None = None, bands: Sequence[int] | slice | None = None
    ) -> np.ndarray:
        """Bool array like ``block`` (as ``read`` returned it), True where the sample was observed."""
        seen = np.isfinite(block) if block.dtype.kind == "f" else np.ones(block.shape, bool)
        missing = self._nodata_as_stored(block.dtype)
        if missing is not None:
            seen &= block != missing
        if self.valid is not None:
            rows, cols = (slice(None), slice(None)) if window is None else window.slices
            if self.valid.ndim == 2:
                seen &= self.valid[rows, cols]
            else:
                seen &= self.valid[slice(None) if bands is None else bands][:, rows, cols]
        return seen

    def _nodata_as_stored(self, dtype: np.dtype[Any]) -> Any:
        """``nodata`` as a number of the stored type, or None where no stored sample can equal it."""
        if self.nodata is None or not np.isfinite(self.nodata):
            return None
        if dtype.kind == "f":
            # Headers write float32 limits in decimal, which only compare equal after rounding to the stored type.
            with np.errstate(over="ignore"):
                return np.float64(self.nodata).astype(dtype)
        # -9999 wrapped into 16 bits without sign would be 55537, an honest sample.
        if dtype.kind == "b" or not float(self.nodata).is_integer():
            return None
        limits = np.iinfo(dtype)
        return dtype.type(int(self.nodata)) if limits.min <= self.nodata <= limits.max else None

    def block(
        self, window: Window | None = None, bands: Sequence[int] | slice | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Float32 values and validity of a window; missing samples are 0 in the values.

        Returns
        -------
        values : (b, h, w) float32, finite
        valid : (b, h, w) bool
        """
        stored = self.read(window, bands)
        valid = self.valid_of(stored, window, bands)
        # A float64 sample beyond float32's range becomes infinite: that is missing too.
        with np.errstate(over="ignore"):
            values = stored.astype(np.float32)
        if stored.dtype.kind == "f" and stored.dtype.itemsize > 4:
            valid &= np.isfinite(values)
        if not valid.all():
            values[~valid] = 0.0
        return values, valid

    def spectrum(self, row: int, col: int, *, box: int = 1, physical: bool = True) -> np.ndarray:
        """Mean spectrum of a ``box`` x ``box`` window around a pixel: (B,) float64, NaN where nothing is valid.

        Parameters
        ----------
        row, col : int, pixel inside the image
        box : odd int, px; the window is cut at the image's edge
        physical : apply gain and offset

        Raises
        ------
        CubeError
            If the pixel lies outside the image.
        """
        _, height, width = self.shape
        if not (0 <= row < height and 0 <= col < width):
            raise CubeError(f"pixel ({row}, {col}) lies outside the image of {height} x {width}.")
        values, valid = self.block(Window(row, col, 1, 1).grown(box // 2, (height, width)))
        count = valid.sum(axis=(1, 2))
        total = np.where(valid, values, 0).sum(axis=(1, 2), dtype=np.float64)
        mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
        return mean * np.asarray(self.gain) + np.asarray(self.offset) if physical else mean

    def crop(self, window: Window) -> Cube:
        """The part of the cube inside ``window``, with its coordinates. Reads the values."""
        rows, cols = window.slices
        return replace(
            self,
            values=self.read(window),
            valid=None if self.valid is None else self.valid[..., rows, cols],
            georef=None if self.georef is None else self.georef.cropped(window.row, window.col),
            history=(*self.history, f"crop rows {window.row}+{window.height}, cols {window.col}+{window.width}"),
        )

    def select(self, bands: Sequence[int] | np.ndarray) -> Cube:
        """The cube of the given bands, in the given order, or of the bands flagged True. Reads the values."""
        index = band_indices(bands)

        def pick(column: float | np.ndarray) -> float | np.ndarray:
            return np.asarray(column)[index] if np.ndim(column) else column

        return replace(
            self,
            values=self.read(bands=list(map(int, index))),
            bands=self.axis.select(index),
            valid=self.valid if self.valid is None or self.valid.ndim == 2 else self.valid[index],
            gain=pick(self.gain),
            offset=pick(self.offset),
            history=(*self.history, f"select {index.size} of {self.shape[0]} bands"),
        )

    def replace(self, values: ArrayLike, step: str, **facts: Any) -> Cube:
        """The same scene with new values of the same shape, one more line of history, and changed ``facts``."""
        if tuple(values.shape) != self.shape:
            raise CubeError(f"new values have shape {tuple(values.shape)}, the cube {self.shape}; use upsampled().")
        return replace(self, values=values, history=(*self.history, step), **facts)

    def upsampled(self, values: ArrayLike, factor: int, step: str) -> Cube:
        """The same scene on a grid ``factor`` times finer, the map frame refined with it."""
        bands, height, width = self.shape
        if tuple(values.shape) != (bands, height * factor, width * factor):
            raise CubeError(
                f"values of shape {tuple(values.shape)};"
                f" {factor} x finer needs {(bands, height * factor, width * factor)}."
            )
        valid = self.valid
        if valid is not None:
            valid = valid.repeat(factor, axis=-2).repeat(factor, axis=-1)
        georef = None if self.georef is None else self.georef.upsampled(factor)
        return replace(self, values=values, valid=valid, georef=georef, history=(*self.history, step))

    def to_xarray(self) -> xarray.DataArray:
        """As an xarray DataArray with dims (band, row, col), a wavelength coordinate and the facts as attributes."""
        import xarray

        coords: dict[str, Any] = {"bad_band": ("band", self.axis.is_bad)}
        if self.axis.centres_nm is not None:
            coords["wavelength"] = ("band", self.axis.centres_nm, {"units": "nm"})
        if self.axis.fwhm_nm is not None:
            coords["fwhm"] = ("band", self.axis.fwhm_nm, {"units": "nm"})
        if self.axis.names is not None:
            coords["band_name"] = ("band", list(self.axis.names))
        attrs: dict[str, Any] = {
            "unit": self.unit, "gain": self.gain, "offset": self.offset,
            "facts": dict(self.facts), "history": list(self.history), "source": self.source,
        }  # fmt: skip
        if self.nodata is not None:
            attrs["nodata"] = self.nodata
        if self.georef is not None:
            attrs["transform"], attrs["crs"] = list(self.georef.transform), self.georef.crs
        if self.valid is not None:
            coords["valid"] = (("band", "row", "col") if self.valid.ndim == 3 else ("row", "col"), self.valid)
        values: Any = self.values
        if not isinstance(values, np.ndarray):
            import dask.array

            values = dask.array.from_array(values, chunks="auto")
        return xarray.DataArray(values, dims=("band", "row", "col"), coords=coords, attrs=attrs, name=self.name)

    @classmethod
    def from_xarray(cls, array: xarray.DataArray) -> Cube:
        """The cube that ``to_xarray`` described; other arrays need three dims in the order (band, row, col)."""
        coords, attrs = array.coords, dict(array.attrs)

        def column(name: str) -> Any:
            return coords[name].values if name in coords else None

        names = column("band_name")
        georef = None
        if attrs.get("transform") is not None:
            georef = GeoRef(tuple(attrs["transform"]), attrs.get("crs"))
        return cls(
            values=array.data,
            bands=BandAxis(
                array.shape[0],
                column("wavelength"),
                column("fwhm"),
                column("bad_band"),
                None if names is None else tuple(names),
            ),
            valid=column("valid"),
            nodata=attrs.get("nodata"),
            georef=georef,
            gain=attrs.get("gain", 1.0),
            offset=attrs.get("offset", 0.0),
            unit=attrs.get("unit", ""),
            name=str(array.name or "cube"),
            source=attrs.get("source"),
            facts=dict(attrs.get("facts", {})),
            history=tuple(attrs.get("history", ())),
        )

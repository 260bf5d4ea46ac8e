"""GeoTIFF and every other raster GDAL opens, through rasterio."""

from __future__ import annotations

import json
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hsi_app.bands import BandAxis
from hsi_app.cube import Cube
from hsi_app.errors import FormatError
from hsi_app.georef import GeoRef
from hsi_app.io.damage import readable
from hsi_app.io.lazy import LazyValues, Span
from hsi_app.io.map_frame import comparable_crs
from hsi_app.io.wavelengths import from_names, nm_per_unit, to_nm

# GDAL would take 5 % of the memory of the machine for its block cache, outside every budget.
CACHE_MB = 64
# Dataset tag with the facts for which GDAL has no place, as JSON.
FACTS_TAG = "HSI_APP_FACTS"
_warning_filter = threading.Lock()


@contextmanager
def unplaced_is_fine() -> Iterator[None]:
    """Silence rasterio's warning that an image lies on no map: laboratory cubes never do."""
    from rasterio.errors import NotGeoreferencedWarning

    # Filters are global, so one thread at a time.
    with _warning_filter, warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


@contextmanager
def opened(path: str | Path) -> Iterator[Any]:
    """A rasterio dataset, closed afterwards. Raises FormatError where GDAL cannot read it."""
    import rasterio

    with readable(path), rasterio.Env(GDAL_CACHEMAX=CACHE_MB):
        with unplaced_is_fine():
            dataset = rasterio.open(path, sharing=False)
        with dataset:
            yield dataset


@dataclass(frozen=True)
class RasterValues(LazyValues):
    """Samples of a raster, read by window.

    Parameters
    ----------
    path : file, or GDAL's name of a subdataset
    shape : (B, H, W)
    dtype : number type
    """

    path: str
    shape: tuple[int, int, int]
    dtype: np.dtype[Any]

    def read_block(self, bands: Sequence[int], rows: Span, cols: Span) -> np.ndarray:
        """See LazyValues."""
        from rasterio.windows import Window

        window = Window(cols[0], rows[0], cols[1] - cols[0], rows[1] - rows[0])
        with opened(self.path) as dataset:
            block: np.ndarray = dataset.read([band + 1 for band in bands], window=window, out_dtype=self.dtype.name)
        return block


def _lower(tags: Mapping[str, str]) -> dict[str, str]:
    return {key.lower(): value for key, value in tags.items()}


def _listed(text: str | None) -> list[str]:
    """Parts of a list that ENVI's driver or EnMAP-Box left in one tag."""
    return [part.strip() for part in (text or "").strip().strip("{}").split(",") if part.strip()]


def _floats(texts: Sequence[str | None]) -> np.ndarray | None:
    try:
        return np.array([float(text) for text in texts if text is not None]) if None not in texts else None
    except ValueError:
        return None


def _column(dataset: Any, names: Sequence[str], keys_of: Sequence[dict[str, str]]) -> tuple[np.ndarray | None, str]:
    """A number for each band under one of the names, and the name it was found under."""
    for name in names:
        column = _floats([tags.get(name) for tags in keys_of])
        if column is not None:
            return column, name
    whole = {**_lower(dataset.tags()), **_lower(dataset.tags(ns="ENVI"))}
    for name in names:
        parts = _listed(whole.get(name))
        if len(parts) == dataset.count and (column := _floats(list(parts))) is not None:
            return column, name
    return None, ""


_CENTRES = (
    "wavelength", "wavelengths", "central_wavelength_um", "central_wavelength", "center_wavelength",
    "centre_wavelength", "wavelength_nm", "wavelength_um", "wavelength_nanometers",
)  # fmt: skip
_WIDTHS = ("fwhm", "fwhm_um", "fwhm_nm", "bandwidth", "full_width_half_maximum")


def _axis(dataset: Any, wavelengths: bool, own: Mapping[str, Any]) -> tuple[BandAxis, tuple[str, ...]]:
    count, descriptions = dataset.count, dataset.descriptions
    names = tuple(text or "" for text in descriptions) if any(descriptions) and own.get("names", True) else None
    if not wavelengths:
        return BandAxis(count, names=names), ("opened without the file's wavelengths",)
    tags = [{**_lower(dataset.tags(k, ns="IMAGERY")), **_lower(dataset.tags(k))} for k in range(1, count + 1)]
    whole = {**_lower(dataset.tags()), **_lower(dataset.tags(ns="ENVI"))}
    unit = next(
        (where[key] for where in (tags[0], whole) for key in ("wavelength_units", "wavelength_unit", "wavelength units")
         if key in where), None,
    )  # fmt: skip

    def unit_of(name: str) -> str | None:
        return "um" if name.endswith("_um") else "nm" if name.endswith(("_nm", "_nanometers")) else unit

    centres, factor = None, 1.0
    column, found = _column(dataset, _CENTRES, tags)
    if column is not None:
        centres, factor = to_nm(column, unit_of(found))
    if centres is None:
        centres, factor = from_names(descriptions), 1.0
    widths, found = _column(dataset, _WIDTHS, tags)
    if widths is not None:
        widths = np.round(widths * (nm_per_unit(unit_of(found)) or factor), 6)
    flags, _ = _column(dataset, ("bbl", "good", "bad_band_multiplier"), tags)
    return BandAxis(count, centres, widths, None if flags is None else flags <= 0, names), ()


def _same(column: Sequence[float]) -> float | np.ndarray:
    values = np.asarray(column, np.float64)
    return float(values[0]) if (values == values[0]).all() else values


def _own_facts(dataset: Any) -> dict[str, Any]:
    try:
        found = json.loads(dataset.tags().get(FACTS_TAG, "{}"))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def open_raster(path: Path, array: str | None, wavelengths: bool) -> Cube:
    """Open a GeoTIFF or another raster GDAL knows; reads its metadata only.

    Wavelengths, widths and bad bands are looked for in band tags (EnMAP-Box), the IMAGERY domain, the ENVI domain and
    band descriptions. ``array`` names a subdataset.

    Raises FormatError where GDAL cannot read it or it holds no bands.
    """
    with opened(path) as dataset:
        inner = list(dataset.subdatasets)
        count = dataset.count
    place = str(path)
    if array is not None:
        place = next((name for name in inner if name == array or name.endswith((f":{array}", f"/{array}"))), "")
        if not place:
            raise FormatError(f"'{path}' has no subdataset '{array}'; it holds {', '.join(inner)[:300] or 'none'}.")
    elif count == 0:
        raise FormatError(f"'{path}' holds several images; name one as '{path}::NAME': {', '.join(inner)[:300]}.")
    with opened(place) as dataset:
        return _described(dataset, path, place, array, wavelengths)


def _described(dataset: Any, path: Path, place: str, array: str | None, wavelengths: bool) -> Cube:
    own = _own_facts(dataset)
    axis, notes = _axis(dataset, wavelengths, own)
    transform = tuple(dataset.transform)[:6]
    georef = None
    if dataset.crs is not None or not dataset.transform.is_identity:
        georef = GeoRef(transform, None if dataset.crs is None else comparable_crs(dataset.crs.to_wkt()))
    nodata = own.get("nodata", dataset.nodata)
    facts: dict[str, Any] = {"format": dataset.driver}
    if array is not None:
        facts["array"] = array
    # Lists for each band stand on the band axis; the rest of the tags are facts.
    skip = {*_CENTRES, *_WIDTHS, "bbl", "area_or_point", "wavelength_units", FACTS_TAG.lower()}
    facts.update({key: value for key, value in dataset.tags().items() if key.lower() not in skip})
    facts.update(own.get("facts", {}))
    dtypes = [np.dtype(name) for name in dataset.dtypes]
    return Cube(
        values=RasterValues(place, (dataset.count, dataset.height, dataset.width), np.result_type(*dtypes)),
        bands=axis,
        nodata=None if nodata is None else float(nodata),
        georef=georef,
        gain=_same(dataset.scales),
        offset=_same(dataset.offsets),
        unit=str(own.get("unit", next((unit for unit in dataset.units if unit), ""))),
        name=path.stem,
        source=str(path),
        facts=facts,
        history=(*map(str, own.get("history", ())), *notes),
    )


def looks_like_cube(path: Path) -> bool:
    """Whether GDAL sees more than four bands, or a map frame: photographs are left to other readers."""
    with opened(path) as dataset:
        return dataset.count > 4 or (dataset.count > 0 and dataset.crs is not None)

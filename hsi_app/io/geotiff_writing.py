"""Writing GeoTIFF, with the band facts where GDAL, QGIS and EnMAP-Box look for them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, final

import numpy as np

from hsi_app.errors import OutputError
from hsi_app.io.envi_writing import is_plain
from hsi_app.io.geotiff import CACHE_MB, FACTS_TAG, unplaced_is_fine
from hsi_app.io.map_frame import crs_wkt
from hsi_app.io.writing import BlockWriter, Plan

TILE_PX = 256
# A name that ends so asks for a cloud-optimised GeoTIFF.
COG_SUFFIXES = (".cog.tif", ".cog.tiff")


def tiff_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The narrowest number type GDAL writes that holds every value of ``dtype``."""
    stand_in = {"b1": "u1", "f2": "f4", "f16": "f8"}.get(f"{dtype.kind}{dtype.itemsize}")
    return np.dtype(stand_in) if stand_in else dtype


@contextmanager
def _told(path: Path, needed: int) -> Iterator[None]:
    """GDAL's errors as ours. GDAL gives no error number, so a full disk is told by the room that is left."""
    import rasterio
    from rasterio._err import CPLE_BaseError
    from rasterio.errors import RasterioError

    try:
        # For every call, not only the first: GDAL forgets the limit with the environment.
        with rasterio.Env(GDAL_CACHEMAX=CACHE_MB):
            yield
    except (RasterioError, CPLE_BaseError) as error:
        if shutil.disk_usage(path.parent).free < needed:
            raise OutputError(f"no space left while writing '{path.name}'; free some, or use another disk.") from error
        raise OutputError(f"'{path.name}' could not be written: {' '.join(str(error).split())[:200]}.") from error


def _holds(dtype: np.dtype[Any], number: float) -> bool:
    """Whether the number type can hold a number, so that GDAL takes it as the missing value."""
    if dtype.kind == "f":
        return not np.isfinite(number) or abs(number) <= np.finfo(dtype).max
    limits = np.iinfo(dtype)
    return float(number).is_integer() and limits.min <= number <= limits.max


@final
class GeoTiffWriter(BlockWriter):
    """Writes uncompressed GeoTIFF, a band after another, in tiles; BigTIFF where it may pass 4 GB.

    A name in ``.cog.tif`` gives a cloud-optimised GeoTIFF: compressed without loss, with overviews, in the order that
    lets a viewer fetch parts over a network. It is made of the finished file, for its overviews need all of it.
    """

    def __init__(self, path: Path, plan: Plan) -> None:
        import rasterio
        from rasterio.transform import Affine

        bands, height, width = plan.shape
        cube = plan.like
        options: dict[str, Any] = {}
        if min(height, width) >= TILE_PX:
            options = {"tiled": True, "blockxsize": TILE_PX, "blockysize": TILE_PX}
        if cube.georef is not None:
            options["transform"] = Affine(*cube.georef.transform)
            if cube.georef.crs is not None:
                options["crs"] = crs_wkt(cube.georef.crs)
        if plan.nodata is not None and _holds(plan.dtype, plan.nodata):
            options["nodata"] = plan.nodata
        self._path, self._nbytes = path, plan.nbytes
        with _told(path, plan.nbytes), unplaced_is_fine():
            self._dataset = rasterio.open(
                path, "w", driver="GTiff", count=bands, height=height, width=width, dtype=plan.dtype.name,
                interleave="band", BIGTIFF="IF_SAFER", **options,
            )  # fmt: skip
            self._describe(plan)

    def _describe(self, plan: Plan) -> None:
        cube, dataset, bands = plan.like, self._dataset, plan.shape[0]
        axis = cube.axis
        own: dict[str, Any] = {
            "unit": cube.unit,
            "names": axis.names is not None,
            "history": list(cube.history),
            "facts": {key: value for key, value in cube.facts.items() if key != "format" and is_plain(value)},
        }
        if plan.nodata is not None:
            own["nodata"] = plan.nodata
        dataset.update_tags(**{FACTS_TAG: json.dumps(own, ensure_ascii=False)})
        dataset.scales = tuple(float(v) for v in np.broadcast_to(cube.gain, (bands,)))
        dataset.offsets = tuple(float(v) for v in np.broadcast_to(cube.offset, (bands,)))
        if cube.unit:
            dataset.units = (cube.unit,) * bands
        for k in range(bands):
            # EnMAP-Box reads the plain tags, GDAL and QGIS the IMAGERY domain, in micrometres.
            tags, imagery = {"bbl": "0" if axis.is_bad[k] else "1"}, {}
            if axis.centres_nm is not None:
                tags |= {"wavelength": repr(float(axis.centres_nm[k])), "wavelength_units": "Nanometers"}
                imagery["CENTRAL_WAVELENGTH_UM"] = f"{axis.centres_nm[k] / 1e3:.9g}"
                dataset.set_band_description(k + 1, f"band {k + 1} ({axis.centres_nm[k]:g} Nanometers)")
            if axis.fwhm_nm is not None:
                tags |= {"fwhm": repr(float(axis.fwhm_nm[k])), "wavelength_units": "Nanometers"}
                imagery["FWHM_UM"] = f"{axis.fwhm_nm[k] / 1e3:.9g}"
            if axis.names is not None:
                dataset.set_band_description(k + 1, axis.names[k])
            dataset.update_tags(k + 1, **tags)
            if imagery:
                dataset.update_tags(k + 1, ns="IMAGERY", **imagery)

    def put(self, rows: slice, cols: slice, block: np.ndarray) -> None:
        """See BlockWriter."""
        from rasterio.windows import Window

        window = Window(cols.start, rows.start, cols.stop - cols.start, rows.stop - rows.start)
        with _told(self._path, block.nbytes):
            self._dataset.write(block, window=window)

    def finish(self) -> None:
        """See BlockWriter. Raises OutputError where GDAL dropped blocks on closing."""
        with _told(self._path, self._nbytes):
            self._dataset.close()
        size = self._path.stat().st_size
        if size < self._nbytes:
            raise OutputError(f"'{self._path.name}' has {size} bytes instead of {self._nbytes}; is the disk full?")
        if self._path.name.lower().endswith(COG_SUFFIXES):
            self._optimise()

    def _optimise(self) -> None:
        import rasterio.shutil

        plain = self._path.with_name(f"plain-{self._path.name}")
        self._path.rename(plain)
        with _told(self._path, self._nbytes), unplaced_is_fine():
            rasterio.shutil.copy(
                plain, self._path, driver="COG", BLOCKSIZE=TILE_PX, COMPRESS="DEFLATE", PREDICTOR="YES",
                OVERVIEW_RESAMPLING="AVERAGE", BIGTIFF="IF_SAFER",
            )  # fmt: skip
        plain.unlink()

    def abandon(self) -> None:
        """See BlockWriter."""
        with _told(self._path, 0):
            self._dataset.close()

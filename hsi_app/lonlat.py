"""Longitude and latitude of pixels, quick enough for every move of the mouse."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hsi_app.errors import CubeError
from hsi_app.georef import GeoRef

# Knots along each axis, and degree of the polynomial in row and col that is fitted to them: for UTM scenes of 100 km
# it lies within a millimetre (tests/engine/test_lonlat.py).
_KNOTS, _DEGREE = 9, 5


@dataclass(frozen=True, eq=False)
class LonLat:
    """A polynomial in row and col that gives longitude and latitude.

    size : (rows, cols) of the image it was fitted to
    coefficients : (degree + 1, degree + 1, 2), of Chebyshev polynomials in row and col
    """

    size: tuple[int, int]
    coefficients: np.ndarray

    def at(self, row: float, col: float) -> tuple[float, float]:
        """(longitude, latitude) in degrees of a pixel's place; integers are pixel centres."""
        v, u = _unit(np.array([row]), self.size[0]), _unit(np.array([col]), self.size[1])
        lon, lat = np.polynomial.chebyshev.chebval2d(v, u, self.coefficients)
        return float(lon[0]) - (360 if lon[0] > 180 else 0), float(lat[0])


def fit_lonlat(georef: GeoRef, size: tuple[int, int]) -> LonLat:
    """Ask PROJ for some places of an image and fit a polynomial to them.

    Parameters
    ----------
    georef : with a coordinate reference system that is known
    size : (rows, cols)

    Raises
    ------
    CubeError
        If there is no way from the image's coordinates to longitude and latitude.
    """
    from rasterio._err import CPLE_BaseError
    from rasterio.errors import CRSError, RasterioError
    from rasterio.warp import transform

    knots = np.cos(np.pi * (np.arange(_KNOTS) + 0.5) / _KNOTS)
    v, u = (grid.ravel() for grid in np.meshgrid(knots, knots, indexing="ij"))
    rows, cols = _place(v, size[0]), _place(u, size[1])
    x, y = georef.xy(rows, cols)  # type: ignore[arg-type]  # the formula holds for arrays
    try:
        lon, lat = (np.asarray(c) for c in transform(georef.crs, "EPSG:4326", np.ravel(x), np.ravel(y)))
    except (CPLE_BaseError, CRSError, RasterioError, ValueError):
        raise CubeError(f"{georef.crs_name()} cannot be turned into longitude and latitude.") from None
    if not (np.isfinite(lon).all() and np.isfinite(lat).all()):
        raise CubeError(f"the image lies outside the area of {georef.crs_name()}; check its map frame.")
    if np.ptp(lon) > 180:
        # Across the date line longitudes go on beyond 180 degrees instead of jumping.
        lon = np.where(lon < 0, lon + 360, lon)
    matrix = np.polynomial.chebyshev.chebvander2d(v, u, [_DEGREE, _DEGREE])
    solution, *_ = np.linalg.lstsq(matrix, np.stack([lon, lat], axis=1), rcond=None)
    return LonLat(size, solution.reshape(_DEGREE + 1, _DEGREE + 1, 2))


def is_geographic(georef: GeoRef) -> bool:
    """True where map coordinates are longitude and latitude already; False where no reference system is known."""
    if not georef.crs:
        return False
    from rasterio.crs import CRS
    from rasterio.errors import CRSError

    try:
        return bool(CRS.from_user_input(georef.crs).is_geographic)
    except CRSError:
        return False


def _unit(place: np.ndarray, length: int) -> np.ndarray:
    """Pixel places of -0.5 to length - 0.5 as -1 to 1."""
    return (place + 0.5) * 2 / length - 1


def _place(unit: np.ndarray, length: int) -> np.ndarray:
    return (unit + 1) * length / 2 - 0.5

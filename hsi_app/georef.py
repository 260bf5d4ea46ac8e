"""Where a cube lies on the map: a coordinate reference system and an affine transform."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class GeoRef:
    """Map frame of a raster.

    Parameters
    ----------
    transform : six floats (a, b, c, d, e, f) in rasterio order
        x = a * col + b * row + c and y = d * col + e * row + f, where (0, 0) is the outer corner of the
        first pixel.
    crs : str, WKT or 'EPSG:32633', or None if only the grid is known
    """

    transform: tuple[float, float, float, float, float, float]
    crs: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "transform", tuple(float(v) for v in self.transform))

    def xy(self, row: float, col: float) -> tuple[float, float]:
        """Map coordinates of a pixel position; integer (row, col) is a pixel's centre."""
        a, b, c, d, e, f = self.transform
        r, k = row + 0.5, col + 0.5
        return a * k + b * r + c, d * k + e * r + f

    def cropped(self, row: int, col: int) -> GeoRef:
        """Frame of a crop whose first pixel is (row, col)."""
        a, b, c, d, e, f = self.transform
        return GeoRef((a, b, a * col + b * row + c, d, e, d * col + e * row + f), self.crs)

    def upsampled(self, factor: float) -> GeoRef:
        """Frame of the same ground on a grid ``factor`` times finer (block-centred)."""
        a, b, c, d, e, f = self.transform
        return GeoRef((a / factor, b / factor, c, d / factor, e / factor, f), self.crs)

    @property
    def pixel_size(self) -> tuple[float, float]:
        """(width, height) of a pixel in map units, both positive."""
        a, b, _, d, e, _ = self.transform
        return float(np.hypot(a, d)), float(np.hypot(b, e))

    def describe(self) -> str:
        """One line: EPSG code or CRS name, pixel size, origin."""
        width, height = self.pixel_size
        left, top = self.transform[2], self.transform[5]
        # Twelve digits: six would round a UTM northing to ten metres.
        return f"{self.crs_name()}, pixel {width:g} x {height:g}, origin ({left:.12g}, {top:.12g})"

    def crs_name(self) -> str:
        """'EPSG:32633' where the code is known, else the CRS's name, else 'unknown CRS'."""
        if not self.crs:
            return "unknown CRS"
        if self.crs.upper().startswith("EPSG:"):
            return self.crs.upper()
        from rasterio.crs import CRS
        from rasterio.errors import CRSError

        try:
            crs = CRS.from_user_input(self.crs)
        except CRSError:
            return self.crs[:60]
        code = crs.to_epsg()
        if code:
            return f"EPSG:{code}"
        return self.crs.split('"')[1] if '"' in self.crs else self.crs[:60]

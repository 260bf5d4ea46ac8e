"""Longitude and latitude of pixels from a fitted polynomial, against PROJ."""

from __future__ import annotations

import numpy as np
import pytest
from rasterio.warp import transform

from hsi_app.errors import CubeError
from hsi_app.georef import GeoRef
from hsi_app.lonlat import fit_lonlat, is_geographic

UTM = GeoRef((10.0, 0.0, 399_960.0, 0.0, -10.0, 5_800_020.0), "EPSG:32633")
LAEA = GeoRef((30.0, 0.0, 4_321_000.0, 0.0, -30.0, 3_210_000.0), "EPSG:3035")
TURNED = GeoRef((7.0, 7.0, 400_000.0, 7.0, -7.0, 5_800_000.0), "EPSG:32633")
# Around Taveuni, Fiji, where 180 degrees run through the island.
DATE_LINE = GeoRef((30.0, 0.0, 800_000.0, 0.0, -30.0, 8_150_000.0), "EPSG:32760")


@pytest.mark.parametrize(
    ("georef", "size"),
    [(UTM, (10_980, 10_980)), (LAEA, (4000, 3000)), (TURNED, (900, 1400)), (DATE_LINE, (2000, 6000)), (UTM, (1, 1))],
    ids=["UTM 110 km", "LAEA", "turned", "date line", "one pixel"],
)
def test_places_agree_with_proj_to_a_millimetre(georef: GeoRef, size: tuple[int, int]) -> None:
    frame, rng = fit_lonlat(georef, size), np.random.default_rng(3)
    for row, col in rng.uniform((-0.5, -0.5), np.array(size) - 0.5, (40, 2)):
        x, y = georef.xy(row, col)
        (lon,), (lat,) = transform(georef.crs, "EPSG:4326", [x], [y])
        found_lon, found_lat = frame.at(row, col)
        metres = 111_320 * np.hypot((found_lon - lon) * np.cos(np.radians(lat)), found_lat - lat)
        assert metres < 1e-3
        assert -180 <= found_lon <= 180


@pytest.mark.parametrize("crs", [None, 'LOCAL_CS["site grid",UNIT["metre",1]]', "no such system"])
def test_a_frame_without_a_way_to_the_globe_is_refused(crs: str | None) -> None:
    with pytest.raises(CubeError):
        fit_lonlat(GeoRef((1, 0, 0, 0, -1, 0), crs), (10, 10))


@pytest.mark.parametrize(
    ("crs", "is_so"), [("EPSG:4326", True), ("EPSG:32633", False), (None, False), ("no such system", False)]
)
def test_geographic_systems_are_told_from_others(crs: str | None, is_so: bool) -> None:
    assert is_geographic(GeoRef((1, 0, 0, 0, -1, 0), crs)) is is_so

"""Map frames as files write them: CRS texts made comparable, and ENVI's 'map info'."""

from __future__ import annotations

import math
from functools import lru_cache

from hsi_app.errors import FormatError
from hsi_app.georef import GeoRef

Affine = tuple[float, float, float, float, float, float]

# EPSG codes: datum -> (geographic, UTM north minus zone, UTM south minus zone).
_DATUMS: dict[str, tuple[int, int | None, int | None]] = {
    "WGS84": (4326, 32600, 32700),
    "WGS72": (4322, 32200, 32300),
    "NAD83": (4269, 26900, None),
    "NORTHAMERICA1983": (4269, 26900, None),
    "NAD27": (4267, 26700, None),
    "NORTHAMERICA1927": (4267, 26700, None),
    "ETRS89": (4258, 25800, None),
    "EUROPEANTERRESTRIALREFERENCESYSTEM1989": (4258, 25800, None),
}


@lru_cache(maxsize=64)
def comparable_crs(text: str) -> str:
    """'EPSG:32633' where the text (WKT of any dialect, PROJ, EPSG) names a CRS of that register, else the text itself.

    Programs write the same CRS in many dialects; frames can only be compared once they are one.
    """
    from rasterio.crs import CRS
    from rasterio.errors import CRSError

    try:
        code = CRS.from_user_input(text).to_epsg()
    except CRSError:
        return text
    return f"EPSG:{code}" if code else text


@lru_cache(maxsize=64)
def crs_wkt(text: str, *, esri: bool = False) -> str:
    """The CRS as one line of WKT, in Esri's dialect where asked for; the text itself where it cannot be read."""
    from rasterio.crs import CRS
    from rasterio.errors import CRSError

    try:
        return CRS.from_user_input(text).to_wkt(version="WKT1_ESRI" if esri else "WKT1_GDAL")
    except CRSError:
        return " ".join(text.split())


def parse_map_info(parts: list[str], wkt: str | None, path: object) -> GeoRef | None:
    """Map frame of an ENVI header.

    Parameters
    ----------
    parts : entries of 'map info': projection, reference column and row, their map x and y, pixel width and height,
        then zone and hemisphere (UTM), datum and 'units=', 'rotation=' in any order
        The reference pixel counts from 1 and (1, 1) is the *outer corner* of the first pixel, (1.5, 1.5) its centre.
        'rotation' is in degrees; positive turns the image counter-clockwise, as GDAL reads it.
    wkt : 'coordinate system string', or None

    Returns
    -------
    The frame; None where the image lies on no map ('Arbitrary' with pixel size 1 at the origin).

    Raises
    ------
    FormatError
        If a number is missing or unreadable, or a pixel has no size.
    """
    plain = [part for part in parts if "=" not in part]
    named = {k.strip().lower(): v.strip() for k, _, v in (part.partition("=") for part in parts if "=" in part)}
    try:
        column, row, x, y, width, height = (float(part) for part in plain[1:7])
        rotation = float(named.get("rotation", "0") or 0)
    except ValueError as error:
        raise FormatError(
            f"'{path}' has a 'map info' of {len(plain)} entries; it needs a projection and 6 numbers: correct it."
        ) from error
    if not all(map(math.isfinite, (column, row, x, y, width, height, rotation))) or width == 0 or height == 0:
        raise FormatError(f"'{path}' gives pixels of {width:g} x {height:g} in 'map info'; correct the header.")
    angle = math.radians(-rotation)
    a, b = math.cos(angle) * width, -math.sin(angle) * width
    d, e = -math.sin(angle) * height, -math.cos(angle) * height
    if rotation == 0:
        b = d = 0.0
    transform = (a, b, x - a * (column - 1) - b * (row - 1), d, e, y - d * (column - 1) - e * (row - 1))
    crs = comparable_crs(wkt) if wkt else _crs_of(plain)
    if crs is None and plain[0].strip().lower().startswith("arbitrary") and (width, height, rotation) == (1, 1, 0):
        return None
    return GeoRef(transform, crs)


def _crs_of(plain: list[str]) -> str | None:
    projection, rest = plain[0].strip().lower(), [part.strip() for part in plain[7:]]
    zone = next((int(part) for part in rest if part.isdigit()), None)
    south = any(part.lower() == "south" for part in rest)
    datum = next(
        (_DATUMS[key] for part in rest if (key := "".join(c for c in part.upper() if c.isalnum())) in _DATUMS), None
    )
    if datum is None:
        return None
    if projection.startswith("geographic"):
        return f"EPSG:{datum[0]}"
    base = datum[2] if south else datum[1]
    if projection.startswith("utm") and zone is not None and 1 <= zone <= 60 and base is not None:
        return f"EPSG:{base + zone}"
    return None


def format_map_info(georef: GeoRef) -> tuple[str, str | None] | None:
    """'map info' (without braces) and 'coordinate system string' of a frame.

    None where the transform is sheared, mirrored or has turned pixels that are not square: ENVI cannot write those.
    """
    a, b, c, d, e, f = georef.transform
    width, height = math.hypot(a, b), math.hypot(d, e)
    angle = math.atan2(-b, a)
    expected = (math.cos(angle) * width, -math.sin(angle) * width, -math.sin(angle) * height, -math.cos(angle) * height)
    if (
        width == 0
        or height == 0
        or any(abs(got - want) > 1e-9 * max(width, height) for got, want in zip((a, b, d, e), expected, strict=True))
    ):
        return None
    projection, tail = "Arbitrary", ""
    wkt = None if georef.crs is None else crs_wkt(georef.crs, esri=True)
    code = None if georef.crs is None else comparable_crs(georef.crs)
    for datum in ("WGS-84", "North America 1983", "North America 1927", "ETRS89", "WGS-72"):
        geographic, north, south = _DATUMS["".join(ch for ch in datum.upper() if ch.isalnum())]
        if code == f"EPSG:{geographic}":
            projection, tail = "Geographic Lat/Lon", f", {datum}, units=Degrees"
        for base, side in ((north, "North"), (south, "South")):
            if base and code and code.startswith("EPSG:") and 1 <= int(code[5:]) - base <= 60:
                projection, tail = "UTM", f", {int(code[5:]) - base}, {side}, {datum}, units=Meters"
    if wkt is not None and projection == "Arbitrary":
        projection = wkt.split('"')[1].replace(",", " ") if '"' in wkt else "Arbitrary"
    turn = f", rotation={-math.degrees(angle)!r}" if b or d else ""
    return f"{projection}, 1, 1, {c!r}, {f!r}, {width!r}, {height!r}{tail}{turn}", wkt

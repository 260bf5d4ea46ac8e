"""Bands of well-known multispectral sensors: centre and full width at half maximum, nm.

Centres and widths, or the band edges that they are the middle and the distance of, as the operators publish them.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

Bands = Mapping[str, tuple[float, float]]


def _edges(**bands: tuple[float, float]) -> Bands:
    return MappingProxyType({name: ((low + high) / 2, high - low) for name, (low, high) in bands.items()})


_WORLDVIEW_2 = _edges(
    coastal=(400, 450), blue=(450, 510), green=(510, 580), yellow=(585, 625), red=(630, 690), rededge=(705, 745),
    nir1=(770, 895), nir2=(860, 1040),
)  # fmt: skip
_LANDSAT_8 = _edges(
    B1=(435, 451), B2=(452, 512), B3=(533, 590), B4=(636, 673), B5=(851, 879), B6=(1566, 1651), B7=(2107, 2294),
)  # fmt: skip

SENSORS: Mapping[str, Bands] = MappingProxyType(
    {
        "sentinel-2": MappingProxyType({
            "B1": (442.7, 21), "B2": (492.4, 66), "B3": (559.8, 36), "B4": (664.6, 31), "B5": (704.1, 15),
            "B6": (740.5, 15), "B7": (782.8, 20), "B8": (832.8, 106), "B8A": (864.7, 21), "B9": (945.1, 20),
            "B10": (1373.5, 31), "B11": (1613.7, 91), "B12": (2202.4, 175),
        }),
        "landsat-8": _LANDSAT_8,
        "landsat-9": _LANDSAT_8,
        "landsat-7": _edges(
            B1=(450, 515), B2=(525, 605), B3=(630, 690), B4=(775, 900), B5=(1550, 1750), B7=(2090, 2350)
        ),
        "landsat-5": _edges(
            B1=(450, 520), B2=(520, 600), B3=(630, 690), B4=(760, 900), B5=(1550, 1750), B7=(2080, 2350)
        ),
        "ikonos": _edges(blue=(445, 516), green=(506, 595), red=(632, 698), nir=(757, 853)),
        "quickbird": _edges(blue=(450, 520), green=(520, 600), red=(630, 690), nir=(760, 900)),
        "geoeye-1": _edges(blue=(450, 510), green=(510, 580), red=(655, 690), nir=(780, 920)),
        "worldview-2": _WORLDVIEW_2,
        "worldview-3": MappingProxyType({
            **_WORLDVIEW_2,
            **_edges(
                swir1=(1195, 1225), swir2=(1550, 1590), swir3=(1640, 1680), swir4=(1710, 1750), swir5=(2145, 2185),
                swir6=(2185, 2225), swir7=(2235, 2285), swir8=(2295, 2365),
            ),
        }),
        "pleiades": _edges(blue=(430, 550), green=(490, 610), red=(600, 720), nir=(750, 950)),
        "spot-6": _edges(blue=(455, 525), green=(530, 590), red=(625, 695), nir=(760, 890)),
        "spot-7": _edges(blue=(455, 525), green=(530, 590), red=(625, 695), nir=(760, 890)),
        "planetscope": _edges(
            coastal=(431, 452), blue=(465, 515), green1=(513, 549), green=(547, 583), yellow=(600, 620), red=(650, 680),
            rededge=(697, 713), nir=(845, 885),
        ),
        "planetscope-dove": _edges(blue=(455, 515), green=(500, 590), red=(590, 670), nir=(780, 860)),
        "rapideye": _edges(blue=(440, 510), green=(520, 590), red=(630, 685), rededge=(690, 730), nir=(760, 850)),
        "aster": _edges(
            B1=(520, 600), B2=(630, 690), B3N=(760, 860), B4=(1600, 1700), B5=(2145, 2185), B6=(2185, 2225),
            B7=(2235, 2285), B8=(2295, 2365), B9=(2360, 2430),
        ),
        "modis": _edges(
            B1=(620, 670), B2=(841, 876), B3=(459, 479), B4=(545, 565), B5=(1230, 1250), B6=(1628, 1652),
            B7=(2105, 2155),
        ),
        "rgb": MappingProxyType({"red": (600.0, 80.0), "green": (540.0, 90.0), "blue": (460.0, 80.0)}),
    }
)  # fmt: skip


def sensor_names() -> tuple[str, ...]:
    """Names that ``--srf`` takes."""
    return tuple(SENSORS)


def sensor_bands(name: str) -> tuple[str, Bands] | None:
    """Canonical name and bands of a sensor, however its name is written; None where it is not known."""
    wanted = _plain(name)
    return next(((known, bands) for known, bands in SENSORS.items() if _plain(known) == wanted), None)


def _plain(name: str) -> str:
    return "".join(mark for mark in name.lower() if mark.isalnum())

"""Score a kept unmixing against known materials: another result folder, or an .npz of endmembers and abundances."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hsi_app.errors import CubeError, FormatError
from hsi_app.library import SpectralLibrary
from hsi_app.unmixing.matching import match


@dataclass(frozen=True, eq=False)
class KnownMaterials:
    """Materials and fractions of a scene.

    endmembers : library of K spectra; abundances : (K, H, W) float array, NaN where unknown
    """

    endmembers: SpectralLibrary
    abundances: np.ndarray


def is_unmixing(path: str | Path) -> bool:
    """True for a folder that an unmixing was kept in."""
    return (Path(path) / "abundances.hdr").is_file()


def read_materials(path: str | Path) -> KnownMaterials:
    """Read a result folder, or an .npz with 'endmembers' (B, K) and 'abundances' (H, W, K) or (K, H, W).

    Raises FormatError if it is neither.
    """
    from hsi_app.io import open_cube
    from hsi_app.io.spectral_library import read_library

    place = Path(path)
    if is_unmixing(place):
        cube = open_cube(place / "abundances.hdr")
        values, valid = cube.block()
        return KnownMaterials(read_library(place / "endmembers.sli"), np.where(valid, values, np.float32(np.nan)))
    if place.suffix.lower() != ".npz" or not place.is_file():
        raise FormatError(
            f"'{path}' is no unmixing; give a folder that 'hsi-app unmix' made, or an .npz with the truth."
        )
    with np.load(place, allow_pickle=False) as archive:
        if not {"endmembers", "abundances"} <= set(archive.files):
            raise FormatError(f"'{path}' holds {', '.join(archive.files)}; the truth needs 'endmembers', 'abundances'.")
        abundances = np.asarray(archive["abundances"], float)
    library = read_library(place)
    if abundances.ndim != 3 or library.count not in (abundances.shape[0], abundances.shape[2]):
        raise FormatError(f"'{path}' has {library.count} endmembers but abundances {abundances.shape}; give one each.")
    if abundances.shape[0] != library.count:
        abundances = np.moveaxis(abundances, -1, 0)
    return KnownMaterials(library, abundances)


def score_unmixing(result: str | Path, reference: str | Path) -> dict[str, Any]:
    """Spectral angles and abundance errors of a kept result.

    Returns ``Match.plain()`` with the names of the pairs. Raises CubeError where the two do not fit together.
    """
    from hsi_app.bands import BandAxis

    found, known = read_materials(result), read_materials(reference)
    if found.abundances.shape[1:] != known.abundances.shape[1:]:
        raise CubeError(
            f"abundances of {found.abundances.shape[1:]} px against {known.abundances.shape[1:]}; score the same scene."
        )
    # On the bands of the truth, which is not stretched over bands that it leaves out.
    ours, _ = found.endmembers.on_bands(BandAxis(known.endmembers.bands, known.endmembers.centres_nm))
    figures = match(ours.spectra, known.endmembers.spectra, found.abundances, known.abundances).plain()
    for pair, name in zip(figures["materials"], known.endmembers.names, strict=True):
        pair["known"], pair["found"] = name, found.endmembers.names[pair["found"]]
    return figures

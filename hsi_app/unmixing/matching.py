"""Found materials against known ones: who is who, spectral angles, errors of the fractions. NumPy only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hsi_app.errors import CubeError


def spectral_angles(found: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Angle between each known and each found spectrum.

    Parameters
    ----------
    found : (B, K) float array; known : (B, M) float array; bands where any is NaN are left out

    Returns
    -------
    (M, K) float array, radians in [0, pi]

    Source: spectral angle, Kruse et al. 1993. Computed from half the distance of the unit vectors, which stays exact
    where an arc cosine would round a small angle to zero or beyond one.
    """
    seen = np.isfinite(found).all(axis=1) & np.isfinite(known).all(axis=1)
    if not seen.any():
        raise CubeError("the two sets of endmembers have no band in common; give both on the same bands.")
    a, b = (_unit(spectra[seen].astype(np.float64)) for spectra in (found, known))
    apart = np.linalg.norm(b[:, :, None] - a[:, None, :], axis=0)
    together = np.linalg.norm(b[:, :, None] + a[:, None, :], axis=0)
    return np.asarray(2 * np.arctan2(apart, together))


def _unit(spectra: np.ndarray) -> np.ndarray:
    return spectra / np.maximum(np.linalg.norm(spectra, axis=0), np.finfo(float).tiny)


@dataclass(frozen=True, eq=False)
class Match:
    """Found materials paired with known ones, least sum of spectral angles.

    found : (M,) index of the found material that stands for each known one
    angles : (M,) their spectral angles, radians
    rmse : root mean square error over all entries of the abundances; NaN without known abundances
    material_rmse : (M,) that of each material
    """

    found: np.ndarray
    angles: np.ndarray
    rmse: float
    material_rmse: np.ndarray

    def plain(self) -> dict[str, Any]:
        """Figures by name: sad_rad, sad_deg, rmse, mean_material_rmse, and the same for each material."""
        return {
            "sad_rad": float(self.angles.mean()),
            "sad_deg": float(np.degrees(self.angles.mean())),
            "rmse": self.rmse,
            "mean_material_rmse": float(self.material_rmse.mean()),
            "materials": [
                {"found": int(k), "sad_rad": float(angle), "sad_deg": float(np.degrees(angle)), "rmse": float(error)}
                for k, angle, error in zip(self.found, self.angles, self.material_rmse, strict=True)
            ],
        }


def match(
    endmembers: np.ndarray,
    known_endmembers: np.ndarray,
    abundances: np.ndarray | None = None,
    known_abundances: np.ndarray | None = None,
) -> Match:
    """Pair found with known materials by their spectra, then compare the fractions.

    Parameters
    ----------
    endmembers : (B, K); known_endmembers : (B, M) with M <= K
    abundances : (K, ...) float array; known_abundances : (M, ...); pixels where any is NaN are left out

    Returns
    -------
    Match

    Raises
    ------
    CubeError
        If the shapes do not fit together.

    Source: Hungarian assignment on the spectral angle; matching on abundances, as some papers do, would let the truth
    choose.
    """
    from scipy.optimize import linear_sum_assignment

    if endmembers.shape[0] != known_endmembers.shape[0]:
        raise CubeError(
            f"{endmembers.shape[0]} bands found, {known_endmembers.shape[0]} known; resample one to the other first."
        )
    known_count = known_endmembers.shape[1]
    if endmembers.shape[1] < known_count:
        raise CubeError(
            f"{endmembers.shape[1]} materials found for {known_count} known ones; give --endmembers {known_count}."
        )
    angles = spectral_angles(endmembers, known_endmembers)
    rows, columns = linear_sum_assignment(angles)
    chosen = columns[np.argsort(rows)]
    rmse, each = float("nan"), np.full(known_count, np.nan)
    if abundances is not None and known_abundances is not None:
        a = abundances.reshape(len(abundances), -1).astype(np.float64)[chosen]
        b = known_abundances.reshape(known_count, -1).astype(np.float64)
        if a.shape != b.shape:
            raise CubeError(f"abundances of {abundances.shape[1:]} pixels against {known_abundances.shape[1:]}.")
        seen = np.isfinite(a).all(axis=0) & np.isfinite(b).all(axis=0)
        squares = (a[:, seen] - b[:, seen]) ** 2
        rmse, each = float(np.sqrt(squares.mean())), np.sqrt(squares.mean(axis=1))
    return Match(chosen, angles[np.arange(known_count), chosen], rmse, each)

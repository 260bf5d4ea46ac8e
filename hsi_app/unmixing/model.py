"""The mixing model of a scene: found once, applied to every tile."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from hsi_app.jobs import Job
from hsi_app.problem import Problem, Restoration, Shared
from hsi_app.unmixing.normalise import Normalisation
from hsi_app.unmixing.survey import Normaliser

# Pixels at a time, over the larger of bands and materials: 2^22 x 8 B = 34 MB for one array of them.
CHUNK_NUMBERS = 2**22

# (normalised spectra (B, n), validity (B, n) or None, job) -> abundances (K, n) and images (n,) by name.
Solve = Callable[[torch.Tensor, torch.Tensor | None, Job], tuple[torch.Tensor, Mapping[str, torch.Tensor]]]


@dataclass(frozen=True, eq=False)
class Model:
    """Materials of a scene and how its spectra are read.

    Parameters
    ----------
    endmembers : (B, K) float64 array on the normalised scale; zeros in bands that are not live
    names : K strings
    scales : (K,) float64 array: a material's spectrum at the brightness it has in the scene is scales * endmembers
    weights : (B,) float64 array >= 0 of the channels in the fit
    live : (B,) bool array, bands that take part at all
    kept : (B,) bool array, bands that go with their neighbours; the brightness is taken from these
    agreement : (B,) float array in [0, 1], how well each band goes with its neighbours
    typical : (B,) float64 array, mean spectrum; floor : least divisor of 'l2-cutoff'
    normalise : 'none', 'l1', 'l2', 'l2-cutoff' or 'max'
    maps : names of the images that the method gives beside the abundances
    details : further arrays of the method, kept in the run's record where they are short
    """

    endmembers: np.ndarray
    names: tuple[str, ...]
    scales: np.ndarray
    weights: np.ndarray
    live: np.ndarray
    kept: np.ndarray
    agreement: np.ndarray
    typical: np.ndarray
    floor: float
    normalise: Normalisation
    maps: tuple[str, ...] = ()
    details: Mapping[str, np.ndarray] = field(default_factory=dict)

    def to_shared(self) -> Shared:
        """As the plain arrays that tiles are given."""
        own: dict[str, Any] = {
            "endmembers": self.endmembers, "names": self.names, "scales": self.scales, "weights": self.weights,
            "live": self.live, "kept": self.kept, "agreement": self.agreement, "typical": self.typical,
            "floor": self.floor, "normalise": self.normalise, "maps": self.maps,
        }  # fmt: skip
        arrays = {key: np.asarray(value, dtype=str if key in ("names", "maps") else None) for key, value in own.items()}
        return {**arrays, **{f"details.{key}": np.asarray(value) for key, value in self.details.items()}}

    @classmethod
    def from_shared(cls, shared: Shared) -> Model:
        """What ``to_shared`` made plain."""
        own: dict[str, Any] = {key: value for key, value in shared.items() if "." not in key}
        details = {key.removeprefix("details."): value for key, value in shared.items() if key.startswith("details.")}
        texts = {key: tuple(str(text) for text in own[key]) for key in ("names", "maps")}
        plain: dict[str, Any] = {"floor": float(own["floor"]), "normalise": str(own["normalise"])}
        return cls(**{**own, **texts, **plain}, details=details)

    def normaliser(self, device: torch.device) -> Normaliser:
        """How the scene's spectra are divided by their brightness."""
        kept, typical = (torch.from_numpy(column).to(device) for column in (self.kept, self.typical))
        return Normaliser(self.normalise, kept, typical, self.floor)


def apply_model(problem: Problem, model: Model, solve: Solve, job: Job) -> Restoration:
    """Abundances and reconstruction of one tile, pixel by pixel.

    Parameters
    ----------
    problem : the tile
    model : of the scene
    solve : gives the abundances of normalised spectra
    job : for progress and cancelling

    Returns
    -------
    Restoration with ``values`` = M A at each pixel's brightness, NaN where there are no abundances: in empty pixels,
    and in those with fewer observed bands than materials.
    """
    device = problem.device
    normaliser = model.normaliser(device)
    endmembers = torch.from_numpy(model.endmembers).to(device)
    live = torch.from_numpy(model.live).to(device)
    bands, height, width = problem.observed.shape
    pixels, count = height * width, endmembers.shape[1]
    flat, seen = problem.observed.reshape(bands, -1), problem.valid.reshape(bands, -1)
    abundances = torch.full((count, pixels), torch.nan, dtype=torch.float32, device=device)
    values = torch.full((bands, pixels), torch.nan, dtype=torch.float32, device=device)
    images = {name: torch.full((pixels,), torch.nan, dtype=torch.float32, device=device) for name in model.maps}
    used = torch.from_numpy(model.live & (model.weights > 0)).to(device)
    # K abundances need K bands; a library larger than the spectrum, half of the bands.
    needed = count if count <= int(used.sum()) else (int(used.sum()) + 1) // 2
    step = max(CHUNK_NUMBERS // max(bands, count), 256)
    for start in range(0, pixels, step):
        chunk = slice(start, min(start + step, pixels))
        part = job.part(start / pixels, (chunk.stop - start) / pixels)
        part.step(0.0, "abundances")
        valid = seen[:, chunk] & live[:, None]
        enough = (valid[used].sum(0) >= needed) & valid[normaliser.kept].any(0)
        usable = (enough & ~normaliser.is_empty(flat[:, chunk])).nonzero()[:, 0]
        if not usable.numel():
            continue
        spectra, valid = flat[:, chunk][:, usable].double() * live[:, None], valid[:, usable]
        gaps = None if bool((valid | ~live[:, None]).all()) else valid
        divisors = normaliser.divisor(spectra, gaps)
        found, more = solve(spectra / divisors, gaps, part)
        abundances[:, start + usable] = found.float()
        rebuilt = (endmembers @ found * divisors).float()
        values[:, start + usable] = torch.where(live[:, None], rebuilt, torch.nan)
        for name, image in more.items():
            images[name][start + usable] = image.float()
    return Restoration(
        values.reshape(bands, height, width),
        extras={name: image.reshape(height, width) for name, image in images.items()},
        abundances=abundances.reshape(count, height, width),
        endmembers=endmembers,
    )

"""The map of doubt: pixels that the hyperspectral image has nothing like.

It counts in what 99 of 100 of that image's own pixels stay below. Sharp pixels are purer than coarse ones, so a few in
a hundred lie above one in any scene; whole objects that do are of a material that the hyperspectral image does not
show.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from hsi_app.problem import Shared

SHARE = 0.99
# Of the mean variance of the bands: keeps a band that says what the others say from blowing up rounding.
_STEADY = 1e-6


@dataclass(frozen=True, eq=False)
class Doubt:
    """What is ordinary for the hyperspectral image.

    centre : (b,) float32 tensor, mean of its broad bands; whitening : (b, b) float32 tensor, to distances in standard
    deviations (Mahalanobis 1936); distance, misfit : what 99 % of its pixels stay below
    """

    centre: torch.Tensor
    whitening: torch.Tensor
    distance: float
    misfit: float

    def of(self, pixels: torch.Tensor, left: torch.Tensor | None = None) -> torch.Tensor:
        """(N,) doubt of (b, N) multispectral pixels; ``left`` (b, N) is what a method's model leaves of them."""
        away = (self.whitening @ (pixels - self.centre[:, None])).norm(dim=0) / self.distance
        return away if left is None else torch.maximum(away, left.norm(dim=0) / self.misfit)

    def to_shared(self) -> dict[str, np.ndarray]:
        """As the plain arrays that tiles are given."""
        arrays = {"doubt.centre": self.centre.cpu().numpy(), "doubt.whitening": self.whitening.cpu().numpy()}
        return {**arrays, "doubt.limits": np.array([self.distance, self.misfit])}

    @classmethod
    def from_shared(cls, shared: Shared, device: torch.device) -> Doubt:
        """What ``to_shared`` made plain."""
        centre, whitening = (torch.from_numpy(shared[f"doubt.{name}"]).to(device) for name in ("centre", "whitening"))
        distance, misfit = shared["doubt.limits"].tolist()
        return cls(centre, whitening, distance, misfit)


def find_doubt(broad: torch.Tensor, left: torch.Tensor | None = None) -> Doubt:
    """What is ordinary, from the (b, N) broad bands of the hyperspectral pixels and what a model leaves of them."""
    pixels = broad.double()
    centre = pixels.mean(1)
    away = pixels - centre[:, None]
    covariance = away @ away.T / away.shape[1]
    steady = max(_STEADY * float(covariance.diagonal().mean()), 1e-30)
    covariance = covariance + steady * torch.eye(len(pixels), dtype=torch.float64, device=pixels.device)
    whitening = torch.linalg.inv(torch.linalg.cholesky(covariance))
    distance = _limit((whitening @ away).norm(dim=0))
    return Doubt(centre.float(), whitening.float(), distance, 1.0 if left is None else _limit(left.norm(dim=0)))


def _limit(lengths: torch.Tensor) -> float:
    # torch.quantile refuses more than 2^24 entries; NumPy does not.
    return max(float(np.quantile(lengths.double().cpu().numpy(), SHARE)), 1e-12)

"""The signal subspace of a hyperspectral image, onto which its spectra are cleaned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from hsi_app.noise import noise_from_covariance
from hsi_app.subspace import Moments, fit_subspace


@dataclass(frozen=True, eq=False)
class Signal:
    """Projection of spectra onto what rises above the noise.

    mean : (B,) float32 array; forth : (r, B), back : (B, r) float32 arrays
    """

    mean: np.ndarray
    forth: np.ndarray
    back: np.ndarray

    def clean(self, images: torch.Tensor) -> torch.Tensor:
        """(B, ...) spectra without what lies outside the signal subspace."""
        mean, forth, back = (torch.from_numpy(a).to(images) for a in (self.mean, self.forth, self.back))
        flat = images.reshape(len(mean), -1)
        return (back @ (forth @ (flat - mean[:, None])) + mean[:, None]).reshape(images.shape)

    def to_shared(self) -> dict[str, np.ndarray]:
        """As the plain arrays that tiles are given."""
        return {"signal.mean": self.mean, "signal.forth": self.forth, "signal.back": self.back}

    @classmethod
    def from_shared(cls, shared: Mapping[str, np.ndarray]) -> Signal:
        """What ``to_shared`` made plain."""
        return cls(shared["signal.mean"], shared["signal.forth"], shared["signal.back"])


def find_signal(spectra: torch.Tensor) -> Signal:
    """Signal subspace of (B, N) complete spectra, whitened by the noise of their own bands."""
    moments = Moments(len(spectra))
    moments.add(spectra)
    noise = noise_from_covariance(moments.covariance, moments.pixels)
    subspace = fit_subspace(moments.mean, moments.covariance, noise, moments.pixels)
    columns = (subspace.mean, subspace.basis.T / noise, noise[:, None] * subspace.basis)
    return Signal(*(np.ascontiguousarray(column, np.float32) for column in columns))

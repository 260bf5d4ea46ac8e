"""Radiometric scaling: one affine map for the whole scene, undone at the end."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hsi_app.errors import CubeError

# 0.1 and 99.9 percentiles: the ends that a few dead or glinting pixels cannot move.
LOW, HIGH = 0.001, 0.999


@dataclass(frozen=True)
class Scaling:
    """scaled = (stored - offset) / span; nothing is clipped."""

    offset: float
    span: float

    def apply(self, stored: np.ndarray) -> np.ndarray:
        """Scaled values, same dtype; ``stored`` is float and is not changed."""
        return (stored - stored.dtype.type(self.offset)) * stored.dtype.type(1 / self.span)

    def undo(self, scaled: np.ndarray) -> np.ndarray:
        """Stored values again."""
        return scaled * scaled.dtype.type(self.span) + scaled.dtype.type(self.offset)


def fit_scaling(samples: np.ndarray) -> Scaling:
    """Scaling that takes the 0.1 and 99.9 percentiles of the samples to 0 and 1.

    Parameters
    ----------
    samples : float array of any shape, only observed values

    Raises
    ------
    CubeError
        If there is no sample at all.
    """
    samples = samples.reshape(-1)
    if samples.size == 0:
        raise CubeError("every sample is missing (NaN, nodata or masked); there is nothing to restore.")
    # The sample inside the quantile, not a mixture with the one outside: among a thousand one glint is no 0.1 %.
    low = float(np.quantile(samples, LOW, method="higher"))
    high = float(np.quantile(samples, HIGH, method="lower"))
    span = high - low
    if span <= 0:
        # Nearly all samples are equal: the few others are the signal, not outliers.
        low, high = float(samples.min()), float(samples.max())
        span = high - low
    # A constant scene has no span: keep its unit.
    return Scaling(low, span if span > 0 else 1.0)

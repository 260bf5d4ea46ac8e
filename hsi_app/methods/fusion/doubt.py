"""What a map of doubt counts in: one is what only a hundredth of the hyperspectral pixels exceed."""

from __future__ import annotations

import numpy as np
import torch

SHARE = 0.99


def doubt_limit(misfits: torch.Tensor) -> np.ndarray:
    """() float64 array: what 99 % of the hyperspectral image's own pixels stay below.

    misfits : (N,) >= 0
    """
    # torch.quantile refuses more than 2^24 entries; NumPy does not.
    limit = float(np.quantile(misfits.double().cpu().numpy(), SHARE))
    return np.array(max(limit, 1e-12))

"""Which fusion method suits a pair, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hsi_app.fusion.pair import Pair
from hsi_app.methods.registry import method as find_method
from hsi_app.params import Parameters

# With as many clean bands a regression says all that a mixture could (measured on the training scenes).
MANY_BANDS = 5
# Signal over noise of the multispectral image, dB, from which its bands count as clean.
CLEAN_DB = 45.0
# Blocks that noise is read from, and the share of them that counts as calm.
_BLOCK_PX, _CALMEST = 8, 0.1


@dataclass(frozen=True)
class Choice:
    """A method, its options, and the reasons, one sentence each."""

    method: str
    options: Mapping[str, Any] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()

    def parameters(self) -> Parameters:
        """The method's parameter model."""
        return find_method(self.method, "fuse").parameters.parse(self.options)


def choose(pair: Pair) -> Choice:
    """Choose by the number of bands, their noise, and whether the images line up.

    Images that line up are sharpened by ``joint``, which uses both. Where they do not, few or noisy bands leave a
    spectrum open, which the mixtures of ``joint`` close; many clean ones fix it, and ``ridge`` is as good in a
    hundredth of the time.
    """
    bands, clean = pair.msi.shape[0], signal_to_noise(pair)
    reasons = [f"{bands} multispectral bands at {clean:.0f} dB or better."]
    if pair.placement is not None:
        reasons.append("The images line up, so each pixel can be held to the coarse one above it: joint does so.")
    elif bands < MANY_BANDS:
        reasons.append("The images do not line up, and so few bands leave much of a spectrum open: joint holds it to"
                       " mixtures of the scene's own spectra.")  # fmt: skip
    elif clean < CLEAN_DB:
        reasons.append("The images do not line up, and regression would pass the noise of the bands on: joint holds"
                       " spectra to mixtures of the scene's own.")  # fmt: skip
    else:
        reasons.append("The images do not line up, but many clean bands fix a spectrum: ridge reads it off.")
        return Choice("ridge", reasons=tuple(reasons))
    return Choice("joint", reasons=tuple(reasons))


def signal_to_noise(pair: Pair) -> float:
    """Signal over noise of the multispectral image's best band, dB; infinite where there is no noise to be seen.

    Noise is what a Laplacian leaves (Immerkaer 1996) in the calmest tenth of small blocks, of the band or of what the
    other bands do not predict of it; texture makes both a lower bound, so the better counts.
    """
    best = -float("inf")
    for window in pair.msi.sample_windows():
        values, complete = pair.guide(window)
        if min(values.shape[1:]) < _BLOCK_PX + 2 or not bool(complete.all()):
            continue
        image = values.double().cpu().numpy()
        flat = image.reshape(len(image), -1)
        centred = flat - flat.mean(1, keepdims=True)
        covariance = centred @ centred.T / flat.shape[1]
        inverse = np.linalg.pinv(covariance, hermitian=True)
        # Row b of the inverse over its diagonal is the residual of band b regressed on the others.
        residual = np.tensordot(inverse / np.maximum(inverse.diagonal(), 1e-300)[:, None], image, 1)
        noise = np.minimum(_calm_noise(image), _calm_noise(residual))
        with np.errstate(divide="ignore"):
            best = max(best, float(20 * np.log10(np.sqrt((flat**2).mean(1)) / noise).max()))
    return best if np.isfinite(best) else float("inf")


def _calm_noise(image: np.ndarray) -> np.ndarray:
    """(b,) noise of each band in its calmest blocks."""
    across = image[:, :, 2:] - 2 * image[:, :, 1:-1] + image[:, :, :-2]
    laplacian = (across[:, 2:] - 2 * across[:, 1:-1] + across[:, :-2]) / 6
    bands, height, width = laplacian.shape
    down, right = height // _BLOCK_PX, width // _BLOCK_PX
    cut = laplacian[:, : down * _BLOCK_PX, : right * _BLOCK_PX].reshape(bands, down, _BLOCK_PX, right, _BLOCK_PX)
    power = np.square(cut).mean((2, 4)).reshape(bands, -1)
    return np.asarray(np.sqrt(np.quantile(power, _CALMEST, axis=1)))

"""What is wrong with a scene, as far as it can be measured: what 'auto' goes by."""

from __future__ import annotations

import math

import numpy as np
import torch

from hsi_app.jobs import Job
from hsi_app.methods.lowrank.outliers import tensors_of
from hsi_app.methods.lowrank.prepare import subspace_of
from hsi_app.methods.mphsir.measure import is_noisy, stripe_rms
from hsi_app.methods.mphsir.veil import veil
from hsi_app.physics.spatial import FWHM_TO_STD
from hsi_app.problem import Shared
from hsi_app.scene import Scene
from hsi_app.sharpness import blur_std

# Images that show how sharp a scene is, and the width from which on it is called blurred: sharp ones are below 0.65 px
# (twelve training scenes), the smallest blur of the tests has 1.4.
IMAGES, BLURRED_STD_PX = 3, 0.9
# Share of doubted samples and strength of stripes (over the noise) that are damage: up to 0.005 and 0.2 in seven clean
# training scenes, whose highlights are cut off; 0.03 and more with impulses or dead lines on a third of the bands.
# Spread of the noise over bands (standard deviation of its logarithm to 10): 0.01 where even, 0.3 in cases 1 to 4.
DAMAGED, STRIPED, UNEVEN = 0.01, 0.5, 0.15
# Share of missing samples, beside lost bands, that asks for filling.
GAPPY = 0.0005
# Variation of the smooth thickness, times how far it stands out from what the ground does to it, from which on a scene
# is called hazy: 0.02 to 0.39 in thirteen clean scenes of the training, 0.43 to 0.82 with haze of strength 0.5 (but for
# one of 50 x 50 px: 0.25).
HAZY = 0.41
SAMPLE_PIXELS = 2**16


def find(scene: Scene, shared: Shared, job: Job) -> tuple[dict[str, float], dict[str, np.ndarray] | None]:
    """Weights of what was found, and what ``veil`` gives where haze was looked for.

    Noise, damage, gaps and lost bands are told from each other. Blur and haze show only where the rest is sound: a
    blurred scene looks hazy, and noise hides both.

    shared : see ``survey``
    """
    job.step(0.0, "measuring what is wrong")
    found: dict[str, float] = {}
    if is_damaged(shared):
        found["complex"] = 1.0
    elif is_noisy(shared):
        found["gauss"] = 1.0
    gaps, lost = gap_shares(shared)
    if gaps > GAPPY:
        found["inpaint"] = 1.0
    if lost > 0:
        found["bandloss"] = 1.0
    if blurred_std(scene, shared) > BLURRED_STD_PX:
        found["blur"] = 1.0
    if found:
        return found, None
    haze, varies = veil(scene, shared, job)
    is_hazy = varies**2 > HAZY * float(haze["thickness_error"])
    return ({"haze": 1.0} if is_hazy else {}), haze


def is_damaged(shared: Shared) -> bool:
    """True with stripes, dead lines or impulses, or noise that differs from band to band."""
    seen = ~np.asarray(shared["lost"])
    if bool(shared["reject"]) and (shared["outlier_share"][seen].mean() > DAMAGED or stripe_rms(shared) > STRIPED):
        return True
    return is_noisy(shared) and float(np.log10(np.maximum(shared["noise_std"][seen], 1e-6)).std()) > UNEVEN


def gap_shares(shared: Shared) -> tuple[float, float]:
    """Share of samples missing in bands that have others, and share of bands that have none."""
    lost = float(np.mean(shared["lost"]))
    return max(float(shared["missing_share"]) - lost, 0.0), lost


def width_of_blur(scene: Scene, shared: Shared) -> float:
    """Full width at half maximum of the scene's blur in px, 0 where it is sharp or cannot be told."""
    std = blurred_std(scene, shared)
    return 0.0 if math.isnan(std) or std < 0.5 else std / FWHM_TO_STD


def blurred_std(scene: Scene, shared: Shared) -> float:
    """Standard deviation of the blur in px, NaN where it cannot be told; see ``blur_std``."""
    basis, mean, std = tensors_of(subspace_of(shared), scene.sample(1)[0][0])
    widths = []
    for values, valid in scene.sample(SAMPLE_PIXELS):
        whitened = torch.where(valid, (values - mean) / std, 0.0)
        images = (basis[:, :IMAGES].T @ whitened.flatten(1)).reshape(-1, *values.shape[1:])
        widths.append(blur_std(images))
    known = [width for width in widths if not math.isnan(width)]
    return float(np.median(known)) if known else math.nan

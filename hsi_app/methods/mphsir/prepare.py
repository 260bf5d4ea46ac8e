"""What MP-HSIR works out once for a whole scene: noise, subspace and damage, the prompts, airlight and blur."""

from __future__ import annotations

import numpy as np
import torch

from hsi_app.jobs import Job
from hsi_app.methods.lowrank.outliers import tensors_of
from hsi_app.methods.lowrank.prepare import subspace_of, survey
from hsi_app.methods.mphsir import haze
from hsi_app.methods.mphsir.blind import found_in, width_of_blur
from hsi_app.methods.mphsir.plan import asked_for, settle
from hsi_app.methods.mphsir.spec import MpHsirParameters
from hsi_app.problem import Shared
from hsi_app.scene import Scene


def prepare(scene: Scene, params: MpHsirParameters, task: str, job: Job) -> Shared:
    """Survey the scene and settle what the network is told.

    Returns
    -------
    What ``survey`` gives, and weights (9,), strength, and where haze is to be removed airlight (B,), clear_thickness
    """
    asked = asked_for(params, task)
    outliers = "on" if params.outliers == "auto" and asked.weights.get("complex", 0) > 0 else params.outliers
    shared = dict(survey(scene, task, job.part(0.0, 0.7), rank=None, outliers=outliers))
    measured = found_in(scene, shared, job.part(0.7, 0.1)) if asked.is_auto else {}
    plan = settle(asked, measured, task, shared)
    for note in plan.notes:
        job.note(note)
    shared["weights"], shared["strength"] = plan.vector(), np.array(plan.strength * params.strength)
    if "haze" in plan.weights:
        shared |= _veil(scene, shared, job.part(0.8, 0.2))
    if "blur" in plan.weights and task != "sr":
        shared["fwhm"] = np.array(width_of_blur(scene, shared))
    return shared


def _veil(scene: Scene, shared: Shared, job: Job) -> dict[str, np.ndarray]:
    """The airlight of each band, and the thickness that the clearest place shows."""
    bands = scene.shape[0]
    brightest = torch.zeros(bands, 0)
    count = max(1, int(haze.BRIGHT_SHARE * scene.shape[1] * scene.shape[2]))
    for _, values, valid in scene.strips():
        seen = valid.any(0)
        shown = projected(values, shared)[:, seen]
        both = torch.cat([brightest.to(shown), shown], 1)
        brightest = both.topk(min(count, both.shape[1]), dim=1).values
    light = brightest.mean(1).clamp_min(1e-3) if brightest.shape[1] else torch.ones(bands)
    edges, falls = haze.bin_edges(bands, haze.BINS), haze.exponents(scene.wavelengths_nm, bands)
    least, dark_sum, pixels = np.inf, 0.0, 0
    for window, values, valid in scene.strips():
        relative = haze.in_bins(haze.veiled(projected(values, shared), light.to(values)), edges)
        dark = haze.dark_thickness(relative, haze.in_bins(falls, edges).to(values))[valid.any(0)]
        if len(dark):
            least, dark_sum, pixels = min(least, float(dark.min())), dark_sum + float(dark.sum()), pixels + len(dark)
        job.step((window.row + window.height) / scene.shape[1], "looking for haze")
    least = least if pixels else 0.0
    return {
        "airlight": light.double().cpu().numpy(),
        "clear_thickness": np.array(least),
        "mean_thickness": np.array(haze.TRUST * (dark_sum / max(pixels, 1) - least)),
    }


def projected(values: torch.Tensor, shared: Shared) -> torch.Tensor:
    """Spectra as the scene's subspace has them: without most of their noise; missing samples count as the mean."""
    basis, mean, std = tensors_of(subspace_of(shared), values)
    whitened = ((values - mean) / std).flatten(1)
    return (basis @ (basis.T @ whitened)).reshape(values.shape) * std + mean

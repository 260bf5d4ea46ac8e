"""The haze of a whole scene, read strip by strip: airlight and a first thickness."""

from __future__ import annotations

import numpy as np
import torch

from hsi_app.jobs import Job
from hsi_app.methods.lowrank.outliers import tensors_of
from hsi_app.methods.lowrank.prepare import subspace_of
from hsi_app.methods.mphsir import haze
from hsi_app.methods.mphsir.measure import is_noisy
from hsi_app.problem import Shared
from hsi_app.scene import Scene

# Least span of a band, in shares of the scene's range and over its noise, that shows haze: of a dark absorption band
# relative numbers are noise.
SHOWN_SPAN, SHOWN_NOISE = 0.02, 5.0


def veil(scene: Scene, shared: Shared, job: Job) -> tuple[dict[str, np.ndarray], float]:
    """Airlight (B,), which bands show haze (B,), a first thickness (H, W), its error, its mean; and how much it varies.

    shared : see ``survey``
    """
    bands, height, width = scene.shape
    light, shows = _airlight(scene, shared)
    picks = torch.nonzero(shows)[:, 0]
    edges, falls = haze.bin_edges(len(picks), haze.BINS), haze.exponents(scene.wavelengths_nm, bands)
    falls = haze.in_bins(falls[picks], edges)

    def relative(values: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        shown = filled(values, valid, shared)[picks.to(values.device)]
        return haze.in_bins(haze.veiled(shown, light[picks].to(values)), edges)

    # From the same places whatever the memory, so that the filter is the same too.
    parts = [haze.ground_covariance(relative(*part)).cpu() for part in scene.sample()]
    weights = haze.haze_filter(torch.stack(parts).mean(0), falls)
    raw = np.zeros((height, width), np.float32)
    for window, values, valid in scene.strips():
        rows, cols = window.slices
        depth = haze.depth(relative(values, valid))
        raw[rows, cols] = torch.tensordot(weights.to(values), depth, 1).cpu().numpy()
        job.step((window.row + window.height) / height, "looking for haze")
    thickness = haze.smooth_thickness(raw)
    found = {"airlight": light.double().cpu().numpy(), "shows_haze": shows.cpu().numpy(), "thickness": thickness.values,
             "thickness_error": np.array(thickness.error),
             "mean_thickness": np.array(float(thickness.values.mean()))}  # fmt: skip
    return found, thickness.varies


def _airlight(scene: Scene, shared: Shared) -> tuple[torch.Tensor, torch.Tensor]:
    """(B,) brightness of each band's brightest, and (B,) whether its darkest lies further below than noise explains."""
    bands, height, width = scene.shape
    ends, count = torch.zeros(2 * bands, 0), max(1, int(haze.BRIGHT_SHARE * height * width))
    has_noise = is_noisy(shared)
    for _, values, valid in scene.strips():
        clean = projected(values, shared) if has_noise else filled(values, valid, shared)
        shown = clean[:, valid.any(0)]
        both = torch.cat([ends.to(shown), torch.cat([shown, -shown])], 1)
        ends = both.topk(min(count, both.shape[1]), dim=1).values
    if not ends.shape[1]:
        return torch.ones(bands), torch.ones(bands, dtype=torch.bool)
    brightest, darkest = ends.mean(1).chunk(2)
    span, noise = brightest + darkest, torch.as_tensor(shared["noise_std"]).to(brightest)
    shows = (span > SHOWN_SPAN) & (span > SHOWN_NOISE * noise) & ~torch.as_tensor(shared["lost"]).to(span.device)
    return brightest.clamp_min(1e-3), shows if bool(shows.any()) else torch.ones_like(shows)


def filled(values: torch.Tensor, valid: torch.Tensor, shared: Shared) -> torch.Tensor:
    """Missing samples as the scene's subspace has them, the others as they are.

    Noise stays: the filter over the bands takes it for ground. In a subspace that leaves out a thousandth of the
    ground the filter would find directions without any, and with next to no haze.
    """
    return values if bool(valid.all()) else torch.where(valid, values, projected(values, shared))


def projected(values: torch.Tensor, shared: Shared) -> torch.Tensor:
    """Spectra as the scene's subspace has them: without most of their noise; missing samples count as the mean."""
    basis, mean, std = tensors_of(subspace_of(shared), values)
    whitened = ((values - mean) / std).flatten(1)
    return (basis @ (basis.T @ whitened)).reshape(values.shape) * std + mean

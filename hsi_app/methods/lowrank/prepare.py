"""What the low-rank method works out once for a whole scene: noise, subspace, and where the damage is."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import torch

from hsi_app.factor_analysis import fit_factors
from hsi_app.jobs import Job
from hsi_app.methods.lowrank.outliers import LEAST_NOISE, OUTLIER_STD, find_stuck, is_stuck, robust_fit, tensors_of
from hsi_app.methods.lowrank.spec import LowRankParameters
from hsi_app.methods.lowrank.stripes import find_stripes
from hsi_app.noise import noise_from_covariance
from hsi_app.problem import Shared
from hsi_app.scene import Scene
from hsi_app.subspace import Moments, Rank, Subspace, fit_subspace

# A robust fit works on a sample of spectra: enough to fix some tens of directions.
FIT_PIXELS = 2**14
# A band is called damaged when this share of its samples is stuck or lies beyond 8 noise standard deviations;
# natural scenes keep below it, one impulse in two hundred samples does not.
DAMAGED_SHARE = 0.005
# No pixel of a natural scene holds this share of its band's variance, unless there are few pixels.
HOT_SHARE, LEAST_PIXELS = 0.1, 400
# With more gaps than this the first subspace is too rough to call a residual wild.
MOSTLY_OBSERVED = 0.9
# A gap or two in a spectrum the pixel-wise solution bridges; beyond this share the neighbours must help.
COMPLETE_FROM_SHARE = 0.02


def prepare(scene: Scene, params: LowRankParameters, task: str, job: Job) -> Shared:
    """Noise level of each band, signal subspace, stripes, and whether samples must be doubted or completed."""
    rank = None if params.rank is None else min(params.rank, scene.shape[0])
    return survey(scene, task, job, rank=rank, outliers=params.outliers)


def survey(
    scene: Scene,
    task: str,
    job: Job,
    *,
    rank: Rank,
    outliers: Literal["auto", "on", "off"],
    faint: int = 0,
    noise_std: np.ndarray | None = None,
) -> Shared:
    """What every method that works in the subspace of a scene must know of it first.

    Parameters
    ----------
    scene, task, job : see ``MethodSpec.prepare``
    rank : number of components, see ``fit_subspace``
    outliers : split stripes, dead lines and impulses off, or look whether there are any
    faint : components below the noise edge to add to the basis, where every sample is there and believed
    noise_std : (B,) standard deviation of the noise in scaled units where it is known; measured when not given
        and where samples are doubted

    Returns
    -------
    mean, noise_std (B,), basis (B, r), eigenvalues (B,), stuck (B, k), reject, outlier_share (B,), missing_share,
    complete, lost (B,) for bands without any sample, faint (the number of last columns of the basis that lie below
    the noise edge), and with outliers stripe_rows (B, H) and stripe_cols (B, W)
    """
    moments = Moments(scene.shape[0])
    ends = np.zeros((2, scene.shape[0]))
    for window, values, valid in scene.strips():
        moments.add(values, valid)
        flat = values.flatten(1)
        ends[0] = np.minimum(ends[0], flat.amin(1).cpu().numpy())
        ends[1] = np.maximum(ends[1], flat.amax(1).cpu().numpy())
        job.step(0.4 * (window.row + window.height) / scene.shape[1], "measuring noise and subspace")
    observed = moments.observed
    if moments.pixels >= 2:
        covariance = moments.covariance
        noise = noise_from_covariance(covariance, moments.pixels) if noise_std is None else noise_std
        noise = np.maximum(noise, LEAST_NOISE)
        subspace = fit_subspace(moments.mean, covariance, noise, moments.pixels, rank)
    else:
        # One pixel has no statistics: call everything signal.
        bands = scene.shape[0]
        subspace = Subspace(moments.mean, np.full(bands, 1e-6), np.eye(bands)[:, :1], np.ones(bands))
    missing_share = 1 - float(observed.mean()) / (scene.shape[1] * scene.shape[2])
    values, valid = _sample_spectra(scene)
    reject = outliers == "on" or (
        outliers == "auto"
        and (
            task == "destripe"
            # A bright sample that few neighbours show is what gaps make of real texture: no reason to doubt it.
            or (task != "inpaint" and _has_hot_sample(moments, ends))
            # Nor can samples be spared where few are left.
            or ((task != "inpaint" or missing_share <= 1 - MOSTLY_OBSERVED) and _looks_damaged(values, valid, subspace))
        )
    )
    stuck = np.full((scene.shape[0], 0), np.nan, np.float32)
    outlier_share, below = np.zeros(scene.shape[0]), 0
    if (reject or missing_share > 0) and values.shape[1] > 1:
        fit = robust_fit(
            values,
            valid,
            rank,
            reject=reject,
            on_step=lambda f: job.step(0.4 + 0.3 * f, "robust subspace"),
        )
        subspace, stuck, outlier_share = fit.subspace, fit.stuck, fit.outlier_share
        if not reject and (noise_std is not None or float(valid.float().mean()) < MOSTLY_OBSERVED):
            if noise_std is not None:
                subspace = replace(subspace, noise_std=noise)
            subspace = fit_factors(
                values, valid, subspace, rank, lambda f: job.step(0.7 + 0.3 * f, "factors"), fit_noise=noise_std is None
            )
    elif faint and moments.pixels >= 2:
        below = min(faint, scene.shape[0] - subspace.rank)
        subspace = fit_subspace(moments.mean, covariance, noise, moments.pixels, subspace.rank + below)
    shared: dict[str, np.ndarray] = {
        "mean": subspace.mean,
        "noise_std": subspace.noise_std,
        "basis": subspace.basis,
        "eigenvalues": subspace.eigenvalues,
        "stuck": stuck,
        "reject": np.array(reject),
        "outlier_share": outlier_share,
        "missing_share": np.array(missing_share),
        "complete": np.array(missing_share > COMPLETE_FROM_SHARE or bool((observed == 0).any())),
        "faint": np.array(below),
        "lost": observed == 0,
    }
    if reject:
        rows, cols = find_stripes(scene, subspace, stuck, lambda f: job.step(0.7 + 0.3 * f, "looking for stripes"))
        shared["stripe_rows"], shared["stripe_cols"] = rows, cols
    job.step(1.0, f"rank {subspace.rank - below}")
    return shared


def subspace_of(shared: Shared) -> Subspace:
    """The subspace as ``prepare`` stored it."""
    return Subspace(shared["mean"], shared["noise_std"], shared["basis"], shared["eigenvalues"])


def _sample_spectra(scene: Scene) -> tuple[torch.Tensor, torch.Tensor]:
    """Spectra with at least one sample, spread over the scene: (B, P) values and validity."""
    blocks = scene.sample(FIT_PIXELS)
    values = torch.cat([block.flatten(1) for block, _ in blocks], dim=1)
    valid = torch.cat([seen.flatten(1) for _, seen in blocks], dim=1)
    some = valid.any(dim=0)
    return (values, valid) if bool(some.all()) else (values[:, some], valid[:, some])


def _has_hot_sample(moments: Moments, ends: np.ndarray) -> bool:
    """True if a single sample holds much of its band's variance: ends is (2, B), smallest and largest values."""
    if moments.pixels < 2:
        return False
    reach = np.abs(ends - moments.mean).max(axis=0)
    total = moments.observed * moments.covariance.diagonal()
    return bool((reach**2 > HOT_SHARE * total).any() and moments.pixels > LEAST_PIXELS)


def _looks_damaged(values: torch.Tensor, valid: torch.Tensor, subspace: Subspace) -> bool:
    """True if some band has many stuck samples or wild residuals."""
    step = max(1, values.shape[1] // 4096)
    values, valid = values[:, ::step], valid[:, ::step]
    stuck = is_stuck(values, find_stuck(values, valid)) & valid
    count = valid.sum(dim=1).clamp_min(1)
    if bool((stuck.sum(dim=1) / count > DAMAGED_SHARE).any()):
        return True
    # Simulated scenes without noise: whatever the subspace leaves over, a clipped highlight say, would look wild.
    if float(valid.float().mean()) < MOSTLY_OBSERVED or float(np.median(subspace.noise_std)) < 4 * LEAST_NOISE:
        return False
    basis, mean, std = tensors_of(subspace, values)
    whitened = torch.where(valid, (values - mean) / std, 0.0)
    residual = (whitened - basis @ (basis.T @ whitened)).abs()
    typical = 1.4826 * residual.median(dim=1, keepdim=True).values.clamp_min(0.05)
    wild = (residual > 2 * OUTLIER_STD * typical) & valid
    return bool((wild.sum(dim=1) / count > DAMAGED_SHARE).any())

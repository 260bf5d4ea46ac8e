"""The low-rank method on one cube or tile."""

from __future__ import annotations

import torch

from hsi_app.jobs import Job
from hsi_app.methods.lowrank.complete import complete, solve_coefficients
from hsi_app.methods.lowrank.denoise import denoise_components
from hsi_app.methods.lowrank.observation import whiten
from hsi_app.methods.lowrank.spec import LowRankParameters
from hsi_app.physics.resample import interpolate
from hsi_app.problem import Problem, Restoration


def restore(problem: Problem, params: LowRankParameters, job: Job) -> Restoration:
    """Whiten, split off stripes and outliers, project, complete and denoise the component images.

    Parameters
    ----------
    problem : see Problem; 'denoise' and 'inpaint' rebuild every sample, 'destripe' changes damaged samples only, 'sr'
        interpolates what 'denoise' gives
    params : options of the method
    job : told the progress; may raise Cancelled

    Returns
    -------
    Restoration with the extra image 'damage' (stripes and outliers taken away) where any was looked for
    """
    data = whiten(problem, lambda fraction: job.step(0.15 * fraction, "projection"))
    whitened, ok, basis, variance = data.values, data.ok, data.basis, data.variance
    rank, (_, height, width) = basis.shape[1], problem.observed.shape
    trace = {"rank": rank, "disbelieved_share": round(1 - float(ok.sum() / problem.valid.sum().clamp_min(1)), 5)}

    def report(fraction: float) -> None:
        job.step(0.15 + 0.8 * fraction, "denoising component images")

    kind = "none" if problem.task == "destripe" else params.denoiser
    believed = data.believed
    if _needs_completion(problem, ok):
        images = complete(believed, ok, basis, variance, strength=params.strength, kind=kind, on_step=report)
    else:
        coefficients = solve_coefficients(believed.flatten(1), ok.flatten(1), basis, variance)
        images = denoise_components(coefficients.reshape(rank, height, width), params.strength, kind, report)
    predicted = (basis @ images.flatten(1)).reshape(problem.observed.shape)
    untouched = None
    if problem.task == "destripe":
        untouched = ok if data.stripes is None else ok & (data.stripes == 0)
        # Samples that were believed keep their own value, less their stripe.
        predicted = torch.where(ok, whitened, predicted)
    values = predicted.mul_(data.std).add_(data.mean)
    extras = {}
    if data.stripes is not None:
        damaged = problem.valid & (~ok | (data.stripes != 0))
        extras["damage"] = torch.where(damaged, problem.observed - values, 0.0)
    if problem.task == "sr":
        values = interpolate(values, problem.valid, problem.scale)
    return Restoration(values, untouched, extras, trace=trace)


def _needs_completion(problem: Problem, ok: torch.Tensor) -> bool:
    """True where pixels have too few samples for their own spectrum to fix the coefficients."""
    if problem.task == "destripe" or not bool(problem.shared["complete"]):
        return False
    return problem.task == "inpaint" or bool((ok.float().mean(0) < 0.5).any())

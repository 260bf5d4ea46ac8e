"""The low-rank method on one cube or tile."""

from __future__ import annotations

import torch

from hsi_app.jobs import Job
from hsi_app.methods.lowrank.complete import complete, solve_coefficients
from hsi_app.methods.lowrank.denoise import Learned, denoise_components
from hsi_app.methods.lowrank.observation import Whitened, whiten
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
    learned = _learned(problem, params, data, job) if kind == "prior" else None
    believed = data.believed
    if needs_completion(problem, ok):
        images = complete(
            believed, ok, basis, variance, strength=params.strength, kind=kind, on_step=report, learned=learned
        )
    else:
        coefficients = solve_coefficients(believed.flatten(1), ok.flatten(1), basis, variance)
        coefficients = coefficients.reshape(rank, height, width)
        images = denoise_components(coefficients, params.strength, kind, report, learned)
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


def needs_completion(problem: Problem, ok: torch.Tensor) -> bool:
    """True where pixels have too few samples for their own spectrum to fix the coefficients."""
    if problem.task == "destripe" or not bool(problem.shared["complete"]):
        return False
    return problem.task == "inpaint" or bool((ok.float().mean(0) < 0.5).any())


def _learned(problem: Problem, params: LowRankParameters, data: Whitened, job: Job) -> Learned:
    """The prior's look at component images, in units of their noise whatever the strength."""
    from hsi_app.diffusion.load import load_prior
    from hsi_app.diffusion.one_pass import one_pass

    prior = load_prior(params.prior, problem.device)
    signal = data.variance.double().cpu().numpy() / max(params.strength, 1e-6) ** 2
    return lambda images: one_pass(images, signal + 1, prior, problem.place, job.seed)[0]

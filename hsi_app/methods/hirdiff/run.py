"""HIR-Diff on one cube or tile."""

from __future__ import annotations

import numpy as np
import torch

from hsi_app.diffusion.frame import anchored_noise
from hsi_app.diffusion.load import load_prior
from hsi_app.diffusion.one_pass import one_pass
from hsi_app.diffusion.prior import VIEWS, Prior
from hsi_app.jobs import Job
from hsi_app.methods.hirdiff.chain import Formed, form
from hsi_app.methods.hirdiff.prepare import is_single
from hsi_app.methods.hirdiff.spec import HirDiffParameters
from hsi_app.methods.lowrank.complete import complete, solve_coefficients
from hsi_app.methods.lowrank.denoise import denoise_components
from hsi_app.methods.lowrank.faint import rescue_faint
from hsi_app.methods.lowrank.observation import Whitened, whiten, within_range
from hsi_app.methods.lowrank.run import needs_completion
from hsi_app.physics.resample import interpolate
from hsi_app.problem import Problem, Restoration


def restore(problem: Problem, params: HirDiffParameters, job: Job) -> Restoration:
    """Whiten, estimate the component images, and let the prior restore them.

    Parameters
    ----------
    problem : see Problem
    params : options of the method
    job : told the progress, with the forming sample as a preview; may raise Cancelled

    Returns
    -------
    Restoration with the extra images 'spread' (B, H, W), the standard deviation over the samples where there are
    several, and after a chain 'hallucination' (H, W), the root mean square over the bands of the guesses' deviation
    along it: where they waver, detail is invented
    """
    prior = load_prior(params.prior, problem.device, params.level)
    data = whiten(problem, lambda fraction: job.step(0.05 * fraction, "projection"))
    found = (_one_look if is_single(params, problem.task) else _chain)(problem, params, data, prior, job)
    extras = {}
    if found.spread is not None:
        extras["spread"] = found.spread * data.std
    if found.wavering is not None:
        variance, lift = found.wavering
        gains = (lift * data.std[:, :, 0]).square().mean(0)
        extras["hallucination"] = torch.tensordot(gains, variance, 1).sqrt()
    values, untouched = within_range(found.values, data.believed, data.ok), None
    if problem.task == "destripe":
        untouched = data.ok if data.stripes is None else data.ok & (data.stripes == 0)
        # Samples that were believed keep their own value, less their stripe.
        values = torch.where(data.ok, data.values, values)
    trace = {"rank": data.basis.shape[1], "prior": prior.name, "prior_sha256": prior.digest, **found.trace}
    return Restoration(values.mul_(data.std).add_(data.mean), untouched, extras, trace=trace)


def _chain(problem: Problem, params: HirDiffParameters, data: Whitened, prior: Prior, job: Job) -> Formed:
    images = _solved(problem, data)
    if needs_completion(problem, data.ok):
        images = complete(
            data.believed, data.ok, data.basis, data.variance, strength=1.0, kind="dct",
            on_step=lambda fraction: job.step(0.05 + 0.1 * fraction, "first estimate"),
        ).nan_to_num(0.0)  # fmt: skip
    else:
        images = denoise_components(
            images, 1.0, "collaborative", lambda fraction: job.step(0.05 + 0.1 * fraction, "first estimate")
        )
    if problem.scale > 1:
        images = interpolate(images, torch.ones_like(images, dtype=torch.bool), problem.scale)
    return form(problem, params, data, prior, images, job.part(0.15, 0.85))


def _one_look(problem: Problem, params: HirDiffParameters, data: Whitened, prior: Prior, job: Job) -> Formed:
    """The prior's own answer, mean of several views, joined with groups of patches as in ``denoise_components``.

    What lies below the noise edge no network is shown: groups of similar patches alone decide on it.
    """
    images = _solved(problem, data)
    rank = len(images) - int(problem.shared["faint"])
    images, faint = images[:rank], images[rank:]
    views = min(params.samples or VIEWS, VIEWS)
    looks: list[torch.Tensor] = []

    def learned(unit: torch.Tensor) -> torch.Tensor:
        looks.extend(
            one_pass(
                unit,
                np.asarray(problem.shared["eigenvalues"]),
                prior,
                problem.place,
                job.seed,
                views,
                lambda fraction: job.step(0.05 + 0.75 * fraction, "looking at component images"),
            )
        )
        return torch.stack(looks).mean(0)

    images = denoise_components(
        images, 1.0, "prior", lambda fraction: job.step(0.75 + 0.25 * fraction, "groups of patches"), learned
    )
    probe = anchored_noise(len(faint), problem.place, job.seed, 1).to(faint)
    rescued, factors = rescue_faint(faint, images, probe)
    shape, spread = problem.observed.shape, None
    if len(looks) > 1:
        mean = torch.stack(looks).mean(0)
        squares = sum((data.basis[:, :rank] @ (look - mean).flatten(1)).square() for look in looks)
        spread = torch.as_tensor(squares).div(len(looks) - 1).sqrt().reshape(shape)
    trace = {"views": max(len(looks), 1), "rank": rank, "faint": int((factors > 0).sum())}
    return Formed((data.basis @ torch.cat([images, rescued]).flatten(1)).reshape(shape), spread, trace=trace)


def _solved(problem: Problem, data: Whitened) -> torch.Tensor:
    """Component images (r, h, w), pixel by pixel."""
    solved = solve_coefficients(data.believed.flatten(1), data.ok.flatten(1), data.basis, data.variance)
    return solved.reshape(-1, *problem.observed.shape[1:])

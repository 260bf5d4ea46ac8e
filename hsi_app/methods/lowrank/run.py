"""The low-rank method on one cube or tile."""

from __future__ import annotations

import torch

from hsi_app.jobs import Job
from hsi_app.methods.lowrank.complete import complete, solve_coefficients
from hsi_app.methods.lowrank.denoise import denoise_components
from hsi_app.methods.lowrank.outliers import OUTLIER_STD, is_stuck, prior_variance, tensors_of
from hsi_app.methods.lowrank.prepare import subspace_of
from hsi_app.methods.lowrank.spec import LowRankParameters
from hsi_app.problem import Problem, Restoration

# A line with this share of disbelieved samples is a dead line: none of it is believed.
DEAD_LINE_SHARE = 0.5


def restore(problem: Problem, params: LowRankParameters, job: Job) -> Restoration:
    """Whiten, split off stripes and outliers, project, complete and denoise the component images.

    Parameters
    ----------
    problem : see Problem; 'denoise' and 'inpaint' rebuild every sample, 'destripe' changes damaged samples only
    params : options of the method
    job : told the progress; may raise Cancelled

    Returns
    -------
    Restoration with the extra image 'damage' (stripes and outliers taken away) where any was looked for
    """
    subspace = subspace_of(problem.shared)
    reject = bool(problem.shared["reject"])
    basis, mean, std = tensors_of(subspace, problem.observed)
    variance = prior_variance(subspace, problem.observed)
    usable = problem.valid & ~is_stuck(problem.observed, problem.shared["stuck"]) if reject else problem.valid
    whitened = (problem.observed - mean).div_(std)
    if reject:
        whitened -= _stripes(problem)
    if not bool(usable.all()):
        whitened.masked_fill_(~usable, 0.0)
    job.step(0.05, "projection")
    ok = _believable(whitened, usable, basis, variance, problem.task) if reject else usable
    job.step(0.15, "projection")

    rank, (_, height, width) = subspace.rank, problem.observed.shape
    trace = {"rank": rank, "disbelieved_share": round(1 - float(ok.sum() / problem.valid.sum().clamp_min(1)), 5)}

    def report(fraction: float) -> None:
        job.step(0.15 + 0.8 * fraction, "denoising component images")

    kind = "none" if problem.task == "destripe" else params.denoiser
    believed = torch.where(ok, whitened, 0.0) if reject else whitened
    if _needs_completion(problem, ok):
        images = complete(believed, ok, basis, variance, strength=params.strength, kind=kind, on_step=report)
    else:
        coefficients = solve_coefficients(believed.flatten(1), ok.flatten(1), basis, variance)
        images = denoise_components(coefficients.reshape(rank, height, width), params.strength, kind, report)
    predicted = (basis @ images.flatten(1)).reshape(problem.observed.shape)
    untouched = None
    if problem.task == "destripe":
        untouched = ok & (_stripes(problem) == 0)
        # Samples that were believed keep their own value, less their stripe.
        predicted = torch.where(ok, whitened, predicted)
    values = predicted.mul_(std).add_(mean)
    extras = {}
    if reject:
        damaged = problem.valid & (~ok | (_stripes(problem) != 0))
        extras["damage"] = torch.where(damaged, problem.observed - values, 0.0)
    return Restoration(values, untouched, extras, trace=trace)


def _stripes(problem: Problem) -> torch.Tensor:
    """Whitened stripe offsets over the tile, (B, h, w)."""
    window, like = problem.window, problem.observed
    assert window is not None
    lines = []
    for key, start, length in (
        ("stripe_rows", window.row, like.shape[1]),
        ("stripe_cols", window.col, like.shape[2]),
    ):
        lines.append(
            torch.as_tensor(problem.shared[key][:, start : start + length], dtype=like.dtype, device=like.device)
        )
    return lines[0][:, :, None] + lines[1][:, None, :]


def _believable(
    whitened: torch.Tensor, usable: torch.Tensor, basis: torch.Tensor, variance: torch.Tensor, task: str
) -> torch.Tensor:
    """(B, h, w) bool: usable samples that agree with the rest of their spectrum."""
    ok = usable
    for _ in range(3):
        believed = torch.where(ok, whitened, 0.0).flatten(1)
        predicted = basis @ solve_coefficients(believed, ok.flatten(1), basis, variance)
        ok = usable & ((whitened - predicted.reshape(whitened.shape)).abs() <= OUTLIER_STD)
    for axis in (1, 2):
        share = (usable & ~ok).sum(axis, keepdim=True) / usable.sum(axis, keepdim=True).clamp_min(1)
        ok = ok & ~(share > DEAD_LINE_SHARE)
    return ok


def _needs_completion(problem: Problem, ok: torch.Tensor) -> bool:
    """True where pixels have too few samples for their own spectrum to fix the coefficients."""
    if problem.task == "destripe" or not bool(problem.shared["complete"]):
        return False
    return problem.task == "inpaint" or bool((ok.float().mean(0) < 0.5).any())

"""The classical estimate that the network starts from: component images, denoised, completed, sharpened."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from hsi_app.diffusion.data_term import data_term
from hsi_app.methods.lowrank.complete import complete, solve_coefficients
from hsi_app.methods.lowrank.denoise import denoise_components
from hsi_app.methods.lowrank.observation import Whitened
from hsi_app.methods.lowrank.run import needs_completion
from hsi_app.physics.resample import interpolate, repeat
from hsi_app.physics.spatial import psf_blur
from hsi_app.problem import Problem

# Of the detail that a blur took, the share that comes back wrong for its width is only known so well; measured on the
# training scenes, where a blur told 6 % too wide costs 0.7 to 1.5 dB with it, and up to 3 dB without.
WIDTH_DOUBT = 0.005


@dataclass(frozen=True, eq=False)
class Start:
    """Component images on the grid of the result, in units of the data's noise.

    images : (r, H, W) the classical estimate; solved : (r, H, W) what the observed samples say pixel by pixel,
        interpolated where the grid is finer
    share : (2, H, W) share of a pixel's bands that was observed, and that is believed
    reach : (r,) how far the truth may be from an estimate where the samples say nothing, None without a blur
    """

    images: torch.Tensor
    solved: torch.Tensor
    share: torch.Tensor
    reach: torch.Tensor | None = None


def classical_start(
    problem: Problem, data: Whitened, fwhm_px: float | None, on_step: Callable[[float], None] = lambda fraction: None
) -> Start:
    """Denoise or complete the component images; undo a known blur as far as noise allows.

    Parameters
    ----------
    problem : see Problem
    data : the same, see ``whiten``
    fwhm_px : width of the point spread function on the grid of the result, None for none
    on_step : told the fraction done; may raise to stop

    Returns
    -------
    Start; NaN where nothing was observed near by
    """
    rank, (_, height, width) = data.basis.shape[1], problem.observed.shape
    flat, ok = data.believed.flatten(1), data.ok.flatten(1)
    if needs_completion(problem, data.ok):
        solved = solve_coefficients(flat, ok, data.basis, data.variance, torch.zeros_like(flat[:1]), 1 / data.variance)
        images = complete(data.believed, data.ok, data.basis, data.variance, strength=1.0, kind="dct", on_step=on_step)
    else:
        solved = solve_coefficients(flat, ok, data.basis, data.variance)
        images = denoise_components(solved.reshape(rank, height, width), 1.0, "collaborative", on_step)
    solved = solved.reshape(rank, height, width)
    share = torch.stack([problem.valid.float().mean(0), data.ok.float().mean(0)])
    if problem.scale > 1:
        everywhere = torch.ones_like(images, dtype=torch.bool)
        images, solved = (interpolate(part.nan_to_num(0.0), everywhere, problem.scale) for part in (images, solved))
        share = repeat(share, problem.scale)
    if problem.operator is None or fwhm_px is None:
        return Start(images, solved, share)
    reach = _reach(images, fwhm_px)
    return Start(explained(problem, data, images, reach), solved, share, reach)


def _reach(images: torch.Tensor, fwhm_px: float) -> torch.Tensor:
    """What a blur as wide takes from the images themselves: natural images hold about as much in each octave."""
    detail = images - _soft(images, fwhm_px)
    reach = detail.flatten(1).std(1).clamp_min(1e-3)
    # Nor further than the width of a blur is known: what is wrong about it counts as noise in proportion to the detail.
    return reach / (1 + (WIDTH_DOUBT * reach).square()).sqrt()


def explained(problem: Problem, data: Whitened, images: torch.Tensor, reach: torch.Tensor) -> torch.Tensor:
    """The images nearest to ``images``, in units of ``reach``, among those that explain what was observed.

    images : (r, H, W) on the grid of the result; reach : (r,), see ``Start``
    """
    term = data_term(data.basis * reach, data.believed, data.ok, problem.operator)
    return term.correct(images / reach[:, None, None], 1.0) * reach[:, None, None]


def _soft(images: torch.Tensor, fwhm_px: float) -> torch.Tensor:
    shape = (images.shape[0], images.shape[1], images.shape[2])
    return psf_blur(shape, fwhm_px).forward(images)

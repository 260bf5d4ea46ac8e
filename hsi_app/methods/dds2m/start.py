"""The estimate that a run begins from, and the same with further pixels hidden, as a lesson for the network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch

from hsi_app.diffusion.frame import anchored_noise
from hsi_app.methods.dds2m.held_out import copied_gaps
from hsi_app.methods.lowrank.complete import complete, fill_from_sides, solve_coefficients
from hsi_app.methods.lowrank.denoise import denoise_components
from hsi_app.methods.lowrank.faint import rescue_faint
from hsi_app.methods.lowrank.observation import Whitened
from hsi_app.methods.lowrank.run import needs_completion
from hsi_app.physics.resample import interpolate
from hsi_app.problem import Problem


def estimate(
    problem: Problem, data: Whitened, ok: torch.Tensor, seed: int, on_step: Callable[[float], None]
) -> torch.Tensor:
    """Low-rank estimate of the maps on the grid of the result.

    ok : (B, h, w) bool, samples to use; on_step : told the fraction done, may raise to stop
    Returns (R, H, W) in units of the noise, NaN where no observation is near.
    """
    basis, shape = data.basis, ok.shape[1:]
    believed = torch.where(ok, data.believed, 0.0)
    if needs_completion(problem, ok):
        images = complete(believed, ok, basis, data.variance, strength=1.0, kind="collaborative", on_step=on_step)
    else:
        images = solve_coefficients(believed.flatten(1), ok.flatten(1), basis, data.variance)
        # What the others say of the few that are out keeps the noise of all maps at one.
        whole = torch.where(ok.flatten(1), believed.flatten(1), basis @ images)
        images = (basis.T @ whole).reshape(-1, *shape)
        below = int(problem.shared["faint"])
        strong, faint = images[: len(images) - below], images[len(images) - below :]
        strong = denoise_components(strong, 1.0, "collaborative", on_step)
        if below:
            probe = anchored_noise(below, problem.place, seed, 1).to(faint)
            strong = torch.cat([strong, rescue_faint(faint, strong, probe)[0]])
        images = strong
    if problem.scale > 1:
        images = interpolate(images.nan_to_num(0.0), torch.ones_like(images, dtype=torch.bool), problem.scale)
    return images


@dataclass(frozen=True, eq=False)
class Lesson:
    """What the network is shown and adds to, in half ranges.

    Parameters
    ----------
    maps : (R, H, W) the estimate
    size : (R, 1, 1) standard deviation of each map
    seen : (H, W) bool, pixels with a sample to fit
    """

    maps: torch.Tensor
    size: torch.Tensor
    seen: torch.Tensor

    @cached_property
    def has_gaps(self) -> bool:
        """True where whole pixels are missing and others are there to learn from."""
        return bool(self.seen.any()) and not bool(self.seen.all())

    def hide(self, draws: torch.Generator) -> torch.Tensor | None:
        """(H, W) bool, pixels to hide in this update: gaps like those that are there; None without gaps."""
        return copied_gaps(~self.seen, self.seen, draws) if self.has_gaps else None

    def shown(self, hidden: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        """What the network looks at (R + 1, H, W), and the base (R, H, W) that it adds to.

        The last image is 1 where it shall change nothing: where there are gaps it shall fill them, and learn from what
        was hidden alone.
        """
        if not self.has_gaps:
            return torch.cat([self.maps / self.size, torch.zeros_like(self.maps[:1])]), self.maps
        known = self.seen if hidden is None else self.seen & ~hidden
        base = fill_from_sides(self.maps, known)
        return torch.cat([base / self.size, known[None].to(base.dtype)]), base

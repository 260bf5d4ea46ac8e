"""What the sensor did to a scene beside noise and gaps, as the tasks 'sr' and 'deblur' are told; imports no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hsi_app.errors import ParameterError

if TYPE_CHECKING:
    from hsi_app.methods.registry import Extent
    from hsi_app.physics.operator import LinearOperator, Shape

SCALES = (2, 16)
DEFAULT_SCALE = 2
# Wider than this a Gaussian leaves nothing of a tile to be found again.
WIDEST_FWHM_PX = 100.0
# Tasks that a scale, or the width of a point, belongs to.
SCALED_TASKS = ("sr",)
BLURRED_TASKS = ("sr", "deblur")


@dataclass(frozen=True)
class Optics:
    """How the observed grid came from the output grid.

    scale : how many times finer the output grid is; 1 = the same grid
    psf_fwhm : of the Gaussian point spread function, px of the output grid; None = no blur
    """

    scale: int = 1
    psf_fwhm: float | None = None

    def operator(self, shape: Shape) -> LinearOperator | None:
        """From the output grid to the observed grid (B, h, w); None where they are the same, without a blur."""
        if self.psf_fwhm is None:
            return None
        from hsi_app.physics.spatial import blur_downsample, psf_blur

        if self.scale == 1:
            return psf_blur(shape, self.psf_fwhm)
        bands, height, width = shape
        return blur_downsample((bands, height * self.scale, width * self.scale), self.scale, self.psf_fwhm)

    def widened(self, extent: Extent) -> Extent:
        """The extent with a margin that also covers how far a point spreads: no method knows that beforehand."""
        if self.psf_fwhm is None:
            return extent
        from hsi_app.physics.spatial import psf_reach

        reach = math.ceil(psf_reach(self.psf_fwhm) / self.scale)
        steps = math.ceil((extent.margin_px + reach) / extent.align_px)
        return replace(extent, margin_px=steps * extent.align_px)


def optics_of(task: str, scale: int | None = None, psf_fwhm: float | None = None) -> Optics:
    """The optics of a task.

    Parameters
    ----------
    task : of a method
    scale : for 'sr', 2 to 16; None means 2
    psf_fwhm : px of the output grid, above 0; 'deblur' needs it, for 'sr' None means ``scale``

    Raises
    ------
    ParameterError
        If one is out of range, is missing, or belongs to another task.
    """
    if task not in SCALED_TASKS and scale not in (None, 1):
        raise ParameterError(f"scale {scale} does not belong to '{task}'; leave it out or use the task 'sr'.")
    if task not in BLURRED_TASKS and psf_fwhm is not None:
        raise ParameterError(
            f"psf-fwhm {psf_fwhm:g} does not belong to '{task}'; leave it out or use the task 'sr' or 'deblur'."
        )
    if psf_fwhm is not None and not 0 < psf_fwhm <= WIDEST_FWHM_PX:
        raise ParameterError(f"psf-fwhm is {psf_fwhm:g} px; give a width above 0 and up to {WIDEST_FWHM_PX:g}.")
    if task == "deblur":
        if psf_fwhm is None:
            raise ParameterError("'deblur' needs the width of the blur; give psf-fwhm, in px.")
        return Optics(1, float(psf_fwhm))
    if task not in SCALED_TASKS:
        return Optics()
    given = DEFAULT_SCALE if scale is None else scale
    if given != int(given) or not SCALES[0] <= given <= SCALES[1]:
        raise ParameterError(f"scale is {given:g}; '{task}' takes whole numbers from {SCALES[0]} to {SCALES[1]}.")
    return Optics(int(given), float(given if psf_fwhm is None else psf_fwhm))

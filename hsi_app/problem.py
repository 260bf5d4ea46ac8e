"""What a method is given and what it gives back. There is no place for a reference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hsi_app.tiling import Window

if TYPE_CHECKING:
    import numpy as np
    import torch

    from hsi_app.fusion.grids import Grids
    from hsi_app.physics.operator import LinearOperator

# Arrays a method worked out once for the whole scene; plain NumPy, so that they can be stored and shared.
Shared = Mapping[str, "np.ndarray"]


@dataclass(frozen=True, eq=False)
class Problem:
    """An observed cube (or tile) ready to be restored.

    Parameters
    ----------
    observed : (B, H, W) float32 tensor on the working device, scaled to about [0, 1]; 0 where missing; for 'sr' on
        the coarse grid; for 'fuse' the part of the hyperspectral image under the tile, without pixels where it is not
        known which that is
    valid : (B, H, W) bool tensor, True where observed
    task : 'denoise', 'destripe', 'inpaint', 'sr', 'deblur', 'dehaze', 'unmix', 'fuse'
    wavelengths_nm : (B,) float array, or None
    window : where the tensors lie in the scene, for 'fuse' in the multispectral image, or None for a scene of its own
    operator : what the observation did to the cube beside noise and gaps, or None for nothing; takes ``shape_out``
    shared : what the method's ``prepare`` found for the whole scene
    guide : for 'fuse', (b, H', W') float32 tensor of the multispectral image, brought to what the spectral response
        makes of spectra on the scale of ``observed``; 0 where missing
    grids : for 'fuse', from the grid of ``guide`` to that of ``observed`` and back, or None where that is not known
    """

    observed: torch.Tensor
    valid: torch.Tensor
    task: str
    wavelengths_nm: np.ndarray | None = None
    window: Window | None = None
    operator: LinearOperator | None = None
    shared: Shared = field(default_factory=dict)
    guide: torch.Tensor | None = None
    grids: Grids | None = None

    @property
    def device(self) -> torch.device:
        """Where the tensors live."""
        return self.observed.device

    @property
    def place(self) -> Window:
        """Where the tensors lie in the scene; those of a scene of its own lie at its corner."""
        return self.window or Window(0, 0, *self.observed.shape[1:])

    @property
    def shape_out(self) -> tuple[int, int, int]:
        """(B, H', W') that the restored values must have: that of ``observed``, on the finer grid of 'sr' or 'fuse'."""
        if self.guide is not None:
            return self.observed.shape[0], *self.guide.shape[1:]
        bands, height, width = self.observed.shape if self.operator is None else self.operator.in_shape
        return bands, height, width

    @property
    def scale(self) -> int:
        """How many times finer the grid of the restored values is."""
        return self.shape_out[1] // self.observed.shape[1]


@dataclass(frozen=True, eq=False)
class Restoration:
    """What a method returns.

    Parameters
    ----------
    values : float32 tensor of ``Problem.shape_out``, scaled like ``Problem.observed``; NaN where it could not restore
    untouched : (B, H, W) bool tensor, True where the method left a sample exactly as it was, or None; means nothing
        for 'sr'
    extras : further images by name, (B, H, W) or (H, W) in the same scaling ('stripes', 'spread'); those of 'sr' may
        lie on the coarse grid
    plain : the same, of images without a unit (an optical thickness)
    abundances : (K, H, W) or None; endmembers : (B, K) or None
    trace : plain numbers and lists that say how it went (rank, iterations, residuals)
    """

    values: torch.Tensor
    untouched: torch.Tensor | None = None
    extras: Mapping[str, torch.Tensor] = field(default_factory=dict)
    plain: Mapping[str, torch.Tensor] = field(default_factory=dict)
    abundances: torch.Tensor | None = None
    endmembers: torch.Tensor | None = None
    trace: Mapping[str, Any] = field(default_factory=dict)

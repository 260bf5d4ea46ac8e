"""Cubic interpolation to a finer, block-centred grid: the plain way to enlarge, which knows of gaps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, final

import numpy as np
import torch

from hsi_app.cube import Cube
from hsi_app.io.lazy import LazyValues, Span
from hsi_app.tiling import Window

# A fine pixel depends on coarse ones no further away than this.
REACH_PX = 2
# The cubic through four samples that is exact for parabolas (Keys 1981, eq. 15): 'bicubic' of the literature.
KEYS = -0.5


def interpolate(values: torch.Tensor, valid: torch.Tensor, scale: int) -> torch.Tensor:
    """Enlarge images by cubic convolution; where a sample that it needs is missing, by the linear mean of the rest.

    Parameters
    ----------
    values : (B, h, w) float tensor, anything where missing
    valid : (B, h, w) bool tensor, True where observed
    scale : int >= 1; fine pixel j lies at (j + 1/2) / scale - 1/2 coarse ones, the edge sample repeated beyond it

    Returns
    -------
    (B, scale h, scale w) tensor, NaN over the whole block of a missing sample and nowhere else.

    Source: R. G. Keys, Cubic convolution interpolation for digital image processing, IEEE Trans. Acoust., Speech,
    Signal Process. 29(6), 1981.
    """
    if scale == 1:
        return torch.where(valid, values, torch.nan)
    cubic = _weights(scale, _keys).to(values)
    has_gap = torch.nonzero(~valid.flatten(1).all(1)).flatten().tolist()
    out = _spread(torch.where(valid, values, 0.0) if has_gap else values, cubic)
    if not has_gap:
        return out
    linear = _weights(scale, lambda x: (1 - x.abs()).clamp_min(0)).to(values)
    for band in has_gap:
        seen = valid[band : band + 1].to(values.dtype)
        short = _spread(1 - seen, cubic.abs()) > 0
        # At least a quarter: the pixel's own sample has that weight.
        share = _spread(seen, linear).clamp_min(0.25)
        mean = _spread(values[band : band + 1].masked_fill(seen == 0, 0.0), linear) / share
        filled = torch.where(short, mean, out[band : band + 1])
        out[band : band + 1] = filled.masked_fill(repeat(seen, scale) == 0, torch.nan)
    return out


def repeat(images: torch.Tensor, scale: int) -> torch.Tensor:
    """Each pixel of (..., h, w) as a block of scale x scale."""
    return images.repeat_interleave(scale, -2).repeat_interleave(scale, -1)


def interpolated(cube: Cube, scale: int) -> Cube:
    """The cube on a grid ``scale`` times finer, float32, worked out where it is read; NaN where missing."""
    lazy = InterpolatedValues(cube, scale)
    # Gaps are NaN in the values, so no mask of the fine grid need be held.
    return replace(cube, valid=None).upsampled(lazy, scale, f"cubic interpolation to a grid {scale} times finer")


@final
@dataclass(frozen=True)
class InterpolatedValues(LazyValues):
    """Values of a cube on a finer grid; each block is interpolated from the coarse samples around it.

    cube : the coarse cube, in memory or lazy
    scale : int >= 1
    """

    cube: Cube
    scale: int
    shape: tuple[int, int, int] = field(init=False)
    dtype: np.dtype[Any] = field(init=False)

    def __post_init__(self) -> None:
        bands, height, width = self.cube.shape
        object.__setattr__(self, "shape", (bands, height * self.scale, width * self.scale))
        object.__setattr__(self, "dtype", np.dtype(np.float32))

    def read_block(self, bands: Sequence[int], rows: Span, cols: Span) -> np.ndarray:
        """See LazyValues."""
        (top, bottom), (left, right) = (self._coarse(span) for span in (rows, cols))
        inner = Window(top, left, bottom - top, right - left)
        outer = inner.grown(REACH_PX, self.cube.shape[1:])
        is_all = list(bands) == list(range(self.shape[0]))
        values, valid = self.cube.block(outer, None if is_all else bands)
        fine = interpolate(torch.from_numpy(values), torch.from_numpy(valid), self.scale).numpy()
        down, across = rows[0] - outer.row * self.scale, cols[0] - outer.col * self.scale
        return fine[:, down : down + rows[1] - rows[0], across : across + cols[1] - cols[0]]

    def _coarse(self, span: Span) -> Span:
        return span[0] // self.scale, -(-span[1] // self.scale)


def _keys(x: torch.Tensor) -> torch.Tensor:
    x = x.abs()
    near = ((KEYS + 2) * x - (KEYS + 3)) * x**2 + 1
    far = KEYS * (((x - 5) * x + 8) * x - 4)
    return torch.where(x <= 1, near, torch.where(x < 2, far, 0.0))


def _weights(scale: int, kernel: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
    """(scale, 5) float64: how much the samples -2 ... 2 blocks away count in each pixel of a block; rows add to one."""
    place = (torch.arange(scale, dtype=torch.float64) + 0.5) / scale - 0.5
    taps = torch.arange(-REACH_PX, REACH_PX + 1, dtype=torch.float64)
    return kernel(place[:, None] - taps)


def _spread(images: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """(B, h, w) -> (B, s h, s w) by the same (s, 5) weights along rows and columns."""
    bands, height, width = images.shape
    scale = len(weights)
    reach = torch.arange(-REACH_PX, max(height, width) + REACH_PX, device=images.device)
    padded = images.index_select(1, reach[: height + 2 * REACH_PX].clamp(0, height - 1))
    tall = images.new_zeros(bands, height, scale, width)
    for tap, weight in enumerate(weights.T):
        tall.addcmul_(padded[:, tap : tap + height, None], weight[:, None])
    padded = tall.reshape(bands, -1, width).index_select(2, reach[: width + 2 * REACH_PX].clamp(0, width - 1))
    wide = images.new_zeros(bands, height * scale, width, scale)
    for tap, weight in enumerate(weights.T):
        wide.addcmul_(padded[:, :, tap : tap + width, None], weight)
    return wide.reshape(bands, height * scale, width * scale)

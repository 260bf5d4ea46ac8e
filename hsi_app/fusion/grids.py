"""From the grid of a sharp image to that of a coarse one and back, for a level placement: products of two matrices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from hsi_app.physics.resample import KEYS
from hsi_app.physics.spectral import FWHM_TO_STD
from hsi_app.tiling import Window

if TYPE_CHECKING:
    from hsi_app.fusion.placement import Placement

# A coarse pixel is known where so much of its weight fell on sharp pixels that are there.
ENOUGH = 0.999
# A Gaussian is cut at so many standard deviations.
_CUT = 3.0
# Rounding that a missing sample's weight must exceed.
_TRACE = 1e-6


class Grids:
    """Both directions between windows of two images.

    Parameters
    ----------
    placement : level, of the whole images
    hsi_shape, msi_shape : (h, w) and (H, W) of the whole images
    psf_fwhm : of the Gaussian that a coarse pixel sees with, coarse px; None = the square of the pixel
    hsi_window, msi_window : parts that the tensors show; all when None. Numbers are those of the whole images wherever
        the windows hold all that they depend on
    """

    def __init__(
        self,
        placement: Placement,
        hsi_shape: tuple[int, int],
        msi_shape: tuple[int, int],
        *,
        psf_fwhm: float | None = None,
        hsi_window: Window | None = None,
        msi_window: Window | None = None,
    ) -> None:
        coarse = hsi_window or Window(0, 0, *hsi_shape)
        fine = msi_window or Window(0, 0, *msi_shape)
        a, _, c, _, e, f = placement.matrix
        axes = (
            (a, c, coarse.row, coarse.height, hsi_shape[0], fine.row, fine.height),
            (e, f, coarse.col, coarse.width, hsi_shape[1], fine.col, fine.width),
        )
        self.coarse_shape, self.fine_shape = (coarse.height, coarse.width), (fine.height, fine.width)
        seen = [_seen(step, start, c0, n, f0, m, psf_fwhm) for step, start, c0, n, _, f0, m in axes]
        cubic = [_between(*axis, cubic=True) for axis in axes]
        linear = [_between(*axis, cubic=False) for axis in axes]
        self._seen, self._cubic, self._linear = (tuple(map(torch.from_numpy, m)) for m in (seen, cubic, linear))
        inside = [_inside(step, start, size, f0, m) for step, start, _, _, size, f0, m in axes]
        self._outside = torch.from_numpy(~(inside[0][:, None] & inside[1][None, :]))
        own = [_own(step, start, c0, n, f0, m) for step, start, c0, n, _, f0, m in axes]
        self._own = tuple(torch.from_numpy(index) for index in own)

    def to_coarse(self, fine: torch.Tensor, valid: torch.Tensor | None = None) -> torch.Tensor:
        """What the coarse sensor sees of sharp images.

        Parameters
        ----------
        fine : (n, H, W) float tensor; valid : (n, H, W) bool tensor, or None where all is observed

        Returns
        -------
        (n, h, w) weighted means of the sharp pixels; NaN where 0.1 % or more of the weight found no pixel.
        """
        rows, cols = (matrix.to(fine) for matrix in self._seen)
        share = rows.sum(1)[:, None] * cols.sum(1)[None, :]
        if valid is None or bool(valid.all()):
            total = _product(rows, fine, cols)
            share = share.expand(total.shape)
        else:
            total = _product(rows, torch.where(valid, fine, 0.0), cols)
            share = _product(rows, valid.to(fine.dtype), cols)
        return torch.where(share > ENOUGH, total / share, torch.nan)

    def to_fine(self, coarse: torch.Tensor) -> torch.Tensor:
        """Coarse images interpolated to the sharp grid by cubic convolution (Keys 1981).

        coarse : (n, h, w) float tensor, NaN where missing: around gaps the linear mean of what is there stands in.
        Returns (n, H, W); NaN beyond the edge of the coarse image and in the cells of missing pixels.
        """
        rows, cols = (matrix.to(coarse) for matrix in self._cubic)
        known = torch.isfinite(coarse)
        outside = self._outside.to(coarse.device)
        if bool(known.all()):
            return _product(rows, coarse, cols).masked_fill_(outside, torch.nan)
        filled = torch.where(known, coarse, 0.0)
        out = _product(rows, filled, cols)
        flat = torch.stack([known.all(0), known.any(0)])
        # One pattern of gaps for all bands, as a rule.
        patterns = known[:1] if bool((flat[0] == flat[1]).all()) else known
        there = patterns.to(coarse.dtype)
        short = _product(rows.abs(), 1 - there, cols.abs()) > _TRACE
        soft_rows, soft_cols = (matrix.to(coarse) for matrix in self._linear)
        share = _product(soft_rows, there, soft_cols)
        mean = _product(soft_rows, filled, soft_cols) / share.clamp(min=_TRACE)
        own = (index.to(coarse.device) for index in self._own)
        here = patterns.index_select(1, next(own)).index_select(2, next(own))
        out = torch.where(short, mean, out)
        return out.masked_fill_(outside | ~here, torch.nan)


def _product(rows: torch.Tensor, images: torch.Tensor, cols: torch.Tensor) -> torch.Tensor:
    """(a, h) (n, h, w) (b, w) -> (n, a, b), the smaller side first."""
    if rows.shape[0] <= rows.shape[1]:
        return torch.matmul(torch.matmul(rows, images), cols.T)
    return torch.matmul(rows, torch.matmul(images, cols.T))


def _centres(step: float, start: float, first: int, count: int) -> np.ndarray:
    """Places of sharp pixels on the coarse axis."""
    return step * (np.arange(count) + first) + start


def _seen(step: float, start: float, coarse: int, n: int, fine: int, m: int, psf_fwhm: float | None) -> np.ndarray:
    """(n, m) weights of sharp pixels in coarse ones; a row adds to one where all of them are there."""
    at = _centres(step, start, fine, m)[None, :] - (np.arange(n) + coarse)[:, None]
    if psf_fwhm is None:
        # Length of a sharp pixel that lies within the coarse one.
        low, high = np.maximum(at - step / 2, -0.5), np.minimum(at + step / 2, 0.5)
        return np.clip(high - low, 0, None)
    sigma = psf_fwhm * FWHM_TO_STD
    weights = np.where(np.abs(at) <= _CUT * sigma, np.exp(-0.5 * (at / sigma) ** 2), 0.0)
    # Divided by what an axis without ends would give: a row that falls short of one tells that pixels are missing.
    phase = (start - (np.arange(n) + coarse)) / step
    reach = int(np.ceil(_CUT * sigma / step)) + 2
    nearest = -np.round(phase)
    taps = step * (nearest[:, None] + np.arange(-reach, reach + 1)[None, :] + phase[:, None])
    whole = np.where(np.abs(taps) <= _CUT * sigma, np.exp(-0.5 * (taps / sigma) ** 2), 0.0).sum(1)
    return np.asarray(weights / whole[:, None])


def _between(
    step: float, start: float, coarse: int, n: int, size: int, fine: int, m: int, *, cubic: bool
) -> np.ndarray:
    """(m, n) weights of coarse pixels in sharp ones; the edge pixels of the image stand for those beyond."""
    at = _centres(step, start, fine, m)
    base = np.floor(at).astype(int)
    weights = np.zeros((m, n))
    for tap in range(-1, 3):
        away = np.abs(at - (base + tap))
        near = ((KEYS + 2) * away - (KEYS + 3)) * away**2 + 1
        far = KEYS * (((away - 5) * away + 8) * away - 4)
        cube = np.where(away <= 1, near, np.where(away < 2, far, 0.0))
        value = cube if cubic else np.clip(1 - away, 0, None)
        index = np.clip(base + tap, 0, size - 1) - coarse
        held = (index >= 0) & (index < n)
        np.add.at(weights, (np.flatnonzero(held), index[held]), value[held])
    return weights


def _inside(step: float, start: float, size: int, fine: int, m: int) -> np.ndarray:
    """(m,) bool, True where a sharp pixel's centre lies on the coarse image."""
    at = _centres(step, start, fine, m)
    return np.asarray((at >= -0.5 - 1e-9) & (at <= size - 0.5 + 1e-9))


def _own(step: float, start: float, coarse: int, n: int, fine: int, m: int) -> np.ndarray:
    """(m,) index of the coarse pixel that holds each sharp one, of those in the window."""
    at = _centres(step, start, fine, m)
    return np.clip(np.floor(at + 0.5).astype(int) - coarse, 0, max(n - 1, 0))


def levelled(hsi: torch.Tensor, placement: Placement, msi_shape: tuple[int, int]) -> tuple[torch.Tensor, Placement]:
    """A coarse image on a level grid of the same pixel size that covers the sharp one.

    Parameters
    ----------
    hsi : (B, h, w) float tensor, NaN where missing; placement : with a rotation or shear

    Returns
    -------
    (B, h', w') tensor, cubic interpolation, NaN beyond the image and around gaps; and its level placement.
    """
    from scipy.ndimage import map_coordinates

    from hsi_app.fusion.placement import Placement

    rows, cols = placement.ratio
    height, width = (int(np.ceil(side / ratio)) for side, ratio in zip(msi_shape, (rows, cols), strict=True))
    level = Placement((1 / rows, 0, 0.5 / rows - 0.5, 0, 1 / cols, 0.5 / cols - 0.5))
    grid = np.stack(np.meshgrid(np.arange(height), np.arange(width), indexing="ij"), -1).reshape(-1, 2)
    places = placement.points(level.inverse_points(grid)).T
    images = hsi.cpu().numpy()
    missing = ~np.isfinite(images).all(0)
    out = np.empty((len(images), height * width), np.float32)
    for band, image in enumerate(images):
        out[band] = map_coordinates(np.nan_to_num(image), places, order=3, mode="nearest")
    lost = map_coordinates(missing.astype(np.float32), places, order=1, mode="nearest") > 0.01
    beyond = ((places < -0.5) | (places > np.array(hsi.shape[1:])[:, None] - 0.5)).any(0)
    out[:, lost | beyond] = np.nan
    return torch.from_numpy(out.reshape(len(images), height, width)).to(hsi.device), level

"""From the grid of a sharp image to that of a coarse one and back, turned against each other or not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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
    placement : of the whole images
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
        if placement.is_level_over(msi_shape):
            self._seen, self._cubic, self._linear, inside, own = _level_maps(
                placement.level(), hsi_shape, coarse, fine, psf_fwhm
            )
        else:
            self._seen, self._cubic, self._linear, inside, own = _turned_maps(
                placement, hsi_shape, coarse, fine, psf_fwhm
            )
        self._outside, self._own = torch.from_numpy(~inside), torch.from_numpy(own)

    def to_coarse(self, fine: torch.Tensor, valid: torch.Tensor | None = None) -> torch.Tensor:
        """What the coarse sensor sees of sharp images.

        Parameters
        ----------
        fine : (n, H, W) float tensor; valid : (n, H, W) bool tensor, or None where all is observed

        Returns
        -------
        (n, h, w) weighted means of the sharp pixels; NaN where 0.1 % or more of the weight found no pixel.
        """
        if valid is None or bool(valid.all()):
            total, share = self._seen(fine), self._seen(torch.ones_like(fine[:1]))
        else:
            total, share = self._seen(torch.where(valid, fine, 0.0)), self._seen(valid.to(fine.dtype))
        return torch.where(share > ENOUGH, total / share, torch.nan)

    def to_fine(self, coarse: torch.Tensor) -> torch.Tensor:
        """Coarse images interpolated to the sharp grid by cubic convolution (Keys 1981).

        coarse : (n, h, w) float tensor, NaN where missing: around gaps the linear mean of what is there stands in.
        Returns (n, H, W); NaN beyond the edge of the coarse image and in the cells of missing pixels.
        """
        known = torch.isfinite(coarse)
        outside = self._outside.to(coarse.device)
        if bool(known.all()):
            return self._cubic(coarse).masked_fill_(outside, torch.nan)
        filled = torch.where(known, coarse, 0.0)
        # One pattern of gaps for all bands, as a rule.
        patterns = known[:1] if bool((known.all(0) == known.any(0)).all()) else known
        there = patterns.to(coarse.dtype)
        short = self._cubic(1 - there, absolute=True) > _TRACE
        mean = self._linear(filled) / self._linear(there).clamp(min=_TRACE)
        here = patterns.flatten(1).index_select(1, self._own.to(coarse.device).reshape(-1))
        out = torch.where(short, mean, self._cubic(filled))
        return out.masked_fill_(outside | ~here.reshape(len(patterns), *outside.shape), torch.nan)


@dataclass(frozen=True, eq=False)
class _Separable:
    """A linear map of images that treats rows and columns apart: (a, h) and (b, w) matrices."""

    rows: torch.Tensor
    cols: torch.Tensor

    def __call__(self, images: torch.Tensor, *, absolute: bool = False) -> torch.Tensor:
        rows, cols = (matrix.to(images) for matrix in (self.rows, self.cols))
        if absolute:
            rows, cols = rows.abs(), cols.abs()
        # The smaller side first.
        if rows.shape[0] <= rows.shape[1]:
            return torch.matmul(torch.matmul(rows, images), cols.T)
        return torch.matmul(rows, torch.matmul(images, cols.T))


@dataclass(frozen=True, eq=False)
class _Sparse:
    """A linear map of images by (pixels out, pixels in) weights, given by their places."""

    index: torch.Tensor
    weights: torch.Tensor
    shape_in: tuple[int, int]
    shape_out: tuple[int, int]

    def __call__(self, images: torch.Tensor, *, absolute: bool = False) -> torch.Tensor:
        weights = (self.weights.abs() if absolute else self.weights).to(images)
        size = self.shape_out[0] * self.shape_out[1], self.shape_in[0] * self.shape_in[1]
        matrix = torch.sparse_coo_tensor(self.index.to(images.device), weights, size, check_invariants=False)
        flat = torch.sparse.mm(matrix, images.reshape(len(images), -1).T.contiguous())
        return flat.T.reshape(len(images), *self.shape_out)


_Maps = tuple[Any, Any, Any, np.ndarray, np.ndarray]


def _level_maps(
    placement: Placement, hsi_shape: tuple[int, int], coarse: Window, fine: Window, psf_fwhm: float | None
) -> _Maps:
    """Coarse from sharp, cubic and linear back; what sharp pixels lie inside, and in which coarse pixel."""
    a, _, c, _, e, f = placement.matrix
    axes = (
        (a, c, coarse.row, coarse.height, hsi_shape[0], fine.row, fine.height),
        (e, f, coarse.col, coarse.width, hsi_shape[1], fine.col, fine.width),
    )
    seen = [_seen(step, start, c0, n, f0, m, psf_fwhm) for step, start, c0, n, _, f0, m in axes]
    cubic, linear = ([_between(*axis, cubic=kind) for axis in axes] for kind in (True, False))
    inside = [_inside(step, start, size, f0, m) for step, start, _, _, size, f0, m in axes]
    own = [_own(step, start, c0, n, f0, m) for step, start, c0, n, _, f0, m in axes]
    maps = (_Separable(*map(torch.from_numpy, pair)) for pair in (seen, cubic, linear))
    return *maps, inside[0][:, None] & inside[1][None, :], own[0][:, None] * coarse.width + own[1][None, :]


def _turned_maps(
    placement: Placement, hsi_shape: tuple[int, int], coarse: Window, fine: Window, psf_fwhm: float | None
) -> _Maps:
    """The same for grids that are turned against each other."""
    grid = _pixels(fine)
    at = placement.points(grid)
    first = np.array([coarse.row, coarse.col])
    size = np.array(hsi_shape)
    shapes = (coarse.height, coarse.width), (fine.height, fine.width)
    base = np.floor(at).astype(int)
    maps = []
    for cubic in (True, False):
        entries = []
        for down in range(-1, 3):
            for right in range(-1, 3):
                place = base + np.array([down, right])
                weight = np.prod(_kernel(np.abs(at - place), cubic=cubic), axis=1)
                entries.append((np.clip(place, 0, size - 1) - first, weight))
        maps.append(_gathered(entries, *shapes))
    inside = ((at >= -0.5 - 1e-9) & (at <= size - 0.5 + 1e-9)).all(1)
    own = np.clip(np.floor(at + 0.5).astype(int) - first, 0, np.maximum(np.array(shapes[0]) - 1, 0))
    # What a coarse pixel sees is the sum over points of its square, or of the Gaussian, three to a sharp pixel's side,
    # each of the sharp pixel that it falls in.
    reach = 0.5 if psf_fwhm is None else _CUT * psf_fwhm * FWHM_TO_STD
    count = int(np.ceil(2 * reach * 3 * max(placement.ratio)))
    offsets = (np.arange(count) + 0.5) / count * 2 * reach - reach
    weights = np.ones(count) if psf_fwhm is None else np.exp(-0.5 * (offsets / (psf_fwhm * FWHM_TO_STD)) ** 2)
    weights = weights / weights.sum()
    corner = np.array([fine.row, fine.col])
    centres, entries = _pixels(coarse).astype(float), []
    for down, across in np.ndindex(count, count):
        there = placement.inverse_points(centres + offsets[[down, across]])
        weight = np.full(len(there), weights[down] * weights[across])
        entries.append((np.round(there).astype(int) - corner, weight))
    seen = _gathered(entries, shapes[1], shapes[0])
    return seen, maps[0], maps[1], inside.reshape(shapes[1]), (own[:, 0] * coarse.width + own[:, 1]).reshape(shapes[1])


def _pixels(window: Window) -> np.ndarray:
    """(N, 2) places of a window's pixels."""
    rows, cols = np.mgrid[window.row : window.row + window.height, window.col : window.col + window.width]
    return np.stack([rows.ravel(), cols.ravel()], 1)


def _gathered(
    entries: list[tuple[np.ndarray, np.ndarray]], shape_in: tuple[int, int], shape_out: tuple[int, int]
) -> _Sparse:
    """One map of (places (N, 2), weights (N,)), each for all pixels that come out; places off the image are lost."""
    from scipy.sparse import coo_matrix

    size = shape_out[0] * shape_out[1], shape_in[0] * shape_in[1]
    total = coo_matrix(size).tocsr()
    # A few at a time, so that what falls on one pixel is added up before there is too much of it.
    for start in range(0, len(entries), 64):
        rows, cols, values = [], [], []
        for place, weight in entries[start : start + 64]:
            held = ((place >= 0) & (place < shape_in)).all(1) & (weight != 0)
            rows.append(np.flatnonzero(held))
            cols.append(place[held, 0] * shape_in[1] + place[held, 1])
            values.append(weight[held])
        parts = np.concatenate(values), (np.concatenate(rows), np.concatenate(cols))
        total = total + coo_matrix(parts, shape=size).tocsr()
    found = total.tocoo()
    index = torch.from_numpy(np.stack([found.row, found.col]).astype(np.int64))
    return _Sparse(index, torch.from_numpy(found.data), shape_in, shape_out)


def _kernel(away: np.ndarray, *, cubic: bool) -> np.ndarray:
    """Weight of a sample so far away."""
    if not cubic:
        return np.clip(1 - away, 0, None)
    near = ((KEYS + 2) * away - (KEYS + 3)) * away**2 + 1
    far = KEYS * (((away - 5) * away + 8) * away - 4)
    return np.where(away <= 1, near, np.where(away < 2, far, 0.0))


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
        value = _kernel(away, cubic=cubic)
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

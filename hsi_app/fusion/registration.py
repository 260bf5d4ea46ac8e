"""Registration aid: by how much a sharp image is shifted and turned on a coarse one of the same ground."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from hsi_app.fusion.placement import Placement

# Correlation of the images from which a placement is believed, and from which none better is sought.
TRUSTED, GOOD = 0.8, 0.93
# Correlation that must be lost one and a half coarse pixels away: a peak, not a plain.
_DISTINCT = 0.02
_STEP_DEG = 2.5
# Sampling of the coarse grid in the search, and how much of the coarse image must lie on the sharp one.
_FINER, _OVERLAP = 2, 0.5
# Standard deviation of the blur that makes the sharp image as coarse as the other, coarse pixels.
_BLUR = 0.4
_FEWEST_PX = 36


@dataclass(frozen=True)
class Registration:
    """What was found.

    placement : of the sharp image on the coarse one
    rows, cols : shift of its middle against where it was said to lie, px of the sharp image
    angle_deg : turn against that, degrees
    correlation : of the two images there, -1 to 1; before : where it was said to lie
    is_trusted : whether the images say so clearly
    why : one phrase
    """

    placement: Placement
    rows: float
    cols: float
    angle_deg: float
    correlation: float
    before: float
    is_trusted: bool
    why: str

    def on_finer(self, factor: int) -> Registration:
        """For the sharp image of which the registered one was an average in blocks."""
        return replace(
            self, placement=self.placement.on_finer(factor), rows=self.rows * factor, cols=self.cols * factor
        )

    def describe(self) -> str:
        """'shift (1.2, -0.4) px, turn 0.3 degrees, correlation 0.97'."""
        return (
            f"shift ({self.rows:.1f}, {self.cols:.1f}) px of the multispectral image, turn {self.angle_deg:.1f}"
            f" degrees, correlation {self.correlation:.2f}"
        )

    def to_plain(self) -> dict[str, Any]:
        """For a record."""
        return {**asdict(self), "placement": self.placement.to_plain()}


def register(coarse: np.ndarray, fine: np.ndarray, start: Placement, *, max_angle_deg: float = 35.0) -> Registration:
    """Find shift and turn of a sharp image on a coarse one; the ratio of the grids is taken from ``start``.

    Parameters
    ----------
    coarse : (h, w), fine : (H, W) images of the same light up to gain and offset, NaN where missing; one may show only
        part of the other
    start : where the sharp image is said to lie
    max_angle_deg : largest turn looked for

    Returns
    -------
    Registration; what it found is not to be used where ``is_trusted`` is False.

    Source: masked normalised cross-correlation (Padfield 2012, as in scikit-image) for every turn of a fan, then the
    simplex search of Nelder and Mead 1965 on the correlation itself.
    """
    match = Match(np.asarray(coarse, float), np.asarray(fine, float), start)
    before = match.correlation(0.0, 0.0, 0.0)
    best = match.refined(0.0, 0.0, 0.0)
    if best[0] < GOOD:
        found = [match.shifted(angle) for angle in np.arange(-max_angle_deg, max_angle_deg + 0.1, _STEP_DEG)]
        for candidate in sorted(found, reverse=True)[:3]:
            best = max(best, match.refined(*candidate[1:]))
    correlation, rows, cols, angle = best
    around = [match.correlation(rows + dr, cols + dc, angle) for dr, dc in ((1.5, 0), (-1.5, 0), (0, 1.5), (0, -1.5))]
    drop = correlation - float(np.mean(around))
    why = f"correlation {correlation:.2f}"
    is_trusted = correlation >= TRUSTED and drop >= _DISTINCT
    if not is_trusted:
        why += f", {TRUSTED} needed" if correlation < TRUSTED else " without a clear peak"
    ratio = start.ratio
    return Registration(
        match.placed(rows, cols, angle), rows * ratio[0], cols * ratio[1], angle, correlation, before, is_trusted, why
    )


class Match:
    """Correlation of a coarse image with a sharp one, shifted by coarse pixels and turned about its middle."""

    def __init__(self, coarse: np.ndarray, fine: np.ndarray, start: Placement) -> None:
        self.coarse, self.start = coarse, start
        self.middle = ((fine.shape[0] - 1) / 2, (fine.shape[1] - 1) / 2)
        self.blurred, self.share = _blurred(fine, start.ratio)
        rows, cols = np.nonzero(np.isfinite(coarse))
        self.places = np.stack([rows, cols], 1).astype(float)
        self.values = coarse[rows, cols]

    def placed(self, rows: float, cols: float, angle: float) -> Placement:
        """The placement with that shift (coarse px) and turn (degrees)."""
        turned = self.start.moved(angle_deg=angle, centre=self.middle)
        a, b, c, d, e, f = turned.matrix
        return Placement((a, b, c + rows, d, e, f + cols))

    def correlation(self, rows: float, cols: float, angle: float) -> float:
        """Of the coarse pixels that lie on the sharp image; -1 where too few do."""
        seen = self.sampled(self.placed(rows, cols, angle), self.places)
        there = np.isfinite(seen)
        if there.sum() < max(_FEWEST_PX, _OVERLAP * min(len(seen), self._covered)):
            return -1.0
        return correlation_of(seen[there], self.values[there])

    @property
    def _covered(self) -> float:
        """Coarse pixels that the sharp image has room for."""
        return float(self.share.size / np.prod(self.start.ratio))

    def refined(self, rows: float, cols: float, angle: float) -> tuple[float, float, float, float]:
        """(correlation, rows, cols, angle) of the nearest peak."""
        from scipy.optimize import minimize

        first = np.array([rows, cols, angle])
        simplex = first + np.array([[0, 0, 0], [0.7, 0, 0], [0, 0.7, 0], [0, 0, 1.5]])
        found = minimize(
            lambda p: -self.correlation(*p), first, method="Nelder-Mead",
            options={"initial_simplex": simplex, "xatol": 0.01, "fatol": 1e-6, "maxfev": 200},
        )  # fmt: skip
        rows, cols, angle = map(float, found.x)
        return -float(found.fun), rows, cols, angle

    def shifted(self, angle: float) -> tuple[float, float, float, float]:
        """(correlation, rows, cols, angle) of the best shift for a turn."""
        from skimage.registration import phase_cross_correlation

        if not len(self.places):
            return -1.0, 0.0, 0.0, angle
        placement = self.placed(0.0, 0.0, angle)
        height, width = self.blurred.shape
        corners = placement.points(np.array([[0, 0], [0, width], [height, 0], [height, width]], float))
        low = np.floor(np.minimum(corners.min(0), 0)).astype(int)
        high = np.ceil(np.maximum(corners.max(0), self.coarse.shape)).astype(int)
        # A grid of half coarse pixels that holds both images.
        shape = (high - low) * _FINER
        axes = [np.arange(n) / _FINER + start for n, start in zip(shape, low, strict=True)]
        grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 2)
        moving = self.sampled(placement, grid).reshape(shape)
        missing = ~np.isfinite(self.coarse)
        filled = np.where(missing, np.nanmean(self.coarse), self.coarse)
        size = [(n - 1) * _FINER + 1 for n in filled.shape]
        image = _stretched(filled, size)
        fixed, mask = np.zeros(shape), np.zeros(shape, bool)
        at = -low * _FINER
        fixed[at[0] : at[0] + size[0], at[1] : at[1] + size[1]] = image
        mask[at[0] : at[0] + size[0], at[1] : at[1] + size[1]] = _stretched(missing.astype(float), size) < 0.01
        there = np.isfinite(moving)
        if not there.any() or not mask.any():
            return -1.0, 0.0, 0.0, angle
        share = float(np.clip(_OVERLAP * min(there.sum(), mask.sum()) / max(there.sum(), mask.sum()), 0.05, 1))
        shift, _, _ = phase_cross_correlation(
            fixed, np.nan_to_num(moving), reference_mask=mask, moving_mask=there, overlap_ratio=share
        )
        rows, cols = (float(step) / _FINER for step in shift)
        return self.correlation(rows, cols, angle), rows, cols, angle

    def sampled(self, placement: Placement, places: np.ndarray) -> np.ndarray:
        """(N,) blurred sharp image at places (row, col) of the coarse grid; NaN off it."""
        from scipy.ndimage import map_coordinates

        at = placement.inverse_points(places).T
        value = map_coordinates(self.blurred, at, order=1, mode="constant", cval=np.nan)
        return np.where(map_coordinates(self.share, at, order=1, mode="constant", cval=0.0) > 0.9, value, np.nan)


def correlation_of(x: np.ndarray, y: np.ndarray) -> float:
    """Of two (N,) arrays; 0 where one of them does not vary."""
    x, y = x - x.mean(), y - y.mean()
    return float(x @ y / max(np.sqrt((x @ x) * (y @ y)), 1e-300))


def _blurred(fine: np.ndarray, ratio: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """The sharp image as coarse as the other, and the share of what each pixel is a mean of that was there."""
    from scipy.ndimage import gaussian_filter

    there = np.isfinite(fine)
    sigma = [_BLUR * max(step, 1e-6) for step in ratio]
    share = gaussian_filter(there.astype(float), sigma)
    total = gaussian_filter(np.where(there, fine, 0.0), sigma)
    return total / np.maximum(share, 1e-9), share


def _stretched(image: np.ndarray, size: list[int]) -> np.ndarray:
    """Linear interpolation with the first and last samples kept in their places."""
    from scipy.ndimage import map_coordinates

    axes = [np.linspace(0, n - 1, m) for n, m in zip(image.shape, size, strict=True)]
    return np.asarray(map_coordinates(image, np.meshgrid(*axes, indexing="ij"), order=1))

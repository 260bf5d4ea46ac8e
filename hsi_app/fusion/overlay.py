"""A picture of how two images lie on each other: grey where they agree, red and cyan fringes where they do not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hsi_app.cube import Cube
from hsi_app.errors import ParameterError
from hsi_app.fusion.pairing import intensities, known_response, place
from hsi_app.fusion.placement import Placement
from hsi_app.fusion.registration import Match
from hsi_app.fusion.runner import FusionSettings, scenes
from hsi_app.jobs import Job

# Quantiles between which each image is stretched before the two are laid over one another.
_STRETCH = (1.0, 99.0)


@dataclass(frozen=True, eq=False)
class Overlay:
    """Two images of one ground over one another, as a fusion would place them.

    picture : (H, W, 4) uint8 on the grid of the multispectral image, or of its average in blocks: brightness of the
        hyperspectral image as red, of the multispectral one, made as coarse, as green and blue; clear where either is
        missing
    placement : of the picture's pixels on the hyperspectral grid
    correlation : of the two brightnesses, -1 to 1
    lines : what was found, for people
    """

    picture: np.ndarray
    placement: Placement
    correlation: float
    lines: tuple[str, ...]


def overlay(hsi: Cube, msi: Cube, settings: FusionSettings | None = None, *, job: Job | None = None) -> Overlay:
    """Place a pair of images as ``fuse`` would with the same settings, and lay one over the other.

    Raises
    ------
    ParameterError
        If no registration is wanted or none is found, so that there is nothing to lay over one another.
    CubeError, PlanError, Cancelled
        As ``fuse`` does.
    """
    settings, job = settings or FusionSettings(), job or Job()
    if settings.registration == "none":
        raise ParameterError("registration is 'none': the images are not laid over one another; choose another.")
    job.step(0.0, "reading")
    coarse, fine, _ = scenes(hsi, msi, settings)
    images = intensities(coarse, fine, known_response(coarse, fine, settings.srf))
    job.step(0.4, "seeing whether the images line up")
    placement, measured, how = place(coarse, fine, images, settings.registration, job)
    if placement is None:
        raise ParameterError(f"the images are not registered ({how}); give both a map frame, or try 'estimate'.")
    job.step(0.9, "drawing")
    dim, bright, factor = images
    placement = placement.on_averaged(factor)
    match = Match(dim, bright, placement)
    blurred = np.where(match.share > 0.5, match.blurred, np.nan)
    seen = _sampled(dim, placement, blurred.shape)
    both = np.isfinite(seen) & np.isfinite(blurred)
    red, cyan = (_stretched(image, both) for image in (seen, blurred))
    picture = np.stack([red, cyan, cyan, np.where(both, 255, 0).astype(np.uint8)], axis=-1)
    correlation = match.correlation(0.0, 0.0, 0.0)
    lines: tuple[str, ...] = (f"{how}; correlation {correlation:.2f}",)
    if measured is not None and not any(measured.describe() in note for note in job.notes):
        lines += (f"by the images: {measured.describe()}",)
    job.step(1.0, "done")
    return Overlay(picture, placement, correlation, (*lines, *job.notes))


def _sampled(image: np.ndarray, placement: Placement, shape: tuple[int, ...]) -> np.ndarray:
    """The coarse image on the finer grid, between its pixels by cubic splines; NaN off it and by missing pixels."""
    from scipy.ndimage import map_coordinates

    rows, cols = np.indices(shape)
    at = placement.points(np.stack([rows.ravel(), cols.ravel()], 1)).T
    missing = ~np.isfinite(image)
    filled = np.where(missing, np.nanmean(image) if not missing.all() else 0.0, image)
    # Up to the outer edges of the border pixels, half a pixel beyond their centres.
    value = map_coordinates(filled, at, order=3, mode="nearest")
    lost = map_coordinates(missing.astype(float), at, order=1, mode="nearest") > 0.01
    inside = np.all([(line > -0.5) & (line < side - 0.5) for line, side in zip(at, image.shape, strict=True)], axis=0)
    return np.where(inside & ~lost, value, np.nan).reshape(shape)


def _stretched(image: np.ndarray, both: np.ndarray) -> np.ndarray:
    """As (H, W) uint8, between quantiles of what both images show."""
    if not both.any():
        return np.zeros(image.shape, np.uint8)
    low, high = np.percentile(image[both], _STRETCH)
    return np.clip(np.nan_to_num((image - low) / max(high - low, 1e-12)) * 255, 0, 255).astype(np.uint8)

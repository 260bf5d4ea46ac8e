"""Pictures of a report as PNG, drawn with matplotlib's objects: no global state, no display needed."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from hsi_app.cube import Cube
from hsi_app.report_sample import ReportSample

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Readable on white and on near-black alike: the page follows the reader's light or dark setting.
INK = "#8a8f98"
BEFORE, AFTER, REMOVED = "#e0803a", "#3b82d6", "#9a6bd0"
_DPI = 160


def _figure(width: float, height: float) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    figure.patch.set_alpha(0)
    FigureCanvasAgg(figure)
    return figure


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    # No date or version in the file: the same result gives the same bytes.
    figure.savefig(buffer, format="png", dpi=_DPI, transparent=True, metadata={"Software": None})
    return buffer.getvalue()


def _quiet(axes: Axes) -> Axes:
    axes.patch.set_alpha(0)
    for name, spine in axes.spines.items():
        spine.set_color(INK)
        spine.set_visible(name in ("left", "bottom"))
    axes.tick_params(colors=INK, labelsize=8, length=3)
    axes.xaxis.label.set_color(INK)
    axes.yaxis.label.set_color(INK)
    axes.grid(True, color=INK, alpha=0.18, linewidth=0.6)
    return axes


def _legend(axes: Axes, **where: Any) -> None:
    axes.legend(frameon=False, labelcolor=INK, fontsize=8, **where)


def stretch_limits(planes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(C, 1, 1) low and high limits: 1st and 99th percentile of each channel, always apart; NaN is ignored."""
    low, high = np.zeros(len(planes)), np.ones(len(planes))
    for c, plane in enumerate(planes):
        seen = plane[np.isfinite(plane)]
        if seen.size:
            low[c], high[c] = np.percentile(seen, (1, 99))
    high = np.where(high > low, high, low + np.maximum(np.abs(low), 1) * 1e-6)
    return low[:, None, None], high[:, None, None]


def _rgba(planes: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """(h, w, 4) uint8; pixels with a missing sample are transparent."""
    scaled = np.clip((planes - low) / (high - low), 0, 1)
    alpha = np.isfinite(planes).all(0)
    colour = np.where(alpha, scaled, 0)
    if len(colour) == 1:
        colour = np.repeat(colour, 3, 0)
    return (np.concatenate([colour, alpha[None]]) * 255).round().astype(np.uint8).transpose(1, 2, 0)


def image_png(planes: np.ndarray, low: np.ndarray, high: np.ndarray, *, least_px: int = 320) -> bytes:
    """A picture pixel for pixel (small ones enlarged in whole steps): (1 or 3, h, w) between limits."""
    from matplotlib.image import imsave

    pixels = _rgba(planes, low, high)
    factor = max(least_px // max(pixels.shape[:2]), 1)
    pixels = pixels.repeat(factor, 0).repeat(factor, 1)
    buffer = io.BytesIO()
    imsave(buffer, np.ascontiguousarray(pixels), format="png", metadata={"Software": None})
    return buffer.getvalue()


def removed_limit(removed: np.ndarray) -> float:
    """Where the symmetric colour scale of what was removed ends: the 99th percentile of its magnitude, > 0."""
    seen = np.abs(removed[np.isfinite(removed)])
    limit = float(np.percentile(seen, 99)) if seen.size else 0.0
    if limit == 0.0 and seen.size:
        limit = float(seen.max())
    return limit if limit > 0 else 1.0


def removed_png(removed: np.ndarray, limit: float, *, least_px: int = 320) -> bytes:
    """(h, w) on a diverging scale from -limit (blue) over 0 (light grey) to +limit (red)."""
    from matplotlib import colormaps
    from matplotlib.image import imsave

    pixels = (colormaps["RdBu_r"](np.clip(removed / limit, -1, 1) / 2 + 0.5) * 255).round().astype(np.uint8)
    pixels[~np.isfinite(removed)] = 0
    factor = max(least_px // max(pixels.shape[:2]), 1)
    buffer = io.BytesIO()
    imsave(buffer, np.ascontiguousarray(pixels.repeat(factor, 0).repeat(factor, 1)), format="png",
           metadata={"Software": None})  # fmt: skip
    return buffer.getvalue()


def _abscissa(cube: Cube) -> tuple[np.ndarray, str]:
    centres = cube.axis.centres_nm
    if centres is None:
        return np.arange(1, cube.shape[0] + 1, dtype=float), "band"
    return np.asarray(centres), "wavelength, nm"


def _sorted_with_gaps(x: np.ndarray, bad: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points in the order of wavelength (two-camera sensors overlap), broken at bad bands."""
    order = np.argsort(x, kind="stable")
    return x[order], np.where(bad, np.nan, y)[order]


def _shade_bad(axes: Axes, x: np.ndarray, bad: np.ndarray) -> None:
    """A grey strip over each bad band, half a band wide to either side."""
    if not bad.any() or x.size < 2:
        return
    half = np.abs(np.gradient(x)) / 2
    for k in np.flatnonzero(bad):
        axes.axvspan(x[k] - half[k], x[k] + half[k], color=INK, alpha=0.16, linewidth=0)


def spectra_png(cube: Cube, sample: ReportSample) -> bytes:
    """Spectra before and after, one panel for each of the sample's pixels."""
    x, label = _abscissa(cube)
    bad = cube.axis.is_bad
    count = max(len(sample.pixels), 1)
    rows = -(-count // 2)
    figure = _figure(9.6, 2.5 * rows)
    for k, pixel in enumerate(sample.pixels):
        axes = _quiet(figure.add_subplot(rows, min(count, 2), k + 1))
        _shade_bad(axes, x, bad)
        axes.plot(*_sorted_with_gaps(x, bad, pixel.before), color=BEFORE, linewidth=0.9, label="before")
        axes.plot(*_sorted_with_gaps(x, bad, pixel.after), color=AFTER, linewidth=1.3, label="after")
        axes.set_title(f"{pixel.role}: row {pixel.row}, column {pixel.col}", fontsize=9, color=INK, loc="left")
        axes.set_xlabel(label, fontsize=8)
        axes.set_ylabel(cube.unit or "value", fontsize=8)
        if k == 0:
            _legend(axes)
    return _png(figure)


def noise_png(cube: Cube, sample: ReportSample) -> bytes:
    """Noise of each band before and after, and the spread of what was removed; logarithmic, stored units."""
    x, label = _abscissa(cube)
    bad = cube.axis.is_bad
    figure = _figure(9.6, 2.9)
    axes = _quiet(figure.add_subplot())
    _shade_bad(axes, x, bad)
    curves = (
        (sample.noise_before.std, BEFORE, "noise before", 1.3),
        (sample.noise_after.std, AFTER, "noise after", 1.3),
        (sample.removed_std, REMOVED, "removed", 1.0),
    )
    for values, colour, name, width in curves:
        positive = np.where(values > 0, values, np.nan)
        axes.plot(*_sorted_with_gaps(x, bad, positive), color=colour, linewidth=width, label=name)
    axes.set_yscale("log")
    axes.set_xlabel(label, fontsize=8)
    axes.set_ylabel("standard deviation", fontsize=8)
    _legend(axes, ncols=3, loc="upper right")
    return _png(figure)


def histogram_png(sample: ReportSample) -> bytes:
    """What was removed in units of each band's own spread, beside a normal distribution."""
    spread = np.where(sample.removed_std > 0, sample.removed_std, np.nan)
    scaled = sample.removed / spread[:, None, None].astype(np.float32)
    seen = scaled[np.isfinite(scaled)]
    figure = _figure(9.6, 2.5)
    axes = _quiet(figure.add_subplot())
    edges = np.linspace(-6, 6, 97)
    if seen.size:
        # Values beyond six spreads are counted in the outermost bins, so that outliers stay visible.
        counts, _ = np.histogram(np.clip(seen, -6, 6), edges)
        density = counts / (seen.size * np.diff(edges))
        axes.stairs(
            np.where(density > 0, density, np.nan), edges, fill=True, color=REMOVED, alpha=0.55, label="removed"
        )
        normal = np.exp(-(edges**2) / 2) / np.sqrt(2 * np.pi)
        axes.plot(edges, normal, color=INK, linewidth=1, linestyle="--", label="normal")
        axes.set_yscale("log")
        axes.set_ylim(max(0.3 / (seen.size * (edges[1] - edges[0])), 1e-7), 2)
        _legend(axes, loc="upper right")
    axes.set_xlabel("removed / spread of its band", fontsize=8)
    axes.set_ylabel("density", fontsize=8)
    return _png(figure)

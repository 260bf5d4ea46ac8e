"""Charts of the report, each drawn for light and for dark pages; matplotlib's object interface only."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hsi_app.bands import BandAxis
from hsi_app.report.findings import Findings, Place

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from hsi_app.runner import Result


@dataclass(frozen=True)
class Theme:
    """Colours of one page theme."""

    ink: str
    grid: str
    before: str
    after: str
    removed: str
    truth: str


LIGHT = Theme("#4b5563", "#e3e6eb", "#9aa3af", "#0b6bcb", "#d9620c", "#15803d")
DARK = Theme("#aab4c2", "#2b323d", "#76808f", "#5aaefc", "#ff9b57", "#4ade80")


@dataclass(frozen=True)
class Chart:
    """A picture for light and one for dark pages, as data URIs, and the words that stand for it."""

    light: str
    dark: str
    caption: str


def draw(paint: Callable[[Axes, Theme], None], caption: str, *, height_in: float = 2.7) -> Chart:
    """Paint one set of axes in both themes."""
    return Chart(_rendered(paint, LIGHT, height_in), _rendered(paint, DARK, height_in), caption)


def _rendered(paint: Callable[[Axes, Theme], None], theme: Theme, height_in: float) -> str:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6, height_in), dpi=160)
    canvas = FigureCanvasAgg(figure)
    figure.patch.set_alpha(0)
    # A fixed frame, wide enough for labels like -0.005: fitting it to the text would take twice the drawing.
    axes = figure.add_axes((0.125, 0.165, 0.86, 0.8))
    axes.set_facecolor("none")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(theme.grid)
    axes.tick_params(colors=theme.ink, labelsize=8, length=3)
    axes.grid(True, color=theme.grid, linewidth=0.7)
    axes.set_axisbelow(True)
    paint(axes, theme)
    for label in (axes.xaxis.label, axes.yaxis.label, axes.title):
        label.set_color(theme.ink)
        label.set_fontsize(8.5)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=8, labelcolor=theme.ink, loc="best", handlelength=1.6)
    buffer = io.BytesIO()
    # Without the software stamp the same run writes the same bytes.
    canvas.print_png(buffer, metadata={"Software": None})
    return data_uri(buffer.getvalue())


def data_uri(png: bytes) -> str:
    """A PNG as a data URI."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


@contextmanager
def band_axis(axes: Axes, axis: BandAxis, theme: Theme) -> Iterator[np.ndarray]:
    """Hand out the x of each band (nm, or band numbers from 1), then shade bad bands and label the axis."""
    x, label = _positions(axis)
    yield x
    edges = _edges(x)
    for band in np.flatnonzero(axis.is_bad):
        low, high = sorted((edges[band], edges[band + 1]))
        axes.axvspan(low, high, color=theme.ink, alpha=0.16, linewidth=0)
    axes.set_xlabel(label)
    axes.margins(x=0.01)


def _positions(axis: BandAxis) -> tuple[np.ndarray, str]:
    if axis.centres_nm is not None and np.isfinite(axis.centres_nm).all():
        return axis.centres_nm, "wavelength (nm)"
    return np.arange(1, axis.count + 1, dtype=float), "band"


def _edges(x: np.ndarray) -> np.ndarray:
    if x.size == 1:
        return np.array([x[0] - 0.5, x[0] + 0.5])
    middle = (x[1:] + x[:-1]) / 2
    return np.concatenate([[x[0] - (middle[0] - x[0])], middle, [x[-1] + (x[-1] - middle[-1])]])


def plot_band_line(axes: Axes, x: np.ndarray, y: np.ndarray, **style: Any) -> None:
    """A line over bands in order of wavelength (detectors may overlap), with gaps at NaN; dots where it is one band."""
    order = np.argsort(x, kind="stable")
    if x.size == 1:
        style = {**style, "marker": "o"}
    axes.plot(x[order], y[order], **style)


def spectrum_chart(result: Result, place: Place, number: int, reference: Any = None) -> Chart:
    """The spectrum of one pixel before and after, and the true one where it is known."""
    observed, restored = result.observed, result.cube
    # Bad bands are often hundreds of times off and would bury the rest.
    good = ~observed.axis.is_bad
    before, after = (np.where(good, cube.spectrum(place.row, place.col), np.nan) for cube in (observed, restored))
    truth = None if reference is None else np.where(good, reference.spectrum(place.row, place.col), np.nan)

    def paint(axes: Axes, theme: Theme) -> None:
        with band_axis(axes, observed.axis, theme) as x:
            plot_band_line(axes, x, before, color=theme.before, linewidth=1.0, label="before")
            if truth is not None:
                plot_band_line(axes, x, truth, color=theme.truth, linewidth=1.0, linestyle=(0, (3, 2)), label="truth")
            plot_band_line(axes, x, after, color=theme.after, linewidth=1.4, label="after")
        axes.set_ylabel(observed.unit or "value")
        low, high = _limits(
            np.where(observed.axis.is_bad, np.nan, before), np.where(observed.axis.is_bad, np.nan, after)
        )
        axes.set_ylim(low, high)

    return draw(paint, f"{number} · {place.label} pixel, row {place.row + 1}, column {place.col + 1}")


def _limits(*lines: np.ndarray) -> tuple[float, float]:
    """The range of the lines and a margin."""
    joined = np.concatenate(lines)
    finite = joined[np.isfinite(joined)]
    if not finite.size:
        return 0.0, 1.0
    low, high = float(finite.min()), float(finite.max())
    margin = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
    return low - margin, high + margin


def noise_chart(result: Result, findings: Findings) -> Chart:
    """Grain per band before and after, and the noise that was there."""
    lines = [
        np.where(findings.worked, line, np.nan)
        for line in (findings.grain_before, findings.grain_after, findings.noise)
    ]

    def paint(axes: Axes, theme: Theme) -> None:
        with band_axis(axes, result.observed.axis, theme) as x:
            plot_band_line(axes, x, lines[0], color=theme.before, linewidth=1.3, label="grain before")
            plot_band_line(axes, x, lines[1], color=theme.after, linewidth=1.3, label="grain after")
            plot_band_line(axes, x, lines[2], label="noise estimate", **_dotted(theme))
        _log_if_positive(axes, *lines)
        axes.set_ylabel(f"standard deviation{_unit(result)}")

    return draw(paint, "Finest detail per band. What stays after is the scene's own texture and any noise left.")


def removed_chart(result: Result, findings: Findings) -> Chart:
    """What was removed per band beside the noise that was there to remove."""
    removed, noise = (np.where(findings.worked, line, np.nan) for line in (findings.removed_std, findings.noise))

    def paint(axes: Axes, theme: Theme) -> None:
        with band_axis(axes, result.observed.axis, theme) as x:
            plot_band_line(axes, x, noise, label="noise estimate", **_dotted(theme))
            plot_band_line(axes, x, removed, color=theme.removed, linewidth=1.3, label="removed")
        _log_if_positive(axes, removed, noise)
        axes.set_ylabel(f"standard deviation{_unit(result)}")

    return draw(
        paint, "Removed per band. Far above the noise estimate lie stripes, outliers, or signal: look at the map."
    )


def structure_chart(result: Result, findings: Findings) -> Chart:
    """How much of a picture the removed part is, per band."""

    def paint(axes: Axes, theme: Theme) -> None:
        structure = np.where(findings.worked, findings.structure, np.nan)
        with band_axis(axes, result.observed.axis, theme) as x:
            axes.axhline(0, color=theme.ink, linewidth=0.8)
            plot_band_line(axes, x, structure, color=theme.removed, linewidth=1.3)
        axes.set_ylim(-0.4, 1.02)
        axes.set_ylabel("neighbour correlation")

    return draw(paint, "Structure in the removed part: 0 is pure grain, 1 a picture or a stripe.")


def histogram_chart(findings: Findings) -> Chart:
    """Distribution of what was removed, in units of each band's noise, beside the normal curve."""
    removed = findings.spectra.removed[findings.worked]
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = removed / findings.before.std[findings.worked][:, None]
    relative = relative[np.isfinite(relative) & (relative != 0)]

    def paint(axes: Axes, theme: Theme) -> None:
        edges = np.linspace(-6, 6, 97)
        if relative.size:
            counts, _ = np.histogram(np.clip(relative, -5.999, 5.999), edges)
            density = counts / (relative.size * (edges[1] - edges[0]))
            axes.stairs(np.maximum(density, 1e-6), edges, fill=True, color=theme.removed, alpha=0.75, label="removed")
        centres = (edges[1:] + edges[:-1]) / 2
        axes.plot(centres, np.exp(-(centres**2) / 2) / np.sqrt(2 * np.pi), color=theme.ink, linewidth=1.0,
                  label="normal noise")  # fmt: skip
        plain_log_axis(axes, 1e-5, 3)
        axes.set_xlim(-6, 6)
        axes.set_xlabel("removed / noise estimate of its band")
        axes.set_ylabel("density")

    return draw(paint, "Changed samples in units of the noise; the outermost bars hold all beyond six.")


def _dotted(theme: Theme) -> dict[str, Any]:
    return {"color": theme.ink, "linewidth": 0.9, "linestyle": (0, (1, 1.5))}


def _unit(result: Result) -> str:
    return f" ({result.observed.unit})" if result.observed.unit else ""


def _log_if_positive(axes: Axes, *lines: np.ndarray) -> None:
    values = np.concatenate(lines)
    values = values[np.isfinite(values) & (values > 0)]
    if values.size:
        # A noise-free band would stretch the axis over decades that say nothing.
        low, high = max(values.min() * 0.7, values.max() * 1e-5), values.max() * 1.6
        plain_log_axis(axes, low, high)


def plain_log_axis(axes: Axes, low: float, high: float) -> None:
    """A logarithmic vertical axis labelled 0.01, 0.1, 1 rather than with powers; within two decades 2 and 5 as well."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_yscale("log")
    axes.set_ylim(low, high)
    axes.yaxis.set_major_locator(LogLocator(10, subs=(1.0, 2.0, 5.0) if high < 100 * low else (1.0,)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())

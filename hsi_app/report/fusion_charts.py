"""Charts of a fusion: spectra of both cubes, what the broad bands see, how a fit went."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from hsi_app.fusion.placement import Placement
from hsi_app.report.abundance_pictures import COLOURS
from hsi_app.report.charts import Chart, Theme, band_axis, draw, plot_band_line
from hsi_app.report.sampling import thumbnail

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from hsi_app.fusion.result import Fusion

# Ranks by brightness of the pixels whose spectra are shown.
_RANKS = {"dark": 0.05, "darker": 0.35, "brighter": 0.65, "bright": 0.95}


def spectra_charts(result: Fusion) -> list[Chart]:
    """Spectra of four sharp pixels, from dark to bright, and of the coarse pixel that each lies in where known."""
    good = ~result.cube.axis.is_bad
    seen = thumbnail(result.cube, [int(np.flatnonzero(good)[good.sum() // 2])], side_px=256)
    image = seen.values[0]
    order = np.argsort(np.where(np.isfinite(image), image, np.inf).reshape(-1))[: int(np.isfinite(image).sum())]
    charts: list[Chart] = []
    for name, rank in _RANKS.items() if order.size else ():
        place = np.unravel_index(order[int(rank * (order.size - 1))], image.shape)
        row, col = (int(index) * seen.step for index in place)
        charts.append(_spectrum_chart(result, name, row, col, good))
    return charts


def _spectrum_chart(result: Fusion, name: str, row: int, col: int, good: np.ndarray) -> Chart:
    sharp = np.where(good, result.cube.spectrum(row, col), np.nan)
    coarse = _coarse_spectrum(result, row, col)

    def paint(axes: Axes, theme: Theme) -> None:
        with band_axis(axes, result.cube.axis, theme) as x:
            if coarse is not None:
                line = np.where(good, coarse, np.nan)
                plot_band_line(axes, x, line, color=theme.before, linewidth=1.0, label="coarse pixel around it")
            plot_band_line(axes, x, sharp, color=theme.after, linewidth=1.4, label="fused")
        axes.set_ylabel(result.cube.unit or "value")

    return draw(paint, f"A {name} pixel, row {row + 1}, column {col + 1}")


def _coarse_spectrum(result: Fusion, row: int, col: int) -> np.ndarray | None:
    """Of the hyperspectral pixel in which a sharp one lies; None where that is not known or it lies in none."""
    matrix = result.record["pair"]["registration"]["matrix"]
    if matrix is None:
        return None
    down, across = np.round(Placement(tuple(matrix)).points(np.array([[row, col]], float))[0]).astype(int)
    _, height, width = result.hsi.shape
    return result.hsi.spectrum(int(down), int(across)) if 0 <= down < height and 0 <= across < width else None


def response_chart(result: Fusion) -> Chart:
    """What each multispectral band sees of the bands that were worked on, each at its largest as one."""
    response = result.response
    axis = result.hsi.axis
    axis = axis if response.matrix.shape[1] == axis.count else axis.select(axis.good)

    def paint(axes: Axes, theme: Theme) -> None:
        with band_axis(axes, axis, theme) as x:
            for k, line in enumerate(response.matrix):
                label = response.names[k] if len(response.names) <= 8 else None
                plot_band_line(axes, x, line / line.max(), color=COLOURS[k % len(COLOURS)], linewidth=1.3, label=label)
        axes.set_ylabel("relative response")

    return draw(paint, f"Spectral response: {response.origin}")


def loss_chart(trace: Mapping[str, Any]) -> Chart | None:
    """The loss of a fit, mean of each 250 steps; None for methods without one."""
    rows = np.asarray(trace.get("losses", ()), float)
    if rows.ndim != 2 or len(rows) < 2:
        return None

    def paint(axes: Axes, theme: Theme) -> None:
        axes.plot(rows[:, 0], rows[:, 1], color=theme.after, linewidth=1.4)
        axes.set_xlabel("step")
        axes.set_ylabel("loss")

    return draw(paint, "Loss of the fit, mean of 250 steps each")

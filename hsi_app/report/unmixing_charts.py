"""Charts of an unmixing: endmembers, channels, eigenvalues, progress."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from hsi_app.bands import BandAxis
from hsi_app.report.abundance_pictures import COLOURS
from hsi_app.report.charts import Chart, Theme, band_axis, draw, plot_band_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from hsi_app.unmixing.result import Unmixing

# Legends of more lines would hide the lines.
_MOST_NAMED = 8


def endmember_chart(result: Unmixing, shown: Sequence[int]) -> Chart:
    """Spectra of the materials at the brightness they have in the scene."""
    return _spectra(result, shown, result.endmembers.spectra, "Endmembers at their brightness in the scene")


def shape_chart(result: Unmixing, shown: Sequence[int]) -> Chart:
    """The same spectra, each divided by its norm: what the angle between them sees."""
    spectra = result.endmembers.spectra
    norm = np.sqrt(np.nansum(spectra**2, axis=0))
    return _spectra(result, shown, spectra / np.where(norm > 0, norm, 1.0), "Their shapes: each over its norm")


def _spectra(result: Unmixing, shown: Sequence[int], spectra: np.ndarray, caption: str) -> Chart:
    library = result.endmembers
    axis = BandAxis(library.bands, library.centres_nm)
    # What was screened out is known from the fit alone, and would only draw spikes.
    worked = ~np.isnan(result.channels.weight)
    spectra = np.where(result.channels.kept[worked][:, None], spectra, np.nan)

    def paint(axes: Axes, theme: Theme) -> None:
        with band_axis(axes, axis, theme) as x:
            for place, k in enumerate(shown):
                label = library.names[k] if len(shown) <= _MOST_NAMED else None
                plot_band_line(axes, x, spectra[:, k], color=COLOURS[place], linewidth=1.3, label=label)

    return draw(paint, caption, height_in=3.0)


def channel_chart(result: Unmixing) -> Chart:
    """How well each channel goes with its neighbours, and how much it counts in the fit."""
    axis, channels = result.observed.axis, result.channels
    dropped = channels.live & ~channels.kept

    def paint(axes: Axes, theme: Theme) -> None:
        with band_axis(axes, axis, theme) as x:
            plot_band_line(axes, x, channels.agreement, color=theme.before, label="agreement with neighbours")
            plot_band_line(axes, x, channels.weight, color=theme.after, label="weight in the fit")
            if dropped.any():
                axes.plot(
                    x[dropped], channels.agreement[dropped], "x", color=theme.removed, markersize=5,
                    label="screened out",
                )  # fmt: skip
        axes.set_ylim(-0.03, 1.05)

    return draw(paint, "Channels: agreement with the neighbours, and weight in the fit (largest 1)")


def count_chart(result: Unmixing) -> Chart | None:
    """Eigenvalues, the noise beneath them, and the number of materials."""
    trace = result.record["trace"]
    if "power" not in trace:
        return None
    power, noise = np.asarray(trace["power"]), np.asarray(trace["noise"])
    _, hysime, gap = trace["count"]
    count = len(result.names)
    most = int(min(len(power), max(2 * count, hysime + 5, 15), 60))
    x = np.arange(1, most + 1)

    def paint(axes: Axes, theme: Theme) -> None:
        axes.plot(x, power[:most], color=theme.after, marker="o", markersize=3, label="power of the component")
        axes.plot(x, 2 * noise[:most], color=theme.before, label="twice its noise (HySime)")
        axes.set_yscale("log")
        top = float(power[0])
        low = max(float(min(power[:most].min(), noise[:most].min())), 1e-14 * top)
        axes.set_ylim(low / 2, top * 2)
        axes.axvline(count, color=theme.removed, linewidth=1.2, label=f"materials used: {count}")
        axes.set_xlabel("component")

    caption = f"HySime counts {hysime} dimensions; the power falls to a third, for the last time, after {gap}"
    return draw(paint, caption)


def progress_chart(result: Unmixing) -> Chart | None:
    """The objective of a factorisation, or the residuals of the starts."""
    trace = result.record["trace"]
    if "objective" in trace:
        values = np.asarray(trace["objective"])

        def paint(axes: Axes, theme: Theme) -> None:
            axes.plot(np.arange(1, values.size + 1), values, color=theme.after)
            axes.set_xlabel("iteration")

        return draw(paint, f"Objective of the factorisation; it ended with: {trace.get('stop', '')}")
    if "residuals" in trace:
        residuals = np.asarray(trace["residuals"])
        chosen = int(trace["chosen"])

        def paint_starts(axes: Axes, theme: Theme) -> None:
            order = np.argsort(residuals)
            axes.plot(np.arange(1, residuals.size + 1), residuals[order], "o", color=theme.before, markersize=4)
            place = int(np.flatnonzero(order == chosen)[0]) + 1
            axes.plot([place], [residuals[chosen]], "o", color=theme.removed, markersize=6, label="the one kept")
            axes.set_xlabel("start, best first")

        return draw(paint_starts, "Mean residual of each random start; within 5 % the least alike endmembers win")
    return None

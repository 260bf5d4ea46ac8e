"""Charts of the report without a reference."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hsi_app.bands import BandAxis
from hsi_app.report.charts import Chart, Theme, band_axis, draw, plot_band_line
from hsi_app.report.findings import STRIPED_FROM
from hsi_app.trust.ranking import NOISY_DB, NoiseRanking
from hsi_app.trust.structure import LEAST_SCENE, RemovedCheck

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def check_chart(check: RemovedCheck, axis: BandAxis) -> Chart:
    """Stripes, structure and likeness to the scene of what was removed, per band; bands that lost scene are marked."""
    lost = np.array(check.bands("scene structure"), int)

    def paint(axes: Axes, theme: Theme) -> None:
        with band_axis(axes, axis, theme) as x:
            for values, colour, label in (
                (check.stripes, theme.before, "stripes"),
                (check.structure, theme.after, "neighbours"),
                (check.scene, theme.removed, "scene"),
            ):
                shown = np.where(check.judged, values, np.nan)
                plot_band_line(axes, x, shown, color=colour, linewidth=1.3, label=label)
            axes.axhline(LEAST_SCENE, color=theme.ink, linewidth=0.8, linestyle=(0, (1, 1.5)))
            if lost.size:
                axes.plot(x[lost], np.full(lost.size, 1.06), "|", color=theme.removed, markersize=6, label="lost scene")
        axes.set_ylim(-0.35, 1.12)
        axes.set_ylabel("share, correlation")

    return draw(paint, "What was removed is grain where all three are near 0; the dotted line is the limit of 'scene'.")


def snr_chart(ranking: NoiseRanking, axis: BandAxis) -> Chart:
    """Signal to noise per band, before and after."""

    def paint(axes: Axes, theme: Theme) -> None:
        with band_axis(axes, axis, theme) as x:
            before, after = (np.where(ranking.judged, v, np.nan) for v in (ranking.snr_before, ranking.snr_after))
            plot_band_line(axes, x, before, color=theme.before, linewidth=1.3, label="before")
            if ranking.is_pair:
                plot_band_line(axes, x, after, color=theme.after, linewidth=1.3, label="after, at least")
            axes.axhline(NOISY_DB, color=theme.ink, linewidth=0.8, linestyle=(0, (1, 1.5)))
        axes.set_ylabel("signal to noise (dB)")

    return draw(paint, f"Signal to noise per band. Below the dotted line ({NOISY_DB:.0f} dB) noise shows in pictures.")


def stripe_chart(ranking: NoiseRanking, axis: BandAxis) -> Chart:
    """Stripe strength per band, before and after."""

    def paint(axes: Axes, theme: Theme) -> None:
        with band_axis(axes, axis, theme) as x:
            before, after = (np.where(ranking.judged & np.isfinite(v), v, np.nan)
                             for v in (ranking.stripes_before, ranking.stripes_after))  # fmt: skip
            plot_band_line(axes, x, before, color=theme.before, linewidth=1.3, label="before")
            if ranking.is_pair:
                plot_band_line(axes, x, after, color=theme.after, linewidth=1.3, label="after")
            axes.axhline(STRIPED_FROM, color=theme.ink, linewidth=0.8, linestyle=(0, (1, 1.5)))
        axes.set_ylabel("stripe strength")
        axes.set_ylim(bottom=0)

    return draw(paint, f"Stripes, the stronger of rows and columns: 1 is none, {STRIPED_FROM:g} and more is seen.")

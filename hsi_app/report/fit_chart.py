"""Charts of a method that is fitted step by step: how it went, and why it stopped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from hsi_app.report.charts import Chart, Theme, draw

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# What the trace of such a method holds beside plain facts; see ``hsi_app.methods.dds2m.run``.
CURVE = "curve"


def fit_charts(trace: Mapping[str, Any]) -> tuple[Chart, ...]:
    """The error of samples that the fit never saw, and the variance of what it leaves of the noise; or nothing."""
    rows = np.asarray(trace.get(CURVE, ()), float)
    if rows.ndim != 2 or len(rows) < 2:
        return ()
    update, error, variance = rows[:, 0], rows[:, 1], rows[:, 4]
    kept = int(trace["kept_update"])

    def paint_error(axes: Axes, theme: Theme) -> None:
        axes.plot(update, error, color=theme.after, linewidth=1.4, label="held-out samples")
        axes.axvline(kept, color=theme.removed, linewidth=1.0, linestyle=(0, (3, 2)), label=f"kept: update {kept}")
        axes.set_xlabel("update")
        axes.set_ylabel("mean square error / noise")
        if error.max() > 20 * max(error.min(), 1e-12):
            axes.set_yscale("log")

    def paint_variance(axes: Axes, theme: Theme) -> None:
        later = update > 0
        axes.plot(update[later], variance[later], color=theme.after, linewidth=1.4)
        axes.axhline(1.0, color=theme.before, linewidth=1.0, linestyle=(0, (3, 2)))
        axes.set_xlabel("update")
        axes.set_ylabel("variance of the residual")
        axes.set_ylim(0, min(max(2.0, float(np.quantile(variance[later], 0.9)) * 1.2), 10.0))

    return (
        draw(paint_error, f"Error of samples that the fit never saw; {trace['stopped']}"),
        draw(
            paint_variance, "What the fit leaves of the chain's noise: 1 is noise alone, more is signal not yet learned"
        ),
    )

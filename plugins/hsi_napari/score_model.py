"""Figures of a restoration against a scene that is known to be true; knows no window."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from hsi_app.cube import Cube
from hsi_app.jobs import Job
from hsi_app.metrics import score
from hsi_app.tiling import Window
from hsi_napari.planes import PlaneArray

if TYPE_CHECKING:
    from hsi_app.runner import Result


@dataclass(frozen=True)
class Figure:
    """One figure of quality: its key, name and unit, decimals, and whether more is better."""

    key: str
    name: str
    unit: str
    decimals: int
    is_more_better: bool

    def text(self, value: float) -> str:
        """'34.12' or '–' where it could not be measured."""
        if not np.isfinite(value):
            return "–"
        return f"{value:.{self.decimals}f}" if self.decimals else f"{value:.3g}"


FIGURES = (
    Figure("psnr", "PSNR", "dB", 2, True),
    Figure("ssim", "SSIM", "", 4, True),
    Figure("sam", "SAM", "°", 2, False),
    Figure("ergas", "ERGAS", "", 2, False),
    Figure("rmse", "RMSE", "", 0, False),
)


@dataclass(frozen=True)
class Score:
    """Figures before and after by key, and the unit of the RMSE."""

    before: Mapping[str, float]
    after: Mapping[str, float]
    unit: str

    def is_better(self, figure: Figure) -> bool | None:
        """Whether the restoration came nearer to the truth; None where nobody can say."""
        before, after = self.before[figure.key], self.after[figure.key]
        if not (np.isfinite(before) and np.isfinite(after)) or before == after:
            return None
        return (after > before) is figure.is_more_better


def compare(result: Result, reference: Cube, job: Job) -> Score:
    """Compare the observed and the restored cube with a reference, which is used for nothing else.

    Bands that the observed cube marks bad do not count: they were passed through. Where the reference counts in other
    units than the result, both are compared in physical ones.

    Raises
    ------
    CubeError
        If the shapes differ or no sample is valid in both.
    Cancelled
        If the job was asked to stop.
    """
    observed = result.observed
    is_alike = np.all(reference.gain == result.cube.gain) and np.all(reference.offset == result.cube.offset)
    judged = replace(reference, bands=observed.axis) if reference.shape == result.cube.shape else reference
    found = []
    for part, cube in ((job.part(0.0, 0.5), observed), (job.part(0.5, 0.5), result.cube)):
        # Each is read twice: for the figures of each band, and for the angles.
        truth = _watched(judged, part, not is_alike)
        figures = score(_watched(cube, Job(), not is_alike), truth, scale=result.scale)
        found.append({figure.key: float(figures[figure.key]) for figure in FIGURES})
    job.step(1.0, "done")
    return Score(found[0], found[1], observed.unit if not is_alike or _is_plain(observed) else "stored units")


def _is_plain(cube: Cube) -> bool:
    return bool(np.all(np.asarray(cube.gain) == 1) and np.all(np.asarray(cube.offset) == 0))


def _watched(cube: Cube, job: Job, in_physical: bool) -> Cube:
    """The cube as float32, NaN where missing, whose every block is a step of the job."""
    samples = int(np.prod(cube.shape, dtype=np.int64))
    done = 0

    def column(of: Any, bands: slice) -> Any:
        values = np.asarray(of, dtype=np.float64)
        return values[bands].reshape(-1, 1, 1) if values.ndim else values

    def read(bands: slice, rows: slice, cols: slice) -> np.ndarray:
        nonlocal done
        window = Window(rows.start, cols.start, rows.stop - rows.start, cols.stop - cols.start)
        values, valid = cube.block(window, bands)
        done += values.size
        job.step(min(done / (2 * samples), 1.0), "comparing")
        if in_physical:
            values = values * column(cube.gain, bands) + column(cube.offset, bands)
        return np.where(valid, values, np.nan).astype(np.float32)

    source: Any = PlaneArray(cube.shape, np.dtype(np.float32), read)
    return Cube(source, bands=cube.axis, name=cube.name, unit=cube.unit)

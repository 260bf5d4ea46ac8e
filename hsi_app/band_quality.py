"""How good each band of a cube is, measured on a sample: noise, stripes, stuck values, gaps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hsi_app.cube import Cube
from hsi_app.errors import CubeError
from hsi_app.jobs import Job
from hsi_app.noise import NoiseReport, measure_noise

# Shares of a band's samples from which on they are worth a flag.
STUCK_SHARE, MISSING_SHARE = 0.01, 0.05
_LEAST_PX = 8


@dataclass(frozen=True, eq=False)
class BandQuality:
    """What was measured of each band.

    noise : levels on a central window; see NoiseReport
    is_striped : (B,) bool
    """

    noise: NoiseReport
    is_striped: np.ndarray

    @property
    def snr_db(self) -> np.ndarray:
        """(B,) signal-to-noise ratio, NaN where it could not be measured."""
        return self.noise.snr_db

    @property
    def stripes(self) -> np.ndarray:
        """(B,) strength of stripes along rows or columns, whichever is larger; 1 = none."""
        return np.fmax(self.noise.stripe_rows, self.noise.stripe_cols)

    def flags(self, band: int) -> list[str]:
        """'striped', '3 % stuck', '12 % missing', 'not measured': what is wrong with a band."""
        found = ["striped"] if self.is_striped[band] else []
        for share, least, word in (
            (self.noise.stuck_share[band], STUCK_SHARE, "stuck"),
            (self.noise.missing_share[band], MISSING_SHARE, "missing"),
        ):
            if share >= least:
                found.append(f"{share:.0%} {word}")
        return found if np.isfinite(self.snr_db[band]) else [*found, "not measured"]


def measure_bands(cube: Cube, job: Job | None = None) -> BandQuality:
    """Measure every band of a cube; a central window is read, and for stripes some bands of the whole.

    Raises
    ------
    CubeError
        If the image is too small.
    Cancelled
        If the job was asked to stop.
    """
    from hsi_app.diagnose import striped_bands

    job = job or Job()
    _, height, width = cube.shape
    if min(height, width) < _LEAST_PX:
        raise CubeError(
            f"'{cube.name}' is {height} x {width} px; noise and stripes need {_LEAST_PX} x {_LEAST_PX} or more."
        )
    noise = measure_noise(cube, job=job.part(0.0, 0.8))
    job.step(0.8, "looking for stripes")
    is_striped = np.zeros(cube.shape[0], bool)
    is_striped[list(striped_bands(cube, noise))] = True
    job.step(1.0, "measured")
    return BandQuality(noise, is_striped)

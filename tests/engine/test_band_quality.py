"""What is measured of each band."""

from __future__ import annotations

import numpy as np
import pytest

from hsi_app.band_quality import measure_bands
from hsi_app.bands import BandAxis
from hsi_app.cube import Cube
from hsi_app.errors import Cancelled, CubeError
from hsi_app.jobs import Job, Progress

NOISY, STRIPED, STUCK = 3, 6, 9


@pytest.fixture(scope="module")
def scene() -> Cube:
    """20 bands, 64 x 64 px, of three smooth maps with noise of 40 dB; one band noisier, one striped, one part stuck."""
    rng = np.random.default_rng(8)
    y, x = np.mgrid[0:64, 0:64] / 10
    maps = np.stack([np.sin(y) + 2, np.cos(x + y) + 2, np.sin(x) + 2])
    clean = np.tensordot(rng.uniform(0.5, 1.5, (20, 3)), maps, 1) * 100
    values = clean + rng.normal(size=clean.shape) * clean.mean() / 100
    values[NOISY] += rng.normal(size=(64, 64)) * clean.mean() / 5
    values[STRIPED] += rng.normal(size=64) * 60
    values[STUCK].flat[rng.choice(64 * 64, 100, replace=False)] = values[STUCK].mean()
    return Cube(values.astype(np.float32))


def test_the_signal_to_noise_ratio_is_that_of_the_noise_that_was_added(scene: Cube) -> None:
    quality = measure_bands(scene)
    assert quality.snr_db[0] == pytest.approx(40, abs=2.5)
    assert quality.snr_db[NOISY] == pytest.approx(14, abs=2.5)
    assert int(np.argmin(quality.snr_db)) in (NOISY, STRIPED, STUCK)


def test_faults_are_flagged_in_their_bands_and_nowhere_else(scene: Cube) -> None:
    quality = measure_bands(scene)
    assert quality.flags(STRIPED) == ["striped"]
    assert "2% stuck" in quality.flags(STUCK)
    assert [b for b in range(20) if quality.flags(b)] == [STRIPED, STUCK]
    assert quality.stripes[STRIPED] == max(quality.stripes)


def test_a_band_without_samples_is_said_not_to_be_measured(scene: Cube) -> None:
    values = np.asarray(scene.values).copy()
    values[5] = np.nan
    quality = measure_bands(scene.replace(values, "one band lost"))
    assert quality.flags(5) == ["100% missing", "not measured"]


def test_bad_bands_are_measured_too(scene: Cube) -> None:
    marked = Cube(scene.values, BandAxis(20, bad=np.arange(20) == NOISY))
    assert measure_bands(marked).snr_db[NOISY] == pytest.approx(measure_bands(scene).snr_db[NOISY])


def test_an_image_of_few_pixels_is_refused() -> None:
    with pytest.raises(CubeError, match="8 x 8"):
        measure_bands(Cube(np.ones((3, 7, 20), np.float32), name="strip"))


def test_measuring_tells_how_far_it_is_and_stops_when_asked(scene: Cube) -> None:
    told: list[Progress] = []
    measure_bands(scene, Job(on_progress=told.append))
    fractions = [progress.fraction for progress in told]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    assert len(told) > 20

    seen: list[float] = []

    def stop_at_a_third(progress: Progress) -> None:
        seen.append(progress.fraction)
        if progress.fraction > 0.3:
            job.cancel()

    job = Job(on_progress=stop_at_a_third)
    with pytest.raises(Cancelled):
        measure_bands(scene, job)
    assert max(seen) < 0.5

"""What a cube is, in words and plain values."""

from __future__ import annotations

import numpy as np
import pytest

from hsi_app.bands import BandAxis
from hsi_app.cube import Cube
from hsi_app.errors import Cancelled
from hsi_app.georef import GeoRef
from hsi_app.jobs import Job
from hsi_app.overview import Gaps, count_missing, describe, text_lines


@pytest.fixture
def cube() -> Cube:
    """4 bands, 10 x 20 px, a tenth missing."""
    values = np.full((4, 10, 20), 5, np.int16)
    values[:, 0] = -1
    return Cube(
        values, BandAxis(4, [400, 500, 600, 700], [10, 10, 12, 12], [0, 1, 1, 0]), nodata=-1.0, gain=0.1,
        unit="reflectance", georef=GeoRef((2, 0, 100, 0, -2, 200), "EPSG:32633"), source="a.hdr",
    )  # fmt: skip


def lines(cube: Cube, gaps: Gaps | None = None) -> dict[str, str]:
    return dict(text_lines(cube, describe(cube, None, [], gaps)))


def test_every_fact_is_told(cube: Cube) -> None:
    assert lines(cube) == {
        "file": "a.hdr",
        "size": "4 bands x 10 rows x 20 columns, int16, 1.6 KiB",
        "wavelengths": "400.0 - 700.0 nm, width 10.0 - 12.0 nm",
        "bad bands": "2: 2-3",
        "map frame": "EPSG:32633, pixel 2 x 2, origin (100, 200)",
        "scale": "reflectance = 0.1 x stored + 0",
        "missing": "10.00% of the samples, nodata -1",
    }


def test_what_is_unknown_is_said_to_be_unknown() -> None:
    told = lines(Cube(np.ones((2, 3, 4))))
    assert (told["wavelengths"], told["bad bands"], told["map frame"]) == ("unknown", "none marked", "none")
    assert told["scale"] == "units unknown"


def test_gaps_that_were_counted_are_not_counted_again(cube: Cube) -> None:
    assert lines(cube, Gaps(0.25, False))["missing"].startswith("about 25.00%")


def test_a_large_cube_is_sampled_and_the_count_can_be_stopped(cube: Cube, monkeypatch: pytest.MonkeyPatch) -> None:
    assert count_missing(cube) == Gaps(pytest.approx(0.1), True)
    monkeypatch.setattr("hsi_app.overview._COUNT_ALL_BYTES", 0)
    assert count_missing(cube) == Gaps(pytest.approx(0.1), False)
    job = Job()
    job.cancel()
    with pytest.raises(Cancelled):
        count_missing(cube, job)

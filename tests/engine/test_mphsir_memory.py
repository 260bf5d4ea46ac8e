"""MP-HSIR takes memory for its arrays and a tile, not for the size of the scene."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

BANDS, GIB = 32, 2**30
PROGRAM = """
import sys
import numpy as np
from hsi_app.bands import BandAxis
from hsi_app.cube import Cube
from hsi_app.device import peak_memory
from hsi_app.io import save_cube
from hsi_app.runner import Settings, restore

bands, side, folder = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
rng = np.random.default_rng(0)
ramps = rng.random((4, side, 1), np.float32) + rng.random((4, 1, side), np.float32)
values = np.tensordot(rng.random((bands, 4), np.float32), ramps, 1) + rng.normal(0, 0.05, (bands, side, side))
cube = Cube(values.astype(np.float32), BandAxis(bands))
restore(cube, "mphsir", {}, Settings(task="denoise", device="cpu", memory=3 * 2**29), out=folder + "/out.hdr")
print(peak_memory())
"""


def peak(side: int, folder: str) -> int:
    command = [sys.executable, "-c", PROGRAM, str(BANDS), str(side), folder]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def test_memory_grows_by_the_arrays_alone(tmp_path_factory: pytest.TempPathFactory) -> None:
    small, large = (peak(side, str(tmp_path_factory.mktemp("out"))) for side in (192, 512))
    arrays = 4 * BANDS * 512**2
    # Observed values, what they were made of in double precision, and what is being written.
    assert large < 2 * arrays + 1.5 * GIB
    assert large - small < 6 * arrays + 0.5 * GIB

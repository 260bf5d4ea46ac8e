"""What a restoration took away, as a cube in a file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hsi_app.runner import Result
from hsi_app.tiling import strips

# About 32 MiB of float32 at a time.
_STRIP_SAMPLES = 2**23


def write_removed(result: Result, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write observed - restored, strip by strip: float32 in stored units, NaN where either is missing.

    Raises OutputError or PlanError as ``io.create_cube`` does.
    """
    from hsi_app.io import create_cube

    bands, height, width = result.observed.shape
    # A difference has no offset, and 0 is its most common honest value, so nodata goes too.
    like = replace(result.cube, nodata=None, offset=0.0, valid=None, name=f"{result.observed.name} removed")
    with create_cube(path, like, dtype="float32", overwrite=overwrite) as writer:
        for window in strips((height, width), max(_STRIP_SAMPLES // (bands * width), 1)):
            writer.write(window, result.removed(window))
    return Path(path)

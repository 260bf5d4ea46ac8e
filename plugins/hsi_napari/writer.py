"""napari writer: an image layer, with every fact in its metadata, as ENVI, GeoTIFF or Zarr."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hsi_app.cube import Cube
from hsi_napari.facts import cube_from


def write_cube(path: str, data: Any, attributes: Mapping[str, Any]) -> list[str]:
    """Write one image layer; the format follows from the extension.

    Parameters
    ----------
    path : where to; napari's dialog has asked about an existing file
    data : (B, H, W), (H, W), or a colour picture (H, W, 3 or 4), which is stored as three or four bands
    attributes : of the layer: 'name', 'metadata', 'rgb'

    Returns
    -------
    The path that was written.

    Raises
    ------
    CubeError
        If the layer is no image of at most three axes.
    OutputError
        If the file cannot be written.
    """
    from hsi_app.io import save_cube

    name, metadata = str(attributes.get("name", "cube")), dict(attributes.get("metadata") or {})
    if attributes.get("rgb"):
        cube = Cube(np.ascontiguousarray(np.moveaxis(np.asarray(data), -1, 0)), name=name)
    else:
        cube = cube_from(data, metadata, name)
    return [str(save_cube(cube, Path(path), overwrite=True))]

"""Painted regions as files that the engine reads."""

from __future__ import annotations

import re
import tempfile
import weakref
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hsi_app.cube import Cube
from hsi_app.errors import CubeError
from hsi_napari.masks import may_mask

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Labels, Layer


def region_layers(viewer: ViewerModel, cube_layer: Layer) -> list[Labels]:
    """The Labels layers of a cube's size, with or without bands, topmost first."""
    from napari.layers import Labels

    shape = tuple(cube_layer.data.shape)
    return [layer for layer in reversed(viewer.layers) if isinstance(layer, Labels) and may_mask(layer, shape)]


class RegionFiles:
    """Label images written from Labels layers, in a folder that goes with this object."""

    def __init__(self) -> None:
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._layers: dict[str, weakref.ref[Layer]] = {}

    def write(self, layer: Layer, cube: Cube) -> str:
        """Write a layer as an image of one band in the cube's map frame; the same layer goes to the same file.

        A layer with bands counts wherever it was painted: the largest label of a pixel.

        Raises
        ------
        CubeError
            If the layer has another size than the cube.
        """
        from hsi_app.io import save_cube

        if not may_mask(layer, cube.shape):
            raise CubeError(
                f"labels '{layer.name}' have shape {tuple(layer.data.shape)}, the cube {cube.shape};"
                " paint a layer of the cube's size."
            )
        labels = np.asarray(layer.data)
        labels = labels.max(axis=0) if labels.ndim == 3 else labels
        path = next((known for known, held in self._layers.items() if held() is layer), None) or self._new(layer.name)
        image = Cube(labels[None].astype(np.int32), georef=cube.georef, name=layer.name)
        save_cube(image, path, overwrite=True)
        self._layers[path] = weakref.ref(layer)
        return path

    def refresh(self, path: str, cube: Cube) -> None:
        """Write the file again if it is one of these: the person may have gone on painting. Raises CubeError."""
        held = self._layers.get(path)
        layer = None if held is None else held()
        if layer is not None:
            self.write(layer, cube)

    def close(self) -> None:
        """Remove the files."""
        folder, self._folder = self._folder, None
        self._layers.clear()
        if folder is not None:
            folder.cleanup()

    def _new(self, name: str) -> str:
        self._folder = self._folder or tempfile.TemporaryDirectory(prefix="hsi-regions-")
        stem = re.sub(r"[^\w-]+", "_", name) or "regions"
        return str(Path(self._folder.name) / f"{stem}_{len(self._layers) + 1}.hdr")

"""Cubes, layers and states that the tests of comparisons share."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hsi_napari.compare_frame import Place
from hsi_napari.layers import cube_to_layer
from hsi_napari.viewer_parts import camera, grid_of
from napari.components import ViewerModel
from napari.layers import Image, Layer

from hsi_app.cube import Cube

gui = pytest.mark.usefixtures("toolkit")
LONG_MS = 30_000


def place(step: float = 1.0, start: tuple[float, float] = (0.0, 0.0), shape: tuple[int, int] = (12, 10)) -> Place:
    return Place(np.eye(2) * step, np.asarray(start, dtype=float), shape)


def cube(seed: int = 0, shape: tuple[int, int, int] = (4, 12, 10), **facts: Any) -> Cube:
    return Cube(
        np.random.default_rng(seed).uniform(0, 1, shape).astype(np.float32), **{"name": f"cube {seed}", **facts}
    )


def add(viewer: ViewerModel, of: Cube, **options: Any) -> Image:
    data, usual, kind = cube_to_layer(of)
    layer = viewer.add_layer(Layer.create(data, {**usual, **options}, kind))
    assert isinstance(layer, Image)
    return layer


def state(viewer: ViewerModel) -> dict[str, Any]:
    grid = grid_of(viewer)
    return {
        "layers": [(layer.name, layer.visible, layer.name_overlay.visible) for layer in viewer.layers],
        "contrast": [tuple(layer.contrast_limits) for layer in viewer.layers if isinstance(layer, Image)],
        "selection": {layer.name for layer in viewer.layers.selection},
        "grid": (grid.enabled, grid.stride, grid.shape, grid.spacing),
        "view": (tuple(camera(viewer).center), camera(viewer).zoom),
        "band": viewer.dims.current_step[0],
    }


def visible(viewer: ViewerModel) -> list[str]:
    return [layer.name for layer in viewer.layers if layer.visible]


MODES = ["swipe", "blink", "side by side", "difference"]

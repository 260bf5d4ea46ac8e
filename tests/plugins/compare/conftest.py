"""Pairs of layers, and a comparison of them in a crowded viewer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hsi_napari.viewer_parts import camera, grid_of
from napari.components import ViewerModel
from napari.layers import Image

from tests.plugins.compare.comparisons import LONG_MS, add, cube


@pytest.fixture
def pair(viewer: ViewerModel) -> tuple[Image, Image]:
    """Two cubes of one grid, the first below the second."""
    return add(viewer, cube(0)), add(viewer, cube(1))


@pytest.fixture
def crowd(viewer: ViewerModel, pair: tuple[Image, Image]) -> ViewerModel:
    """A viewer with more than the pair, not all of it visible, and a grid of its own."""
    viewer.add_image(np.zeros((12, 10, 3), np.uint8), rgb=True, name="colour")
    viewer.add_image(np.zeros((12, 10)), name="hidden", visible=False)
    viewer.add_points([[3, 4]], name="pins")
    viewer.add_labels(np.zeros((12, 10), int), name="regions", visible=False)
    pair[1].visible = False
    viewer.layers.selection.active = pair[0]
    viewer.dims.set_current_step(0, 2)
    grid_of(viewer).stride = 3
    camera(viewer).zoom = 7.5
    return viewer


@pytest.fixture
def comparison(crowd: ViewerModel, pair: tuple[Image, Image], toolkit: Any) -> Any:
    from hsi_napari.compare_modes import Comparison
    from hsi_napari.links import Links

    links = Links()
    found = Comparison(crowd, links)
    found.pair(*pair)
    yield found
    links.cut()
    toolkit.waitUntil(lambda: found._work._worker is None, timeout=LONG_MS)


@pytest.fixture
def enter(comparison: Any, toolkit: Any) -> Callable[[str], None]:
    """Enter a mode and wait until it shows."""
    from hsi_napari.compare_modes import Mode

    def entered(mode: str) -> None:
        comparison.set_mode(Mode(mode))
        if mode in ("swipe", "difference"):
            toolkit.waitUntil(lambda: comparison.layers.image is not None, timeout=LONG_MS)

    return entered


@pytest.fixture
def dock(viewer: ViewerModel, toolkit: Any) -> Any:
    from hsi_napari.compare_dock import CompareDock

    dock = CompareDock(viewer)
    toolkit.addWidget(dock)
    yield dock
    dock.links.cut()
    toolkit.waitUntil(lambda: dock._worker is None and dock.comparison._work._worker is None, timeout=LONG_MS)

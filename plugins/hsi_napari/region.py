"""Which part of a cube a person means: a drawn rectangle, or what the window shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hsi_app.tiling import Window

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer, Shapes

REGION_LAYER = "preview region"
# A preview answers in seconds: at most this side, and no less than a denoiser's patches need.
LARGEST_PX, SMALLEST_PX = 128, 16


def region_of(viewer: ViewerModel, layer: Layer) -> tuple[Window, str]:
    """The region to preview, in pixels of ``layer``, and where it came from ('drawn region' or 'current view').

    A rectangle counts when its Shapes layer is selected, or is the one that ``region_layer`` made. Regions beyond
    ``LARGEST_PX`` are cut around their centre, tiny ones grow.
    """
    corners = _drawn(viewer)
    if corners is None:
        return _fitted(np.asarray(layer.corner_pixels)[:, -2:], layer), "current view"
    lead = (0.0,) * (layer.ndim - 2)
    pixels = np.array([layer.world_to_data((*lead, *yx))[-2:] for yx in corners])
    # A pixel's area reaches half a pixel around its centre.
    ends = np.stack([np.floor(pixels.min(0) + 0.5), np.ceil(pixels.max(0) - 0.5)])
    return _fitted(ends, layer), "drawn region"


def region_layer(viewer: ViewerModel) -> Shapes:
    """The layer for drawing the region, made when missing, ready to draw a rectangle."""
    for layer in _shapes(viewer):
        if layer.name == REGION_LAYER:
            break
    else:
        layer = viewer.add_shapes(
            name=REGION_LAYER, ndim=2, edge_color="#e8871e", face_color="transparent", edge_width=0.6
        )
    viewer.layers.selection.active = layer
    layer.visible = True
    layer.mode = "add_rectangle"
    return layer


def _shapes(viewer: ViewerModel) -> list[Shapes]:
    from napari.layers import Shapes

    return [layer for layer in viewer.layers if isinstance(layer, Shapes)]


def _drawn(viewer: ViewerModel) -> np.ndarray | None:
    """Corners of the wanted rectangle in world coordinates, (n, 2), or None."""
    shapes = [layer for layer in _shapes(viewer) if len(layer.data)]
    chosen = [layer for layer in shapes if layer in viewer.layers.selection]
    chosen = chosen or [layer for layer in shapes if layer.name == REGION_LAYER and layer.visible]
    if not chosen:
        return None
    layer = chosen[-1]
    picked = sorted(layer.selected_data)
    vertices = layer.data[picked[-1] if picked else -1]
    return np.array([np.asarray(layer.data_to_world(vertex))[-2:] for vertex in vertices])


def _fitted(ends: np.ndarray, layer: Layer) -> Window:
    """A window from first to last pixel, cut to the image and to the sizes a preview may have."""
    spans = []
    for first, last, length in zip(ends[0], ends[1], layer.data.shape[-2:], strict=True):
        first, last = max(int(first), 0), min(int(last), length - 1)
        size = min(max(last - first + 1, SMALLEST_PX), LARGEST_PX, length)
        start = min(max((first + last + 1 - size) // 2, 0), length - size)
        spans.append((start, size))
    (row, height), (col, width) = spans
    return Window(row, col, height, width)

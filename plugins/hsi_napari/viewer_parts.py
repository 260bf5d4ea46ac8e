"""The viewer behind napari's proxy, and parts that version 0.9 moved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari.components import ViewerModel


def real_viewer(viewer: ViewerModel) -> ViewerModel:
    """The viewer itself where napari hands a plugin a proxy.

    Layers seen through the proxy are proxies too, new ones at each look: they cannot be told apart by identity nor
    be held weakly.
    """
    return getattr(viewer, "__wrapped__", viewer)


def text_overlay(viewer: ViewerModel) -> Any:
    """The text drawn over the canvas; before napari 0.9 it belonged to the viewer itself."""
    canvas = getattr(viewer, "canvas", None)
    return viewer.text_overlay if canvas is None else canvas.overlays.text


def camera(viewer: ViewerModel) -> Any:
    """The camera of the canvas; before napari 0.9 it belonged to the viewer itself."""
    scene = getattr(viewer, "scene", None)
    return viewer.camera if scene is None else scene.camera


def grid_of(viewer: ViewerModel) -> Any:
    """The grid of the canvas; before napari 0.9 it belonged to the viewer itself."""
    canvas = getattr(viewer, "canvas", None)
    return viewer.grid if canvas is None else canvas.grid

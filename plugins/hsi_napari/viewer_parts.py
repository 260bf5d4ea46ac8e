"""Parts of napari's viewer that moved in version 0.9; earlier versions keep them on the viewer itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari.components import ViewerModel


def text_overlay(viewer: ViewerModel) -> Any:
    """The text drawn over the canvas."""
    canvas = getattr(viewer, "canvas", None)
    return viewer.text_overlay if canvas is None else canvas.overlays.text


def camera(viewer: ViewerModel) -> Any:
    """The camera of the canvas."""
    scene = getattr(viewer, "scene", None)
    return viewer.camera if scene is None else scene.camera

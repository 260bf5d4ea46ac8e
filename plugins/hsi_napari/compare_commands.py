"""What a key does for a comparison, with the Compare dock open or without."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hsi_napari import lineage

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer


def compare_toggle() -> None:
    """Show before instead of after, or the other way round, in the current viewer."""
    from napari import current_viewer

    viewer = current_viewer()
    if viewer is not None:
        toggle_in(viewer)


def toggle_in(viewer: ViewerModel) -> bool:
    """Flip what the Compare dock compares; without it, show or hide the newest restored cube of the chosen one.

    Returns
    -------
    False where there is nothing to compare.
    """
    from hsi_napari.compare_dock import CompareDock
    from hsi_napari.links import dock_of
    from hsi_napari.viewer_parts import real_viewer

    viewer = real_viewer(viewer)
    dock = dock_of(viewer, CompareDock)
    if dock is not None and dock.comparison.before is not None and dock.comparison.after is not None:
        dock.comparison.flip()
        return True
    layer = newest_restored(viewer)
    if layer is None:
        return False
    layer.visible = not layer.visible
    return True


def newest_restored(viewer: ViewerModel) -> Layer | None:
    """The layer last restored from the chosen one, or the chosen one if it is restored itself, or else any such."""
    layers = list(viewer.layers)
    active = viewer.layers.selection.active
    if active is not None:
        made = [layer for layer in lineage.restored_from(active) if layer in layers]
        if made:
            return made[-1]
        if lineage.source_of(active) in layers:
            return active
    return next((layer for layer in reversed(layers) if lineage.source_of(layer) in layers), None)

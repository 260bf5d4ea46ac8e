"""What the plugin adds to napari's Layers menu beside the docks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hsi_app.bands import INFRARED_NM, TRUE_COLOUR_NM
from hsi_app.errors import CubeError
from hsi_napari.layers import composite_layer, cube_of, is_cube
from hsi_napari.placing import placed

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer


def true_colour() -> None:
    """Add the natural-colour picture of the chosen cube."""
    _on_current_viewer(TRUE_COLOUR_NM, "colour")


def infrared() -> None:
    """Add the colour-infrared picture (vegetation red) of the chosen cube."""
    _on_current_viewer(INFRARED_NM, "infrared")


def add_composite(viewer: ViewerModel, layer: Layer, targets_nm: Sequence[float], kind: str) -> Layer:
    """Add a colour picture of a cube above it and give back its layer.

    Raises
    ------
    CubeError
        If the layer is no cube.
    """
    from napari.layers import Layer as AnyLayer

    data = placed(composite_layer(cube_of(layer), targets_nm, f"{layer.name} · {kind}"), layer)
    picture = viewer.add_layer(AnyLayer.create(*data))
    viewer.layers.selection.active = layer
    return picture


def chosen_cube(viewer: ViewerModel) -> Layer:
    """The selected cube layer, else the topmost one.

    Raises
    ------
    CubeError
        If there is none.
    """
    active = viewer.layers.selection.active
    if active is not None and is_cube(active):
        return active
    for layer in reversed(viewer.layers):
        if is_cube(layer):
            return layer
    raise CubeError("no hyperspectral cube is open; open one, or try File > Open Sample > Hyperspectral.")


def _on_current_viewer(targets_nm: Sequence[float], kind: str) -> None:
    from napari import current_viewer
    from napari.utils.notifications import show_warning

    viewer = current_viewer()
    if viewer is None:
        return
    try:
        add_composite(viewer, chosen_cube(viewer), targets_nm, kind)
    except CubeError as error:
        show_warning(str(error))

"""What the plugin adds to napari's Layers menu beside the docks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from hsi_app.bands import INFRARED_NM, TRUE_COLOUR_NM
from hsi_app.errors import CubeError
from hsi_app.jobs import Job
from hsi_napari.ground import ground_of
from hsi_napari.layers import composite_layer, cube_of, is_cube
from hsi_napari.placing import LayerData, placed

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer


def true_colour() -> None:
    """Add the natural-colour picture of the chosen cube."""
    _on_current_viewer(TRUE_COLOUR_NM, "colour")


def infrared() -> None:
    """Add the colour-infrared picture (vegetation red) of the chosen cube."""
    _on_current_viewer(INFRARED_NM, "infrared")


def painting(layer: Layer, targets_nm: Sequence[float], kind: str) -> Callable[[Job], LayerData]:
    """What a thread does to make a colour picture of a cube.

    Raises
    ------
    CubeError
        If the layer is no cube.
    """
    cube, ground, name = cube_of(layer), ground_of(layer), f"{layer.name} · {kind}"
    return lambda job: placed(composite_layer(cube, targets_nm, name, job), ground)


def add_picture(viewer: ViewerModel, layer: Layer, data: LayerData) -> Layer:
    """Add a picture of a cube on top and keep the cube chosen."""
    from napari.layers import Layer as AnyLayer

    picture = viewer.add_layer(AnyLayer.create(*data))
    viewer.layers.selection.active = layer
    return picture


def add_composite(viewer: ViewerModel, layer: Layer, targets_nm: Sequence[float], kind: str) -> Layer:
    """Make a colour picture of a cube here and now, add it and give back its layer. Raises CubeError."""
    return add_picture(viewer, layer, painting(layer, targets_nm, kind)(Job()))


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

    from hsi_napari.composite_adding import add_beside

    viewer = current_viewer()
    if viewer is None:
        return
    try:
        add_beside(viewer, chosen_cube(viewer), targets_nm, kind, show_warning)
    except CubeError as error:
        show_warning(str(error))

"""What the Trust dock reads from the viewer and leaves in it: pairs of cubes, targets, and maps. Needs no window."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from hsi_app.cube import Cube
from hsi_app.errors import CubeError
from hsi_app.trust.targets import Target
from hsi_napari.layers import cube_of, is_cube
from hsi_napari.pin_layer import pinned_pixels
from hsi_napari.placing import LayerData, placed

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from hsi_app.trust.targets import Detection, TargetCheck

# More marks than this hide the image; all are in the report.
MOST_MARKS = 2000
LOST_COLOUR = "#e8871e"

# Made in the thread of the check: reading a library takes a while.
MakeTarget = Callable[[Cube], Target]


def may_follow(layer: Layer, before: Layer | None) -> bool:
    """True for cubes on the grid of ``before``, other than that one."""
    if before is None or layer is before or not is_cube(layer):
        return False
    return tuple(layer.data.shape) == tuple(before.data.shape)


def pinned_target(viewer: ViewerModel, before: Layer) -> MakeTarget:
    """The pinned pixels as a target. Raises CubeError where nothing is pinned on the layer."""
    pixels, _ = pinned_pixels(viewer, before)
    if not pixels:
        raise CubeError(f"no spectrum is pinned on '{before.name}'; open the Spectrum dock and click on the target.")
    name = f"pixel {pixels[0][0]},{pixels[0][1]}" if len(pixels) == 1 else f"{len(pixels)} pinned pixels"
    target = Target(name, pixels=np.array(pixels))
    return lambda cube: target


def painted_target(labels: Layer) -> MakeTarget:
    """The painted pixels of a Labels layer, as they are now."""
    from hsi_app.trust.choosing import target_of_region

    # A copy: a person may go on painting while the check runs.
    painted, name = np.asarray(labels.data) != 0, labels.name
    return lambda cube: target_of_region(painted, name, cube)


def library_target(path: str, name: str) -> MakeTarget:
    """A spectrum of a library file, brought to the cube's bands."""
    from hsi_app.trust.choosing import target_of_library

    return lambda cube: target_of_library(path, name, cube)


def target_layers(check: TargetCheck, source: Layer, stem: str) -> list[LayerData]:
    """Maps of the scores before and after with one contrast, and marks of the targets that were lost."""
    pairs: list[tuple[str, Detection]] = [("before", check.before)]
    pairs += [("after", check.after)] if check.after is not None else []
    limits = (0.0, max(3 * check.threshold, *(d.contrast for _, d in pairs if np.isfinite(d.contrast)), 1.0))
    layers: list[LayerData] = []
    for word, detection in pairs:
        options: dict[str, Any] = {
            "name": f"{stem} · target {word}", "colormap": "inferno", "contrast_limits": limits, "rgb": False,
            "opacity": 1.0, "metadata": {"hsi_target": check.name},
        }  # fmt: skip
        layers.append(placed((detection.scores, options, "image"), source))
    lost = check.lost_pixels()
    if len(lost):
        marks = {
            "name": f"{stem} · lost targets", "symbol": "ring", "size": 3.0, "face_color": LOST_COLOUR,
            "border_color": LOST_COLOUR, "metadata": {"hsi_target": check.name},
        }  # fmt: skip
        layers.append(placed((lost[:MOST_MARKS].astype(float), marks, "points"), source))
    return layers


def cubes_of(before: Layer, after: Layer | None) -> tuple[Cube, Cube | None]:
    """The cubes of the chosen layers, called as the layers are. Raises CubeError."""
    first = replace(cube_of(before), name=before.name)
    return first, None if after is None else replace(cube_of(after), name=after.name)

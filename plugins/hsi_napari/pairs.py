"""Two layers of one ground, a coarse one of many bands and a sharp one of few: which they are, and where they lie."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from hsi_app.fusion.placement import Placement
from hsi_napari.layers import cube_of, is_cube
from hsi_napari.placing import placing_of, plane_of

if TYPE_CHECKING:
    from napari.layers import Layer

# Layers whose corners are this near each other, coarse pixels, lie over one another.
_NEAR_PX = 0.5


def most_bands(layers: Sequence[Layer]) -> Layer | None:
    """The layer of most bands, of several the one of fewest pixels, of several of those the first."""
    return max(layers, key=lambda layer: (layer.data.shape[0], -_pixels(layer)), default=None)


def sharpest(layers: Sequence[Layer]) -> Layer | None:
    """The layer of most pixels, of several the first."""
    return max(layers, key=_pixels, default=None)


def may_sharpen(layer: Layer, hsi: Layer | None) -> bool:
    """True for cubes that can be the multispectral image to ``hsi``: they have fewer bands."""
    return hsi is not None and layer is not hsi and is_cube(layer) and layer.data.shape[0] < hsi.data.shape[0]


def lie_apart(hsi: Layer, msi: Layer) -> bool:
    """True where the viewer shows the sharp image elsewhere than the files say. Raises CubeError."""
    step, start = _place(hsi, msi)
    turn, origin = plane_of(msi)
    _, height, width = msi.data.shape
    corners = np.array([[0, 0], [0, width - 1], [height - 1, 0], [height - 1, width - 1]], float)
    apart = np.linalg.norm(corners @ (step - turn).T + start - origin, axis=1).max()
    pixel = np.sqrt(abs(np.linalg.det(plane_of(hsi)[0])))
    return bool(apart > _NEAR_PX * pixel)


def lay_over(hsi: Layer, msi: Layer) -> None:
    """Move the sharp image to where it lies on the other: by the map frames, or else corner on corner.

    Raises
    ------
    CubeError
        If one of the layers is no cube.
    """
    placing = placing_of(*_place(hsi, msi), lead=msi.ndim - 2)
    msi.rotate, msi.shear = np.eye(msi.ndim), np.zeros(msi.ndim * (msi.ndim - 1) // 2)
    msi.scale, msi.translate = placing["scale"], placing["translate"]
    msi.affine = placing.get("affine", np.eye(msi.ndim + 1))


def _place(hsi: Layer, msi: Layer) -> tuple[np.ndarray, np.ndarray]:
    """(2, 2) matrix and (2,) place of the first pixel of the sharp image in the world of the other."""
    coarse, fine = cube_of(hsi), cube_of(msi)
    placement = None
    if coarse.georef is not None and fine.georef is not None:
        placement = Placement.from_georefs(coarse.georef, fine.georef)
    placement = placement or Placement.from_shapes(coarse.shape[1:], fine.shape[1:])
    turn, origin = plane_of(hsi)
    return turn @ placement.array[:2, :2], origin + turn @ placement.array[:2, 2]


def _pixels(layer: Layer) -> int:
    return int(np.prod(layer.data.shape[1:]))

"""What fusion gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hsi_app.cube import Cube

if TYPE_CHECKING:
    from hsi_app.fusion.response import Response


@dataclass(frozen=True, eq=False)
class Fusion:
    """A sharp cube made of a coarse one and a sharp picture.

    Parameters
    ----------
    cube : (B, H, W) float32 on the grid and in the map frame of the multispectral image, with bands, unit and scale of
        the hyperspectral one; bands that took no part are interpolated, or missing where it is not known which pixel
        lies where. Read lazily where it was written to a file
    doubt : (1, H, W) float32 cube, or None where it was not kept: how badly a pixel is explained by what the
        hyperspectral image holds; only a hundredth of that image's own pixels exceed 1, what lies far above is of a
        material that it does not show
    hsi, msi : the two images
    response : what the bands of the multispectral image see
    record : plain values for the report
    """

    cube: Cube
    doubt: Cube | None
    hsi: Cube
    msi: Cube
    response: Response
    record: Mapping[str, Any] = field(default_factory=dict)

"""What is compared: the shown bands of two layers, read beside the window, painted, subtracted and counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from hsi_app.compare import Histogram, common_histogram, gain_of, matching_band, physical
from hsi_app.cube import Cube
from hsi_napari.compare_frame import Place, Regrid, common_frame, place_of, same_grid
from hsi_napari.facts import cube_from

if TYPE_CHECKING:
    from napari.layers import Image, Layer

# Entry of a layer's metadata: it belongs to a comparison, and goes with it.
TEMPORARY = "hsi_temporary"
# Steps of a colour map; screens show 256.
_STEPS = 1024
# The difference is shown up to this quantile of its size.
_REACH_PERCENT = 98.0
# A histogram needs no more samples than this: 0.3 % of a bin of one percent.
_HISTOGRAM_SAMPLES = 1_000_000


def is_comparable(layer: Layer) -> bool:
    """True for cubes, single images and colour pictures that are no part of a comparison themselves."""
    from napari.layers import Image

    if not isinstance(layer, Image) or layer.multiscale or TEMPORARY in layer.metadata:
        return False
    return layer.ndim == 2 or (layer.ndim == 3 and not layer.rgb)


@dataclass(frozen=True, eq=False)
class Side:
    """One layer as it is shown now; may be used in any thread.

    cube : what it shows, with one band for a single image; None for a colour picture
    picture : (H, W, 3 or 4) of a colour picture, else None
    band : the shown one
    limits : contrast limits in physical units; gamma; colours : (n, 4) uint8, the colour map
    """

    name: str
    cube: Cube | None
    picture: Any
    data: Any
    band: int
    place: Place
    limits: tuple[float, float] = (0.0, 1.0)
    gamma: float = 1.0
    colours: np.ndarray = field(default_factory=lambda: np.zeros((1, 4), np.uint8))


def side_of(layer: Image, band: int) -> Side:
    """A layer with its band as it is now.

    Raises
    ------
    CubeError
        If the facts in the layer's metadata do not fit its data.
    """
    height, width = (int(n) for n in layer.data.shape[layer.ndim - 2 : layer.ndim])
    place = place_of(layer, (height, width))
    if layer.rgb:
        return Side(layer.name, None, layer.data, layer.data, 0, place)
    cube = cube_from(layer.data, layer.metadata, layer.name)
    gain, offset = gain_of(cube, band)
    low, high = (float(limit) * gain + offset for limit in layer.contrast_limits)
    colours = np.asarray(layer.colormap.map(np.linspace(0, 1, _STEPS)))
    return Side(
        layer.name, cube, None, layer.data, band, place, (low, high), float(layer.gamma),
        (colours * 255).round().astype(np.uint8),
    )  # fmt: skip


def shown_bands(before: Layer, after: Layer, point: Sequence[float]) -> tuple[int, int]:
    """The band of ``before`` at the slider's place, and that of ``after`` to set beside it.

    Raises CubeError as ``side_of`` does.
    """
    first, second = (
        None if getattr(layer, "rgb", False) else cube_from(layer.data, layer.metadata, layer.name)
        for layer in (before, after)
    )
    if first is None or before.ndim == 2:
        band = 0
    else:
        band = min(max(round(float(before.world_to_data(point)[0])), 0), first.shape[0] - 1)
    if second is None or after.ndim == 2:
        return band, 0
    if first is None or before.ndim == 2:
        return band, min(max(round(float(after.world_to_data(point)[0])), 0), second.shape[0] - 1)
    return band, matching_band(band, first.axis, second.axis)


def read_plane(side: Side) -> np.ndarray:
    """The shown band: (H, W) float32 in physical units, NaN where missing; of a colour picture (H, W, 4) uint8."""
    if side.cube is None:
        return _rgba(np.asarray(side.picture))
    values, valid = side.cube.block(None, [side.band])
    plane = physical(values[0], side.cube, side.band)
    return plane if valid.all() else np.where(valid[0], plane, np.float32(np.nan))


def painted(plane: np.ndarray, side: Side) -> np.ndarray:
    """(H, W, 4) uint8 as the layer looks; missing samples are transparent."""
    if plane.ndim == 3:
        return plane
    low, high = side.limits
    scaled = np.clip((plane - np.float32(low)) / np.float32(high - low), 0, 1)
    if side.gamma != 1:
        scaled = scaled ** np.float32(side.gamma)
    missing = np.isnan(scaled)
    if missing.any():
        scaled = np.where(missing, 0, scaled)
    picture = side.colours[(scaled * np.float32(len(side.colours) - 1) + np.float32(0.5)).astype(np.int16)]
    picture[missing] = 0
    return picture


def symmetric_limits(difference: np.ndarray) -> tuple[float, float]:
    """Contrast limits around zero that hold all but the outermost differences."""
    sizes = np.abs(difference[np.isfinite(difference)])
    reach = float(np.percentile(sizes, _REACH_PERCENT)) if sizes.size else 0.0
    reach = reach or (float(sizes.max()) if sizes.size else 0.0) or 1.0
    return -reach, reach


@dataclass(frozen=True, eq=False)
class Wanted:
    """What is to be made of two sides.

    is_painted : the two pictures on the common grid; is_subtracted : after - before, or with ``is_removed`` before -
    after; is_counted : the histograms and figures
    """

    before: Side
    after: Side
    is_painted: bool = False
    is_subtracted: bool = False
    is_removed: bool = False
    is_counted: bool = False


@dataclass(frozen=True, eq=False)
class Shown:
    """What was made; all on the grid ``frame``.

    pictures : two of (H, W, 4) uint8; difference : (H, W) float32; levels : mean and standard deviation of each side,
    and root mean square of the difference (NaN on different grids); thinning : 1, or side of the blocks of pixels of
    which one is shown
    """

    frame: Place
    thinning: int
    pictures: tuple[np.ndarray, np.ndarray] | None = None
    difference: np.ndarray | None = None
    limits: tuple[float, float] = (-1.0, 1.0)
    histogram: Histogram | None = None
    levels: tuple[float, ...] | None = None
    counted: float = 1.0


class Planes:
    """Makes what is wanted, and keeps the last plane of each side: only another band or other data are read again."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[Any, int, np.ndarray]] = {}

    def make(self, wanted: Wanted) -> Shown:
        """Read what is missing and make the pictures; in the worker's thread, one call at a time."""
        sides = (wanted.before, wanted.after)
        planes = tuple(self._plane(key, side) for key, side in zip(("before", "after"), sides, strict=True))
        frame, thinning = common_frame(sides[0].place, sides[1].place)
        made: dict[str, Any] = {}
        if wanted.is_painted or wanted.is_subtracted:
            grids = [Regrid(side.place, frame) for side in sides]
        if wanted.is_painted:
            # Onto the grid first: painting costs more, and a thinned picture has fewer pixels.
            made["pictures"] = tuple(
                painted(grid(plane, 0 if plane.ndim == 3 else np.nan), side)
                for grid, plane, side in zip(grids, planes, sides, strict=True)
            )
        if wanted.is_subtracted and all(plane.ndim == 2 for plane in planes):
            first, second = (grid(plane) for grid, plane in zip(grids, planes, strict=True))
            made["difference"] = first - second if wanted.is_removed else second - first
            made["limits"] = symmetric_limits(made["difference"])
        if wanted.is_counted and all(plane.ndim == 2 for plane in planes):
            made.update(_counted(planes, same_grid(sides[0].place, sides[1].place)))
        return Shown(frame, thinning, **made)

    def _plane(self, key: str, side: Side) -> np.ndarray:
        kept = self._kept.get(key)
        if kept is None or kept[0] is not side.data or kept[1] != side.band:
            kept = self._kept[key] = (side.data, side.band, read_plane(side))
        return kept[2]


def _counted(planes: Sequence[np.ndarray], is_same: bool) -> dict[str, Any]:
    total = max(plane.size for plane in planes)
    step = max(1, int(np.ceil(np.sqrt(total / _HISTOGRAM_SAMPLES))))
    first, second = (plane[::step, ::step] for plane in planes)
    levels = [float(figure(part)) for part in (first, second) for figure in (_mean, _std)]
    apart = second - first if is_same else np.full(1, np.nan)
    levels.append(float(np.sqrt(_mean(apart.astype(np.float64) ** 2))))
    return {"histogram": common_histogram(first, second), "levels": tuple(levels), "counted": 1 / step**2}


def _mean(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean(dtype=np.float64)) if finite.size else float("nan")


def _std(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.std(dtype=np.float64)) if finite.size else float("nan")


def _rgba(picture: np.ndarray) -> np.ndarray:
    """A colour picture of any number type as (H, W, 4) uint8; floats are taken from 0 to 1, as napari does."""
    if picture.dtype.kind == "f":
        picture = (np.clip(np.nan_to_num(picture), 0, 1) * 255).round().astype(np.uint8)
    elif picture.dtype != np.uint8:
        picture = (picture.astype(np.float64) * (255 / np.iinfo(picture.dtype).max)).round().astype(np.uint8)
    if picture.shape[-1] == 3:
        picture = np.concatenate([picture, np.full_like(picture[..., :1], 255)], axis=-1)
    return picture

"""Regions of interest that a person painted or drew, as they are when looked at. Knows no window.

What is cheap is taken in the window's thread (``regions_in``); the rest is done in any thread (``region_lines``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hsi_app.jobs import Job
from hsi_app.spectral_regions import Region, RegionSpectrum, labelled, outlined, region_spectrum
from hsi_napari.masks import may_mask
from hsi_napari.placing import plane_of
from hsi_napari.spectrum_model import Source
from hsi_napari.spectrum_reading import Spectra

if TYPE_CHECKING:
    from napari.layers import Layer, Shapes

# More lines than this cannot be told apart in a plot.
MOST_REGIONS = 24
# Corners that an ellipse is drawn with.
ELLIPSE_CORNERS = 96

# What was read of each region of each cube.
Cache = MutableMapping[tuple[Spectra, bytes], RegionSpectrum]


def may_hold_regions(layer: Layer, cube_layer: Layer | None) -> bool:
    """True for Shapes layers, and for Labels of the cube's size with or without bands."""
    from napari.layers import Labels, Shapes

    if isinstance(layer, Shapes):
        return True
    return cube_layer is not None and isinstance(layer, Labels) and may_mask(layer, tuple(cube_layer.data.shape))


@dataclass(frozen=True, eq=False)
class Painted:
    """The labels of a layer, on the pixels of the first image: (H, W) or (B, H, W) int array, maybe lazy."""

    labels: Any


@dataclass(frozen=True, eq=False)
class Drawn:
    """Outlines by their number from 1: (n, 2) corners (y, x) in the common frame."""

    outlines: Mapping[int, np.ndarray]


@dataclass(frozen=True, eq=False)
class RegionLines:
    """What a layer's regions are found to be.

    spectra : number of the region -> its spectra in each of the images
    found : number of regions there are
    """

    spectra: Mapping[int, tuple[RegionSpectrum | None, ...]]
    found: int


def regions_in(layer: Layer) -> Painted | Drawn:
    """The regions of a layer as they are now; labels are not copied."""
    from napari.layers import Labels

    if isinstance(layer, Labels):
        return Painted(layer.data)
    return Drawn(_outlines(layer))


def _outlines(layer: Shapes) -> dict[int, np.ndarray]:
    turn, origin = plane_of(layer)
    outlines = {}
    for number, (corners, kind) in enumerate(zip(layer.data, layer.shape_type, strict=True), 1):
        if kind not in ("polygon", "rectangle", "ellipse"):
            continue  # lines and paths have no inside
        places = np.asarray(corners, np.float64)[:, -2:] @ turn.T + origin
        outlines[number] = _round(places) if kind == "ellipse" and len(places) == 4 else places
    return outlines


def _round(box: np.ndarray) -> np.ndarray:
    """Corners of the ellipse in a box given by its four corners, turned or not."""
    angle = np.linspace(0, 2 * np.pi, ELLIPSE_CORNERS, endpoint=False)[:, None]
    middle, down, across = box.mean(axis=0), (box[3] - box[0]) / 2, (box[1] - box[0]) / 2
    return np.asarray(middle + np.cos(angle) * down + np.sin(angle) * across)


@dataclass(frozen=True, eq=False)
class Image:
    """An image that regions are measured in: its spectra, and its frame as a matrix (see ``Source.frame``)."""

    spectra: Spectra
    frame: np.ndarray

    @classmethod
    def of(cls, source: Source) -> Image:
        """Asks the layer for its place now, so that a thread need not."""
        return cls(source.spectra, source.frame)

    @property
    def plane(self) -> tuple[int, int]:
        """(H, W)."""
        return self.spectra.cube.shape[1:]


def region_lines(
    regions: Painted | Drawn, images: Sequence[Image], known: Cache, job: Job, most: int = MOST_REGIONS
) -> RegionLines:
    """Mean and spread of each region in each image; in any thread.

    Parameters
    ----------
    images : the first is the one that was painted on
    known : spectra of the last look, and afterwards of this one; a region that did not change is not read again
    most : so many regions, the first by number

    Raises
    ------
    Cancelled
        If the job was asked to stop.
    """
    if isinstance(regions, Painted):
        first, found = labelled(np.asarray(regions.labels), most)
        in_images = {number: [_seen(region, images[0], image) for image in images] for number, region in first.items()}
    else:
        found = len(regions.outlines)
        in_images = {
            number: [outlined(_placed(corners, image.frame), image.plane) for image in images]
            for number, corners in list(regions.outlines.items())[:most]
        }
    cache: dict[tuple[Spectra, bytes], RegionSpectrum] = {}
    spectra: dict[int, tuple[RegionSpectrum | None, ...]] = {}
    for place, (number, seen) in enumerate(in_images.items()):
        part = job.part(place / len(in_images), 1 / len(in_images))
        row: list[RegionSpectrum | None] = []
        for image, region in zip(images, seen, strict=True):
            if region is None:
                row.append(None)
                continue
            key = image.spectra, region.key
            cache[key] = known.get(key) or region_spectrum(image.spectra.cube, region, part)
            row.append(cache[key])
        spectra[number] = tuple(row)
    known.clear()
    known.update(cache)
    return RegionLines({n: row for n, row in spectra.items() if any(row)}, found)


def measuring(regions: Painted | Drawn, images: Sequence[Image], known: Cache) -> Callable[[Job], RegionLines]:
    """What a worker does."""
    return lambda job: region_lines(regions, images, known, job)


def _placed(corners: np.ndarray, frame: np.ndarray) -> np.ndarray:
    return np.asarray(corners @ frame[:, :2].T + frame[:, 2])


def _seen(region: Region, first: Image, image: Image) -> Region | None:
    """A region of the first image in another one."""
    if image is first or (image.plane == first.plane and np.allclose(image.frame, first.frame)):
        return region
    back = np.linalg.inv(image.frame[:, :2])
    turn = first.frame[:, :2] @ back
    shift = first.frame[:, 2] - turn @ image.frame[:, 2]
    return region.seen_from(np.column_stack([turn, shift]), image.plane)

"""Cubes as napari layers: the cube itself, its colour picture, and what a restoration leaves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from hsi_app.bands import TRUE_COLOUR_NM
from hsi_app.composite import Picture, Stretch, composite, increasing
from hsi_app.composite import stretched as as_bytes
from hsi_app.cube import Cube
from hsi_app.errors import CubeError
from hsi_app.jobs import Job
from hsi_app.spectral_reading import band_pass
from hsi_app.tiling import Window
from hsi_napari.facts import FACTS, RUN, cube_from, facts_of
from hsi_napari.placing import LayerData, placed
from hsi_napari.planes import displayed, removed

if TYPE_CHECKING:
    from napari.layers import Layer

    from hsi_app.runner import Result

AXES = ("band", "y", "x")
STRETCH_PERCENT = (2.0, 98.0)
# A sample for the contrast: so many bands of so many rows of so many pixels.
SAMPLE_BANDS, SAMPLE_ROWS, SAMPLE_COLS = 12, 8, 512
# A file smaller than this is read at once: opening it for each piece of the sample takes longer.
SMALL_BYTES = 4 * 2**20
# A colour picture larger than this many pixels is thinned: it is for orientation.
COMPOSITE_PIXELS = 4_000_000

# Removed signal: nothing is black on the dark canvas, excess orange, lack blue (safe for colour-blind eyes).
DIVERGING = {
    "name": "blue-black-orange",
    "colors": [[0.55, 0.80, 1.0, 1.0], [0.10, 0.35, 0.75, 1.0], [0.03, 0.03, 0.04, 1.0],
               [0.80, 0.35, 0.05, 1.0], [1.0, 0.80, 0.45, 1.0]],
    "controls": [0.0, 0.25, 0.5, 0.75, 1.0],
}  # fmt: skip


def cube_to_layer(cube: Cube, name: str | None = None) -> LayerData:
    """An image layer with a band slider. Reads no more than a small sample of the values.

    The array is handed over without coordinates: napari would take unequal wavelengths for a spacing and metres
    for a scale. Wavelengths and the map frame travel in ``metadata['hsi']``.
    """
    options = {
        "name": name or cube.name,
        "contrast_limits": contrast_limits(cube),
        "colormap": "gray",
        "rgb": False,
        "multiscale": False,
        "axis_labels": AXES,
        "metadata": {FACTS: facts_of(cube)},
    }
    return displayed(cube), options, "image"


def is_cube(layer: Layer) -> bool:
    """True for image layers of one number a sample and three axes."""
    from napari.layers import Image

    return isinstance(layer, Image) and not layer.rgb and not layer.multiscale and layer.ndim == 3


def cube_of(layer: Layer) -> Cube:
    """The cube that a layer shows; lazy layers give lazy cubes.

    Raises
    ------
    CubeError
        If the layer shows something else.
    """
    if not is_cube(layer):
        kind = type(layer).__name__
        shape = "a colour picture" if getattr(layer, "rgb", False) else f"a layer of type {kind} with {layer.ndim} axes"
        raise CubeError(f"'{layer.name}' is {shape}; choose an image layer with the axes (band, row, col).")
    return cube_from(layer.data, layer.metadata, layer.name)


def sample(cube: Cube) -> list[np.ndarray]:
    """Observed values of some good bands from all over the image: for each band (n,) float32, n <= 4096."""
    _, height, width = cube.shape
    if cube.nbytes <= SMALL_BYTES and not isinstance(cube.values, np.ndarray):
        cube = replace(cube, values=cube.read())
    good = cube.axis.good if cube.axis.good.size else np.arange(cube.shape[0])
    bands = [int(b) for b in np.unique(good[np.linspace(0, good.size - 1, SAMPLE_BANDS).round().astype(int)])]
    # Bands that lie together are read together, and of chunks no more are decoded than must be.
    stored = band_pass(cube.values)
    packs = [list(pack) for _, pack in groupby(bands, lambda band: band // stored.beside)]
    span = min(width, SAMPLE_COLS, stored.cols)
    high = min(max(min(width, SAMPLE_COLS) // span, 1), height)
    rows = np.unique(((np.arange(SAMPLE_ROWS) + 0.5) * height / SAMPLE_ROWS).astype(int) // high * high)
    found: dict[int, list[np.ndarray]] = {band: [] for band in bands}
    for index, row in enumerate(rows):
        # Windows wander from left to right, so that a gap at one side does not hide the rest.
        col = round((width - span) * index / max(rows.size - 1, 1))
        col -= max(col % stored.cols + span - stored.cols, 0)  # within a chunk
        window = Window(int(row), col, min(high, height - int(row)), span)
        for pack in packs:
            values, valid = cube.block(window, slice(pack[0], pack[-1] + 1))
            for band in pack:
                line, seen = values[band - pack[0]], valid[band - pack[0]]
                found[band].append(line[seen])
    return [np.concatenate(pieces) for pieces in found.values()]


def contrast_limits(cube: Cube) -> tuple[float, float]:
    """Limits that suit the whole cube, from a sample without bad bands and missing values; always increasing.

    The 2 % and 98 % quantiles of each band, of which the outermost tenth does not count: quantiles over all bands
    at once would leave the bright bands of vegetation white.
    """
    quantiles = [np.percentile(values, STRETCH_PERCENT) for values in sample(cube) if values.size]
    if not quantiles:
        return 0.0, 1.0
    lows, highs = np.transpose(quantiles)
    return increasing(float(np.percentile(lows, 10)), float(np.percentile(highs, 90)))


def stretched(values: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """One channel of a colour picture: values (H, W) as uint8, stretched between the quantiles of the valid ones."""
    return as_bytes(np.nan_to_num(values), *Stretch(*STRETCH_PERCENT).limits(values[valid]))


def composite_layer(
    cube: Cube, targets_nm: Sequence[float] = TRUE_COLOUR_NM, name: str | None = None, job: Job | None = None
) -> LayerData:
    """A colour picture as a layer: (H, W, 4) uint8, each band stretched between its quantiles, missing transparent.

    Parameters
    ----------
    targets_nm : three wavelengths for red, green and blue
    job : to cancel, which raises Cancelled
    """
    bands = cube.axis.composite(targets_nm)
    picture = composite(cube, bands, most_pixels=COMPOSITE_PIXELS, job=job)
    return picture_layer(picture, bands, name or f"{cube.name} · colour")


def picture_layer(picture: Picture, bands: Sequence[int], name: str) -> LayerData:
    """A colour picture of three bands (from 0) as a layer over its cube."""
    step = picture.step
    options = {
        "name": name,
        "rgb": True,
        "axis_labels": AXES[1:],
        "scale": (step, step),
        "translate": ((step - 1) / 2, (step - 1) / 2),
        "metadata": {"bands": [int(b) + 1 for b in bands]},
    }
    return picture.rgba, options, "image"


def result_layers(
    result: Result, source: Layer | None = None, offset: tuple[int, int] = (0, 0), name: str | None = None
) -> list[LayerData]:
    """What a run leaves, bottom to top: extra images and the removed signal (hidden), then the restored cube.

    On a finer grid the removed signal is the interpolated input less the restored cube.

    Parameters
    ----------
    source : layer it was made from; gives place, contrast and colour map
    offset : (row, col) of a restored region within the layer
    name : first part of the layers' names; the cube's when not given
    """
    cube, stem = result.cube, name or result.observed.name
    record = plain_record(result.record)
    restored = cube_to_layer(cube, f"{stem} · restored")
    if source is not None:
        restored[1].update(contrast_limits=tuple(source.contrast_limits), colormap=source.colormap)
    restored[1]["metadata"][RUN] = record
    layers = [_extra(image, f"{stem} · {key}", cube) for key, image in result.extras.items()]
    layers.append(_difference(result, f"{stem} · removed"))
    for _, options, _ in layers:
        options["visible"] = False
        options["metadata"][RUN] = record
    return [placed(layer, source, offset, result.scale) for layer in [*layers, restored]]


def plain_record(record: Mapping[str, Any]) -> dict[str, Any]:
    """A run's record as a dict of its own, so that editing the layer's metadata does not change the result."""
    return {key: dict(value) if isinstance(value, Mapping) else value for key, value in record.items()}


def _difference(result: Result, name: str) -> LayerData:
    data = removed(result.observed, result.cube)
    like = Cube(data, bands=result.cube.axis, georef=result.cube.georef, name=name, unit=result.cube.unit,
                gain=result.cube.gain)  # fmt: skip
    return _signed(like, name)


def _extra(image: np.ndarray, name: str, cube: Cube) -> LayerData:
    if image.ndim == 3 and image.shape[0] == cube.shape[0]:
        return _signed(Cube(image, bands=cube.axis, georef=cube.georef, name=name, gain=cube.gain), name)
    low, high = Stretch(*STRETCH_PERCENT).limits(image[np.isfinite(image)])
    options = {"name": name, "contrast_limits": (low, high), "colormap": "viridis", "rgb": False, "metadata": {}}
    return image, options, "image"


def _signed(cube: Cube, name: str) -> LayerData:
    """A layer around zero; symmetric limits where both signs occur."""
    data, options, kind = cube_to_layer(cube, name)
    values = np.concatenate(sample(cube))
    if values.size and values.min() < 0:
        reach = float(np.percentile(np.abs(values), STRETCH_PERCENT[1])) or float(np.abs(values).max())
        options.update(contrast_limits=(-reach, reach), colormap=DIVERGING)
    return data, options, kind

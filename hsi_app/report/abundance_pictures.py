"""Pictures of an unmixing: the scene, its mixture in colours, each material, and what is not explained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from hsi_app.cube import Cube
from hsi_app.report.pictures import Picture, false_colour, png_uri, quantity_map
from hsi_app.report.sampling import thumbnail

if TYPE_CHECKING:
    from hsi_app.unmixing.result import Unmixing

# Told apart on light and dark ground, and where they add up on black.
COLOURS = (
    "#e8871e", "#3c9dd0", "#2ca25f", "#d1609e", "#b59410", "#8c6bd6", "#d1524f", "#17a2a2", "#e0d04a", "#8bd450",
    "#5a6bf0", "#b0753f",
)  # fmt: skip
MOST_SHOWN = len(COLOURS)


def largest(result: Unmixing) -> list[int]:
    """Indices of the materials that are shown: all, or the twelve of the largest mean abundance."""
    means = [material["mean_abundance"] for material in result.record["trace"]["materials"]]
    if len(means) <= MOST_SHOWN:
        return list(range(len(means)))
    return [int(k) for k in np.argsort(means, kind="stable")[::-1][:MOST_SHOWN]]


def scene_picture(cube: Cube) -> Picture:
    """The scene in natural or false colour."""
    return false_colour(cube, "scene")


def mixture_picture(result: Unmixing, shown: Sequence[int]) -> Picture:
    """All materials in one picture, each in its colour, by its abundance."""
    abundances = np.clip(thumbnail(result.abundances, shown).values, 0, 1)
    seen = np.isfinite(abundances).all(axis=0)
    colours = np.array([[int(code[i : i + 2], 16) / 255 for i in (1, 3, 5)] for code in COLOURS[: len(shown)]])
    # Linear light: halves of two colours then look like what lies between them.
    light = np.tensordot(np.nan_to_num(abundances), colours**2.2, axes=(0, 0))
    rgba = np.concatenate([np.clip(light, 0, 1) ** (1 / 2.2), seen[..., None]], axis=-1)
    return Picture(png_uri(rgba), rgba.shape[1], rgba.shape[0], "mixture of the materials")


def abundance_pictures(result: Unmixing, shown: Sequence[int]) -> list[Picture]:
    """One picture a material, 0 to 1."""
    images = thumbnail(result.abundances, shown).values
    return [quantity_map(image, result.names[k], 1.0) for k, image in zip(shown, images, strict=True)]


def map_pictures(result: Unmixing) -> list[Picture]:
    """The relative error, and the method's further images."""
    relative = thumbnail(result.error, [1]).values[0]
    finite = relative[np.isfinite(relative)]
    span = float(np.percentile(finite, 99)) if finite.size else 1.0
    pictures = [quantity_map(relative, "error over the pixel's signal", span or 1.0)]
    for name, cube in result.maps.items():
        image = thumbnail(cube, [0]).values[0]
        top = float(np.nanmax(image)) if np.isfinite(image).any() else 1.0
        title = "guidance: 0 evenly mixed, high nearly pure" if name == "guidance" else name
        pictures.append(quantity_map(image, title, top or 1.0))
    return pictures

"""A colour for missing samples, which napari leaves transparent: on a black canvas they would look like dark ground."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari.layers import Image

# In no perceptual colour map, and no grey.
TINT = (0.63, 0.24, 0.47, 1.0)
_SUFFIX = ", missing tinted"


def is_tinted(layer: Image) -> bool:
    """True where missing samples have a colour."""
    return bool(layer.colormap.nan_color[3] > 0)


def tint_missing(layer: Image, is_on: bool) -> None:
    """Give missing samples of a layer a colour of their own, or leave them transparent; its colour map stays."""
    from napari.utils.colormaps import Colormap

    if is_tinted(layer) == is_on:
        return
    known = layer.colormap
    # A name of its own: napari keeps one colour map a name for all layers.
    name = f"{known.name}{_SUFFIX}" if is_on else known.name.removesuffix(_SUFFIX)
    layer.colormap = Colormap(
        known.colors, name=name, controls=known.controls, interpolation=known.interpolation,
        nan_color=TINT if is_on else "transparent", high_color=known.high_color, low_color=known.low_color,
    )  # fmt: skip

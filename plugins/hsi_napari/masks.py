"""Painted layers as masks of observed samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hsi_app.errors import CubeError

if TYPE_CHECKING:
    from napari.layers import Layer


def may_mask(layer: Layer, shape: tuple[int, int, int]) -> bool:
    """True for Labels and grey images of the cube's size, with or without bands."""
    from napari.layers import Image, Labels

    if not isinstance(layer, Image | Labels) or getattr(layer, "rgb", False) or layer.multiscale:
        return False
    return tuple(layer.data.shape) in (shape, shape[1:], (1, *shape[1:]))


def observed_mask(
    layer: Layer, shape: tuple[int, int, int], *, painted_is_missing: bool, on_all_bands: bool
) -> np.ndarray:
    """Where the cube was observed, from a layer that a person painted.

    Parameters
    ----------
    layer : Labels or image of shape (H, W) or (B, H, W); other than 0 counts as painted
    shape : (B, H, W) of the cube
    painted_is_missing : what paint means
    on_all_bands : paint on any band counts for every band

    Returns
    -------
    (H, W) or (B, H, W) bool, True = observed.

    Raises
    ------
    CubeError
        If the layer has another size, or nothing would be left.
    """
    if not may_mask(layer, shape):
        raise CubeError(
            f"mask '{layer.name}' has shape {tuple(layer.data.shape)}, the cube {shape};"
            " paint a layer of the cube's size."
        )
    painted = np.asarray(layer.data) != 0
    if painted.ndim == 3 and (on_all_bands or painted.shape[0] == 1):
        painted = painted.any(axis=0)
    observed = ~painted if painted_is_missing else painted
    if not observed.any():
        raise CubeError(f"mask '{layer.name}' leaves no sample; swap what its paint means, or paint less.")
    return np.asarray(observed)

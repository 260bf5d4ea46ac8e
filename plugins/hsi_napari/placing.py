"""Where a layer made from another one belongs: over the same ground, however that one was scaled, moved or turned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from napari.layers import Layer

# (data, keyword arguments of the layer, layer type), as napari takes it from readers.
LayerData = tuple[Any, dict[str, Any], str]


def placed(data: LayerData, source: Layer | None, offset: tuple[float, float] = (0, 0), factor: float = 1) -> LayerData:
    """Put a layer where it belongs over the layer it came from.

    Parameters
    ----------
    source : layer whose place in the world counts, or None
    offset : (row, col) in pixels of ``source`` of the first pixel
    factor : how many times finer than ``source`` the layer is
    """
    values, options, kind = data
    turn, origin = plane_of(source)
    # Pixel centres: with a factor f the first fine centre lies (1 - 1/f) / 2 pixels above the first coarse one.
    first = np.asarray(offset) - (1 - 1 / factor) / 2 + np.asarray(options.get("translate", (0, 0)))[-2:]
    step = turn @ np.diag(np.asarray(options.get("scale", (1, 1)), dtype=float)[-2:] / factor)
    start = origin + turn @ first
    lead = (values.ndim - (1 if options.get("rgb") else 0)) - 2
    placing = placing_of(step, start, lead)
    return values, {**options, **placing}, kind


def placing_of(step: np.ndarray, start: np.ndarray, lead: int) -> dict[str, Any]:
    """Keyword arguments of a layer with pixels at ``start + step @ (row, col)`` and ``lead`` axes before these."""
    if not (step[0, 1] or step[1, 0]):
        return {
            "scale": (1,) * lead + tuple(np.diag(step).tolist()),
            "translate": (0,) * lead + tuple(start.tolist()),
        }
    affine = np.eye(lead + 3)
    affine[lead:-1, lead:-1], affine[lead:-1, -1] = step, start
    return {"scale": (1,) * (lead + 2), "translate": (0,) * (lead + 2), "affine": affine}


def plane_of(source: Layer | None) -> tuple[np.ndarray, np.ndarray]:
    """(row, col) of a layer to (y, x) of the world: (2, 2) matrix and (2,) place of the first pixel."""
    if source is None:
        return np.eye(2), np.zeros(2)
    lead = (0.0,) * (source.ndim - 2)
    origin, down, right = (np.asarray(source.data_to_world((*lead, *at)))[-2:] for at in ((0, 0), (1, 0), (0, 1)))
    turn = np.stack([down - origin, right - origin], axis=1)
    scale, translate = np.asarray(source.scale[-2:]), np.asarray(source.translate[-2:])
    if np.allclose(turn, np.diag(scale), rtol=1e-6, atol=0) and np.allclose(origin, translate):
        # As it was set, without the rounding of the differences.
        return np.diag(scale), translate
    return turn, origin

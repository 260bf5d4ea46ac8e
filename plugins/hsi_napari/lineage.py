"""Which layer was restored from which, for comparing before with after."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari.layers import Layer

_source_of: weakref.WeakKeyDictionary[Layer, weakref.ref[Layer]] = weakref.WeakKeyDictionary()


def remember(restored: Layer, source: Layer) -> None:
    """Note that ``restored`` was made from ``source``."""
    _source_of[restored] = weakref.ref(source)


def source_of(layer: Layer) -> Layer | None:
    """The layer that this one was restored from, if it is known and alive."""
    held = _source_of.get(layer)
    return None if held is None else held()


def restored_from(layer: Layer) -> list[Layer]:
    """The layers restored from this one, oldest first."""
    return [restored for restored, held in _source_of.items() if held() is layer]

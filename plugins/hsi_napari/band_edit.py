"""The bad bands of a cube layer, edited: every change takes effect at once and can be undone. Knows no window."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from hsi_app.bands import BandAxis
from hsi_app.errors import CubeError
from hsi_napari.facts import change_facts
from hsi_napari.layers import cube_of

if TYPE_CHECKING:
    from napari.layers import Layer

Flags = tuple[bool, ...]


class BadBands:
    """Marks bands of one layer as bad or good; the layer's facts change, its values do not.

    Whoever reads the layer sees the change: runs, saved files, the readout.
    """

    def __init__(self, layer: Layer) -> None:
        # Weak: a list of bands must not keep a removed layer's data in memory.
        self._layer = weakref.ref(layer)
        self._undone: list[Flags] = []
        self._done: list[Flags] = []

    @property
    def axis(self) -> BandAxis:
        """The bands as they are now.

        Raises
        ------
        CubeError
            If the layer was removed, or is no cube any more.
        """
        return cube_of(self._alive()).axis

    @property
    def can_undo(self) -> bool:
        """True after a change."""
        return bool(self._done)

    @property
    def can_redo(self) -> bool:
        """True after a change was undone."""
        return bool(self._undone)

    def mark(self, bands: Iterable[int], bad: bool = True) -> int:
        """Mark bands (from 0) as bad or good; gives how many were not so before. Raises CubeError as ``axis`` does."""
        before = self.axis
        index = np.asarray(sorted(set(bands)), dtype=np.intp)
        changed = int((before.is_bad[index] != bad).sum())
        self._put(before.marked(index, bad).is_bad)
        return changed

    def toggle(self, bands: Iterable[int]) -> None:
        """Mark good bands bad and bad ones good."""
        flags = self.axis.is_bad.copy()
        index = np.asarray(sorted(set(bands)), dtype=np.intp)
        flags[index] = ~flags[index]
        self._put(flags)

    def replace(self, bands: Iterable[int]) -> None:
        """Mark these bands bad and all others good."""
        flags = np.zeros(self.axis.count, bool)
        flags[np.asarray(sorted(set(bands)), dtype=np.intp)] = True
        self._put(flags)

    def undo(self) -> None:
        """Take back the last change; nothing where there is none."""
        if self._done:
            self._undone.append(_flags(self.axis.is_bad))
            self._show(self._done.pop())

    def redo(self) -> None:
        """Do again what was undone last."""
        if self._undone:
            self._done.append(_flags(self.axis.is_bad))
            self._show(self._undone.pop())

    def _put(self, flags: np.ndarray) -> None:
        before = _flags(self.axis.is_bad)
        if _flags(flags) == before:
            return
        self._done.append(before)
        self._undone.clear()
        self._show(_flags(flags))

    def _show(self, flags: Flags) -> None:
        change_facts(self._alive(), bad_bands=np.flatnonzero(flags).tolist())

    def _alive(self) -> Layer:
        layer = self._layer()
        if layer is None:
            raise CubeError("the cube was removed; choose another one.")
        return layer


def _flags(bad: np.ndarray | Flags) -> Flags:
    return tuple(bool(flag) for flag in bad)

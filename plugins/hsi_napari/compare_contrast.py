"""One contrast for two images: limits, gamma and colour map follow each other, whichever a person changes."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hsi_napari.links import Links

if TYPE_CHECKING:
    from napari.layers import Image

# Gain and offset of the shown band of a layer.
ScaleOf = Callable[["Image"], tuple[float, float]]


class SameContrast:
    """Keeps two layers at the same contrast in physical units from ``hold`` to ``release``.

    Layers of different gain, one in counts and one in reflectance, get limits that mean the same.

    Parameters
    ----------
    scale_of : gives gain and offset of the band that a layer shows
    """

    def __init__(self, scale_of: ScaleOf) -> None:
        self._scale_of = scale_of
        self._links = Links()
        self._before: weakref.ref[Image] | None = None
        self._after: weakref.ref[Image] | None = None
        self._found: dict[str, Any] = {}
        self._is_ours = False

    @property
    def is_held(self) -> bool:
        """True between ``hold`` and ``release``."""
        return self._before is not None

    def hold(self, before: Image, after: Image) -> None:
        """Give ``after`` the contrast of ``before`` and keep the two alike."""
        self.release()
        self._before, self._after = weakref.ref(before), weakref.ref(after)
        self._found = {
            "contrast_limits_range": tuple(after.contrast_limits_range),
            "contrast_limits": tuple(after.contrast_limits),
            "gamma": after.gamma,
            "colormap": after.colormap,
        }
        self.refresh()
        for layer, changed in ((before, self._changed_before), (after, self._changed_after)):
            for name in ("contrast_limits", "gamma", "colormap"):
                self._links.connect(getattr(layer.events, name), changed)

    def release(self) -> None:
        """Let go, and give ``after`` the contrast it had."""
        self._links.cut()
        after = None if self._after is None else self._after()
        self._before = self._after = None
        if after is not None:
            for name, value in self._found.items():
                setattr(after, name, value)
        self._found = {}

    def refresh(self) -> None:
        """Take the contrast of ``before`` again: after another band, whose gain may differ."""
        self._copy(self._before, self._after)

    def _changed_before(self, event: Any = None) -> None:
        self._copy(self._before, self._after)

    def _changed_after(self, event: Any = None) -> None:
        self._copy(self._after, self._before)

    def _copy(self, held: weakref.ref[Image] | None, held_too: weakref.ref[Image] | None) -> None:
        source = None if held is None else held()
        target = None if held_too is None else held_too()
        if source is None or target is None or self._is_ours:
            return
        self._is_ours = True
        try:
            (gain, offset), (other_gain, other_offset) = self._scale_of(source), self._scale_of(target)
            limits = tuple(source.contrast_limits)
            if (gain, offset) != (other_gain, other_offset):
                low, high = sorted((limit * gain + offset - other_offset) / (other_gain or 1.0) for limit in limits)
                limits = (low, high)
            if tuple(target.contrast_limits) != limits:
                target.contrast_limits = limits
            if target.gamma != source.gamma:
                target.gamma = source.gamma
            if target.colormap is not source.colormap:
                target.colormap = source.colormap
        finally:
            self._is_ours = False

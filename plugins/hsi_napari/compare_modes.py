"""A comparison of two layers in one of five ways; everything it changes in the viewer it changes back."""

from __future__ import annotations

import weakref
from contextlib import suppress
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer, Signal

from hsi_app.compare import gain_of
from hsi_app.errors import HsiError
from hsi_napari.compare_contrast import SameContrast
from hsi_napari.compare_divider import Divider
from hsi_napari.compare_frame import Place
from hsi_napari.compare_layers import CompareLayers
from hsi_napari.compare_planes import Planes, Shown, Wanted, shown_bands, side_of
from hsi_napari.compare_stage import Stage
from hsi_napari.compare_swipe import Swipe
from hsi_napari.facts import cube_from
from hsi_napari.links import Links
from hsi_napari.spectrum_latest import Latest

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image

BLINK_MS = 700
SHORTEST_MS, LONGEST_MS = 300, 3000
_PLACING = ("scale", "translate", "rotate", "shear", "affine")
_LOOKS = ("contrast_limits", "gamma", "colormap")


class Mode(StrEnum):
    """How two layers are compared."""

    OFF = "off"
    SWIPE = "swipe"
    BLINK = "blink"
    SIDE = "side by side"
    DIFFERENCE = "difference"


class Comparison(QObject):
    """Two layers and the mode in which the viewer shows them.

    ``changed`` tells that the mode or its settings changed, ``made`` carries what was made for the shown band (Shown),
    ``stale`` tells that a layer's values or facts changed, ``told`` and ``failed`` carry one line.
    """

    changed = Signal()
    made = Signal(object)
    stale = Signal()
    told = Signal(str)
    failed = Signal(str)

    def __init__(self, viewer: ViewerModel, links: Links, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._before: weakref.ref[Image] | None = None
        self._after: weakref.ref[Image] | None = None
        self._pair_links = Links()
        self._bands = (0, 0)
        self._planes, self._work = Planes(), Latest(self)
        self.mode = Mode.OFF
        self.is_after = self.is_paused = self.is_removed = False
        self._wants_figures = self._wants_same = False
        self._share, self._is_upright = 0.5, True
        self._swipe: Swipe | None = None
        self._frame: Place | None = None
        self._found_selection: set[Any] = set()
        self.stage = Stage(viewer)
        self.layers = CompareLayers(viewer, links, self._lost)
        self.divider = Divider(viewer, links, self.move)
        self.contrast = SameContrast(self._scale_of)
        self.timer = QTimer(self)
        self.timer.setInterval(BLINK_MS)
        self.timer.timeout.connect(self._blink)
        self._work.done.connect(self._answered)
        self._work.failed.connect(self._failed)
        links.connect(viewer.dims.events.current_step, self._moved_slider)
        links.connect(viewer.dims.events.ndisplay, self._changed_display)
        links.finally_(self.close)

    # ---- what is compared ---------------------------------------------------------------------------------------

    @property
    def before(self) -> Image | None:
        """The layer that was there first."""
        return None if self._before is None else self._before()

    @property
    def after(self) -> Image | None:
        """The layer that is set against it."""
        return None if self._after is None else self._after()

    @property
    def bands(self) -> tuple[int, int]:
        """The shown band of each, from 0."""
        return self._bands

    def pair(self, before: Image | None, after: Image | None) -> None:
        """Compare these two; the mode goes on unless one of the former pair left the viewer."""
        if before is self.before and after is self.after:
            return
        former = [held() for held in (self._before, self._after) if held is not None]
        goes_on = all(layer is not None and layer in self._viewer.layers for layer in former)
        mode = self.mode
        self.set_mode(Mode.OFF)
        self.contrast.release()
        self._pair_links.cut()
        self._work.drop()
        self._planes, self._pair_links = Planes(), Links()
        self._before, self._after = (None if layer is None else weakref.ref(layer) for layer in (before, after))
        if before is None or after is None:
            self.changed.emit()
            return
        for layer in (before, after):
            for changed in (layer.events.data, layer.events.metadata):
                self._pair_links.connect(changed, self._changed_data)
            for name in (*_PLACING, *_LOOKS):
                self._pair_links.connect(getattr(layer.events, name), self._changed_look)
        self._find_bands()
        self.hold_contrast(self._wants_same)
        if goes_on and mode in self.possible():
            self.set_mode(mode)
        self.changed.emit()
        self.refresh()

    def possible(self) -> tuple[Mode, ...]:
        """The modes that this pair can be shown in."""
        before, after = self.before, self.after
        if before is None or after is None or self._viewer.dims.ndisplay != 2:
            return (Mode.OFF,)
        if before.rgb or after.rgb:
            return (Mode.OFF, Mode.SWIPE, Mode.BLINK, Mode.SIDE)
        return tuple(Mode)

    # ---- modes --------------------------------------------------------------------------------------------------

    def set_mode(self, mode: Mode) -> None:
        """Show the pair in this mode; ``off`` puts everything back. A mode that is not possible counts as off."""
        if mode not in self.possible():
            mode = Mode.OFF
        if mode is self.mode:
            return
        if self.mode is Mode.OFF:
            self._found_selection = set(self._viewer.layers.selection)
        self.mode = mode
        self.timer.stop()
        self.is_after = self.is_paused = False
        self._swipe = None
        self.divider.follow(None, None)
        self.layers.remove()
        before, after = self.before, self.after
        if mode is Mode.OFF or before is None or after is None:
            self.stage.restore()
            if not self._viewer.layers.selection:
                alive = [layer for layer in self._viewer.layers if layer in self._found_selection]
                self._viewer.layers.selection.update(alive)
            self._found_selection = set()
        elif mode is Mode.BLINK:
            self.stage.show([before], named=True)
            self.timer.start()
        elif mode is Mode.SIDE:
            self.stage.divide(before, after)
        else:
            self.refresh()
        self.changed.emit()

    def move(self, share: float) -> None:
        """Move the divider to a share of the picture, in [0, 1]."""
        self._share = min(max(float(share), 0.0), 1.0)
        if self._swipe is not None and self._swipe.move(self._share):
            self.layers.redraw()
            self.layers.show_line(self._swipe.split, self._swipe.is_upright)
        self.changed.emit()

    def turn(self, is_upright: bool) -> None:
        """Divide left from right, or above from below."""
        self._is_upright = is_upright
        if self._swipe is not None:
            self._swipe.turn(is_upright)
            self._draw_swipe()
        self.changed.emit()

    @property
    def share(self) -> float:
        """Where the divider is, in [0, 1]."""
        return self._share

    def flip(self) -> None:
        """Show the other one of the two and stay there: blinking by hand."""
        if self.mode is not Mode.BLINK:
            self.set_mode(Mode.BLINK)
        if self.mode is Mode.BLINK:
            self.pause(True)
            self._blink()

    def pause(self, is_paused: bool = True) -> None:
        """Hold the blinking, or go on."""
        self.is_paused = is_paused
        self.sleep(False)
        self.changed.emit()

    def sleep(self, is_asleep: bool) -> None:
        """Rest while nobody looks at the dock."""
        if is_asleep or self.is_paused or self.mode is not Mode.BLINK:
            self.timer.stop()
        elif not self.timer.isActive():
            self.timer.start()

    def subtract(self, is_removed: bool) -> None:
        """Show what was removed, before - after, instead of after - before."""
        self.is_removed = is_removed
        self.refresh()

    def hold_contrast(self, is_held: bool) -> None:
        """Keep the contrast of both the same, also of later pairs, or let go; colour pictures have none."""
        self._wants_same = is_held
        before, after = self.before, self.after
        if is_held and before is not None and after is not None and not (before.rgb or after.rgb):
            self.contrast.hold(before, after)
        else:
            self.contrast.release()

    def count(self, is_wanted: bool) -> None:
        """Make histogram and figures of the shown band, too, from now on or no longer."""
        self._wants_figures = is_wanted
        self.refresh()

    def close(self) -> None:
        """Put everything back and let go of the layers; nothing is told any more."""
        # The window may have gone first, and this object's Qt half with it.
        with suppress(RuntimeError):
            self.blockSignals(True)
            self.timer.stop()
            self._work.drop()
        self.mode, self._swipe, self._before, self._after = Mode.OFF, None, None, None
        self._pair_links.cut()
        self.contrast.release()
        self.divider.follow(None, None)
        self.layers.remove()
        self.stage.restore()

    # ---- making -------------------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Make what the mode needs of the shown band, in a thread."""
        before, after = self.before, self.after
        is_painted, is_subtracted = self.mode is Mode.SWIPE, self.mode is Mode.DIFFERENCE
        if before is None or after is None or not (is_painted or is_subtracted or self._wants_figures):
            return
        try:
            first, second = (side_of(layer, band) for layer, band in zip((before, after), self._bands, strict=True))
        except HsiError as error:
            self.failed.emit(str(error))
            return
        wanted = Wanted(
            first, second, is_painted=is_painted, is_subtracted=is_subtracted, is_removed=self.is_removed,
            is_counted=self._wants_figures,
        )  # fmt: skip
        planes = self._planes
        self._work.ask(lambda job: planes.make(wanted))

    def _answered(self, shown: Shown) -> None:
        is_swiped = self.mode is Mode.SWIPE and shown.pictures is not None
        is_subtracted = self.mode is Mode.DIFFERENCE and shown.difference is not None
        if self.layers.image is None and (is_swiped or is_subtracted):
            # Before the picture comes: napari would slice every visible layer again for it.
            self.stage.show([])
        if is_swiped and shown.pictures is not None:
            self._swipe = Swipe(*shown.pictures, self._share, is_upright=self._is_upright)
            self._frame = shown.frame
            self._draw_swipe()
        elif is_subtracted and shown.difference is not None:
            name = "removed: before − after" if self.is_removed else "difference: after − before"
            self.layers.show_difference(shown.difference, shown.limits, shown.frame, name)
        if self.layers.image is not None:
            self.stage.show([layer for layer in (self.layers.image, self.layers.line) if layer is not None])
        self.made.emit(shown)

    def _draw_swipe(self) -> None:
        assert self._swipe is not None, "called only with a picture"
        assert self._frame is not None, "a picture has its grid"
        self.layers.show_picture(self._swipe.picture, self._frame)
        self.layers.show_line(self._swipe.split, self._swipe.is_upright)
        self.divider.follow(self._swipe, self._frame)

    def _failed(self, line: str) -> None:
        self.set_mode(Mode.OFF)
        self.failed.emit(line)

    def _blink(self) -> None:
        before, after = self.before, self.after
        if before is None or after is None:
            return
        self.is_after = not self.is_after
        self.stage.show([after if self.is_after else before], named=True)
        self.changed.emit()

    # ---- keeping in step ----------------------------------------------------------------------------------------

    def _find_bands(self) -> bool:
        before, after = self.before, self.after
        if before is None or after is None:
            return False
        try:
            bands = shown_bands(before, after, self._viewer.dims.point)
        except HsiError as error:
            self.failed.emit(str(error))
            return False
        is_other, self._bands = bands != self._bands, bands
        return is_other

    def _moved_slider(self, event: Any = None) -> None:
        if self._find_bands():
            if self.contrast.is_held:
                self.contrast.refresh()
            self.refresh()

    def _changed_data(self, event: Any = None) -> None:
        self._planes = Planes()
        self._find_bands()
        self.refresh()
        self.stale.emit()

    def _changed_look(self, event: Any = None) -> None:
        if self.mode is Mode.SWIPE or (self.mode is Mode.DIFFERENCE and event.type in _PLACING):
            self.refresh()

    def _changed_display(self, event: Any = None) -> None:
        if self._viewer.dims.ndisplay != 2 and self.mode is not Mode.OFF:
            self.set_mode(Mode.OFF)
            self.told.emit("Comparing needs the flat view; it was switched off.")
        self.changed.emit()

    def _lost(self) -> None:
        self.set_mode(Mode.OFF)

    def _scale_of(self, layer: Image) -> tuple[float, float]:
        band = self._bands[0 if layer is self.before else 1]
        try:
            cube = cube_from(layer.data, layer.metadata, layer.name)
        except HsiError:
            return 1.0, 0.0
        return gain_of(cube, min(band, cube.shape[0] - 1))

"""The colour picture of a cube that follows the controls: one layer a cube, painted beside the window."""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer, Signal

from hsi_app.composite import Picture, ThinBands
from hsi_app.errors import HsiError
from hsi_app.jobs import Job
from hsi_napari.composite_model import Look, look_text
from hsi_napari.layers import COMPOSITE_PIXELS, cube_of, picture_layer
from hsi_napari.placing import placed
from hsi_napari.spectrum_latest import Latest

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

# Controls that move report more often than a picture can be painted.
WAIT_MS = 40
# A picture that takes longer is given up when another one is wanted; quicker ones are shown on the way.
PATIENCE_S = 0.7
SUFFIX = "colour"


class LivePicture(QObject):
    """Paints what was asked for last. ``shown`` carries the picture's layer, ``failed`` one line."""

    shown = Signal(object)
    failed = Signal(str)

    def __init__(self, viewer: ViewerModel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._wanted: tuple[weakref.ref[Layer], Look] | None = None
        self._pictures: weakref.WeakKeyDictionary[Layer, weakref.ref[Layer]] = weakref.WeakKeyDictionary()
        self._bands: weakref.WeakKeyDictionary[Layer, ThinBands] = weakref.WeakKeyDictionary()
        self._began_s = 0.0
        self._painting = Latest(self)
        self._painting.done.connect(self._painted)
        self._painting.failed.connect(self.failed)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(WAIT_MS)
        self._timer.timeout.connect(self._paint)

    @property
    def is_busy(self) -> bool:
        """True while a picture is waited for."""
        return self._timer.isActive() or self._painting.is_busy

    def picture_of(self, layer: Layer | None) -> Layer | None:
        """The colour picture of a cube, or None where it has none or it was removed."""
        held = None if layer is None else self._pictures.get(layer)
        picture = None if held is None else held()
        return picture if picture is not None and picture in self._viewer.layers else None

    def ask(self, layer: Layer, look: Look) -> None:
        """Show this picture soon; of those asked for within a moment the last is painted."""
        self._wanted = weakref.ref(layer), look
        if not self._timer.isActive():
            self._timer.start()

    def stop(self) -> None:
        """Nobody waits any more."""
        self._timer.stop()
        self._wanted = None
        self._painting.drop()

    def _paint(self) -> None:
        wanted, self._wanted = self._wanted, None
        layer = None if wanted is None else wanted[0]()
        if wanted is None or layer is None or layer not in self._viewer.layers:
            return
        try:
            bands = self._bands_of(layer)
        except HsiError as error:
            self.failed.emit(str(error))
            return
        if self._painting.is_busy and time.monotonic() - self._began_s > PATIENCE_S:
            self._painting.drop()
        self._painting.ask(self._call(wanted[0], bands, wanted[1]))

    def _call(self, layer: weakref.ref[Layer], bands: ThinBands, look: Look) -> Callable[[Job], Any]:
        def paint(job: Job) -> tuple[weakref.ref[Layer], Look, Picture]:
            self._began_s = time.monotonic()
            return layer, look, bands.picture(look.bands, look.stretch, job)

        return paint

    def _bands_of(self, layer: Layer) -> ThinBands:
        """What was read of a cube, unless its values were replaced meanwhile."""
        cube, known = cube_of(layer), self._bands.get(layer)
        if known is None or known.cube.values is not cube.values:
            known = self._bands[layer] = ThinBands(cube, COMPOSITE_PIXELS)
        return known

    def _painted(self, made: tuple[weakref.ref[Layer], Look, Picture]) -> None:
        held, look, picture = made
        layer = held()
        if layer is None or layer not in self._viewer.layers:
            return
        shown = self.picture_of(layer)
        if shown is None:
            shown = self._add(layer, look, picture)
        else:
            shown.data = picture.rgba
            shown.metadata = {**shown.metadata, "bands": [band + 1 for band in look.bands]}
        self.shown.emit(shown)

    def _add(self, layer: Layer, look: Look, picture: Picture) -> Layer:
        from napari.layers import Layer as AnyLayer

        data = placed(picture_layer(picture, look.bands, f"{layer.name} · {SUFFIX}"), layer)
        shown = AnyLayer.create(*data)
        step, chosen = self._viewer.dims.current_step, self._viewer.layers.selection.active
        # Just above its cube: what lies on top of the cube stays on top.
        self._viewer.layers.insert(self._viewer.layers.index(layer) + 1, shown)
        self._viewer.dims.current_step = step
        self._viewer.layers.selection.active = chosen
        self._pictures[layer] = weakref.ref(shown)
        return shown


def told(layer: Layer, look: Look, picture: Layer) -> str:
    """What the dock says of a picture that is shown: its bands, and whether it is thinned."""
    text = look_text(cube_of(layer).axis, look.bands)
    step = -(-int(layer.data.shape[-2]) // int(picture.data.shape[0]))
    return f"{text} · one pixel of {step} × {step} is shown" if step > 1 else text

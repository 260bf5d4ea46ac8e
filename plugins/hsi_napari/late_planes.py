"""Bands that take long to read: napari draws nothing at first, and the band once it was read beside the window."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.utils.notifications import show_error
from qtpy.QtCore import QObject, QTimer

from hsi_app.jobs import Job
from hsi_napari.spectrum_latest import Latest

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from hsi_napari.planes import PlaneArray

# A slider that moves passes bands faster than one can be begun.
WAIT_MS = 50
# So often it is looked whether anybody still waits: a layer may be removed, or its window closed.
LOOK_MS = 100


def read_late(planes: PlaneArray, band: int) -> bool:
    """Read a band beside the window for the layer that napari is drawing just now, and draw that layer again then.

    False where no such layer is found. Called in the main thread.
    """
    layer, viewer = _drawn()
    if layer is None:
        return False
    reader = next((reader for reader in _readers if reader.planes() is planes), None)
    if reader is None:
        reader = LateReader(planes)
        _readers.add(reader)
    reader.ask(band, layer, viewer)
    return True


class LateReader(QObject):
    """Reads bands of one array for the layers that show it, the one asked for last first; gone once none waits.

    Array, layers and viewers are held weakly, and in the main thread only.
    """

    def __init__(self, planes: PlaneArray) -> None:
        super().__init__()
        self.planes = weakref.ref(planes)
        # The band that each waits for, the last asked last; and the viewer where that is known.
        self._waiting: dict[weakref.ref[Layer], tuple[int, weakref.ref[ViewerModel] | None]] = {}
        self._band: int | None = None
        self._reading = Latest(self)
        self._reading.done.connect(self._arrived)
        self._reading.failed.connect(self._failed)
        self._begin_timer = self._timer(WAIT_MS, self._begin, is_single=True)
        self._look_timer = self._timer(LOOK_MS, self._look)
        self._look_timer.start()

    def _timer(self, wait_ms: int, call: Callable[[], None], *, is_single: bool = False) -> QTimer:
        timer = QTimer(self)
        timer.setSingleShot(is_single)
        timer.setInterval(wait_ms)
        timer.timeout.connect(call)
        return timer

    def ask(self, band: int, layer: Layer, viewer: ViewerModel | None) -> None:
        """A layer waits for a band from now on, instead of the one it waited for."""
        key = weakref.ref(layer)
        _, known = self._waiting.pop(key, (band, None))
        self._waiting[key] = band, known if viewer is None else weakref.ref(viewer)
        planes = self.planes()
        if planes is not None:
            planes.waiting[layer] = band
        self._want(band)

    def _want(self, band: int) -> None:
        planes = self.planes()
        if planes is None or (self._band is not None and band in planes.group(self._band)):
            return
        self._reading.drop()
        self._band = band
        self._begin_timer.start()

    def _begin(self) -> None:
        planes, band = self.planes(), self._band
        if planes is None or band is None:
            return
        read = planes.reader(band)

        def call(job: Job) -> tuple[int, list[np.ndarray]]:
            return band, read(lambda share: job.step(share, "reading a band"))

        self._reading.ask(call)

    def _look(self) -> None:
        """Leave out who does not wait any more, and stop where nobody does."""
        for key, (_, viewer) in list(self._waiting.items()):
            layer = key()
            if layer is None or layer.data is not self.planes() or not _is_in(layer, viewer):
                self._leave(key)
        if not self._waiting:
            self._end()

    def _arrived(self, read: tuple[int, list[np.ndarray]]) -> None:
        band, found = read
        planes = self.planes()
        if planes is None:
            self._end()
            return
        planes.keep(band, found)
        self._told(planes.group(band), lambda layer: layer.refresh(extent=False))

    def _failed(self, line: str) -> None:
        planes = self.planes()
        if planes is not None and self._band is not None:
            show_error(line)
            # Not read again until it is looked at again.
            self._told(planes.group(self._band), lambda layer: layer.events.set_data())

    def _told(self, bands: range, tell: Callable[[Layer], Any]) -> None:
        """Tell the layers that wait for some bands, which they do no more, and go on with those of others."""
        planes = self.planes()
        self._band = None
        told = [(key, *entry) for key, entry in self._waiting.items() if entry[0] in bands]
        for key, _, viewer in told:
            self._leave(key)
            layer = key()
            if layer is not None and layer.data is planes and _is_in(layer, viewer):
                tell(layer)
        if self._band is None and self._waiting:
            self._want(next(reversed(self._waiting.values()))[0])
        self._look()

    def _leave(self, key: weakref.ref[Layer]) -> None:
        """This layer waits no more."""
        del self._waiting[key]
        layer, planes = key(), self.planes()
        if layer is not None and planes is not None:
            planes.waiting.pop(layer, None)

    def _end(self) -> None:
        self._band = None
        self._begin_timer.stop()
        self._reading.drop()
        if not self._reading.is_busy:
            self._look_timer.stop()
            _readers.discard(self)
            self.deleteLater()


# Those that read now; each leaves by itself.
_readers: set[LateReader] = set()


def _is_in(layer: Layer, viewer: weakref.ref[ViewerModel] | None) -> bool:
    """True while the viewer has the layer; of an unknown viewer nothing else can be said."""
    if viewer is None:
        return True
    held = viewer()
    return held is not None and layer in held.layers


def _drawn() -> tuple[Layer | None, ViewerModel | None]:
    """The layer that napari slices just now and the viewer that had it do so, from the functions that are running.

    A layer slices itself when it is made and when it is refreshed: it is searched for in the open windows then.
    """
    from napari import Viewer
    from napari.components import ViewerModel
    from napari.layers import Layer

    layer: Layer | None = None
    frame = sys._getframe(1)
    while frame.f_back is not None:
        frame = frame.f_back
        owner = frame.f_locals.get("self")
        if isinstance(owner, ViewerModel):
            return layer, owner
        if layer is None and type(owner).__module__.startswith("napari.layers."):
            # In newer versions a part of the layer slices, which knows its layer.
            owner = getattr(owner, "layer", owner)
            layer = owner if isinstance(owner, Layer) else None
    if layer is None:
        return None, None
    return layer, next((viewer for viewer in Viewer._instances if layer in viewer.layers), None)

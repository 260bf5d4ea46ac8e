"""Adds a colour picture to the viewer while the window stays alive: reading its bands may take a while."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from hsi_app.errors import Cancelled
from hsi_napari.commands import add_picture, painting
from hsi_napari.placing import LayerData
from hsi_napari.viewer_parts import real_viewer
from hsi_napari.worker import JobWorker, one_line

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer


def add_beside(
    viewer: ViewerModel, layer: Layer, targets_nm: Sequence[float], kind: str, failed: Callable[[str], object]
) -> JobWorker:
    """Make a colour picture of a cube in a thread and add it, unless the cube is gone by then.

    Parameters
    ----------
    failed : called with one line where it could not be made

    Raises
    ------
    CubeError
        If the layer is no cube.
    """
    shown_in, held = weakref.ref(real_viewer(viewer)), weakref.ref(layer)
    worker = JobWorker(painting(layer, targets_nm, kind))

    def add(data: LayerData) -> None:
        there, cube = shown_in(), held()
        if there is not None and cube is not None and cube in there.layers:
            add_picture(there, cube, data)

    def tell(error: Exception) -> None:
        if not isinstance(error, Cancelled):
            failed(one_line(error))

    worker.returned.connect(add)
    worker.errored.connect(tell)
    worker.start()
    return worker

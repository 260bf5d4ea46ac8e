"""The layer in which a sample forms while a run goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hsi_app.jobs import Progress
from hsi_napari.layers import stretched
from hsi_napari.placing import placed

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Layer


class Forming:
    """Shows previews that methods send along with their progress, over the ground they belong to.

    Parameters
    ----------
    viewer : that has the layers
    source : cube that is worked on, as it was when that began (see ``ground``)
    offset : (row, col) in pixels of ``source`` of what is worked on
    """

    def __init__(self, viewer: ViewerModel, source: Layer, offset: tuple[int, int] = (0, 0)) -> None:
        self._viewer, self._source, self._offset = viewer, source, offset
        self._layer: Image | None = None

    @property
    def name(self) -> str:
        """What the layer is called."""
        return f"{self._source.name} · forming"

    def show(self, progress: Progress) -> None:
        """Draw a preview of three bands that says where it lies; others, for example of one band, are left out."""
        image, place = progress.preview, progress.place
        if image is None or place is None or image.ndim != 3 or len(image) != 3:
            return
        picture = np.stack([stretched(band, np.isfinite(band)) for band in image], axis=-1)
        row, col = place.row + self._offset[0], place.col + self._offset[1]
        data = (picture, {"name": self.name, "rgb": True}, "image")
        _, options, _ = placed(data, self._source, (row, col), image.shape[1] / place.height)
        if self._layer is None or self._layer not in self._viewer.layers:
            step = self._viewer.dims.current_step
            chosen = self._viewer.layers.selection.active
            self._layer = self._viewer.add_image(picture, **options)
            self._viewer.dims.current_step = step
            self._viewer.layers.selection.active = chosen
            return
        self._layer.data = picture
        for key in ("scale", "translate", "affine"):
            if key in options:
                setattr(self._layer, key, options[key])

    def end(self) -> None:
        """Take the layer away."""
        if self._layer is not None and self._layer in self._viewer.layers:
            self._viewer.layers.remove(self._layer)
        self._layer = None

"""The layers that a comparison adds: the picture in two halves with its divider, or the difference."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from hsi_napari.compare_frame import Place
from hsi_napari.compare_planes import TEMPORARY
from hsi_napari.layers import DIVERGING
from hsi_napari.links import Links
from hsi_napari.placing import placing_of
from hsi_napari.theme import LINE_COLOURS
from hsi_napari.viewer_parts import camera

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Layer, Vectors

_LINE_PX = 2.5


class CompareLayers:
    """One image, and over it a line where it is divided; marked as temporary, out of the way of all choices.

    Parameters
    ----------
    gone : called when a person removes one of the layers
    """

    def __init__(self, viewer: ViewerModel, links: Links, gone: Callable[[], None]) -> None:
        self._viewer, self._gone = viewer, weakref.WeakMethod(gone)
        self._image: weakref.ref[Image] | None = None
        self._line: weakref.ref[Vectors] | None = None
        self._limits: tuple[float, float] | None = None
        self._frame: Place | None = None
        self._is_ours = False
        links.connect(viewer.layers.events.removed, self._removed)
        links.connect(camera(viewer).events.zoom, self._rescale)

    @property
    def image(self) -> Image | None:
        """The image while it is in the viewer."""
        return _alive(self._image)

    @property
    def line(self) -> Vectors | None:
        """The line while it is in the viewer."""
        return _alive(self._line)

    def show_picture(self, picture: np.ndarray, frame: Place) -> None:
        """Show (H, W, 4) uint8; kept as it is, so that ``redraw`` shows later changes of the same array."""
        self._show(picture, frame, {"name": "before | after", "rgb": True})

    def redraw(self) -> None:
        """Show the picture again after its array was changed."""
        if self.image is not None:
            self.image.refresh(thumbnail=False, highlight=False, extent=False)

    def show_difference(self, difference: np.ndarray, limits: tuple[float, float], frame: Place, name: str) -> None:
        """Show (H, W) float32 around zero. The limits hold until a person sets others, which then stay."""
        image = self.image
        is_free = image is None or self._limits is None or tuple(image.contrast_limits) == self._limits
        options = {"name": name, "rgb": False, "colormap": DIVERGING, "contrast_limits": limits}
        self._show(difference, frame, options)
        image = self.image
        if image is not None and is_free:
            # Wider ones first: napari would clip the limits of the next band to the range of this one.
            image.contrast_limits_range = limits
            image.contrast_limits = limits
            self._limits = tuple(image.contrast_limits)
        if image is not None:
            image.name = name

    def show_line(self, split: int, is_upright: bool) -> None:
        """Draw the divider before column (or row) ``split``."""
        assert self._frame is not None, "the picture comes first"
        height, width = self._frame.shape
        start = (-0.5, split - 0.5) if is_upright else (split - 0.5, -0.5)
        data = np.array([[start, (height, 0) if is_upright else (0, width)]], dtype=float)
        line = self.line
        if line is not None:
            # In place: setting the data would have napari draw a thumbnail and measure all layers again.
            line.data[...] = data
            line.refresh(thumbnail=False, highlight=False, extent=False)
            return
        from napari.layers import Vectors

        line = Vectors(
            data, name="divider", edge_color=LINE_COLOURS[0], edge_width=self._width(), vector_style="line",
            metadata={TEMPORARY: True}, **placing_of(self._frame.step, self._frame.start, 0),
        )  # fmt: skip
        self._add(line)
        self._line = weakref.ref(line)

    def remove(self) -> None:
        """Take the layers out of the viewer."""
        self._is_ours = True
        try:
            for layer in (self.line, self.image):
                if layer is not None and layer in self._viewer.layers:
                    self._viewer.layers.remove(layer)
        finally:
            self._is_ours = False
            self._image = self._line = self._limits = self._frame = None

    def _show(self, data: np.ndarray, frame: Place, options: dict[str, Any]) -> None:
        from napari.layers import Image

        place = placing_of(frame.step, frame.start, 0)
        if self.image is not None and self.image.rgb != options["rgb"]:
            self.remove()
        image = self.image
        if image is None:
            self._frame = frame
            image = Image(data, metadata={TEMPORARY: True}, blending="translucent", **options, **place)
            self._add(image)
            self._image = weakref.ref(image)
            return
        if self._frame is None or not _same(self._frame, frame):
            for layer in (image, self.line):
                if layer is not None:
                    layer.scale, layer.translate = place["scale"], place["translate"]
                    layer.affine = place.get("affine", np.eye(3))
            self._frame = frame
            self._rescale()
        image.data = data

    def _add(self, layer: Layer) -> None:
        """Add a layer above the images and below the marks; band, view and selection stay as they are."""
        from napari.layers import Image

        layers, step = self._viewer.layers, self._viewer.dims.current_step
        selected = set(layers.selection)
        self._viewer.add_layer(layer)
        if isinstance(layer, Image):
            at = next((place for place, other in enumerate(layers) if not isinstance(other, Image)), len(layers))
            if at < layers.index(layer):
                layers.move(layers.index(layer), at)
        layers.selection = selected
        self._viewer.dims.current_step = step

    def _removed(self, event: Any) -> None:
        if not self._is_ours and event.value in (self.image, self.line) and event.value is not None:
            gone = self._gone()
            if gone is not None:
                gone()

    def _rescale(self, event: Any = None) -> None:
        """Keep the line as wide on the screen at every zoom."""
        if self.line is not None:
            self.line.edge_width = self._width()

    def _width(self) -> float:
        pixel = 1.0 if self._frame is None else self._frame.pixel
        return _LINE_PX / max(camera(self._viewer).zoom * pixel, 1e-9)


def _alive(held: Any) -> Any:
    return None if held is None else held()


def _same(first: Place, second: Place) -> bool:
    return (
        first.shape == second.shape
        and np.array_equal(first.step, second.step)
        and np.array_equal(first.start, second.start)
    )

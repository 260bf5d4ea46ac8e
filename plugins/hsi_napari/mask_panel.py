"""Which samples a person painted as missing."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from qtpy.QtWidgets import QCheckBox, QComboBox, QFormLayout, QWidget

from hsi_napari.layer_choice import LayerChoice
from hsi_napari.masks import may_mask, observed_mask
from hsi_napari.sections import Heading

if TYPE_CHECKING:
    import numpy as np
    from napari.components import ViewerModel
    from napari.layers import Layer

    from hsi_napari.links import Links


class MaskPanel(QWidget):
    """Choice of a Labels or image layer as mask, and what its paint means.

    Parameters
    ----------
    source : gives the cube layer that is worked on
    """

    def __init__(
        self, viewer: ViewerModel, links: Links, source: Callable[[], Layer | None], parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)

        def fits(layer: Layer) -> bool:
            cube = source()
            return cube is not None and layer is not cube and may_mask(layer, tuple(cube.data.shape))

        self.layer_choice = LayerChoice(viewer, links, fits, self, nothing="none")
        self.paint = QComboBox()
        self.paint.addItems(["missing", "observed"])
        self.all_bands = QCheckBox("paint counts for all bands")
        self.all_bands.setChecked(True)
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.setSpacing(6)
        form.addRow(Heading("Gaps"))
        form.addRow("Mask layer", self.layer_choice)
        form.addRow("Paint means", self.paint)
        form.addRow("", self.all_bands)
        self.setToolTip("NaN and the file's no-data value are gaps already; a Labels layer or an image adds to them.")

    @property
    def is_chosen(self) -> bool:
        """Whether a mask layer is chosen."""
        return self.layer_choice.layer() is not None

    def observed(self, shape: tuple[int, int, int]) -> np.ndarray | None:
        """The mask for a cube of this shape, True = observed; None without a mask layer. Raises CubeError."""
        layer = self.layer_choice.layer()
        if layer is None:
            return None
        is_missing = self.paint.currentText() == "missing"
        return observed_mask(layer, shape, painted_is_missing=is_missing, on_all_bands=self.all_bands.isChecked())

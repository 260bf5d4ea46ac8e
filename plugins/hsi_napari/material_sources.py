"""Where the materials of an unmixing come from: found, pinned, painted, or from a file. Completes the forms."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QHBoxLayout, QMenu, QPushButton, QWidget

from hsi_app.cube import Cube
from hsi_app.errors import HsiError
from hsi_napari.browse_button import BrowseButton
from hsi_napari.layers import cube_of
from hsi_napari.pin_layer import pinned_pixels
from hsi_napari.region_files import RegionFiles, region_layers

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from hsi_napari.forms import OptionForm
    from hsi_napari.method_form import MethodForm

# Options that say nothing unless the materials come from there.
_NEEDED_FOR = {
    "pixels": ("pixels",), "rois": ("rois",), "library": ("library",), "materials": ("library",), "starts": ("edaa",),
    "endmembers": ("edaa", "vca", "nfindr"),
}  # fmt: skip
_FILES = {
    "library": "Spectral libraries (*.sli *.hdr *.csv *.npz);;All files (*)",
    "rois": "Label images (*.hdr *.tif *.tiff *.npy *.mat *.zarr);;All files (*)",
}


class MaterialSources(QObject):
    """Shows of a form what goes with the chosen source, and fills it from the viewer and from files.

    ``told`` and ``failed`` carry one line each.

    Parameters
    ----------
    source : gives the cube layer that is worked on
    """

    told = Signal(str)
    failed = Signal(str)

    def __init__(
        self, viewer: ViewerModel, form: MethodForm, source: Callable[[], Layer | None], parent: QWidget
    ) -> None:
        super().__init__(parent)
        self._viewer, self._form, self._source = viewer, form, source
        self.files = RegionFiles()
        form.dress(self._complete)

    def use_pins(self) -> None:
        """Take the pinned pixels as endmembers."""
        layer = self._source()
        if layer is None:
            return
        pixels, outside = pinned_pixels(self._viewer, layer)
        if not pixels:
            self.failed.emit(f"no spectrum is pinned on '{layer.name}'; open the Spectrum dock and click on the image.")
            return
        self._take("pixels", " ".join(f"{row},{col}" for row, col in pixels))
        beyond = f"; {outside} more lie outside '{layer.name}'" if outside else ""
        self.told.emit(f"{len(pixels)} pinned pixels are the endmembers{beyond}.")

    def use_labels(self, labels: Layer) -> None:
        """Take the means over painted regions as endmembers."""
        layer = self._source()
        if layer is None:
            return
        try:
            path = self.files.write(labels, cube_of(layer))
        except HsiError as error:
            self.failed.emit(str(error))
            return
        self._take("rois", path)
        self.told.emit(f"The regions of '{labels.name}' are the endmembers, as they are painted when you press Run.")

    def refresh(self, cube: Cube) -> None:
        """Write painted regions as they are now. Raises CubeError where they do not fit the cube."""
        path = self._form.options()[0].values().get("rois")
        if path is not None:
            self.files.refresh(path, cube)

    def _take(self, source: str, text: str) -> None:
        self._form.options()[0].put({"endmembers_from": source, source: text})

    # ---- completing a form --------------------------------------------------------------------------------------

    def _complete(self, usual: OptionForm, rare: OptionForm) -> None:
        for name in _FILES:
            if usual.has(name):
                usual.put_beside(name, _browse_button(usual, name))
        if not usual.has("endmembers_from"):
            return
        usual.put_below("endmembers_from", self._viewer_buttons())

        def show_what_goes_with_it() -> None:
            chosen = usual.editor("endmembers_from").value()
            for form in (usual, rare):
                for name in (name for name in _NEEDED_FOR if form.has(name)):
                    form.show_row(name, chosen in _NEEDED_FOR[name])

        usual.editor("endmembers_from").edited.connect(show_what_goes_with_it)
        show_what_goes_with_it()

    def _viewer_buttons(self) -> QWidget:
        row = QWidget()
        line = QHBoxLayout(row)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(6)
        pins, labels = QPushButton("Use pins", row), QPushButton("Use labels", row)
        pins.setToolTip("Take the pixels pinned in the Spectrum dock as endmembers.")
        labels.setToolTip("Take the mean of each region of a Labels layer as an endmember.")
        pins.clicked.connect(self.use_pins)
        menu = QMenu(labels)
        menu.aboutToShow.connect(lambda: self._list_labels(menu))
        labels.setMenu(menu)
        line.addWidget(pins, 1)
        line.addWidget(labels, 1)
        return row

    def _list_labels(self, menu: QMenu) -> None:
        menu.clear()
        layer = self._source()
        found = [] if layer is None else region_layers(self._viewer, layer)
        for labels in found:
            menu.addAction(labels.name).triggered.connect(lambda _=False, labels=labels: self.use_labels(labels))
        if not found:
            menu.addAction("no Labels layer of the cube's size").setEnabled(False)


def _browse_button(form: OptionForm, name: str) -> BrowseButton:
    return BrowseButton(_FILES[name], lambda path: form.put({name: path}))

"""The choice of a target: pinned pixels, painted regions, or a spectrum of a library."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLineEdit, QWidget

from hsi_app.errors import CubeError
from hsi_napari.browse_button import BrowseButton
from hsi_napari.layer_choice import LayerChoice
from hsi_napari.masks import may_mask
from hsi_napari.sections import Note, Section
from hsi_napari.trust_layers import MakeTarget, library_target, painted_target, pinned_target
from hsi_napari.worker import TaskWorker, one_line

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from hsi_app.trust.targets import Detector
    from hsi_napari.links import Links
    from hsi_napari.theme import ThemeColours

NONE, PINS, REGION, LIBRARY = "none", "pinned pixels", "painted region", "library spectrum"
_KINDS = "Spectral libraries (*.sli *.csv *.txt *.npz);;All files (*)"
_NOTES = {
    NONE: "Choose a target to see whether it is still found after the restoration.",
    PINS: "The pixels pinned in the Spectrum dock.",
    REGION: "The painted pixels of a Labels layer of the cube's size.",
    LIBRARY: "A spectrum in the cube's unit, brought to its bands.",
}


class TargetSection(Section):
    """What must still be found; ``failed`` carries one line.

    Parameters
    ----------
    source : gives the layer of the first cube
    """

    failed = Signal(str)

    def __init__(
        self, viewer: ViewerModel, links: Links, source: Callable[[], Layer | None], parent: QWidget | None = None
    ) -> None:
        super().__init__("Is a target still found?", parent)
        self._viewer, self._source, self._path = viewer, source, ""
        self.kind, self.detector, self.spectrum = QComboBox(), QComboBox(), QComboBox()
        self.kind.addItems([NONE, PINS, REGION, LIBRARY])
        self.detector.addItem("matched filter", "mf")
        self.detector.addItem("ACE", "ace")
        self.detector.setToolTip(
            "The matched filter finds much of the target, whatever the rest of the pixel looks like;\n"
            "ACE (adaptive coherence estimator) demands the target's shape."
        )
        self.labels = LayerChoice(viewer, links, self._may_mark, self)
        self.path = QLineEdit()
        self.path.setPlaceholderText("library file (.sli, .csv, .npz)")
        self.browse = BrowseButton(_KINDS, self.open_library, self)
        self.spectrum.setMinimumContentsLength(12)
        # Libraries hold thousands: the beginning of a name may be typed.
        self.spectrum.setEditable(True)
        self.spectrum.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        self.note = Note(_NOTES[NONE])
        first, self._file = QHBoxLayout(), QWidget()
        for widget, stretch in ((self.kind, 3), (self.detector, 2)):
            first.addWidget(widget, stretch)
        line = QHBoxLayout(self._file)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(6)
        line.addWidget(self.path, 1)
        line.addWidget(self.browse)
        self.rows.addLayout(first)
        for widget in (self.labels, self._file, self.spectrum, self.note):
            self.rows.addWidget(widget)
        self.kind.currentTextChanged.connect(self._show_kind)
        self.path.editingFinished.connect(self._typed)
        self._show_kind(NONE)

    def choose(self, kind: str) -> None:
        """Choose where the target comes from."""
        self.kind.setCurrentText(kind)

    def how(self) -> Detector:
        """The chosen detector."""
        chosen: Detector = self.detector.currentData()
        return chosen

    def target(self, before: Layer) -> MakeTarget | None:
        """What makes the target in the thread of the check, None where none is wanted. Raises CubeError."""
        kind = self.kind.currentText()
        if kind == PINS:
            return pinned_target(self._viewer, before)
        if kind == REGION:
            labels = self.labels.layer()
            if labels is None:
                raise CubeError(f"no Labels layer of the size of '{before.name}'; add one and paint the target.")
            return painted_target(labels)
        if kind == LIBRARY:
            if not self._path:
                raise CubeError("no library is chosen; choose a file with the target's spectrum.")
            return library_target(self._path, self.spectrum.currentText())
        return None

    def open_library(self, path: str) -> None:
        """Read the names of a library's spectra, in a thread."""
        self.path.setText(path)
        self._path = path
        self.spectrum.clear()

        def names() -> tuple[str, tuple[str, ...]]:
            from hsi_app.io import read_library

            return path, read_library(path).names

        worker = TaskWorker(names)
        worker.returned.connect(self._listed)
        worker.errored.connect(self._unreadable)
        worker.start()

    def refresh(self) -> None:
        """Bring the list of Labels layers into step with the chosen cube."""
        self.labels.refresh()

    def follow(self, colours: ThemeColours) -> None:
        """Use the colours of a theme."""
        self.note.paint(colours.muted)

    def _typed(self) -> None:
        text = self.path.text().strip()
        if text and text != self._path:
            self.open_library(str(Path(text).expanduser()))

    def _listed(self, found: Any) -> None:
        path, names = found
        if path == self._path:
            self.spectrum.addItems(list(names))

    def _unreadable(self, error: Exception) -> None:
        self._path = ""
        self.failed.emit(one_line(error))

    def _may_mark(self, layer: Layer) -> bool:
        from napari.layers import Labels

        source = self._source()
        return isinstance(layer, Labels) and source is not None and may_mask(layer, tuple(source.data.shape))

    def _show_kind(self, kind: str) -> None:
        self.labels.setVisible(kind == REGION)
        self._file.setVisible(kind == LIBRARY)
        self.spectrum.setVisible(kind == LIBRARY)
        self.detector.setEnabled(kind != NONE)
        self.note.say(_NOTES[kind])

"""The rows of tools over the plot of spectra: which cubes, how they are picked, how they are shown."""

from __future__ import annotations

from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import QBoxLayout, QCheckBox, QComboBox, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from hsi_napari.layer_choice import LayerChoice
from hsi_napari.spectrum_model import BOX_SIZES_PX
from hsi_napari.spectrum_views import TITLES, WINDOWS, View

# From these widths on: which cubes and how they are picked in one line; all tools in one line.
WIDE_PX, WIDEST_PX = 820, 1320


class SpectrumTools(QWidget):
    """Three groups of tools in one, two or three lines, as the width allows.

    Parameters
    ----------
    first, second : the cubes; regions : the layer of regions
    """

    def __init__(self, first: LayerChoice, second: LayerChoice, regions: LayerChoice, parent: QWidget) -> None:
        super().__init__(parent)
        self.first, self.second, self.regions = first, second, regions
        self.box = QComboBox()
        for size in BOX_SIZES_PX:
            self.box.addItem(f"{size} × {size}", size)
        self.follow = QCheckBox("Follow")
        self.follow.setChecked(True)
        self.clear, self.export = QPushButton("Clear"), QPushButton("Export…")
        self.view, self.window_size = QComboBox(), QComboBox()
        for kind, title in TITLES.items():
            self.view.addItem(title, kind)
        for size in WINDOWS:
            self.window_size.addItem(f"{size} bands", size)
        self.library = QPushButton("Library")
        self.library.setCheckable(True)
        self._explain()
        self._lay_out()
        self.view.currentIndexChanged.connect(self._changed_view)
        self._changed_view()

    def chosen_view(self) -> View:
        """How spectra are to be shown."""
        return View(self.view.currentData(), int(self.window_size.currentData()))

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Puts the groups beside each other where there is room."""
        super().resizeEvent(event)
        width = event.size().width()
        beside, below = QBoxLayout.Direction.LeftToRight, QBoxLayout.Direction.TopToBottom
        self._upper.setDirection(beside if width >= WIDE_PX else below)
        self._all.setDirection(beside if width >= WIDEST_PX else below)

    def _changed_view(self) -> None:
        self.window_size.setVisible(self.chosen_view().is_derivative)

    def _explain(self) -> None:
        self.first.setToolTip("Cube whose spectra are shown (solid, or dashed when compared)")
        self.second.setToolTip("Second cube at the same places (solid): the restored one, for example")
        self.box.setToolTip("Mean over a window of so many pixels around the place")
        self.follow.setToolTip("Show the spectrum under the mouse")
        self.clear.setToolTip("Drop all pins")
        self.export.setToolTip("Save the spectra as a table (CSV), or the plot as a picture (PNG, SVG)")
        self.view.setToolTip(
            "Values as measured; divided by their continuum (upper convex hull, Clark and Roush 1984); or derivatives"
            " along the wavelength. Nothing is bridged at bad bands and gaps."
        )
        self.window_size.setToolTip("Bands that a derivative is smoothed over (local quadratic); 3 does not smooth")
        self.regions.setToolTip(
            "Mean spectrum of each label of a Labels layer, or of each shape of a Shapes layer; the shaded band is the"
            " standard deviation"
        )
        self.library.setToolTip("Compare with the spectra of a library")

    def _lay_out(self) -> None:
        for choice in (self.box, self.view, self.window_size):
            choice.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
        self.view.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.view.setMinimumContentsLength(9)
        which = _line(QLabel("Spectra of"), (self.first, 1), QLabel("with"), (self.second, 1))
        how = _line(QLabel("Box"), self.box, self.follow, self.clear, self.export)
        shown = _line((self.view, 3), self.window_size, QLabel("Regions"), (self.regions, 2), self.library)
        self._upper = QBoxLayout(QBoxLayout.Direction.LeftToRight)
        self._upper.addLayout(which, 1)
        self._upper.addLayout(how)
        self._all = QBoxLayout(QBoxLayout.Direction.TopToBottom)
        self._all.addLayout(self._upper, 3)
        self._all.addLayout(shown, 2)
        for part in (self._upper, self._all):
            part.setContentsMargins(0, 0, 0, 0)
            part.setSpacing(6)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(self._all)


def _line(*parts: QWidget | tuple[QWidget, int]) -> QHBoxLayout:
    """Widgets beside each other; (widget, stretch) where one takes the room that is left."""
    line = QHBoxLayout()
    line.setSpacing(8)
    for part in parts:
        widget, stretch = part if isinstance(part, tuple) else (part, 0)
        line.addWidget(widget, stretch)
    return line

"""The library beside the plot: a file is chosen, the spectra most like a picked one are listed and drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from hsi_app.bands import BandAxis
from hsi_app.jobs import Job
from hsi_napari.sections import Note
from hsi_napari.spectrum_latest import Latest
from hsi_napari.spectrum_matches import SHOWN, Fitted, Match, drawn, fitted, matches
from hsi_napari.spectrum_model import Curve

if TYPE_CHECKING:
    from hsi_napari.theme import ThemeColours

KINDS = "Spectral libraries (*.sli *.hdr *.csv *.txt *.npz);;All files (*)"
# The first entries of the drop-down list; the others are the lines of the plot.
NEWEST, MOUSE = "newest pick", "mouse"
_ROW_PX = 22


class LibraryPanel(QWidget):
    """Lists the spectra of a library that are most like a picked line, and says which of them to draw.

    ``changed`` tells that other spectra are to be drawn, ``failed`` carries one line. Reading, resampling and comparing
    are done in threads; the latest wish wins.
    """

    changed = Signal()
    failed = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.library: Fitted | None = None
        self._path: Path | None = None
        self._axis: BandAxis | None = None
        self._lines: list[Curve] = []
        self._mouse: Curve | None = None
        self._matches: list[Match] = []
        self._chosen: list[int] = []
        self._colour = "#808080"
        self._fitting, self._comparing = Latest(self), Latest(self)
        self.open_button, self.close_button = QPushButton("Open library…"), QPushButton("Close")
        self.picked, self.table = QComboBox(), QTableWidget(SHOWN, 2)
        self.is_scaled, self.note = QCheckBox("Scale to match"), Note()
        self._lay_out()
        self._wire()
        self._say()

    # ---- what a person does -------------------------------------------------------------------------------------

    def open(self, path: Path) -> None:
        """Read a library and bring it to the bands of the cube."""
        self._path = path
        self._fit()

    def put_away(self) -> None:
        """Forget the library."""
        self._path = None
        self._fit()

    def choose(self, rows: Sequence[int]) -> None:
        """Draw the spectra in these rows of the list."""
        self.table.blockSignals(True)
        self.table.clearSelection()
        for row in rows:
            for column in range(2):
                self.table.item(row, column).setSelected(True)
        self.table.blockSignals(False)
        self._choose()

    # ---- what the dock tells it ---------------------------------------------------------------------------------

    def use_bands(self, axis: BandAxis | None) -> None:
        """The bands of the cube that is looked at; the library is brought to these."""
        if axis != self._axis:
            self._axis = axis
            self._fit()

    def use_lines(self, curves: Sequence[Curve]) -> None:
        """The lines that are drawn, in physical units; the drop-down list offers them, the newest is compared."""
        self._lines = [curve for curve in curves if not curve.is_preview]
        before = self.picked.currentText()
        self.picked.blockSignals(True)
        self.picked.clear()
        self.picked.addItems([NEWEST, MOUSE, *(curve.label for curve in self._lines)])
        self.picked.setCurrentIndex(max(self.picked.findText(before), 0))
        self.picked.blockSignals(False)
        self._compare()

    def use_mouse(self, curves: Sequence[Curve]) -> None:
        """The lines under the mouse, in physical units."""
        before, self._mouse = self._mouse, curves[-1] if curves else None
        if self.target() is self._mouse and self._mouse is not before:
            self._compare()

    def follow(self, colours: ThemeColours) -> None:
        """Use the colours of a theme."""
        self._colour = colours.text
        self.note.paint(colours.muted)
        self.changed.emit()

    def target(self) -> Curve | None:
        """The line that is compared: the newest is the last pin or region, and the mouse's while there is none."""
        wanted = self.picked.currentText()
        if wanted == MOUSE or (wanted == NEWEST and not self._lines):
            return self._mouse
        if wanted == NEWEST:
            return self._lines[-1]
        return next((curve for curve in self._lines if curve.label == wanted), None)

    def curves(self) -> list[Curve]:
        """The chosen spectra of the library as lines beside the target, in physical units."""
        target, library = self.target(), self.library
        if target is None or library is None or target.y.size != library.axis.count:
            return []
        is_scaled = self.is_scaled.isChecked()
        return [drawn(library, index, target, self._colour, is_scaled=is_scaled) for index in self._chosen]

    def stop(self) -> None:
        """Read and compare nothing more."""
        self._fitting.drop()
        self._comparing.drop()

    # ---- the work -----------------------------------------------------------------------------------------------

    def _fit(self) -> None:
        self.stop()
        self.library, self._chosen = None, []
        self._list([])
        if self._path is not None and self._axis is not None:
            self._fitting.ask(_loading(self._path, self._axis))
        self._say()
        self.changed.emit()

    def _fitted(self, library: Fitted) -> None:
        self.library = library
        self._say()
        self._compare()

    def _misfit(self, why: str) -> None:
        self._path = None
        self._say()
        self.failed.emit(why)

    def _compare(self) -> None:
        target, library = self.target(), self.library
        if target is None or library is None or target.y.size != library.axis.count:
            self._comparing.drop()
            self._list([])
            self.changed.emit()
            return
        self._comparing.ask(_comparing(library, target))
        self.changed.emit()

    def _list(self, found: Sequence[Match]) -> None:
        """Show the matches; spectra that are drawn stay chosen while they are in the list."""
        self._matches = list(found)
        self.table.blockSignals(True)
        for row in range(SHOWN):
            match = found[row] if row < len(found) else None
            words = ("", "") if match is None else (match.name, f"{match.angle_deg:.2f}°")
            for column, text in enumerate(words):
                item = self.table.item(row, column)
                item.setText(text)
                item.setToolTip(text)
                item.setSelected(match is not None and match.index in self._chosen)
        self.table.blockSignals(False)

    def _choose(self) -> None:
        rows = sorted({index.row() for index in self.table.selectedIndexes()})
        self._chosen = [self._matches[row].index for row in rows if row < len(self._matches)]
        self.changed.emit()

    def _say(self) -> None:
        is_open = self._path is not None
        self.close_button.setEnabled(is_open)
        if self._path is None:
            self.note.say("Open a library (ENVI .sli, CSV, .npz) to see which of its spectra are most like a pick.")
        elif self.library is None:
            self.note.say(f"{self._path.name}: reading…" if self._axis is not None else "Open a cube to compare with.")
        else:
            more = f"; {self.library.note}" if self.library.note else ""
            self.note.say(f"{self.library.name}: {len(self.library.names)} spectra{more}")

    # ---- building -----------------------------------------------------------------------------------------------

    def _lay_out(self) -> None:
        self.open_button.setToolTip("Read a spectral library and bring it to the cube's bands")
        self.close_button.setToolTip("Put the library away")
        self.picked.setToolTip("Which line of the plot is compared with the library")
        self.picked.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.picked.setMinimumContentsLength(8)
        self.picked.addItems([NEWEST, MOUSE])
        self.is_scaled.setChecked(True)
        self.is_scaled.setToolTip(
            "Draw library spectra multiplied by the factor that brings them nearest to the picked line (least squares)."
            " The spectral angle does not depend on it."
        )
        table = self.table
        table.setHorizontalHeaderLabels(["most like it", "angle"])
        table.setToolTip("Click to draw a spectrum, with Ctrl several. Angle: spectral angle in degrees, 0° is alike")
        table.verticalHeader().setVisible(False)
        table.verticalHeader().setDefaultSectionSize(_ROW_PX)
        table.horizontalHeader().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        table.horizontalHeader().setSectionResizeMode(1, QHeaderView.ResizeMode.ResizeToContents)
        table.horizontalHeader().setHighlightSections(False)
        table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        table.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        table.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        table.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        table.setShowGrid(False)
        # All rows where there is room; a low dock scrolls them rather than writing the note over them.
        table.setMinimumHeight(3 * _ROW_PX + 6)
        table.setMaximumHeight((SHOWN + 1) * _ROW_PX + 6)
        for row in range(SHOWN):
            for column in range(2):
                item = QTableWidgetItem("")
                side = Qt.AlignmentFlag.AlignRight if column else Qt.AlignmentFlag.AlignLeft
                item.setTextAlignment(side | Qt.AlignmentFlag.AlignVCenter)
                table.setItem(row, column, item)
        files, which = QHBoxLayout(), QHBoxLayout()
        files.addWidget(self.open_button, 1)
        files.addWidget(self.close_button)
        which.addWidget(QLabel("Compare"))
        which.addWidget(self.picked, 1)
        which.addWidget(self.is_scaled)
        rows = QVBoxLayout(self)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.setSpacing(4)
        for line in (files, which):
            line.setSpacing(8)
            rows.addLayout(line)
        rows.addWidget(table, 1)
        rows.addWidget(self.note)
        rows.addStretch()

    def _wire(self) -> None:
        self.open_button.clicked.connect(self._ask)
        self.close_button.clicked.connect(self.put_away)
        self.picked.currentIndexChanged.connect(self._compare)
        self.table.itemSelectionChanged.connect(self._choose)
        self.is_scaled.toggled.connect(self.changed)
        self._fitting.done.connect(self._fitted)
        self._fitting.failed.connect(self._misfit)
        self._comparing.done.connect(self._list)
        self._comparing.failed.connect(self.failed)

    def _ask(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self.window(), "Open a spectral library", "", KINDS)
        if path:
            self.open(Path(path))


def _loading(path: Path, axis: BandAxis) -> Callable[[Job], Fitted]:
    def run(job: Job) -> Fitted:
        from hsi_app.io.spectral_library import read_library

        return fitted(read_library(path), axis, path.stem)

    return run


def _comparing(library: Fitted, target: Curve) -> Callable[[Job], Any]:
    return lambda job: matches(library, target.y)

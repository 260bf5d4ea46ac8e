"""The controls of the bands' part: measure, select, mark, undo, files."""

from __future__ import annotations

from qtpy.QtWidgets import (
    QDoubleSpinBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

LEAST_DB = 20.0


class BandTools:
    """Two blocks of controls: ``upper`` above the plot, ``lower`` below it."""

    def __init__(self, parent: QWidget) -> None:
        self.measure, self.bar = QPushButton("Measure"), QProgressBar()
        self.rules, self.ranges = QPushButton("Select"), QLineEdit()
        self.least_db, self.noisy = QDoubleSpinBox(), QPushButton("Select")
        self.bad, self.good = QPushButton("Mark bad"), QPushButton("Mark good")
        self.undo, self.redo = QPushButton("Undo"), QPushButton("Redo")
        self.load, self.export = QPushButton("Load…"), QPushButton("Export…")
        self._below = QLabel("SNR below")
        self.upper, self.lower = QWidget(parent), QWidget(parent)
        self._explain()
        _column(self.upper, [(self.measure, 0), (self.bar, 1), (self._below, 0), (self.least_db, 1), (self.noisy, 0)])
        _column(
            self.lower,
            [(self.rules, 0), (self.ranges, 1)],
            [(self.bad, 1), (self.good, 1), (self.undo, 1), (self.redo, 1)],
            [(self.load, 1), (self.export, 1)],
        )
        self.bar.setRange(0, 100)
        self.least_db.setRange(-20, 120)
        self.least_db.setValue(LEAST_DB)
        self.least_db.setDecimals(0)
        self.least_db.setSuffix(" dB")
        self.least_db.setMaximumWidth(92)
        self.ranges.setPlaceholderText("1-4, 103-110, 1350-1450 nm")
        self.ranges.setClearButtonEnabled(True)
        self.show_running(False)
        self.show_measured(False)
        self.show_selected(False)
        self.show_history(False, False)

    def show_running(self, is_running: bool) -> None:
        """A measurement began or ended."""
        self.measure.setText("Cancel" if is_running else "Measure")
        self.bar.setVisible(is_running)
        self.bar.setValue(0)
        self._show_noisy()

    def progress(self, fraction: float, message: str) -> None:
        """How far the measurement is."""
        self.bar.setValue(round(100 * fraction))
        self.bar.setFormat(f"{message} %p %")

    def show_measured(self, is_measured: bool) -> None:
        """Offer what needs a measurement."""
        self._is_measured = is_measured
        self._show_noisy()

    def show_selected(self, is_any: bool) -> None:
        """Offer what needs selected bands."""
        self.bad.setEnabled(is_any)
        self.good.setEnabled(is_any)

    def show_history(self, can_undo: bool, can_redo: bool) -> None:
        """Offer to take changes back."""
        self.undo.setEnabled(can_undo)
        self.redo.setEnabled(can_redo)

    def _show_noisy(self) -> None:
        is_offered = getattr(self, "_is_measured", False) and self.bar.isHidden()
        for part in (self._below, self.least_db, self.noisy):
            part.setVisible(is_offered)

    def _explain(self) -> None:
        self.measure.setToolTip("Estimate noise and stripes of every band on a sample of the cube")
        self.rules.setToolTip("Select bands by a rule")
        self.ranges.setToolTip("Band numbers from 1, or wavelengths with nm or um; Enter selects them")
        self.noisy.setToolTip("Select the bands with a lower signal-to-noise ratio")
        self.bad.setToolTip("Leave the selected bands out of runs, plots and pictures; their values stay")
        self.good.setToolTip("Use the selected bands again")
        self.load.setToolTip("Take the bad bands from a CSV or text file, or from an ENVI header")
        self.export.setToolTip("Write the bad bands as a table (CSV) or as ranges (TXT)")


def _column(block: QWidget, *lines: list[tuple[QWidget, int]]) -> None:
    """Lines of widgets with their shares of the room that is left."""
    rows = QVBoxLayout(block)
    rows.setContentsMargins(0, 0, 0, 0)
    rows.setSpacing(6)
    for widgets in lines:
        line = QHBoxLayout()
        line.setSpacing(6)
        for widget, share in widgets:
            line.addWidget(widget, share)
        if not any(share for _, share in widgets):
            line.addStretch(1)
        rows.addLayout(line)

"""The table of a cube's bands: wavelength, width, noise, stripes, and whether they count as bad."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from qtpy.QtCore import (
    QAbstractTableModel,
    QItemSelection,
    QItemSelectionModel,
    QModelIndex,
    QSortFilterProxyModel,
    Qt,
    Signal,
)
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView, QWidget

from hsi_app.band_quality import BandQuality
from hsi_app.bands import BandAxis
from hsi_napari.theme import ThemeColours

# Title, tool tip, width in px.
COLUMNS = (
    ("Bad", "Bad bands are left out of runs, plots and pictures, and never deleted", 32),
    ("Band", "Number from 1", 42),
    ("nm", "Centre wavelength, or the band's name", 54),
    ("FWHM", "Full width at half maximum, nm", 48),
    ("SNR", "Signal-to-noise ratio, dB: mean signal over the noise that other bands do not predict", 40),
    ("Stripes", "Strength of stripes along rows or columns; 1 = none", 52),
    ("Notes", "What was noticed in the measured sample", 70),
)
BAD = 0
ROW_PX = 21


class BandModel(QAbstractTableModel):
    """One row a band; ``toggled`` carries a band and whether a person marked it bad."""

    toggled = Signal(int, bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._axis = BandAxis(0)
        self._quality: BandQuality | None = None
        self._muted = QColor("#808080")

    def show(self, axis: BandAxis, quality: BandQuality | None) -> None:
        """Show these bands; keeps the view's selection where their number stays."""
        is_same = axis.count == self._axis.count
        if not is_same:
            self.beginResetModel()
        self._axis, self._quality = axis, quality
        if not is_same:
            self.endResetModel()
        elif axis.count:
            self.dataChanged.emit(self.index(0, 0), self.index(axis.count - 1, len(COLUMNS) - 1))

    def follow(self, colours: ThemeColours) -> None:
        """Use the colours of a theme."""
        self._muted = QColor(colours.muted)

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        """Number of bands."""
        return 0 if parent is not None and parent.isValid() else self._axis.count

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        """Number of columns."""
        return 0 if parent is not None and parent.isValid() else len(COLUMNS)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Titles and what they mean."""
        if orientation != Qt.Orientation.Horizontal or not 0 <= section < len(COLUMNS):
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return COLUMNS[section][0]
        if role == Qt.ItemDataRole.TextAlignmentRole and section == len(COLUMNS) - 1:
            return Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        return COLUMNS[section][1] if role == Qt.ItemDataRole.ToolTipRole else None

    def flags(self, index: QModelIndex) -> Qt.ItemFlag:
        """The first column is a box to tick."""
        flags = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
        return flags | Qt.ItemFlag.ItemIsUserCheckable if index.column() == BAD else flags

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Text, tick, colour, and for sorting the number itself."""
        band, column = index.row(), index.column()
        if role == Qt.ItemDataRole.UserRole:
            return self._sorted_by(band, column)
        if role == Qt.ItemDataRole.CheckStateRole and column == BAD:
            return Qt.CheckState.Checked if self._axis.is_bad[band] else Qt.CheckState.Unchecked
        if role == Qt.ItemDataRole.ForegroundRole and self._axis.is_bad[band]:
            return self._muted
        if role == Qt.ItemDataRole.TextAlignmentRole and BAD < column < len(COLUMNS) - 1:
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole) and column != BAD:
            return self.text(band, column)
        return None

    def setData(self, index: QModelIndex, value: Any, role: int = Qt.ItemDataRole.EditRole) -> bool:
        """A tick is told, not kept: the layer's facts are what counts."""
        if role != Qt.ItemDataRole.CheckStateRole or index.column() != BAD:
            return False
        self.toggled.emit(index.row(), Qt.CheckState(value) == Qt.CheckState.Checked)
        return True

    def text(self, band: int, column: int) -> str:
        """What a cell says."""
        axis, quality = self._axis, self._quality
        if column == 1:
            return str(band + 1)
        if column == 2:
            named = "" if axis.names is None else axis.names[band]
            return named if axis.centres_nm is None else f"{axis.centres_nm[band]:.1f}"
        if column == 3:
            return "" if axis.fwhm_nm is None else f"{axis.fwhm_nm[band]:.1f}"
        if quality is None:
            return ""
        if column == 6:
            return ", ".join(quality.flags(band))
        value = quality.snr_db[band] if column == 4 else quality.stripes[band]
        return f"{value:.{1 if column == 4 else 2}f}" if np.isfinite(value) else "–"

    def _sorted_by(self, band: int, column: int) -> Any:
        text = self.text(band, column)
        if column == BAD:
            return int(self._axis.is_bad[band])
        try:
            return float(text)
        except ValueError:
            return text if column == len(COLUMNS) - 1 else float(band) if not text else -np.inf


class BandTable(QTableView):
    """Sorts by any column; ``picked`` carries a band that was clicked, ``toggled`` bands and their new state."""

    picked = Signal(int)
    toggled = Signal(object, bool)
    selected = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.bands = BandModel(self)
        self._sorting = QSortFilterProxyModel(self)
        self._sorting.setSourceModel(self.bands)
        self._sorting.setSortRole(Qt.ItemDataRole.UserRole)
        self.setModel(self._sorting)
        self.setSortingEnabled(True)
        self.sortByColumn(1, Qt.SortOrder.AscendingOrder)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setWordWrap(False)
        self.setShowGrid(False)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(ROW_PX)
        self.verticalHeader().setMinimumSectionSize(ROW_PX)
        header = self.horizontalHeader()
        header.setStretchLastSection(True)
        header.setMinimumSectionSize(24)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        for column, (_, _, width) in enumerate(COLUMNS):
            self.setColumnWidth(column, width)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setMinimumHeight(170)
        self.bands.toggled.connect(self._toggled)
        self.clicked.connect(self._clicked)
        self.selectionModel().selectionChanged.connect(self._selected)

    def chosen(self) -> list[int]:
        """Selected bands from 0, ascending."""
        return sorted(self._sorting.mapToSource(index).row() for index in self.selectionModel().selectedRows())

    def choose(self, bands: Iterable[int]) -> None:
        """Select these bands and bring the first into view."""
        picks = QItemSelection()
        rows = [self._sorting.mapFromSource(self.bands.index(int(band), 0)) for band in sorted(set(bands))]
        for row in rows:
            picks.select(row, row)
        how = QItemSelectionModel.SelectionFlag.ClearAndSelect | QItemSelectionModel.SelectionFlag.Rows
        self.selectionModel().select(picks, how)
        if rows:
            self.scrollTo(min(rows, key=lambda index: index.row()))

    def _toggled(self, band: int, is_bad: bool) -> None:
        # A tick in a selected row counts for the selection.
        chosen = self.chosen()
        self.toggled.emit(chosen if band in chosen else [band], is_bad)

    def _clicked(self, index: QModelIndex) -> None:
        self.picked.emit(self._sorting.mapToSource(index).row())

    def _selected(self, *changed: object) -> None:
        self.selected.emit()

"""The bands of a cube ranked by noise: a table that sorts, and takes to a band."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem, QWidget

if TYPE_CHECKING:
    from hsi_app.trust.assessment import Assessment
    from hsi_napari.theme import ThemeColours

_ROW_PX, _WORD_PX, _SHOWN_ROWS = 22, 62, 9
_SHORT = {"scene structure": "scene", "nothing": "–"}
_PAIR = (
    ("Band", "Number of the band, from 1"),
    ("nm", "Centre of the band"),
    ("Before", "Signal to noise before, dB"),
    ("After", "Signal to noise after, dB, at least: the noise estimate before less what the finest detail shrank"),
    ("Stripes", "Stripe strength after; 1 = none"),
    ("Removed", "What was removed: grain, stripes or scene"),
)
_ONE = (*_PAIR[:2], ("S/N", "Signal to noise, dB"), ("Stripes", "Stripe strength; 1 = none"))


class _Number(QTableWidgetItem):
    """A cell that sorts by its number, what is unknown last."""

    def __init__(self, value: float, digits: int) -> None:
        is_known = value == value
        super().__init__(f"{value:.{digits}f}" if is_known else "–")
        self.value = value if is_known else float("inf")
        self.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)

    def __lt__(self, other: QTableWidgetItem) -> bool:
        return self.value < other.value if isinstance(other, _Number) else bool(super().__lt__(other))


class TrustTable(QTableWidget):
    """``chosen`` carries the index of the band whose row was clicked."""

    chosen = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, 0, parent)
        self._warning = QColor("#e8871e")
        # Six columns beside a narrow dock's image: napari's header takes more room than its words.
        self.horizontalHeader().setStyleSheet("QHeaderView::section { padding: 2px 1px; font-size: 8pt; }")
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(_ROW_PX)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.currentCellChanged.connect(self._tell)

    def follow(self, colours: ThemeColours) -> None:
        """Use the colours of a theme."""
        self._warning = QColor(colours.warning)

    def show_bands(self, found: Assessment) -> None:
        """List the judged bands, noisiest first."""
        heads = _PAIR if found.after is not None else _ONE
        rows, centres = found.ranking.rows(), found.before.axis.centres_nm
        self.blockSignals(True)
        self.setSortingEnabled(False)
        self.setColumnCount(len(heads))
        self.setHorizontalHeaderLabels([head for head, _ in heads])
        for column, (_, tip) in enumerate(heads):
            self.horizontalHeaderItem(column).setToolTip(tip)
        self.setRowCount(len(rows))
        for place, row in enumerate(rows):
            band = int(row["band"]) - 1
            nm = float("nan") if centres is None else float(centres[band])
            cells: list[QTableWidgetItem] = [_Number(band + 1, 0), _Number(nm, 0), _Number(float(row["snr_before"]), 1)]
            if found.after is not None:
                cells += [_Number(float(row["snr_after"]), 1), _Number(float(row["stripes_after"]), 1)]
                word = found.removed.verdicts[band] if found.removed is not None else "nothing"
                cells.append(QTableWidgetItem(_SHORT.get(word, word)))
                if word == "scene structure":
                    cells[-1].setForeground(self._warning)
            else:
                cells.append(_Number(float(row["stripes_before"]), 1))
            if row["mark"]:
                cells[0].setToolTip(f"This band is {row['mark']}.")
                cells[3 if found.after is not None else 2].setForeground(self._warning)
            for column, cell in enumerate(cells):
                self.setItem(place, column, cell)
        self.setColumnHidden(1, centres is None)
        self.setSortingEnabled(True)
        self.sortByColumn(3 if found.after is not None else 2, Qt.SortOrder.AscendingOrder)
        self.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        if found.after is not None:
            self.horizontalHeader().setSectionResizeMode(len(heads) - 1, QHeaderView.ResizeMode.Fixed)
            self.setColumnWidth(len(heads) - 1, _WORD_PX)
        self.blockSignals(False)
        shown = min(len(rows), _SHOWN_ROWS)
        self.setFixedHeight(self.horizontalHeader().sizeHint().height() + _ROW_PX * shown + 2 * self.frameWidth() + 2)

    def bands(self) -> list[int]:
        """Indices of the bands in the order shown."""
        return [int(self.item(row, 0).text()) - 1 for row in range(self.rowCount())]

    def _tell(self, row: int, *_: int) -> None:
        item = self.item(row, 0)
        if item is not None:
            self.chosen.emit(int(item.text()) - 1)

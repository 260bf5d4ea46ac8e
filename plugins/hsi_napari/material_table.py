"""The list of materials: colour, name, share of the scene, pixels where it prevails."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QColor, QIcon, QPainter, QPixmap
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem, QWidget

from hsi_napari.material_group import MaterialGroup
from hsi_napari.material_layers import Material

_SWATCH_PX, _ROW_PX = 14, 26
_HEADERS = ("Material", "Mean", "Prevails in")


class MaterialTable(QTableWidget):
    """As high as its rows; a name is edited by a double click, a box shows and hides the layer.

    ``renamed`` carries place and text, ``toggled`` place and state.
    """

    renamed = Signal(int, str)
    toggled = Signal(int, bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, len(_HEADERS), parent)
        self.setHorizontalHeaderLabels(_HEADERS)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(_ROW_PX)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setIconSize(QSize(_SWATCH_PX, _SWATCH_PX))
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        header = self.horizontalHeader()
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        for column in (1, 2):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
            self.horizontalHeaderItem(column).setTextAlignment(
                Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
            )
        self.horizontalHeaderItem(0).setTextAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        self.itemChanged.connect(self._changed)

    def show_materials(self, materials: Sequence[Material]) -> None:
        """List these materials and no others."""
        self.blockSignals(True)
        self.setRowCount(len(materials))
        for row, material in enumerate(materials):
            name = QTableWidgetItem(swatch(material.colour), material.name)
            name.setToolTip("Double-click to rename; the box shows and hides the layer.")
            self.setItem(row, 0, name)
            for column, text in ((1, f"{material.mean:.1%}"), (2, f"{material.prevails_px} px")):
                number = QTableWidgetItem(text)
                number.setFlags(Qt.ItemFlag.ItemIsEnabled)
                number.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                self.setItem(row, column, number)
        self.blockSignals(False)
        frame = 2 * self.frameWidth()
        self.setFixedHeight(self.horizontalHeader().sizeHint().height() + _ROW_PX * len(materials) + frame)

    def follow(self, group: MaterialGroup) -> None:
        """Show the names as they are now and which layers are visible."""
        self.blockSignals(True)
        for row, text in enumerate(group.names):
            item, layer = self.item(row, 0), group.layer(row)
            item.setText(text)
            item.setCheckState(
                Qt.CheckState.Checked if layer is not None and layer.visible else Qt.CheckState.Unchecked
            )
            usable = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsEditable
            item.setFlags(usable if layer is None else usable | Qt.ItemFlag.ItemIsUserCheckable)
        self.blockSignals(False)

    def _changed(self, item: QTableWidgetItem) -> None:
        if item.column() == 0:
            # Both before either is told: what follows brings the list up to date, and would take an edit back.
            text, is_shown = item.text(), item.checkState() == Qt.CheckState.Checked
            self.renamed.emit(item.row(), text)
            self.toggled.emit(item.row(), is_shown)


def swatch(colour: str) -> QIcon:
    """A small square of a colour."""
    picture = QPixmap(_SWATCH_PX, _SWATCH_PX)
    picture.fill(Qt.GlobalColor.transparent)
    painter = QPainter(picture)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(colour))
    painter.drawRoundedRect(1, 1, _SWATCH_PX - 2, _SWATCH_PX - 2, 3, 3)
    painter.end()
    return QIcon(picture)

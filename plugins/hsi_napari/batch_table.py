"""The scenes of a batch as a table: picture, name, state, time. Thousands of rows cost no more than those in sight."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, QPointF, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QPainter, QPen, QPixmap, QPolygonF
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
    QWidget,
)

from hsi_napari.batch_scenes import Scene, Scenes, left, span
from hsi_napari.theme import LINE_COLOURS, ThemeColours, mixed, readable_on

NAME, STATE, TIME = range(3)
_HEADERS = ("Scene", "State", "Time")
_ROW_PX, _PICTURE_PX, _MARK_PX = 30, 24, 14
_STATE_PX, _TIME_PX = 104, 96
# Pictures that are kept; a screen holds a few dozen.
_MOST_PICTURES = 400
GREEN = LINE_COLOURS[2]
WORDS: Mapping[str, str] = {
    "waiting": "waiting", "working": "working", "done": "done", "same": "as before", "failed": "failed",
}  # fmt: skip

_NOWHERE = QModelIndex()


class BatchModel(QAbstractTableModel):
    """``Scenes`` as Qt sees them; the state's role holds the scene itself."""

    SCENE = Qt.ItemDataRole.UserRole

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.scenes = Scenes()
        self.folder = Path()
        self._marks: dict[str, QPixmap] = {}
        self._pictures: dict[str, QPixmap | None] = {}

    def follow(self, colours: ThemeColours) -> None:
        """Use the colours of a theme."""
        self._marks = marks(colours)
        self._changed(0, len(self.scenes.rows) - 1)

    def begin(self, planned: Sequence[Mapping[str, Any]], folder: Path) -> None:
        """Show the scenes of a plan, whose results lie in a folder, and no others."""
        self.beginResetModel()
        self.folder = folder
        self._pictures.clear()
        self.scenes.begin(planned)
        self.endResetModel()

    def apply(self, events: Sequence[Mapping[str, Any]]) -> list[tuple[int, str]]:
        """Take in what happened; gives rows and what happened to them."""
        now = time.monotonic()
        found = [(self.scenes.apply(event, now), str(event.get("event"))) for event in events]
        told = [(row, what) for row, what in found if row is not None]
        rows = [row for row, _ in told]
        for row in rows:
            self._pictures.pop(self.scenes.rows[row].out, None)
        if rows:
            self._changed(min(rows), max(rows))
        return told

    def settle(self) -> None:
        """Nothing is in work any more."""
        self.scenes.settle()
        self._changed(0, len(self.scenes.rows) - 1)

    def scene(self, row: int) -> Scene | None:
        """The scene of a row, None where there is no such row."""
        return self.scenes.rows[row] if 0 <= row < len(self.scenes.rows) else None

    # ---- what Qt asks -------------------------------------------------------------------------------------------

    def rowCount(self, parent: QModelIndex = _NOWHERE) -> int:
        """A row for each scene."""
        return 0 if parent.isValid() else len(self.scenes.rows)

    def columnCount(self, parent: QModelIndex = _NOWHERE) -> int:
        """Name, state and time."""
        return 0 if parent.isValid() else len(_HEADERS)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """What the columns are called."""
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole:
            return _HEADERS[section]
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.TextAlignmentRole:
            side = Qt.AlignmentFlag.AlignRight if section == TIME else Qt.AlignmentFlag.AlignLeft
            return side | Qt.AlignmentFlag.AlignVCenter
        return None

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """What a cell shows."""
        scene = self.scene(index.row())
        if scene is None:
            return None
        column = index.column()
        if role == Qt.ItemDataRole.DisplayRole:
            return (scene.name, state_text(scene), time_text(scene))[column]
        if role == Qt.ItemDataRole.DecorationRole and column == NAME:
            return self._picture(scene)
        if role == Qt.ItemDataRole.ToolTipRole:
            return tip_of(scene)
        if role == Qt.ItemDataRole.TextAlignmentRole and column == TIME:
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        return scene if role == self.SCENE else None

    def mark(self, state: str) -> QPixmap | None:
        """The small sign of a state."""
        return self._marks.get(state)

    def _picture(self, scene: Scene) -> QPixmap | None:
        """The result in small, where there is one; else room for it."""
        if not scene.has_result:
            return self._marks.get("room")
        if scene.out not in self._pictures:
            if len(self._pictures) >= _MOST_PICTURES:
                self._pictures.clear()
            self._pictures[scene.out] = _thumbnail(self.folder, scene.out)
        return self._pictures[scene.out] or self._marks.get("room")

    def _changed(self, first: int, last: int) -> None:
        if last >= first:
            self.dataChanged.emit(self.index(first, NAME), self.index(last, TIME))


def _thumbnail(folder: Path, out: str) -> QPixmap | None:
    """The middle of the picture that the batch made."""
    from hsi_app.batch.unit import thumbnail_file

    whole = QPixmap(str(thumbnail_file(folder, out)))
    if whole.isNull():
        return None
    fill, smooth = Qt.AspectRatioMode.KeepAspectRatioByExpanding, Qt.TransformationMode.SmoothTransformation
    scaled = whole.scaled(2 * _PICTURE_PX, 2 * _PICTURE_PX, fill, smooth)
    left_px, top_px = (scaled.width() - 2 * _PICTURE_PX) // 2, (scaled.height() - 2 * _PICTURE_PX) // 2
    cut = scaled.copy(left_px, top_px, 2 * _PICTURE_PX, 2 * _PICTURE_PX)
    cut.setDevicePixelRatio(2)  # fine enough for screens of twice the density
    return cut


def state_text(scene: Scene) -> str:
    """'done'; of one in work how far it is."""
    return f"{scene.fraction:.0%}" if scene.state == "working" and scene.fraction else WORDS[scene.state]


def time_text(scene: Scene) -> str:
    """'12 s left' in work, '4.1 s' when done, '~ 4 s' while it waits and that is known."""
    if scene.state == "working":
        return left(scene.left_s).removeprefix("about ")
    if scene.seconds is None or scene.state == "failed":
        return ""
    return f"~ {span(max(scene.seconds, 1.0))}" if scene.state == "waiting" else span(scene.seconds)


def detail_of(scene: Scene) -> str:
    """Everything about a scene in plain lines."""
    first = f"{scene.name}: {WORDS[scene.state]}"
    if scene.reason:
        first = f"{scene.name}: {scene.reason}" if scene.state == "waiting" else f"{first}: {scene.reason}"
    elif scene.state == "working" and scene.message:
        first += f", {scene.message}"
    elif scene.did:
        first += f", {scene.did}" + (f" in {span(scene.seconds)}" if scene.seconds is not None else "")
    return "\n".join([first, *(f"• {note}" for note in scene.notes)])


def tip_of(scene: Scene) -> str:
    """The same as a wrapped tool tip, with where it came from and where it goes to."""
    lines = [*detail_of(scene).splitlines(), f"{scene.source} → {scene.out}"]
    return f"<qt>{'<br>'.join(escape(line) for line in lines)}</qt>"


class _StateDelegate(QStyledItemDelegate):
    """A sign and a word; of a scene in work a bar."""

    def __init__(self, model: BatchModel, parent: QWidget) -> None:
        super().__init__(parent)
        self._model = model
        self.colours: ThemeColours | None = None

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex) -> None:
        scene = self._model.scene(index.row())
        colours = self.colours
        if scene is None or colours is None:
            super().paint(painter, option, index)
            return
        self.initStyleOption(option, index)
        option.text = ""
        style = option.widget.style()
        style.drawControl(style.ControlElement.CE_ItemViewItem, option, painter, option.widget)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        place = QRectF(option.rect).adjusted(4, 0, -6, 0)
        if scene.state == "working":
            _draw_bar(painter, place, scene, colours)
        else:
            mark = self._model.mark(scene.state)
            if mark is not None:
                spot = QRectF(place.left(), place.center().y() - _MARK_PX / 2, _MARK_PX, _MARK_PX)
                painter.drawPixmap(spot, mark, QRectF(mark.rect()))
            is_chosen = bool(option.state & style.StateFlag.State_Selected)
            quiet = colours.error if scene.state == "failed" else colours.muted
            painter.setPen(QColor(colours.text if is_chosen or scene.state == "done" else quiet))
            words = place.adjusted(_MARK_PX + 6, 0, 0, 0)
            painter.drawText(words, int(Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft), WORDS[scene.state])
        painter.restore()


def _draw_bar(painter: QPainter, place: QRectF, scene: Scene, colours: ThemeColours) -> None:
    trough = QRectF(place.left(), place.center().y() - 8, place.width(), 16)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(mixed(colours.background, colours.text, 0.18)))
    painter.drawRoundedRect(trough, 4, 4)
    filled = QRectF(trough)
    filled.setWidth(trough.width() * scene.fraction)
    painter.save()
    painter.setClipRect(filled)
    painter.setBrush(QColor(colours.accent))
    painter.drawRoundedRect(trough, 4, 4)
    painter.restore()
    # The letters lie on the trough or on what fills it.
    ground = colours.accent if scene.fraction > 0.5 else ""
    painter.setPen(QColor(readable_on(ground) if ground else colours.text))
    painter.drawText(trough, int(Qt.AlignmentFlag.AlignCenter), state_text(scene))


class BatchTable(QTableView):
    """The table; ``opened`` carries the row that was double-clicked, ``chosen`` the selected one (-1: none)."""

    opened = Signal(int)
    chosen = Signal(int)

    def __init__(self, model: BatchModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setModel(model)
        self._states = _StateDelegate(model, self)
        self.setItemDelegateForColumn(STATE, self._states)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setIconSize(QSize(_PICTURE_PX, _PICTURE_PX))
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        rows = self.verticalHeader()
        rows.hide()
        rows.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        rows.setDefaultSectionSize(_ROW_PX)
        columns = self.horizontalHeader()
        columns.setHighlightSections(False)
        columns.setSectionsClickable(False)
        columns.setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
        for column, width in ((STATE, _STATE_PX), (TIME, _TIME_PX)):
            columns.setSectionResizeMode(column, QHeaderView.ResizeMode.Fixed)
            self.setColumnWidth(column, width)
        self.setMinimumHeight(4 * _ROW_PX)
        self._watched = -1
        self.doubleClicked.connect(lambda index: self.opened.emit(index.row()))
        self.selectionModel().selectionChanged.connect(lambda *_: self.chosen.emit(self.row()))
        model.modelReset.connect(self._begin_anew)

    def _begin_anew(self) -> None:
        self._watched = -1
        self.chosen.emit(-1)

    def follow(self, colours: ThemeColours) -> None:
        """Use the colours of a theme."""
        self._states.colours = colours
        chosen = mixed(colours.background, colours.accent, 0.45)
        # napari's own style gives tables no colours of the theme.
        self.setStyleSheet(
            f"QTableView {{ background: {colours.background}; color: {colours.text}; border: 1px solid"
            f" {colours.raised}; }}"
            f"QTableView::item:selected {{ background: {chosen}; color: {colours.text}; }}"
            f"QHeaderView::section {{ background: {colours.raised}; color: {colours.text}; border: none;"
            f" padding: 3px 6px; }}"
        )

    def row(self) -> int:
        """The selected row, -1 if there is none."""
        rows = self.selectionModel().selectedRows()
        return rows[0].row() if rows else -1

    def choose(self, row: int) -> None:
        """Select a row and bring it into sight."""
        self.selectRow(row)
        self.scrollTo(self.model().index(row, NAME))

    def watch(self, row: int) -> None:
        """Bring a row into sight, unless a person chose another one or scrolled away from the last."""
        last = self.visualRect(self.model().index(self._watched, NAME))
        if self.row() < 0 and (self._watched < 0 or self.viewport().rect().intersects(last)):
            self._watched = row
            self.scrollTo(self.model().index(row, NAME))


def marks(colours: ThemeColours) -> dict[str, QPixmap]:
    """The signs of the states: shapes that differ without their colours."""
    return {
        "waiting": _drawn(colours.muted, "circle"), "done": _drawn(GREEN, "tick"),
        "same": _drawn(colours.muted, "tick"), "failed": _drawn(colours.error, "cross"),
        "room": _room(mixed(colours.background, colours.text, 0.12)),
    }  # fmt: skip


_LINES: Mapping[str, tuple[tuple[tuple[float, float], ...], ...]] = {
    "tick": (((0.15, 0.55), (0.42, 0.8), (0.88, 0.22)),),
    "cross": (((0.2, 0.2), (0.8, 0.8)), ((0.2, 0.8), (0.8, 0.2))),
    "circle": (),
}


def _drawn(colour: str, shape: str) -> QPixmap:
    side = 2 * _MARK_PX  # fine enough for screens of twice the density
    picture = QPixmap(side, side)
    picture.fill(Qt.GlobalColor.transparent)
    painter = QPainter(picture)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    pen = QPen(QColor(colour), side / 8)
    pen.setCapStyle(Qt.PenCapStyle.RoundCap)
    pen.setJoinStyle(Qt.PenJoinStyle.RoundJoin)
    painter.setPen(pen)
    if shape == "circle":
        painter.drawEllipse(QPointF(side / 2, side / 2), side * 0.3, side * 0.3)
    for line in _LINES[shape]:
        painter.drawPolyline(QPolygonF([QPointF(x * side, y * side) for x, y in line]))
    painter.end()
    return picture


def _room(colour: str) -> QPixmap:
    side = 2 * _PICTURE_PX
    picture = QPixmap(side, side)
    picture.fill(Qt.GlobalColor.transparent)
    painter = QPainter(picture)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(colour))
    painter.drawRoundedRect(0, 0, side, side, 8, 8)
    painter.end()
    picture.setDevicePixelRatio(2)
    return picture

"""The scenes that a batch is given: a list of files, folders and tables, filled by buttons and by dropping."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from qtpy.QtCore import QStringListModel, Qt, Signal
from qtpy.QtGui import QColor, QKeyEvent, QPainter, QPaintEvent
from qtpy.QtWidgets import QAbstractItemView, QFileDialog, QHBoxLayout, QListView, QPushButton, QVBoxLayout, QWidget

from hsi_napari.batch_request import Source
from hsi_napari.reader import once_each
from hsi_napari.sections import Note
from hsi_napari.theme import ThemeColours

_HINT = "Drop files, folders, tables (.csv with a column 'file')\nor lists (.txt) anywhere on this dock."
_TABLES = "Tables and lists (*.csv *.txt);;All files (*)"
_LIST_PX = 72
# From so many inputs on, which the list does not show at a glance, they are counted.
COUNTED = 3


class InputList(QWidget):
    """``changed`` when an input comes or goes; ``recipe_given`` when one of them is a recipe."""

    changed = Signal()
    recipe_given = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._sources: dict[str, Source] = {}
        self._names = QStringListModel(self)
        self.list = _Paths(self)
        self.list.setModel(self._names)
        self.summary = Note()
        self.files = QPushButton("Files…")
        self.folder = QPushButton("Folder…")
        self.table = QPushButton("Table…")
        self.table.setToolTip(
            "A CSV table with the column 'file' and, as wanted, 'out', 'mask' and options of the recipe, or a list with"
            " a file a line."
        )
        self.remove = QPushButton("Remove")
        self.remove.setToolTip("Take the selected inputs off the list (Del); the files stay where they are.")
        buttons = QHBoxLayout()
        buttons.setSpacing(6)
        for button in (self.files, self.folder, self.table, self.remove):
            buttons.addWidget(button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(6)
        column.addLayout(buttons)
        column.addWidget(self.list)
        column.addWidget(self.summary)
        self.files.clicked.connect(self._ask_files)
        self.folder.clicked.connect(self._ask_folder)
        self.table.clicked.connect(self._ask_table)
        self.remove.clicked.connect(self.remove_selected)
        self.list.delete_wanted.connect(self.remove_selected)
        self.list.selectionModel().selectionChanged.connect(self._allow)
        self._allow()

    def follow(self, colours: ThemeColours) -> None:
        """Use the colours of a theme."""
        self.summary.paint(colours.muted)
        self.list.muted = colours.muted
        self.list.setStyleSheet(
            f"QListView {{ background: {colours.background}; border: 1px solid {colours.raised}; }}"
        )

    def sources(self) -> tuple[Source, ...]:
        """The inputs in their order."""
        return tuple(self._sources.values())

    def add(self, paths: Iterable[str]) -> None:
        """Put files, folders, tables and lists at the end, each once, of an ENVI pair the header; pass on a recipe."""
        kinds = {path: kind_of(path) for path in paths}
        for path in [path for path, kind in kinds.items() if kind == "recipe"]:
            del kinds[path]
            self.recipe_given.emit(path)
        known = {**{path: source.kind for path, source in self._sources.items()}, **kinds}
        self._show({path: Source(path, known[path]) for path in once_each(list(known))})

    def remove_selected(self) -> None:
        """Take what is selected off the list."""
        rows = {index.row() for index in self.list.selectionModel().selectedIndexes()}
        kept = [source for row, source in enumerate(self._sources.values()) if row not in rows]
        self._show({source.path: source for source in kept})

    def _show(self, sources: dict[str, Source]) -> None:
        if list(sources) == list(self._sources):
            return
        self._sources = sources
        self._names.setStringList(list(sources))
        counts = Counter(source.kind for source in sources.values())
        parts = [f"{counts[kind]} {kind}{'s' if counts[kind] > 1 else ''}"
                 for kind in ("file", "folder", "table", "list") if counts[kind]]  # fmt: skip
        self.summary.say(", ".join(parts) if len(sources) >= COUNTED else "")
        self._allow()
        self.changed.emit()

    def _allow(self) -> None:
        self.remove.setEnabled(self.list.selectionModel().hasSelection())

    def _ask_files(self) -> None:
        from hsi_app.io import read_patterns

        kinds = f"Cubes ({' '.join(sorted(read_patterns()))});;All files (*)"
        paths, _ = QFileDialog.getOpenFileNames(self.window(), "Add scenes", "", kinds)
        self.add(paths)

    def _ask_folder(self) -> None:
        path = QFileDialog.getExistingDirectory(self.window(), "Add a folder of scenes")
        self.add([path] if path else [])

    def _ask_table(self) -> None:
        paths, _ = QFileDialog.getOpenFileNames(self.window(), "Add a table or list of scenes", "", _TABLES)
        self.add(paths)


class _Paths(QListView):
    delete_wanted = Signal()

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.muted = "#808080"
        self.setFixedHeight(_LIST_PX)
        self.setUniformItemSizes(True)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        # The end of a path tells more than its beginning.
        self.setTextElideMode(Qt.TextElideMode.ElideLeft)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace):
            self.delete_wanted.emit()
        else:
            super().keyPressEvent(event)

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        if self.model() is None or self.model().rowCount():
            return
        painter = QPainter(self.viewport())
        painter.setPen(QColor(self.muted))
        inside = self.viewport().rect().adjusted(8, 4, -8, -4)
        painter.drawText(inside, int(Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap), _HINT)
        painter.end()


def kind_of(path: str) -> str:
    """'file', 'folder', 'table', 'list' or 'recipe'; a zarr store is a file."""
    place = Path(path)
    suffix = place.suffix.lower()
    if suffix != ".zarr" and place.is_dir():
        return "folder"
    return {".csv": "table", ".txt": "list", ".toml": "recipe"}.get(suffix, "file")

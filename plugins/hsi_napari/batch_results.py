"""The middle of the Batch dock: every scene with its state, what is to be said of one, and ways to its result."""

from __future__ import annotations

from qtpy.QtCore import Qt, QUrl, Signal
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from hsi_napari.batch_scenes import Scene
from hsi_napari.batch_table import BatchModel, BatchTable, detail_of
from hsi_napari.sections import Note
from hsi_napari.theme import ThemeColours


class BatchResults(QWidget):
    """``open_wanted`` carries the row whose result is to be opened."""

    open_wanted = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.model = BatchModel(self)
        self.table = BatchTable(self.model, self)
        self.outlook, self.detail = Note(), Note()
        for note in (self.outlook, self.detail):
            note.setTextFormat(Qt.TextFormat.PlainText)
        self.open = QPushButton("Open result")
        self.open.setToolTip("Add the result of the selected scene as a layer; a double click does the same.")
        self.next_failed = QPushButton("Next failed")
        self.next_failed.setToolTip("Select the next scene that failed; its reason is shown below the list.")
        self.page = QPushButton("Report")
        self.page.setToolTip("Open batch.html, which tells how it went, in the browser.")
        buttons = QHBoxLayout()
        buttons.setSpacing(6)
        for button in (self.open, self.next_failed, self.page):
            buttons.addWidget(button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(6)
        column.addWidget(self.outlook)
        column.addWidget(self.table, 1)
        column.addWidget(self.detail)
        column.addLayout(buttons)
        self._colours: ThemeColours | None = None
        self.table.opened.connect(self.open_wanted)
        self.table.chosen.connect(lambda _: self.refresh())
        self.open.clicked.connect(lambda: self.open_wanted.emit(self.table.row()))
        self.next_failed.clicked.connect(self.choose_failed)
        self.page.clicked.connect(self.open_page)
        self.refresh()

    def follow(self, colours: ThemeColours) -> None:
        """Use the colours of a theme."""
        self._colours = colours
        self.model.follow(colours)
        self.table.follow(colours)
        self.outlook.paint(colours.text)
        self.refresh()

    def chosen(self) -> Scene | None:
        """The selected scene."""
        return self.model.scene(self.table.row())

    def refresh(self) -> None:
        """Show what there is to say and to do now."""
        scene = self.chosen()
        self.detail.say("" if scene is None else detail_of(scene))
        if self._colours is not None:
            is_failed = scene is not None and scene.state == "failed"
            self.detail.paint(self._colours.error if is_failed else self._colours.muted)
        self.open.setEnabled(scene is not None and scene.has_result)
        self.next_failed.setEnabled(self.model.scenes.counts["failed"] > 0)

    def look_for_page(self) -> None:
        """Whether there is a page to open."""
        self.page.setEnabled((self.model.folder / "batch.html").is_file())

    def choose_failed(self) -> None:
        """Select the next failure."""
        row = self.model.scenes.next_failed(self.table.row())
        if row is not None:
            self.table.choose(row)

    def open_page(self) -> None:
        """Open the summary in the browser."""
        QDesktopServices.openUrl(QUrl.fromLocalFile(str(self.model.folder / "batch.html")))

"""What a batch is asked for: the recipe, the scenes, where results go and how the work is done."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QFileDialog, QGridLayout, QHBoxLayout, QLabel, QLineEdit, QPushButton, QVBoxLayout, QWidget

from hsi_napari import settings
from hsi_napari.batch_inputs import InputList
from hsi_napari.batch_request import DEFAULT_NAME, EXISTING, HOW, Request, line_of, read_small_recipe, steps_line
from hsi_napari.browse_button import BrowseButton
from hsi_napari.forms import OptionForm
from hsi_napari.sections import GAP, Heading, Note, Section
from hsi_napari.theme import ThemeColours

_RECIPES = "Recipe (*.toml);;All files (*)"


class BatchForm(QWidget):
    """The upper part of the dock; ``changed`` when another recipe, input, folder or name was given."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.recipe = QLineEdit()
        self.recipe.setPlaceholderText("a recipe (.toml), or drop one here")
        self.recipe.setToolTip("What to do with every scene. 'Save recipe…' in the Restore dock makes one.")
        self.steps = Note()
        self.inputs = InputList(self)
        self.folder = QLineEdit()
        self.folder.setPlaceholderText("a folder; made if absent")
        self.name = QLineEdit(DEFAULT_NAME)
        self.name.setToolTip(
            "{stem} of the scene, {recipe}, {folder} of the scene, {number}, {ext}; its extension is the format, for"
            " example {stem}_{recipe}.tif"
        )
        self.example = Note()
        self.existing = OptionForm((EXISTING,), self)
        self.how = OptionForm(settings.with_defaults(HOW), self)
        self._colours: ThemeColours | None = None
        self._is_wrong = {self.steps: False, self.example: False}
        for note in self._is_wrong:
            note.setTextFormat(Qt.TextFormat.PlainText)
        self._build()
        for field in (self.recipe, self.folder, self.name):
            field.setAcceptDrops(False)  # they would take a file for its address; the dock knows better
        self.recipe.editingFinished.connect(self._check_recipe)
        self.inputs.recipe_given.connect(self.put_recipe)
        self.inputs.changed.connect(self._changed_inputs)
        for field in (self.folder, self.name):
            field.textChanged.connect(self._check_name)
        self._check_recipe()

    def follow(self, colours: ThemeColours) -> None:
        """Use the colours of a theme."""
        self._colours = colours
        self.inputs.follow(colours)
        self.existing.follow(colours)
        self.how.follow(colours)
        self._paint()

    def put_recipe(self, path: str) -> None:
        """Choose a recipe."""
        self.recipe.setText(path)
        self._check_recipe()

    def put_folder(self, path: str) -> None:
        """Choose the folder of the results."""
        self.folder.setText(path)

    def request(self) -> Request:
        """What is asked for, as it is entered."""
        options = {**self.existing.values(), **self.how.values()}
        return Request(
            self.recipe.text().strip(), self.inputs.sources(), self.folder.text().strip(), self.name.text().strip(),
            options,
        )  # fmt: skip

    # ---- what is said of it -------------------------------------------------------------------------------------

    def _check_recipe(self) -> None:
        path = self.recipe.text().strip()
        self._say(self.steps, *(line_of(lambda: steps_line(read_small_recipe(path))) if path else ("", False)))
        self._check_name()

    def _check_name(self) -> None:
        request = self.request()
        self._say(self.example, *line_of(request.example))
        self.changed.emit()

    def _changed_inputs(self) -> None:
        sources = self.inputs.sources()
        if sources and not self.folder.text().strip():
            first = Path(sources[0].path)
            beside = f"{first.name}_restored" if sources[0].kind == "folder" else "restored"
            self.folder.setText(str((settings.results_folder() or first.parent) / beside))
        self._check_name()

    def _say(self, note: Note, text: str, is_wrong: bool) -> None:
        self._is_wrong[note] = is_wrong
        note.say(text)
        self._paint()

    def _paint(self) -> None:
        if self._colours is not None:
            for note, is_wrong in self._is_wrong.items():
                note.paint(self._colours.error if is_wrong else self._colours.muted)

    # ---- building -----------------------------------------------------------------------------------------------

    def _build(self) -> None:
        browse = QPushButton("…")
        browse.setFixedWidth(26)
        browse.setToolTip("Choose a folder")
        browse.clicked.connect(self._ask_folder)
        grid = QGridLayout()
        grid.setHorizontalSpacing(10)
        grid.setVerticalSpacing(6)
        grid.setColumnStretch(1, 1)
        for row, (label, field) in enumerate((("Folder", _beside(self.folder, browse)), ("Name", self.name))):
            grid.addWidget(QLabel(label), row, 0)
            if isinstance(field, QHBoxLayout):
                grid.addLayout(field, row, 1)
            else:
                grid.addWidget(field, row, 1)
        how = Section("Settings")
        how.rows.addWidget(self.how)
        rows = QVBoxLayout(self)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.setSpacing(GAP)
        rows.addWidget(Heading("Recipe"))
        rows.addLayout(_beside(self.recipe, BrowseButton(_RECIPES, self.put_recipe)))
        rows.addWidget(self.steps)
        rows.addWidget(Heading("Scenes"))
        rows.addWidget(self.inputs)
        rows.addWidget(Heading("Results"))
        rows.addLayout(grid)
        rows.addWidget(self.example)
        rows.addWidget(self.existing)
        rows.addWidget(how)

    def _ask_folder(self) -> None:
        path = QFileDialog.getExistingDirectory(self.window(), "Folder for the results", self.folder.text())
        if path:
            self.put_folder(path)


def _beside(field: QWidget, button: QWidget) -> QHBoxLayout:
    row = QHBoxLayout()
    row.setSpacing(6)
    row.addWidget(field, 1)
    row.addWidget(button)
    return row

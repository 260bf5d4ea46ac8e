"""What a run gave, and what can be done with it: look, compare, score, save, recipe, report."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QButtonGroup,
    QFileDialog,
    QGridLayout,
    QPushButton,
    QSizePolicy,
    QWidget,
)

from hsi_app.device import format_bytes
from hsi_app.record import what_was_done
from hsi_napari import exports
from hsi_napari.export_section import ExportSection
from hsi_napari.result_group import RESTORED, WORDS, ResultGroup
from hsi_napari.score_panel import ScorePanel
from hsi_napari.sections import Note
from hsi_napari.settings import suggested
from hsi_napari.theme import readable_on

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from hsi_app.runner import Result
    from hsi_napari.links import Links
    from hsi_napari.theme import ThemeColours

CUBE_KINDS, REPORT_KINDS = "ENVI (*.hdr);;GeoTIFF (*.tif);;Zarr (*.zarr)", "Report (*.html)"


# In a narrow dock.
_CHOICES_IN_LINE = 4
_TIPS = {
    "restored": "the restored cube",
    "removed": "what was taken away, observed less restored",
    "spread": "how far several answers of the method lie apart",
    "damage": "stripes, dead lines and impulses that were taken out",
    "before": "the observed cube with the same contrast",
}


class ResultPanel(ExportSection):
    """A run of the dock: the last one, or that of the restored layer chosen in the layer list.

    ``batch_wanted`` carries its recipe, saved, for many scenes. When the restored layer is removed nothing of it is
    offered any more.
    """

    batch_wanted = Signal(object)

    def __init__(self, viewer: ViewerModel, links: Links, parent: QWidget | None = None) -> None:
        super().__init__("Result", parent, is_open=True)
        self.result: Result | None = None
        self.group: ResultGroup | None = None
        # By the restored layer, for as long as that lives.
        self._given: weakref.WeakKeyDictionary[Layer, tuple[Result, ResultGroup]] = weakref.WeakKeyDictionary()
        self._viewer = viewer
        self.summary, self.notes = Note(), Note()
        self.shown = QButtonGroup(self)
        self.shown.setExclusive(True)
        self.chooser = QWidget()
        self._choices = QGridLayout(self.chooser)
        self._choices.setContentsMargins(0, 0, 0, 0)
        self._choices.setSpacing(4)
        self._colours: ThemeColours | None = None
        self.save = QPushButton("Save result…")
        self.save.setToolTip("ENVI, GeoTIFF or Zarr, with wavelengths, map frame and history.")
        self.recipe = QPushButton("Save recipe…")
        self.recipe.setToolTip("The run as a TOML file; 'hsi-app restore RECIPE IN OUT' repeats it.")
        self.report = QPushButton("Report…")
        self.report.setToolTip("One HTML page with pictures, spectra, parameters and references.")
        self.batch = QPushButton("Run on a folder…")
        self.batch.setToolTip("Save the run as a recipe and open it in the Batch dock, for many scenes.")
        self.score = ScorePanel(viewer, links, self)
        grid = QGridLayout()
        grid.setSpacing(6)
        for place, button in enumerate((self.save, self.recipe, self.report, self.batch)):
            grid.addWidget(button, place // 2, place % 2)
        self.rows.addWidget(self.summary)
        self.rows.addWidget(self.notes)
        self.rows.addWidget(self.chooser)
        self.rows.addLayout(grid)
        self.rows.addWidget(self.score)
        self.shown.buttonClicked.connect(self._show)
        self.save.clicked.connect(self._ask_save)
        self.recipe.clicked.connect(self._ask_recipe)
        self.report.clicked.connect(self._ask_report)
        self.batch.clicked.connect(self._ask_batch)
        self.score.failed.connect(self.failed)
        links.connect(viewer.layers.selection.events.active, self._follow_choice)
        self.setVisible(False)

    def follow(self, colours: ThemeColours) -> None:
        """Use the colours of a theme."""
        self.summary.paint(colours.text)
        self.notes.paint(colours.muted)
        self.score.follow(colours)
        self._colours = colours
        for button in self.shown.buttons():
            self._dress(button)

    def leave(self) -> None:
        """The dock is gone: nobody waits for figures any more."""
        self.score.leave()
        if self.group is not None:
            self.group.listen(None)

    def present(self, result: Result, group: ResultGroup) -> None:
        """Show a finished run and the layers that hold it."""
        layer = group.layer(RESTORED)
        if layer is not None:
            self._given[layer] = result, group
        if self.group is not None:
            self.group.listen(None)
        self.result, self.group = result, group
        group.listen(self._refresh)
        self.summary.say(summary_of(result.record))
        self.notes.say("\n".join(f"• {note}" for note in result.record.get("notes", ())))
        self.score.judge(result)
        self.setVisible(True)
        self._refresh()

    def show_layer(self, name: str) -> None:
        """Show one of the run's layers and hide the others; 'before' hides all."""
        if self.group is None:
            return
        # Results of earlier runs would lie over what was observed.
        for _, other in list(self._given.values()):
            if other is not self.group and other.is_of_same(self.group):
                other.hide()
        self.group.show(name)

    def choices(self) -> list[str]:
        """What can be shown, as listed."""
        return [str(button.property("layer")) for button in self.shown.buttons()]

    def _refresh(self) -> None:
        """Offer what there is of the run; nothing when its restored layer is gone."""
        group = self.group
        if group is None or not group.lives:
            self._forget()
            return
        names = group.names()
        if names != self.choices():
            self._build(names)
        for button in self.shown.buttons():
            if button.property("layer") == group.shown():
                button.setChecked(True)

    def _forget(self) -> None:
        if self.group is not None:
            self.group.listen(None)
        self.result = self.group = None
        self.score.judge(None)
        self.setVisible(False)

    def _build(self, names: list[str]) -> None:
        while self._choices.count():
            widget = self._choices.takeAt(0).widget()
            if widget is not None:
                widget.hide()
                widget.deleteLater()
        for button in self.shown.buttons():
            self.shown.removeButton(button)
        for place, name in enumerate(names):
            button = QPushButton(WORDS.get(name, name))
            button.setProperty("layer", name)
            button.setCheckable(True)
            button.setToolTip(f"Show: {_TIPS.get(name, f'what the method left as {name!r}')}, and hide the others.")
            self.shown.addButton(button)
            # As wide as there is room: they must not make the dock wider.
            button.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            self._choices.addWidget(button, place // _CHOICES_IN_LINE, place % _CHOICES_IN_LINE)
            self._dress(button)

    def _dress(self, button: QWidget) -> None:
        if self._colours is not None:
            ground = self._colours.accent
            button.setStyleSheet(
                "QPushButton { padding: 3px 4px; }"
                f"QPushButton:checked {{ background: {ground}; color: {readable_on(ground)}; }}"
            )

    def _show(self, button: Any) -> None:
        self.show_layer(str(button.property("layer")))

    def _follow_choice(self, event: Any = None) -> None:
        active = self._viewer.layers.selection.active
        given = None if active is None else self._given.get(active)
        if given is not None and given[0] is not self.result:
            self.present(*given)

    def save_to(self, path: Path) -> None:
        """Save the restored cube; the format follows from the extension."""
        result = self._held()
        self.export(lambda: exports.save_result(result, path))

    def save_recipe_to(self, path: Path) -> None:
        """Save the run as a recipe."""
        result = self._held()
        self.export(lambda: exports.save_recipe(result, path))

    def batch_from(self, path: Path) -> None:
        """Save the run as a recipe and ask for a batch with it."""
        result = self._held()
        self.export(lambda: exports.save_recipe(result, path), self._saved_for_batch)

    def report_to(self, path: Path) -> None:
        """Write the report page."""
        result = self._held()
        self.export(lambda: exports.save_report(result, path))

    def _held(self) -> Result:
        assert self.result is not None, "the buttons show only with a result"
        return self.result

    def _stem(self) -> str:
        return file_stem(f"{self._held().observed.name}_restored")

    def _ask_save(self) -> None:
        path = ask_path(self, "Save result", f"{self._stem()}.hdr", CUBE_KINDS)
        if path is not None:
            self.save_to(path)

    def _ask_recipe(self) -> None:
        path = ask_path(self, "Save recipe", "recipe.toml", "Recipe (*.toml)")
        if path is not None:
            self.save_recipe_to(path)

    def _ask_batch(self) -> None:
        path = ask_path(self, "Save recipe for the batch", "recipe.toml", "Recipe (*.toml)")
        if path is not None:
            self.batch_from(path)

    def _saved_for_batch(self, path: Path) -> None:
        self.batch_wanted.emit(path)

    def _ask_report(self) -> None:
        path = ask_path(self, "Save report", f"{self._stem()}_report.html", REPORT_KINDS)
        if path is not None:
            self.report_to(path)


def ask_path(parent: QWidget, title: str, name: str, kinds: str) -> Path | None:
    """Have a person name a file to write; None where they do not."""
    path, kind = QFileDialog.getSaveFileName(parent.window(), title, suggested(name), kinds)
    return exports.with_extension(path, kind) if path else None


def file_stem(name: str) -> str:
    """A name as a part of a file's name."""
    return name.replace(" ", "_").replace("/", "_")


def summary_of(record: Mapping[str, Any]) -> str:
    """'denoise · lowrank · rank 6 · 12.3 s · cpu' from a run's record."""
    if len(record.get("steps", ())) > 1:
        parts = [", then ".join(what_was_done(record))]
    else:
        parts = [str(record.get("task", "")), str(record.get("method", ""))]
    trace = record.get("trace", {})
    if "rank" in trace:
        parts.append(f"rank {trace['rank']}")
    if "seconds" in record:
        parts.append(f"{record['seconds']:.1f} s")
    if record.get("device"):
        parts.append(str(record["device"]))
    if record.get("peak_memory_bytes"):
        parts.append(f"peak {format_bytes(record['peak_memory_bytes'])}")
    return " · ".join(part for part in parts if part)

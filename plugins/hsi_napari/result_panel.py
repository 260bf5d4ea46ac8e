"""What a run gave, and what can be done with it: compare, save, recipe, report."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QGridLayout, QPushButton, QWidget

from hsi_app.device import format_bytes
from hsi_napari import exports
from hsi_napari.export_section import ExportSection
from hsi_napari.sections import Note

if TYPE_CHECKING:
    from napari.layers import Layer

    from hsi_app.runner import Result
    from hsi_napari.theme import ThemeColours

CUBE_KINDS, REPORT_KINDS = "ENVI (*.hdr);;GeoTIFF (*.tif);;Zarr (*.zarr)", "Report (*.html)"


class ResultPanel(ExportSection):
    """The last run of the dock; ``batch_wanted`` carries its recipe, saved, for many scenes."""

    batch_wanted = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Result", parent, is_open=True)
        self.result: Result | None = None
        self._layer: weakref.ref[Layer] | None = None
        self.summary, self.notes = Note(), Note()
        self.compare = QPushButton("Show before")
        self.compare.setCheckable(True)
        self.compare.setToolTip("Hide the restored layer to see what lies under it, with the same contrast.")
        self.save = QPushButton("Save result…")
        self.save.setToolTip("ENVI, GeoTIFF or Zarr, with wavelengths, map frame and history.")
        self.recipe = QPushButton("Save recipe…")
        self.recipe.setToolTip("The run as a TOML file; 'hsi-app restore RECIPE IN OUT' repeats it.")
        self.report = QPushButton("Report…")
        self.report.setToolTip("One HTML page with pictures, spectra, parameters and references.")
        self.batch = QPushButton("Run on a folder…")
        self.batch.setToolTip("Save the run as a recipe and open it in the Batch dock, for many scenes.")
        grid = QGridLayout()
        grid.setSpacing(6)
        grid.addWidget(self.batch, 2, 0, 1, 2)
        for place, button in enumerate((self.compare, self.save, self.recipe, self.report)):
            grid.addWidget(button, place // 2, place % 2)
        self.rows.addWidget(self.summary)
        self.rows.addWidget(self.notes)
        self.rows.addLayout(grid)
        self.compare.toggled.connect(self._compare)
        self.save.clicked.connect(self._ask_save)
        self.recipe.clicked.connect(self._ask_recipe)
        self.report.clicked.connect(self._ask_report)
        self.batch.clicked.connect(self._ask_batch)
        self.setVisible(False)

    def follow(self, colours: ThemeColours) -> None:
        """Use the colours of a theme."""
        self.summary.paint(colours.text)
        self.notes.paint(colours.muted)

    def present(self, result: Result, layer: Layer) -> None:
        """Show a finished run and the layer that holds it."""
        self.result, self._layer = result, weakref.ref(layer)
        self.summary.say(summary_of(result.record))
        self.notes.say("\n".join(f"• {note}" for note in result.record.get("notes", ())))
        self.compare.setChecked(False)
        self.setVisible(True)

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

    def _compare(self, is_before: bool) -> None:
        layer = None if self._layer is None else self._layer()
        if layer is not None:
            layer.visible = not is_before
        self.compare.setText("Show after" if is_before else "Show before")

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
    path, kind = QFileDialog.getSaveFileName(parent.window(), title, name, kinds)
    return exports.with_extension(path, kind) if path else None


def file_stem(name: str) -> str:
    """A name as a part of a file's name."""
    return name.replace(" ", "_").replace("/", "_")


def summary_of(record: Mapping[str, Any]) -> str:
    """'denoise · lowrank · rank 6 · 12.3 s · cpu' from a run's record."""
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

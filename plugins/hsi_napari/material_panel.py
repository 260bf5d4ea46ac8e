"""What an unmixing gave: its materials with their spectra, and what can be done with them."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QFileDialog, QGridLayout, QPushButton, QWidget

from hsi_napari import exports
from hsi_napari.export_section import ExportSection
from hsi_napari.material_table import MaterialTable
from hsi_napari.result_panel import summary_of
from hsi_napari.sections import Note
from hsi_napari.settings import suggested
from hsi_napari.spectrum_model import Curve, Source, SpectrumModel
from hsi_napari.spectrum_plot import SpectrumPlot

if TYPE_CHECKING:
    from hsi_app.unmixing.result import Unmixing
    from hsi_napari.material_group import MaterialGroup
    from hsi_napari.theme import ThemeColours

_PLOT_PX = 200


class MaterialPanel(ExportSection):
    """The materials of the dock's last run."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Materials", parent, is_open=True)
        self.result: Unmixing | None = None
        self.group: MaterialGroup | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self.summary, self.notes = Note(), Note()
        self.table, self.plot = MaterialTable(), SpectrumPlot()
        self.plot.view.setMinimumHeight(_PLOT_PX)
        self.scene = QPushButton("Show scene")
        self.scene.setCheckable(True)
        self.scene.setToolTip("Hide the materials and show what lies under them.")
        self.remove = QPushButton("Remove layers")
        self.remove.setToolTip("Take all layers of this run out of the viewer.")
        self.save = QPushButton("Save result…")
        self.save.setToolTip("Into a folder: abundances, error and maps (ENVI), spectra (.csv, .sli), and the report.")
        self.report = QPushButton("Open report")
        self.report.setToolTip("One HTML page with pictures, spectra, parameters and references, in the browser.")
        grid = QGridLayout()
        grid.setSpacing(6)
        for place, button in enumerate((self.scene, self.remove, self.save, self.report)):
            grid.addWidget(button, place // 2, place % 2)
        for widget in (self.summary, self.table, self.plot, self.notes):
            self.rows.addWidget(widget)
        self.rows.addLayout(grid)
        self.table.renamed.connect(self._rename)
        self.table.toggled.connect(self._toggle)
        self.scene.toggled.connect(self._show_scene)
        self.remove.clicked.connect(self.remove_layers)
        self.save.clicked.connect(self._ask_save)
        self.report.clicked.connect(self.open_report)
        self.setVisible(False)

    def follow(self, colours: ThemeColours) -> None:
        """Use the colours of a theme."""
        self.summary.paint(colours.text)
        self.notes.paint(colours.muted)
        self.plot.follow(colours)

    def present(self, result: Unmixing, group: MaterialGroup) -> None:
        """Show a finished run and the layers that hold it."""
        self.result, self.group = result, group
        self.summary.say(words_of(result.record))
        self.notes.say("\n".join(f"• {note}" for note in result.record.get("notes", ())))
        self.table.show_materials(group.materials)
        self.scene.setChecked(False)
        self.sync()
        model = SpectrumModel((), Source(result.observed.name, result.observed))
        self.plot.show_axis(model)
        self.plot.show_lines(spectra_of(result, group, model), is_named=False)
        self.setVisible(True)

    def sync(self) -> None:
        """Bring the list into step with the layers."""
        if self.group is not None:
            self.table.follow(self.group)

    def put_away(self) -> None:
        """Hide the layers of the run, for those of the next one."""
        if self.group is not None and not self.scene.isChecked():
            self.scene.setChecked(True)

    def remove_layers(self) -> None:
        """Take all layers of the run out of the viewer; the result goes with them."""
        if self.group is not None:
            self.group.remove()
        self.result = self.group = None
        self.setVisible(False)
        self.told.emit("The layers of the run were removed.")

    def save_to(self, folder: Path) -> None:
        """Save everything, under the names the materials have now."""
        result = self._named()
        self.export(lambda: exports.save_unmixing(result, folder))

    def open_report(self) -> None:
        """Write the report where it may be forgotten, and open it."""
        self._folder = self._folder or tempfile.TemporaryDirectory(prefix="hsi-report-")
        result, path = self._named(), Path(self._folder.name) / "report.html"
        self.export(lambda: exports.save_unmixing_report(result, path), open_page)

    def close_files(self) -> None:
        """Remove what was written to be looked at."""
        folder, self._folder = self._folder, None
        if folder is not None:
            folder.cleanup()

    def _named(self) -> Unmixing:
        assert self.result is not None, "the buttons show only with a result"
        assert self.group is not None, "a result has its layers"
        return exports.with_names(self.result, self.group.all_names(self.result.names))

    def _rename(self, place: int, name: str) -> None:
        if self.group is not None and name != self.group.names[place]:
            self.group.rename(place, name)

    def _toggle(self, place: int, is_shown: bool) -> None:
        if self.group is not None:
            self.group.show(place, is_shown)

    def _show_scene(self, is_scene: bool) -> None:
        self.scene.setText("Show materials" if is_scene else "Show scene")
        if self.group is not None:
            self.group.show_scene(is_scene)

    def _ask_save(self) -> None:
        folder = QFileDialog.getExistingDirectory(self.window(), "Folder for the result", suggested(""))
        if folder:
            self.save_to(Path(folder))


def open_page(path: Path) -> None:
    """Show a page in the browser."""
    QDesktopServices.openUrl(QUrl.fromLocalFile(str(path)))


def spectra_of(result: Unmixing, group: MaterialGroup, model: SpectrumModel) -> list[Curve]:
    """The endmembers in the colours of their layers, with gaps at bands that were left out."""
    axis, library = result.observed.axis, result.endmembers
    worked = axis.good if library.bands == axis.good.size else np.arange(axis.count)
    spectra = np.full((axis.count, library.count), np.nan)
    spectra[worked] = library.spectra
    x = model.abscissa(axis)
    return [Curve(name, material.colour, x, spectra[:, material.index])
            for material, name in zip(group.materials, group.names, strict=True)]  # fmt: skip


def words_of(record: Mapping[str, Any]) -> str:
    """'unmix · rrlbs · 3.1 s · cpu · 4.2 % of the signal not explained' from a run's record."""
    missed = record.get("trace", {}).get("relative_error")
    words = summary_of(record)
    return words if missed is None else f"{words} · {missed:.1%} of the signal not explained"

"""Saves picked spectra as a table, and their plot as a picture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from hsi_app.errors import HsiError
from hsi_app.jobs import Job
from hsi_napari.spectrum_latest import Latest
from hsi_napari.spectrum_pictures import PICTURES, save_picture

if TYPE_CHECKING:
    from hsi_napari.spectrum_model import SpectrumModel
    from hsi_napari.spectrum_plot import SpectrumPlot

KINDS = "Table (*.csv);;Picture (*.png);;Drawing (*.svg)"


class SpectrumExport(QObject):
    """Writes one file at a time; spectra that must be read first are read beside the window.

    ``told`` and ``failed`` carry one line each.
    """

    told = Signal(str)
    failed = Signal(str)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._path = Path()
        self._reading = Latest(self)
        self._reading.done.connect(self._write)
        self._reading.failed.connect(self.failed)

    def save(self, path: Path, model: SpectrumModel, plot: SpectrumPlot) -> None:
        """Write the plot where the extension is that of a picture, else the table of the spectra."""
        self._path = path
        try:
            if path.suffix.lower() in PICTURES:
                save_picture(plot, path)
                self.told.emit(f"Saved {path}")
            elif model.unread_pins():
                self.told.emit("Reading the pinned spectra…")
                self._reading.ask(_tabling(model.fixed()))
            else:
                self._write(model.to_csv())
        except HsiError as error:
            self.failed.emit(str(error))

    def stop(self) -> None:
        """Write nothing more."""
        self._reading.drop()

    def _write(self, table: str) -> None:
        try:
            self._path.write_text(table, encoding="utf-8")
        except OSError as error:
            self.failed.emit(str(error))
        else:
            self.told.emit(f"Saved {self._path}")


def _tabling(model: SpectrumModel) -> Callable[[Job], str]:
    return lambda job: model.to_csv()

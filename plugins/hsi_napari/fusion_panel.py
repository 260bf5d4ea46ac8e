"""What a fusion gave, why it was made so, and what can be done with it: compare, see the doubt, save, report."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QGridLayout, QPushButton, QWidget

from hsi_napari import exports
from hsi_napari.export_section import ExportSection
from hsi_napari.result_panel import CUBE_KINDS, REPORT_KINDS, ask_path, file_stem, summary_of
from hsi_napari.sections import Note

if TYPE_CHECKING:
    from napari.layers import Layer

    from hsi_app.fusion.result import Fusion
    from hsi_napari.theme import ThemeColours


class FusionPanel(ExportSection):
    """The last run of the dock."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Result", parent, is_open=True)
        self.result: Fusion | None = None
        self._sharp: weakref.ref[Layer] | None = None
        self._doubt: weakref.ref[Layer] | None = None
        self.summary, self.notes = Note(), Note()
        self.compare = QPushButton("Show before")
        self.compare.setCheckable(True)
        self.compare.setToolTip("Hide the sharp cube to see what lies under it, with the same contrast.")
        self.doubt = QPushButton("Show doubt")
        self.doubt.setCheckable(True)
        self.doubt.setToolTip(
            "How badly each pixel is explained by what the coarse cube holds, black to yellow (0 to 3).\n"
            "Far above 1 it shows a material that the coarse cube does not."
        )
        self.save = QPushButton("Save result…")
        self.save.setToolTip("ENVI, GeoTIFF or Zarr, with wavelengths, map frame and history.")
        self.report = QPushButton("Report…")
        self.report.setToolTip("One HTML page with pictures, spectra, parameters and references.")
        grid = QGridLayout()
        grid.setSpacing(6)
        for place, button in enumerate((self.compare, self.doubt, self.save, self.report)):
            grid.addWidget(button, place // 2, place % 2)
        self.rows.addWidget(self.summary)
        self.rows.addWidget(self.notes)
        self.rows.addLayout(grid)
        self.compare.toggled.connect(self._compare)
        self.doubt.toggled.connect(self._show_doubt)
        self.save.clicked.connect(self._ask_save)
        self.report.clicked.connect(self._ask_report)
        self.setVisible(False)

    def follow(self, colours: ThemeColours) -> None:
        """Use the colours of a theme."""
        self.summary.paint(colours.text)
        self.notes.paint(colours.muted)

    def present(self, result: Fusion, sharp: Layer, doubt: Layer | None) -> None:
        """Show a finished run and the layers that hold it."""
        self.result, self._sharp = result, weakref.ref(sharp)
        self._doubt = None if doubt is None else weakref.ref(doubt)
        self.summary.say(words_of(result.record))
        self.notes.say("\n".join(f"• {line}" for line in lines_of(result.record)))
        self.doubt.setEnabled(doubt is not None)
        for button in (self.compare, self.doubt):
            button.setChecked(False)
        self.setVisible(True)

    def save_to(self, path: Path) -> None:
        """Save the sharp cube; the format follows from the extension."""
        result = self._held()
        self.export(lambda: exports.save_result(result, path))

    def report_to(self, path: Path) -> None:
        """Write the report page."""
        result = self._held()
        self.export(lambda: exports.save_fusion_report(result, path))

    def _held(self) -> Fusion:
        assert self.result is not None, "the buttons show only with a result"
        return self.result

    def _compare(self, is_before: bool) -> None:
        _show(self._sharp, not is_before)
        self.compare.setText("Show after" if is_before else "Show before")

    def _show_doubt(self, is_shown: bool) -> None:
        _show(self._doubt, is_shown)
        self.doubt.setText("Hide doubt" if is_shown else "Show doubt")

    def _stem(self) -> str:
        return file_stem(f"{self._held().hsi.name}_fused")

    def _ask_save(self) -> None:
        path = ask_path(self, "Save result", f"{self._stem()}.hdr", CUBE_KINDS)
        if path is not None:
            self.save_to(path)

    def _ask_report(self) -> None:
        path = ask_path(self, "Save report", f"{self._stem()}_report.html", REPORT_KINDS)
        if path is not None:
            self.report_to(path)


def words_of(record: Mapping[str, Any]) -> str:
    """'fuse · joint · 14.2 s · cpu · 0.4 % of the pixels in doubt' from a run's record."""
    share = record.get("trace", {}).get("doubted_share")
    words = summary_of(record)
    return words if share is None else f"{words} · {share:.1%} of the pixels in doubt"


def lines_of(record: Mapping[str, Any]) -> list[str]:
    """Why the method was chosen, how the images were brought together, and what there is to know, a line each."""
    pair = record["pair"]
    together = (
        f"spectral response: {pair['response']['origin']}; registration: {pair['registration']['how']};"
        f" radiometry: {pair['radiometry']}."
    )
    return [*record["reasons"], together, *record["notes"]]


def _show(held: weakref.ref[Layer] | None, is_shown: bool) -> None:
    layer = None if held is None else held()
    if layer is not None:
        layer.visible = is_shown

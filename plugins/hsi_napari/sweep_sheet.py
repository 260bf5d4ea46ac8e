"""The sheet of small pictures: same band, same contrast, the original first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QIcon, QImage, QPixmap
from qtpy.QtWidgets import QButtonGroup, QGridLayout, QSizePolicy, QToolButton, QWidget

from hsi_napari.sweep_model import Trial, limits_of, picture, words

if TYPE_CHECKING:
    from hsi_napari.theme import ThemeColours

COLUMNS, PICTURE_PX = 3, 92


class SweepSheet(QWidget):
    """Pictures in a grid, of which one can be chosen; ``picked`` carries its Trial."""

    picked = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.trials: list[Trial] = []
        self.tiles: list[QToolButton] = []
        self._colours: ThemeColours | None = None
        self._group = QButtonGroup(self)
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setSpacing(4)
        self._group.buttonClicked.connect(self._clicked)
        self.setVisible(False)

    def follow(self, colours: ThemeColours) -> None:
        """Use the colours of a theme."""
        self._colours = colours
        for tile, trial in zip(self.tiles, self.trials, strict=True):
            self._dress(tile, trial)

    def clear(self) -> None:
        """Take all pictures away, with the cubes behind them."""
        for tile in self.tiles:
            self._group.removeButton(tile)
            self._grid.removeWidget(tile)
            tile.hide()
            tile.deleteLater()
        self.trials, self.tiles = [], []
        self.setVisible(False)

    def add(self, trial: Trial) -> None:
        """Put one more at the end."""
        tile = QToolButton(self)
        tile.setCheckable(True)
        tile.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextUnderIcon)
        tile.setIconSize(QSize(PICTURE_PX, PICTURE_PX))
        # As wide as there is room: three of them must not make the dock wider.
        tile.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        title = "original" if trial.value is None else words(trial.value)
        mark = " ⚠" if trial.loses_scene else ""
        tile.setText(f"{title}\n{trial.figures()}{mark}")
        tile.setToolTip(_tip(trial, title))
        place = len(self.tiles)
        self._grid.addWidget(tile, place // COLUMNS, place % COLUMNS)
        self._group.addButton(tile)
        self.trials.append(trial)
        self.tiles.append(tile)
        self._dress(tile, trial)
        self.setVisible(True)

    def draw(self, band: int | None) -> None:
        """Draw all: one band in grey, or natural colours with None."""
        original = self.trials[0].cube if self.trials else None
        if original is None:
            return
        count = original.shape[0]
        bands = list(original.axis.composite()) if band is None else [min(max(band, 0), count - 1)]
        limits = limits_of(original, bands)
        for tile, trial in zip(self.tiles, self.trials, strict=True):
            if trial.cube is not None:
                tile.setIcon(QIcon(pixmap_of(picture(trial.cube, bands, limits))))

    def picked_trial(self) -> Trial | None:
        """The chosen one."""
        checked = self._group.checkedButton()
        return None if checked is None else self.trials[self.tiles.index(checked)]

    def _clicked(self, tile: QToolButton) -> None:
        self.picked.emit(self.trials[self.tiles.index(tile)])

    def _dress(self, tile: QToolButton, trial: Trial) -> None:
        if self._colours is None:
            return
        colours = self._colours
        text = colours.error if trial.problem else colours.text
        tile.setStyleSheet(
            f"QToolButton {{ color: {text}; background: {colours.raised};"
            " border: 2px solid transparent; padding: 2px; }"
            f"QToolButton:checked {{ border-color: {colours.accent}; }}"
        )


def pixmap_of(pixels: np.ndarray) -> QPixmap:
    """(h, w, 3) uint8 as a square-bound picture whose pixels stay visible."""
    height, width = pixels.shape[:2]
    image = QImage(np.ascontiguousarray(pixels).tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888)
    return QPixmap.fromImage(image).scaled(
        PICTURE_PX, PICTURE_PX, Qt.AspectRatioMode.KeepAspectRatio, Qt.TransformationMode.FastTransformation
    )


def _tip(trial: Trial, title: str) -> str:
    if trial.problem:
        return f"{title}: {trial.problem}"
    if trial.value is None:
        return "The region as it was; all pictures have its contrast."
    warning = "\nWhat was removed looks like the scene, or like stripes." if trial.loses_scene else ""
    return f"{title}, {trial.seconds:.1f} s{warning}"

"""The row of modes, and under it what the chosen one can be told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QButtonGroup,
    QComboBox,
    QDoubleSpinBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QSlider,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from hsi_napari.compare_modes import BLINK_MS, LONGEST_MS, SHORTEST_MS, Comparison, Mode
from hsi_napari.sections import GAP, Note
from hsi_napari.theme import readable_on

if TYPE_CHECKING:
    from hsi_napari.theme import ThemeColours

_STEPS = 1000
_WORDS = {
    Mode.OFF: ("Off", "Everything as it was"),
    Mode.SWIPE: ("Swipe", "A dividing line to drag over the image: before on one side, after on the other"),
    Mode.BLINK: ("Blink", "One after the other in the same place"),
    Mode.SIDE: ("Side by side", "Both under one camera"),
    Mode.DIFFERENCE: ("Difference", "One less the other, around zero"),
}


class ModeBar(QWidget):
    """Buttons of which one is down, and the settings of its mode."""

    def __init__(self, comparison: Comparison, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._comparison = comparison
        self.buttons: dict[Mode, QPushButton] = {}
        self._group = QButtonGroup(self)
        bar = QHBoxLayout()
        bar.setSpacing(4)
        for mode, (words, tip) in _WORDS.items():
            button = QPushButton(words)
            button.setCheckable(True)
            button.setToolTip(tip)
            button.setSizePolicy(QSizePolicy.Policy.MinimumExpanding, QSizePolicy.Policy.Fixed)
            button.clicked.connect(lambda _=False, mode=mode: comparison.set_mode(mode))
            self._group.addButton(button)
            self.buttons[mode] = button
            bar.addWidget(button)
        self.place, self.direction = QSlider(Qt.Orientation.Horizontal), QComboBox()
        self.place.setRange(0, _STEPS)
        self.direction.addItems(["left | right", "above | below"])
        self.pause, self.flip, self.interval = QPushButton("Pause"), QPushButton("Flip"), QDoubleSpinBox()
        self.sign = QComboBox()
        self.sign.addItems(["After − before", "Removed: before − after"])
        self.note = Note()
        self._thinning = 1
        self._pages = QStackedWidget()
        for page in (self._off_page(), self._swipe_page(), self._blink_page(), QWidget(), self._difference_page()):
            self._pages.addWidget(page)
        self._pages.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        rows = QVBoxLayout(self)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.setSpacing(GAP)
        rows.addLayout(bar)
        rows.addWidget(self._pages)
        rows.addWidget(self.note)
        self._wire()

    def follow(self, colours: ThemeColours) -> None:
        """Use the colours of a theme."""
        self.note.paint(colours.muted)
        self.setStyleSheet(
            f"QPushButton {{ padding: 4px 6px; }}"
            f"QPushButton:checked {{ background: {colours.accent}; color: {readable_on(colours.accent)}; }}"
        )

    def tell_thinning(self, thinning: int) -> None:
        """Tell that the picture shows only one pixel of each block."""
        self._thinning = thinning
        self.refresh()

    def refresh(self) -> None:
        """Bring buttons and settings into step with the comparison."""
        comparison = self._comparison
        mode, possible = comparison.mode, comparison.possible()
        for each, button in self.buttons.items():
            button.setEnabled(each in possible)
            button.setChecked(each is mode)
        self._pages.setVisible(mode in (Mode.SWIPE, Mode.BLINK, Mode.DIFFERENCE))
        self._pages.setCurrentIndex(list(_WORDS).index(mode))
        self.place.blockSignals(True)
        self.place.setValue(round(comparison.share * _STEPS))
        self.place.blockSignals(False)
        self.pause.setText("Go on" if comparison.is_paused else "Pause")
        self.note.say(self._says())

    def _says(self) -> str:
        comparison = self._comparison
        before, after = comparison.before, comparison.after
        if before is None or after is None:
            return ""
        thinned = f"\nOne pixel of each {self._thinning} × {self._thinning} is shown." if self._thinning > 1 else ""
        if comparison.mode is Mode.SWIPE:
            first, second = ("left", "right") if self.direction.currentIndex() == 0 else ("above", "below")
            return f"{first}: {before.name}\n{second}: {after.name}{thinned}"
        if comparison.mode is Mode.BLINK:
            return f"now: {after.name} (after)" if comparison.is_after else f"now: {before.name} (before)"
        if comparison.mode is Mode.SIDE:
            return f"left: {before.name}\nright: {after.name}"
        if comparison.mode is Mode.DIFFERENCE:
            return f"orange: more, blue: less, dark: no difference{thinned}"
        return ""

    def _off_page(self) -> QWidget:
        return QWidget()

    def _swipe_page(self) -> QWidget:
        self.place.setToolTip("Where the divider is; it can be dragged on the image, too")
        self.direction.setToolTip("How the image is divided")
        return _line(self.place, self.direction, stretch=0)

    def _blink_page(self) -> QWidget:
        self.interval.setRange(SHORTEST_MS / 1000, LONGEST_MS / 1000)
        self.interval.setSingleStep(0.1)
        self.interval.setDecimals(1)
        self.interval.setSuffix(" s")
        self.interval.setValue(BLINK_MS / 1000)
        self.interval.setToolTip("How long each is shown")
        self.flip.setToolTip("Show the other one and stay there")
        return _line(QLabel("Every"), self.interval, self.pause, self.flip, stretch=2)

    def _difference_page(self) -> QWidget:
        self.sign.setToolTip("Which is taken from which")
        return _line(self.sign, stretch=0)

    def _wire(self) -> None:
        comparison = self._comparison
        self.place.valueChanged.connect(lambda value: comparison.move(value / _STEPS))
        self.direction.currentIndexChanged.connect(lambda index: comparison.turn(index == 0))
        self.pause.clicked.connect(lambda: comparison.pause(not comparison.is_paused))
        self.flip.clicked.connect(comparison.flip)
        self.interval.valueChanged.connect(lambda seconds: comparison.timer.setInterval(round(seconds * 1000)))
        self.sign.currentIndexChanged.connect(lambda index: comparison.subtract(index == 1))


def _line(*widgets: QWidget, stretch: int) -> QWidget:
    """Widgets in a row, of which one takes the room that is left."""
    row = QWidget()
    line = QHBoxLayout(row)
    line.setContentsMargins(0, 0, 0, 0)
    line.setSpacing(6)
    for index, widget in enumerate(widgets):
        line.addWidget(widget, 1 if index == stretch else 0)
    return row

"""A box for free text that grows with it, and the line that says what it means while it is typed."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QMimeData, QSize, Qt, QTimer, Signal
from qtpy.QtGui import QKeyEvent, QResizeEvent
from qtpy.QtWidgets import QPlainTextEdit, QSizePolicy, QWidget

from hsi_app.errors import ParameterError
from hsi_app.params import Option
from hsi_napari.sections import Note
from hsi_napari.theme import ThemeColours, mixed

_LEAST_LINES, _MOST_LINES = 2, 5
# After the last key, so that half-typed words are not asked about.
_PAUSE_MS = 250


class PromptBox(QPlainTextEdit):
    """One sentence over as many lines as it needs, without line breaks of its own; Tab leaves it."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setTabChangesFocus(True)
        self.setPlaceholderText("in your own words")
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.textChanged.connect(self._fit)
        self._fit()

    def paint(self, ground: str, edge: str) -> None:
        """Set the colours of ground and edge; where one is '' it is as the toolkit has it, or as the other."""
        rules = (ground and f"background: {ground};", (edge or ground) and f"border: 1px solid {edge or ground};")
        self.setStyleSheet(f"QPlainTextEdit {{ {' '.join(rules)} border-radius: 2px; }}" if any(rules) else "")

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Leaves Enter to the dock: a sentence has no line breaks."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            event.ignore()
        else:
            super().keyPressEvent(event)

    def insertFromMimeData(self, source: QMimeData | None) -> None:
        """Pastes text as one line."""
        if source is not None and source.hasText():
            self.insertPlainText(" ".join(source.text().split()))

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Fits the height to the new width."""
        super().resizeEvent(event)
        self._fit()

    def sizeHint(self) -> QSize:
        """As wide as the dock, as high as the text."""
        return QSize(0, self._height())

    def minimumSizeHint(self) -> QSize:
        """As ``sizeHint``."""
        return self.sizeHint()

    def _height(self) -> int:
        # The height of this kind of document is its number of lines.
        lines = min(max(round(self.document().size().height()), _LEAST_LINES), _MOST_LINES)
        around = 2 * round(self.document().documentMargin()) + 2 * self.frameWidth() + 2
        return int(lines * self.fontMetrics().lineSpacing() + around)

    def _fit(self) -> None:
        if self.height() != self._height():
            self.setFixedHeight(self._height())


class Explanation(Note):
    """What a text means, told shortly after it was typed; in the warning colour what is unclear about it.

    Parameters
    ----------
    text : gives what is entered, or None
    """

    told = Signal()

    def __init__(self, option: Option, text: Callable[[], str | None], parent: QWidget | None = None) -> None:
        super().__init__("", parent)
        self.is_clear = True
        self._option, self._read = option, text
        self._colours: ThemeColours | None = None
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.setInterval(_PAUSE_MS)
        self._pause.timeout.connect(self.refresh)

    def later(self) -> None:
        """The text was changed: explain it once it rests; an emptied one needs no words."""
        if self._read():
            self._pause.start()
        else:
            self._pause.stop()
            self.refresh()

    def refresh(self) -> None:
        """Explain the text now."""
        text, self.is_clear = self._read() or "", True
        try:
            line = self._option.explain(text) if text else ""
        except ParameterError as error:
            line, self.is_clear = str(error), False
        self.say(line)
        self._style()
        self.told.emit()

    def follow(self, colours: ThemeColours) -> None:
        """Use the colours of a theme."""
        self._colours = colours
        self._style()

    @property
    def warning(self) -> str:
        """Colour of the field's edge while something is unclear, '' otherwise."""
        return "" if self.is_clear else self._colours.warning if self._colours else "orange"

    def _style(self) -> None:
        if self._colours is None:
            return
        if self.is_clear:
            self.paint(self._colours.muted)
        else:
            self.paint(mixed(self._colours.warning, self._colours.text, 0.5))

"""Parts that the docks are built of: headings, quiet notes, and sections that fold."""

from __future__ import annotations

from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtWidgets import QFrame, QLabel, QScrollArea, QSizePolicy, QToolButton, QVBoxLayout, QWidget

from hsi_napari.theme import ThemeColours

MARGIN, GAP = 10, 8
LEAST_PX = 360


class Note(QLabel):
    """Wrapped text in the quiet colour of the theme; takes no room while empty."""

    def __init__(self, text: str = "", parent: QWidget | None = None) -> None:
        super().__init__(text, parent)
        self.setWordWrap(True)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        self.setVisible(bool(text))

    def sizeHint(self) -> QSize:
        """One line: layouts ask for the height at the width there is; Qt's guess of both left a gap at the end."""
        return QSize(0, self.fontMetrics().height())

    def minimumSizeHint(self) -> QSize:
        """As ``sizeHint``."""
        return self.sizeHint()

    def say(self, text: str) -> None:
        """Show a text; an empty one hides the note."""
        self.setText(text)
        self.setVisible(bool(text))

    def paint(self, colour: str) -> None:
        """Set the text's colour."""
        self.setStyleSheet(f"color: {colour};")


class Message(Note):
    """One line for the user: what happened, or in the warning colour why it did not."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("", parent)
        self.is_error = False
        self._colours: ThemeColours | None = None

    def follow(self, colours: ThemeColours) -> None:
        """Use the colours of a theme."""
        self._colours = colours
        self._style()

    def tell(self, text: str) -> None:
        """Show what happened."""
        self.is_error = False
        self.say(text)
        self._style()

    def fail(self, text: str) -> None:
        """Show why something did not happen."""
        self.is_error = True
        self.say(text)
        self._style()

    def _style(self) -> None:
        if self._colours is None:
            return
        colours = self._colours
        edge, ground = (colours.error, colours.raised) if self.is_error else (colours.accent, colours.raised)
        self.setStyleSheet(
            f"color: {colours.text}; background: {ground}; border-left: 3px solid {edge}; padding: 6px 8px;"
        )


class Heading(QLabel):
    """The title of a part of the dock."""

    def __init__(self, text: str, parent: QWidget | None = None) -> None:
        super().__init__(text, parent)
        self.setStyleSheet("font-weight: bold;")


class Section(QWidget):
    """A title that folds its contents away.

    Parameters
    ----------
    is_open : shown at first
    """

    toggled = Signal(bool)

    def __init__(self, title: str, parent: QWidget | None = None, *, is_open: bool = False) -> None:
        super().__init__(parent)
        self._button = QToolButton(self)
        self._button.setText(title)
        self._button.setCheckable(True)
        self._button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self._button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._button.setStyleSheet("QToolButton { border: none; background: transparent; font-weight: bold; }")
        self._button.toggled.connect(self._fold)
        self.body = QWidget(self)
        self.rows = QVBoxLayout(self.body)
        self.rows.setContentsMargins(0, 2, 0, 2)
        self.rows.setSpacing(GAP)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addWidget(self._button)
        column.addWidget(self.body)
        self._button.setChecked(is_open)
        self._fold(is_open)

    @property
    def is_open(self) -> bool:
        """True while the contents show."""
        return bool(self._button.isChecked())

    def open(self, is_open: bool = True) -> None:
        """Fold out or in."""
        self._button.setChecked(is_open)

    def _fold(self, is_open: bool) -> None:
        self._button.setArrowType(Qt.ArrowType.DownArrow if is_open else Qt.ArrowType.RightArrow)
        self.body.setVisible(is_open)
        self.toggled.emit(is_open)


class Scrolled(QScrollArea):
    """A column that is as wide as its place and scrolls up and down."""

    def __init__(self, body: QWidget) -> None:
        super().__init__()
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setWidget(body)


def column_of(body: QWidget) -> QVBoxLayout:
    """The rows of a dock's column, with the docks' margins and gaps."""
    rows = QVBoxLayout(body)
    rows.setContentsMargins(MARGIN, MARGIN, MARGIN, MARGIN)
    rows.setSpacing(GAP)
    return rows


def fill(dock: QWidget, main: QWidget, foot: QWidget | None = None, *, least_px: int = LEAST_PX) -> None:
    """Give a dock its main part, and below a thin line a foot that stays where it is."""
    whole = QVBoxLayout(dock)
    whole.setContentsMargins(0, 0, 0, 0)
    whole.setSpacing(0)
    whole.addWidget(main, 1)
    if foot is not None:
        whole.addWidget(rule())
        whole.addWidget(foot)
    dock.setMinimumWidth(least_px)


def rule(parent: QWidget | None = None) -> QFrame:
    """A thin line between parts."""
    line = QFrame(parent)
    line.setFixedHeight(1)
    line.setStyleSheet("background: rgba(128, 128, 128, 90); border: none;")
    return line

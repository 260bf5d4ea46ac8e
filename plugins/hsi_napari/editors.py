"""Entry fields of the generated forms: one widget for each kind of option, none of which loses a digit."""

from __future__ import annotations

import math
from typing import Any

from qtpy.QtCore import QEvent, QObject, Qt, Signal
from qtpy.QtGui import QValidator
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QLineEdit,
    QSizePolicy,
    QSpinBox,
    QWidget,
)

from hsi_app.params import Option
from hsi_napari.chips import Chips
from hsi_napari.prompt_box import Explanation, PromptBox
from hsi_napari.share_slider import ShareSlider, is_share
from hsi_napari.theme import ThemeColours, mixed

# Qt's integer box holds 32 bits.
_INT_LIMIT = 2**31 - 1
# Digits shown: enough for any number a person types, without 0.1 turning into 0.1000000000000000055.
_DIGITS = 15
# Longer units would be cut off in a narrow dock.
_SUFFIX_CHARACTERS = 14


class FloatBox(QDoubleSpinBox):
    """A number box that takes and shows any float ('1e-6' stays 1e-6) and steps by a tenth of its size."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        # Qt rounds to this many decimals; its largest number keeps every float as it is.
        self.setDecimals(323)

    def textFromValue(self, value: float) -> str:
        """The shortest text that a person would write for the number."""
        return f"{value:.{_DIGITS}g}"

    def valueFromText(self, text: str) -> float:
        """The number in a text with or without its unit."""
        try:
            return float(self._bare(text))
        except ValueError:
            return self.minimum()

    def validate(self, text: str, position: int) -> tuple[QValidator.State, str, int]:
        """Acceptable numbers inside the range, begun ones, and what can never become one."""
        bare = self._bare(text)
        try:
            value = float(bare)
        except ValueError:
            # '', '-', '1e', '1e-' may become numbers.
            is_begun = not bare or bare.strip("+-.0123456789eE") == ""
            return (QValidator.State.Intermediate if is_begun else QValidator.State.Invalid), text, position
        is_inside = math.isfinite(value) and self.minimum() <= value <= self.maximum()
        return (QValidator.State.Acceptable if is_inside else QValidator.State.Intermediate), text, position

    def stepBy(self, steps: int) -> None:
        """Up and down by about a tenth of the number."""
        value = self.value()
        if value:
            size = 10.0 ** (math.floor(math.log10(abs(value)) + 1e-9) - (1 if abs(value) < 10 else 0))
        else:
            span = self.maximum() - self.minimum()
            size = 0.1 if not math.isfinite(span) or span > 100 else span / 20
        self.setValue(float(f"{value + steps * size:.12g}"))

    def _bare(self, text: str) -> str:
        suffix = self.suffix()
        return (text[: -len(suffix)] if suffix and text.endswith(suffix) else text).strip()


class Editor(QObject):
    """The field of one option: its widget, its value, and a signal when a person changes it.

    ``value()`` is None where nothing was entered yet (options without a default). Some have a slider before the
    widget, or as companions below it what the text is made of and what it means.
    """

    edited = Signal()

    def __init__(self, option: Option, parent: QWidget) -> None:
        super().__init__(parent)
        self.option = option
        self.widget: QWidget = _make(option, parent)
        self.widget.installEventFilter(self)
        self.slider: ShareSlider | None = None
        self.chips: Chips | None = None
        self.explanation: Explanation | None = None
        self._ground = ""
        if isinstance(self.widget, QAbstractSpinBox):
            self.widget.valueChanged.connect(self.edited)
        elif isinstance(self.widget, QCheckBox):
            self.widget.toggled.connect(self.edited)
        elif isinstance(self.widget, QComboBox):
            self.widget.currentTextChanged.connect(self.edited)
        elif isinstance(self.widget, QLineEdit | PromptBox):
            self.widget.textChanged.connect(self.edited)
        if isinstance(self.widget, FloatBox) and is_share(option):
            self.slider = ShareSlider(self.widget, parent)
            self.slider.installEventFilter(self)
        if isinstance(self.widget, QLineEdit) and option.several:
            self.chips = Chips(option, self.widget, parent)
        if option.explains:
            self.explanation = Explanation(option, self.value, parent)
            self.explanation.told.connect(self._mark)
            self.edited.connect(self.explanation.later)

    @property
    def companions(self) -> tuple[QWidget, ...]:
        """What belongs below the widget."""
        return tuple(part for part in (self.chips, self.explanation) if part is not None)

    @property
    def is_wide(self) -> bool:
        """Whether the widget wants the whole width of the form."""
        return isinstance(self.widget, PromptBox)

    def value(self) -> Any:
        """What is entered, as int, float, bool or str."""
        widget = self.widget
        if isinstance(widget, QSpinBox | QDoubleSpinBox):
            return None if not widget.cleanText().strip() else widget.value()
        if isinstance(widget, QCheckBox):
            return widget.isChecked()
        if isinstance(widget, QComboBox):
            return widget.currentText().strip() or None
        assert isinstance(widget, QLineEdit | PromptBox)
        text = widget.text() if isinstance(widget, QLineEdit) else widget.toPlainText()
        return text.strip() or None

    def put(self, value: Any) -> None:
        """Show a value; None empties the field."""
        widget = self.widget
        if isinstance(widget, QSpinBox | QDoubleSpinBox):
            if value is None:
                widget.clear()
            else:
                widget.setValue(value)
        elif isinstance(widget, QCheckBox):
            widget.setChecked(bool(value))
        elif isinstance(widget, QComboBox):
            if widget.isEditable():
                widget.setEditText("" if value is None else str(value))
                # Its beginning says most where it is cut off.
                widget.lineEdit().setCursorPosition(0)
            else:
                widget.setCurrentIndex(-1 if value is None else widget.findText(str(value)))
        elif isinstance(widget, QLineEdit):
            widget.setText("" if value is None else str(value))
        elif isinstance(widget, PromptBox):
            widget.setPlainText("" if value is None else str(value))

    def blank(self, is_blank: bool) -> None:
        """Show that the value will be found from the data, or the value again; the field is dead while blank."""
        widget = self.widget
        widget.setDisabled(is_blank)
        if isinstance(widget, QSpinBox | QDoubleSpinBox):
            held = widget.value()
            unit = _suffix(self.option)
            widget.setSuffix("" if is_blank else unit)
            widget.lineEdit().setPlaceholderText("from the data" if is_blank else "")
            if is_blank:
                widget.clear()
            else:
                # The text was emptied, the number was not: show it again.
                widget.lineEdit().setText(widget.textFromValue(held) + unit)

    def follow(self, colours: ThemeColours) -> None:
        """Use the colours of a theme."""
        if self.chips is not None:
            self.chips.follow(colours)
        if self.explanation is not None:
            self.explanation.follow(colours)
            # As light as napari's own fields; it has no style for boxes of several lines.
            self._ground = mixed(colours.raised, colours.text, 0.11)
            self._mark()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Lets the wheel scroll the dock unless the field was clicked first."""
        # Scrolling the dock must not change the numbers that pass under the mouse.
        if event.type() == QEvent.Type.Wheel and isinstance(watched, QWidget) and not watched.hasFocus():
            event.ignore()
            return True
        return bool(super().eventFilter(watched, event))

    def _mark(self) -> None:
        assert self.explanation is not None, "only an explained text is marked"
        edge = self.explanation.warning
        if isinstance(self.widget, PromptBox):
            self.widget.paint(self._ground, edge)
        else:
            self.widget.setStyleSheet(edge and f"QLineEdit, QComboBox {{ border: 1px solid {edge}; }}")
        self.widget.setAccessibleDescription(self.explanation.text())


def _make(option: Option, parent: QWidget) -> QWidget:
    if option.kind == "bool":
        return QCheckBox(parent)
    if option.kind == "choice":
        combo = QComboBox(parent)
        combo.addItems(list(option.choices))
        combo.setPlaceholderText("choose…")
        combo.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        return combo
    if option.offers and not option.several:
        combo = QComboBox(parent)
        combo.setEditable(True)
        combo.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        combo.addItems(list(option.offered()))
        combo.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        combo.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        return combo
    if option.explains and not option.several:
        return PromptBox(parent)
    if option.kind == "text":
        line = QLineEdit(parent)
        line.setPlaceholderText(option.unit or ("none" if option.is_optional else ""))
        return line
    box: QSpinBox | QDoubleSpinBox = QSpinBox(parent) if option.kind == "int" else FloatBox(parent)
    low, high = _bounds(option)
    if isinstance(box, QSpinBox):
        box.setRange(int(max(low, -_INT_LIMIT)), int(min(high, _INT_LIMIT)))
    else:
        box.setRange(low, high)
    box.setSuffix(_suffix(option))
    box.setKeyboardTracking(False)
    box.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    return box


def _suffix(option: Option) -> str:
    """The unit behind the number, where there is room for it; the tip has it in any case."""
    return f" {option.unit}" if 0 < len(option.unit) <= _SUFFIX_CHARACTERS else ""


def _bounds(option: Option) -> tuple[float, float]:
    """Smallest and largest number allowed; open ends move to the next number inside."""
    low = -math.inf if option.lower is None else option.lower
    high = math.inf if option.upper is None else option.upper
    if option.kind == "int":
        return (math.floor(low) + 1 if option.lower_open else low), (math.ceil(high) - 1 if option.upper_open else high)
    # Next to an open zero lie numbers too small for the box to tell from zero.
    return (
        (max(math.nextafter(low, math.inf), low + 1e-300) if option.lower_open else low),
        (min(math.nextafter(high, -math.inf), high - 1e-300) if option.upper_open else high),
    )

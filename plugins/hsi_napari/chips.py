"""Chips under a text that joins entries with '+': each says whether its entry is in the text, and puts it in or out."""

from __future__ import annotations

from collections.abc import Collection
from html import escape

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLineEdit, QPushButton, QSizePolicy, QWidget
from superqt import QFlowLayout

from hsi_app.params import Option
from hsi_napari.theme import ThemeColours, readable_on

_GAP_PX = 5
_TIP_PX = 280


def names_in(text: str) -> tuple[str, ...]:
    """The entries of a text, without weights: 'complex + haze:0.5' -> ('complex', 'haze')."""
    return tuple(_name(part) for part in _parts(text))


def switched(text: str, name: str, alone: Collection[str] = (), fallback: str = "") -> str:
    """The text after the chip of an entry was pressed; what was typed of the other entries stays as it is.

    Parameters
    ----------
    alone : entries that cannot stand beside others
    fallback : the text where no entry is left

    >>> switched("complex+haze:0.5", "complex", ["auto"])
    'haze:0.5'
    >>> switched("haze:0.5", "blur", ["auto"])
    'haze:0.5+blur'
    >>> switched("haze:0.5", "auto", ["auto"])
    'auto'
    >>> switched("auto", "blur", ["auto"])
    'blur'
    """
    if name in alone:
        return name
    parts = _parts(text)
    others = [part for part in parts if _name(part) != name]
    if len(others) < len(parts):
        return "+".join(others) or fallback
    return "+".join([*(part for part in parts if _name(part) not in alone), name])


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split("+") if part.strip()]


def _name(part: str) -> str:
    return part.partition(":")[0].strip().lower()


class Chips(QWidget):
    """The entries of an option as chips that flow over as many lines as they need.

    The text beside them is the value; chips follow what is typed there. Those of entries that stand alone have corners.

    Parameters
    ----------
    line : field of the text
    """

    def __init__(self, option: Option, line: QLineEdit, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._line = line
        self._labels = option.joinable()
        self._default = "" if option.default is None else str(option.default)
        flow = QFlowLayout(self)
        flow.setContentsMargins(0, 0, 0, 0)
        flow.setHorizontalSpacing(_GAP_PX)
        flow.setVerticalSpacing(_GAP_PX)
        self._alone = [name for name in option.offered() if name not in self._labels]
        self.chips: dict[str, QPushButton] = {}
        for name in (*self._alone, *self._labels):
            # The first of several words for the same will do on a button.
            chip = QPushButton(self._labels.get(name, name).partition(",")[0], self)
            chip.setCheckable(True)
            chip.setProperty("alone", name in self._alone)
            chip.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
            chip.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
            chip.setToolTip(self._tip(name))
            chip.clicked.connect(lambda _=False, name=name: self._press(name))
            self.chips[name] = chip
            flow.addWidget(chip)
        line.textChanged.connect(self._show)
        self._show(line.text())

    def chosen(self) -> tuple[str, ...]:
        """The entries whose chips are down."""
        return tuple(name for name, chip in self.chips.items() if chip.isChecked())

    def overrule(self, why: str) -> None:
        """Tell on every chip why it does not count; '' where it does."""
        for name, chip in self.chips.items():
            chip.setToolTip(why or self._tip(name))

    def follow(self, colours: ThemeColours) -> None:
        """Use the colours of a theme."""
        down, letters = colours.accent, readable_on(colours.accent)
        self.setStyleSheet(
            f"QPushButton {{ border: 1px solid {colours.muted}; border-radius: 9px; padding: 2px 8px; }}"
            f"QPushButton[alone=true] {{ border-radius: 3px; }}"
            f"QPushButton:checked {{ background: {down}; color: {letters}; border-color: {down}; }}"
            f"QPushButton:focus {{ border-color: {colours.text}; }}"
            f"QPushButton:disabled {{ background: transparent; color: {colours.muted};"
            f" border-color: {colours.raised}; }}"
        )

    def _press(self, name: str) -> None:
        self._line.setText(switched(self._line.text(), name, self._alone, self._default))
        # Qt has let the chip up although the text may say that it stays down.
        self._show(self._line.text())

    def _show(self, text: str) -> None:
        named = names_in(text)
        for name, chip in self.chips.items():
            chip.setChecked(name in named)

    def _tip(self, name: str) -> str:
        label = self._labels.get(name)
        words = "stands alone" if label is None else label
        return f"<qt><div style='max-width: {_TIP_PX}px'><b>{escape(name)}</b>: {escape(words)}</div></qt>"

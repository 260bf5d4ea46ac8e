"""Forms made from a method's options: what the command line offers is what the form shows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QCheckBox, QGridLayout, QHBoxLayout, QLabel, QWidget

from hsi_app.params import Option
from hsi_napari.editors import Editor


class OptionForm(QWidget):
    """One row an option: label, field, and a box 'auto' where the method can find the value from the data.

    Parameters
    ----------
    options : as ``hsi_app.params.options`` lists them
    """

    changed = Signal()

    def __init__(self, options: Iterable[Option], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.options = tuple(options)
        self._editors: dict[str, Editor] = {}
        self._autos: dict[str, QCheckBox] = {}
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(10)
        grid.setVerticalSpacing(6)
        grid.setColumnStretch(1, 1)
        for row, option in enumerate(self.options):
            label = QLabel(label_of(option))
            field = self._field(option)
            label.setToolTip(tip_of(option))
            field.setToolTip(tip_of(option))
            grid.addWidget(label, row, 0, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
            grid.addWidget(field, row, 1)
        self.reset()

    def values(self) -> dict[str, Any]:
        """The options by name; those on 'auto' and those left empty are absent."""
        found = {}
        for name, editor in self._editors.items():
            if name in self._autos and self._autos[name].isChecked():
                continue
            value = editor.value()
            if value is not None:
                found[name] = value
        return found

    def put(self, values: Mapping[str, Any]) -> None:
        """Show values by name; an option that is None goes to 'auto', absent ones stay."""
        for name, value in values.items():
            editor = self._editors[name]
            if name in self._autos:
                self._autos[name].setChecked(value is None)
                if value is None:
                    continue
            editor.put(value)

    def reset(self) -> None:
        """Back to the defaults."""
        self.put({option.name: option.default for option in self.options})

    def editor(self, name: str) -> Editor:
        """The field of an option."""
        return self._editors[name]

    def auto(self, name: str) -> QCheckBox:
        """The 'auto' box of an option that has one."""
        return self._autos[name]

    def _field(self, option: Option) -> QWidget:
        field = QWidget(self)
        line = QHBoxLayout(field)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(8)
        editor = Editor(option, field)
        editor.edited.connect(self.changed)
        self._editors[option.name] = editor
        line.addWidget(editor.widget, 1)
        if option.is_optional:
            auto = QCheckBox("auto", field)
            auto.setToolTip("Found from the data. Clear the box to set it yourself.")
            auto.toggled.connect(editor.blank)
            auto.toggled.connect(self.changed)
            self._autos[option.name] = auto
            line.addWidget(auto)
        return field


def label_of(option: Option) -> str:
    """'keep_observed' -> 'Keep observed'; required options carry a star."""
    words = option.name.replace("_", " ")
    return words[:1].upper() + words[1:] + (" *" if option.is_required else "")


def tip_of(option: Option) -> str:
    """Description, range, default and source as a wrapped tool tip."""
    default = "found from the data" if option.default is None and option.is_optional else option.default
    lines = [f"<b>{escape(label_of(option))}</b><br>{escape(option.description)}"]
    if option.range_text:
        lines.append(f"Range: {escape(option.range_text)}")
    if not option.is_required:
        lines.append(f"Default: {escape(str(default))}")
    if option.source:
        lines.append(f"<i>Source: {escape(option.source)}</i>")
    return f"<qt><div style='width: 300px'>{'<br>'.join(lines)}</div></qt>"

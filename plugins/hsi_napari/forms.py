"""Forms made from a method's options: what the command line offers is what the form shows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QCheckBox, QGridLayout, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from hsi_app.errors import ParameterError
from hsi_app.params import Option
from hsi_napari.editors import Editor
from hsi_napari.theme import ThemeColours

# Of each option: label and field; what takes the whole width; what others add.
_LINES = 3
# Width of a number box that has a slider before it.
_SHARE_PX = 72
# Where the words of a paper say less than these.
_WORDS = {
    "endmembers": "Number of materials", "rois": "Regions", "psf_fwhm": "Width of the blur", "srf": "Spectral response",
}  # fmt: skip


class OptionForm(QWidget):
    """One row an option: label, field, and a box 'auto' where the method can find the value from the data.

    A text that may be left out has no such box: it is left empty. Free text and chips take the whole width below.

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
        self._rows: dict[str, list[QWidget]] = {}
        self._hidden: set[str] = set()
        self._grid = grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(10)
        grid.setVerticalSpacing(6)
        grid.setColumnStretch(1, 1)
        for row, option in enumerate(self.options):
            label = QLabel(label_of(option))
            field = self._field(option)
            label.setToolTip(tip_of(option))
            field.setToolTip(tip_of(option))
            editor = self._editors[option.name]
            wide = [*([field] if editor.is_wide else []), *editor.companions]
            # Lines that stay empty take no room.
            grid.addWidget(label, _LINES * row, 0, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
            if not editor.is_wide:
                grid.addWidget(field, _LINES * row, 1)
            if wide:
                column = QVBoxLayout()
                column.setSpacing(4)
                for widget in wide:
                    column.addWidget(widget)
                grid.addLayout(column, _LINES * row + 1, 0, 1, 2)
            self._rows[option.name] = [label, field]
            if editor.chips is not None:
                self._rows[option.name].append(editor.chips)
        self._overruled: set[str] = set()
        for option in self.options:
            if self.has(option.overruled_by):
                self._editors[option.overruled_by].edited.connect(lambda option=option: self._overrule(option))
        self.reset()

    def values(self) -> dict[str, Any]:
        """The options by name; those on 'auto', left empty or hidden are absent."""
        shown = {name: value for name, value in self.entries().items() if name not in self._hidden}
        return {name: value for name, value in shown.items() if value is not None}

    def entries(self) -> dict[str, Any]:
        """What is entered for every option, hidden or not; None where it is on 'auto' or empty."""
        return {
            name: None if name in self._autos and self._autos[name].isChecked() else editor.value()
            for name, editor in self._editors.items()
        }

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

    def take_defaults(self, options: Iterable[Option]) -> None:
        """Take over other defaults of the same options; what a person entered stays."""
        entered, before = self.entries(), {option.name: option.default for option in self.options}
        self.options = tuple(options)
        self.put({o.name: o.default for o in self.options if entered[o.name] == before[o.name]})

    def check(self) -> None:
        """Refuse a text that the method would not know how to act on.

        Raises ParameterError with what is unclear about it.
        """
        for name, value in self.values().items():
            option = self._editors[name].option
            if option.explains and name not in self._overruled:
                try:
                    option.explain(str(value))
                except ParameterError as error:
                    raise ParameterError(f"{option.cli_name} '{value}': {error}") from None

    def follow(self, colours: ThemeColours) -> None:
        """Use the colours of a theme."""
        for editor in self._editors.values():
            editor.follow(colours)

    def editor(self, name: str) -> Editor:
        """The field of an option."""
        return self._editors[name]

    def auto(self, name: str) -> QCheckBox:
        """The 'auto' box of an option that has one."""
        return self._autos[name]

    def suggest(self, name: str, value: Any) -> None:
        """Have a value ready for when the 'auto' box of an option is cleared."""
        if name in self._autos and self._autos[name].isChecked():
            self._editors[name].put(value)
            self._editors[name].blank(True)

    def has(self, name: str) -> bool:
        """True where there is an option of that name."""
        return name in self._editors

    def show_row(self, name: str, is_shown: bool) -> None:
        """Show or hide the row of an option; a hidden one is not among the values."""
        (self._hidden.discard if is_shown else self._hidden.add)(name)
        for widget in self._rows[name]:
            widget.setVisible(is_shown)
        explanation = self._editors[name].explanation
        if explanation is not None:
            explanation.setVisible(is_shown and bool(explanation.text()))

    def put_beside(self, name: str, widget: QWidget) -> None:
        """Put a button at the end of an option's row."""
        line = self._rows[name][1].layout()
        assert line is not None, "every field has a layout"
        line.addWidget(widget)

    def put_below(self, name: str, widget: QWidget) -> None:
        """Put something under an option's field; it is not hidden with the row."""
        self._grid.addWidget(widget, _LINES * list(self._rows).index(name) + _LINES - 1, 1)

    def _field(self, option: Option) -> QWidget:
        field = QWidget(self)
        line = QHBoxLayout(field)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(8)
        editor = Editor(option, field)
        editor.edited.connect(self.changed)
        self._editors[option.name] = editor
        if editor.slider is not None:
            line.addWidget(editor.slider, 1)
            editor.widget.setFixedWidth(_SHARE_PX)
            line.addWidget(editor.widget)
        else:
            line.addWidget(editor.widget, 1)
        if option.is_optional and option.kind != "text":
            auto = QCheckBox("auto", field)
            auto.setToolTip("Found from the data. Clear the box to set it yourself.")
            auto.toggled.connect(editor.blank)
            auto.toggled.connect(self.changed)
            self._autos[option.name] = auto
            line.addWidget(auto)
        return field

    def _overrule(self, option: Option) -> None:
        """Let the field of an option rest while the text that counts in its place is filled in."""
        other = self._editors[option.overruled_by]
        is_over = other.value() is not None
        why = f"Does not count while there is a {label_of(other.option).lower()}; empty that first." if is_over else ""
        (self._overruled.add if is_over else self._overruled.discard)(option.name)
        for widget in self._rows[option.name][1:]:
            widget.setDisabled(is_over)
        for widget in self._rows[option.name][:2]:
            widget.setToolTip(why or tip_of(option))
        chips = self._editors[option.name].chips
        if chips is not None:
            chips.overrule(why)


def label_of(option: Option) -> str:
    """'keep_observed' -> 'Keep observed'; required options carry a star."""
    words = _WORDS.get(option.name, option.name.replace("_", " "))
    return words[:1].upper() + words[1:] + (" *" if option.is_required else "")


def tip_of(option: Option) -> str:
    """Description, range, default and source as a wrapped tool tip."""
    default = option.absent_text if option.default is None else option.default
    lines = [f"<b>{escape(label_of(option))}</b><br>{escape(option.description)}"]
    if option.range_text:
        lines.append(f"Range: {escape(option.range_text)}")
    if not option.is_required:
        lines.append(f"Default: {escape(str(default))}")
    if option.source:
        lines.append(f"<i>Source: {escape(option.source)}</i>")
    return f"<qt><div style='width: 300px'>{'<br>'.join(lines)}</div></qt>"

"""Task, method and options, as the registry describes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QComboBox, QGridLayout, QLabel, QVBoxLayout, QWidget

from hsi_app.methods.registry import TASKS, MethodSpec, methods
from hsi_app.params import Option, options
from hsi_napari.forms import OptionForm
from hsi_napari.sections import GAP, Heading, Note, Section

if TYPE_CHECKING:
    from hsi_app.runner import Settings
    from hsi_napari.theme import ThemeColours

# How to run, whatever the method; shown and checked like a method's own options.
SETTINGS = (
    Option("device", "text", "auto", "Where to compute: auto, cpu, cuda or cuda:1."),
    Option(
        "memory", "text", None, "Host memory the run may use, for example 8G.", is_optional=True,
        unit="8G", source="three quarters of what is free when not given",
    ),
    Option("seed", "int", 0, "Start of the random numbers; same seed, same result.", lower=0, upper=2**31 - 1),
    Option(
        "bad_bands", "choice", "keep", "Bands marked bad: pass through unchanged, or restore them too.",
        choices=("keep", "restore"),
    ),
    Option(
        "keep_observed", "bool", None, "Put observed samples back unchanged.", is_optional=True,
        source="on when filling gaps, off otherwise",
    ),
    Option(
        "tile", "int", None, "Largest side of a tile.", is_optional=True, lower=32, upper=2**20, unit="px",
        source="follows from the memory when not given",
    ),
)  # fmt: skip


class MethodForm(QWidget):
    """First what should be done, then by which method, then how."""

    task_changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._forms: dict[str, tuple[OptionForm, OptionForm]] = {}
        self.task_choice, self.method_choice = QComboBox(), QComboBox()
        for task, words in TASKS.items():
            if any(task in spec.tasks for spec in methods("restore").values()):
                self.task_choice.addItem(words, task)
        self.about = Note()
        self.settings = OptionForm(SETTINGS)
        self._plain, self._rare = QVBoxLayout(), QVBoxLayout()
        self.advanced = Section("Advanced", self)
        self.advanced.rows.addLayout(self._rare)
        self.advanced.rows.addWidget(self.settings)
        top = QGridLayout()
        top.setHorizontalSpacing(10)
        top.setVerticalSpacing(6)
        top.setColumnStretch(1, 1)
        for row, (words, combo) in enumerate((("Task", self.task_choice), ("Method", self.method_choice))):
            combo.setMinimumContentsLength(12)
            combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
            top.addWidget(QLabel(words), row, 0, Qt.AlignmentFlag.AlignLeft)
            top.addWidget(combo, row, 1)
        rows = QVBoxLayout(self)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.setSpacing(GAP)
        rows.addWidget(Heading("Restoration"))
        rows.addLayout(top)
        rows.addWidget(self.about)
        rows.addLayout(self._plain)
        rows.addWidget(self.advanced)
        self.task_choice.currentIndexChanged.connect(self._list_methods)
        self.method_choice.currentIndexChanged.connect(self._show_method)
        self._list_methods()

    def task(self) -> str:
        """The chosen task."""
        return str(self.task_choice.currentData())

    def method(self) -> MethodSpec:
        """The chosen method."""
        return methods()[self.method_choice.currentData()]

    def choose(self, task: str, method: str | None = None) -> None:
        """Choose as a person would."""
        self.task_choice.setCurrentIndex(self.task_choice.findData(task))
        if method is not None:
            self.method_choice.setCurrentIndex(self.method_choice.findData(method))

    def options(self, method: str | None = None) -> tuple[OptionForm, OptionForm]:
        """The forms of a method's usual and rare options; of the chosen one when not given."""
        spec = self.method() if method is None else methods()[method]
        if spec.id not in self._forms:
            listed = options(spec.parameters)
            self._forms[spec.id] = (
                OptionForm([option for option in listed if not option.advanced], self),
                OptionForm([option for option in listed if option.advanced], self),
            )
            self._plain.addWidget(self._forms[spec.id][0])
            self._rare.addWidget(self._forms[spec.id][1])
        return self._forms[spec.id]

    def chosen(self) -> tuple[str, dict[str, Any], Settings]:
        """Method id, checked options, settings.

        Raises
        ------
        ParameterError
            One line, where an entry cannot work.
        """
        from hsi_app.device import parse_memory
        from hsi_app.runner import Settings

        spec = self.method()
        usual, rare = self.options()
        values = {**usual.values(), **rare.values()}
        spec.parameters.parse(values)
        given = self.settings.values()
        memory = given.pop("memory", None)
        given.setdefault("device", "auto")
        return spec.id, values, Settings(task=self.task(), memory=memory and parse_memory(memory), **given)

    def follow(self, colours: ThemeColours) -> None:
        """Use the colours of a theme."""
        self.about.paint(colours.muted)

    def _list_methods(self, index: int = 0) -> None:
        before = self.method_choice.currentData()
        self.method_choice.blockSignals(True)
        self.method_choice.clear()
        for spec in methods("restore").values():
            if self.task() in spec.tasks:
                self.method_choice.addItem(spec.title, spec.id)
        self.method_choice.setCurrentIndex(max(self.method_choice.findData(before), 0))
        self.method_choice.blockSignals(False)
        self._show_method()
        self.task_changed.emit()

    def _show_method(self, index: int = 0) -> None:
        chosen = self.options()
        for pair in self._forms.values():
            for form in pair:
                form.setVisible(pair is chosen and bool(form.options))
        spec = self.method()
        self.task_choice.setToolTip(self.task_choice.currentText())
        self.about.say(spec.summary)
        notes = [*(f"• {limit}" for limit in spec.limits), "", *(reference.text for reference in spec.references)]
        self.about.setToolTip("\n".join(notes))

"""Task, method and options, as the registry describes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QComboBox, QGridLayout, QLabel, QVBoxLayout, QWidget

from hsi_app.methods.registry import TASKS, Kind, MethodSpec, methods
from hsi_app.optics import optics_of
from hsi_app.params import Parameters, options
from hsi_napari.forms import OptionForm
from hsi_napari.run_settings import OPTICS, settings_of
from hsi_napari.sections import GAP, Heading, Note, Section

if TYPE_CHECKING:
    from hsi_app.recipe import Recipe
    from hsi_app.runner import Settings
    from hsi_napari.theme import ThemeColours

# What a method that unmixes is asked first: how many materials, and where they come from. These entries stay when
# another method is chosen, for they mean the same in all.
MATERIALS = ("endmembers", "endmembers_from", "pixels", "rois", "library", "materials")
_TITLE: Mapping[Kind, str] = {"restore": "Restoration", "unmix": "Method", "fuse": "Method"}
# Shown first; the others follow in the order of the registry.
_RECOMMENDED: Mapping[Kind, str] = {"restore": "lowrank", "unmix": "rrlbs", "fuse": "auto"}
# No methods but a choice among them, which the engine makes when it has seen the data; nothing runs or prepares them.
_AUTO: Mapping[Kind, MethodSpec] = {
    "fuse": MethodSpec(
        id="auto",
        title="Automatic",
        summary="Measure bands, noise and registration, choose the method, and say why.",
        tasks=("fuse",),
        parameters=Parameters,
        run="",
        prepare="",
    )
}

_TITLE_CHARACTERS = 42


class MethodForm(QWidget):
    """First what should be done, then by which method, then how.

    Parameters
    ----------
    kind : which methods to offer; where they all do the same, there is no task to choose
    """

    task_changed = Signal()
    changed = Signal()

    def __init__(self, parent: QWidget | None = None, kind: Kind = "restore") -> None:
        super().__init__(parent)
        self.kind = kind
        self._forms: dict[str, tuple[OptionForm, OptionForm]] = {}
        self._dress: Callable[[OptionForm, OptionForm], None] | None = None
        self._shown: OptionForm | None = None
        self._entered: dict[str, Any] = {}
        self._colours: ThemeColours | None = None
        self.task_choice, self.method_choice = QComboBox(self), QComboBox(self)
        chooses = {_AUTO[kind].id: _AUTO[kind]} if kind in _AUTO else {}
        offered = {**chooses, **methods(kind)}
        self._methods = {name: offered[name] for name in sorted(offered, key=lambda name: name != _RECOMMENDED[kind])}
        for task, words in TASKS.items():
            if any(task in spec.tasks for spec in self._methods.values()):
                # What stands in brackets would be cut off in a narrow dock; the tool tip says it.
                self.task_choice.addItem(words.partition(" (")[0], task)
        self.about = Note()
        self.settings = OptionForm(settings_of(kind))
        self.optics = {task: OptionForm(asked, self) for task, asked in OPTICS.items()}
        self._plain, self._rare = QVBoxLayout(), QVBoxLayout()
        self.advanced = Section("Advanced", self)
        self.advanced.rows.addLayout(self._rare)
        self.advanced.rows.addWidget(self.settings)
        top = QGridLayout()
        top.setHorizontalSpacing(10)
        top.setVerticalSpacing(6)
        top.setColumnStretch(1, 1)
        self.task_choice.setVisible(self.task_choice.count() > 1)
        for combo in (self.task_choice, self.method_choice):
            combo.setMinimumContentsLength(12)
            combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        if self.task_choice.count() > 1:
            for row, (words, combo) in enumerate((("Task", self.task_choice), ("Method", self.method_choice))):
                top.addWidget(QLabel(words), row, 0, Qt.AlignmentFlag.AlignLeft)
                top.addWidget(combo, row, 1)
        else:
            # The heading says what is chosen; titles are long.
            top.addWidget(self.method_choice, 0, 0, 1, 2)
        rows = QVBoxLayout(self)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.setSpacing(GAP)
        rows.addWidget(Heading(_TITLE[kind]))
        rows.addLayout(top)
        rows.addWidget(self.about)
        for form in self.optics.values():
            rows.addWidget(form)
        rows.addLayout(self._plain)
        rows.addWidget(self.advanced)
        self.task_choice.currentIndexChanged.connect(self._list_methods)
        self.method_choice.currentIndexChanged.connect(self._show_method)
        for form in (self.settings, *self.optics.values()):
            form.changed.connect(self.changed)
        self._list_methods()

    def task(self) -> str:
        """The chosen task."""
        return str(self.task_choice.currentData())

    def method(self) -> MethodSpec:
        """The chosen method."""
        return self._methods[self.method_choice.currentData()]

    def choose(self, task: str, method: str | None = None) -> None:
        """Choose as a person would."""
        self.task_choice.setCurrentIndex(self.task_choice.findData(task))
        if method is not None:
            self.method_choice.setCurrentIndex(self.method_choice.findData(method))

    def take_up(self, recipe: Recipe, step: int = 0) -> None:
        """Show a step of a recipe with its settings; options that it does not name go back to their defaults."""
        wanted = recipe.steps[step]
        spec = self._methods[wanted.method]
        task = spec.check_task(wanted.task)
        self.choose(task, wanted.method)
        given = spec.parameters.parse(wanted.params).model_dump()
        for form in self.options():
            form.reset()
            form.put({name: value for name, value in given.items() if form.has(name)})
        self.settings.put({
            "seed": recipe.seed, "bad_bands": recipe.bad_bands, "tile": recipe.tile,
            "keep_observed": recipe.keep_observed if task == "inpaint" else None,
        })  # fmt: skip
        if task in self.optics:
            self.optics[task].put(recipe.optics(task))

    def options(self, method: str | None = None) -> tuple[OptionForm, OptionForm]:
        """The forms of a method's usual and rare options; of the chosen one when not given."""
        spec = self.method() if method is None else self._methods[method]
        if spec.id not in self._forms:
            listed = sorted(options(spec.parameters), key=lambda option: option.name not in MATERIALS)
            usual = OptionForm([option for option in listed if not option.advanced], self)
            rare = OptionForm([option for option in listed if option.advanced], self)
            self._forms[spec.id] = usual, rare
            self._plain.addWidget(usual)
            self._rare.addWidget(rare)
            for form in (usual, rare):
                form.changed.connect(self.changed)
            if self._dress is not None:
                self._dress(usual, rare)
            if self._colours is not None:
                usual.follow(self._colours)
                rare.follow(self._colours)
        return self._forms[spec.id]

    def dress(self, call: Callable[[OptionForm, OptionForm], None]) -> None:
        """Have the forms of every method, made or to be made, completed by a function of the usual and the rare."""
        self._dress = call
        for pair in self._forms.values():
            call(*pair)

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
        usual.check()
        rare.check()
        given = self.settings.values()
        memory = given.pop("memory", None)
        given.setdefault("device", "auto")
        optics = self.optics[self.task()].values() if self.task() in self.optics else {}
        optics_of(self.task(), **optics)
        return spec.id, values, Settings(task=self.task(), memory=memory and parse_memory(memory), **given, **optics)

    def take_defaults(self, event: Any = None) -> None:
        """Follow the Preferences in the settings that a person left as they were."""
        self.settings.take_defaults(settings_of(self.kind))

    def follow(self, colours: ThemeColours) -> None:
        """Use the colours of a theme."""
        self._colours = colours
        self.about.paint(colours.muted)
        for pair in self._forms.values():
            for form in pair:
                form.follow(colours)

    def _list_methods(self, index: int = 0) -> None:
        before = self.method_choice.currentData()
        self.method_choice.blockSignals(True)
        self.method_choice.clear()
        for spec in self._methods.values():
            if self.task() in spec.tasks:
                self.method_choice.addItem(_short(spec.title), spec.id)
        self.method_choice.setCurrentIndex(max(self.method_choice.findData(before), 0))
        self.method_choice.blockSignals(False)
        for task, form in self.optics.items():
            form.setVisible(task == self.task())
        self._show_method()
        self.task_changed.emit()

    def _show_method(self, index: int = 0) -> None:
        chosen = self.options()
        self._carry_over(chosen[0])
        for pair in self._forms.values():
            for form in pair:
                form.setVisible(pair is chosen and bool(form.options))
        spec = self.method()
        self.task_choice.setToolTip(TASKS[self.task()])
        self.method_choice.setToolTip(spec.title)
        self.about.say(spec.summary)
        notes = [*(f"• {limit}" for limit in spec.limits), "", *(reference.text for reference in spec.references)]
        self.about.setToolTip("\n".join(notes))
        self.changed.emit()

    def _carry_over(self, form: OptionForm) -> None:
        """Keep what was entered about the materials when the method changes."""
        before, self._shown = self._shown, form
        if before is not None and before is not form:
            self._entered |= {name: value for name, value in before.entries().items() if name in MATERIALS}
            form.put({name: value for name, value in self._entered.items() if form.has(name)})


def _short(title: str) -> str:
    """A title without what it says in brackets, where it would be cut off in a narrow dock."""
    return title if len(title) <= _TITLE_CHARACTERS else title.partition(" (")[0]

"""Forms made from options: nothing is lost between what is typed and what the method is given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import pytest

from hsi_app.errors import ParameterError
from hsi_app.methods.registry import methods
from hsi_app.params import Option, Parameters, options, parameter

pytest.importorskip("qtpy", reason="the extra 'gui' is not installed")

pytestmark = pytest.mark.usefixtures("toolkit")


class Sample(Parameters):
    """One of each kind."""

    tolerance: float = parameter(1e-6, "Stop below this.", source="eq. 4", gt=0.0, lt=1.0)
    rank: int | None = parameter(None, "Components.", unit="components", ge=1, le=64)
    weight: float | None = parameter(None, "Weight.", ge=0.0)
    mode: Literal["fast", "exact"] = parameter("exact", "How.")
    verbose: bool = parameter(True, "Say more.")
    title: str = parameter("run <1>", "Name.")


class Demanding(Parameters):
    """Options that a person must fill in."""

    size: int = parameter(..., "Size.", ge=2)
    gain: float = parameter(..., "Gain.")
    kind: Literal["a", "b"] = parameter(..., "Kind.")
    name: str = parameter(..., "Name.")


@pytest.fixture
def make_form(toolkit: Any) -> Callable[..., Any]:
    from hsi_napari.forms import OptionForm

    forms = []

    def make(model: type[Parameters]) -> Any:
        form = OptionForm(options(model))
        toolkit.addWidget(form)
        forms.append(form)
        return form

    return make


def typed(form: Any, name: str, text: str) -> None:
    """Type into a field as a person does, and leave it."""
    box = form.editor(name).widget
    box.lineEdit().setText(text)
    box.interpretText()


def test_an_untouched_form_gives_the_defaults(make_form: Any) -> None:
    assert Sample.parse(make_form(Sample).values()) == Sample()


@pytest.mark.parametrize("name", sorted(methods()))
def test_an_untouched_form_of_every_method_gives_its_defaults(make_form: Any, name: str) -> None:
    model, form = methods()[name].parameters, make_form(methods()[name].parameters)
    needed = [option.name for option in options(model) if option.is_required]
    form.put(dict.fromkeys(needed, "given"))
    assert model.parse(form.values()) == model.parse(dict.fromkeys(needed, "given"))


def test_values_that_are_put_in_come_out_again(make_form: Any) -> None:
    given = {"tolerance": 3.25e-9, "rank": 7, "weight": 0.1, "mode": "fast", "verbose": False, "title": "x"}
    form = make_form(Sample)
    form.put(given)
    assert form.values() == given


@pytest.mark.parametrize("text", ["1e-6", "0.000001", "3.0517578125e-05", "0.1", "2.5E-12"])
def test_a_typed_number_keeps_every_digit(make_form: Any, text: str) -> None:
    form = make_form(Sample)
    typed(form, "tolerance", text)
    assert form.values()["tolerance"] == float(text)


def test_small_numbers_are_shown_in_scientific_notation(make_form: Any) -> None:
    assert make_form(Sample).editor("tolerance").widget.text() == "1e-06"


def test_auto_means_absent_and_not_zero(make_form: Any) -> None:
    form = make_form(Sample)
    assert "rank" not in form.values()
    form.auto("rank").setChecked(False)
    assert form.values()["rank"] >= 1
    form.auto("rank").setChecked(True)
    assert "rank" not in form.values()


def test_a_field_on_auto_shows_no_number_and_remembers_the_last_one(make_form: Any) -> None:
    form = make_form(Sample)
    form.put({"rank": 9})
    box = form.editor("rank").widget
    assert box.text() == "9 components"
    form.auto("rank").setChecked(True)
    assert box.text() == ""
    form.auto("rank").setChecked(False)
    assert box.text() == "9 components"
    assert form.values()["rank"] == 9


@pytest.mark.parametrize("text", ["0", "1", "-1", "7", "1e9"])
def test_a_number_outside_the_range_never_comes_out(make_form: Any, text: str) -> None:
    form = make_form(Sample)
    typed(form, "tolerance", text)
    assert 0 < form.values()["tolerance"] < 1


def test_words_are_not_numbers(make_form: Any) -> None:
    from qtpy.QtGui import QValidator

    box = make_form(Sample).editor("tolerance").widget
    assert box.validate("1e-", 3)[0] == QValidator.State.Intermediate
    assert box.validate("fast", 4)[0] == QValidator.State.Invalid
    assert box.validate("nan", 3)[0] != QValidator.State.Acceptable


@pytest.mark.parametrize("start", [1e-6, 0.02, 0.5])
def test_steps_follow_the_size_of_the_number(make_form: Any, start: float) -> None:
    form = make_form(Sample)
    form.put({"tolerance": start})
    form.editor("tolerance").widget.stepBy(1)
    assert start < form.values()["tolerance"] <= 1.2 * start


def test_required_options_start_empty_and_are_asked_for_by_name(make_form: Any) -> None:
    form = make_form(Demanding)
    assert form.values() == {}
    with pytest.raises(ParameterError, match="size"):
        Demanding.parse(form.values())
    filled = {"size": 2, "gain": 0.0, "kind": "b", "name": "n"}
    form.put(filled)
    assert form.values() == filled


def test_the_tip_holds_description_range_default_and_source() -> None:
    from hsi_napari.forms import tip_of

    tip = tip_of(options(Sample)[0])
    for part in ("Stop below this.", "(0, 1)", "1e-06", "eq. 4"):
        assert part in tip


def test_tips_show_angle_brackets_as_written() -> None:
    from hsi_napari.forms import tip_of

    assert "run &lt;1&gt;" in tip_of(options(Sample)[5])


def test_the_wheel_does_not_change_a_field_that_was_not_clicked(make_form: Any) -> None:
    from qtpy.QtCore import QPoint, QPointF, Qt
    from qtpy.QtGui import QWheelEvent
    from qtpy.QtWidgets import QApplication

    form = make_form(Sample)
    form.put({"rank": 9})
    box = form.editor("rank").widget
    middle = QPointF(box.rect().center())
    turn = QWheelEvent(
        middle, middle, QPoint(0, 0), QPoint(0, 120), Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    QApplication.sendEvent(box, turn)
    assert form.values()["rank"] == 9


def test_changes_are_announced(make_form: Any, toolkit: Any) -> None:
    form = make_form(Sample)
    with toolkit.waitSignal(form.changed):
        form.editor("mode").widget.setCurrentIndex(0)


def test_settings_give_what_the_runner_takes(toolkit: Any) -> None:
    from hsi_napari.method_form import MethodForm

    from hsi_app.runner import Settings

    form = MethodForm()
    toolkit.addWidget(form)
    form.choose("denoise", "lowrank")
    assert form.chosen()[2] == Settings(task="denoise")
    form.settings.put({"memory": "2G", "seed": 4, "tile": 256, "bad_bands": "restore", "keep_observed": False})
    expected = Settings("denoise", memory=2 * 2**30, seed=4, tile=256, bad_bands="restore", keep_observed=False)
    assert form.chosen()[2] == expected


def test_settings_that_cannot_work_are_refused_in_one_line(toolkit: Any) -> None:
    from hsi_napari.method_form import MethodForm

    form = MethodForm()
    toolkit.addWidget(form)
    form.settings.put({"memory": "a lot"})
    with pytest.raises(ParameterError, match="a lot"):
        form.chosen()


def test_every_setting_of_the_runner_has_a_field() -> None:
    from dataclasses import fields

    from hsi_napari.run_settings import OPTICS, SETTINGS

    from hsi_app.runner import Settings

    # The task has a list of its own above the form; some tasks ask for more; 'program' is for batches.
    asked = {option.name for options in (SETTINGS, *OPTICS.values()) for option in options}
    assert asked | {"task", "program"} == {field.name for field in fields(Settings)}


def test_scale_and_blur_are_asked_for_the_tasks_they_belong_to(toolkit: Any) -> None:
    from hsi_napari.method_form import MethodForm

    from hsi_app.runner import Settings

    form = MethodForm()
    toolkit.addWidget(form)
    form.choose("sr", "lowrank")
    assert not form.optics["sr"].isHidden()
    assert form.chosen()[2] == Settings(task="sr", scale=2)
    form.optics["sr"].put({"scale": 4, "psf_fwhm": 2.5})
    assert form.chosen()[2] == Settings(task="sr", scale=4, psf_fwhm=2.5)
    form.choose("denoise")
    assert all(asked.isHidden() for asked in form.optics.values())
    assert form.chosen()[2] == Settings(task="denoise")


def test_a_blur_whose_width_was_not_entered_is_asked_for(toolkit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from hsi_napari import method_form

    sharpening = replace(methods()["lowrank"], tasks=("denoise", "deblur"))
    monkeypatch.setattr(method_form, "methods", lambda kind=None: {"lowrank": sharpening})
    form = method_form.MethodForm()
    toolkit.addWidget(form)
    form.choose("deblur")
    with pytest.raises(ParameterError, match="width of the blur"):
        form.chosen()
    form.optics["deblur"].put({"psf_fwhm": 3.0})
    assert form.chosen()[2].psf_fwhm == 3.0
    assert form.chosen()[2].scale is None


def test_only_tasks_that_some_method_offers_are_listed(toolkit: Any) -> None:
    from hsi_napari.method_form import MethodForm

    form = MethodForm()
    toolkit.addWidget(form)
    listed = {form.task_choice.itemData(i) for i in range(form.task_choice.count())}
    assert listed == {task for spec in methods("restore").values() for task in spec.tasks}


def test_labels_are_words() -> None:
    from hsi_napari.forms import label_of

    assert label_of(Option("keep_observed", "bool", False, "")) == "Keep observed"
    assert label_of(Option("size", "int", None, "", is_required=True)) == "Size *"

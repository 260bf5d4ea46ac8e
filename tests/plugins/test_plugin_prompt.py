"""Free text and chips: what is typed is what the method gets, and nothing starts from a text that is unclear."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hsi_app.errors import ParameterError
from hsi_app.methods.registry import methods
from hsi_app.params import Parameters, options, parameter

pytest.importorskip("qtpy", reason="the extra 'gui' is not installed")

from hsi_napari.chips import names_in, switched

RECIPE = Path(__file__).parents[2] / "models" / "recipes" / "prompted" / "card.json"
FRUIT = {"apple": "apples, sour ones", "pear": "pears", "plum": "plums <small>"}


def offered() -> tuple[str, ...]:
    return ("all", *FRUIT)


def explain(text: str) -> str:
    if "?" in text:
        raise ParameterError("Sweet or sour?")
    return f"You want {text}."


class Basket(Parameters):
    """A wish, and what is put in where there is none."""

    wish: str = parameter("", "What you want.", explains=f"{__name__}:explain")
    fruit: str = parameter(
        "all", "What to take.", offers=f"{__name__}:offered", several=f"{__name__}:FRUIT", overruled_by="wish"
    )
    share: float = parameter(1.0, "How much of it.", ge=0.0, le=1.0)
    rate: float = parameter(1.0, "How fast.", unit="per day", ge=0.0, le=1.0)


@pytest.fixture
def form(toolkit: Any) -> Any:
    from hsi_napari.forms import OptionForm

    form = OptionForm(options(Basket))
    toolkit.addWidget(form)
    return form


@pytest.fixture
def chips(form: Any) -> Any:
    return form.editor("fruit").chips


@pytest.fixture
def dock(dock: Any) -> Any:
    dock.form.choose("denoise", "mphsir")
    return dock


@pytest.fixture
def finish(toolkit: Any) -> Callable[[Any], None]:
    """Wait for the run of a dock to end."""
    return lambda dock: toolkit.waitUntil(lambda: not dock.run_panel.is_running, timeout=60_000)


@pytest.fixture
def small_weights(tmp_path: Path) -> str:
    """A prompted network of few channels that has learned nothing yet."""
    import torch
    from hsi_models.prompted import PromptedNet
    from hsi_models.store import save_weights

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        hyper = {"width": 8, "components": 12, "group": 32}
        state = PromptedNet(**hyper).state_dict()
    save_weights(tmp_path / "small", state, {**json.loads(RECIPE.read_text()), "hyper": hyper})
    return str(tmp_path / "small")


# ---- text and chips --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("all", ("all",)),
        ("apple+pear", ("apple", "pear")),
        (" Apple : 0.5 + pear", ("apple", "pear")),
        ("", ()),
        ("+", ()),
    ],
)
def test_weights_and_blanks_do_not_hide_a_name(text: str, named: tuple[str, ...]) -> None:
    assert names_in(text) == named


@pytest.mark.parametrize(
    ("text", "name", "after"),
    [
        ("apple:0.25+pear", "plum", "apple:0.25+pear+plum"),
        ("apple:0.25+pear", "pear", "apple:0.25"),
        ("apple:0.25+pear", "all", "all"),
        ("all", "pear", "pear"),
        ("", "pear", "pear"),
        ("grape+apple", "pear", "grape+apple+pear"),
        ("all", "all", "all"),
        ("pear:2", "pear", "all"),
    ],
)
def test_a_chip_changes_its_own_entry_only(text: str, name: str, after: str) -> None:
    assert switched(text, name, ("all",), fallback="all") == after


@pytest.mark.parametrize("text", ["apple+pear:0.5", "pear + apple:1e-2", "all", "grape"])
def test_a_text_survives_beside_the_chips_as_it_was_written(form: Any, text: str) -> None:
    form.put({"fruit": text})
    assert form.values()["fruit"] == text


@pytest.mark.parametrize("text", ["all", "apple+plum:0.5", "plum", "grape"])
def test_chips_show_what_is_in_the_text(form: Any, chips: Any, text: str) -> None:
    form.put({"fruit": text})
    assert set(chips.chosen()) == set(names_in(text)) & {"all", *FRUIT}


def test_pressed_chips_make_the_text(form: Any, chips: Any) -> None:
    chips.chips["pear"].click()
    chips.chips["apple"].click()
    assert form.values()["fruit"] == "pear+apple"
    assert set(chips.chosen()) == {"apple", "pear"}
    chips.chips["pear"].click()
    assert form.values()["fruit"] == "apple"


def test_a_chip_that_stands_alone_puts_the_others_out_and_is_put_out_by_them(form: Any, chips: Any) -> None:
    form.put({"fruit": "apple+pear:0.5"})
    chips.chips["all"].click()
    assert (form.values()["fruit"], chips.chosen()) == ("all", ("all",))
    chips.chips["plum"].click()
    assert (form.values()["fruit"], chips.chosen()) == ("plum", ("plum",))


def test_there_is_always_something_chosen(form: Any, chips: Any) -> None:
    chips.chips["all"].click()
    assert chips.chosen() == ("all",)
    chips.chips["pear"].click()
    chips.chips["pear"].click()
    assert form.values()["fruit"] == "all"
    assert chips.chosen() == ("all",)


def test_chips_have_short_words_and_tell_the_rest(chips: Any) -> None:
    assert [chip.text() for chip in chips.chips.values()] == ["all", "apples", "pears", "plums <small>"]
    assert "apples, sour ones" in chips.chips["apple"].toolTip()
    assert "plums &lt;small&gt;" in chips.chips["plum"].toolTip()


def test_chips_can_be_used_from_the_keyboard(form: Any, chips: Any, toolkit: Any) -> None:
    from qtpy.QtCore import Qt

    chip = chips.chips["pear"]
    assert chip.focusPolicy() & Qt.FocusPolicy.TabFocus
    toolkit.keyClick(chip, Qt.Key.Key_Space)
    assert form.values()["fruit"] == "pear"


def test_chips_flow_over_more_lines_where_the_dock_is_narrow(dock: Any) -> None:
    chips = dock.form.options()[0].editor("degradations").chips
    line = next(iter(chips.chips.values())).sizeHint().height()
    assert chips.layout().heightForWidth(2000) < 2 * line
    assert chips.layout().heightForWidth(280) > 2 * line
    assert max(chip.sizeHint().width() for chip in chips.chips.values()) < 280


def test_chips_announce_changes_like_other_fields(form: Any, chips: Any, toolkit: Any) -> None:
    with toolkit.waitSignal(form.changed):
        chips.chips["pear"].click()


# ---- free text ---------------------------------------------------------------------------------------------------


def test_a_wish_comes_out_as_it_was_put_in(form: Any) -> None:
    form.put({"wish": "sweet ones,  please: 50 %"})
    assert form.values()["wish"] == "sweet ones,  please: 50 %"
    form.put({"wish": ""})
    assert "wish" not in form.values()


def test_what_was_understood_is_told_soon_after_it_was_typed(form: Any, toolkit: Any) -> None:
    editor = form.editor("wish")
    toolkit.keyClicks(editor.widget, "pears")
    assert editor.explanation.text() == ""
    toolkit.waitUntil(lambda: editor.explanation.text() == "You want pears.", timeout=5000)
    assert not editor.explanation.isHidden()
    assert editor.explanation.is_clear


def test_what_is_unclear_is_asked_and_marks_the_field(form: Any, toolkit: Any, viewer: Any) -> None:
    from hsi_napari.theme import theme_colours

    colours = theme_colours(viewer.theme)
    form.follow(colours)
    editor = form.editor("wish")
    with toolkit.waitSignal(editor.explanation.told, timeout=5000):
        form.put({"wish": "fruit?"})
    assert editor.explanation.text() == "Sweet or sour?"
    assert colours.warning in editor.widget.styleSheet()
    assert editor.widget.accessibleDescription() == "Sweet or sour?"
    with toolkit.waitSignal(editor.explanation.told, timeout=5000):
        form.put({"wish": "fruit"})
    assert colours.warning not in editor.widget.styleSheet()


def test_an_emptied_text_needs_no_words(form: Any, toolkit: Any) -> None:
    editor = form.editor("wish")
    form.put({"wish": "fruit?"})
    editor.explanation.refresh()
    form.put({"wish": "  "})
    assert editor.explanation.isHidden()
    assert editor.explanation.is_clear


def test_what_is_unclear_is_refused_with_the_name_of_the_option(form: Any) -> None:
    form.put({"wish": "pears"})
    form.check()
    form.put({"wish": "pears?"})
    with pytest.raises(ParameterError, match=r"^wish 'pears\?': Sweet or sour\?$"):
        form.check()


def test_a_hidden_option_takes_its_explanation_along(form: Any) -> None:
    form.put({"wish": "pears"})
    explanation = form.editor("wish").explanation
    explanation.refresh()
    form.show_row("wish", False)
    assert explanation.isHidden()
    form.show_row("wish", True)
    assert not explanation.isHidden()


def test_a_sentence_has_no_line_breaks(form: Any, toolkit: Any) -> None:
    from qtpy.QtCore import QMimeData, Qt

    box = form.editor("wish").widget
    toolkit.keyClick(box, Qt.Key.Key_Return)
    pasted = QMimeData()
    pasted.setText("apples\n  and pears\n")
    box.insertFromMimeData(pasted)
    assert form.values()["wish"] == "apples and pears"


def test_the_box_grows_with_its_text_but_not_without_end(form: Any) -> None:
    box = form.editor("wish").widget
    form.resize(300, 400)
    form.show()
    heights = []
    for words in (1, 40, 4000):
        form.put({"wish": "pear " * words})
        heights.append(box.height())
    assert heights[0] < heights[1] <= heights[2] < 200


def test_an_option_rests_while_the_text_in_its_place_is_filled_in(form: Any, chips: Any) -> None:
    form.put({"fruit": "pear"})
    form.put({"wish": "plums"})
    assert not chips.chips["pear"].isEnabled()
    assert not form.editor("fruit").widget.isEnabled()
    assert "wish" in chips.chips["pear"].toolTip()
    assert form.values()["fruit"] == "pear"
    form.put({"wish": ""})
    assert chips.chips["pear"].isEnabled()
    assert "pears" in chips.chips["pear"].toolTip()


# ---- shares --------------------------------------------------------------------------------------------------------


def test_slider_and_box_of_a_share_move_together(form: Any) -> None:
    editor = form.editor("share")
    editor.slider.setValue(25)
    assert form.values()["share"] == 0.25
    form.put({"share": 0.5})
    assert editor.slider.value() == 50


def test_the_slider_does_not_round_what_was_typed(form: Any) -> None:
    form.put({"share": 1 / 3})
    assert form.values()["share"] == 1 / 3
    assert form.editor("share").slider.value() == 33


def test_only_a_plain_share_has_a_slider(form: Any) -> None:
    assert form.editor("rate").slider is None


# ---- the dock ------------------------------------------------------------------------------------------------------


def test_words_that_nobody_understands_start_nothing(viewer: Any, layer: Any, dock: Any, halving: list[Any]) -> None:
    dock.form.options()[0].put({"prompt": "make it pretty"})
    for start in (dock.run, dock.preview):
        start()
        assert not dock.run_panel.is_running
        assert dock.run_panel.message.is_error
        assert dock.run_panel.message.text().startswith("prompt 'make it pretty': ")
        assert dock.run_panel.message.text().endswith("?")
    assert halving == []
    assert list(viewer.layers) == [layer]


def test_a_prompt_reaches_the_engine_as_it_was_typed(dock: Any, halving: list[Any], finish: Any) -> None:
    dock.form.options()[0].put({"prompt": "remove the stripes and a bit of haze", "strength": 0.4})
    dock.run()
    finish(dock)
    _, method, given, _, _ = halving[0]
    assert (method, given["prompt"], given["strength"]) == ("mphsir", "remove the stripes and a bit of haze", 0.4)


def test_the_prompt_is_explained_in_the_dock(dock: Any) -> None:
    editor = dock.form.options()[0].editor("prompt")
    editor.put("remove the haze")
    editor.explanation.refresh()
    assert editor.explanation.is_clear
    assert "haze" in editor.explanation.text()
    editor.put("make it pretty")
    editor.explanation.refresh()
    assert not editor.explanation.is_clear
    assert editor.explanation.text().endswith("?")


def test_every_degradation_has_a_chip_that_the_engine_knows(dock: Any) -> None:
    spec = methods()["mphsir"]
    form = dock.form.options()[0]
    chips = form.editor("degradations").chips
    for name in chips.chips:
        form.put({"degradations": "task"})
        chips.chips[name].click()
        assert form.values()["degradations"] == name
        spec.parameters.parse(form.values())


def test_a_prompted_network_restores_in_the_dock_and_shows_its_extras(
    viewer: Any, layer: Any, dock: Any, small_weights: str, finish: Any
) -> None:
    given = {"prompt": "remove the noise and the haze", "weights": small_weights, "views": 2}
    dock.form.options()[0].put(given)
    dock.run()
    finish(dock)
    assert not dock.run_panel.message.is_error, dock.run_panel.message.text()
    assert [layer.name for layer in viewer.layers] == [
        "scene", "scene · spread", "scene · haze", "scene · removed", "scene · restored"
    ]  # fmt: skip


def test_weights_that_are_missing_are_told_in_one_line(dock: Any, viewer: Any, tmp_path: Path, finish: Any) -> None:
    dock.form.options()[0].put({"prompt": "remove the noise", "weights": str(tmp_path / "nowhere")})
    dock.run()
    finish(dock)
    assert dock.run_panel.message.is_error
    assert "nowhere" in dock.run_panel.message.text()
    assert "\n" not in dock.run_panel.message.text()
    assert len(viewer.layers) == 1


def test_a_prompted_run_can_be_cancelled(dock: Any, viewer: Any, small_weights: str, finish: Any) -> None:
    dock.form.options()[0].put({"degradations": "gauss+haze:0.5", "weights": small_weights})
    dock.run()
    dock.cancel()
    finish(dock)
    assert "Cancelled" in dock.run_panel.message.text()
    assert len(viewer.layers) == 1

"""Compare settings: values as a person writes them, what each leaves on the region, and the sheet of pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hsi_napari.layers import cube_to_layer
from hsi_napari.sweep_model import (
    SCENE_LOSS,
    Trial,
    can_sweep,
    carry_out,
    limits_of,
    picture,
    suggested,
    values_of,
    words,
)
from napari.components import ViewerModel
from napari.layers import Layer

from hsi_app.cube import Cube
from hsi_app.errors import CubeError, ParameterError
from hsi_app.jobs import Job
from hsi_app.methods.registry import methods
from hsi_app.params import Option, options
from hsi_app.recipe import Recipe, Step
from hsi_app.runner import Settings
from hsi_app.tiling import Window

pytest.importorskip("qtpy", reason="the extra 'gui' is not installed")

LIMIT_MS = 30_000

RANK = Option("rank", "int", None, "Components.", is_optional=True, lower=1, upper=128)
STRENGTH = Option("strength", "float", 1.0, "How strongly.", lower=0.0, upper=4.0)
RATE = Option("rate", "float", 0.003, "Learning rate.", lower=0.0, lower_open=True, upper=0.1)
DENOISER = Option("denoiser", "choice", "dct", "Denoiser.", choices=("collaborative", "dct", "none"))
SIMPLEX = Option("simplex", "bool", False, "Abundances.")
PRIOR = Option("prior", "text", "triple-prior", "Network.")


# ---- values --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "text", "values"),
    [
        (RANK, "2, 4, 8", [2, 4, 8]),
        (RANK, "2; 4;8", [2, 4, 8]),
        (RANK, "4, 2, 4", [4, 2]),
        (RANK, "1..9 / 3", [1, 5, 9]),
        (RANK, "1..3", [1, 2, 3]),
        (STRENGTH, "0.5..2 / 4", [0.5, 1.0, 1.5, 2.0]),
        (STRENGTH, "0 to 4 in 5", [0.0, 1.0, 2.0, 3.0, 4.0]),
        (STRENGTH, "0..4", [0.0, 1.0, 2.0, 3.0, 4.0]),
        (RATE, "1e-4, 1e-3", [1e-4, 1e-3]),
        (RATE, "1e-4..1e-2 / 2", [1e-4, 1e-2]),
        (DENOISER, "dct, none", ["dct", "none"]),
        (SIMPLEX, "off, on", [False, True]),
    ],
)
def test_values_are_read_as_a_person_writes_them(option: Option, text: str, values: list[Any]) -> None:
    assert values_of(option, text) == values


@pytest.mark.parametrize(
    ("option", "text", "says"),
    [
        (RANK, "2, x", "no whole number"),
        (RANK, "2, 2.5", "no whole number"),
        (RANK, "0, 3", r"outside \[1, 128\]"),
        (RATE, "0, 0.01", "outside"),
        (STRENGTH, "nan, 1", "outside"),
        (STRENGTH, "1", "2 to 12"),
        (STRENGTH, "", "2 to 12"),
        (STRENGTH, "0..4 / 40", "2 to 12"),
        (DENOISER, "dct, nonsense", "none of"),
        (SIMPLEX, "off, maybe", "neither on nor off"),
    ],
)
def test_what_is_no_value_is_told_in_one_line(option: Option, text: str, says: str) -> None:
    with pytest.raises(ParameterError, match=says) as failure:
        values_of(option, text)
    assert "\n" not in str(failure.value)


def every_option() -> list[tuple[str, Option]]:
    return [
        (f"{spec.id}-{option.name}", option)
        for spec in methods("restore").values()
        for option in options(spec.parameters)
        if can_sweep(option)
    ]


@pytest.mark.parametrize("option", [option for _, option in every_option()], ids=[name for name, _ in every_option()])
def test_what_is_suggested_can_be_tried(option: Option) -> None:
    found = values_of(option, suggested(option, option.default))
    assert 2 <= len(found) <= 12


def test_what_is_suggested_holds_the_current_value() -> None:
    assert 0.8 in values_of(STRENGTH, suggested(STRENGTH, 0.8))
    assert 6 in values_of(RANK, suggested(RANK, 6))


def test_free_text_has_no_values_to_list() -> None:
    assert not can_sweep(PRIOR)


def test_values_are_written_as_they_are_read() -> None:
    assert [words(value) for value in (True, 0.1, 1e-4, 3, "dct")] == ["on", "0.1", "0.0001", "3", "dct"]


# ---- trials --------------------------------------------------------------------------------------------------------


def tried(cube: Cube, option: str, values: list[Any], window: Window, job: Job | None = None) -> list[Trial]:
    found: list[Trial] = []
    recipe = Recipe((Step("lowrank", "denoise", {"denoiser": "none"}),))
    settings = Settings("denoise", "cpu")
    carry_out(cube, window, None, recipe, settings, option, values, job or Job(), found.append)
    return found


def test_the_original_comes_first_then_each_value_on_the_region_alone(make_cube: Callable[..., Cube]) -> None:
    cube = make_cube(12, 60, 50, sigma=0.03)
    original, one, three = tried(cube, "rank", [1, 3], Window(4, 6, 40, 32))
    assert original.value is None
    assert np.array_equal(original.cube.values, cube.values[:, 4:44, 6:38])  # type: ignore[union-attr]
    assert [one.value, three.value] == [1, 3]
    assert three.cube.shape == (12, 40, 32)  # type: ignore[union-attr]


def test_too_low_a_rank_takes_more_and_its_loss_of_the_scene_is_marked(make_cube: Callable[..., Cube]) -> None:
    _, one, three = tried(make_cube(12, 60, 50, sigma=0.005), "rank", [1, 3], Window(0, 0, 60, 50))
    assert one.change > 2 * three.change
    assert one.structure > SCENE_LOSS > three.structure
    assert one.loses_scene
    assert not three.loses_scene


def test_a_value_that_cannot_work_does_not_stop_the_others(
    make_cube: Callable[..., Cube], monkeypatch: pytest.MonkeyPatch
) -> None:
    from hsi_app import runner

    restore = runner.restore

    def picky(cube: Cube, method: str, given: Any, *more: Any, **named: Any) -> Any:
        if given["rank"] == 2:
            raise CubeError("not with 2.")
        return restore(cube, method, given, *more, **named)

    monkeypatch.setattr("hsi_app.runner.restore", picky)
    _, first, second, third = tried(make_cube(12, 40, 40, sigma=0.03), "rank", [1, 2, 3], Window(0, 0, 40, 40))
    assert (second.problem, second.figures()) == ("not with 2.", "failed")
    assert first.result is not None
    assert third.result is not None


def test_all_pictures_have_the_contrast_of_the_original(make_cube: Callable[..., Cube]) -> None:
    cube = make_cube(12, 30, 20)
    limits = limits_of(cube, [4])
    half = cube.replace(cube.values / 2, "halved")
    assert picture(cube, [4], limits).shape == (30, 20, 3)
    assert picture(half, [4], limits).mean() < 0.7 * picture(cube, [4], limits).mean()


def test_a_picture_of_three_bands_is_in_colour_and_gaps_are_black(make_cube: Callable[..., Cube]) -> None:
    values = np.array(make_cube(12, 30, 20).values)
    values[:, 3, 4] = np.nan
    cube = make_cube(12, 30, 20, values=values)
    drawn = picture(cube, [0, 5, 9], limits_of(cube, [0, 5, 9]))
    assert not np.array_equal(drawn[..., 0], drawn[..., 2])
    assert (drawn[3, 4] == 0).all()


# ---- the panel -----------------------------------------------------------------------------------------------------


@pytest.fixture
def dock(viewer: ViewerModel, toolkit: Any, make_cube: Callable[..., Cube]) -> Any:
    from hsi_napari.restore_dock import RestoreDock

    viewer.add_layer(Layer.create(*cube_to_layer(make_cube(12, 40, 36, sigma=0.03, name="field"))))
    dock = RestoreDock(viewer)
    toolkit.addWidget(dock)
    dock.form.options()[0].put({"denoiser": "none", "outliers": "off"})
    return dock


@pytest.fixture
def region(monkeypatch: pytest.MonkeyPatch) -> Window:
    window = Window(2, 3, 32, 30)
    monkeypatch.setattr("hsi_napari.restore_dock.region_of", lambda *_: (window, "drawn region"))
    return window


def try_values(dock: Any, toolkit: Any, name: str, text: str) -> None:
    dock.sweep.choose(name, text)
    dock.sweep.start.click()
    toolkit.waitUntil(lambda: not dock.sweep.is_running, timeout=LIMIT_MS)


def test_the_options_of_the_chosen_method_are_listed(dock: Any) -> None:
    def listed() -> list[str]:
        return [dock.sweep.option_choice.itemText(i) for i in range(dock.sweep.option_choice.count())]

    assert listed() == ["Rank", "Strength", "Denoiser", "Outliers"]
    dock.form.choose("denoise", "dds2m")
    assert listed()[:2] == ["Updates", "Generator"]


def test_a_click_on_a_picture_puts_its_value_into_the_form(dock: Any, toolkit: Any, region: Window) -> None:
    try_values(dock, toolkit, "rank", "1, 2, 3")
    sheet = dock.sweep.sheet
    assert [tile.text().split("\n")[0] for tile in sheet.tiles] == ["original", "1", "2", "3"]
    assert not sheet.tiles[1].icon().isNull()
    sheet.tiles[2].click()
    assert dock.form.options()[0].values()["rank"] == 2
    assert dock.run_panel.message.text() == "rank is 2 now."


def test_the_original_can_be_looked_at_but_is_no_value(dock: Any, toolkit: Any, region: Window) -> None:
    try_values(dock, toolkit, "rank", "1, 3")
    dock.sweep.sheet.tiles[0].click()
    assert "rank" not in dock.form.options()[0].values()
    assert not dock.sweep.add_layer.isEnabled()


def test_a_picture_becomes_a_layer_over_its_region(
    viewer: ViewerModel, dock: Any, toolkit: Any, region: Window
) -> None:
    try_values(dock, toolkit, "rank", "1, 3")
    dock.sweep.sheet.tiles[2].click()
    dock.sweep.add_layer.click()
    added = viewer.layers["field · rank 3"]
    assert added.data.shape == (12, 32, 30)
    assert tuple(added.translate) == (0, 2, 3)
    assert viewer.layers.selection.active is viewer.layers["field"]


def test_the_pictures_follow_the_band_slider(viewer: ViewerModel, dock: Any, toolkit: Any, region: Window) -> None:
    try_values(dock, toolkit, "rank", "1, 3")
    drawn: list[int | None] = []
    dock.sweep.sheet.draw = drawn.append
    viewer.dims.set_current_step(0, 9)
    toolkit.waitUntil(lambda: drawn == [9], timeout=LIMIT_MS)
    dock.sweep.colour.setChecked(True)
    assert drawn == [9, None]


def test_a_wrong_text_starts_nothing(dock: Any, toolkit: Any, region: Window) -> None:
    dock.sweep.choose("rank", "2, x")
    dock.sweep.start.click()
    assert not dock.sweep.is_running
    assert "no whole number" in dock.run_panel.message.text()


def test_when_no_value_works_the_reason_is_told(
    dock: Any, toolkit: Any, region: Window, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*given: Any, **more: Any) -> None:
        raise CubeError("no sample is valid.")

    monkeypatch.setattr("hsi_app.runner.restore", fails)
    try_values(dock, toolkit, "rank", "1, 3")
    assert dock.run_panel.message.text() == "no sample is valid."
    assert dock.sweep.sheet.tiles[1].text().endswith("failed")


def test_cancel_keeps_what_is_there_and_a_late_picture_is_dropped(
    dock: Any, toolkit: Any, region: Window, monkeypatch: pytest.MonkeyPatch
) -> None:
    def endless(*given: Any, job: Job, **more: Any) -> None:
        while True:
            job.step(0.1, "waiting")

    monkeypatch.setattr("hsi_app.runner.restore", endless)
    dock.sweep.choose("rank", "1, 3")
    dock.sweep.start.click()
    worker, number = dock.sweep._worker, dock.sweep._number
    toolkit.waitUntil(lambda: len(dock.sweep.sheet.tiles) == 1, timeout=LIMIT_MS)
    with toolkit.waitSignal(worker.finished, timeout=LIMIT_MS):
        dock.sweep.stop.click()
    dock.sweep._gave((number, Trial(1, None)))
    assert len(dock.sweep.sheet.tiles) == 1
    assert not dock.sweep.is_running
    assert not dock.run_panel.message.is_error


def test_a_run_may_go_on_beside_the_trials(dock: Any, toolkit: Any, region: Window, viewer: ViewerModel) -> None:
    dock.sweep.choose("rank", "1, 3")
    dock.sweep.start.click()
    dock.run()
    toolkit.waitUntil(lambda: not dock.sweep.is_running and not dock.run_panel.is_running, timeout=LIMIT_MS)
    assert len(dock.sweep.sheet.tiles) == 3
    assert "field · restored" in [layer.name for layer in viewer.layers]


@pytest.mark.gui
@pytest.mark.parametrize("theme", ["dark", "light"])
def test_a_person_compares_settings_in_a_narrow_dock(
    window: Callable[..., Any], toolkit: Any, theme: str, pictures: Path
) -> None:
    viewer = window(show=True)
    viewer.theme = theme
    viewer.window.resize(1500, 940)
    viewer.open_sample("hsi-app", "noisy")
    _, dock = viewer.window.add_plugin_dock_widget("hsi-app", "Restore")
    dock.form.options()[0].put({"denoiser": "none", "outliers": "off"})
    dock.sweep.open(True)
    try_values(dock, toolkit, "rank", "1, 2, 4, 8, 16")
    dock.sweep.sheet.tiles[3].click()
    dock.bring_into_view(dock.sweep)
    toolkit.wait(100)
    for tile in dock.sweep.sheet.tiles:
        right = tile.mapTo(dock, tile.rect().topRight()).x()
        assert right < dock.width()
        assert tile.width() >= tile.iconSize().width()
    viewer.screenshot(str(pictures / f"sweep-{theme}.png"), canvas_only=False, flash=False)

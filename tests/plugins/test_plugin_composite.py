"""Colour pictures: presets, the live picture of the Cube dock, the button and the commands."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hsi_napari import commands
from hsi_napari.composite_model import CUSTOM, DIFFERENT, PRESETS, look_text, preset_bands, preset_note
from hsi_napari.layers import cube_to_layer
from napari.components import ViewerModel
from napari.layers import Layer

from hsi_app.bands import BandAxis
from hsi_app.composite import ThinBands
from hsi_app.cube import Cube
from hsi_app.errors import CubeError
from hsi_app.jobs import Job

pytest.importorskip("qtpy", reason="the extra 'gui' is not installed")

pytestmark = pytest.mark.usefixtures("toolkit")

WAIT_MS = 20_000
BY_NAME = {preset.name: preset for preset in PRESETS}


@pytest.fixture
def wide() -> Cube:
    """30 bands from 400 to 2300 nm, 24 x 20 px, one missing pixel."""
    rng = np.random.default_rng(1)
    maps = rng.normal(size=(3, 24, 20))
    values = np.tensordot(rng.uniform(0, 1, (30, 3)), maps, 1) * 100 + 1000 + rng.normal(size=(30, 24, 20))
    values[:, 0, 0] = -1
    return Cube(values.astype(np.float32), BandAxis(30, np.linspace(400, 2300, 30)), nodata=-1.0, name="wide")


@pytest.fixture
def cube_layer(viewer: ViewerModel, wide: Cube) -> Layer:
    return viewer.add_layer(Layer.create(*cube_to_layer(wide)))


@pytest.fixture
def panel(viewer: ViewerModel, cube_layer: Layer, toolkit: Any) -> Any:
    from hsi_napari.composite_panel import CompositePanel

    panel = CompositePanel(viewer, lambda: next((layer for layer in viewer.layers if layer.name == "wide"), None))
    toolkit.addWidget(panel)
    panel.show_cube(cube_layer)
    yield panel
    panel.stop()


@pytest.fixture
def painted(toolkit: Any, panel: Any) -> Callable[[], None]:
    """Wait until nothing is being painted."""
    return lambda: toolkit.waitUntil(lambda: not (panel.live.is_busy or panel._finding.is_busy), timeout=WAIT_MS)


def names(viewer: ViewerModel) -> list[str]:
    return [layer.name for layer in viewer.layers]


# ---- presets -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [preset.name for preset in PRESETS if preset.targets_nm])
def test_a_preset_takes_the_bands_nearest_to_its_wavelengths(name: str, wide: Cube) -> None:
    centres = wide.axis.centres_nm
    assert centres is not None
    expected = [int(np.argmin(np.abs(centres - target))) for target in BY_NAME[name].targets_nm]
    assert list(preset_bands(BY_NAME[name], wide.axis)) == expected
    assert preset_note(BY_NAME[name], wide.axis) == ""


def test_a_cube_that_does_not_reach_a_preset_is_told_so() -> None:
    short = BandAxis(10, np.linspace(400, 900, 10))
    assert "2200" in preset_note(BY_NAME["shortwave"], short)
    assert preset_note(BY_NAME["colour"], short) == ""
    assert "wavelengths" in preset_note(BY_NAME["colour"], BandAxis(10))
    assert preset_note(BY_NAME[CUSTOM], short) == ""


def test_a_picture_is_named_by_wavelengths_else_by_band_numbers(wide: Cube) -> None:
    assert look_text(wide.axis, (29, 0, 1)) == "2300.0 · 400.0 · 465.5 nm"
    assert look_text(BandAxis(30), (29, 0, 1)) == "30 · 1 · 2"


# ---- the live picture ----------------------------------------------------------------------------------------------


def test_nothing_is_painted_before_a_person_asks(viewer: ViewerModel, panel: Any) -> None:
    assert not panel.live.is_busy
    assert names(viewer) == ["wide"]


def test_the_picture_lies_above_its_cube_and_leaves_slider_and_choice(
    viewer: ViewerModel, cube_layer: Layer, panel: Any, painted: Any
) -> None:
    above = viewer.add_labels(np.zeros((24, 20), int), name="paint")
    viewer.layers.selection.active = cube_layer
    viewer.dims.set_current_step(0, 4)
    panel.show_picture()
    painted()
    assert names(viewer) == ["wide", "wide · colour", "paint"]
    assert viewer.layers[-1] is above
    assert viewer.layers.selection.active is cube_layer
    assert viewer.dims.current_step[0] == 4
    picture = viewer.layers["wide · colour"].data
    assert picture.shape == (24, 20, 4)
    assert picture[0, 0, 3] == 0
    assert (picture[1:, 1:, 3] == 255).all()


def test_moving_a_control_repaints_the_one_picture(viewer: ViewerModel, panel: Any, painted: Any) -> None:
    panel.show_picture()
    painted()
    picture = viewer.layers["wide · colour"]
    before = picture.data.copy()
    panel.rows[0].slider.setValue(29)
    painted()
    assert names(viewer) == ["wide", "wide · colour"]
    assert picture.metadata["bands"][0] == 29
    assert panel.preset.currentData() == CUSTOM
    assert not np.array_equal(picture.data[..., 0], before[..., 0])
    assert np.array_equal(picture.data[..., 1:], before[..., 1:])


def test_the_stretch_and_its_link_are_shown(viewer: ViewerModel, panel: Any, painted: Any) -> None:
    panel.show_picture()
    painted()
    picture = viewer.layers["wide · colour"]
    saturated = (picture.data[..., :3] == 255).mean()
    panel.low.setValue(20)
    panel.high.setValue(60)
    painted()
    assert (picture.data[..., :3] == 255).mean() > saturated + 0.2
    alone = picture.data.copy()
    panel.linked.setChecked(True)
    painted()
    assert not np.array_equal(picture.data, alone)


def test_of_many_moves_the_last_is_shown(
    viewer: ViewerModel, panel: Any, painted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    painted_bands: list[int] = []
    whole = ThinBands.picture
    monkeypatch.setattr(
        ThinBands, "picture", lambda self, bands, *more: painted_bands.append(bands[0]) or whole(self, bands, *more)
    )
    for number in range(1, 31):
        panel.rows[0].slider.setValue(number)
    painted()
    assert viewer.layers["wide · colour"].metadata["bands"][0] == 30
    assert painted_bands[-1] == 29
    assert len(painted_bands) < 10


def test_a_stretch_upside_down_is_told_and_paints_nothing(viewer: ViewerModel, panel: Any, toolkit: Any) -> None:
    with toolkit.waitSignal(panel.failed) as told:
        panel.low.setValue(99)
    assert "stretch" in told.args[0]
    assert not panel.live.is_busy


def test_a_picture_that_was_removed_comes_again_and_a_hidden_one_is_shown(
    viewer: ViewerModel, panel: Any, painted: Any
) -> None:
    panel.show_picture()
    painted()
    viewer.layers["wide · colour"].visible = False
    panel.show_picture()
    assert viewer.layers["wide · colour"].visible
    painted()
    viewer.layers.remove("wide · colour")
    panel.rows[1].number.setValue(7)
    painted()
    assert viewer.layers["wide · colour"].metadata["bands"][1] == 7


def test_a_cube_that_goes_while_it_is_painted_leaves_no_picture(
    viewer: ViewerModel, panel: Any, painted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, whole = threading.Event(), ThinBands.picture

    def slow(self: ThinBands, *given: Any) -> Any:
        assert go_on.wait(20)
        return whole(self, *given)

    monkeypatch.setattr(ThinBands, "picture", slow)
    panel.show_picture()
    panel.live._timer.stop()
    panel.live._paint()
    viewer.layers.clear()
    go_on.set()
    painted()
    assert names(viewer) == []


def test_a_slow_picture_is_given_up_for_another_one(
    viewer: ViewerModel, panel: Any, painted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs: list[Job] = []
    begun, whole = threading.Event(), ThinBands.picture

    def never(self: ThinBands, bands: Any, stretch: Any, job: Job) -> Any:
        jobs.append(job)
        begun.set()
        while len(jobs) == 1:
            job.step(0.5, "reading for ever")
        return whole(self, bands, stretch, job)

    monkeypatch.setattr(ThinBands, "picture", never)
    monkeypatch.setattr("hsi_napari.composite_live.PATIENCE_S", 0.0)
    panel.show_picture()
    panel.live._timer.stop()
    panel.live._paint()
    assert begun.wait(20)
    panel.rows[0].number.setValue(12)
    painted()
    assert jobs[0].is_cancelled
    assert viewer.layers["wide · colour"].metadata["bands"][0] == 12


def test_typed_wavelengths_choose_the_nearest_band_and_arrows_the_next(panel: Any) -> None:
    row = panel.rows[2]
    row.centre.setValue(1000.0)
    assert row.band == 9  # 989.7 nm
    assert row.centre.value() == pytest.approx(989.7)
    row.centre.setValue(990.0)
    assert row.band == 9
    row.centre.stepBy(1)
    assert row.band == 10
    row.centre.stepBy(-2)
    assert row.band == 8
    assert row.slider.value() == row.number.value() == 9


def test_most_different_bands_are_found_and_shown(viewer: ViewerModel, panel: Any, painted: Any) -> None:
    panel.choose_preset(DIFFERENT)
    painted()
    picture = viewer.layers["wide · colour"]
    bands = [row.band + 1 for row in panel.rows]
    assert picture.metadata["bands"] == bands
    assert bands == sorted(set(bands), reverse=True)
    assert "nm" in panel.note.text()


def test_another_cube_shows_its_own_bands(
    viewer: ViewerModel, cube_layer: Layer, panel: Any, painted: Any, full_cube: Cube
) -> None:
    panel.rows[0].slider.setValue(29)
    painted()
    other = viewer.add_layer(Layer.create(*cube_to_layer(full_cube)))
    panel.show_cube(other)
    assert [row.band for row in panel.rows] == [2, 1, 0]
    assert panel.preset.currentData() == "colour"
    panel.show_cube(cube_layer)
    assert panel.rows[0].band == 28
    assert panel.preset.currentData() == CUSTOM


# ---- button and commands -------------------------------------------------------------------------------------------


def test_the_button_offers_what_has_wavelengths_and_adds_it_beside_the_window(
    viewer: ViewerModel, cube_layer: Layer, toolkit: Any
) -> None:
    from hsi_napari.colour_button import ColourButton

    button = ColourButton(viewer, lambda: cube_layer)
    toolkit.addWidget(button)
    titles = [action.text() for action in button.menu().actions()]
    assert titles == ["True colour", "Colour infrared", "Short-wave infrared"]
    button.menu().actions()[2].trigger()
    toolkit.waitUntil(lambda: "wide · shortwave" in names(viewer), timeout=WAIT_MS)
    assert viewer.layers.selection.active is cube_layer
    assert viewer.layers["wide · shortwave"].metadata["bands"] == [
        band + 1 for band in preset_bands(BY_NAME["shortwave"], BandAxis(30, np.linspace(400, 2300, 30)))
    ]


def test_a_picture_that_cannot_be_made_is_told_in_one_line(
    viewer: ViewerModel, cube_layer: Layer, toolkit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hsi_napari.colour_button import ColourButton

    def broken(*given: Any, **more: Any) -> Any:
        raise CubeError("the file has become shorter; fetch it again.")

    monkeypatch.setattr("hsi_napari.commands.composite_layer", broken)
    button = ColourButton(viewer, lambda: cube_layer)
    toolkit.addWidget(button)
    with toolkit.waitSignal(button.failed, timeout=WAIT_MS) as told:
        button.add(PRESETS[0])
    assert told.args == ["the file has become shorter; fetch it again."]
    assert names(viewer) == ["wide"]


def test_a_command_adds_the_picture_of_the_chosen_cube(
    viewer: ViewerModel, cube_layer: Layer, toolkit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari.current_viewer", lambda: viewer)
    commands.infrared()
    toolkit.waitUntil(lambda: names(viewer) == ["wide", "wide · infrared"], timeout=WAIT_MS)

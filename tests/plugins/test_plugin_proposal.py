"""'What is wrong with it?', the expected time and memory, and the preview beside its region."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hsi_sample_data
import numpy as np
import pytest
from hsi_napari.facts import RUN
from hsi_napari.ground import ground_of
from hsi_napari.layers import cube_to_layer
from hsi_napari.proposal_model import Proposal, propose, recipe_of, words_of
from napari.components import ViewerModel
from napari.layers import Image, Layer

from hsi_app.cube import Cube
from hsi_app.diagnose import Diagnosis
from hsi_app.errors import Cancelled
from hsi_app.forecast import Forecast
from hsi_app.io import open_cube
from hsi_app.jobs import Job
from hsi_app.recipe import Recipe, Step
from hsi_app.runner import Settings
from hsi_app.tiling import Window

pytest.importorskip("qtpy", reason="the extra 'gui' is not installed")

LIMIT_MS = 30_000


def proposal_of(*steps: Step, rate: float | None = 1e-6, **recipe: Any) -> Proposal:
    found = Diagnosis(17.3, (4,), (), 0.0, Recipe(steps, **recipe), ("stripes in 1 of 6 bands",))
    return Proposal(found, Forecast(40.0, 2**30), rate, "cpu")


# ---- without a window ----------------------------------------------------------------------------------------------


def test_a_proposal_names_steps_time_and_memory(make_cube: Callable[..., Cube]) -> None:
    cube = make_cube(12, 48, 48, sigma=0.05)
    seen: list[str] = []
    job = Job(on_progress=lambda progress: seen.append(progress.message))
    proposal = propose(cube, job, settings=Settings(device="cpu"))
    assert proposal.steps() == ["Remove random noise with Low-rank restoration"]
    assert proposal.title() == "Found"
    assert proposal.rate is not None
    assert proposal.forecast.seconds == pytest.approx(proposal.rate * cube.values.size)
    assert proposal.forecast.peak_bytes > cube.nbytes  # type: ignore[operator]
    assert {"measuring noise and stripes", "looking for gaps", "timing a small piece"} <= set(seen)


def test_a_clean_cube_is_said_to_be_clean() -> None:
    cube = open_cube(hsi_sample_data.path("scene_clean"))
    proposal = propose(cube, Job(), settings=Settings(device="cpu"))
    assert proposal.title() == "Nothing stands out"
    assert "next to nothing" in " ".join(proposal.remarks())


def test_measuring_ends_at_its_next_step_when_it_is_cancelled(make_cube: Callable[..., Cube]) -> None:
    job = Job(on_progress=lambda progress: job.cancel() if progress.message == "timing a small piece" else None)
    with pytest.raises(Cancelled):
        propose(make_cube(12, 48, 48, sigma=0.05), job, settings=Settings(device="cpu"))


def test_steps_are_named_by_what_they_do_and_by_the_title_of_the_method() -> None:
    assert words_of(Step("lowrank", "destripe")) == "Remove stripes, dead lines and impulses with Low-rank restoration"


def test_gaps_rebuilt_with_the_noise_are_remarked() -> None:
    remarks = proposal_of(Step("lowrank", "inpaint"), keep_observed=False).remarks()
    assert remarks == ["Noisy samples are rebuilt together with the gaps."]


def test_a_form_is_a_recipe_of_one_step() -> None:
    settings = Settings("sr", "cpu", None, 3, scale=4, psf_fwhm=2.0, tile=64)
    recipe = recipe_of("lowrank", {"rank": 3}, settings)
    assert recipe == Recipe((Step("lowrank", "sr", {"rank": 3}),), 3, scale=4, psf_fwhm=2.0, tile=64)


@pytest.mark.parametrize("turn", [0, 30])
def test_a_ground_lies_where_its_layer_lay(turn: float) -> None:
    layer = Image(np.zeros((3, 8, 9)), scale=(1, 2, 3), translate=(0, 10, 20), rotate=turn, name="x")
    ground = ground_of(layer)
    before = [layer.data_to_world((0, *at)) for at in ((0, 0), (5, 7))]
    layer.translate = (0, 0, 0)
    after = [ground.data_to_world((0, *at)) for at in ((0, 0), (5, 7))]
    assert np.allclose(np.asarray(before)[:, 1:], np.asarray(after)[:, 1:])
    assert (ground.name, ground.ndim) == ("x", 3)


# ---- the card ------------------------------------------------------------------------------------------------------


@pytest.fixture
def finish(toolkit: Any) -> Callable[[Any], None]:
    return lambda dock: toolkit.waitUntil(lambda: not dock.run_panel.is_running, timeout=LIMIT_MS)


@pytest.fixture
def noisy(viewer: ViewerModel, make_cube: Callable[..., Cube], dock: Any) -> Layer:
    """A noisy cube with gaps, chosen in the dock."""
    values = np.array(make_cube(12, 48, 40, sigma=0.05).values)
    values[:, 20:23, 10:20] = np.nan
    layer = Layer.create(*cube_to_layer(make_cube(12, 48, 40, values=values, name="gappy")))
    return viewer.add_layer(layer)


def measured(dock: Any, toolkit: Any) -> None:
    dock.proposal.ask.click()
    assert dock.proposal.is_running
    toolkit.waitUntil(lambda: not dock.proposal.is_running, timeout=LIMIT_MS)


def test_use_puts_task_method_and_settings_into_the_form(dock: Any, noisy: Layer, toolkit: Any) -> None:
    dock.form.options()[0].put({"strength": 3.0})
    measured(dock, toolkit)
    card = dock.proposal
    assert not card.card.isHidden()
    assert card.run.isHidden()
    assert "Fill missing samples" in card.choice.text()
    assert "about" in card.takes.text()
    assert "missing inside the scene" in card.found.text()
    card.uses[0].click()
    method, options, settings = dock.form.chosen()
    assert (method, settings.task, settings.keep_observed, options["strength"]) == ("lowrank", "inpaint", False, 1.0)


def test_the_piece_that_was_timed_forecasts_the_run(dock: Any, noisy: Layer, toolkit: Any) -> None:
    measured(dock, toolkit)
    dock.proposal.uses[0].click()
    toolkit.waitUntil(lambda: "about" in dock.run_panel.forecast.text(), timeout=LIMIT_MS)


def test_pressing_again_cancels(dock: Any, noisy: Layer, toolkit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def endless(*given: Any, job: Job, **more: Any) -> None:
        while True:
            job.step(0.1, "measuring")

    monkeypatch.setattr("hsi_app.diagnose.diagnose", endless)
    dock.proposal.ask.click()
    worker = dock.proposal._worker
    toolkit.waitUntil(lambda: "cancel" in dock.proposal.ask.text(), timeout=LIMIT_MS)
    with toolkit.waitSignal(worker.finished, timeout=LIMIT_MS):
        dock.proposal.ask.click()
    assert dock.proposal.ask.text() == "What is wrong with it?"
    assert dock.proposal.card.isHidden()
    assert not dock.run_panel.message.is_error


def test_what_cannot_be_measured_is_told_in_one_line(
    dock: Any, layer: Layer, toolkit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*given: Any, **more: Any) -> None:
        raise KeyError("lost\nsecond line")

    monkeypatch.setattr("hsi_app.diagnose.diagnose", fails)
    measured(dock, toolkit)
    assert dock.run_panel.message.is_error
    assert "\n" not in dock.run_panel.message.text()


def test_the_card_shows_beside_its_own_cube_only(viewer: ViewerModel, dock: Any, layer: Layer) -> None:
    import weakref

    other = viewer.add_layer(Layer.create(np.zeros((3, 9, 9)), {"name": "other"}, "image"))
    viewer.layers.selection.active = layer
    dock.proposal._layer = weakref.ref(layer)
    dock.proposal.show_proposal(proposal_of(Step("lowrank", "denoise")))
    dock.proposal.look_at(layer)
    assert not dock.proposal.card.isHidden()
    viewer.layers.selection.active = other
    assert dock.proposal.card.isHidden()
    viewer.layers.selection.active = layer
    assert not dock.proposal.card.isHidden()


def test_both_steps_run_as_one_recipe_and_are_saved_as_it(
    viewer: ViewerModel, dock: Any, layer: Layer, finish: Any, toolkit: Any, make_cube: Callable[..., Cube],
    tmp_path: Path,
) -> None:  # fmt: skip
    import weakref

    from hsi_app.recipe import read_recipe

    cube = make_cube(12, 40, 36, sigma=0.02, name="two faults")
    layer = viewer.add_layer(Layer.create(*cube_to_layer(cube)))
    steps = (Step("lowrank", "destripe"), Step("lowrank", "inpaint"))
    dock.proposal._layer = weakref.ref(layer)
    dock.proposal.show_proposal(proposal_of(*steps))
    dock.proposal.look_at(layer)
    assert [button.text() for button in dock.proposal.uses] == ["Use 1.", "Use 2."]
    dock.proposal.uses[1].click()
    assert dock.form.task() == "inpaint"
    dock.proposal.run.click()
    finish(dock)
    assert not dock.run_panel.message.is_error, dock.run_panel.message.text()
    restored = viewer.layers["two faults · restored"]
    assert [step["task"] for step in restored.metadata[RUN]["steps"]] == ["destripe", "inpaint"]
    assert "destripe with lowrank, then inpaint with lowrank" in dock.results.summary.text()
    with toolkit.waitSignal(dock.results.told, timeout=LIMIT_MS):
        dock.results.save_recipe_to(tmp_path / "both.toml")
    assert [(step.method, step.task) for step in read_recipe(tmp_path / "both.toml").steps] == [
        ("lowrank", "destripe"), ("lowrank", "inpaint"),
    ]  # fmt: skip


def test_the_preview_of_a_proposal_goes_by_it_and_not_by_the_form(
    viewer: ViewerModel, dock: Any, layer: Layer, halving: list[Any], finish: Any
) -> None:
    import weakref

    dock.form.choose("sr", "lowrank")
    dock.proposal._layer = weakref.ref(layer)
    dock.proposal.show_proposal(proposal_of(Step("lowrank", "inpaint"), keep_observed=False))
    dock.proposal.preview.click()
    finish(dock)
    _, method, _, settings, _ = halving[0]
    assert (method, settings.task, settings.keep_observed, settings.scale) == ("lowrank", "inpaint", False, None)


# ---- the forecast beside Run ---------------------------------------------------------------------------------------


def test_memory_is_told_at_once_and_time_after_a_preview(
    dock: Any, layer: Layer, halving: list[Any], finish: Any, toolkit: Any
) -> None:
    toolkit.waitUntil(lambda: "iB" in dock.run_panel.forecast.text(), timeout=LIMIT_MS)
    assert "about" not in dock.run_panel.forecast.text()
    dock.preview()
    finish(dock)
    toolkit.waitUntil(lambda: "about 1 s" in dock.run_panel.forecast.text(), timeout=LIMIT_MS)
    dock.form.options()[0].put({"strength": 2.0})  # nobody knows how long that takes
    toolkit.waitUntil(lambda: "about" not in dock.run_panel.forecast.text(), timeout=LIMIT_MS)


def test_a_run_that_does_not_fit_is_told_before_it_is_begun(dock: Any, layer: Layer, toolkit: Any) -> None:
    dock.form.settings.put({"memory": "20M"})
    toolkit.waitUntil(lambda: "does not fit" in dock.run_panel.forecast.text(), timeout=LIMIT_MS)


def test_nothing_is_told_without_a_cube_or_with_an_entry_that_cannot_work(
    viewer: ViewerModel, dock: Any, layer: Layer, toolkit: Any
) -> None:
    toolkit.waitUntil(lambda: "iB" in dock.run_panel.forecast.text(), timeout=LIMIT_MS)
    dock.form.settings.put({"memory": "much"})
    assert dock.run_panel.forecast.text() == ""
    dock.form.settings.put({"memory": None})
    toolkit.waitUntil(lambda: "iB" in dock.run_panel.forecast.text(), timeout=LIMIT_MS)
    viewer.layers.clear()
    assert dock.run_panel.forecast.text() == ""


# ---- the preview beside its region ---------------------------------------------------------------------------------


@pytest.fixture
def region(monkeypatch: pytest.MonkeyPatch) -> Window:
    window = Window(2, 3, 5, 4)
    monkeypatch.setattr("hsi_napari.restore_dock.region_of", lambda *_: (window, "drawn region"))
    return window


def names(viewer: ViewerModel) -> list[str]:
    return [layer.name for layer in viewer.layers]


def test_beside_the_region_lies_its_preview_with_a_frame_around_both(
    viewer: ViewerModel, layer: Layer, dock: Any, halving: list[Any], finish: Any, region: Window
) -> None:
    layer.scale, layer.translate = (1, 2, 2), (0, 10, 20)
    dock.run_panel.beside.setChecked(True)
    dock.preview()
    finish(dock)
    preview, frame = viewer.layers["scene · preview"], viewer.layers["scene · preview frame"]
    # Four columns of the region and one between, two units each.
    assert tuple(preview.translate) == (0, 10 + 2 * 2, 20 + 2 * 3 + 2 * 5)
    left, right = (np.asarray(outline) for outline in frame.data)
    assert np.allclose([left.min(0), left.max(0)], [[13, 25], [23, 33]])
    assert np.allclose(right - left, [0, 10])
    assert viewer.layers.selection.active is layer


def test_the_frame_goes_with_its_preview(
    viewer: ViewerModel, layer: Layer, dock: Any, halving: list[Any], finish: Any, region: Window
) -> None:
    dock.run_panel.beside.setChecked(True)
    for _ in range(2):
        dock.preview()
        finish(dock)
    assert names(viewer) == ["scene", "scene · preview", "scene · preview frame"]
    dock.run_panel.beside.setChecked(False)
    dock.preview()
    finish(dock)
    assert names(viewer) == ["scene", "scene · preview"]
    assert tuple(viewer.layers[-1].translate) == (0, 2, 3)
    assert viewer.layers[-1].bounding_box.visible


def test_previews_and_frames_are_hidden_by_the_whole_result(
    viewer: ViewerModel, layer: Layer, dock: Any, halving: list[Any], finish: Any, region: Window
) -> None:
    dock.run_panel.beside.setChecked(True)
    dock.preview()
    finish(dock)
    dock.run()
    finish(dock)
    assert not viewer.layers["scene · preview"].visible
    assert not viewer.layers["scene · preview frame"].visible


def test_beside_a_turned_layer_is_along_its_rows(
    viewer: ViewerModel, layer: Layer, dock: Any, halving: list[Any], finish: Any, region: Window
) -> None:
    layer.rotate = 30
    dock.run_panel.beside.setChecked(True)
    dock.preview()
    finish(dock)
    corner = np.asarray(viewer.layers["scene · preview"].data_to_world((0, 0, 0)))
    assert np.allclose(corner[-2:], np.asarray(layer.data_to_world((0, 2, 3 + 5)))[-2:])


# ---- in a window ---------------------------------------------------------------------------------------------------


@pytest.mark.gui
def test_a_person_asks_what_is_wrong_and_tries_the_answer(window: Callable[..., Any], toolkit: Any) -> None:
    pictures = Path(os.environ.get("HSI_SCREENSHOTS", Path(__file__).resolve().parents[2] / "test-screenshots"))
    pictures.mkdir(parents=True, exist_ok=True)
    viewer = window(show=True)
    viewer.window.resize(1500, 940)
    (scene,) = viewer.open_sample("hsi-app", "noisy")
    _, dock = viewer.window.add_plugin_dock_widget("hsi-app", "Restore")
    measured(dock, toolkit)
    assert "Stripes in" in dock.proposal.found.text()
    dock.proposal.uses[0].click()
    dock.run_panel.beside.setChecked(True)
    dock.preview()
    toolkit.waitUntil(lambda: not dock.run_panel.is_running, timeout=LIMIT_MS)
    assert f"{scene.name} · preview" in names(viewer)
    toolkit.waitUntil(lambda: "about" in dock.run_panel.forecast.text(), timeout=LIMIT_MS)
    viewer.screenshot(str(pictures / "proposal.png"), canvas_only=False, flash=False)
    assert (pictures / "proposal.png").stat().st_size > 50_000

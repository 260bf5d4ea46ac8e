"""The docks on napari's model: runs, failures, pins. No canvas is drawn."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hsi_napari import lineage
from hsi_napari.facts import RUN, change_facts
from hsi_napari.layers import cube_of
from napari.components import ViewerModel
from napari.layers import Layer

from hsi_app.cube import Cube
from hsi_app.errors import CubeError
from hsi_app.jobs import Job, Progress
from hsi_app.tiling import Window

pytest.importorskip("qtpy", reason="the extra 'gui' is not installed")

pytestmark = pytest.mark.usefixtures("toolkit")


@pytest.fixture
def finish(toolkit: Any) -> Callable[[Any], None]:
    """Wait for the run of a dock to end."""
    return lambda dock: toolkit.waitUntil(lambda: not dock.run_panel.is_running, timeout=20_000)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """An engine that steps on until it is cancelled, or until the event is set and it fails."""
    go_on = threading.Event()

    def restore(cube: Cube, *given: Any, job: Job, **more: Any) -> Any:
        job.step(0.25, "waiting")
        while not go_on.wait(0.005):
            job.step(0.25, "waiting")
        raise CubeError("no sample of 'scene' is valid; open another cube.")

    monkeypatch.setattr("hsi_app.runner.restore", restore)
    return go_on


def names(viewer: ViewerModel) -> list[str]:
    return [layer.name for layer in viewer.layers]


# ---- Restore -------------------------------------------------------------------------------------------------------


def test_a_run_adds_the_restored_cube_its_difference_and_its_extras(
    viewer: ViewerModel, layer: Layer, dock: Any, halving: list[Any], finish: Any
) -> None:
    dock.run()
    finish(dock)
    assert names(viewer) == ["scene", "scene · spread", "scene · removed", "scene · restored"]
    restored = viewer.layers["scene · restored"]
    assert np.allclose(cube_of(restored).values[:, 5, 6], np.asarray(layer.data)[:, 5, 6] / 2)
    assert restored.metadata[RUN]["method"] == "lowrank"
    assert lineage.source_of(restored) is layer


def test_the_engine_is_given_what_the_form_shows(dock: Any, halving: list[Any], finish: Any) -> None:
    dock.form.choose("destripe")
    dock.form.options()[0].put({"rank": 3})
    dock.form.settings.put({"seed": 11})
    dock.run()
    finish(dock)
    cube, method, options, settings, mask = halving[0]
    assert (cube.name, method, options["rank"]) == ("scene", "lowrank", 3)
    assert (settings.task, settings.seed, mask) == ("destripe", 11, None)


def test_a_run_keeps_the_band_and_the_layer_a_person_was_looking_at(
    viewer: ViewerModel, layer: Layer, dock: Any, halving: list[Any], finish: Any
) -> None:
    viewer.dims.set_current_step(0, 4)
    dock.run()
    finish(dock)
    assert viewer.dims.current_step[0] == 4
    assert viewer.layers.selection.active is layer


def test_a_preview_restores_the_region_only_and_replaces_the_one_before(
    viewer: ViewerModel, layer: Layer, dock: Any, halving: list[Any], finish: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hsi_napari.restore_dock.region_of", lambda *_: (Window(2, 3, 5, 4), "drawn region"))
    for _ in range(2):
        dock.preview()
        finish(dock)
    assert names(viewer) == ["scene", "scene · preview"]
    assert halving[0][0].shape == (6, 5, 4)
    assert tuple(viewer.layers[-1].translate) == (0, 2, 3)


def test_a_finer_result_and_its_preview_lie_over_the_cube(
    viewer: ViewerModel, layer: Layer, dock: Any, finish: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hsi_napari.restore_dock.region_of", lambda *_: (Window(2, 3, 8, 6), "drawn region"))
    dock.form.choose("sr", "lowrank")
    dock.form.optics["sr"].put({"scale": 4})
    dock.preview()
    finish(dock)
    preview = viewer.layers["scene · preview"]
    assert preview.data.shape == (6, 32, 24)
    # The first of four fine centres lies three eighths of a pixel before the coarse one.
    assert tuple(preview.translate) == (0, 2 - 0.375, 3 - 0.375)
    dock.run()
    finish(dock)
    restored = viewer.layers["scene · restored"]
    assert restored.data.shape == viewer.layers["scene · removed"].data.shape == (6, 48, 40)
    assert tuple(restored.scale) == (1, 0.25, 0.25)
    assert tuple(restored.translate) == (0, -0.375, -0.375)
    assert cube_of(restored).georef == cube_of(layer).georef.upsampled(4)  # type: ignore[union-attr]
    assert restored.metadata[RUN]["settings"]["scale"] == 4


def test_painted_gaps_reach_the_engine_for_inpainting_only(
    viewer: ViewerModel, dock: Any, halving: list[Any], finish: Any
) -> None:
    paint = np.zeros((12, 10), int)
    paint[4:6, 4:6] = 1
    labels = viewer.add_labels(paint, name="gaps")
    dock.mask.layer_choice.choose(labels)
    dock.form.choose("inpaint")
    assert not dock.mask.isHidden()
    dock.run()
    finish(dock)
    assert np.array_equal(halving[0][4], paint == 0)
    dock.form.choose("denoise")
    assert dock.mask.isHidden()
    dock.run()
    finish(dock)
    assert halving[1][4] is None


def test_a_cancelled_run_leaves_no_layer(viewer: ViewerModel, dock: Any, patient: Any, finish: Any) -> None:
    dock.run()
    dock.cancel()
    finish(dock)
    assert names(viewer) == ["scene"]
    assert "Cancelled" in dock.run_panel.message.text()
    assert not dock.run_panel.message.is_error


def test_a_failure_is_one_line_and_earlier_results_stay(
    viewer: ViewerModel, dock: Any, halving: list[Any], finish: Any, request: pytest.FixtureRequest
) -> None:
    dock.run()
    finish(dock)
    request.getfixturevalue("patient").set()
    dock.run()
    finish(dock)
    assert dock.run_panel.message.text() == "no sample of 'scene' is valid; open another cube."
    assert dock.run_panel.message.is_error
    assert "scene · restored" in names(viewer)
    assert not dock.results.isHidden()


def test_an_unforeseen_failure_is_one_line_too(dock: Any, finish: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def restore(*given: Any, **more: Any) -> None:
        raise KeyError("lost\nsecond line")

    monkeypatch.setattr("hsi_app.runner.restore", restore)
    dock.run()
    finish(dock)
    assert dock.run_panel.message.is_error
    assert dock.run_panel.message.text().startswith("unexpected KeyError")
    assert "\n" not in dock.run_panel.message.text()


def test_an_entry_that_cannot_work_starts_nothing(dock: Any, halving: list[Any]) -> None:
    dock.form.settings.put({"memory": "much"})
    dock.run()
    assert not dock.run_panel.is_running
    assert "much" in dock.run_panel.message.text()
    assert halving == []


def test_a_result_is_kept_when_its_cube_was_removed_meanwhile(
    viewer: ViewerModel, layer: Layer, dock: Any, halving: list[Any], finish: Any
) -> None:
    dock.run()
    viewer.layers.remove(layer)
    finish(dock)
    assert "scene · restored" in names(viewer)


def test_closing_the_dock_stops_its_run(dock: Any, patient: Any, toolkit: Any) -> None:
    from qtpy.QtWidgets import QVBoxLayout, QWidget

    shelf = QWidget()
    toolkit.addWidget(shelf)
    QVBoxLayout(shelf).addWidget(dock)
    dock.run()
    worker = dock._worker
    with toolkit.waitSignal(worker.finished, timeout=20_000):
        dock.setParent(None)
    assert worker.job.is_cancelled


def test_edited_bad_bands_are_told_by_the_other_docks(
    viewer: ViewerModel, layer: Layer, dock: Any, spectra: Any
) -> None:
    dock.form.choose("destripe")
    assert len(spectra.model.bad_spans()) == 1
    change_facts(layer, bad_bands=[0, 1, 4])
    assert "3 bad" in dock.facts.text()
    assert len(spectra.model.bad_spans()) == 2
    assert dock.form.task() == "destripe"
    dock.links.cut()
    change_facts(layer, bad_bands=[])
    assert "3 bad" in dock.facts.text(), "a closed dock listens no more"


def test_a_closed_dock_no_longer_listens_to_the_viewer(viewer: ViewerModel, spectra: Any) -> None:
    before = len(viewer.mouse_drag_callbacks)
    spectra.links.cut()
    spectra.links.cut()
    assert len(viewer.mouse_drag_callbacks) == before - 1
    viewer.add_image(np.zeros((2, 3, 4)), rgb=False)
    assert spectra.first_choice.count() == 1


def test_while_a_run_goes_on_the_bar_shows_it_and_a_second_one_waits(
    dock: Any, patient: Any, finish: Any, toolkit: Any
) -> None:
    dock.run()
    toolkit.waitUntil(lambda: dock.run_panel.bar.value() == 250, timeout=20_000)
    assert dock.run_panel.run.text() == "Add to queue"
    assert not dock.run_panel.preview.isEnabled()
    worker = dock._worker
    dock.run()
    assert dock._worker is worker
    assert len(dock.queue.waiting) == 1
    dock.queue.clear()
    dock.cancel()
    finish(dock)
    assert dock.run_panel.run.text() == "Run"
    assert dock.run_panel.preview.isEnabled()


def test_without_a_cube_nothing_can_be_started(viewer: ViewerModel, layer: Layer, dock: Any) -> None:
    viewer.layers.clear()
    assert not dock.run_panel.run.isEnabled()
    assert "Open a hyperspectral cube" in dock.facts.text()


def test_before_and_after_are_one_click_apart(viewer: ViewerModel, dock: Any, halving: list[Any], finish: Any) -> None:
    dock.run()
    finish(dock)
    restored = viewer.layers["scene · restored"]
    choose = {button.text(): button for button in dock.results.shown.buttons()}
    assert list(choose) == ["restored", "removed", "uncertainty", "before"]
    assert choose["restored"].isChecked()
    choose["before"].click()
    assert not restored.visible
    choose["restored"].click()
    assert restored.visible


def test_a_preview_of_the_method_shows_as_picture(dock: Any) -> None:
    dock.run_panel.begin("x")
    dock.run_panel.watch(Progress(0.5, "halfway", 2.0, 200.0, np.random.default_rng(0).random((4, 8, 9))))
    assert not dock.run_panel.thumb.isHidden()
    assert dock.run_panel.stage.text() == "halfway · about 3 min left"


def test_a_forming_sample_is_a_layer_over_its_place_until_the_run_ends(
    viewer: ViewerModel, layer: Layer, dock: Any, patient: Any, finish: Any
) -> None:
    dock.run()
    picture = np.random.default_rng(0).random((3, 8, 6)).astype(np.float32)
    dock._progressed(Progress(0.3, "step 6 of 20", 1.0, 2.0, picture, Window(4, 2, 4, 3)))
    (forming,) = (found for found in viewer.layers if found.name == "scene · forming")
    assert forming.rgb
    assert forming.data.shape == (8, 6, 3)
    corner = np.asarray(forming.data_to_world((-0.5, -0.5)))
    np.testing.assert_allclose(corner, np.asarray(layer.data_to_world((0, 3.5, 1.5)))[-2:])
    assert viewer.layers.selection.active is layer
    before = forming.data.copy()
    dock._progressed(Progress(0.4, "step 8 of 20", 1.0, 2.0, picture[::-1], Window(4, 2, 4, 3)))
    assert names(viewer).count("scene · forming") == 1
    assert not np.array_equal(forming.data, before)
    dock.cancel()
    finish(dock)
    assert names(viewer) == ["scene"]


@pytest.fixture
def fitted(viewer: ViewerModel, toolkit: Any, make_cube: Callable[..., Cube]) -> Any:
    """A Restore dock with a scene large enough for DDS2M to learn from, and that method chosen."""
    from hsi_napari.layers import cube_to_layer
    from hsi_napari.restore_dock import RestoreDock

    viewer.layers.clear()
    viewer.add_layer(Layer.create(*cube_to_layer(make_cube(8, 24, 32, sigma=0.05), "field")))
    dock = RestoreDock(viewer)
    toolkit.addWidget(dock)
    dock.form.choose("denoise", "dds2m")
    return dock


def test_a_method_that_is_fitted_shows_itself_and_leaves_result_removed_signal_and_uncertainty(
    viewer: ViewerModel, fitted: Any, finish: Any
) -> None:
    usual, _ = fitted.form.options()
    usual.editor("updates").put(20)
    seen: set[str] = set()
    viewer.layers.events.inserted.connect(lambda event: seen.add(event.value.name))
    fitted.run()
    finish(fitted)
    assert "field · forming" in seen
    assert {"field · restored", "field · removed", "field · spread"} < set(names(viewer))
    assert "field · forming" not in names(viewer)


def test_a_fit_that_is_cancelled_leaves_nothing(viewer: ViewerModel, fitted: Any, finish: Any, toolkit: Any) -> None:
    usual, _ = fitted.form.options()
    usual.editor("updates").put(20_000)
    usual.editor("patience").put(5000)
    fitted.run()
    toolkit.waitUntil(lambda: "field · forming" in names(viewer), timeout=20_000)
    fitted.cancel()
    finish(fitted)
    assert names(viewer) == ["field"]


def test_pictures_of_one_band_or_no_place_make_no_layer(viewer: ViewerModel, dock: Any, patient: Any) -> None:
    dock.run()
    dock._progressed(Progress(0.3, "a", 1.0, 2.0, np.zeros((8, 6), np.float32), Window(0, 0, 8, 6)))
    dock._progressed(Progress(0.3, "b", 1.0, 2.0, np.zeros((3, 8, 6), np.float32)))
    assert names(viewer) == ["scene"]
    patient.set()


def test_installed_priors_are_listed_and_a_folder_may_be_typed(dock: Any, tmp_path: Path) -> None:
    dock.form.choose("inpaint", "hirdiff")
    usual, _ = dock.form.options()
    field = usual.editor("prior")
    listed = [field.widget.itemText(index) for index in range(field.widget.count())]
    assert listed[0] == "triple-prior" == field.value()
    assert {"blur", "none"} <= set(listed)
    field.put(str(tmp_path))
    assert dock.form.chosen()[1]["prior"] == str(tmp_path)


@pytest.mark.parametrize(("theme", "is_dark"), [("dark", True), ("light", False)])
def test_the_plot_follows_the_theme(viewer: ViewerModel, spectra: Any, theme: str, is_dark: bool) -> None:
    viewer.theme = theme
    assert (spectra.plot.view.backgroundBrush().color().lightness() < 128) is is_dark


@pytest.mark.parametrize(
    ("button", "name"), [("save_to", "c.hdr"), ("save_recipe_to", "r.toml"), ("report_to", "p.html")]
)
def test_each_button_writes_its_file_and_tells_where(
    dock: Any, halving: list[Any], finish: Any, toolkit: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    button: str, name: str,
) -> None:  # fmt: skip
    def write(result: Any, path: Path) -> Path:
        path.write_text(result.cube.name)
        return path

    for export in ("save_result", "save_recipe", "save_report"):
        monkeypatch.setattr(f"hsi_napari.exports.{export}", write)
    dock.run()
    finish(dock)
    with toolkit.waitSignal(dock.results.told, timeout=20_000):
        getattr(dock.results, button)(tmp_path / name)
    assert (tmp_path / name).read_text() == "scene"
    assert dock.run_panel.message.text() == f"Saved {tmp_path / name}"


def test_what_cannot_be_saved_is_told_in_one_line(
    dock: Any, halving: list[Any], toolkit: Any, finish: Any, tmp_path: Path
) -> None:
    dock.run()
    finish(dock)
    with toolkit.waitSignal(dock.results.failed, timeout=20_000):
        dock.results.save_to(tmp_path / "nowhere" / "cube.hdr")
    assert dock.run_panel.message.is_error
    assert "\n" not in dock.run_panel.message.text()


# ---- Spectrum ------------------------------------------------------------------------------------------------------


def test_a_pin_is_marked_on_the_image_in_the_colour_of_its_line(viewer: ViewerModel, spectra: Any) -> None:
    pin = spectra.pin(5, 6)
    marks = viewer.layers["pinned spectra"]
    assert np.array_equal(marks.data, [[5, 6]])
    assert marks.features["number"].tolist() == [1]
    red, green, blue = (int(pin.colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    assert np.allclose(marks.face_color[0, :3], (red, green, blue), atol=1e-3)
    assert len(spectra.plot.lines()) == 1


def test_dragging_a_mark_moves_its_spectrum(viewer: ViewerModel, spectra: Any) -> None:
    spectra.pin(5, 6)
    spectra.pin(3, 3)
    viewer.layers["pinned spectra"].data = [[5, 6], [9, 2]]
    assert [(pin.number, pin.y, pin.x) for pin in spectra.model.pins] == [(1, 5, 6), (2, 9, 2)]


def test_deleting_a_mark_drops_its_pin_and_no_other(viewer: ViewerModel, spectra: Any) -> None:
    for place in ((5, 6), (3, 3), (8, 8)):
        spectra.pin(*place)
    marks = viewer.layers["pinned spectra"]
    marks.selected_data = {1}
    marks.remove_selected()
    assert [pin.number for pin in spectra.model.pins] == [1, 3]
    assert len(spectra.plot.lines()) == 2


def test_removing_the_marks_layer_drops_all_pins(viewer: ViewerModel, spectra: Any) -> None:
    spectra.pin(5, 6)
    viewer.layers.remove("pinned spectra")
    assert spectra.model.pins == []
    assert spectra.plot.lines() == []
    spectra.pin(5, 6)
    assert "pinned spectra" in names(viewer)


def test_marks_stay_above_layers_that_come_later(viewer: ViewerModel, spectra: Any) -> None:
    spectra.pin(5, 6)
    viewer.add_image(np.zeros((6, 12, 10)), rgb=False)
    assert viewer.layers[-1].name == "pinned spectra"


def test_a_run_is_compared_with_its_cube_by_itself(
    viewer: ViewerModel, layer: Layer, dock: Any, spectra: Any, halving: list[Any], finish: Any
) -> None:
    spectra.pin(5, 6)
    dock.run()
    finish(dock)
    assert spectra.second_choice.layer() is viewer.layers["scene · restored"]
    assert len(spectra.plot.lines()) == 2
    viewer.layers.selection.active = viewer.layers["scene · restored"]
    assert spectra.first_choice.layer() is layer


def test_a_choice_of_what_to_compare_stays_until_the_next_run(
    viewer: ViewerModel, layer: Layer, dock: Any, spectra: Any, halving: list[Any], finish: Any
) -> None:
    for _ in range(2):
        dock.run()
        finish(dock)
    first, second = (found for found in viewer.layers if found.name.startswith("scene · restored"))
    spectra.second_choice.choose(second)
    older = next(found for found in (first, second) if found is not spectra._newest())
    spectra.second_choice.choose(older)
    viewer.layers.selection.active = None
    viewer.layers.selection.active = layer
    assert spectra.second_choice.layer() is older
    dock.run()
    finish(dock)
    assert spectra.second_choice.layer() is spectra._newest()
    assert spectra._newest() not in (first, second)


def test_the_hovered_spectrum_appears_after_a_moment_for_the_last_place_only(spectra: Any, toolkit: Any) -> None:
    shown: list[float] = []
    spectra.plot.show_hover = lambda curves: shown.append(curves[0].y[0])
    for column in (4, 5, 6):
        spectra.hover(5, column)
    toolkit.waitUntil(lambda: bool(shown))
    assert shown == [spectra.model.at(5, 6, "", "")[0].y[0]]


def test_the_box_of_the_toolbar_changes_the_pinned_spectra(spectra: Any) -> None:
    spectra.pin(5, 6)
    before = spectra.plot.lines()[0][1].copy()
    spectra.box_choice.setCurrentIndex(2)
    assert spectra.model.box == 5
    assert not np.allclose(spectra.plot.lines()[0][1], before, equal_nan=True)


def test_spectra_of_a_removed_cube_leave_the_plot(viewer: ViewerModel, layer: Layer, spectra: Any) -> None:
    spectra.pin(5, 6)
    viewer.layers.remove(layer)
    assert spectra.model.first is None
    assert spectra.plot.lines() == []


@pytest.mark.parametrize(("width", "is_one_line"), [(1200, True), (360, False)])
def test_the_tools_take_two_lines_beside_the_image(spectra: Any, width: int, is_one_line: bool) -> None:
    from qtpy.QtWidgets import QApplication

    spectra.resize(width, 400)
    spectra.show()
    QApplication.processEvents()
    assert (spectra.first_choice.y() == spectra.box_choice.y()) is is_one_line
    for tool in (spectra.box_choice, spectra.follow_mouse, spectra.clear_button, spectra.export_button):
        assert tool.width() >= tool.minimumSizeHint().width()
        assert tool.geometry().right() < spectra.width()


def test_the_legend_names_each_line_once_in_rows_of_a_pin(spectra: Any, full_cube: Cube) -> None:
    from hsi_napari.spectrum_model import Source

    for places in (1, 2, 3):
        spectra.pin(5, 3 + places)
    spectra.model.second = Source("again", full_cube)
    spectra._draw_pins()
    legend = spectra.plot.legend
    labels = [label.text for _, label in legend.items]
    assert labels == ["1 before", "1 after", "2 before", "2 after", "3 before", "3 after"]
    assert legend.layout.rowCount() == 3


def test_titles_have_the_colour_of_the_theme_whenever_they_are_given(toolkit: Any) -> None:
    from hsi_napari.band_axes import BandAxes
    from hsi_napari.theme import theme_colours

    axes = BandAxes()
    toolkit.addWidget(axes)
    left = axes.item.getAxis("left")
    for theme in ("dark", "light", "dark"):
        axes.title("left", "before the theme")
        colours = theme_colours(theme)
        axes.follow(colours)
        for text in ("before the theme", "Noise"):
            assert f"color: {colours.text}" in left.labelString()
            assert "font-size: 8pt" in left.labelString()
            assert text in left.labelString()
            axes.title("left", "Noise")


def test_wavelengths_carry_no_si_prefix(spectra: Any) -> None:
    axis = spectra.plot.item.getAxis("bottom")
    assert axis.labelText == "Wavelength (nm)"
    assert not axis.autoSIPrefix


def test_an_export_lands_in_the_file_and_a_failed_one_in_the_dock(spectra: Any, tmp_path: Path) -> None:
    spectra.export_to(tmp_path / "none.csv")
    assert spectra.message.is_error
    assert not (tmp_path / "none.csv").exists()
    spectra.pin(5, 6)
    spectra.export_to(tmp_path / "pins.csv")
    assert (tmp_path / "pins.csv").read_text(encoding="utf-8") == spectra.model.to_csv()

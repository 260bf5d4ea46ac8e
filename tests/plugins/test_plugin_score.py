"""Figures against a reference, and the layers of a result shown one at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hsi_napari.layers import cube_to_layer
from hsi_napari.result_group import ResultGroup
from hsi_napari.score_model import FIGURES, compare
from napari.components import ViewerModel
from napari.layers import Layer

from hsi_app.cube import Cube
from hsi_app.errors import Cancelled, CubeError
from hsi_app.jobs import Job
from hsi_app.metrics import score
from hsi_app.runner import Result

pytest.importorskip("qtpy", reason="the extra 'gui' is not installed")

LIMIT_MS = 30_000


@pytest.fixture
def truth(make_cube: Callable[..., Cube]) -> Cube:
    return make_cube(8, 30, 24, name="truth")


@pytest.fixture
def result(make_cube: Callable[..., Cube], truth: Cube) -> Result:
    """Half of the noise is gone."""
    noisy = make_cube(8, 30, 24, sigma=0.05, name="noisy")
    return Result(noisy.replace((noisy.values + truth.values) / 2, "halved"), noisy)


# ---- the figures ---------------------------------------------------------------------------------------------------


def test_the_figures_are_those_of_the_command_line(result: Result, truth: Cube) -> None:
    found = compare(result, truth, Job())
    for figures, cube in ((found.before, result.observed), (found.after, result.cube)):
        expected = score(cube, truth)
        assert {key: figures[key] for key in figures} == pytest.approx({key: expected[key] for key in figures})
    assert all(found.is_better(figure) for figure in FIGURES)
    assert found.unit == "reflectance"


def test_bands_that_the_input_marks_bad_do_not_count(result: Result, truth: Cube) -> None:
    bad = replace(result.observed.axis, bad=np.arange(8) == 3)
    spoilt = np.array(result.cube.values)
    spoilt[3] = 7.0
    marked = Result(replace(result.cube, values=spoilt, bands=bad), replace(result.observed, bands=bad))
    assert compare(marked, truth, Job()).after["psnr"] > compare(result, truth, Job()).before["psnr"]


def test_a_reference_in_other_units_is_compared_in_physical_ones(result: Result, truth: Cube) -> None:
    counts = replace(truth, values=np.round(truth.values * 1e4).astype(np.int16), gain=1e-4, nodata=-9999)
    found, plain = compare(result, counts, Job()), compare(result, truth, Job())
    assert found.after["psnr"] == pytest.approx(plain.after["psnr"], abs=0.05)
    assert found.unit == "reflectance"


def test_a_finer_result_is_scored_with_its_scale(result: Result, truth: Cube) -> None:
    finer = replace(result, scale=4)
    assert compare(finer, truth, Job()).after["ergas"] == pytest.approx(
        compare(result, truth, Job()).after["ergas"] / 4
    )


def test_a_reference_of_another_size_is_refused(result: Result, make_cube: Callable[..., Cube]) -> None:
    with pytest.raises(CubeError, match="shape"):
        compare(result, make_cube(8, 30, 25), Job())


def test_comparing_ends_at_its_next_block_when_it_is_cancelled(result: Result, truth: Cube) -> None:
    job = Job(on_progress=lambda progress: job.cancel())
    with pytest.raises(Cancelled):
        compare(result, truth, job)


def test_what_got_worse_is_called_so(result: Result, truth: Cube) -> None:
    worse = Result(result.observed, result.cube)
    assert [compare(worse, truth, Job()).is_better(figure) for figure in FIGURES] == [False] * len(FIGURES)
    same = compare(Result(result.cube, result.cube), truth, Job())
    assert same.is_better(FIGURES[0]) is None


# ---- the panel -----------------------------------------------------------------------------------------------------


@pytest.fixture
def dock(viewer: ViewerModel, toolkit: Any, result: Result) -> Any:
    from hsi_napari.restore_dock import RestoreDock

    viewer.add_layer(Layer.create(*cube_to_layer(result.observed)))
    dock = RestoreDock(viewer)
    toolkit.addWidget(dock)
    return dock


@pytest.fixture
def reference(viewer: ViewerModel, truth: Cube) -> Layer:
    layer = viewer.add_layer(Layer.create(*cube_to_layer(truth)))
    viewer.layers.selection.active = viewer.layers["noisy"]
    return layer


@pytest.fixture
def run(dock: Any, halving: list[Any], toolkit: Any) -> Callable[[], None]:
    def wait() -> None:
        dock.run()
        toolkit.waitUntil(lambda: not dock.run_panel.is_running, timeout=LIMIT_MS)

    return wait


def choices(dock: Any) -> list[str]:
    choice = dock.results.score.reference
    return [choice.itemText(i) for i in range(choice.count())]


def test_only_other_cubes_of_its_size_are_offered_and_none_is_chosen_at_first(
    viewer: ViewerModel, dock: Any, reference: Layer, run: Any, make_cube: Callable[..., Cube]
) -> None:
    viewer.add_layer(Layer.create(*cube_to_layer(make_cube(8, 30, 25, name="wider"))))
    viewer.layers.selection.active = viewer.layers["noisy"]
    run()
    assert set(choices(dock)) == {"choose a reference…", "truth", "noisy · removed"}
    assert dock.results.score.score is None
    assert "for these figures only" in dock.results.score.note.text()


def test_choosing_a_reference_shows_a_table_before_and_after(
    dock: Any, reference: Layer, run: Any, toolkit: Any
) -> None:
    run()
    panel = dock.results.score
    panel.reference.choose(reference)
    toolkit.waitUntil(lambda: panel.score is not None, timeout=LIMIT_MS)
    from qtpy.QtWidgets import QLabel

    cells = [label.text() for label in panel.table.findChildren(QLabel) if not label.isHidden()]
    assert "PSNR (dB)" in cells
    assert FIGURES[0].text(panel.score.after["psnr"]) in cells
    assert "worse" in cells  # half of a cube is far from it


def test_the_method_never_sees_the_reference(dock: Any, reference: Layer, run: Any, halving: list[Any]) -> None:
    run()
    dock.results.score.reference.choose(reference)
    run()
    cube, *rest = halving[1]
    assert cube.name == "noisy"
    assert all(given is not reference.data for given in rest)


def test_the_next_result_is_scored_by_itself(dock: Any, reference: Layer, run: Any, toolkit: Any) -> None:
    run()
    panel = dock.results.score
    panel.reference.choose(reference)
    toolkit.waitUntil(lambda: panel.score is not None, timeout=LIMIT_MS)
    first = panel.score
    run()
    toolkit.waitUntil(lambda: panel.score is not None and panel.score is not first, timeout=LIMIT_MS)


def test_a_removed_reference_takes_its_figures_along(
    viewer: ViewerModel, dock: Any, reference: Layer, run: Any, toolkit: Any
) -> None:
    run()
    panel = dock.results.score
    panel.reference.choose(reference)
    toolkit.waitUntil(lambda: panel.score is not None, timeout=LIMIT_MS)
    viewer.layers.remove(reference)
    assert panel.score is None
    assert panel.table.isHidden()


def test_cancel_stops_comparing(
    dock: Any, reference: Layer, run: Any, toolkit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def endless(result: Result, reference: Cube, job: Job) -> None:
        while True:
            job.step(0.1, "comparing")

    monkeypatch.setattr("hsi_napari.score_panel.compare", endless)
    run()
    panel = dock.results.score
    panel.reference.choose(reference)
    worker = panel._worker
    toolkit.waitUntil(lambda: "Comparing" in panel.note.text(), timeout=LIMIT_MS)
    with toolkit.waitSignal(worker.finished, timeout=LIMIT_MS):
        panel.stop.click()
    assert not panel.is_running
    assert panel.reference.layer() is None


def test_what_cannot_be_compared_is_told_in_one_line(
    viewer: ViewerModel, dock: Any, run: Any, toolkit: Any, make_cube: Callable[..., Cube]
) -> None:
    empty = make_cube(8, 30, 24, values=np.full((8, 30, 24), np.nan, np.float32), name="empty")
    layer = viewer.add_layer(Layer.create(*cube_to_layer(empty)))
    viewer.layers.selection.active = viewer.layers["noisy"]
    run()
    dock.results.score.reference.choose(layer)
    toolkit.waitUntil(lambda: dock.run_panel.message.is_error, timeout=LIMIT_MS)
    assert "no valid sample" in dock.run_panel.message.text()


# ---- one layer of a result at a time -------------------------------------------------------------------------------


@pytest.fixture
def group(viewer: ViewerModel, result: Result) -> ResultGroup:
    source = viewer.add_layer(Layer.create(*cube_to_layer(result.observed)))
    shape = result.cube.shape
    layers = {
        "spread": viewer.add_image(np.zeros(shape[1:]), name="s · spread", visible=False),
        "removed": viewer.add_image(np.zeros(shape), name="s · removed", visible=False, rgb=False),
        "restored": viewer.add_image(np.zeros(shape), name="s · restored", rgb=False),
    }
    return ResultGroup(viewer, layers, source)


def visible(viewer: ViewerModel) -> list[str]:
    return [layer.name.rpartition(" ")[2] for layer in viewer.layers if layer.visible]


def test_one_is_shown_and_the_others_are_hidden(viewer: ViewerModel, group: ResultGroup) -> None:
    assert group.names() == ["restored", "removed", "spread", "before"]
    assert group.shown() == "restored"
    for name in ("removed", "spread", "restored"):
        group.show(name)
        assert visible(viewer) == ["noisy", name]
        assert group.shown() == name
    group.show("before")
    assert visible(viewer) == ["noisy"]


def test_before_is_made_visible_where_it_was_hidden(viewer: ViewerModel, group: ResultGroup) -> None:
    viewer.layers["noisy"].visible = False
    group.show("before")
    assert visible(viewer) == ["noisy"]


@pytest.mark.parametrize("turn", [0, 25])
def test_where_the_restored_layer_is_moved_the_others_follow(
    viewer: ViewerModel, group: ResultGroup, turn: float
) -> None:
    lead = viewer.layers["s · restored"]
    lead.rotate = turn
    lead.scale, lead.translate = (1, 2, 2), (0, 7, 9)
    for name in ("s · removed", "s · spread"):
        layer = viewer.layers[name]
        at = (*(0,) * (layer.ndim - 2), 5, 6)
        assert np.allclose(np.asarray(layer.data_to_world(at))[-2:], np.asarray(lead.data_to_world((0, 5, 6)))[-2:])
    lead.rotate = 0
    spread = viewer.layers["s · spread"]
    assert np.allclose(np.asarray(spread.data_to_world((5, 6))), np.asarray(lead.data_to_world((0, 5, 6)))[-2:])


def test_a_group_whose_restored_layer_is_gone_is_over(viewer: ViewerModel, group: ResultGroup) -> None:
    viewer.layers.remove("s · removed")
    assert group.names() == ["restored", "spread", "before"]
    viewer.layers.remove("s · restored")
    assert not group.lives


def test_before_is_not_hidden_by_the_result_of_an_earlier_run(viewer: ViewerModel, dock: Any, run: Any) -> None:
    run()
    run()
    next(button for button in dock.results.shown.buttons() if button.text() == "before").click()
    assert visible(viewer) == ["noisy"]


def test_an_eye_clicked_in_the_layer_list_is_followed(viewer: ViewerModel, dock: Any, run: Any) -> None:
    run()
    checked = {button.text(): button for button in dock.results.shown.buttons()}
    viewer.layers["noisy · removed"].visible = True
    viewer.layers["noisy · restored"].visible = False
    assert checked["removed"].isChecked()
    checked["uncertainty"].click()
    assert visible(viewer) == ["noisy", "spread"]


def test_an_earlier_restored_layer_that_is_chosen_is_offered_again(viewer: ViewerModel, dock: Any, run: Any) -> None:
    run()
    first = dock.results.result
    run()
    assert dock.results.result is not first
    viewer.layers.selection.active = viewer.layers["noisy · restored"]
    assert dock.results.result is first
    assert not dock.results.isHidden()

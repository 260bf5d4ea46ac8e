"""The Batch dock: what is entered, the table, and real runs of tiny scenes in another process."""

from __future__ import annotations

import gc
import json
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest
from hsi_napari import lineage
from hsi_napari.batch_request import Request, Source, in_dock_words, read_small_recipe, steps_line
from napari.components import ViewerModel

from hsi_app.bands import BandAxis
from hsi_app.cube import Cube
from hsi_app.errors import HsiError
from hsi_app.io import open_cube, save_cube
from hsi_app.recipe import Recipe, Step, read_recipe, write_recipe

pytest.importorskip("qtpy", reason="the extra 'gui' is not installed")

pytestmark = [pytest.mark.gui, pytest.mark.usefixtures("toolkit")]

LIMIT_MS = 120_000
QUICK = Recipe((Step("lowrank", "denoise", {"rank": 3, "denoiser": "none"}),))
BANDS, SIDE = 12, 40
# What the window may be kept from drawing, in seconds.
STILL_S = 0.1


def save_scene(path: Path, seed: int, side: int = SIDE) -> Path:
    """A noisy cube of two spectra."""
    rng = np.random.default_rng(seed)
    values = rng.random((BANDS, 2)) @ rng.random((2, side * side)) + rng.normal(0, 0.02, (BANDS, side * side))
    path.parent.mkdir(parents=True, exist_ok=True)
    cube = Cube(
        values.reshape(BANDS, side, side).astype(np.float32), BandAxis(BANDS, np.linspace(450, 900, BANDS)),
        unit="reflectance",
    )  # fmt: skip
    return save_cube(cube, path)


def damage(header: Path) -> None:
    """Cut the data of a scene short."""
    data = header.with_suffix(".bsq")
    data.write_bytes(data.read_bytes()[:100])


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    return write_recipe(QUICK, tmp_path / "quick.toml")


@pytest.fixture
def flight(tmp_path: Path) -> Path:
    """Three scenes, the second damaged."""
    for number in range(3):
        save_scene(tmp_path / "flight" / f"s{number}.hdr", number)
    damage(tmp_path / "flight" / "s1.hdr")
    return tmp_path / "flight"


@pytest.fixture
def dock(viewer: ViewerModel, toolkit: Any) -> Any:
    from hsi_napari.batch_dock import BatchDock

    dock = BatchDock(viewer)
    toolkit.addWidget(dock)
    dock.form.how.put({"workers": 1, "memory": "3G", "device": "cpu"})
    yield dock
    end(dock, toolkit)


def end(dock: Any, toolkit: Any) -> None:
    """Leave no process behind, whatever the test did."""
    if dock._process is not None and dock._process.is_running:
        dock._process._process.kill()
        toolkit.waitUntil(lambda: not dock._process.is_running, timeout=LIMIT_MS)


@pytest.fixture
def fill(dock: Any, recipe: Path, flight: Path, tmp_path: Path) -> Any:
    """Recipe, folder of scenes and folder of results entered."""
    dock.form.put_recipe(str(recipe))
    dock.form.inputs.add([str(flight)])
    dock.form.put_folder(str(tmp_path / "out"))
    return dock


@pytest.fixture
def finish(toolkit: Any) -> Callable[[Any], str]:
    """Wait for the end and give back what the dock says."""

    def wait(dock: Any) -> str:
        toolkit.waitUntil(lambda: not dock.foot.is_running, timeout=LIMIT_MS)
        return str(dock.foot.message.text())

    return wait


def states(dock: Any) -> list[str]:
    return [scene.state for scene in dock.results.model.scenes.rows]


# ---- what is entered ------------------------------------------------------------------------------------------------


def asked(tmp_path: Path, made: Path, **more: Any) -> Request:
    given = {"recipe": str(made), "sources": (Source("/in/s0.hdr", "file"),), "folder": str(tmp_path / "out")}
    return Request(**{**given, **more})


@pytest.mark.parametrize(
    ("wrong", "words"),
    [({"recipe": ""}, "choose a recipe"), ({"recipe": "/none.toml"}, "no recipe '/none.toml'"),
     ({"sources": ()}, "add the scenes"), ({"folder": ""}, "choose a folder"), ({"folder": __file__}, "is a file"),
     ({"name": "{stem"}, "expected '}'"), ({"name": "{date}.tif"}, "must hold some of"),
     ({"name": "../{stem}.tif"}, "leave the output folder"), ({"name": "{stem}.nc"}, "cannot be written"),
     ({"options": {"memory": "much"}}, "is no size")],
)  # fmt: skip
def test_what_cannot_be_started_is_refused_in_one_line(
    dock: Any, tmp_path: Path, recipe: Path, wrong: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dock.form, "request", lambda: asked(tmp_path, recipe, **wrong))
    dock.run()
    message = dock.foot.message
    assert words in message.text()
    assert message.is_error
    assert "\n" not in message.text()
    assert "--" not in message.text()
    assert not dock.foot.is_running


def test_the_name_is_shown_by_an_example(dock: Any, tmp_path: Path, recipe: Path) -> None:
    dock.form.put_recipe(str(recipe))
    dock.form.inputs.add([str(save_scene(tmp_path / "day [1]" / "line.hdr", 0))])
    assert dock.form.folder.text() == str(tmp_path / "day [1]" / "restored")
    assert dock.form.example.text() == "line.hdr → restored/line.hdr"
    dock.form.name.setText("{recipe}/{stem}_{number}.tif")
    assert dock.form.example.text() == "line.hdr → restored/quick/line_0001.tif"
    dock.form.name.setText("{day}.tif")
    assert "must hold some of" in dock.form.example.text()


def test_the_line_under_a_recipe_tells_its_steps_or_what_is_wrong_with_it(
    dock: Any, recipe: Path, tmp_path: Path
) -> None:
    dock.form.put_recipe(str(recipe))
    assert dock.form.steps.text() == "denoise with lowrank (rank 3, denoiser none)"
    quiet = dock.form.steps.styleSheet()
    wrong = tmp_path / "wrong.toml"
    for text, words in (("x = [", "is not TOML"), ("seed = 1", "no steps"), ('[[steps]]\nmethod = "magic"', "magic")):
        wrong.write_text(text)
        dock.form.put_recipe(str(wrong))
        assert words in dock.form.steps.text()
        assert dock.form.steps.styleSheet() != quiet
    wrong.write_bytes(b"\xff" * 2**21)
    for path in (wrong, tmp_path, tmp_path / "none.toml"):
        with pytest.raises(HsiError):
            read_small_recipe(str(path))
    two = Recipe((Step("lowrank", "sr", {"rank": 3}), Step("lowrank")), scale=4)
    assert steps_line(two) == "sr with lowrank (scale 4, rank 3), then denoise with lowrank"
    assert in_dock_words("give --existing redo - or not") == "give existing redo - or not"


def drop(widget: Any, paths: Sequence[Path], place: Any = None) -> None:
    """Let go of files over a widget."""
    from qtpy.QtCore import QMimeData, QPointF, Qt, QUrl
    from qtpy.QtGui import QDropEvent

    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    left_button, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    event = QDropEvent(place or QPointF(5, 5), Qt.DropAction.CopyAction, mime, left_button, none)
    widget.dropEvent(event)


def test_what_is_dropped_goes_where_it_belongs_and_comes_off_again(
    dock: Any, recipe: Path, flight: Path, tmp_path: Path
) -> None:
    from qtpy.QtCore import QPointF

    table = tmp_path / "table.csv"
    table.write_text("file\nflight/s0.hdr\n")
    drop(dock, [recipe, flight / "s0.bsq", flight / "s0.hdr", flight, table, flight])
    assert dock.form.recipe.text() == str(recipe)
    assert [(Path(source.path).name, source.kind) for source in dock.form.inputs.sources()] == [
        ("s0.hdr", "file"), ("flight", "folder"), ("table.csv", "table")
    ]  # fmt: skip
    assert dock.form.inputs.summary.text() == "1 file, 1 folder, 1 table"
    names = dock.form.inputs.list
    names.setCurrentIndex(names.model().index(1, 0))
    dock.form.inputs.remove.click()
    assert [source.kind for source in dock.form.inputs.sources()] == ["file", "table"]
    dock.resize(400, 900)
    dock.show()
    field = dock.form.folder
    drop(dock, [tmp_path], QPointF(field.mapTo(dock, field.rect().center())))
    assert field.text() == str(tmp_path)


# ---- the table -----------------------------------------------------------------------------------------------------


def planned(count: int, state: str = "to do") -> list[dict[str, Any]]:
    return [{"source": f"/in/s{n}.hdr", "out": f"s{n}.hdr", "state": state} for n in range(count)]


def log_of(count: int) -> bytes:
    """What a batch of so many scenes tells that are all done at once."""
    entries = [{"level": "event", "event": "plan", "scenes": planned(count)}]
    for n in range(count):
        for event in ("started", "done"):
            entries.append({"level": "event", "event": event, "out": f"s{n}.hdr", "seconds": 1.0, "notes": ["x" * 200]})
    return "".join(json.dumps(entry) + "\n" for entry in entries).encode()


def test_thousands_of_scenes_are_taken_in_without_keeping_the_window_waiting(
    dock: Any, fill: Any, toolkit: Any
) -> None:
    from hsi_napari.batch_process import BatchProcess

    count = 5000
    process = BatchProcess(dock.form.request())
    process.told.connect(dock._told)
    dock._process = process
    dock.resize(420, 900)
    dock.show()
    log = log_of(count)
    with watched() as gaps:
        for start in range(0, len(log), 65_536):  # torn anywhere, as a pipe tears it
            process.feed(log[start : start + 65_536])
        toolkit.waitUntil(lambda: dock.results.model.scenes.counts["done"] == count, timeout=LIMIT_MS)
    process._end(0)
    assert max(gaps) < STILL_S
    assert dock.results.table.model().rowCount() == count


def test_a_row_tells_its_state_its_time_and_its_reason(dock: Any) -> None:
    from qtpy.QtCore import Qt

    model, table = dock.results.model, dock.results.table
    model.begin([*planned(2), {"source": "/in/<b>.hdr", "out": "<b>.hdr", "state": "failed"}], Path("/out"))
    model.apply([
        {"event": "started", "out": "s0.hdr"},
        {"event": "progress", "out": "s0.hdr", "fraction": 0.4, "remaining_s": 12.0, "message": "tile 2 of 5"},
        {"event": "failed", "out": "<b>.hdr", "reason": "<i>torn</i>"},
    ])  # fmt: skip
    shown = [[model.data(model.index(row, column)) for column in range(3)] for row in range(3)]
    assert shown == [["s0.hdr", "40%", "12 s left"], ["s1.hdr", "waiting", ""], ["<b>.hdr", "failed", ""]]
    # A file's own words are no mark-up.
    assert "&lt;i&gt;torn" in model.data(model.index(2, 0), Qt.ItemDataRole.ToolTipRole)
    table.choose(2)
    assert dock.results.detail.text() == "<b>.hdr: failed: <i>torn</i>"
    assert not dock.results.open.isEnabled()
    table.choose(0)
    assert "tile 2 of 5" in dock.results.detail.text()
    dock.open_result(0)
    assert "no result yet" in dock.foot.message.text()


# ---- real runs -----------------------------------------------------------------------------------------------------


class watched:
    """Seconds for which the main thread did not come to its timers, less those that it waited for a processor.

    Python's collector rests meanwhile: to look through all that napari, torch and pytest have loaded takes 0.15 s.
    """

    def __enter__(self) -> list[float]:
        from qtpy.QtCore import QTimer

        self._timer, self.gaps = QTimer(), [0.0]
        self._timer.setInterval(5)
        self._timer.timeout.connect(self._tick)
        gc.collect()
        gc.disable()
        self._last = self._now()
        self._timer.start()
        return self.gaps

    def __exit__(self, *_: object) -> None:
        self._tick()
        self._timer.stop()
        gc.enable()

    def _tick(self) -> None:
        now = self._now()
        self.gaps.append(now - self._last)
        self._last = now

    @staticmethod
    def _now() -> float:
        queued = Path(f"/proc/self/task/{threading.get_native_id()}/schedstat")
        waited = int(queued.read_text().split()[1]) / 1e9 if queued.exists() else 0.0
        return time.monotonic() - waited


def test_a_run_of_three_scenes_one_of_them_damaged(
    viewer: ViewerModel, dock: Any, fill: Any, flight: Path, tmp_path: Path, toolkit: Any, finish: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from hsi_napari.layers import cube_to_layer
    from napari.layers import Layer

    opened: list[str] = []
    monkeypatch.setattr("qtpy.QtGui.QDesktopServices.openUrl", lambda url: opened.append(url.toLocalFile()))
    source = viewer.add_layer(Layer.create(*cube_to_layer(open_cube(flight / "s0.hdr"))))
    source.contrast_limits = (0.1, 0.7)
    dock.show()
    with watched() as gaps:
        dock.run()
        assert dock.foot.is_running
        assert not dock.form.isEnabled()
        words = finish(dock)
    assert max(gaps) < STILL_S
    assert states(dock) == ["done", "failed", "done"]
    assert words.startswith("2 of 3 done · 1 failed, in ")
    # The failure is shown by itself.
    assert "s1.hdr: failed: " in dock.results.detail.text()
    assert "has 100; fetch the file again" in dock.results.detail.text()
    dock.results.page.click()
    assert opened == [str(tmp_path / "out" / "batch.html")]

    # A result comes as a layer, as bright as the scene it was made from.
    dock.results.table.choose(0)
    dock.results.table.opened.emit(0)
    toolkit.waitUntil(lambda: len(viewer.layers) == 2, timeout=LIMIT_MS)
    layer = viewer.layers[-1]
    assert layer.name == "s0 · restored"
    assert np.array_equal(np.asarray(layer.data), open_cube(tmp_path / "out" / "s0.hdr").read())
    assert (list(layer.contrast_limits), lineage.source_of(layer)) == ([0.1, 0.7], source)
    assert dock.results.model._picture(dock.results.model.scene(0)).width() == 48

    # The same again does nothing.
    dock.run()
    assert "1 failed" in finish(dock)
    assert states(dock) == ["same", "failed", "same"]


def test_a_recipe_of_the_restore_dock_gives_the_same_numbers_in_a_batch(
    viewer: ViewerModel, dock: Any, tmp_path: Path, toolkit: Any, finish: Any
) -> None:
    import torch
    from hsi_napari.layers import cube_of, cube_to_layer
    from hsi_napari.restore_dock import RestoreDock
    from napari.layers import Layer

    path = save_scene(tmp_path / "one.hdr", 7)
    viewer.add_layer(Layer.create(*cube_to_layer(open_cube(path))))
    restore = RestoreDock(viewer)
    toolkit.addWidget(restore)
    restore.form.choose("denoise", "lowrank")
    restore.form.settings.put({"device": "cpu", "seed": 5})
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as a worker has; the last bits may depend on it
    restore.run()
    toolkit.waitUntil(lambda: not restore.run_panel.is_running, timeout=LIMIT_MS)
    torch.set_num_threads(threads)
    given: list[Path] = []
    restore.results.batch_wanted.disconnect()
    restore.results.batch_wanted.connect(given.append)
    with toolkit.waitSignal(restore.results.batch_wanted, timeout=LIMIT_MS):
        restore.results.batch_from(tmp_path / "kept.toml")
    assert given == [tmp_path / "kept.toml"]
    assert read_recipe(given[0]).seed == 5

    dock.take_up(given[0])
    dock.form.inputs.add([str(path)])
    dock.form.put_folder(str(tmp_path / "out"))
    dock.run()
    assert finish(dock).startswith("1 of 1 done")
    alone = cube_of(viewer.layers["one · restored"]).read()
    assert np.array_equal(open_cube(tmp_path / "out" / "one.hdr").read(), alone)


def test_a_dry_run_tells_what_would_be_done_and_writes_nothing(
    dock: Any, fill: Any, tmp_path: Path, finish: Any
) -> None:
    dock.dry_run()
    assert finish(dock).startswith("Dry run: nothing was written.")
    assert states(dock) == ["waiting", "failed", "waiting"]
    first, needs, risk = dock.results.outlook.text().splitlines()
    assert first == "2 to do, 1 cannot be done"
    assert all(word in needs for word in ("A moment", "of memory", "of disk"))
    assert risk.startswith("Biggest risk: the inputs: 1 of 3 cannot be done")
    assert not (tmp_path / "out").exists()


def test_what_the_command_refuses_is_said_in_one_line(dock: Any, fill: Any, tmp_path: Path, finish: Any) -> None:
    dock.form.inputs.add([str(tmp_path / "none.csv")])
    for start in (dock.run, dock.dry_run):
        start()
        assert finish(dock) == f"no list '{tmp_path / 'none.csv'}'; check the path."
        assert dock.foot.message.is_error
        assert dock.form.isEnabled()


def test_a_program_that_cannot_be_started_is_said_in_one_line(
    dock: Any, fill: Any, finish: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hsi_napari.batch_process.sys", SimpleNamespace(executable="/no/python"))
    dock.run()
    assert "'/no/python' cannot be started" in finish(dock)


# ---- stopping ------------------------------------------------------------------------------------------------------


@pytest.fixture
def long(dock: Any, tmp_path: Path) -> Any:
    """Asks for three scenes that would take minutes each."""
    for number in range(3):
        save_scene(tmp_path / "long" / f"s{number}.hdr", number)
    dock.form.put_recipe(str(write_recipe(Recipe((Step("dds2m", "denoise"),)), tmp_path / "slow.toml")))
    dock.form.inputs.add([str(tmp_path / "long")])
    dock.form.put_folder(str(tmp_path / "out"))
    return dock


def until_at_work(dock: Any, toolkit: Any) -> list[psutil.Process]:
    """Wait for the first step of the first scene; gives the processes that carry the batch."""
    scenes = dock.results.model.scenes
    toolkit.waitUntil(lambda: any(scene.fraction > 0 for scene in scenes.rows), timeout=LIMIT_MS)
    driver = psutil.Process(dock._process._process.processId())
    return [driver, *driver.children(recursive=True)]


def are_gone(processes: Sequence[psutil.Process]) -> bool:
    return not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in processes)


def test_stop_ends_in_a_moment_keeps_what_is_done_and_run_goes_on(
    dock: Any, long: Any, tmp_path: Path, toolkit: Any, finish: Any
) -> None:
    quick = write_recipe(QUICK, tmp_path / "quick.toml")
    dock.form.put_recipe(str(quick))
    dock.run()
    toolkit.waitUntil(lambda: dock.results.model.scenes.counts["done"] > 0, timeout=LIMIT_MS)
    finish(dock)
    before = (tmp_path / "out" / "s0.hdr.json").read_bytes()
    dock.form.put_recipe(str(tmp_path / "slow.toml"))
    dock.run()
    processes = until_at_work(dock, toolkit)
    assert states(dock) == ["working", "waiting", "waiting"]
    asked_at = time.monotonic()
    dock.foot.stop.click()
    assert dock.foot.stop.text() == "End now"
    words = finish(dock)
    # A second or so for the step and the look-outs; the rest is for a machine with much else to do.
    assert time.monotonic() - asked_at < 8
    assert "'Run' goes on from there." in words
    assert not dock.foot.message.is_error
    toolkit.waitUntil(lambda: are_gone(processes), timeout=10_000)
    assert states(dock) == ["waiting"] * 3
    assert "goes on from there" in dock.results.model.scene(0).reason
    # What lay there still does, and what was begun is kept.
    assert (tmp_path / "out" / "s0.hdr.json").read_bytes() == before
    assert list((tmp_path / "out" / ".hsi-app" / "work").iterdir())
    dock.run()
    until_at_work(dock, toolkit)
    dock.stop()
    dock.stop()
    finish(dock)
    assert not dock._process.is_running


def test_stop_before_the_first_scene_ends_it_too(dock: Any, long: Any, tmp_path: Path, finish: Any) -> None:
    for start in (dock.run, dock.dry_run):
        start()
        dock.stop()
        # Where the first signal was lost while Python started, the second one comes when scenes are at work.
        assert finish(dock).startswith(("Stopped before it began.", "Stopped; nothing was written.", "Stopped: 0 of 3"))
        assert not (tmp_path / "out" / "s0.hdr").exists()


@pytest.mark.skipif(os.name != "posix", reason="another system has no such signal")
def test_a_stop_that_is_not_heard_is_asked_again(
    dock: Any, long: Any, toolkit: Any, finish: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hsi_napari import batch_process

    dock.run()
    until_at_work(dock, toolkit)
    sent, kill = [], os.kill

    def lose_the_first(process: int, number: int) -> None:
        sent.append(number)
        if len(sent) > 1:
            kill(process, number)

    monkeypatch.setattr(batch_process.os, "kill", lose_the_first)
    dock.stop()
    assert finish(dock).startswith("Stopped")
    assert len(sent) == 2


@pytest.mark.skipif(os.name != "posix", reason="another system has no such signal")
def test_a_process_that_is_killed_from_outside_is_told_of(dock: Any, long: Any, toolkit: Any, finish: Any) -> None:
    dock.run()
    processes = until_at_work(dock, toolkit)
    processes[0].kill()
    assert "was ended (signal 9)" in finish(dock)
    assert dock.foot.message.is_error
    assert "was interrupted" in dock.results.model.scene(0).reason
    toolkit.waitUntil(lambda: are_gone(processes), timeout=LIMIT_MS)


def test_a_person_runs_a_folder_and_looks_at_a_result(
    window: Callable[..., Any], recipe: Path, flight: Path, tmp_path: Path, toolkit: Any, finish: Any, pictures: Path
) -> None:
    viewer = window(show=True)
    viewer.window.resize(1500, 950)
    _, dock = viewer.window.add_plugin_dock_widget("hsi-app", "Batch")
    dock.form.put_recipe(str(recipe))
    dock.form.inputs.add([str(flight)])
    dock.form.put_folder(str(tmp_path / "out"))
    dock.form.how.put({"workers": 1, "memory": "3G", "device": "cpu"})
    dock.dry_run()
    finish(dock)
    assert states(dock) == ["waiting", "failed", "waiting"]
    assert not list((tmp_path / "out").glob("*.hdr"))
    dock.run()
    finish(dock)
    assert states(dock) == ["done", "failed", "done"]
    dock.open_result(2)
    toolkit.waitUntil(lambda: len(viewer.layers) > 0, timeout=LIMIT_MS)
    viewer.reset_view()
    viewer.screenshot(str(pictures / "batch.png"), canvas_only=False, flash=False)
    assert (pictures / "batch.png").stat().st_size > 0


def test_closing_the_dock_stops_the_batch_in_order(
    window: Callable[..., Any], recipe: Path, tmp_path: Path, toolkit: Any
) -> None:
    from hsi_napari import batch_process

    for number in range(2):
        save_scene(tmp_path / "long" / f"s{number}.hdr", number)
    viewer = window(show=True)
    _, dock = viewer.window.add_plugin_dock_widget("hsi-app", "Batch")
    dock.form.put_recipe(str(write_recipe(Recipe((Step("dds2m", "denoise"),)), tmp_path / "slow.toml")))
    dock.form.inputs.add([str(tmp_path / "long")])
    dock.form.put_folder(str(tmp_path / "out"))
    dock.form.how.put({"workers": 1, "memory": "3G", "device": "cpu"})
    dock.run()
    processes = until_at_work(dock, toolkit)
    dock = _ = None  # only the window holds the dock now
    with watched() as gaps:
        viewer.window.remove_dock_widget("all")
        toolkit.waitUntil(lambda: are_gone(processes) and not batch_process._leaving, timeout=LIMIT_MS)
    assert max(gaps) < STILL_S
    # In order: the summary was written, which a killed batch leaves none of.
    assert (tmp_path / "out" / "batch.html").exists()


def test_the_restore_dock_opens_the_batch_dock_with_its_recipe(
    window: Callable[..., Any], recipe: Path, toolkit: Any
) -> None:
    viewer = window(show=True)
    _, restore = viewer.window.add_plugin_dock_widget("hsi-app", "Restore")
    restore.results.batch_wanted.emit(recipe)
    _, dock = viewer.window.add_plugin_dock_widget("hsi-app", "Batch")
    toolkit.waitUntil(dock.isVisible)
    assert dock.form.recipe.text() == str(recipe)
    assert dock.form.steps.text().startswith("denoise with lowrank")

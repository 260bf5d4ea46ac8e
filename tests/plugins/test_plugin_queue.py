"""The queue: one run after the other, reordered, dropped, failed, and across the docks of a viewer."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hsi_napari.ground import ground_of
from hsi_napari.queue_model import Order, RunQueue, queue_of
from napari.components import ViewerModel
from napari.layers import Image, Layer

from hsi_app.cube import Cube
from hsi_app.errors import CubeError
from hsi_app.jobs import Job

LIMIT_MS = 20_000


class Owner:
    """Begins orders and remembers which."""

    def __init__(self, queue: RunQueue) -> None:
        self.queue, self.begun = queue, []  # type: tuple[RunQueue, list[str]]

    def begin(self, order: Order) -> None:
        self.begun.append(order.title)

    def order(self, title: str, *, is_short: bool = False) -> Order:
        layer = Image(np.zeros((2, 3, 4)))
        made = Order(
            title, "starting", lambda job: None, 0, ground_of(layer), weakref.ref(layer),
            weakref.WeakMethod(self.begin), is_short=is_short,
        )  # fmt: skip
        self.queue.add(made)
        return made


@pytest.fixture
def owner() -> Owner:
    return Owner(RunQueue())


def titles(queue: RunQueue) -> list[str]:
    return [order.title for order in queue.orders]


def test_the_first_begins_at_once_and_the_others_in_order(owner: Owner) -> None:
    first, second, _ = (owner.order(title) for title in "abc")
    assert owner.begun == ["a"]
    owner.queue.ended(first, "done")
    owner.queue.ended(second, "done")
    assert owner.begun == ["a", "b", "c"]


@pytest.mark.parametrize("state", ["failed", "cancelled"])
def test_the_next_begins_however_the_one_before_ended(owner: Owner, state: Any) -> None:
    first, second = owner.order("a"), owner.order("b")
    owner.queue.ended(first, state, "no sample is valid")
    assert (first.state, first.reason, second.state) == (state, "no sample is valid", "running")


def test_what_is_over_holds_no_cube(owner: Owner) -> None:
    order = owner.order("a")
    owner.queue.ended(order, "done")
    assert order.work is None


def test_waiting_ones_change_places_and_the_running_one_stays(owner: Owner) -> None:
    running, second, third = (owner.order(title) for title in "abc")
    owner.queue.move(third, -1)
    assert titles(owner.queue) == ["a", "c", "b"]
    owner.queue.move(third, -1)
    owner.queue.move(running, 1)
    owner.queue.move(second, 1)
    assert titles(owner.queue) == ["a", "c", "b"]


def test_one_or_all_that_wait_are_dropped_and_the_running_one_goes_on(owner: Owner) -> None:
    running, second, _, _ = (owner.order(title) for title in "abcd")
    owner.queue.drop(second)
    owner.queue.drop(running)
    assert titles(owner.queue) == ["a", "c", "d"]
    owner.queue.clear()
    assert titles(owner.queue) == ["a"]


def test_a_preview_goes_before_what_waits_and_leaves_no_trace(owner: Owner) -> None:
    running = owner.order("a")
    owner.order("b")
    preview = owner.order("preview", is_short=True)
    assert titles(owner.queue) == ["a", "preview", "b"]
    owner.queue.ended(running, "done")
    owner.queue.ended(preview, "done")
    assert titles(owner.queue) == ["a", "b"]


def test_what_is_over_is_forgotten_when_a_new_run_begins_afresh(owner: Owner) -> None:
    owner.queue.ended(owner.order("a"), "done")
    owner.order("b")
    assert titles(owner.queue) == ["b"]


def test_orders_of_a_dock_that_is_gone_are_passed_over(owner: Owner) -> None:
    other = Owner(owner.queue)
    first = owner.order("a")
    other.order("of the other")
    owner.order("b")
    del other
    gc.collect()
    owner.queue.ended(first, "done")
    assert owner.begun == ["a", "b"]


def test_a_closed_dock_takes_its_orders_along(owner: Owner) -> None:
    other = Owner(owner.queue)
    owner.order("a")
    other.order("of the other")
    owner.order("b")
    owner.queue.leave(owner)
    assert titles(owner.queue) == ["of the other"]
    assert other.begun == ["of the other"]


def test_listeners_are_told_of_each_change_until_they_leave(owner: Owner) -> None:
    class Listener:
        told = 0

        def hear(self) -> None:
            self.told += 1

    listener = Listener()
    owner.queue.listen(listener.hear)
    order = owner.order("a")
    owner.queue.ended(order, "done")
    assert listener.told == 2
    owner.queue.unlisten(listener.hear)
    owner.queue.clear()
    assert listener.told == 2


def test_a_viewer_has_one_queue(viewer: ViewerModel) -> None:
    assert queue_of(viewer) is queue_of(viewer)
    assert queue_of(viewer) is not queue_of(ViewerModel())


# ---- the docks -----------------------------------------------------------------------------------------------------


class Gate:
    """An engine that waits at each run until it is let on, and fails where it is told to."""

    def __init__(self) -> None:
        self.runs: list[tuple[str, Any, Any]] = []
        self.fails: set[str] = set()
        self._go_on = threading.Semaphore(0)

    def let_on(self, times: int = 1) -> None:
        self._go_on.release(times)

    def __call__(self, cube: Cube, method: str, options: Any, settings: Any, *, mask: Any, job: Job) -> Any:
        from hsi_app.runner import Result

        self.runs.append((cube.name, dict(options), settings))
        while not self._go_on.acquire(timeout=0.005):
            job.step(0.25, "waiting")
        if cube.name in self.fails:
            raise CubeError(f"no sample of '{cube.name}' is valid; open another cube.")
        values = cube.block()[0] / 2
        record = {"method": method, "task": settings.task, "options": dict(options), "seconds": 0.1, "notes": []}
        return Result(cube.replace(values, "halved"), cube, {}, record)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    gate = Gate()
    monkeypatch.setattr("hsi_app.runner.restore", gate)
    return gate


@pytest.fixture
def second(viewer: ViewerModel, layer: Layer, make_cube: Callable[..., Cube]) -> Layer:
    """Another cube of another size in the viewer, not the chosen one."""
    from hsi_napari.layers import cube_to_layer

    other = viewer.add_layer(Layer.create(*cube_to_layer(make_cube(4, 20, 30, name="other"))))
    viewer.layers.selection.active = layer
    return other


def names(viewer: ViewerModel) -> list[str]:
    return [layer.name for layer in viewer.layers]


def test_runs_of_two_cubes_follow_each_other_with_the_settings_they_were_asked_with(
    viewer: ViewerModel, layer: Layer, second: Layer, dock: Any, gate: Gate, toolkit: Any
) -> None:
    dock.form.options()[0].put({"rank": 2})
    dock.run()
    viewer.layers.selection.active = second
    dock.form.options()[0].put({"rank": 5})
    dock.run()
    dock.form.options()[0].put({"rank": 7})
    toolkit.waitUntil(lambda: len(gate.runs) == 1, timeout=LIMIT_MS)
    assert not dock.queue_panel.isHidden()
    assert [row.order.state for row in dock.queue_panel.rows] == ["running", "waiting"]
    gate.let_on(2)
    toolkit.waitUntil(lambda: dock.queue.running is None, timeout=LIMIT_MS)
    assert [(name, given["rank"]) for name, given, _ in gate.runs] == [("scene", 2), ("other", 5)]
    assert viewer.layers["scene · restored"].data.shape == (6, 12, 10)
    assert viewer.layers["other · restored"].data.shape == (4, 20, 30)
    assert viewer.layers.selection.active is second


def test_a_failure_stays_in_the_list_and_the_next_run_is_done(
    viewer: ViewerModel, layer: Layer, second: Layer, dock: Any, gate: Gate, toolkit: Any
) -> None:
    gate.fails.add("scene")
    dock.run()
    viewer.layers.selection.active = second
    dock.run()
    gate.let_on(2)
    toolkit.waitUntil(lambda: dock.queue.running is None, timeout=LIMIT_MS)
    assert [row.order.state for row in dock.queue_panel.rows] == ["failed", "done"]
    assert "no sample of 'scene'" in dock.queue_panel.rows[0].title.toolTip()
    assert "other · restored" in names(viewer)


def test_cancel_skips_to_the_next_and_clear_leaves_only_that(dock: Any, gate: Gate, toolkit: Any) -> None:
    for _ in range(3):
        dock.run()
    toolkit.waitUntil(lambda: len(gate.runs) == 1, timeout=LIMIT_MS)
    dock.queue_panel.rows[2].drop.click()
    assert len(dock.queue.waiting) == 1
    dock.cancel()
    toolkit.waitUntil(lambda: len(gate.runs) == 2, timeout=LIMIT_MS)
    dock.queue_panel.clear.click()
    assert dock.queue_panel.isHidden()
    gate.let_on()
    toolkit.waitUntil(lambda: dock.queue.running is None, timeout=LIMIT_MS)
    assert len(gate.runs) == 2


def test_arrows_reorder_what_waits(dock: Any, gate: Gate, toolkit: Any) -> None:
    for rank in (1, 2, 3):
        dock.form.options()[0].put({"rank": rank})
        dock.run()
    _, first, last = dock.queue_panel.rows
    assert (first.up.isEnabled(), first.down.isEnabled(), last.down.isEnabled()) == (False, True, False)
    last.up.click()
    gate.let_on(3)
    toolkit.waitUntil(lambda: dock.queue.running is None, timeout=LIMIT_MS)
    assert [given["rank"] for _, given, _ in gate.runs] == [1, 3, 2]


def test_another_dock_of_the_viewer_waits_its_turn(
    viewer: ViewerModel, dock: Any, gate: Gate, toolkit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hsi_napari.unmix_dock import UnmixDock

    def unmix(*given: Any, **more: Any) -> None:
        raise CubeError("nothing to unmix.")

    monkeypatch.setattr("hsi_app.unmixing.runner.unmix", unmix)
    other = UnmixDock(viewer)
    toolkit.addWidget(other)
    dock.run()
    usual = other.form.options()[0]
    usual.put({"endmembers": 3})
    other.run()
    assert not other.run_panel.is_running
    assert other.run_panel.run.text() == "Add to queue"
    assert not other.queue_panel.isHidden()
    gate.let_on()
    toolkit.waitUntil(lambda: other.run_panel.message.text() == "nothing to unmix.", timeout=LIMIT_MS)
    assert other.queue.running is None


def test_a_dock_that_is_closed_leaves_the_queue_to_the_others(
    viewer: ViewerModel, dock: Any, gate: Gate, toolkit: Any
) -> None:
    from hsi_napari.restore_dock import RestoreDock

    other = RestoreDock(viewer)
    toolkit.addWidget(other)
    dock.run()
    dock.run()
    other.run()
    toolkit.waitUntil(lambda: len(gate.runs) == 1, timeout=LIMIT_MS)
    dock.links.cut()
    toolkit.waitUntil(lambda: len(gate.runs) == 2, timeout=LIMIT_MS)
    gate.let_on(2)  # the one that was left may take one of them on its way out
    toolkit.waitUntil(lambda: "scene · restored" in names(viewer), timeout=LIMIT_MS)
    assert len(gate.runs) == 2


def test_a_long_queue_shows_what_is_left(dock: Any, gate: Gate, toolkit: Any) -> None:
    for _ in range(9):
        dock.run()
    gate.let_on(8)
    toolkit.waitUntil(lambda: not dock.queue.waiting, timeout=LIMIT_MS)
    states = [row.order.state for row in dock.queue_panel.rows]
    assert states == ["done"] * 5 + ["running"]
    gate.let_on()
    toolkit.waitUntil(lambda: dock.queue.running is None, timeout=LIMIT_MS)

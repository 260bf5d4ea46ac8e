"""The driver, with workers that do what a test says: tries, ends, and what it tells."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hsi_app.batch import driver
from hsi_app.batch.driver import Rules, Tally, drive, opened
from hsi_app.batch.executors import Backend, open_backend
from hsi_app.batch.items import HIDDEN, Item
from hsi_app.batch.journal import Entry, read_journals
from hsi_app.batch.lease import Lease, Shard
from hsi_app.batch.planning import Planned
from hsi_app.batch.unit import Outcome, Unit, work_folder
from hsi_app.errors import ParameterError
from hsi_app.recipe import Recipe, Step

RECIPE = Recipe((Step("lowrank"),))
DONE = Outcome("done", facts={"key": "k"})
ACCIDENT = Outcome("failed", "an accident", 1, again=True)
FAULT = Outcome("failed", "a fault", 4)

Answer = Outcome | BaseException | None


class Workers(Backend):
    """A backend whose units come back as ``answers`` say, by name: one for each try, the last for all further ones.

    None never comes back; an exception is what a pool says of a worker that died.
    """

    def __init__(self, answers: dict[str, Sequence[Answer]], workers: int = 2, kind: Any = "processes") -> None:
        self.answers, self.units, self.most = answers, list[Unit](), 0
        self.begun = self.closed = 0
        self.hanging: list[Future[Outcome]] = []
        self.refusals = 0
        super().__init__(kind, workers, self._begin)

    def _begin(self) -> Any:
        self.begun, self.is_closed, self.is_broken = self.begun + 1, False, False
        return SimpleNamespace(submit=self._submit), self._end

    def _end(self) -> None:
        self.closed, self.is_closed = self.closed + 1, True

    def _submit(self, fn: Callable[..., Any], unit: Unit) -> Future[Outcome]:
        if self.is_broken:
            self.refusals += 1
            raise RuntimeError("broken")
        self.units.append(unit)
        if len(self.units) > 200:
            pytest.fail("tried again without end")
        tries = sum(one.out == unit.out for one in self.units)
        answers = self.answers.get(unit.out, [DONE])
        answer = answers[min(tries, len(answers)) - 1]
        future: Future[Outcome] = Future()
        if answer is None:
            self.hanging.append(future)
        elif isinstance(answer, BaseException):
            future.set_exception(answer)
        else:
            future.set_result(answer)
        return future

    def tries(self, name: str) -> int:
        return sum(unit.out == name for unit in self.units)


def some(*names: str, state: str = "to do", **facts: Any) -> list[Planned]:
    return [Planned(Item(f"/in/{name}", name, where=name), RECIPE, state, **facts) for name in names]


Heard = list[tuple[str, str, dict[str, object]]]


@pytest.fixture
def heard() -> Heard:
    return []


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test waits as long as a night would."""
    monkeypatch.setattr(driver, "LOOK_S", 0.05)
    monkeypatch.setattr(driver, "AGAIN_S", 0.05)
    monkeypatch.setattr(driver, "GRACE_S", 0.2)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[tuple[Path, Lease, Any]]:
    with opened(tmp_path / "out", Shard()) as (lease, journal):
        yield tmp_path / "out", lease, journal


def drive_all(
    folder: tuple[Path, Lease, Any],
    planned: Sequence[Planned],
    backend: Backend,
    heard: Heard | None = None,
    is_stopped: Callable[[], bool] = lambda: False,
    **rules: Any,
) -> Tally:
    listener = (lambda *told: None) if heard is None else (lambda *told: heard.append(told))
    return drive(planned, *folder, backend, Rules(**rules), tell=listener, is_stopped=is_stopped)


def events(heard: Heard, name: str) -> list[str]:
    return [event for told, event, _ in heard if told == name]


def test_all_are_done_and_written_down(folder: Any, heard: Heard) -> None:
    backend = Workers({})
    tally = drive_all(folder, some("a", "b", "c"), backend, heard)
    assert {name: one.state for name, one in tally.outcomes.items()} == {"a": "done", "b": "done", "c": "done"}
    assert (tally.why, tally.code) == ("", 0)
    assert read_journals(folder[0] / HIDDEN) == {name: Entry(name, "done", {"key": "k"}) for name in "abc"}
    assert events(heard, "a") == ["started", "done"]
    assert backend.begun == 1


def test_done_and_failed_by_plan_reach_no_worker_and_no_journal(folder: Any, heard: Heard) -> None:
    backend = Workers({})
    planned = [*some("a", state="done"), *some("b", state="failed", reason="no file", code=4)]
    tally = drive_all(folder, planned, backend, heard)
    assert [(one.state, one.reason, one.code) for one in tally.outcomes.values()] == [
        ("same", "", 0), ("failed", "no file", 4),
    ]  # fmt: skip
    assert backend.units == []
    assert read_journals(folder[0] / HIDDEN) == {}
    assert [event for _, event, _ in heard] == ["same", "failed"]


def test_the_unit_has_what_the_rules_say(folder: Any) -> None:
    backend = Workers({})
    planned = some("a", state="check", known_key="k")
    drive_all(folder, planned, backend, devices=("cuda:1",), memory=5, threads=7, timeout_s=9.0)
    (unit,) = backend.units
    assert (unit.device, unit.memory, unit.threads, unit.timeout_s, unit.known_key, unit.recipe) == (
        "cuda:1", 5, 7, 9.0, "k", RECIPE.to_toml(),
    )  # fmt: skip


def test_devices_are_taken_in_turn_by_what_is_in_work(folder: Any) -> None:
    backend, devices = Workers({name: [None] for name in "abcd"}, workers=4), ("cuda:0", "cuda:1")
    drive_all(folder, some(*"abcd"), backend, is_stopped=lambda: len(backend.hanging) == 4, devices=devices)
    assert [unit.device for unit in backend.units] == [*devices, *devices]


@pytest.mark.parametrize(("retries", "tries"), [(0, 1), (1, 2), (3, 4)])
def test_an_accident_is_tried_again_as_often_as_asked(folder: Any, retries: int, tries: int, heard: Heard) -> None:
    backend = Workers({"a": [ACCIDENT]})
    tally = drive_all(folder, some("a"), backend, heard, retries=retries)
    assert backend.tries("a") == tries
    assert (tally.outcomes["a"].state, tally.outcomes["a"].reason) == ("failed", "an accident")
    assert events(heard, "a").count("again") == retries


def test_an_accident_that_passes_is_no_failure(folder: Any) -> None:
    tally = drive_all(folder, some("a", "b"), Workers({"a": [ACCIDENT, DONE]}))
    assert tally.count("done") == 2


def test_a_fault_is_not_tried_again_and_stops_nothing(folder: Any) -> None:
    backend = Workers({"a": [FAULT]})
    tally = drive_all(folder, some("a", "b", "c"), backend, retries=5)
    assert backend.tries("a") == 1
    assert tally.count("done") == 2
    assert read_journals(folder[0] / HIDDEN)["a"] == Entry("a", "failed", {"reason": "a fault", "code": 4})


def test_what_a_failed_scene_left_is_removed(folder: Any) -> None:
    left = work_folder(folder[0], "a")
    left.mkdir(parents=True)
    drive_all(folder, some("a"), Workers({"a": [FAULT]}))
    assert not left.exists()


def test_a_scene_that_another_worker_still_holds_is_tried_for_longer(folder: Any) -> None:
    held = Outcome("failed", "in use", 2, again=True)
    backend = Workers({"a": [*[held] * 12, DONE]})
    assert drive_all(folder, some("a"), backend, retries=0).count("done") == 1
    backend = Workers({"a": [held]})
    assert drive_all(folder, some("a"), backend, retries=0).count("failed") == 1
    assert backend.tries("a") == driver.HELD_TRIES + 1


def test_waiting_for_another_try_takes_no_processor(folder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "AGAIN_S", 0.6)
    asked = 0

    def is_stopped() -> bool:
        nonlocal asked
        asked += 1
        return False

    drive_all(folder, some("a"), Workers({"a": [ACCIDENT, DONE]}), is_stopped=is_stopped)
    # Every 10 ms, at most; without a wait it would be asked many thousand times.
    assert asked < 100


def test_fail_fast_ends_with_3_and_does_not_reach_the_rest(folder: Any) -> None:
    backend = Workers({"b": [FAULT]}, workers=1)
    tally = drive_all(folder, some("a", "b", "c", "d"), backend, fail_fast=True)
    assert list(tally.outcomes) == ["a", "b"]
    assert (tally.code, tally.why) == (3, "stopped at the first failure (--fail-fast).")
    assert folder[1].is_over


def test_fail_fast_tries_an_accident_again_first(folder: Any) -> None:
    backend = Workers({"a": [ACCIDENT, DONE]}, workers=1)
    assert drive_all(folder, some("a", "b"), backend, fail_fast=True).count("done") == 2


def test_a_full_disk_ends_the_batch_with_5(folder: Any) -> None:
    full = Outcome("failed", "no space left while writing 'b'; free some.", 1, is_full=True)
    tally = drive_all(folder, some("a", "b", "c"), Workers({"b": [full]}, workers=1))
    assert list(tally.outcomes) == ["a", "b"]
    assert tally.code == 5
    assert tally.why.startswith("the disk is full: no space left while writing 'b'")
    assert folder[1].is_over


def test_a_lost_worker_is_replaced_and_its_scene_tried_again(folder: Any, heard: Heard) -> None:
    backend = Workers({"a": [RuntimeError("gone"), DONE]})
    tally = drive_all(folder, some("a", "b", "c"), backend, heard)
    assert tally.count("done") == 3
    assert backend.begun == 2
    assert events(heard, "a") == ["started", "again", "started", "done"]
    (reason,) = [facts["reason"] for name, event, facts in heard if event == "again"]
    assert reason == "its worker died (RuntimeError: gone)"


@pytest.mark.parametrize(("retries", "tries"), [(0, 2), (1, 3)])
def test_a_scene_that_ends_its_workers_is_given_up(folder: Any, retries: int, tries: int) -> None:
    backend = Workers({"a": [RuntimeError("gone\nfor good")]})
    tally = drive_all(folder, some("a", "b"), backend, retries=retries)
    assert backend.tries("a") == tries
    assert tally.outcomes["b"].state == "done"
    assert tally.outcomes["a"].reason == "its worker died (RuntimeError: gone for good)"
    assert (tally.outcomes["a"].code, tally.code) == (1, 0)


def test_a_pool_that_refuses_costs_only_one_scene_a_try(folder: Any, heard: Heard) -> None:
    backend = Workers({})
    backend.is_broken = True  # until it is begun anew
    tally = drive_all(folder, some(*"abcdef"), backend, heard, retries=0)
    assert tally.count("done") == 6
    assert [name for name, event, _ in heard if event == "again"] == ["a"]
    assert backend.refusals == 1


def test_no_more_units_than_workers_are_in_work(folder: Any) -> None:
    backend = Workers({name: [None] for name in "abcde"}, workers=3)
    most = []

    def is_stopped() -> bool:
        most.append(len(backend.hanging))
        return len(most) > 3

    drive_all(folder, some(*"abcde"), backend, is_stopped=is_stopped)
    assert max(most) == 3


def test_a_hung_unit_is_given_up_after_its_time_and_the_rest_is_done(folder: Any) -> None:
    backend = Workers({"a": [None]})
    tally = drive_all(folder, some("a", "b", "c"), backend, timeout_s=0.1)
    assert tally.outcomes["a"].reason == "it took longer than its time, and did not stop"
    assert tally.count("done") == 2
    assert (tally.why, backend.closed >= 1, backend.tries("a")) == ("", True, 1)


def test_a_hung_unit_of_a_cluster_is_no_end_of_the_batch(folder: Any) -> None:
    class Cluster(Workers):
        """Closed, a client has gone."""

        @property
        def has_gone(self) -> bool:
            return self.is_closed

    tally = drive_all(folder, some("a", "b", "c"), Cluster({"a": [None]}, kind="dask"), timeout_s=0.1)
    assert (tally.why, tally.count("done"), tally.count("failed")) == ("", 2, 1)


def test_a_cluster_that_has_gone_ends_the_batch_and_no_scene_is_blamed(folder: Any) -> None:
    class Cluster(Workers):
        has_gone = True

    left = work_folder(folder[0], "a")
    left.mkdir(parents=True)
    tally = drive_all(folder, some("a", "b", "c"), Cluster({"a": [RuntimeError("lost")]}, workers=1, kind="dask"))
    assert (tally.code, tally.why) == (1, "the cluster has gone; the same command goes on from there.")
    assert tally.count("failed") == 0
    assert "b" not in tally.outcomes
    assert left.exists()


def test_a_request_to_stop_lets_workers_stop_and_ends_with_130(folder: Any) -> None:
    backend = Workers({"a": [None], "b": [None]})
    stop = threading.Event()

    def worker() -> None:
        while not folder[1].is_over:
            time.sleep(0.01)
        for future in backend.hanging:
            future.set_result(Outcome("stopped", "stopped", 130))

    def is_stopped() -> bool:
        if len(backend.hanging) == 2:
            stop.set()
        return stop.is_set()

    thread = threading.Thread(target=worker)
    thread.start()
    tally = drive_all(folder, some("a", "b", "c"), backend, is_stopped=is_stopped)
    thread.join()
    assert {name: one.state for name, one in tally.outcomes.items()} == {"a": "stopped", "b": "stopped"}
    assert (tally.code, tally.why) == (130, "stopped on request; the same command goes on from there.")
    assert {entry.state for entry in read_journals(folder[0] / HIDDEN).values()} == {"started"}


def test_workers_that_do_not_stop_are_ended_after_their_grace(folder: Any) -> None:
    backend = Workers({"a": [None]})
    left = work_folder(folder[0], "a")
    left.mkdir(parents=True)
    tally = drive_all(folder, some("a", "b"), backend, is_stopped=lambda: bool(backend.hanging))
    assert (tally.code, tally.count("failed"), backend.closed) == (130, 0, 1)
    assert left.exists()  # what it has got so far


def test_a_unit_in_this_very_thread_is_stopped_on_request(folder: Any) -> None:
    stop = threading.Event()

    def submit(unit: Unit) -> Outcome:
        stop.set()
        end = time.monotonic() + 20
        while not unit.lease.is_over:
            assert time.monotonic() < end
            time.sleep(0.01)
        return Outcome("stopped", "", 130)

    with open_backend("inline", 1) as backend, pytest.MonkeyPatch.context() as patch:
        patch.setattr(driver, "carry_out", submit)
        tally = drive_all(folder, some("a", "b"), backend, is_stopped=stop.is_set)
    assert (tally.code, list(tally.outcomes)) == (130, ["a"])


def test_ctrl_c_in_this_very_thread_reaches_who_waits(folder: Any) -> None:
    def submit(unit: Unit) -> Outcome:
        raise KeyboardInterrupt

    with open_backend("inline", 1) as backend, pytest.MonkeyPatch.context() as patch:
        patch.setattr(driver, "carry_out", submit)
        with pytest.raises(KeyboardInterrupt):
            drive_all(folder, some("a", "b"), backend)


def test_progress_of_workers_is_told(folder: Any, heard: Heard) -> None:
    backend = Workers({"a": [None]})
    hidden = work_folder(folder[0], "a")
    hidden.mkdir(parents=True)
    (hidden / "progress.json").write_text('{"fraction": 0.5, "message": "halfway"}')
    drive_all(
        folder, some("a"), backend, heard, is_stopped=lambda: any(event == "progress" for _, event, _ in heard)
    )  # fmt: skip
    assert ("a", "progress", {"fraction": 0.5, "message": "halfway"}) in heard


@pytest.mark.parametrize("text", ["", "{", "\x00"])
def test_progress_that_cannot_be_read_is_left_out(folder: Any, heard: Heard, text: str) -> None:
    backend = Workers({"a": [None]})
    hidden = work_folder(folder[0], "a")
    hidden.mkdir(parents=True)
    (hidden / "progress.json").write_text(text)
    drive_all(folder, some("a"), backend, heard, timeout_s=0.1)
    assert events(heard, "a") == ["started", "failed"]


def test_whatever_breaks_the_driver_workers_are_asked_to_stop(folder: Any) -> None:
    def is_stopped() -> bool:
        if backend.hanging:
            raise RuntimeError("the driver")
        return False

    backend = Workers({"a": [None]})
    with pytest.raises(RuntimeError, match="the driver"):
        drive_all(folder, some("a"), backend, is_stopped=is_stopped)
    assert folder[1].is_over


def test_a_backend_needs_a_worker() -> None:
    with pytest.raises(ParameterError, match="0 workers"), open_backend("processes", 0):
        pass

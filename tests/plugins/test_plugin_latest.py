"""Work beside the window of which only the latest wish counts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from hsi_app.jobs import Job

pytest.importorskip("qtpy", reason="the extra 'gui' is not installed")

LONG_MS = 30_000


@pytest.fixture
def latest(toolkit: Any) -> Any:
    from hsi_napari.spectrum_latest import Latest

    latest = Latest()
    yield latest
    latest.drop()
    toolkit.waitUntil(lambda: latest._worker is None, timeout=LONG_MS)


@pytest.fixture
def answers(latest: Any) -> list[Any]:
    """What came of the calls, failures as their lines."""
    answers: list[Any] = []
    latest.done.connect(answers.append)
    latest.failed.connect(answers.append)
    return answers


def test_of_many_requests_the_first_and_the_newest_are_answered(latest: Any, answers: list[Any], toolkit: Any) -> None:
    go_on = threading.Event()
    begun: list[int] = []

    def call(number: int) -> Callable[[Job], int]:
        def answer(job: Job) -> int:
            begun.append(number)
            go_on.wait(20)
            return number

        return answer

    for number in range(10):
        latest.ask(call(number))
    assert latest.is_busy
    go_on.set()
    toolkit.waitUntil(lambda: not latest.is_busy, timeout=LONG_MS)
    assert begun == answers == [0, 9]


def test_dropped_requests_are_never_answered_and_later_ones_are(latest: Any, answers: list[Any], toolkit: Any) -> None:
    go_on = threading.Event()
    latest.ask(lambda job: go_on.wait(20) and "old")
    latest.drop()
    assert not latest.is_busy
    latest.ask(lambda job: "new")
    assert latest.is_busy
    go_on.set()
    toolkit.waitUntil(lambda: answers != [], timeout=LONG_MS)
    assert answers == ["new"]
    assert not latest.is_busy


def test_a_dropped_request_stops_at_its_next_step_and_tells_nothing(
    latest: Any, answers: list[Any], toolkit: Any
) -> None:
    begun = threading.Event()

    def call(job: Job) -> None:
        begun.set()
        while True:
            job.step(0.5, "on and on")

    latest.ask(call)
    assert begun.wait(20)
    latest.drop()
    toolkit.waitUntil(lambda: latest._worker is None, timeout=LONG_MS)
    assert answers == []


def test_a_failed_request_is_one_line_and_does_not_stop_the_next(latest: Any, answers: list[Any], toolkit: Any) -> None:
    def broken(job: Job) -> None:
        raise OSError("disk is gone\nlong story")

    latest.ask(broken)
    latest.ask(lambda job: 2)
    toolkit.waitUntil(lambda: len(answers) == 2, timeout=LONG_MS)
    assert answers == ["unexpected OSError: disk is gone", 2]

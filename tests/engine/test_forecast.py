"""What a run will take: memory from the plan, time from a small piece and from earlier runs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hsi_app import forecast as module
from hsi_app.bands import BandAxis
from hsi_app.cube import Cube
from hsi_app.errors import Cancelled, CubeError, PlanError
from hsi_app.forecast import Forecast, Pace, duration, forecast, needs, run_kind, seconds_per_sample
from hsi_app.jobs import Job
from hsi_app.recipe import Recipe, Step

GIB = 2**30
DENOISE = Recipe((Step("lowrank", "denoise"),))


class Unread:
    """Values that must not be read."""

    def __init__(self, shape: tuple[int, int, int], dtype: Any = np.int16) -> None:
        self.shape, self.dtype, self.ndim = shape, np.dtype(dtype), 3

    def __getitem__(self, key: Any) -> Any:
        raise AssertionError("a forecast reads nothing of the cube")


def unread(count: int, height: int, width: int, /, **facts: Any) -> Cube:
    return Cube(Unread((count, height, width)), **facts)  # type: ignore[arg-type]


# ---- memory --------------------------------------------------------------------------------------------------------


def test_the_result_is_as_many_float32_samples_as_its_grid_has() -> None:
    cube = unread(50, 100, 80)
    assert needs(cube, DENOISE, 4 * GIB, GIB).bytes_out == 4 * 50 * 100 * 80
    finer = Recipe((Step("lowrank", "sr"),), scale=3)
    assert needs(cube, finer, 4 * GIB, GIB).bytes_out == 9 * 4 * 50 * 100 * 80


def test_a_scene_that_does_not_fit_is_worked_on_in_tiles_that_do() -> None:
    large = needs(unread(200, 4000, 4000), DENOISE, 3 * GIB, GIB)
    assert large.tiles > 1
    assert large.peak_bytes < 2 * GIB
    assert needs(unread(20, 100, 100), DENOISE, 3 * GIB, GIB).tiles == 1


def test_what_a_method_needs_more_of_needs_more() -> None:
    cube = unread(60, 200, 200)
    heavier = Recipe((Step("lowrank", "denoise"), Step("lowrank", "sr")), scale=2)
    assert needs(cube, heavier, 8 * GIB, GIB).peak_bytes > needs(cube, DENOISE, 8 * GIB, GIB).peak_bytes


def test_bands_passed_through_need_no_work() -> None:
    bad = np.arange(60) >= 20
    some = unread(60, 200, 200, bands=BandAxis(60, bad=bad))
    every = Recipe(DENOISE.steps, bad_bands="restore")
    assert needs(some, DENOISE, 8 * GIB, GIB).peak_bytes < needs(some, every, 8 * GIB, GIB).peak_bytes / 2


def test_what_cannot_be_done_is_said_so() -> None:
    with pytest.raises(PlanError):
        needs(unread(200, 4000, 4000), DENOISE, GIB, GIB)


def test_the_batch_counts_the_program_and_no_more_than_its_memory() -> None:
    from hsi_app.batch.planning import needed
    from hsi_app.batch.work import PROGRAM_BYTES

    cube = unread(60, 300, 300)
    tiles, peak, bytes_out = needed(cube, DENOISE, 4 * GIB)
    found = needs(cube, DENOISE, 4 * GIB, PROGRAM_BYTES)
    assert (tiles, bytes_out) == (found.tiles, found.bytes_out)
    assert peak == min(found.peak_bytes + PROGRAM_BYTES, 4 * GIB)


# ---- time of a small piece -----------------------------------------------------------------------------------------


def test_the_middle_is_restored_twice_and_the_second_time_counts(
    make_cube: Callable[..., Cube], monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces: list[tuple[int, ...]] = []
    clock = iter((0.0, 3.0, 10.0, 10.5))

    def restored(piece: Cube, recipe: Recipe, **given: Any) -> None:
        pieces.append(piece.shape)

    monkeypatch.setattr(module, "run_recipe", restored)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    rate = seconds_per_sample(make_cube(6, 100, 40), DENOISE, Job())
    assert pieces == [(6, 64, 40)] * 2
    assert rate == pytest.approx(0.5 / (6 * 64 * 40))


def test_a_piece_that_takes_too_long_says_nothing(
    make_cube: Callable[..., Cube], monkeypatch: pytest.MonkeyPatch
) -> None:
    def endless(*given: Any, job: Job, **more: Any) -> None:
        while True:
            job.step(0.1)

    monkeypatch.setattr(module, "run_recipe", endless)
    job = Job()
    assert seconds_per_sample(make_cube(6, 40, 40), DENOISE, job, patience_s=0.05) is None
    assert not job.is_cancelled


def test_a_piece_that_fails_says_nothing(make_cube: Callable[..., Cube], monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*given: Any, **more: Any) -> None:
        raise CubeError("no sample is valid.")

    monkeypatch.setattr(module, "run_recipe", fails)
    assert seconds_per_sample(make_cube(6, 40, 40), DENOISE, Job()) is None


def test_a_person_may_cancel_the_piece(make_cube: Callable[..., Cube], monkeypatch: pytest.MonkeyPatch) -> None:
    begun = threading.Event()

    def endless(*given: Any, job: Job, **more: Any) -> None:
        while True:
            begun.set()
            job.step(0.1)

    monkeypatch.setattr(module, "run_recipe", endless)
    job = Job(on_progress=lambda progress: None)
    threading.Thread(target=lambda: (begun.wait(), job.cancel())).start()
    with pytest.raises(Cancelled):
        seconds_per_sample(make_cube(6, 40, 40), DENOISE, job)


def test_a_real_piece_tells_a_time(make_cube: Callable[..., Cube]) -> None:
    rate = seconds_per_sample(make_cube(8, 40, 40, sigma=0.02), DENOISE, Job())
    assert rate is not None
    assert 0 < rate * 8 * 40 * 40 < 20


# ---- time of earlier runs ------------------------------------------------------------------------------------------


def test_nobody_knows_the_time_of_a_run_that_was_never_seen() -> None:
    assert Pace().seconds("denoise", 1000) is None


def test_one_run_tells_by_its_rate() -> None:
    pace = Pace()
    pace.note("denoise", 1000, 2.0)
    assert pace.seconds("denoise", 5000) == pytest.approx(10.0)
    assert pace.seconds("another", 5000) is None


def test_two_sizes_tell_what_is_taken_before_the_first_sample() -> None:
    pace = Pace()
    pace.note("denoise", 1000, 3.0)  # 2 s, and 1 s for 1000
    pace.note("denoise", 4000, 6.0)
    assert pace.seconds("denoise", 10_000) == pytest.approx(12.0)


def test_of_two_runs_of_one_size_the_later_counts() -> None:
    pace = Pace()
    pace.note("denoise", 1000, 9.0)  # what is loaded the first time
    pace.note("denoise", 1000, 1.0)
    assert pace.seconds("denoise", 2000) == pytest.approx(2.0)


def test_a_line_that_falls_gives_way_to_the_rate_of_the_largest_run() -> None:
    pace = Pace()
    pace.note("denoise", 1000, 5.0)
    pace.note("denoise", 4000, 2.0)
    assert pace.seconds("denoise", 8000) == pytest.approx(4.0)


def test_runs_are_of_one_kind_when_what_was_left_out_is_the_default() -> None:
    plain = run_kind(DENOISE)
    assert run_kind(Recipe((Step("lowrank", "denoise", {"strength": 1.0}),))) == plain
    assert run_kind(Recipe((Step("lowrank", "denoise"),), seed=7)) == plain
    assert run_kind(Recipe((Step("lowrank", "denoise", {"strength": 2.0}),))) != plain
    assert run_kind(Recipe((Step("lowrank", "destripe"),))) != plain
    assert run_kind(DENOISE, "cuda") != plain


# ---- in words ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "says"),
    [(0, "0 s"), (0.2, "1 s"), (40, "40 s"), (99, "99 s"), (600, "10 min"), (12_240, "3.4 h")],
)
def test_seconds_are_said_as_people_do(seconds: float, says: str) -> None:
    assert duration(seconds) == says


def test_a_forecast_says_what_it_knows() -> None:
    assert str(Forecast(40.0, int(1.2 * GIB))) == "about 40 s · 1.2 GiB more"
    assert str(Forecast(None, GIB)) == "1.0 GiB more"
    assert str(Forecast()) == ""


def test_a_forecast_counts_the_result_and_tells_why_it_cannot_be_done() -> None:
    cube = unread(60, 200, 200)
    found = forecast(cube, DENOISE, seconds=3.0)
    assert found.peak_bytes == pytest.approx(needs(cube, DENOISE).peak_bytes + 4 * 60 * 200 * 200)
    refused = forecast(cube, DENOISE, memory=2**20)
    assert refused.peak_bytes is None
    assert "memory" in refused.problem

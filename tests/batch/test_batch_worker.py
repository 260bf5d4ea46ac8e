"""What a worker leaves of one scene: the whole result and its record, or nothing."""

from __future__ import annotations

import errno
import json
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_batches import MEMORY, RECIPE, contents, scene

from hsi_app.batch import work
from hsi_app.batch.driver import opened
from hsi_app.batch.lease import Lease, Shard, ask_to_stop
from hsi_app.batch.unit import Unit, thumbnail_file
from hsi_app.batch.work import carry_out, sizes
from hsi_app.cube import Cube
from hsi_app.errors import OutputError, PlanError
from hsi_app.io import create_cube, open_cube
from hsi_app.jobs import Job
from hsi_app.recipe import run_recipe
from hsi_app.tiling import Window


@pytest.fixture
def lease(tmp_path: Path) -> Iterator[Lease]:
    with opened(tmp_path / "out", Shard()) as (lease, _journal):
        yield lease


@pytest.fixture
def unit(tmp_path: Path, lease: Lease) -> Unit:
    source = scene(tmp_path / "in" / "a.hdr")
    return Unit(str(tmp_path / "out"), "a.hdr", str(source), None, RECIPE.to_toml(), lease, memory=MEMORY)


def out(unit: Unit) -> dict[str, bytes]:
    return contents(Path(unit.folder))


def test_a_result_is_what_the_recipe_gives(unit: Unit, tmp_path: Path) -> None:
    outcome = carry_out(unit)
    assert (outcome.state, outcome.reason) == ("done", "")
    assert sorted(out(unit)) == ["a.bsq", "a.hdr", "a.hdr.json"]
    alone = run_recipe(open_cube(unit.source), RECIPE, device="cpu")
    np.testing.assert_array_equal(open_cube(tmp_path / "out" / "a.hdr").read(), alone.cube.read())
    assert outcome.facts["outputs"] == sizes(tmp_path / "out", "a.hdr")
    assert thumbnail_file(tmp_path / "out", "a.hdr").read_bytes().startswith(b"\x89PNG")
    assert not unit.hidden.exists()


@pytest.mark.parametrize("name", ["x/y/a.tif", "a.zarr", "a.npy", "a.h5"])
def test_every_format_that_can_be_written(unit: Unit, name: str) -> None:
    one = replace(unit, out=name)
    assert carry_out(one).state == "done"
    first = out(unit)
    assert open_cube(Path(unit.folder) / name).shape == (20, 16, 16)
    # Again over what lies there: a folder is replaced as a whole.
    assert carry_out(one).state == "done"
    assert sorted(out(unit)) == sorted(first)
    assert not unit.hidden.exists()


def test_the_record_tells_where_the_result_came_from(unit: Unit) -> None:
    outcome = carry_out(unit)
    record = json.loads(out(unit)["a.hdr.json"])
    assert record["source"] == unit.source
    assert record["key"] == outcome.facts["key"]
    assert record["properties"]["processing:expression"]["expression"] == RECIPE.to_toml()
    assert record["properties"]["processing:lineage"] == "denoise with lowrank"
    assert record["finite_share"] == 1.0
    assert [step["method"] for step in record["steps"]] == ["lowrank"]


def test_the_same_work_gives_the_same_bytes(unit: Unit) -> None:
    carry_out(unit)
    first = out(unit)
    time.sleep(1.1)  # a time in a file would show
    carry_out(replace(unit, threads=2, timeout_s=500.0))
    assert out(unit) == first


def test_a_known_key_that_still_holds_does_nothing(unit: Unit) -> None:
    key = carry_out(unit).facts["key"]
    stamps = [path.stat().st_mtime_ns for path in sorted(Path(unit.folder).glob("a.*"))]
    outcome = carry_out(replace(unit, known_key=key))
    assert (outcome.state, outcome.facts["key"]) == ("same", key)
    assert [path.stat().st_mtime_ns for path in sorted(Path(unit.folder).glob("a.*"))] == stamps
    assert not unit.hidden.exists()
    assert carry_out(replace(unit, known_key="other")).state == "done"


def test_a_mask_is_used_and_part_of_the_key(unit: Unit, tmp_path: Path) -> None:
    mask = np.ones((16, 16))
    mask[3:6, 3:6] = 0
    np.save(tmp_path / "m.npy", mask)
    without = carry_out(unit)
    plain = open_cube(tmp_path / "out" / "a.hdr").read()
    outcome = carry_out(replace(unit, mask=str(tmp_path / "m.npy"), known_key=without.facts["key"]))
    assert outcome.state == "done"
    assert outcome.facts["key"] != without.facts["key"]
    masked = open_cube(tmp_path / "out" / "a.hdr").read()
    assert not np.array_equal(plain[:, 3:6, 3:6], masked[:, 3:6, 3:6], equal_nan=True)
    assert json.loads(out(unit)["a.hdr.json"])["mask"] == str(tmp_path / "m.npy")


def test_a_mask_of_another_size_is_a_reason(unit: Unit, tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", np.ones((4, 4)))
    outcome = carry_out(replace(unit, mask=str(tmp_path / "m.npy")))
    assert (outcome.state, outcome.again) == ("failed", False)
    assert "4" in outcome.reason
    assert out(unit) == {}


def spoil(monkeypatch: pytest.MonkeyPatch, share: float) -> None:
    """Results that lack a share of their samples."""
    import hsi_app.recipe

    original = hsi_app.recipe.run_recipe

    def run(*args: Any, **more: Any) -> Any:
        result = original(*args, **more)
        values = result.cube.read().copy()
        values[:, : round(share * values.shape[1])] = np.nan
        return replace(result, cube=replace(result.cube, values=values))

    monkeypatch.setattr(hsi_app.recipe, "run_recipe", run)


def test_a_result_that_lost_samples_is_not_published(unit: Unit, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil(monkeypatch, 0.25)
    outcome = carry_out(unit)
    assert (outcome.state, outcome.again) == ("failed", False)
    assert outcome.reason == "25% of the result are no numbers, 0% of the input."
    assert out(unit) == {}


def test_samples_that_the_input_lacked_may_be_missing(unit: Unit, tmp_path: Path) -> None:
    values = open_cube(unit.source).read().copy()
    values[:, 5] = np.nan
    (tmp_path / "in" / "a.bsq").write_bytes(values.astype("<f4").tobytes())
    outcome = carry_out(unit)
    assert (outcome.state, outcome.reason) == ("done", "")


def test_a_cube_of_nothing_is_a_reason(unit: Unit, tmp_path: Path) -> None:
    (tmp_path / "in" / "a.bsq").write_bytes(np.full(20 * 256, np.nan, "<f4").tobytes())
    outcome = carry_out(unit)
    assert (outcome.state, outcome.again, outcome.code) == ("failed", False, 1)
    assert outcome.reason
    assert out(unit) == {}


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A recipe that comes to no end, but looks at its job."""

    def run(*args: Any, job: Job, **more: Any) -> None:
        while True:
            job.step(0.1, "still at it")
            time.sleep(0.01)

    monkeypatch.setattr("hsi_app.recipe.run_recipe", run)


@pytest.mark.usefixtures("endless")
def test_too_long_a_scene_ends_with_a_clear_reason(unit: Unit) -> None:
    outcome = carry_out(replace(unit, timeout_s=0.5))
    assert (outcome.state, outcome.code, outcome.again) == ("failed", 1, False)
    assert outcome.reason == "it took longer than 0.5 s (--timeout); give it more time, or a faster method."
    assert out(unit) == {}


@pytest.mark.usefixtures("endless")
def test_a_worker_stops_when_asked_to(unit: Unit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "SAY_S", 0.05)
    threading.Timer(0.4, lambda: ask_to_stop(unit.lease)).start()
    outcome = carry_out(unit)
    assert (outcome.state, outcome.code) == ("stopped", 130)
    assert out(unit) == {}
    # What it told on its way is for the driver.
    assert json.loads((unit.hidden / "progress.json").read_text())["message"] == "still at it"


def test_nothing_is_published_for_a_driver_that_has_gone(unit: Unit, monkeypatch: pytest.MonkeyPatch) -> None:
    checked = work._checked

    def check(*args: Any) -> float:
        ask_to_stop(unit.lease)
        return checked(*args)

    monkeypatch.setattr(work, "_checked", check)
    assert carry_out(unit).state == "stopped"
    assert out(unit) == {}


def test_what_a_killed_worker_had_staged_is_removed(unit: Unit) -> None:
    for name in ("out/a.bsq", "out/.a.hdr.x.partial/a.hdr", "replaced/a.zarr/x", "state-other/t", "progress.json.part"):
        path = unit.hidden / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
    assert carry_out(unit).state == "done"
    assert not unit.hidden.exists()


def test_too_long_a_name_is_a_reason(unit: Unit) -> None:
    outcome = carry_out(replace(unit, out=f"{'n' * 300}.hdr"))
    assert outcome.state == "failed"
    assert "too long" in outcome.reason
    assert out(unit) == {}


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), ("failed", 1, True, True)),
        (OSError(errno.EDQUOT, "Quota exceeded"), ("failed", 1, True, True)),
        (OSError(errno.EIO, "I/O error"), ("failed", 1, True, False)),
        (PlanError("'a' needs 9 TiB; free some, or write to another disk."), ("failed", 5, False, True)),
        (PlanError("one tile needs 9 TiB."), ("failed", 5, False, False)),
        (MemoryError(), ("failed", 5, True, False)),
        (ZeroDivisionError("by zero\nin two lines"), ("failed", 1, True, False)),
        (OutputError("not there"), ("failed", 1, False, False)),
    ],
    ids=repr,
)
def test_whatever_goes_wrong_is_an_outcome(
    unit: Unit, monkeypatch: pytest.MonkeyPatch, error: Exception, expected: tuple[Any, ...]
) -> None:
    def run(*args: Any, **more: Any) -> None:
        raise error

    monkeypatch.setattr("hsi_app.recipe.run_recipe", run)
    outcome = carry_out(unit)
    assert (outcome.state, outcome.code, outcome.again, outcome.is_full) == expected
    assert outcome.reason
    assert "\n" not in outcome.reason


def test_a_full_disk_at_the_last_step_leaves_no_header(unit: Unit, monkeypatch: pytest.MonkeyPatch) -> None:
    replaced = os.replace

    def refuse(source: Any, target: Any) -> None:
        if str(target) == f"{unit.folder}/a.hdr":
            raise OSError(errno.ENOSPC, "No space left on device")
        replaced(source, target)

    monkeypatch.setattr(os, "replace", refuse)
    outcome = carry_out(unit)
    assert (outcome.state, outcome.is_full) == ("failed", True)
    assert "a.hdr" not in out(unit)


def test_a_store_that_cannot_be_replaced_stays(unit: Unit, monkeypatch: pytest.MonkeyPatch) -> None:
    one = replace(unit, out="a.zarr")
    assert carry_out(one).state == "done"
    before = out(unit)
    replaced = os.replace

    def refuse(source: Any, target: Any) -> None:
        if str(target) == f"{unit.folder}/a.zarr":
            raise OSError(errno.EIO, "I/O error")
        replaced(source, target)

    monkeypatch.setattr(os, "replace", refuse)
    assert carry_out(one).reason.endswith("cannot be put in place: I/O error.")
    assert out(unit) == before


def test_a_folder_of_the_results_name_is_left_alone(unit: Unit) -> None:
    mine = Path(unit.folder) / "a.hdr" / "mine.txt"
    mine.parent.mkdir()
    mine.write_text("mine")
    outcome = carry_out(unit)
    assert outcome.state == "failed"
    assert "it is a folder" in outcome.reason
    assert mine.read_text() == "mine"


def test_a_link_made_meanwhile_leads_nowhere(unit: Unit, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out" / "sub").symlink_to(tmp_path / "elsewhere")
    outcome = carry_out(replace(unit, out="sub/a.hdr"))
    assert outcome.state == "failed"
    assert "is a link that leads out" in outcome.reason
    assert list((tmp_path / "elsewhere").iterdir()) == []


def write_windows(path: Path, cube: Cube, windows: list[tuple[int, int, int, int]]) -> None:
    values = np.asarray(cube.read())
    with create_cube(path, cube, dtype=np.float32) as writer:
        for window in windows:
            where = Window(*window)
            writer.write(where, values[:, where.slices[0], where.slices[1]])


def test_every_row_is_written_just_once(tmp_path: Path) -> None:
    cube = open_cube(scene(tmp_path / "a.hdr"))
    for windows, words in (
        ([(0, 0, 16, 16), (4, 0, 3, 16)], r"3 rows of '.*b.hdr' were written twice \(first: 4\)"),
        ([(0, 0, 7, 16), (8, 0, 8, 16)], r"1 rows of '.*b.hdr' were left unwritten \(first: 7\)"),
        ([(0, 0, 16, 8), (0, 8, 15, 8)], r"1 rows of '.*b.hdr' were left unwritten \(first: 15\)"),
    ):
        with pytest.raises(OutputError, match=words):
            write_windows(tmp_path / "b.hdr", cube, windows)
        assert not (tmp_path / "b.hdr").exists()
        assert not list(tmp_path.glob(".b*"))

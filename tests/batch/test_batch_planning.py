"""What a batch means to do, from headers and what earlier batches left, and that it reads nothing needlessly."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_batches import RECIPE, asked, contents, done, ends, left_overs, scene, scenes, states

from hsi_app.batch import planning
from hsi_app.batch.items import HIDDEN
from hsi_app.batch.planning import Planned
from hsi_app.batch.run import Batch, prepare_batch
from hsi_app.batch.unit import work_folder
from hsi_app.cube import Cube
from hsi_app.recipe import Recipe, Step


def plan(batch: Batch) -> list[Planned]:
    return prepare_batch(batch, estimate=False)[0]


@pytest.fixture
def batch(tmp_path: Path) -> Batch:
    """Two scenes, done once."""
    batch = asked(tmp_path / "out", scenes(tmp_path / "in", 2, bands=8, size=8))
    assert set(states(plan(batch)).values()) == {"to do"}
    assert done(batch).count("done") == 2
    return batch


def test_the_first_plan_knows_shapes_and_sizes(tmp_path: Path) -> None:
    (one,) = plan(asked(tmp_path / "out", scene(tmp_path / "a.hdr")))
    assert (one.state, one.shape, one.tiles, one.bytes_out) == ("to do", (20, 16, 16), 1, 4 * 20 * 256)
    assert not (tmp_path / "out").exists()


def test_a_second_batch_reads_no_sample(batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(self: Cube, *_: object) -> np.ndarray:
        raise AssertionError("samples were read")

    monkeypatch.setattr(Cube, "read", read)
    monkeypatch.setattr(Cube, "block", read)
    assert states(plan(batch)) == {"s00.hdr": "done", "s01.hdr": "done"}
    tally = done(batch)
    assert [(one.state, one.facts) for one in tally.outcomes.values()] == [("same", {})] * 2


def test_a_touched_file_is_looked_at_and_found_the_same(batch: Batch, tmp_path: Path) -> None:
    before = contents(batch.folder)
    os.utime(tmp_path / "in" / "s00.bsq")
    assert states(plan(batch)) == {"s00.hdr": "check", "s01.hdr": "done"}
    assert ends(done(batch)) == ["same", "same"]
    assert contents(batch.folder) == before
    assert left_overs(batch.folder) == []
    assert set(states(plan(batch)).values()) == {"done"}


def test_a_changed_file_is_done_again(batch: Batch, tmp_path: Path) -> None:
    before = contents(batch.folder)
    scene(tmp_path / "in" / "s00.hdr", 77, bands=8, size=8)
    assert states(plan(batch)) == {"s00.hdr": "check", "s01.hdr": "done"}
    assert ends(done(batch)) == ["done", "same"]
    assert contents(batch.folder)["s00.bsq"] != before["s00.bsq"]
    assert contents(batch.folder)["s01.bsq"] == before["s01.bsq"]


@pytest.mark.parametrize(
    "other",
    [Recipe((Step("lowrank", None, {"rank": 2}),)), replace(RECIPE, seed=1), replace(RECIPE, tile=8)],
    ids=["option", "seed", "tile"],
)
def test_a_changed_recipe_is_done_again(batch: Batch, other: Recipe) -> None:
    changed = replace(batch, steps=other)
    assert set(states(plan(changed)).values()) == {"check"}
    assert done(changed).count("done") == 2
    assert set(states(plan(changed)).values()) == {"done"}
    # And back again, though an earlier line of the journal told of it.
    assert set(states(plan(batch)).values()) == {"check"}
    assert done(batch).count("done") == 2


def test_a_changed_option_of_one_scene_is_done_again(tmp_path: Path) -> None:
    scenes(tmp_path, 2, bands=8, size=8)
    table = tmp_path / "night.csv"
    table.write_text("file,rank\ns00.hdr,2\ns01.hdr,2\n")
    batch = asked(tmp_path / "out", table)
    assert done(batch).count("done") == 2
    table.write_text("file,rank\ns00.hdr,2\ns01.hdr,3\n")
    assert states(plan(batch)) == {"s00.hdr": "done", "s01.hdr": "check"}
    assert ends(done(batch)) == ["same", "done"]


def test_changed_weights_are_done_again(batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hsi_app.batch.keys.weights_of", lambda recipe: {"net": "0" * 64})
    assert set(states(plan(batch)).values()) == {"check"}
    assert done(batch).count("done") == 2
    assert set(states(plan(batch)).values()) == {"done"}


def test_a_changed_version_is_done_again(batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hsi_app.batch.keys.versions", lambda: {"torch": "99"})
    assert set(states(plan(batch)).values()) == {"check"}


def test_a_changed_mask_is_done_again(tmp_path: Path) -> None:
    scene(tmp_path / "a.hdr", bands=8, size=8)
    mask = np.ones((8, 8))
    np.save(tmp_path / "m.npy", mask)
    (tmp_path / "night.csv").write_text("file,mask\na.hdr,m.npy\n")
    batch = asked(tmp_path / "out", tmp_path / "night.csv")
    assert done(batch).count("done") == 1
    assert states(plan(batch)) == {"a.hdr": "done"}
    mask[2] = 0
    np.save(tmp_path / "m.npy", mask)
    assert states(plan(batch)) == {"a.hdr": "check"}
    assert done(batch).count("done") == 1


@pytest.mark.parametrize("name", ["s00.bsq", "s00.hdr", "s00.hdr.json"])
@pytest.mark.parametrize("way", ["missing", "resized"])
def test_a_missing_or_resized_result_is_done_again(batch: Batch, name: str, way: str) -> None:
    before = contents(batch.folder)
    if way == "missing":
        (batch.folder / name).unlink()
    else:
        with open(batch.folder / name, "ab") as file:
            file.write(b" ")
    assert states(plan(batch)) == {"s00.hdr": "to do", "s01.hdr": "done"}
    assert ends(done(batch)) == ["done", "same"]
    assert contents(batch.folder) == before


@pytest.mark.parametrize("name", ["s00.hdr", "s00.bsq", "s00.hdr.json"])
def test_what_no_batch_made_is_replaced_by_redo_alone(tmp_path: Path, name: str) -> None:
    batch = asked(tmp_path / "out", scenes(tmp_path / "in", 1, bands=8, size=8))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text("mine")
    # However often it is asked: that it was refused before makes it no work of ours.
    for _ in range(3):
        (outcome,) = done(batch).outcomes.values()
        assert (outcome.state, outcome.code) == ("failed", 1)
        assert "no batch made it; move it, or give --existing redo" in outcome.reason
        assert contents(tmp_path / "out") == {name: b"mine"}
    assert done(replace(batch, existing="redo")).count("done") == 1
    assert contents(tmp_path / "out")[name] != b"mine"
    assert done(batch).count("same") == 1


def test_a_file_put_where_a_scene_failed_is_not_replaced(tmp_path: Path) -> None:
    batch = asked(tmp_path / "out", scene(tmp_path / "a.hdr", bands=8, size=8))
    data = (tmp_path / "a.bsq").read_bytes()
    (tmp_path / "a.bsq").write_bytes(np.full(8 * 64, np.nan, np.float32).tobytes())
    assert done(batch).count("failed") == 1
    (tmp_path / "out" / "a.hdr").write_text("mine")
    (tmp_path / "a.bsq").write_bytes(data)
    assert "no batch made it" in next(iter(done(batch).outcomes.values())).reason
    assert (tmp_path / "out" / "a.hdr").read_text() == "mine"


def test_a_result_of_ours_is_replaced_after_a_failure_in_between(batch: Batch, tmp_path: Path) -> None:
    before = contents(batch.folder)
    good = (tmp_path / "in" / "s00.bsq").read_bytes()
    (tmp_path / "in" / "s00.bsq").write_bytes(np.full(8 * 64, np.nan, np.float32).tobytes())
    assert done(batch).count("failed") == 1
    assert contents(batch.folder) == before
    (tmp_path / "in" / "s00.bsq").write_bytes(good)
    assert ends(done(batch)) == ["done", "same"]
    assert contents(batch.folder) == before


def test_a_link_at_the_target_is_not_followed(tmp_path: Path) -> None:
    batch = asked(tmp_path / "out", scene(tmp_path / "a.hdr", bands=8, size=8), existing="redo")
    (tmp_path / "out").mkdir()
    (tmp_path / "elsewhere").write_text("mine")
    (tmp_path / "out" / "a.bsq").symlink_to(tmp_path / "elsewhere")
    assert done(batch).count("done") == 1
    assert (tmp_path / "elsewhere").read_text() == "mine"
    assert not (tmp_path / "out" / "a.bsq").is_symlink()


def test_existing_fail_counts_results_as_failures_and_forgets_nothing(batch: Batch) -> None:
    before = contents(batch.folder)
    strict = replace(batch, existing="fail")
    assert [(one.state, one.code) for one in done(strict).outcomes.values()] == [("failed", 1)] * 2
    assert contents(batch.folder) == before
    assert set(states(plan(batch)).values()) == {"done"}


def test_redo_does_all_again_to_the_same_bytes(batch: Batch) -> None:
    before = contents(batch.folder)
    again = replace(batch, existing="redo")
    assert set(states(plan(again)).values()) == {"to do"}
    assert done(again).count("done") == 2
    assert contents(batch.folder) == before


@pytest.mark.parametrize("existing", ["skip", "redo"])
def test_an_input_is_never_replaced(tmp_path: Path, existing: Any) -> None:
    scenes(tmp_path / "in", 1, bands=8, size=8)
    before = contents(tmp_path / "in")
    tally = done(asked(tmp_path / "in", tmp_path / "in", existing=existing))
    assert tally.count("failed") == 1
    assert contents(tmp_path / "in") == before


def test_scenes_that_cannot_be_opened_are_failed_with_their_reason(tmp_path: Path) -> None:
    good = scene(tmp_path / "in" / "good.hdr")
    (tmp_path / "in" / "empty.hdr").write_text("")
    shutil.copy(good, tmp_path / "in" / "alone.hdr")
    np.save(tmp_path / "in" / "flat.npy", np.zeros(5))
    found = {one.item.out: one for one in plan(asked(tmp_path / "out", tmp_path / "in"))}
    assert states(list(found.values())) == {
        "alone.hdr": "failed", "empty.hdr": "failed", "flat.npy": "failed", "good.hdr": "to do",
    }  # fmt: skip
    for one in found.values():
        assert "\n" not in one.reason
        assert bool(one.reason) == bool(one.code) == (one.state == "failed")


def test_a_missing_mask_is_named(tmp_path: Path) -> None:
    scene(tmp_path / "a.hdr")
    (tmp_path / "night.csv").write_text("file,mask\na.hdr,absent.npy\n")
    (one,) = plan(asked(tmp_path / "out", tmp_path / "night.csv"))
    assert one.state == "failed"
    assert "absent.npy' cannot be read: No such file" in one.reason


def test_a_scene_that_fits_no_memory_is_failed_by_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "PROGRAM_BYTES", 3 * 2**30 - 2**16)
    (one,) = plan(asked(tmp_path / "out", scene(tmp_path / "a.hdr", size=64)))
    assert (one.state, one.code) == ("failed", 5)


def test_what_is_planned_is_what_is_done(tmp_path: Path) -> None:
    batch = asked(tmp_path / "out", scene(tmp_path / "a.hdr", bands=8, size=32), steps=replace(RECIPE, tile=16))
    (one,) = plan(batch)
    assert ends(done(batch)) == ["done"]
    (step,) = json.loads((tmp_path / "out" / "a.hdr.json").read_text())["steps"]
    assert one.tiles == step["tiles"] > 1


def test_left_overs_of_what_is_done_are_removed(batch: Batch) -> None:
    left = work_folder(batch.folder, "s00.hdr") / "out"
    left.mkdir(parents=True)
    (left / "s00.bsq").write_bytes(b"half")
    assert done(batch).count("same") == 2
    assert left_overs(batch.folder) == []


def test_a_shard_plans_every_nth(tmp_path: Path) -> None:
    batch = asked(tmp_path / "out", scenes(tmp_path / "in", 5, bands=4, size=4))
    found = [list(states(plan(replace(batch, shard=(number, 3))))) for number in (1, 2, 3)]
    assert found == [["s00.hdr", "s03.hdr"], ["s01.hdr", "s04.hdr"], ["s02.hdr"]]


def test_an_estimate_of_earlier_scenes_reads_nothing(batch: Batch, tmp_path: Path) -> None:
    scene(tmp_path / "in" / "s02.hdr", bands=8, size=8)
    planned, estimate = prepare_batch(batch, estimate=True)
    assert estimate.basis == "earlier scenes of this batch"
    assert estimate.rate is not None
    assert estimate.seconds == pytest.approx(estimate.rate * 8 * 64, abs=0.06)
    assert [estimate.of(one) for one in planned][:2] == [0.0, 0.0]


def test_the_recipe_lies_with_the_results(batch: Batch) -> None:
    assert (batch.folder / HIDDEN / "recipe.toml").read_text() == RECIPE.to_toml()

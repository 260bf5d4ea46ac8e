"""A restoration whose tiles are shared out over processes, and finished from what they kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hsi_app.bands import BandAxis
from hsi_app.cube import Cube
from hsi_app.errors import CheckpointError
from hsi_app.jobs import Job
from hsi_app.runner import Settings, restore, restore_share

SETTINGS = Settings(task="denoise", device="cpu", tile=16)
SHARES = 3


@pytest.fixture
def cube() -> Cube:
    rng = np.random.default_rng(0)
    fields = rng.random((3, 40, 33)).cumsum(1).cumsum(2)
    values = np.tensordot(rng.random((20, 3)), fields, 1)
    values = values / values.max() + rng.normal(0, 0.02, values.shape)
    return Cube(values.astype(np.float32), BandAxis(20), name="scene")


def test_shares_and_the_rest_give_the_bytes_of_one_run(cube: Cube, tmp_path: Path) -> None:
    whole = restore(cube, "lowrank", {}, SETTINGS, out=tmp_path / "whole.hdr")
    state = tmp_path / "state"
    tiles = restore_share(cube, "lowrank", {}, SETTINGS, state, None)
    assert tiles == whole.record["tiles"] > SHARES
    for number in range(SHARES):
        assert restore_share(cube, "lowrank", {}, SETTINGS, state, (number, SHARES)) == tiles
    found = restore(cube, "lowrank", {}, SETTINGS, out=tmp_path / "shared.hdr", checkpoint=state)
    assert (tmp_path / "shared.bsq").read_bytes() == (tmp_path / "whole.bsq").read_bytes()
    assert f"went on from a checkpoint: {tiles} of {tiles} tiles were done." in found.record["notes"]
    assert not state.exists()


def test_what_a_share_left_out_is_done_at_the_end(cube: Cube, tmp_path: Path) -> None:
    whole = restore(cube, "lowrank", {}, SETTINGS)
    restore_share(cube, "lowrank", {}, SETTINGS, tmp_path / "state", None)
    restore_share(cube, "lowrank", {}, SETTINGS, tmp_path / "state", (1, SHARES))
    found = restore(cube, "lowrank", {}, SETTINGS, out=tmp_path / "shared.hdr", checkpoint=tmp_path / "state")
    np.testing.assert_array_equal(found.cube.read(), whole.cube.read())


def test_a_share_does_only_its_tiles_and_each_once(cube: Cube, tmp_path: Path) -> None:
    tiles = restore_share(cube, "lowrank", {}, SETTINGS, tmp_path / "state", None)
    restore_share(cube, "lowrank", {}, SETTINGS, tmp_path / "state", (0, 2))
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "state").glob("tile-*")}
    assert len(kept) == -(-tiles // 2)
    restore_share(cube, "lowrank", {}, SETTINGS, tmp_path / "state", (0, 2))
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "state").glob("tile-*")} == kept


def test_shares_work_side_by_side(cube: Cube, tmp_path: Path) -> None:
    restore_share(cube, "lowrank", {}, SETTINGS, tmp_path / "state", None)
    seen: list[int] = []

    def another(progress: object) -> None:
        if not seen:
            seen.append(1)
            restore_share(cube, "lowrank", {}, SETTINGS, tmp_path / "state", (1, 2))

    restore_share(cube, "lowrank", {}, SETTINGS, tmp_path / "state", (0, 2), job=Job(on_progress=another))
    assert seen


def test_a_share_of_a_run_that_nobody_prepared_is_refused(cube: Cube, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no run that could be joined"):
        restore_share(cube, "lowrank", {}, SETTINGS, tmp_path / "state", (0, 2))


def test_a_run_that_is_going_cannot_be_joined(cube: Cube, tmp_path: Path) -> None:
    refused: list[str] = []

    def join(progress: object) -> None:
        if not refused and (tmp_path / "state" / "run.json").exists():
            with pytest.raises(CheckpointError, match="in use") as caught:
                restore_share(cube, "lowrank", {}, SETTINGS, tmp_path / "state", (0, 2))
            refused.append(str(caught.value))

    job = Job(on_progress=join)
    restore(cube, "lowrank", {}, SETTINGS, out=tmp_path / "whole.hdr", checkpoint=tmp_path / "state", job=job)
    assert refused

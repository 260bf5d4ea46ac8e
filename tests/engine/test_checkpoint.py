"""A run that was broken off goes on from its checkpoint to the same bits, and from nobody else's."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from hsi_app import checkpoint as checkpoints
from hsi_app.checkpoint import Checkpoint
from hsi_app.cube import Cube
from hsi_app.errors import Cancelled, CheckpointError
from hsi_app.fingerprint import cube_digest
from hsi_app.jobs import Job, Progress
from hsi_app.methods.registry import Extent, MethodSpec
from hsi_app.params import Parameters, parameter
from hsi_app.problem import Problem, Restoration
from hsi_app.recipe import Recipe, Step, run_recipe
from hsi_app.runner import Result, Settings, restore
from hsi_app.scene import Scene
from hsi_app.states import StateError, read_state, write_state

STEPS = 6
# The whole run takes prepare's draw, then STEPS for each of 6 tiles.
TILED = Settings(device="cpu", tile=20, seed=5)
TILES = 6


class NoOptions(Parameters):
    """Nothing to choose but one number."""

    gain: float = parameter(1.0, "Factor.", ge=0)


class PowerCut(Exception):
    """Nothing foresees this."""


class Plug:
    """Counts the steps that methods take, and cuts the power at one of them."""

    def __init__(self) -> None:
        self.steps, self.cut_at = 0, -1

    def count(self) -> None:
        self.steps += 1
        if self.steps == self.cut_at:
            raise PowerCut


@pytest.fixture
def plug(monkeypatch: pytest.MonkeyPatch) -> Plug:
    """States are kept at every step while it is used."""
    monkeypatch.setattr(checkpoints, "INTERVAL_S", 0.0)
    new = Plug()
    monkeypatch.setitem(globals(), "PLUG", new)
    return new


PLUG = Plug()


def draw_level(scene: Scene, params: NoOptions, task: str, job: Job) -> dict[str, np.ndarray]:
    """Draws from the job's own generator, as a method may."""
    PLUG.count()
    job.note("the level was drawn.")
    level = torch.rand(2, 3, dtype=torch.float64, generator=job.generator()).numpy()
    return {"level": np.asfortranarray(level), "count": np.array(3), "flags": np.array([True, False])}


def wander(problem: Problem, params: NoOptions, job: Job) -> Restoration:
    """A long method: each step draws by place, and from the job's own generator too."""
    window = problem.place
    own = job.generator("cpu", window.row, window.col)
    values, first = problem.observed + float(problem.shared["level"].mean()), 0
    if (kept := job.kept()) is not None:
        values, first = kept["values"], int(kept["step"])
        own.set_state(kept["own"])
    for step in range(first, STEPS):
        PLUG.count()
        values = values + params.gain * torch.randn(values.shape, generator=own)
        values = values * torch.rand(1, generator=job.generator())
        job.step((step + 1) / STEPS, f"step {step + 1}")
        job.keep(
            lambda values=values, step=step: {
                "values": values,
                "step": torch.tensor(step + 1),
                "own": own.get_state(),
            }
        )
    job.note("wandered.")
    return Restoration(
        values,
        extras={"map": values[0], "removed": values * 0.5},
        trace={"row": window.row, "mean": float(values.mean())},
    )


WANDER = MethodSpec(
    id="wander", title="Test", summary="Test.", tasks=("denoise",), parameters=NoOptions,
    run=f"{__name__}:wander", prepare=f"{__name__}:draw_level", extent=Extent("tile", margin_px=2, overlap_px=4),
    is_stochastic=True,
)  # fmt: skip


@pytest.fixture
def cube(make_cube: Callable[..., Cube]) -> Cube:
    """Noise, and a bad band."""
    made = make_cube(5, 34, 50, sigma=0.05)
    return Cube(made.values, made.axis.marked([2]), georef=made.georef)


def run(cube: Cube, folder: Path | None, settings: Settings = TILED, **more: object) -> Result:
    return restore(cube, WANDER, settings=settings, checkpoint=folder, **more)  # type: ignore[arg-type]


def same(first: Result, second: Result) -> bool:
    """Equal in every bit that a user could see."""
    return (
        np.array_equal(first.cube.read(), second.cube.read())
        and first.extras.keys() == second.extras.keys()
        and all(first.extras[name].tobytes() == second.extras[name].tobytes() for name in first.extras)
        and first.record["trace"] == second.record["trace"]
        and first.record["shared"] == second.record["shared"]
    )


def broken_off(cube: Cube, folder: Path, plug: Plug, at: int, **more: object) -> None:
    plug.steps, plug.cut_at = 0, at
    with pytest.raises(PowerCut):
        run(cube, folder, **more)  # type: ignore[arg-type]
    plug.steps, plug.cut_at = 0, -1


# Going on


@pytest.mark.parametrize("at", [1, 2, 4, 7, 8, 20, 31, 37])
def test_a_run_that_was_broken_off_goes_on_to_the_same_bits(cube: Cube, tmp_path: Path, plug: Plug, at: int) -> None:
    whole = run(cube, None)
    assert whole.record["tiles"] == TILES
    assert plug.steps == 1 + TILES * STEPS
    broken_off(cube, tmp_path / "state", plug, at)
    assert same(run(cube, tmp_path / "state"), whole)
    # Nothing but the step that was cut is done again.
    assert plug.steps == 1 + TILES * STEPS - (at - 1)
    assert list(tmp_path.iterdir()) == []


def test_a_run_may_be_broken_off_again_and_again(cube: Cube, tmp_path: Path, plug: Plug) -> None:
    whole = run(cube, None)
    for at in (9, 9, 9):
        broken_off(cube, tmp_path / "state", plug, at)
    assert same(run(cube, tmp_path / "state"), whole)


def test_the_record_has_all_notes_and_says_that_the_run_went_on(cube: Cube, tmp_path: Path, plug: Plug) -> None:
    broken_off(cube, tmp_path / "state", plug, 1 + 2 * STEPS + 3)
    notes = run(cube, tmp_path / "state").record["notes"]
    assert notes[:2] == ["the level was drawn.", f"went on from a checkpoint: 2 of {TILES} tiles were done."]
    assert "wandered." in notes


def test_a_run_in_one_piece_has_no_such_note(cube: Cube, tmp_path: Path, plug: Plug) -> None:
    assert run(cube, tmp_path / "state").record["notes"] == ["the level was drawn.", "wandered."]
    assert not (tmp_path / "state").exists()


def test_a_whole_scene_goes_on_too(cube: Cube, tmp_path: Path, plug: Plug) -> None:
    settings = Settings(device="cpu")
    whole = run(cube, None, settings)
    broken_off(cube, tmp_path / "state", plug, 4, settings=settings)
    assert same(run(cube, tmp_path / "state", settings), whole)


def test_a_streamed_result_goes_on_and_leaves_only_its_file(cube: Cube, tmp_path: Path, plug: Plug) -> None:
    run(cube, None, out=tmp_path / "whole.tif")
    broken_off(cube, tmp_path / "state", plug, 20, out=tmp_path / "out.tif")
    run(cube, tmp_path / "state", out=tmp_path / "out.tif")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.tif", "whole.tif"]
    assert (tmp_path / "out.tif").read_bytes() == (tmp_path / "whole.tif").read_bytes()


def test_tiles_that_were_kept_without_extras_are_done_again_where_these_are_wanted(
    cube: Cube, tmp_path: Path, plug: Plug
) -> None:
    whole = run(cube, None)
    broken_off(cube, tmp_path / "state", plug, 20, out=tmp_path / "out.tif")
    assert same(run(cube, tmp_path / "state"), whole)


def test_more_free_memory_does_not_change_the_tiles_of_a_run_that_goes_on(
    cube: Cube, tmp_path: Path, plug: Plug, monkeypatch: pytest.MonkeyPatch
) -> None:
    import hsi_app.plan

    free = Settings(device="cpu", seed=5)
    planned = hsi_app.plan.tiles_within
    with monkeypatch.context() as little:
        little.setattr(hsi_app.plan, "tiles_within", lambda *given: planned(*given[:3], 20, *given[4:]))
        broken_off(cube, tmp_path / "state", plug, 20, settings=free)
    assert run(cube, tmp_path / "state", free).record["tiles"] == TILES


def test_another_memory_budget_plans_anew(cube: Cube, tmp_path: Path, plug: Plug) -> None:
    broken_off(cube, tmp_path / "state", plug, 20)
    again = run(cube, tmp_path / "state", Settings(device="cpu", tile=20, seed=5, memory=2**34))
    assert same(again, run(cube, None))


def test_memory_that_runs_out_makes_smaller_tiles_which_go_on(cube: Cube, tmp_path: Path, plug: Plug) -> None:
    hungry = MethodSpec(**{**vars(WANDER), "run": f"{__name__}:wander_where_it_fits"})
    plug.cut_at = 1 + STEPS + 2
    with pytest.raises(PowerCut):
        restore(cube, hungry, settings=Settings(device="cpu"), checkpoint=tmp_path / "state")
    plug.cut_at = -1
    notes = restore(cube, hungry, settings=Settings(device="cpu"), checkpoint=tmp_path / "state").record["notes"]
    assert any("out of memory" in note for note in notes)
    assert [note for note in notes if "went on from" in note] == ["went on from a checkpoint: 1 of 4 tiles were done."]


def wander_where_it_fits(problem: Problem, params: NoOptions, job: Job) -> Restoration:
    if problem.observed.shape[2] > 40:
        raise MemoryError
    return wander(problem, params, job)


def test_each_step_of_a_recipe_goes_on(cube: Cube, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = Recipe((Step("lowrank", "destripe"), Step("lowrank", "denoise")), tile=20)
    whole = run_recipe(cube, recipe, device="cpu")
    steps: list[Progress] = []
    run_recipe(cube, recipe, device="cpu", job=Job(on_progress=steps.append))
    for share in (0.3, 0.8):  # in the first step, and in the second
        seen = 0

        def listen(_progress: Progress, last: int = int(share * len(steps))) -> None:
            nonlocal seen
            seen += 1
            if seen == last:
                raise PowerCut

        with pytest.raises(PowerCut):
            run_recipe(cube, recipe, device="cpu", job=Job(on_progress=listen), checkpoint=tmp_path / "state")
    again = run_recipe(cube, recipe, device="cpu", checkpoint=tmp_path / "state")
    np.testing.assert_array_equal(again.cube.read(), whole.cube.read())
    assert list(tmp_path.iterdir()) == []


def test_the_time_left_is_reckoned_from_where_the_run_went_on(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Progress] = []
    job = Job(on_progress=seen.append)
    now = job._state.started
    monkeypatch.setattr("hsi_app.jobs.time.monotonic", lambda: now)
    job.step(0.1)
    job.went_on()
    now += 2.0
    job.step(0.5)
    now += 1.0
    job.step(0.75)
    # A quarter in a second, so a second for the quarter left; from the start it would be 3 s * 0.25 / 0.75 too, but
    # after a jump it says nothing yet.
    assert seen[1].remaining_s is None
    assert seen[2].remaining_s == pytest.approx(1.0)


# What is refused


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"settings": Settings(device="cpu", tile=20, seed=6)}, "seed 5, now 6"),
        ({"settings": Settings(device="cpu", tile=20, seed=5, bad_bands="restore")}, "bad-bands keep, now restore"),
        ({"settings": Settings(device="cpu", tile=24, seed=5)}, "tile 20, now 24"),
        ({"options": {"gain": 2.0}}, "option gain 1.0, now 2.0"),
        ({"mask": np.eye(34, 50) == 0}, "another mask"),
    ],
)
def test_the_state_of_another_run_is_refused(
    cube: Cube, tmp_path: Path, plug: Plug, change: dict[str, object], named: str
) -> None:
    broken_off(cube, tmp_path / "state", plug, 20)
    before = sorted(path.name for path in (tmp_path / "state").iterdir())
    with pytest.raises(CheckpointError, match=f"another run.*{named}"):
        run(cube, tmp_path / "state", **change)  # type: ignore[arg-type]
    assert sorted(path.name for path in (tmp_path / "state").iterdir()) == before
    assert plug.steps == 0


def test_the_state_of_another_input_is_refused(cube: Cube, tmp_path: Path, plug: Plug) -> None:
    broken_off(cube, tmp_path / "state", plug, 20)
    values = cube.read().copy()
    values[3, 20, 20] += 1e-6
    with pytest.raises(CheckpointError, match="another input"):
        run(Cube(values, cube.axis, georef=cube.georef), tmp_path / "state")


def test_a_folder_with_other_files_is_refused_and_left_alone(cube: Cube, tmp_path: Path, plug: Plug) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(CheckpointError, match="other files"):
        run(cube, tmp_path)
    with pytest.raises(CheckpointError, match="is a file"):
        run(cube, tmp_path / "thesis.tex")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_folder_that_cannot_be_made_is_one_line(cube: Cube, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="No such file or directory; choose another folder"):
        run(cube, tmp_path / "no" / "such" / "folder")


def test_two_runs_cannot_use_one_folder(cube: Cube, tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    with (
        Checkpoint(tmp_path / "state").claimed({"method": "a"}, Job()),
        pytest.raises(CheckpointError, match="still going"),
        Checkpoint(tmp_path / "state").claimed({"method": "a"}, Job()),
    ):
        pass


def test_a_folder_that_was_there_stays_but_is_emptied(cube: Cube, tmp_path: Path, plug: Plug) -> None:
    (tmp_path / "state").mkdir()
    run(cube, tmp_path / "state")
    assert list((tmp_path / "state").iterdir()) == []


def test_a_cancelled_run_leaves_its_state(cube: Cube, tmp_path: Path, plug: Plug) -> None:
    whole = run(cube, None)
    job = Job(seed=5, on_progress=lambda progress: job.cancel() if progress.fraction > 0.5 else None)
    with pytest.raises(Cancelled):
        run(cube, tmp_path / "state", job=job)
    assert any("-state" in path.name for path in (tmp_path / "state").iterdir())
    assert same(run(cube, tmp_path / "state"), whole)


# Damage


@pytest.mark.parametrize("damage", ["cut", "changed", "empty"])
def test_a_damaged_state_is_left_out_with_a_note(cube: Cube, tmp_path: Path, plug: Plug, damage: str) -> None:
    whole = run(cube, None)
    broken_off(cube, tmp_path / "state", plug, 22)
    files = sorted((tmp_path / "state").glob("*.safetensors"))
    assert len(files) == 5  # prepared, three tiles, and the one begun
    for path in files:
        content = bytearray(path.read_bytes())
        if damage == "changed":
            content[-1] ^= 1
        path.write_bytes(content[: {"cut": len(content) // 2, "changed": None, "empty": 0}[damage]])
    again = run(cube, tmp_path / "state")
    assert same(again, whole)
    assert sum("damaged" in note for note in again.record["notes"]) == len(files)


def test_a_damaged_plan_is_planned_again(cube: Cube, tmp_path: Path, plug: Plug) -> None:
    whole = run(cube, None)
    broken_off(cube, tmp_path / "state", plug, 20)
    (tmp_path / "state" / "plan.json").write_text('{"memory": nul')
    assert same(run(cube, tmp_path / "state"), whole)


def test_a_full_disk_does_not_end_the_run(
    cube: Cube, tmp_path: Path, plug: Plug, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(cube, None)

    def refuse(*_given: object) -> None:
        raise StateError("'state' could not be written: No space left on device.")

    monkeypatch.setattr(checkpoints, "write_state", refuse)
    again = run(cube, tmp_path / "state")
    assert same(again, whole)
    assert any("could not be kept" in note and "No space left" in note for note in again.record["notes"])


# Leftovers of a killed process


def test_the_unfinished_output_of_a_killed_run_is_removed(cube: Cube, tmp_path: Path, plug: Plug) -> None:
    pytest.importorskip("fcntl")
    import shutil

    out = tmp_path / "out.tif"
    broken_off(cube, tmp_path / "state", plug, 20, out=out)
    # An exception, unlike a kill, lets the writer remove its folder; put it back, and another's beside it.
    plan = (tmp_path / "state" / "plan.json").read_text()
    left = next(word for word in plan.split('"') if word.endswith(".partial"))
    others = tmp_path / ".out.tif.another.partial"
    for folder in (Path(left), others):
        folder.mkdir()
        (folder / "out.tif").write_bytes(b"half")
    run(cube, tmp_path / "state", out=out)
    assert not Path(left).exists()
    assert others.exists()
    shutil.rmtree(others)


# States in files


def test_a_state_comes_back_bit_for_bit_whatever_its_layout(tmp_path: Path) -> None:
    base = torch.randn(4, 6)
    state = {
        "turned": base.T, "part": base[1:3, 2:4], "same": base, "number": torch.tensor(3), "flag": torch.tensor([True]),
        "half": base.bfloat16(), "double": base.double() / 3, "none": torch.zeros(0), "wide": base[:1].expand(5, 6),
    }  # fmt: skip
    write_state(tmp_path / "a.safetensors", state, {"note": "é", "number": 0.1})
    found, facts = read_state(tmp_path / "a.safetensors")
    assert facts == {"note": "é", "number": 0.1}
    assert found.keys() == state.keys()
    for name, tensor in state.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)


def test_an_earlier_state_stays_where_the_next_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.safetensors"
    write_state(path, {"x": torch.ones(3)}, {})

    def refuse(_handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("hsi_app.states.os.fsync", refuse)
    with pytest.raises(StateError, match="No space left"):
        write_state(path, {"x": torch.zeros(3)}, {})
    assert torch.equal(read_state(path)[0]["x"], torch.ones(3))
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_complex_state_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="view_as_real"):
        write_state(tmp_path / "a.safetensors", {"x": torch.zeros(2, dtype=torch.complex64)}, {})


# The digest of the input


def test_the_digest_follows_content_not_name_or_how_it_is_read(cube: Cube, tmp_path: Path) -> None:
    from dataclasses import replace

    from hsi_app.io import open_cube, save_cube

    read = cube_digest(open_cube(save_cube(cube, tmp_path / "a.hdr")))
    assert cube_digest(open_cube(save_cube(cube, tmp_path / "b.hdr"))) == read
    assert cube_digest(replace(cube, name="other", history=("moved",))) == cube_digest(cube)
    assert cube_digest(replace(cube, nodata=0.5)) != cube_digest(cube)
    assert cube_digest(replace(cube, bands=cube.axis.marked([1]))) != cube_digest(cube)
    assert cube_digest(replace(cube, valid=np.eye(34, 50) == 0)) != cube_digest(cube)


# Random numbers by place


def test_numbers_by_place_depend_on_seed_and_place_alone() -> None:
    def drawn(job: Job, *place: int) -> list[float]:
        return torch.rand(4, generator=job.generator("cpu", *place)).tolist()

    job = Job(seed=3)
    first = drawn(job, 0, 64)
    torch.rand(100, generator=job.generator())
    assert drawn(job, 0, 64) == drawn(job.part(0.5, 0.5), 0, 64) == drawn(Job(seed=3), 0, 64) == first
    others = [drawn(job, 64, 0), drawn(job, 0), drawn(job, 0, 65), drawn(Job(seed=4), 0, 64), drawn(Job(seed=3))]
    assert first not in others
    assert len({tuple(numbers) for numbers in others}) == len(others)


def test_without_a_checkpoint_nothing_is_built_to_be_kept() -> None:
    job = Job()
    job.keep(lambda: pytest.fail("built"))
    assert job.kept() is None


def test_a_state_is_kept_once_in_an_interval(tmp_path: Path) -> None:
    built = []

    def build() -> dict[str, torch.Tensor]:
        built.append(threading.get_ident())
        return {"x": torch.ones(1)}

    with Checkpoint(tmp_path / "state").claimed({"method": "a"}, Job()) as kept:
        job = Job().kept_in(kept.slot())
        for _ in range(10):
            job.part(0, 1).keep(build)
        assert built == []
        job._slot._last_s -= 61.0  # a minute later
        for _ in range(10):
            job.keep(build)
    assert len(built) == 1

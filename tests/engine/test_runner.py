"""The pipeline around a method: tiles, protected samples, memory, cancelling; with the simplest methods there are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from hsi_app import device
from hsi_app.bands import BandAxis
from hsi_app.cube import Cube
from hsi_app.errors import Cancelled, CapabilityError, CubeError, HsiError, OutputError, ParameterError, PlanError
from hsi_app.jobs import Job, Progress
from hsi_app.methods.registry import Extent, MethodSpec
from hsi_app.params import Parameters, parameter
from hsi_app.problem import Problem, Restoration
from hsi_app.runner import Settings, restore
from hsi_app.scene import Scene
from hsi_app.tiling import Window

MakeCube = Callable[..., Cube]


class NoOptions(Parameters):
    """Nothing to choose."""

    gain: float = parameter(1.0, "Factor.", ge=0)


def spec(run: Callable[..., Restoration], **facts: object) -> MethodSpec:
    given: dict = {
        "id": run.__name__,
        "title": "Test",
        "summary": "Test.",
        "tasks": ("denoise", "inpaint", "destripe"),
        "parameters": NoOptions,
        "run": f"{__name__}:{run.__name__}",
        "extent": Extent("tile"),
    }
    return MethodSpec(**{**given, **facts})


def identity(problem: Problem, params: NoOptions, job: Job) -> Restoration:
    job.step(0.5, "half")
    return Restoration(problem.observed, trace={"rows": problem.observed.shape[1]})


def plus_one(problem: Problem, params: NoOptions, job: Job) -> Restoration:
    job.step(0.5, "adding")
    return Restoration(problem.observed + 1)


def box_mean(problem: Problem, params: NoOptions, job: Job) -> Restoration:
    """Mean over 3 x 3 valid samples: a result of one pixel depends on one pixel around it."""
    job.step(0.5, "mean")
    weight = problem.valid.float()

    def total(x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.avg_pool2d(x[None], 3, 1, 1, divisor_override=1)[0]

    return Restoration(total(problem.observed * weight) / total(weight).clamp_min(1))


def offset_of_scene(scene: Scene, params: NoOptions, task: str, job: Job) -> dict[str, np.ndarray]:
    job.step(1.0, "prepared")
    return {"level": np.array([0.25])}


def add_shared(problem: Problem, params: NoOptions, job: Job) -> Restoration:
    return Restoration(problem.observed + float(problem.shared["level"][0]))


def hungry(problem: Problem, params: NoOptions, job: Job) -> Restoration:
    """Needs more memory than there is for more than 40 px a side."""
    if max(problem.observed.shape[1:]) > 40:
        raise MemoryError
    return Restoration(problem.observed)


def insatiable(problem: Problem, params: NoOptions, job: Job) -> Restoration:
    raise MemoryError


def faulty(problem: Problem, params: NoOptions, job: Job) -> Restoration:
    raise RuntimeError("shapes do not match")


def wrong_shape(problem: Problem, params: NoOptions, job: Job) -> Restoration:
    return Restoration(problem.observed[:, 1:])


def tile_corner(problem: Problem, params: NoOptions, job: Job) -> Restoration:
    """Tiles that do not agree: each is as bright as its column in the scene."""
    assert problem.window is not None
    return Restoration(torch.full_like(problem.observed, float(problem.window.col)))


def multiples_of_eight(problem: Problem, params: NoOptions, job: Job) -> Restoration:
    assert problem.observed.shape[1] % 8 == 0
    assert problem.observed.shape[2] % 8 == 0
    return Restoration(problem.observed, extras={"seen": problem.observed})


def with_extras(problem: Problem, params: NoOptions, job: Job) -> Restoration:
    extras = {"removed": problem.observed * 0.5, "map": torch.full(problem.observed.shape[1:], 2.0)}
    return Restoration(problem.observed, extras=extras)


def with_plain(problem: Problem, params: NoOptions, job: Job) -> Restoration:
    plain = {"share": problem.observed * 0 + 0.5, "depth": torch.full(problem.observed.shape[1:], 3.0)}
    return Restoration(problem.observed, extras={"map": torch.full(problem.observed.shape[1:], 3.0)}, plain=plain)


def cannot_restore_the_left_half(problem: Problem, params: NoOptions, job: Job) -> Restoration:
    values = problem.observed.clone()
    values[:, :, : values.shape[2] // 2] = torch.nan
    return Restoration(values)


@pytest.fixture
def cube(make_cube: MakeCube) -> Cube:
    """Noisy, two bad bands, some gaps."""
    values = np.asarray(make_cube(6, 50, 70, sigma=0.05).values).copy()
    values[2, 5:9, 10:20] = -9999
    values[:, 30, 40] = np.nan
    axis = BandAxis(6, np.linspace(500, 1000, 6), bad=[False, True, False, False, True, False])
    return make_cube(6, 50, 70, values=values, bands=axis, nodata=-9999.0, gain=1e-4)


GOOD = [0, 2, 3, 5]


def values_of(cube: Cube) -> np.ndarray:
    return np.asarray(cube.values)


# Tiles


@pytest.mark.parametrize("tile", [16, 20, 33])
def test_tiles_with_their_margin_equal_the_whole(cube: Cube, tile: int) -> None:
    method = spec(box_mean, extent=Extent("tile", margin_px=1))
    whole = restore(cube, method)
    tiled = restore(cube, method, settings=Settings(tile=tile))
    assert tiled.record["tiles"] > 1
    np.testing.assert_allclose(values_of(tiled.cube), values_of(whole.cube), atol=1e-6)


def test_tiles_without_their_margin_do_not_equal_the_whole(cube: Cube) -> None:
    # Keeps the test above honest.
    method = spec(box_mean, extent=Extent("tile", margin_px=0))
    tiled = restore(cube, method, settings=Settings(tile=16))
    assert np.nanmax(np.abs(values_of(tiled.cube) - values_of(restore(cube, method).cube))) > 1e-3


def test_what_was_prepared_reaches_every_tile(cube: Cube) -> None:
    result = restore(cube, spec(add_shared, prepare=f"{__name__}:offset_of_scene"), settings=Settings(tile=16))
    step = result.cube.block()[0] - cube.block()[0]
    np.testing.assert_allclose(step[GOOD][:, 40:, :], 0.25 * result.record["scaling"]["span"], rtol=1e-4)
    assert result.record["shared"]["level"] == [0.25]


def test_tiles_that_disagree_are_blended_without_a_seam(make_cube: MakeCube) -> None:
    method = spec(tile_corner, extent=Extent("tile", overlap_px=8))
    result = restore(make_cube(2, 20, 90), method, settings=Settings(tile=40))
    row = values_of(result.cube)[0, 10]
    ends = row[-1] - row[0]
    # Each of the two seams is spread over 8 px, so no step is larger than an eighth of its height.
    assert ends > 1
    assert np.diff(row).max() < ends / 8


def test_the_method_sees_multiples_and_the_result_has_the_true_size(cube: Cube) -> None:
    result = restore(cube, spec(multiples_of_eight, extent=Extent("tile", multiple_of=8)))
    assert result.cube.shape == cube.shape
    np.testing.assert_allclose(result.cube.block()[0], cube.block()[0], atol=1e-5)
    assert result.extras["seen"].shape == cube.shape


# What may not change


def test_bad_bands_pass_through_bit_for_bit(cube: Cube) -> None:
    result = restore(cube, spec(plus_one))
    _, seen = cube.block()
    for band in (1, 4):
        np.testing.assert_array_equal(values_of(result.cube)[band][seen[band]], values_of(cube)[band][seen[band]])
    assert (values_of(result.cube)[0, 0] != values_of(cube)[0, 0]).all()


def test_bad_bands_are_restored_when_asked(cube: Cube) -> None:
    result = restore(cube, spec(plus_one), settings=Settings(bad_bands="restore"))
    assert (values_of(result.cube)[1, 0] != values_of(cube)[1, 0]).all()


def test_missing_samples_stay_missing_unless_the_task_is_to_fill_them(cube: Cube) -> None:
    _, seen = cube.block()
    for task in ("denoise", "destripe"):
        np.testing.assert_array_equal(restore(cube, spec(plus_one), settings=Settings(task=task)).cube.block()[1], seen)
    filled = restore(cube, spec(plus_one), settings=Settings(task="inpaint")).cube.block()[1]
    assert filled[GOOD].all()
    np.testing.assert_array_equal(filled[[1, 4]], seen[[1, 4]])


def test_missing_samples_are_written_as_nodata_where_there_is_one(cube: Cube) -> None:
    assert values_of(restore(cube, spec(identity)).cube)[2, 6, 12] == -9999
    without = replace(cube, nodata=None, values=np.where(values_of(cube) == -9999, np.nan, values_of(cube)))
    assert np.isnan(values_of(restore(without, spec(identity)).cube)[2, 6, 12])


def test_nodata_beyond_float32_is_written_without_a_warning(make_cube: MakeCube) -> None:
    values = np.asarray(make_cube(2, 20, 20).values, dtype=np.float64)
    values[0, 3, 3] = -1.7976931348623157e308
    result = restore(Cube(values, nodata=-1.7976931348623157e308), spec(plus_one))
    assert np.argwhere(~result.cube.block()[1]).tolist() == [[0, 3, 3]]


def test_filling_gaps_keeps_observed_samples_bit_for_bit(cube: Cube) -> None:
    _, seen = cube.block()
    result = restore(cube, spec(plus_one), settings=Settings(task="inpaint"))
    np.testing.assert_array_equal(values_of(result.cube)[seen], values_of(cube)[seen])


def test_filling_gaps_may_also_clean_observed_samples(cube: Cube) -> None:
    result = restore(cube, spec(plus_one), settings=Settings(task="inpaint", keep_observed=False))
    assert (values_of(result.cube)[0, 0] != values_of(cube)[0, 0]).all()


def test_keeping_observed_samples_while_denoising_is_a_contradiction(cube: Cube) -> None:
    with pytest.raises(ParameterError, match="keep-observed"):
        restore(cube, spec(plus_one), settings=Settings(task="denoise", keep_observed=True))


@pytest.mark.parametrize("dims", [2, 3])
def test_a_mask_adds_to_the_missing_samples(cube: Cube, dims: int) -> None:
    mask = np.ones(cube.shape[-dims:], np.uint8)
    mask[..., 20:25, 20:25] = 0
    kept = restore(cube, spec(plus_one), mask=mask).cube.block()[1]
    assert not kept[0, 20:25, 20:25].any()
    filled = restore(cube, spec(plus_one), mask=mask, settings=Settings(task="inpaint")).cube
    expected = cube.block()[0][0, 20:25, 20:25]
    assert (filled.block()[0][0, 20:25, 20:25] != expected).all()


def test_what_a_method_cannot_restore_is_missing(cube: Cube) -> None:
    kept = restore(cube, spec(cannot_restore_the_left_half)).cube.block()[1]
    assert not kept[0, :, :35].any()
    assert kept[0, :5, 35:].all()


def test_the_input_is_not_changed(cube: Cube) -> None:
    before = values_of(cube).tobytes()
    restore(cube, spec(plus_one), settings=Settings(tile=16))
    assert values_of(cube).tobytes() == before


def test_the_facts_of_the_cube_are_carried_and_its_history_grows(cube: Cube) -> None:
    restored = restore(cube, spec(identity)).cube
    assert restored.axis == cube.axis
    assert restored.georef == cube.georef
    assert (restored.gain, restored.unit, restored.nodata) == (1e-4, "reflectance", -9999)
    assert restored.history == ("denoise with identity (gain=1.0)",)


def test_an_own_mask_of_the_cube_is_turned_into_missing_samples(make_cube: MakeCube) -> None:
    valid = np.ones((20, 20), bool)
    valid[4, 4] = False
    cube = make_cube(3, 20, 20, valid=valid)
    np.testing.assert_array_equal(restore(cube, spec(plus_one)).cube.block()[1], cube.block()[1])


def test_removed_is_before_minus_after_and_nan_where_either_is_missing(cube: Cube) -> None:
    result = restore(cube, spec(plus_one))
    removed = result.removed()
    span = result.record["scaling"]["span"]
    np.testing.assert_allclose(removed[0, :5], -span, rtol=1e-4)
    assert np.isnan(removed[2, 6, 12])
    assert (removed[1][cube.block()[1][1]] == 0).all()


# Extras and the record


@pytest.mark.parametrize("tile", [None, 16])
def test_extras_come_in_stored_units_on_the_band_axis_of_the_cube(cube: Cube, tile: int | None) -> None:
    result = restore(cube, spec(with_extras), settings=Settings(tile=tile))
    span, offset = result.record["scaling"]["span"], result.record["scaling"]["offset"]
    assert result.extras["removed"].shape == cube.shape
    np.testing.assert_allclose(
        result.extras["removed"][5, :5], (values_of(cube)[5, :5] - offset) / 2, rtol=1e-3, atol=1e-6
    )
    assert np.isnan(result.extras["removed"][1]).all()  # a bad band was not worked on
    np.testing.assert_allclose(result.extras["map"], 2 * span, rtol=1e-5)


@pytest.mark.parametrize("tile", [None, 16])
def test_extras_without_a_unit_come_as_they_are_beside_those_in_stored_units(cube: Cube, tile: int | None) -> None:
    result = restore(cube, spec(with_plain), settings=Settings(tile=tile))
    span = result.record["scaling"]["span"]
    assert abs(span - 1) > 0.1
    np.testing.assert_allclose(result.extras["depth"], 3, rtol=1e-6)
    np.testing.assert_allclose(result.extras["map"], 3 * span, rtol=1e-6)
    # On the band axis of the cube, of which one bad band was not worked on.
    assert result.extras["share"].shape == cube.shape
    np.testing.assert_allclose(result.extras["share"][0], 0.5, rtol=1e-6)
    assert np.isnan(result.extras["share"][1]).all()


def test_the_record_is_plain_and_says_how_to_do_it_again(cube: Cube) -> None:
    import json

    job = Job(seed=11)
    record = restore(cube, spec(identity), {"gain": 2}, Settings(device="cpu"), job=job).record
    json.dumps(record, allow_nan=False)
    assert record["options"] == {"gain": 2.0}
    assert record["seed"] == record["settings"]["seed"] == 11
    assert record["settings"]["task"] == "denoise"
    assert record["versions"]["numpy"] == np.__version__
    assert record["input"]["shape"] == {"bands": 6, "rows": 50, "cols": 70}


# Memory


def test_out_of_memory_halves_the_tile_and_says_so(cube: Cube) -> None:
    result = restore(cube, spec(hungry))
    assert result.record["tiles"] > 1
    assert any("out of memory" in note for note in result.record["notes"])
    np.testing.assert_allclose(result.cube.block()[0], cube.block()[0], atol=1e-5)


@pytest.mark.parametrize("extent", [Extent("tile"), Extent("whole"), Extent("tile", overlap_px=30)])
def test_out_of_memory_at_the_smallest_tile_ends_with_one_line(cube: Cube, extent: Extent) -> None:
    with pytest.raises(PlanError, match="out of memory"):
        restore(cube, spec(insatiable, extent=extent))


def test_a_failure_that_is_not_memory_is_not_tried_again(cube: Cube) -> None:
    with pytest.raises(RuntimeError, match="shapes do not match"):
        restore(cube, spec(faulty))


def test_a_budget_below_what_the_program_holds_is_refused(cube: Cube) -> None:
    with pytest.raises(PlanError, match="--memory"):
        restore(cube, spec(identity), settings=Settings(memory=2**20))


def test_a_whole_scene_method_beyond_the_budget_is_refused_before_it_starts() -> None:
    large = Cube(np.broadcast_to(np.float32(1), (200, 2000, 2000)))
    budget = device.resident_memory() + 400 * 2**20
    with pytest.raises(PlanError, match="whole scene at once"):
        restore(large, spec(insatiable, extent=Extent("whole")), settings=Settings(memory=budget))


def test_a_smaller_budget_makes_smaller_tiles_and_the_same_result(make_cube: MakeCube) -> None:
    cube = make_cube(60, 300, 300)
    method = spec(box_mean, extent=Extent("tile", margin_px=1, memory_factor=4))
    narrow = Settings(memory=device.resident_memory() + 200 * 2**20)
    tiled, whole = restore(cube, method, settings=narrow), restore(cube, method, settings=Settings(memory=2**33))
    assert tiled.record["tiles"] > whole.record["tiles"] == 1
    np.testing.assert_allclose(values_of(tiled.cube), values_of(whole.cube), atol=1e-6)


# Watching and stopping


def test_progress_rises_to_one(cube: Cube) -> None:
    seen: list[Progress] = []
    restore(cube, spec(identity), settings=Settings(tile=16), job=Job(on_progress=seen.append))
    fractions = [p.fraction for p in seen]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1


@pytest.mark.parametrize("at", [1, 2, 5])
def test_a_cancelled_run_stops_at_its_next_step(cube: Cube, at: int) -> None:
    seen: list[Progress] = []

    def listen(progress: Progress) -> None:
        seen.append(progress)
        if len(seen) == at:
            job.cancel()

    job = Job(on_progress=listen)
    with pytest.raises(Cancelled):
        restore(cube, spec(identity), settings=Settings(tile=16), job=job)
    assert len(seen) == at


# Files


def test_a_streamed_result_equals_the_one_in_memory(cube: Cube, tmp_path: Path) -> None:
    method = spec(box_mean, extent=Extent("tile", margin_px=1))
    written = restore(cube, method, settings=Settings(tile=16), out=tmp_path / "out.hdr")
    np.testing.assert_allclose(written.cube.block()[0], restore(cube, method).cube.block()[0], atol=1e-6)
    assert written.cube.georef is not None
    assert written.record["output"] == str(tmp_path / "out.hdr")


@pytest.mark.parametrize("at", [2, 5])
def test_a_cancelled_run_leaves_no_file(cube: Cube, tmp_path: Path, at: int) -> None:
    calls = 0

    def listen(progress: Progress) -> None:
        nonlocal calls
        calls += 1
        if calls == at:
            job.cancel()

    job = Job(on_progress=listen)
    with pytest.raises(Cancelled):
        restore(cube, spec(identity), settings=Settings(tile=16), out=tmp_path / "out.hdr", job=job)
    assert list(tmp_path.iterdir()) == []


def test_cancelling_at_the_last_report_leaves_either_a_file_or_an_error(cube: Cube, tmp_path: Path) -> None:
    def listen(progress: Progress) -> None:
        if progress.fraction == 1:
            job.cancel()

    job = Job(on_progress=listen)
    try:
        restore(cube, spec(identity), out=tmp_path / "out.hdr", job=job)
    except Cancelled:
        assert list(tmp_path.iterdir()) == []
    else:
        assert (tmp_path / "out.hdr").exists()


@pytest.mark.parametrize("name", ["scene.hdr", "./scene.hdr", "scene.bsq"])
def test_the_input_file_is_never_the_output_file(cube: Cube, tmp_path: Path, name: str) -> None:
    from hsi_app.io import open_cube, save_cube

    save_cube(cube, tmp_path / "scene.hdr")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(OutputError, match="input"):
        restore(open_cube(tmp_path / "scene.hdr"), spec(plus_one), out=tmp_path / name, overwrite=True)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


# Refusals


def test_a_result_of_another_shape_is_called_the_method_s_fault(cube: Cube) -> None:
    with pytest.raises(HsiError, match=r"wrong_shape.*returned"):
        restore(cube, spec(wrong_shape))


def test_a_task_the_method_does_not_offer_is_refused(cube: Cube) -> None:
    with pytest.raises(CapabilityError, match="cannot dehaze"):
        restore(cube, spec(identity), settings=Settings(task="dehaze"))


def test_a_method_whose_code_is_missing_is_one_line(cube: Cube) -> None:
    with pytest.raises(CapabilityError, match="no_such_module"):
        restore(cube, replace(spec(identity), run="no_such_module:restore"))


def test_an_empty_scene_is_refused(make_cube: MakeCube) -> None:
    empty = make_cube(3, 8, 8, values=np.full((3, 8, 8), np.nan, np.float32))
    with pytest.raises(CubeError, match="every sample is missing"):
        restore(empty, spec(identity))


def test_a_window_is_told_where_it_lies(cube: Cube) -> None:
    # Windows outside the scene would put scene-wide maps (stripes) in the wrong place.
    whole = Window(0, 0, *cube.shape[1:])
    assert whole.pixels == 50 * 70
    result = restore(cube, spec(tile_corner), settings=Settings(tile=16))
    columns = np.unique(
        np.round((result.cube.block()[0][0, 0] - result.record["scaling"]["offset"]) / result.record["scaling"]["span"])
    )
    assert columns.tolist() == [0, 14, 28, 42, 56]

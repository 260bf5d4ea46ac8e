"""The tasks 'sr' and 'deblur' through the pipeline: what a method is told, and what comes out on which grid."""

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
from hsi_app.errors import HsiError, ParameterError, PlanError
from hsi_app.io import open_cube
from hsi_app.jobs import Job
from hsi_app.methods.registry import Extent, MethodSpec
from hsi_app.optics import Optics, optics_of
from hsi_app.params import Parameters
from hsi_app.physics.degrade import degrade
from hsi_app.physics.resample import REACH_PX, interpolate, interpolated, repeat
from hsi_app.physics.spatial import FWHM_TO_STD, blur
from hsi_app.problem import Problem, Restoration
from hsi_app.removed import write_removed
from hsi_app.runner import Settings, restore

MakeCube = Callable[..., Cube]
PROBLEMS: list[Problem] = []


class NoOptions(Parameters):
    """Nothing to choose."""


def spec(run: Callable[..., Restoration], **facts: object) -> MethodSpec:
    given: dict = {
        "id": run.__name__,
        "title": "Test",
        "summary": "Test.",
        "tasks": ("sr", "deblur", "denoise"),
        "parameters": NoOptions,
        "run": f"{__name__}:{run.__name__}",
        "extent": Extent("tile", margin_px=REACH_PX),
    }
    return MethodSpec(**{**given, **facts})


def cubic(problem: Problem, params: NoOptions, job: Job) -> Restoration:
    PROBLEMS.append(problem)
    job.step(0.5, "enlarging")
    return Restoration(interpolate(problem.observed, problem.valid, problem.scale))


def blocks(problem: Problem, params: NoOptions, job: Job) -> Restoration:
    """Each pixel as a block, brighter by one; with extras on both grids and a claim that nothing was touched."""
    fine = repeat(problem.observed, problem.scale) + 1
    extras = {"coarse": problem.observed * 0 + 2, "fine": fine, "map": torch.full(fine.shape[1:], 3.0)}
    return Restoration(fine, torch.ones(fine.shape, dtype=torch.bool), extras)


def same_grid(problem: Problem, params: NoOptions, job: Job) -> Restoration:
    return Restoration(problem.observed)


def tile_corner(problem: Problem, params: NoOptions, job: Job) -> Restoration:
    """Tiles that do not agree: each is as bright as its column in the scene."""
    assert problem.window is not None
    return Restoration(torch.full(problem.shape_out, float(problem.window.col)))


def needs_eights(problem: Problem, params: NoOptions, job: Job) -> Restoration:
    assert problem.operator is not None
    assert problem.observed.shape[1] % 8 == problem.observed.shape[2] % 8 == 0
    fine = repeat(problem.observed, problem.scale)
    # Block means undo block copies, so the operator without a PSF to speak of gives the observed pixels back.
    assert (problem.operator.forward(fine) - problem.observed).abs().max() < 1e-5
    return Restoration(fine)


def sharpen(problem: Problem, params: NoOptions, job: Job) -> Restoration:
    """Unsharp masking with the blur that the method was told."""
    PROBLEMS.append(problem)
    assert problem.operator is not None
    return Restoration(2 * problem.observed - problem.operator.forward(problem.observed))


@pytest.fixture(autouse=True)
def _forget() -> None:
    PROBLEMS.clear()


@pytest.fixture
def cube(make_cube: MakeCube) -> Cube:
    """Coarse and not square, a bad band, some gaps."""
    values = np.asarray(make_cube(5, 22, 31, sigma=0.05).values).copy()
    values[2, 5:9, 10:14] = -9999
    values[:, 20, 30] = np.nan
    axis = BandAxis(5, np.linspace(500, 1000, 5), bad=np.arange(5) == 1)
    return make_cube(5, 22, 31, values=values, bands=axis, nodata=-9999.0, gain=1e-4)


GOOD = [0, 2, 3, 4]


def sr(scale: int | None = 3, **settings: object) -> Settings:
    return Settings(task="sr", scale=scale, device="cpu", **settings)  # type: ignore[arg-type]


def values_of(cube: Cube) -> np.ndarray:
    return np.asarray(cube.values)


# What a method is told


@pytest.mark.parametrize("scale", [2, 4])
def test_the_operator_is_that_of_the_simulated_observation(make_cube: MakeCube, scale: int) -> None:
    truth = make_cube(6, 24, 32)
    degraded = degrade(truth, f"sr-x{scale}")
    restore(degraded.observed, spec(cubic), settings=sr(scale))
    (problem,) = PROBLEMS
    assert problem.operator is not None
    assert degraded.operator is not None
    assert problem.operator.in_shape == problem.shape_out == (6, 24, 32)
    assert problem.operator.out_shape == problem.observed.shape == degraded.observed.shape
    assert problem.scale == scale
    x = torch.rand(6, 24, 32, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(problem.operator.forward(x), degraded.operator.forward(x))


def test_another_width_of_the_psf_is_another_operator(cube: Cube) -> None:
    restore(cube, spec(cubic), settings=sr(2))
    restore(cube, spec(cubic), settings=sr(2, psf_fwhm=5.0))
    point = torch.zeros(PROBLEMS[0].shape_out)
    point[:, 20, 20] = 1
    narrow, wide = (float(problem.operator.forward(point).max()) for problem in PROBLEMS)  # type: ignore[union-attr]
    assert wide < narrow / 2


def test_the_operator_of_a_tile_has_its_size(cube: Cube) -> None:
    restore(cube, spec(cubic), settings=sr(2, tile=12))
    assert len(PROBLEMS) > 1
    for problem in PROBLEMS:
        assert problem.window is not None
        assert problem.operator is not None
        assert problem.observed.shape[1:] == (problem.window.height, problem.window.width)
        assert problem.operator.in_shape == (4, 2 * problem.window.height, 2 * problem.window.width)


def test_other_tasks_are_given_no_operator(cube: Cube) -> None:
    restore(cube, spec(cubic), settings=Settings(task="denoise"))
    assert PROBLEMS[0].operator is None
    assert PROBLEMS[0].scale == 1
    assert PROBLEMS[0].shape_out == (4, 22, 31)


def test_the_operator_fits_what_was_padded(cube: Cube) -> None:
    method = spec(needs_eights, extent=Extent("tile", multiple_of=8))
    fine = restore(cube, method, settings=sr(3, psf_fwhm=0.01)).cube
    assert fine.shape == (5, 66, 93)
    np.testing.assert_allclose(values_of(fine)[0, ::3, ::3][:20], values_of(cube)[0][:20], atol=1e-5)


def test_deblurring_is_told_a_gaussian_of_the_width_given(cube: Cube) -> None:
    result = restore(cube, spec(sharpen), settings=Settings(task="deblur", psf_fwhm=2.5))
    (problem,) = PROBLEMS
    assert problem.operator is not None
    assert problem.operator.in_shape == problem.operator.out_shape == (4, 22, 31)
    std = 2.5 * FWHM_TO_STD
    x = torch.rand(4, 22, 31, generator=torch.Generator().manual_seed(0))
    side = 2 * int(np.ceil(3 * std)) + 1
    torch.testing.assert_close(problem.operator.forward(x), blur((4, 22, 31), side, std).forward(x))
    assert result.cube.shape == cube.shape
    assert result.observed is cube
    assert result.scale == 1
    np.testing.assert_array_equal(result.cube.block()[0][1], cube.block()[0][1])


def test_margins_cover_the_blur_whatever_its_width(cube: Cube) -> None:
    # The method itself looks at one pixel; the operator it is told looks further.
    method = spec(sharpen, extent=Extent("tile", margin_px=0))
    whole, tiled = (restore(cube, method, settings=Settings(task="deblur", psf_fwhm=2.5, tile=t)) for t in (None, 12))
    assert tiled.record["tiles"] > 1
    np.testing.assert_allclose(tiled.cube.block()[0], whole.cube.block()[0], atol=1e-5)


# Tiles


@pytest.mark.parametrize("tile", [8, 13])
def test_tiles_with_their_margin_equal_the_whole(cube: Cube, tile: int) -> None:
    whole, tiled = (restore(cube, spec(cubic), settings=sr(3, tile=t)).cube for t in (None, tile))
    np.testing.assert_array_equal(tiled.block()[1], whole.block()[1])
    np.testing.assert_allclose(tiled.block()[0], whole.block()[0], atol=1e-6)


def test_tiles_that_disagree_are_blended_linearly_on_the_fine_grid(make_cube: MakeCube) -> None:
    method = spec(tile_corner, extent=Extent("tile", overlap_px=8))
    row = values_of(restore(make_cube(2, 20, 45), method, settings=sr(3, tile=30)).cube)[0, 10]
    steps = np.diff(row)
    # One seam of 8 coarse, 24 fine pixels; all its steps are equal but the first and the last, which are halves.
    rising = np.flatnonzero(steps > 1e-4)
    assert rising.size == 25
    np.testing.assert_allclose(steps[rising[1:-1]], (row[-1] - row[0]) / 24, rtol=1e-3)
    np.testing.assert_allclose(steps[rising[[0, -1]]], (row[-1] - row[0]) / 48, rtol=1e-3)


def test_a_tile_without_samples_is_missing(cube: Cube) -> None:
    mask = np.ones((22, 31), bool)
    mask[:, 15:] = False
    present = restore(cube, spec(cubic), settings=sr(2, tile=8), mask=mask).cube.block()[1]
    assert not present[:, :, 30:].any()
    assert present[0, :40, :30].all()


# What comes out


def test_the_result_lies_on_the_finer_grid_with_the_facts_of_the_cube(cube: Cube) -> None:
    result = restore(cube, spec(cubic), settings=sr(3))
    fine = result.cube
    assert fine.shape == (5, 66, 93)
    assert fine.dtype == np.float32
    assert fine.axis == cube.axis
    assert (fine.gain, fine.unit, fine.nodata) == (1e-4, "reflectance", -9999)
    assert fine.georef is not None
    assert fine.georef.transform == (10.0, 0.0, 380_000.0, 0.0, -10.0, 5_820_000.0)
    assert fine.history == ("sr with cubic ()",)
    assert result.scale == 3


def test_missing_samples_stay_missing_as_whole_blocks(cube: Cube) -> None:
    mask = np.ones((22, 31), bool)
    mask[2:4, 2:5] = False
    seen = cube.block()[1] & mask
    fine = restore(cube, spec(blocks), settings=sr(3), mask=mask).cube
    np.testing.assert_array_equal(fine.block()[1], seen.repeat(3, axis=1).repeat(3, axis=2))
    assert values_of(fine)[2, 15, 30] == -9999


def test_bad_bands_come_out_interpolated(cube: Cube) -> None:
    fine = restore(cube, spec(blocks), settings=sr(3)).cube
    expected, seen = interpolated(cube, 3).block(None, [1])
    np.testing.assert_allclose(fine.block(None, [1])[0][seen], expected[seen], atol=1e-6)
    other = restore(cube, spec(blocks), settings=sr(3, bad_bands="restore")).cube
    assert np.abs(other.block(None, [1])[0][seen] - expected[seen]).min() > 0.1


def test_what_a_method_calls_untouched_means_nothing_on_a_finer_grid(cube: Cube) -> None:
    result = restore(cube, spec(blocks), settings=sr(2))
    span = result.record["scaling"]["span"]
    before = cube.block()[0][0].repeat(2, axis=0).repeat(2, axis=1)
    np.testing.assert_allclose(values_of(result.cube)[0, :30], before[:30] + span, rtol=1e-4)


@pytest.mark.parametrize("tile", [None, 12])
def test_extras_of_either_grid_come_on_the_finer_one(cube: Cube, tile: int | None) -> None:
    result = restore(cube, spec(blocks), settings=sr(2, tile=tile))
    span = result.record["scaling"]["span"]
    assert {name: image.shape for name, image in result.extras.items()} == {
        "coarse": (5, 44, 62),
        "fine": (5, 44, 62),
        "map": (44, 62),
    }
    np.testing.assert_allclose(result.extras["coarse"][GOOD], 2 * span, rtol=1e-5)
    np.testing.assert_allclose(result.extras["map"], 3 * span, rtol=1e-5)


def test_the_result_is_shown_against_the_interpolated_input(cube: Cube, tmp_path: Path) -> None:
    result = restore(cube, spec(cubic), settings=sr(2))
    assert result.observed.shape == result.cube.shape
    assert result.record["input"]["shape"] == {"bands": 5, "rows": 22, "cols": 31}
    removed = result.removed()
    assert removed.shape == (5, 44, 62)
    # The method interpolates too, so nothing was taken away; missing samples are missing in both.
    np.testing.assert_allclose(np.nan_to_num(removed), 0, atol=1e-5)
    np.testing.assert_array_equal(np.isnan(removed), ~result.cube.block()[1])
    written = open_cube(write_removed(result, tmp_path / "removed.hdr"))
    np.testing.assert_array_equal(written.read(), removed)


def test_the_record_tells_scale_and_psf(cube: Cube) -> None:
    given = restore(cube, spec(cubic), settings=sr(3)).record
    assert (given["settings"]["scale"], given["settings"]["psf_fwhm"]) == (3, 3.0)
    assert given["notes"] == []
    plain = restore(cube, spec(cubic), settings=Settings(task="denoise")).record["settings"]
    assert (plain["scale"], plain["psf_fwhm"]) == (1, None)


def test_without_a_scale_the_grid_is_twice_as_fine_and_a_note_says_so(cube: Cube) -> None:
    result = restore(cube, spec(cubic), settings=sr(None))
    assert result.cube.shape == (5, 44, 62)
    assert any("2 times finer" in note for note in result.record["notes"])


@pytest.mark.parametrize("name", ["fine.hdr", "fine.tif", "fine.zarr"])
def test_a_streamed_result_equals_the_one_in_memory(cube: Cube, tmp_path: Path, name: str) -> None:
    in_memory = restore(cube, spec(cubic), settings=sr(3)).cube
    restore(cube, spec(cubic), settings=sr(3, tile=12), out=tmp_path / name)
    written = open_cube(tmp_path / name)
    np.testing.assert_array_equal(written.block()[1], in_memory.block()[1])
    np.testing.assert_allclose(written.block()[0], in_memory.block()[0], atol=1e-6)
    assert written.georef is not None
    assert written.georef.transform == in_memory.georef.transform  # type: ignore[union-attr]
    assert written.georef.crs_name() == "EPSG:32633"
    assert written.axis.is_bad.tolist() == cube.axis.is_bad.tolist()


def test_an_own_mask_and_a_lazy_file_go_the_same_way(cube: Cube, tmp_path: Path) -> None:
    from hsi_app.io import save_cube

    valid = np.ones((22, 31), bool)
    valid[3, 4] = False
    masked = replace(cube, valid=valid)
    fine = restore(masked, spec(cubic), settings=sr(2)).cube
    assert not fine.block()[1][:, 6:8, 8:10].any()
    save_cube(cube, tmp_path / "coarse.hdr")
    lazy = restore(open_cube(tmp_path / "coarse.hdr"), spec(cubic), settings=sr(2, tile=12))
    np.testing.assert_allclose(
        lazy.cube.block()[0], restore(cube, spec(cubic), settings=sr(2)).cube.block()[0], atol=1e-6
    )
    assert lazy.observed.shape == lazy.cube.shape


# Memory


def test_the_plan_counts_the_samples_of_the_finer_grid(make_cube: MakeCube) -> None:
    cube = make_cube(20, 200, 200)
    memory = device.resident_memory() + 400 * 2**20
    method = spec(cubic, extent=Extent("tile", margin_px=REACH_PX, memory_factor=4))
    plain = restore(cube, method, settings=Settings(task="denoise", memory=memory))
    fine = restore(cube, method, settings=sr(4, memory=memory))
    assert plain.record["tiles"] == 1 < fine.record["tiles"]


def test_a_method_may_tell_that_only_its_result_is_finer(make_cube: MakeCube) -> None:
    cube = make_cube(20, 200, 200)
    settings = sr(4, memory=device.resident_memory() + 400 * 2**20)
    extent = Extent("tile", margin_px=REACH_PX, memory_factor=20)
    tiles = [
        restore(cube, spec(cubic, extent=given), settings=settings).record["tiles"]
        for given in (extent, replace(extent, finer_factor=3))
    ]
    assert tiles[1] < tiles[0]


def test_a_method_may_need_memory_for_a_pixel_however_few_its_bands(make_cube: MakeCube) -> None:
    cube = make_cube(2, 300, 300)
    settings = Settings(task="denoise", memory=device.resident_memory() + 400 * 2**20)
    extent = Extent("tile", margin_px=REACH_PX)
    tiles = [
        restore(cube, spec(cubic, extent=given), settings=settings).record["tiles"]
        for given in (extent, replace(extent, pixel_bytes=10_000))
    ]
    assert tiles[0] == 1 < tiles[1]


def test_a_finer_result_that_memory_cannot_hold_is_refused_before_it_starts() -> None:
    large = Cube(np.broadcast_to(np.float32(1), (100, 500, 500)))
    with pytest.raises(PlanError, match="name a file"):
        restore(large, spec(cubic), settings=sr(16, memory=device.resident_memory() + 2**30))


# Refusals


def test_a_result_on_the_coarse_grid_is_called_the_method_s_fault(cube: Cube) -> None:
    with pytest.raises(HsiError, match=r"same_grid.*\(4, 66, 93\)"):
        restore(cube, spec(same_grid), settings=sr(3))


@pytest.mark.parametrize(
    ("task", "scale", "psf", "words"),
    [
        ("denoise", 2, None, "scale 2 does not belong to 'denoise'"),
        ("deblur", 2, 3.0, "scale 2 does not belong to 'deblur'"),
        ("denoise", None, 3.0, "psf-fwhm 3 does not belong to 'denoise'"),
        ("deblur", None, None, "needs the width of the blur"),
        ("deblur", None, 0.0, "psf-fwhm is 0 px"),
        ("sr", 2, -1.0, "psf-fwhm is -1 px"),
        ("sr", 2, float("nan"), "psf-fwhm is nan px"),
        ("sr", 2, 1e6, "up to 100"),
        ("sr", 1, None, "from 2 to 16"),
        ("sr", 17, None, "from 2 to 16"),
        ("sr", 2.5, None, "whole numbers"),
    ],
)
def test_optics_that_cannot_be_are_refused_in_one_line(
    cube: Cube, task: str, scale: int | None, psf: float | None, words: str
) -> None:
    with pytest.raises(ParameterError, match=words.replace("(", r"\(")) as caught:
        restore(cube, spec(cubic), settings=Settings(task=task, scale=scale, psf_fwhm=psf))
    assert "\n" not in str(caught.value)


def test_a_margin_grows_on_the_grid_of_the_method() -> None:
    # FWHM 4 is 1.70 px of standard deviation and so reaches 6 px: 2 of the coarse grid at scale 4.
    extent = Extent("tile", margin_px=39, align_px=3)
    assert Optics(4, 4.0).widened(extent).margin_px == 42
    assert Optics(1, 4.0).widened(extent).margin_px == 45
    assert Optics().widened(extent) is extent


def test_a_scale_of_one_is_what_other_tasks_have() -> None:
    assert optics_of("denoise", 1) == Optics()
    assert optics_of("sr", 4) == Optics(4, 4.0)
    assert optics_of("deblur", None, 3) == Optics(1, 3.0)


# The plain baseline


@pytest.mark.parametrize("scale", [2, 4])
def test_lowrank_enlarges_what_it_denoised(make_cube: MakeCube, scale: int) -> None:
    from hsi_app.metrics import score

    truth = make_cube(16, 64, 96)
    observed = degrade(truth, f"sr-x{scale}+gauss-10", seed=1).observed
    result = restore(observed, "lowrank", settings=sr(scale))
    assert result.cube.shape == truth.shape
    denoised = restore(observed, "lowrank", settings=Settings(task="denoise", device="cpu")).cube
    np.testing.assert_allclose(result.cube.block()[0], interpolated(denoised, scale).block()[0], atol=1e-5)
    # Interpolation alone carries the noise along.
    assert score(result.cube, truth)["psnr"] > score(result.observed, truth)["psnr"] + 3

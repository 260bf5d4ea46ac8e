"""What every method's result must be, whatever the method."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from hsi_app.cube import Cube
from hsi_app.jobs import Job
from hsi_app.methods.registry import MethodSpec
from hsi_app.physics.spatial import blur_downsample, psf_blur
from hsi_app.runner import Result
from tests.contract.conftest import on_grid_of

Run = Callable[..., Result]
MakeCube = Callable[..., Cube]


def values_of(cube: Cube) -> np.ndarray:
    return np.asarray(cube.values)


def digest(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def span(cube: Cube) -> float:
    values, valid = cube.block()
    return float(np.ptp(values[valid]))


def test_same_seed_same_result(spec: MethodSpec, task: str, run: Run, scene: Cube) -> None:
    first, second = (run(scene, spec, task=task, job=Job(seed=5)) for _ in range(2))
    np.testing.assert_array_equal(values_of(first.cube), values_of(second.cube))


def test_shape_bands_map_frame_and_scale_are_kept(spec: MethodSpec, task: str, run: Run, scene: Cube) -> None:
    result = run(scene, spec, task=task)
    restored, times = result.cube, result.scale
    assert times == (2 if task == "sr" else 1)
    assert restored.shape == (scene.shape[0], scene.shape[1] * times, scene.shape[2] * times)
    assert restored.axis == scene.axis
    assert restored.georef == (scene.georef if times == 1 else scene.georef.upsampled(times))  # type: ignore[union-attr]
    assert restored.gain is scene.gain
    assert (restored.offset, restored.unit, restored.nodata) == (scene.offset, scene.unit, scene.nodata)


def test_the_result_is_float32(spec: MethodSpec, run: Run, scene: Cube) -> None:
    assert run(scene, spec).cube.dtype == np.float32


def test_observed_samples_stay_present(spec: MethodSpec, task: str, run: Run, scene: Cube) -> None:
    result = run(scene, spec, task=task)
    assert result.cube.block()[1][on_grid_of(result, scene.block()[1])].all()


def test_only_filling_gaps_fills_gaps(spec: MethodSpec, task: str, run: Run, scene: Cube) -> None:
    result = run(scene, spec, task=task)
    values, present = result.cube.block()
    if task == "inpaint":
        good = scene.axis.good
        assert present[good].all()
        assert np.isfinite(values[good]).all()
    else:
        np.testing.assert_array_equal(present, on_grid_of(result, scene.block()[1]))


def test_bad_bands_are_not_touched(spec: MethodSpec, task: str, run: Run, scene: Cube) -> None:
    result = run(scene, spec, task=task)
    if result.scale == 1:
        np.testing.assert_array_equal(values_of(result.cube)[11], values_of(scene)[11])
    else:
        # On a finer grid nothing can be as it was; they are interpolated.
        np.testing.assert_allclose(result.cube.block()[0][11], result.observed.block()[0][11], atol=1e-6)


def test_filling_gaps_leaves_observed_samples_bit_for_bit(spec: MethodSpec, run: Run, scene: Cube) -> None:
    if "inpaint" not in spec.tasks:
        pytest.skip(f"{spec.id} does not inpaint")
    _, seen = scene.block()
    restored = run(scene, spec, task="inpaint").cube
    np.testing.assert_array_equal(values_of(restored)[seen], values_of(scene)[seen])


def test_the_input_is_not_changed(spec: MethodSpec, task: str, run: Run, scene: Cube) -> None:
    before = digest(values_of(scene))
    run(scene, spec, task=task)
    assert digest(values_of(scene)) == before


def test_tiles_equal_the_whole(spec: MethodSpec, task: str, run: Run, make_cube: MakeCube) -> None:
    if spec.extent.kind != "tile":
        pytest.skip(f"{spec.id} sees the whole scene")
    if spec.extent.overlap_px:
        pytest.skip(f"tiles of {spec.id} are blended, they need not agree")
    side = 32 + spec.extent.margin_px
    cube = make_cube(10, side + 15, side + 40, sigma=0.04, seed=6)
    if task == "inpaint":
        cube = replace(cube, valid=np.random.default_rng(0).random(cube.shape) > 0.3)
    whole, tiled = run(cube, spec, task=task), run(cube, spec, task=task, tile=32)
    assert tiled.record["tiles"] >= 4
    assert whole.record["tiles"] == 1
    np.testing.assert_allclose(values_of(tiled.cube), values_of(whole.cube), atol=1e-4 * span(cube))


@pytest.mark.parametrize(("a", "b"), [(10_000.0, 0.0), (2.5, -3.0)], ids=["x10000", "x2.5-3"])
def test_another_unit_gives_the_same_result_in_that_unit(
    spec: MethodSpec, task: str, run: Run, scene: Cube, a: float, b: float
) -> None:
    seen = scene.block()[1]
    moved = replace(scene, values=np.where(seen, values_of(scene) * a + b, -1e6).astype(np.float32), nodata=-1e6)
    result = run(scene, spec, task=task)
    expected = values_of(result.cube).astype(np.float64) * a + b
    got, seen = values_of(run(moved, spec, task=task).cube), on_grid_of(result, seen)
    # Scaling to [0, 1] rounds differently; 1e-3 of the range is far below any noise worth removing. What undoes an
    # optic amplifies fine detail, and these differences with it.
    share = 3e-3 if task in ("sr", "deblur") else 1e-3
    np.testing.assert_allclose(got[seen], expected[seen], atol=share * span(scene) * a)


def stripes(clean: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Offset columns in every third band, as an uneven detector makes them, over faint noise."""
    observed = clean + rng.normal(0, 0.005, clean.shape)
    observed[::3] += rng.normal(0, 0.06, (len(clean[::3]), 1, clean.shape[2]))
    return observed


def gaps(clean: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    observed = clean + rng.normal(0, 0.005, clean.shape)
    observed[rng.random(clean.shape) < 0.4] = np.nan
    return observed


def white_noise(clean: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return clean + rng.normal(0, 0.05, clean.shape)


def coarser(clean: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    fine = torch.from_numpy(clean)
    observed = blur_downsample((fine.shape[0], fine.shape[1], fine.shape[2]), 2).forward(fine).numpy()
    return observed + rng.normal(0, 0.03, observed.shape)


def blurred(clean: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    fine = torch.from_numpy(clean)
    observed = psf_blur((fine.shape[0], fine.shape[1], fine.shape[2]), 2.0).forward(fine).numpy()
    return observed + rng.normal(0, 0.03, observed.shape)


def veiled(clean: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A veil that thickens across the scene and with short wavelengths, over faint noise."""
    thickness = np.linspace(0, 1.2, clean.shape[2])[None, None, :] / np.linspace(1, 2.5, len(clean))[:, None, None]
    light = clean.max(axis=(1, 2), keepdims=True)
    return light + (clean - light) * np.exp(-thickness) + rng.normal(0, 0.002, clean.shape)


DAMAGE = {
    "denoise": white_noise, "destripe": stripes, "inpaint": gaps, "sr": coarser, "deblur": blurred, "dehaze": veiled,
}  # fmt: skip


def test_the_result_is_nearer_to_the_truth_than_the_observation(
    spec: MethodSpec, task: str, run: Run, make_cube: MakeCube
) -> None:
    assert task in DAMAGE, f"add a degradation for the task '{task}' to this test"
    clean = make_cube(18, 48, 56, seed=9)
    truth = values_of(clean).astype(np.float64)
    observed = DAMAGE[task](truth, np.random.default_rng(4))
    result = run(replace(clean, values=observed.astype(np.float32)), spec, task=task)
    # A finer grid is guessed by interpolation, a gap by its band's mean: the best guesses that need no method.
    shown = observed if result.scale == 1 else values_of(result.observed)
    guess = np.where(np.isnan(shown), np.nanmean(shown, axis=(1, 2), keepdims=True), shown)
    before, after = (float(np.sqrt(np.mean((x - truth) ** 2))) for x in (guess, values_of(result.cube)))
    # At least 2 dB: less than a running mean over three bands would give.
    assert after < 0.8 * before

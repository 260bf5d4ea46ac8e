"""What is black, and that no more haze is taken away than leaves it black; the airlight; the unit of the thickness."""

from __future__ import annotations

import runpy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from hsi_app.cube import Cube
from hsi_app.jobs import Job
from hsi_app.methods.lowrank.prepare import survey
from hsi_app.methods.mphsir import haze
from hsi_app.methods.mphsir.network import Prompted
from hsi_app.methods.mphsir.prepare import prepare
from hsi_app.methods.mphsir.run import BLACK_NOISE, VEIL_SHARE
from hsi_app.methods.mphsir.run import restore as restore_problem
from hsi_app.methods.mphsir.spec import MpHsirParameters
from hsi_app.methods.mphsir.veil import filled, projected, veil
from hsi_app.physics.degrade import degrade
from hsi_app.problem import Problem, Restoration
from hsi_app.runner import Settings, restore
from hsi_app.scene import Scene
from hsi_app.tiling import Window

RECIPE = Path(__file__).parents[2] / "models" / "recipes" / "prompted"
made_scene: Callable[..., Cube] = runpy.run_path(str(RECIPE / "clean_scenes.py"))["made_scene"]

# As many bands as the network sees means of: each mean is one band.
BANDS, SIDE = 32, 64
SINGLE = 1e-5


@pytest.fixture(scope="module")
def land() -> Cube:
    """Land in which something is black in every band."""
    made = made_scene(np.random.default_rng(1), BANDS, SIDE)
    values = made.read()
    return Cube(values - values.min((1, 2), keepdims=True), made.axis)


@pytest.fixture(scope="module")
def hazy(land: Cube) -> Cube:
    return degrade(land, "haze-0.75").observed


def scene_of(cube: Cube) -> Scene:
    return Scene(cube, np.arange(cube.shape[0]), torch.device("cpu"))


def with_values(cube: Cube, values: np.ndarray) -> Cube:
    return Cube(values.astype(np.float32), cube.axis)


def problem_of(cube: Cube) -> tuple[Problem, Scene]:
    scene = scene_of(cube)
    shared = prepare(scene, MpHsirParameters(), "dehaze", Job())
    values, valid = scene.tensors()
    whole = Window(0, 0, *cube.shape[1:])
    return Problem(values, valid, "dehaze", scene.wavelengths_nm, whole, shared=shared), scene


def cleared(problem: Problem, **changed: np.ndarray) -> Restoration:
    problem = replace(problem, shared={**problem.shared, **changed})
    return restore_problem(problem, MpHsirParameters(weights="none"), Job())


@contextmanager
def answering(veil_change: float) -> Iterator[None]:
    """A network that finds a haze that much thicker everywhere."""

    def bands(self: Prompted, seen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.zeros_like(seen[:, : self.network.group]), torch.full_like(seen[:, :1], veil_change)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Prompted, "bands", bands)
        yield


# ---- what is black


def black_of(cube: Cube) -> np.ndarray:
    shared = prepare(scene_of(cube), MpHsirParameters(), "dehaze", Job())
    return np.asarray(shared["black"])


@pytest.mark.parametrize("lifted", [0.0, 0.2])
def test_black_is_a_stored_zero_whatever_the_darkest_sample(hazy: Cube, lifted: float) -> None:
    scene = scene_of(with_values(hazy, hazy.read() + lifted))
    shared = prepare(scene, MpHsirParameters(), "dehaze", Job())
    black = torch.from_numpy(shared["black"])
    assert black.shape == (BANDS,)
    stored = scene.scaling.undo(black.numpy())
    np.testing.assert_allclose(stored, 0, atol=SINGLE)


def test_samples_below_zero_that_noise_explains_leave_zero_black(land: Cube) -> None:
    noise = np.random.default_rng(0).normal(0, 0.02, land.shape)
    noisy = with_values(land, land.read() + noise)
    assert float(noisy.read().min()) < -0.03
    assert np.isfinite(black_of(noisy)).all()


@pytest.mark.parametrize("below", [1.0, 0.1])
def test_where_samples_are_clearly_negative_nobody_knows_what_black_is(hazy: Cube, below: float) -> None:
    values = hazy.read().copy()
    values[7, 20:23, 30:33] = -below
    assert (black_of(with_values(hazy, values)) == -np.inf).all()


def test_a_sample_further_below_zero_than_noise_goes_leaves_no_black(land: Cube) -> None:
    values = land.read() + np.random.default_rng(0).normal(0, 0.02, land.shape)
    values[7, 20, 30] = -15 * 0.02
    assert (black_of(with_values(land, values)) == -np.inf).all()


def test_a_band_without_samples_says_nothing_of_black(hazy: Cube) -> None:
    values = hazy.read().copy()
    values[5] = np.nan
    assert np.isfinite(black_of(with_values(hazy, values))).all()


def test_results_may_go_beyond_what_was_seen_of_a_band_by_its_range(hazy: Cube) -> None:
    values = hazy.read() + 0.5
    values[5], values[9, :30] = np.nan, np.nan
    scene = scene_of(with_values(hazy, values))
    shared = prepare(scene, MpHsirParameters(), "dehaze", Job())
    seen = np.arange(BANDS) != 5
    low, high = (scene.scaling.apply(end(values[seen], (1, 2))) for end in (np.nanmin, np.nanmax))
    np.testing.assert_allclose(shared["lowest"][seen], 2 * low - high, atol=SINGLE)
    np.testing.assert_allclose(shared["highest"][seen], 2 * high - low, atol=SINGLE)
    assert (shared["lowest"][5], shared["highest"][5]) == (-np.inf, np.inf)


# ---- what is cleared


def below_black(problem: Problem, scene: Scene) -> float:
    """Where noise may bring a black sample; near the clip at the airlight the last digits are taken fiftyfold."""
    return float(-BLACK_NOISE * problem.shared["noise_std"].max() * scene.scaling.span - 50 * SINGLE)


def haze_in(values: np.ndarray, like: Cube) -> float:
    found = restore(with_values(like, values), "mphsir", {"weights": "none"}, Settings(task="dehaze", device="cpu"))
    assert np.isfinite(found.cube.read()).all()
    return float(found.extras["haze"].mean())


@pytest.mark.parametrize("level", [0.0, -0.01])
def test_dark_bands_say_nothing_of_the_haze(hazy: Cube, level: float) -> None:
    rng = np.random.default_rng(0)
    values = hazy.read() + rng.normal(0, 0.002, hazy.shape)
    expected = haze_in(values, hazy)
    values[20:24] = level + rng.normal(0, 0.002, values[20:24].shape)
    assert haze_in(values, hazy) == pytest.approx(expected, rel=0.2)


def test_a_lost_band_does_not_keep_the_haze_in(hazy: Cube) -> None:
    expected = haze_in(hazy.read(), hazy)
    values = hazy.read().copy()
    values[5] = np.nan
    found = restore(with_values(hazy, values), "mphsir", {"weights": "none"}, Settings(task="dehaze", device="cpu"))
    assert float(found.extras["haze"].mean()) == pytest.approx(expected, rel=0.2)


def test_what_is_cleared_never_goes_below_black(hazy: Cube) -> None:
    problem, scene = problem_of(hazy)
    thick = problem.shared["thickness"] + 2
    bounded = scene.scaling.undo(cleared(problem, thickness=thick).values.numpy())
    assert bounded.min() > below_black(problem, scene)
    free = cleared(problem, thickness=thick, black=np.full(BANDS, -np.inf))
    assert scene.scaling.undo(free.values.numpy()).min() < -0.3


def test_a_network_that_finds_more_haze_does_not_go_below_black_either(hazy: Cube) -> None:
    problem, scene = problem_of(hazy)
    with answering(2.0):
        found = cleared(problem, thickness_error=np.array(1 / VEIL_SHARE))
    assert scene.scaling.undo(found.values.numpy()).min() > below_black(problem, scene)


def test_a_network_corrects_what_black_allows(hazy: Cube) -> None:
    problem, _ = problem_of(hazy)
    most = cleared(problem, thickness=np.full((SIDE, SIDE), 4.0)).plain["haze"]
    with answering(-0.25):
        changed = {"thickness": np.full((SIDE, SIDE), 4.0), "thickness_error": np.array(1 / VEIL_SHARE)}
        found = cleared(problem, **changed).plain["haze"]
    torch.testing.assert_close(found, (most - 0.25).clamp_min(0), atol=SINGLE, rtol=0)


def test_scenes_with_clearly_negative_samples_are_cleared_without_a_bound(hazy: Cube) -> None:
    values = hazy.read().copy()
    values[7, 20:23, 30:33] = -0.3
    problem, _ = problem_of(with_values(hazy, values))
    thick = np.linspace(0, 3, SIDE * SIDE).reshape(SIDE, SIDE)
    found = cleared(problem, thickness=thick)
    np.testing.assert_allclose(found.plain["haze"].numpy(), thick, atol=SINGLE)


def test_missing_samples_are_not_taken_for_black(hazy: Cube) -> None:
    mask = np.ones(hazy.shape, bool)
    mask[7, ::4, ::4] = False
    thick = np.full((SIDE, SIDE), 1.0)
    gappy, whole = (
        cleared(problem_of(cube)[0], thickness=thick).plain["haze"][::4, ::4]
        for cube in (replace(hazy, valid=mask), hazy)
    )
    assert float(gappy.mean()) > 0.8 * float(whole.mean())


def test_half_the_strength_takes_half_of_what_black_allows(hazy: Cube) -> None:
    problem, _ = problem_of(hazy)
    thick = np.full((SIDE, SIDE), 4.0)
    whole, half = (cleared(problem, thickness=thick, strength=np.array(share)).plain["haze"] for share in (1.0, 0.5))
    torch.testing.assert_close(half, whole / 2)


# ---- the thickness as it is told


def dehazed(cube: Cube) -> np.ndarray:
    return restore(cube, "mphsir", {}, Settings(task="dehaze", device="cpu")).extras["haze"]


def test_the_thickness_that_is_told_does_not_depend_on_the_unit_of_the_cube(hazy: Cube) -> None:
    small, large = dehazed(hazy), dehazed(with_values(hazy, 1000 * hazy.read()))
    assert small.max() > 0.5
    np.testing.assert_allclose(large, small, atol=1e-3)


# ---- the airlight, and what is missing


def test_without_noise_the_airlight_is_that_of_the_samples(hazy: Cube) -> None:
    scene = scene_of(hazy)
    shared = survey(scene, "dehaze", Job(), rank=3, outliers="off")
    light = veil(scene, shared, Job())[0]["airlight"]
    np.testing.assert_allclose(light, haze.airlight(*scene.tensors()), rtol=1e-6)


def test_noise_does_not_make_the_airlight_brighter(hazy: Cube) -> None:
    noise = np.random.default_rng(0).normal(0, 0.05, hazy.shape)
    scene = scene_of(with_values(hazy, hazy.read() + noise))
    shared = survey(scene, "dehaze", Job(), rank=None, outliers="off")
    light = scene.scaling.undo(veil(scene, shared, Job())[0]["airlight"])
    brightest = hazy.read().max((1, 2))
    raw = scene.scaling.undo(haze.airlight(*scene.tensors()).numpy())
    assert np.abs(light - brightest).mean() < 0.5 * np.abs(raw - brightest).mean()


def test_missing_samples_are_filled_and_the_others_stay(hazy: Cube) -> None:
    mask = np.random.default_rng(0).random(hazy.shape) > 0.2
    scene = scene_of(replace(hazy, valid=mask))
    shared = survey(scene, "dehaze", Job(), rank=None, outliers="off")
    values, valid = scene.tensors()
    found = filled(values, valid, shared)
    assert torch.equal(found[valid], values[valid])
    assert torch.equal(found[~valid], projected(values, shared)[~valid])


def test_where_nothing_is_missing_nothing_is_filled(hazy: Cube) -> None:
    scene = scene_of(hazy)
    shared = survey(scene, "dehaze", Job(), rank=3, outliers="off")
    values, valid = scene.tensors()
    assert torch.equal(filled(values, valid, shared), values)

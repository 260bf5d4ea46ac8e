"""A scene hands out the same scaled values however much memory it may use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from hsi_app.bands import BandAxis
from hsi_app.cube import Cube
from hsi_app.errors import CubeError
from hsi_app.scaling import fit_scaling
from hsi_app.scene import Scene
from hsi_app.tiling import Window

CPU = torch.device("cpu")
SMALL, LARGE = 1, 2**30  # bytes: read window by window, or kept whole
MakeCube = Callable[..., Cube]


def scene_of(cube: Cube, budget: int = LARGE, **more: np.ndarray) -> Scene:
    return Scene(cube, np.arange(cube.shape[0]), CPU, budget=budget, **more)


@pytest.fixture
def gappy(make_cube: MakeCube) -> Cube:
    values = np.asarray(make_cube(sigma=0.05).values).copy()
    values[3, 4:8, :] = np.nan
    values[:, 0, 0] = -9999
    return make_cube(values=values, nodata=-9999.0)


def test_budget_decides_whether_the_scene_is_kept(gappy: Cube) -> None:
    assert scene_of(gappy, LARGE).holds_whole
    assert not scene_of(gappy, SMALL).holds_whole


def test_scaling_and_windows_do_not_depend_on_the_budget(gappy: Cube) -> None:
    kept, read = scene_of(gappy, LARGE), scene_of(gappy, SMALL)
    assert kept.scaling == read.scaling
    assert kept.sample_windows(256) == read.sample_windows(256)
    for window in (None, Window(3, 5, 7, 9)):
        for a, b in zip(kept.tensors(window), read.tensors(window), strict=True):
            assert torch.equal(a, b)


def test_a_swath_outside_all_sampled_places_is_scaled_alike_for_every_budget() -> None:
    # Eight rows between the 64 px windows that a 900 x 300 scene is sampled in; the rest is missing.
    values = np.full((2, 900, 300), np.nan, np.float32)
    rows = {
        r
        for w in scene_of(Cube(np.zeros((2, 900, 300), np.float32))).sample_windows()
        for r in range(w.row, w.row + 64)
    }
    free = [r for r in range(900) if r not in rows][:8]
    assert len(free) == 8
    values[:, free] = np.random.default_rng(0).normal(50, 10, (2, 8, 300))
    scalings = {scene_of(Cube(values), budget).scaling for budget in (1, 2**18, LARGE)}
    assert len(scalings) == 1
    expected = fit_scaling(values[np.isfinite(values)])
    assert scalings.pop().span == pytest.approx(expected.span, rel=0.1)


def test_strips_cover_the_scene_in_order(gappy: Cube) -> None:
    for budget in (SMALL, 2**17, LARGE):
        whole = torch.cat([values for _, values, _ in scene_of(gappy, budget).strips()], 1)
        assert torch.equal(whole, scene_of(gappy).tensors()[0])


def test_missing_samples_are_zero_and_flagged(gappy: Cube) -> None:
    values, valid = scene_of(gappy).tensors()
    assert not valid[3, 4:8].any()
    assert not valid[:, 0, 0].any()
    assert (values[~valid] == 0).all()
    assert torch.isfinite(values).all()


@pytest.mark.parametrize("kind", [bool, np.uint8, np.float32])
def test_a_mask_adds_to_what_the_cube_itself_misses(gappy: Cube, kind: type) -> None:
    mask = np.ones(gappy.shape[1:], kind)
    mask[10, 10] = 0
    valid = scene_of(gappy, mask=mask).tensors()[1]
    assert not valid[:, 10, 10].any()
    assert not valid[3, 4:8].any()
    assert valid[:, 11, 11].all()


def test_a_mask_of_255_means_observed(gappy: Cube) -> None:
    mask = np.full(gappy.shape[1:], 255, np.uint8)
    assert torch.equal(scene_of(gappy, mask=mask).tensors()[1], scene_of(gappy).tensors()[1])


def test_only_the_chosen_bands_are_read(make_cube: MakeCube) -> None:
    cube = make_cube()
    scene = Scene(cube, np.array([1, 4, 7]), CPU)
    assert scene.shape == (3, 32, 40)
    np.testing.assert_array_equal(scene.wavelengths_nm, cube.axis.centres_nm[[1, 4, 7]])
    scaled = scene.scaling.apply(np.asarray(cube.values)[[1, 4, 7]])
    np.testing.assert_array_equal(scene.tensors()[0].numpy(), scaled)


def test_unscaling_returns_the_stored_values(make_cube: MakeCube) -> None:
    values = (np.asarray(make_cube(sigma=0.05).values) * 8000 + 300).astype(np.int16)
    scene = scene_of(Cube(values))
    back = scene.scaling.undo(scene.tensors()[0].numpy())
    np.testing.assert_allclose(back, values, atol=2e-3)  # float32 over a span of about 8000


def test_scaling_maps_the_robust_range_to_zero_and_one() -> None:
    samples = np.linspace(100, 1100, 10_001, dtype=np.float32)
    samples[-3:] = 1e9  # glints
    scaling = fit_scaling(samples)
    assert scaling.offset == pytest.approx(101, abs=0.5)
    assert scaling.span == pytest.approx(998, abs=1)


@pytest.mark.parametrize("count", [20, 500, 1500])
def test_one_glint_among_few_samples_does_not_set_the_scale(count: int) -> None:
    samples = np.linspace(0, 1, count, dtype=np.float32)
    samples[count // 2] = 1e9
    assert fit_scaling(samples).span == pytest.approx(1, abs=0.12)


def test_scaling_of_a_mostly_constant_scene_still_has_its_span() -> None:
    samples = np.zeros(100_000, np.float32)
    samples[:20] = 5000  # 0.02 %: beyond the 99.9 percentile
    assert fit_scaling(samples).span == 5000


def test_scaling_a_constant_scene_keeps_its_unit() -> None:
    assert fit_scaling(np.full(10, 7.0, np.float32)).span == 1


def test_sampling_covers_a_large_scene_evenly_within_its_size() -> None:
    cube = Cube(np.broadcast_to(np.float32(0), (1, 3000, 1000)))
    windows = scene_of(cube).sample_windows(2**16)
    assert sum(w.pixels for w in windows) <= 2**16
    assert all(w.row + w.height <= 3000 and w.col + w.width <= 1000 for w in windows)
    assert {min(w.row for w in windows), max(w.row + w.height for w in windows)} == {0, 3000}
    assert {min(w.col for w in windows), max(w.col + w.width for w in windows)} == {0, 1000}


@pytest.mark.parametrize("budget", [SMALL, LARGE])
def test_a_scene_without_any_sample_is_refused(budget: int) -> None:
    with pytest.raises(CubeError, match="every sample is missing"):
        scene_of(Cube(np.full((2, 5, 5), np.nan, np.float32)), budget)


def test_a_scene_of_bad_bands_alone_says_how_to_restore_them() -> None:
    cube = Cube(np.ones((2, 4, 4), np.float32), BandAxis(2, bad=[True, True]))
    with pytest.raises(CubeError, match="--bad-bands restore"):
        Scene(cube, cube.axis.good, CPU)


def test_a_mask_of_another_shape_is_refused() -> None:
    with pytest.raises(CubeError, match=r"mask of shape \(3, 4\)"):
        scene_of(Cube(np.ones((2, 4, 4), np.float32)), mask=np.ones((3, 4), bool))


def test_a_physical_scene_is_proportional_to_the_physical_value(make_cube: MakeCube) -> None:
    gain, offset = np.linspace(0.5, 2, 6), np.linspace(0, 0.3, 6)
    cube = replace(make_cube(6, 20, 16), gain=gain, offset=offset)
    scene = Scene(cube, np.array([1, 2, 5]), CPU, physical=True)
    assert scene.scaling.offset == 0
    expected = (cube.read() * gain[:, None, None] + offset[:, None, None])[[1, 2, 5]]
    np.testing.assert_allclose(scene.tensors()[0].numpy() * scene.scaling.span, expected, rtol=1e-5)
    # A window reads the same as the whole.
    part = Scene(cube, np.array([1, 2, 5]), CPU, physical=True, budget=1)
    window = Window(3, 2, 5, 7)
    torch.testing.assert_close(part.tensors(window)[0], scene.tensors(window)[0])


def test_a_scene_knows_how_many_of_its_kind_memory_holds(make_cube: MakeCube) -> None:
    # 4 bands of 100 px at 9 bytes (stored, float32, validity), twice.
    scene = scene_of(make_cube(4, 10, 10), budget=4 * 7200)
    assert scene.holds_whole
    assert scene.would_hold(4)
    assert not scene.would_hold(5)

"""Cubic interpolation: exact where it must be, the same in pieces, and careful with gaps."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from hsi_app.cube import Cube
from hsi_app.physics.resample import REACH_PX, interpolate, interpolated
from hsi_app.tiling import Window

MakeCube = Callable[..., Cube]


def everywhere(values: torch.Tensor) -> torch.Tensor:
    return torch.ones(values.shape, dtype=torch.bool)


def places(length: int, scale: int) -> torch.Tensor:
    """Where the fine pixels lie, in coarse ones."""
    return (torch.arange(length * scale, dtype=torch.float64) + 0.5) / scale - 0.5


@pytest.mark.parametrize("scale", [2, 3, 4, 7, 16])
def test_a_parabola_comes_back_exactly_away_from_the_edge(scale: int) -> None:
    # Keys' kernel with a = -1/2 is the one of third order: exact up to degree two, along both axes.
    def surface(row: torch.Tensor, col: torch.Tensor) -> torch.Tensor:
        return (1 + 2 * row[:, None] - 0.3 * row[:, None] ** 2) * (2 - col[None] + 0.1 * col[None] ** 2)

    coarse = surface(places(9, 1), places(11, 1))[None]
    fine = interpolate(coarse, everywhere(coarse), scale)
    expected = surface(places(9, scale), places(11, scale))
    inner = slice(REACH_PX * scale, -REACH_PX * scale)
    torch.testing.assert_close(fine[0, inner, inner], expected[inner, inner], atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("scale", [2, 3, 5])
def test_it_is_the_cubic_of_torch_but_for_the_constant_of_the_kernel(scale: int) -> None:
    # torch fixes a = -3/4; on an image that is linear along each axis both are the same, edges aside.
    rows, cols = torch.meshgrid(torch.arange(8.0), torch.arange(9.0), indexing="ij")
    image = (rows + 2 * cols)[None]
    theirs = torch.nn.functional.interpolate(image[None], scale_factor=scale, mode="bilinear", align_corners=False)[0]
    inner = slice(REACH_PX * scale, -REACH_PX * scale)
    torch.testing.assert_close(interpolate(image, everywhere(image), scale)[:, inner, inner], theirs[:, inner, inner])


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 1, 7), (3, 5, 2)])
def test_a_constant_stays_constant_up_to_the_edge(shape: tuple[int, int, int]) -> None:
    image = torch.full(shape, 0.3)
    fine = interpolate(image, everywhere(image), 4)
    assert fine.shape == (shape[0], 4 * shape[1], 4 * shape[2])
    torch.testing.assert_close(fine, torch.full_like(fine, 0.3))


def test_scale_one_changes_nothing_but_gaps() -> None:
    image = torch.rand(2, 4, 5)
    valid = everywhere(image)
    valid[1, 2, 3] = False
    out = interpolate(image, valid, 1)
    assert torch.equal(out[valid], image[valid])
    assert torch.isnan(out[1, 2, 3])


@pytest.mark.parametrize("garbage", [0.0, 1e9, float("nan")])
def test_a_gap_takes_its_block_and_nothing_else_and_its_value_counts_nowhere(garbage: float) -> None:
    image = torch.linspace(0.4, 0.6, 2 * 9 * 10).reshape(2, 9, 10)
    valid = everywhere(image)
    valid[0, 4, 5] = valid[0, 0, 0] = valid[0, 4, 6] = False
    fine = interpolate(torch.where(valid, image, garbage), valid, 3)
    lost = torch.isnan(fine)
    assert torch.equal(lost, (~valid).repeat_interleave(3, 1).repeat_interleave(3, 2))
    assert fine[~lost].min() > 0.39
    assert fine[~lost].max() < 0.61
    # A band without gaps is untouched by those of another.
    assert torch.equal(fine[1:], interpolate(image[1:], valid[1:], 3))


def test_away_from_a_gap_the_cubic_stands() -> None:
    image = torch.rand(1, 12, 12, generator=torch.Generator().manual_seed(0))
    valid = everywhere(image)
    valid[0, 5, 5] = False
    fine, whole = interpolate(image, valid, 2), interpolate(image, everywhere(image), 2)
    far = torch.ones(24, 24, dtype=torch.bool)
    far[2 * (5 - REACH_PX) : 2 * (6 + REACH_PX), 2 * (5 - REACH_PX) : 2 * (6 + REACH_PX)] = False
    assert torch.equal(fine[0][far], whole[0][far])


# Cubes


@pytest.fixture
def coarse(make_cube: MakeCube) -> Cube:
    """Not square, with gaps, nodata and a mask of its own."""
    values = np.asarray(make_cube(4, 11, 17, sigma=0.1).values).copy()
    values[2, 4:6, 3] = -9.0
    values[:, 10, 16] = np.nan
    valid = np.ones((11, 17), bool)
    valid[0, 8] = False
    return make_cube(4, 11, 17, values=values, nodata=-9.0, valid=valid)


def test_the_interpolated_cube_keeps_the_facts_on_the_finer_grid(coarse: Cube) -> None:
    fine = interpolated(coarse, 3)
    assert fine.shape == (4, 33, 51)
    assert fine.dtype == np.float32
    assert fine.axis == coarse.axis
    assert fine.georef is not None
    assert fine.georef.transform == (10.0, 0.0, 380_000.0, 0.0, -10.0, 5_820_000.0)
    assert len(fine.history) == len(coarse.history) + 1


def test_missing_samples_stay_missing(coarse: Cube) -> None:
    expected = coarse.block()[1].repeat(3, axis=1).repeat(3, axis=2)
    np.testing.assert_array_equal(interpolated(coarse, 3).block()[1], expected)


@pytest.mark.parametrize(
    "window", [Window(0, 0, 1, 1), Window(5, 7, 11, 2), Window(32, 50, 1, 1), Window(1, 0, 31, 51), Window(4, 4, 2, 40)]
)
def test_a_window_is_the_same_as_that_part_of_the_whole(coarse: Cube, window: Window) -> None:
    fine = interpolated(coarse, 3)
    whole, seen = fine.block()
    values, valid = fine.block(window, [3, 1])
    np.testing.assert_array_equal(valid, seen[[3, 1]][(slice(None), *window.slices)])
    np.testing.assert_allclose(values, whole[[3, 1]][(slice(None), *window.slices)], atol=1e-6)


def test_every_nth_sample_can_be_read(coarse: Cube) -> None:
    fine = interpolated(coarse, 2)
    np.testing.assert_allclose(np.asarray(fine.values[1:3, ::5, ::-3]), np.asarray(fine.values)[1:3, ::5, ::-3])


def test_a_cube_in_a_file_is_read_only_where_it_is_needed(coarse: Cube, tmp_path: Path) -> None:
    from hsi_app.io import open_cube, save_cube

    save_cube(coarse, tmp_path / "coarse.hdr")
    stored = open_cube(tmp_path / "coarse.hdr")
    asked: list[Window | None] = []

    class Watched(Cube):
        """Notes what is read."""

        def read(self, window: Window | None = None, bands: object = None) -> np.ndarray:
            asked.append(window)
            return super().read(window, bands)  # type: ignore[arg-type]

    watched = Watched(stored.values, nodata=-9.0)
    np.asarray(interpolated(watched, 2).values[:, 8:12, 8:10])
    assert asked[-1] == Window(2, 2, 6, 5)


def test_it_can_go_to_another_process(coarse: Cube) -> None:
    fine = interpolated(replace(coarse, valid=None), 2)
    copy = pickle.loads(pickle.dumps(fine.values))
    np.testing.assert_array_equal(np.asarray(copy), np.asarray(fine.values))

"""Tilings cover the image, their weights add to one, and their context is what was asked for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsi_app.tiling import Window, plan_tiles, strips

sides = st.integers(1, 90)
overlaps = st.integers(0, 9)
aligns = st.integers(1, 8)


@given(sides, sides, sides, sides, overlaps, aligns)
def test_weights_add_to_one_at_every_pixel(h: int, w: int, th: int, tw: int, overlap: int, align: int) -> None:
    total = np.zeros((h, w))
    for tile in plan_tiles((h, w), (th, tw), overlap=overlap, align=align):
        total[tile.keep.slices] += tile.weight
    np.testing.assert_allclose(total, 1, atol=1e-6)


@given(sides, sides, sides, sides, overlaps, aligns)
def test_every_tile_keeps_something_and_weighs_it(h: int, w: int, th: int, tw: int, overlap: int, align: int) -> None:
    for tile in plan_tiles((h, w), (th, tw), overlap=overlap, align=align):
        assert tile.keep.pixels > 0
        assert (tile.weight > 0).all()


@given(sides, sides, sides, overlaps, aligns)
def test_tiles_begin_on_the_grid_of_the_method(h: int, w: int, size: int, overlap: int, align: int) -> None:
    for tile in plan_tiles((h, w), (size, size), margin=2 * align, overlap=overlap, align=align):
        for window in (tile.keep, tile.read):
            assert window.row % align == 0
            assert window.col % align == 0


@given(sides, sides, sides, sides, overlaps, aligns)
def test_tiles_are_no_larger_than_asked(h: int, w: int, th: int, tw: int, overlap: int, align: int) -> None:
    # Unless asked for less than overlap and alignment leave possible.
    least = overlap + align + -(-3 * (overlap + align) // 2)
    for tile in plan_tiles((h, w), (th, tw), overlap=overlap, align=align):
        assert tile.keep.height <= max(th, least)
        assert tile.keep.width <= max(tw, least)


@given(sides, sides, sides, st.integers(0, 9))
def test_each_tile_reads_its_margin_up_to_the_edge_of_the_image(h: int, w: int, size: int, margin: int) -> None:
    for tile in plan_tiles((h, w), (size, size), margin=margin):
        keep, read = tile.keep, tile.read
        assert read.row == max(keep.row - margin, 0)
        assert read.row + read.height == min(keep.row + keep.height + margin, h)
        assert read.col == max(keep.col - margin, 0)
        assert read.col + read.width == min(keep.col + keep.width + margin, w)


def test_tiles_come_in_row_major_order() -> None:
    corners = [(t.keep.row, t.keep.col) for t in plan_tiles((40, 50), (15, 20), overlap=3)]
    assert corners == sorted(corners)


def test_no_tile_is_thin() -> None:
    # 100 = 33 + 33 + 34, not 48 + 48 + 4.
    heights = {tile.keep.height for tile in plan_tiles((100, 10), (48, 10))}
    assert min(heights) >= 33


def test_a_window_inside_another_finds_its_own_pixels() -> None:
    image = np.arange(80).reshape(8, 10)
    inner = Window(2, 3, 3, 4)
    outer = inner.grown(2, image.shape)
    np.testing.assert_array_equal(image[outer.slices][inner.inside(outer)], image[inner.slices])


@pytest.mark.parametrize("rows", [0, 1, 3, 7, 100])
def test_strips_cover_each_row_once(rows: int) -> None:
    covered = [r for window in strips((7, 4), rows) for r in range(window.row, window.row + window.height)]
    assert covered == list(range(7))


@given(sides, sides, sides, sides, overlaps, st.integers(1, 5))
def test_weights_add_to_one_on_a_finer_grid_too(h: int, w: int, th: int, tw: int, overlap: int, scale: int) -> None:
    total = np.zeros((h * scale, w * scale))
    for tile in plan_tiles((h, w), (th, tw), overlap=overlap):
        fine = tile.scaled(scale)
        assert fine.blends == tile.blends
        assert (fine.weight > 0).all()
        total[fine.keep.slices] += fine.weight
    np.testing.assert_allclose(total, 1, atol=1e-6)


def test_a_ramp_stays_linear_on_a_finer_grid() -> None:
    first = plan_tiles((10, 60), (10, 30), overlap=6)[0].scaled(4)
    fall = first.ramps[1][-24:]
    np.testing.assert_allclose(np.diff(fall), -1 / 24, rtol=1e-4)
    np.testing.assert_allclose([fall[0], fall[-1]], [1 - 1 / 48, 1 / 48], rtol=1e-4)
    assert (first.ramps[1][:-24] == 1).all()


def test_a_window_on_a_finer_grid_and_back_is_itself() -> None:
    window = Window(2, 3, 5, 7)
    assert window.scaled(4) == Window(8, 12, 20, 28)
    assert window.scaled(4).shrunk(4) == window

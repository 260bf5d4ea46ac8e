"""The streaming mosaic gives what blending all tiles at once would give, and gives it out exactly once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsi_app.mosaic import Mosaic
from hsi_app.tiling import Tile, plan_tiles

BANDS = 2


def assemble(tiles: list[Tile], pieces: list[np.ndarray], shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The image as written, and how often each pixel was written."""
    image, writes = np.full((BANDS, *shape), np.inf, np.float32), np.zeros(shape, int)
    mosaic = Mosaic(tiles)
    for tile, piece in zip(tiles, pieces, strict=True):
        for window, block in mosaic.add(tile, piece):
            image[(slice(None), *window.slices)] = block
            writes[window.slices] += 1
    return image, writes


def pieces_of(tiles: list[Tile], seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(BANDS, t.keep.height, t.keep.width)).astype(np.float32) for t in tiles]


sides = st.integers(1, 60)


@given(sides, sides, st.integers(4, 40), st.integers(0, 6))
def test_streamed_equals_direct_blending(h: int, w: int, size: int, overlap: int) -> None:
    tiles = plan_tiles((h, w), (size, size), overlap=overlap)
    pieces = pieces_of(tiles)
    direct = np.zeros((BANDS, h, w))
    for tile, piece in zip(tiles, pieces, strict=True):
        direct[(slice(None), *tile.keep.slices)] += piece * tile.weight
    image, writes = assemble(tiles, pieces, (h, w))
    np.testing.assert_allclose(image, direct, atol=1e-5)
    assert (writes == 1).all()


@pytest.mark.parametrize("overlap", [0, 4])
def test_a_pixel_one_tile_could_not_restore_comes_from_its_neighbour(overlap: int) -> None:
    tiles = plan_tiles((30, 30), (16, 16), overlap=overlap)
    pieces = [np.ones((BANDS, t.keep.height, t.keep.width), np.float32) for t in tiles]
    pieces[0][:] = np.nan
    image, _ = assemble(tiles, pieces, (30, 30))
    others = np.zeros((30, 30), bool)
    for tile in tiles[1:]:
        others[tile.keep.slices] = True
    np.testing.assert_allclose(image[:, others], 1, atol=1e-6)
    assert np.isnan(image[:, ~others]).all()


def test_finished_rows_are_given_out_before_the_last_tile() -> None:
    tiles = plan_tiles((60, 20), (20, 20), overlap=4)
    mosaic = Mosaic(tiles)
    given_out = [sum(b.shape[1] for _, b in mosaic.add(t, p)) for t, p in zip(tiles, pieces_of(tiles), strict=True)]
    assert all(rows > 0 for rows in given_out)

"""The memory plan: how much a run may use, the tiles that fit it, and what to do when memory runs out all the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from hsi_app import device as devices
from hsi_app.errors import PlanError
from hsi_app.jobs import Job
from hsi_app.methods.registry import Extent
from hsi_app.scene import Scene
from hsi_app.tiling import Tile, plan_tiles

# What the interpreter needs beside tiles: Gram matrices, allocator slack, codec buffers.
RESERVE_BYTES = 160 * 2**20
SMALLEST_TILE_PX = 32


def working_budget(memory: int | None, program: int | None = None) -> int:
    """Bytes left for the work itself, of a budget for the whole process or of three quarters of what is free.

    program : bytes that the process is counted as without the work, None measures what it holds now

    Raises PlanError if the program itself already takes all of it.
    """
    held_now = devices.resident_memory() if program is None else program
    budget = devices.default_memory() if memory is None else memory - held_now
    budget -= RESERVE_BYTES
    if budget < 2**24:
        held = devices.format_bytes(held_now + RESERVE_BYTES)
        if memory is None:
            raise PlanError(f"{devices.format_bytes(budget + RESERVE_BYTES)} of memory are free; close other programs.")
        raise PlanError(
            f"memory budget of {devices.format_bytes(memory)} is used up by the program itself ({held});"
            " give --memory 1G or more."
        )
    return budget


def budget_beside(held_bytes: int, budget: int) -> int:
    """Bytes left for the work beside a result that is kept in memory; PlanError where it leaves too little."""
    if budget - held_bytes < 2**24:
        raise PlanError(
            f"the result takes {devices.format_bytes(held_bytes)} and {devices.format_bytes(budget)} are left;"
            " name a file for it, choose a smaller scale or raise --memory."
        )
    return budget - held_bytes


def tiles_within(scene: Scene, extent: Extent, budget: int, tile_px: int | None, scale: int = 1) -> list[Tile]:
    """Tiles that fit the budget; full-width strips where possible, because files are read row by row.

    ``scale`` is how many times finer the result's grid is than the scene's, on which tiles are counted.
    """
    bands, height, width = scene.shape
    itemsize = scene.cube.dtype.itemsize
    # One tile being read (stored, float32, validity), one in the method, one being written (float32, twice). A pixel
    # of the scene becomes scale^2 of the result.
    fine, times = scale**2, extent.memory_factor
    if scale > 1:
        times = times * fine if extent.finer_factor is None else times + extent.finer_factor * fine
    per_pixel = bands * (itemsize + 5 + 4 * times) + scene.cube.shape[0] * (itemsize + 13 * fine)
    per_pixel += extent.pixel_bytes * fine
    share = 0.5 if scene.holds_whole else 0.75
    room = int(budget * share / per_pixel)
    border = 2 * extent.margin_px
    if height * width <= room and tile_px is None:
        return plan_tiles((height, width), (height, width))
    if extent.kind == "whole":
        if height * width > room:
            raise PlanError(
                "the method needs the whole scene at once, about"
                f" {devices.format_bytes(height * width * per_pixel / share)}, and may use"
                f" {devices.format_bytes(budget)}; raise --memory or crop the scene."
            )
        return plan_tiles((height, width), (height, width))
    limit = tile_px or max(height, width)
    rows = min(room // (min(width, limit) + (0 if width <= limit else border)) - border, limit, height)
    cols = min(width, limit)
    if rows < max(SMALLEST_TILE_PX, border) and tile_px is None:
        rows = cols = min(int(np.sqrt(room)) - border, limit)
    if rows < 1 or (rows < SMALLEST_TILE_PX and rows < height and tile_px is None):
        smallest = (SMALLEST_TILE_PX + border) ** 2 * per_pixel / share
        raise PlanError(
            f"a tile of {SMALLEST_TILE_PX} px needs {devices.format_bytes(smallest)} and"
            f" {devices.format_bytes(budget)} are left; raise --memory."
        )
    return plan_tiles(
        (height, width), (rows, cols), margin=extent.margin_px, overlap=extent.overlap_px, align=extent.align_px
    )


def in_tiles_that_fit(
    scene: Scene,
    extent: Extent,
    budget: int,
    tile_px: int | None,
    job: Job,
    work: Callable[[list[Tile]], None],
    scale: int = 1,
    begun: list[Tile] | None = None,
) -> list[Tile]:
    """Do ``work`` on tiles that fit the budget; where memory runs out all the same, begin again with smaller ones.

    ``begun`` are those of an earlier run that goes on, planned with the same settings, or None. Returns the tiles it
    was done with. Raises PlanError if the smallest do not fit.
    """
    while True:
        tiles = tiles_within(scene, extent, budget, tile_px, scale) if begun is None else begun
        begun = None
        try:
            work(tiles)
            return tiles
        except (MemoryError, RuntimeError) as error:
            if isinstance(error, PlanError) or not devices.is_out_of_memory(error):
                raise
            tile_px = smaller_tile(tiles, extent)
            if tile_px is None:
                raise PlanError(
                    f"out of memory with {size_text(tiles)} px at once, the least it can do;"
                    " free memory or crop the scene."
                ) from error
            job.note(f"out of memory with tiles of {size_text(tiles)} px; went on with {tile_px} px.")


def size_text(tiles: list[Tile]) -> str:
    """Largest height and width of the tiles, '128 x 512'."""
    return f"{max(t.keep.height for t in tiles)} x {max(t.keep.width for t in tiles)}"


def smaller_tile(tiles: list[Tile], extent: Extent) -> int | None:
    """Side in px of tiles of a quarter of the area, or None where the method or its overlap cannot take that."""
    pixels = max(t.keep.pixels for t in tiles)
    if extent.kind == "whole" or pixels <= SMALLEST_TILE_PX**2:
        return None
    side = max(int(np.sqrt(pixels)) // 2, SMALLEST_TILE_PX)
    shape = (max(t.keep.row + t.keep.height for t in tiles), max(t.keep.col + t.keep.width for t in tiles))
    following = plan_tiles(shape, (side, side), overlap=extent.overlap_px, align=extent.align_px)
    return side if max(t.keep.pixels for t in following) < pixels else None


@contextmanager
def memory_as_plan(when: str) -> Iterator[None]:
    """Turn a failed allocation, which no smaller tile can help, into one line."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, PlanError) or not devices.is_out_of_memory(error):
            raise
        raise PlanError(f"out of memory {when}; free memory or crop the scene.") from error

"""The stream of tiles: the next is read and the last is written while one is computed."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from hsi_app.jobs import Job
from hsi_app.mosaic import Mosaic
from hsi_app.scene import Scene
from hsi_app.tiling import Tile, Window

if TYPE_CHECKING:
    import torch


def stream_tiles(
    scene: Scene,
    tiles: list[Tile],
    compute: Callable[[Tile, torch.Tensor, torch.Tensor, Job], np.ndarray],
    write: Callable[[Window, np.ndarray], None],
    job: Job,
    scale: int = 1,
) -> None:
    """Compute every tile and hand finished windows on.

    Parameters
    ----------
    scene : what is read
    tiles : in the order to work on them
    compute : (tile, values, valid, job) -> (C, scale h, scale w) array of ``tile.keep``; in the calling thread
    write : takes each finished window once; in a thread of its own, one call at a time
    job : for progress and cancelling
    scale : how many times finer the grid of results and finished windows is than the scene's
    """
    placed = [tile.scaled(scale) for tile in tiles]
    mosaic, single = Mosaic(placed), len(tiles) == 1

    def finish(tile: Tile, block: np.ndarray) -> None:
        for window, whole in mosaic.add(tile, block):
            write(window, whole)

    with ThreadPoolExecutor(1, "hsi-read") as reader, ThreadPoolExecutor(1, "hsi-write") as writer:
        coming = reader.submit(scene.tensors, tiles[0].read)
        going: Future[None] | None = None
        for index, tile in enumerate(tiles):
            values, valid = coming.result()
            if index + 1 < len(tiles):
                coming = reader.submit(scene.tensors, tiles[index + 1].read)
            part = job.part(index / len(tiles), 1 / len(tiles))
            block = compute(tile, values, valid, part)
            del values, valid
            if going is not None:
                going.result()
            going = writer.submit(finish, placed[index], block)
            if single:
                going.result()
            part.step(1.0, f"tile {index + 1} of {len(tiles)}")
        assert going is not None
        going.result()

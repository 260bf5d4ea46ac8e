"""The network over a scene: patches of one size on a grid that belongs to the scene, blended where they overlap.

Every tile of a scene shares the grid, so a pixel gets the same answer whichever tile it lies in.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from hsi_app.jobs import Job
from hsi_app.methods.mphsir.spec import MpHsirParameters
from hsi_app.tiling import Window

# The size the network was trained at, and how far neighbours overlap.
SIDE_PX, OVERLAP_PX = 64, 16
# Patches at a time; each takes some 20 MB on the way through the network.
AT_A_TIME = {"cpu": 4, "cuda": 64}
# Turned and mirrored: quarter turns, and whether mirrored before.
VIEWS = tuple((turns, mirrored) for mirrored in (False, True) for turns in range(4))

Answer = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Grid:
    """Where patches begin in a tensor (..., H, W) that lies at ``place`` in its scene; some begin before it."""

    rows: tuple[int, ...]
    cols: tuple[int, ...]
    height: int
    width: int
    overlap: int = OVERLAP_PX

    @classmethod
    def of(cls, place: Window, overlap: int = OVERLAP_PX) -> Grid:
        """The grid of the scene as far as ``place`` reaches."""
        return cls(
            _starts(place.row, place.height, overlap), _starts(place.col, place.width, overlap),
            place.height, place.width, overlap,
        )  # fmt: skip

    def patches(self) -> Iterator[tuple[int, int]]:
        """Corners, row by row."""
        return ((row, col) for row in self.rows for col in self.cols)

    def __len__(self) -> int:
        return len(self.rows) * len(self.cols)


def _starts(first: int, length: int, overlap: int) -> tuple[int, ...]:
    """Patches of the scene's grid that cover [first, first + length), as offsets from ``first``."""
    step = SIDE_PX - overlap
    inside = [start - first for start in range(first // step * step, first + length, step)]
    # A patch that its neighbour covers altogether has nothing to add.
    return tuple(start for start in inside if start == inside[0] or start + overlap < length)


def correct_patches(
    maps: torch.Tensor,
    place: Window,
    answer: Answer,
    on_step: Callable[[float], None] = lambda fraction: None,
    *,
    view: int = 0,
    overlap: int = OVERLAP_PX,
) -> torch.Tensor:
    """Cut, answer, blend.

    Parameters
    ----------
    maps : (C, H, W)
    place : where they lie in the scene
    answer : (N, C, SIDE_PX, SIDE_PX) -> (N, C', SIDE_PX, SIDE_PX)
    on_step : told the fraction done; may raise to stop
    view : 0 to 7, which turned or mirrored view of each patch is shown; the answer is turned back

    Returns
    -------
    (C', H, W)
    """
    grid = Grid.of(place, overlap)
    corners, count = list(grid.patches()), AT_A_TIME.get(maps.device.type, 4)
    ramp = _ramp(overlap).to(maps)
    weight = ramp[:, None] * ramp
    total: torch.Tensor | None = None
    mass = maps.new_zeros(grid.height, grid.width)
    for begin in range(0, len(corners), count):
        some = corners[begin : begin + count]
        found = _turned(answer(torch.stack([_turned(_cut(maps, *corner), view) for corner in some])), view, back=True)
        if total is None:
            total = maps.new_zeros(found.shape[1], grid.height, grid.width)
        for (row, col), patch in zip(some, found.to(maps.dtype), strict=True):
            top, left = max(row, 0), max(col, 0)
            bottom, right = min(row + SIDE_PX, grid.height), min(col + SIDE_PX, grid.width)
            inside = slice(top - row, bottom - row), slice(left - col, right - col)
            total[:, top:bottom, left:right] += patch[:, inside[0], inside[1]] * weight[inside]
            mass[top:bottom, left:right] += weight[inside]
        on_step(min(begin + count, len(corners)) / len(corners))
    assert total is not None
    return total / mass


def in_views(
    maps: torch.Tensor, place: Window, answer: Answer, params: MpHsirParameters, job: Job, doing: str
) -> list[torch.Tensor]:
    """What ``correct_patches`` gives for each view that was asked for."""

    def one(view: int) -> torch.Tensor:
        def told(fraction: float) -> None:
            job.step((view + fraction) / params.views, doing)

        return correct_patches(maps, place, answer, told, view=view, overlap=params.overlap)

    return [one(view) for view in range(params.views)]


def spread_of(answers: list[torch.Tensor], lift: torch.Tensor, about: torch.Tensor) -> torch.Tensor:
    """(B, H, W) standard deviation over two or more views of (r, H, W) images, lifted to bands by ``lift`` (B, r).

    about : (r, H, W) what they scatter about, their mean
    """
    squares = sum((lift @ (one - about).flatten(1)).square() for one in answers)
    return torch.as_tensor(squares).div(len(answers) - 1).sqrt().reshape(-1, *about.shape[1:])


def _ramp(overlap: int) -> torch.Tensor:
    """(SIDE_PX,) weights: 1 in the middle, a raised cosine over the overlap, above 0 at the ends."""
    ramp = torch.ones(SIDE_PX)
    if overlap:
        rise = 0.5 - 0.5 * torch.cos(math.pi * (torch.arange(overlap) + 0.5) / overlap)
        ramp[:overlap], ramp[-overlap:] = rise, rise.flip(0)
    return ramp


def _cut(maps: torch.Tensor, row: int, col: int) -> torch.Tensor:
    """A patch; beyond the edges the maps are mirrored."""
    _, height, width = maps.shape
    if row >= 0 and col >= 0 and row + SIDE_PX <= height and col + SIDE_PX <= width:
        return maps[:, row : row + SIDE_PX, col : col + SIDE_PX]
    rows, cols = (_mirrored(start, length, maps.device) for start, length in ((row, height), (col, width)))
    return maps[:, rows][:, :, cols]


def _mirrored(start: int, length: int, device: torch.device) -> torch.Tensor:
    place = torch.arange(start, start + SIDE_PX, device=device) % (2 * length)
    return torch.where(place < length, place, 2 * length - 1 - place)


def _turned(patches: torch.Tensor, view: int, *, back: bool = False) -> torch.Tensor:
    turns, mirrored = VIEWS[view]
    if back:
        patches = torch.rot90(patches, -turns, (-2, -1))
        return patches.flip(-1) if mirrored else patches
    return torch.rot90(patches.flip(-1) if mirrored else patches, turns, (-2, -1))

"""The tiles of one restoration: what a method is given, and what becomes of its answer on the way to the result."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from hsi_app import device as devices
from hsi_app.checkpoint import Checkpoint, Piece
from hsi_app.errors import CubeError
from hsi_app.jobs import Job
from hsi_app.methods.registry import MethodSpec
from hsi_app.optics import Optics
from hsi_app.params import Parameters
from hsi_app.problem import Problem, Restoration, Shared
from hsi_app.scene import Scene
from hsi_app.sinks import Sink
from hsi_app.streaming import stream_tiles
from hsi_app.tiling import Tile, Window

if TYPE_CHECKING:
    import torch

    from hsi_app.cube import Cube


class Pipeline:
    """Runs the tiles of one restoration: the next is read and the last is written while one is computed.

    Parameters
    ----------
    shown : the observed cube on the grid of the result, which protected samples come from
    optics : how the observed grid came from that of the result
    keep_observed : put observed samples back when filling gaps
    run : the method's function
    shows_extras : gather further images beside the result
    checkpoint : where finished tiles are kept and, after an interruption, found
    """

    def __init__(
        self,
        scene: Scene,
        shown: Cube,
        spec: MethodSpec,
        params: Parameters,
        task: str,
        optics: Optics,
        shared: Shared,
        keep_observed: bool,
        run: Callable[[Problem, Any, Job], Restoration],
        *,
        shows_extras: bool = True,
        checkpoint: Checkpoint | None = None,
    ) -> None:
        self.scene, self.shown, self.spec, self.params, self.task = scene, shown, spec, params, task
        self.optics, self.shared, self.keep_observed, self.run = optics, shared, keep_observed, run
        self._shows_extras, self._checkpoint = shows_extras, checkpoint
        worked = set(scene.bands.tolist())
        self._passed = [band for band in range(scene.cube.shape[0]) if band not in worked]
        self.trace: dict[str, Any] = {}
        self.extras: dict[str, np.ndarray] = {}

    def run_tiles(self, tiles: list[Tile], sink: Sink, job: Job) -> None:
        """Restore every tile and hand finished windows to ``sink``."""
        self.trace, self.extras = {}, {}
        stream_tiles(
            self.scene, tiles, self._restore_tile,
            lambda window, block: sink.write(window, self._protected(window, block)), job, self.optics.scale,
        )  # fmt: skip

    def keep_tile(self, tile: Tile, job: Job) -> None:
        """Restore one tile for the checkpoint alone, unless it has it."""
        if self._checkpoint is not None and self._checkpoint.has_tile(tile):
            return
        self._restore_tile(tile, *self.scene.tensors(tile.read), job)

    def _restore_tile(self, tile: Tile, values: torch.Tensor, valid: torch.Tensor, job: Job) -> np.ndarray:
        placed, checkpoint = tile.scaled(self.optics.scale), self._checkpoint
        if not bool(valid.any()):
            return np.full((values.shape[0], placed.keep.height, placed.keep.width), np.nan, np.float32)
        piece = None if checkpoint is None else checkpoint.tile(tile, with_extras=self._shows_extras)
        if piece is None:
            slot = None if checkpoint is None else checkpoint.slot(tile)
            piece = self._computed(tile, values, valid, job.kept_in(slot))
            if checkpoint is not None:
                checkpoint.keep_tile(tile, piece)
        if not self.trace:
            self.trace = dict(piece.trace)
        for name, image in (piece.extras or {}).items():
            if name not in self.extras:
                self.extras[name] = np.zeros((*image.shape[:-2], *self.shown.shape[1:]), np.float32)
            self.extras[name][(..., *placed.keep.slices)] += image * placed.weight
        return piece.values

    def _computed(self, tile: Tile, values: torch.Tensor, valid: torch.Tensor, job: Job) -> Piece:
        placed, scale = tile.scaled(self.optics.scale), self.optics.scale
        observed = _padded(values, self.spec.extent.multiple_of)
        bands, height, width = observed.shape
        problem = Problem(
            observed,
            _padded(valid, self.spec.extent.multiple_of),
            self.task,
            self.scene.wavelengths_nm,
            tile.read,
            # Of the padded shape: what the padding adds is cut off after.
            self.optics.operator((bands, height, width)),
            self.shared,
        )
        import torch

        with torch.no_grad(), devices.reduced_precision(values.device, self.spec.is_bf16_safe):
            restoration: Restoration = self.run(problem, self.params, job)
        if restoration.values.shape != problem.shape_out:
            raise CubeError(
                f"method '{self.spec.id}' returned shape {tuple(restoration.values.shape)} for"
                f" {problem.shape_out}; tell its authors."
            )
        rows, cols = placed.keep.inside(placed.read)
        scaling = self.scene.scaling
        extras = self._extras_of(restoration, placed, height * scale) if self._shows_extras else None
        # The method's values and one copy: on a finer grid each counts.
        kept = restoration.values[:, rows, cols].float()
        restored = (kept * scaling.span).add_(scaling.offset).cpu().numpy()
        if restoration.untouched is not None and scale == 1:
            # Scaling there and back costs the last bits; what a method left alone comes back exactly.
            same = restoration.untouched[:, rows, cols].cpu().numpy()
            restored[same] = self.scene.cube.block(tile.keep)[0][self.scene.bands][same]
        return Piece(restored, extras, restoration.trace)

    def _extras_of(self, restoration: Restoration, placed: Tile, rows_out: int) -> dict[str, np.ndarray]:
        """A tile's extras in stored units; ``rows_out`` are the rows that the method returned."""
        rows, cols = placed.keep.inside(placed.read)
        found: dict[str, np.ndarray] = {}
        for name, image in {**restoration.extras, **restoration.plain}.items():
            if image.shape[-2] < rows_out:
                from hsi_app.physics.resample import repeat

                image = repeat(image, self.optics.scale)
            # Extras are shown, not streamed: a scene too large for memory goes without them.
            if image.ndim == 2 or self.scene.would_hold(self.optics.scale**2):
                unit = 1.0 if name in restoration.plain else self.scene.scaling.span
                found[name] = (image[..., rows, cols].float() * unit).cpu().numpy()
        return found

    def full_extras(self) -> dict[str, np.ndarray]:
        """The extras on the cube's whole band axis; NaN in bands that were not worked on."""
        full, worked = {}, self.scene.bands
        for name, image in self.extras.items():
            if image.ndim == 3 and image.shape[0] == worked.size < self.scene.cube.shape[0]:
                spread = np.full((self.scene.cube.shape[0], *image.shape[1:]), np.nan, np.float32)
                spread[worked] = image
                image = spread
            full[name] = image
        return full

    def _protected(self, window: Window, restored: np.ndarray) -> np.ndarray:
        """The full-axis output of a window: bad bands and protected samples as they were."""
        scene, scale = self.scene, self.optics.scale
        own = window.shrunk(scale)
        stored, valid = scene.cube.block(own)
        with np.errstate(over="ignore"):  # a nodata beyond float32 becomes infinite, which is missing as well
            missing = np.float32(np.nan if scene.cube.nodata is None else scene.cube.nodata)
        if scene.mask is not None:
            rows, cols = own.slices
            valid &= scene.mask[..., rows, cols]
        if scale > 1:
            valid = valid.repeat(scale, axis=1).repeat(scale, axis=2)
        out = np.full(valid.shape, missing)
        if self._passed:
            before = stored[self._passed] if scale == 1 else self.shown.block(window, self._passed)[0]
            out[self._passed] = np.where(valid[self._passed], before, missing)
        new, seen = restored, valid[scene.bands]
        if self.task != "inpaint":
            new = np.where(seen, new, missing)
        elif self.keep_observed:
            new = np.where(seen, stored[scene.bands], new)
        out[scene.bands] = np.where(np.isfinite(new), new, missing)
        return out


def _padded(tensor: torch.Tensor, multiple: int) -> torch.Tensor:
    """Grow rows and columns to a multiple by repeating the last ones in reverse (reflection)."""
    if multiple == 1:
        return tensor
    import torch

    for axis in (1, 2):
        length = tensor.shape[axis]
        extra = -length % multiple
        if extra:
            index = torch.arange(length + extra, device=tensor.device)
            period = max(2 * (length - 1), 1)
            index = index % period
            index = torch.where(index >= length, period - index, index)
            tensor = tensor.index_select(axis, index)
    return tensor

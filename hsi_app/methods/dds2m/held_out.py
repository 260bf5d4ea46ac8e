"""Observed samples that the fit never sees, and what they say: when to stop, and what to trust."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from scipy import ndimage
from torch.nn import functional

from hsi_app.diffusion.frame import anchored_noise
from hsi_app.methods.lowrank.observation import Whitened
from hsi_app.physics.operator import LinearOperator
from hsi_app.problem import Problem

# How many times more pixels than single samples are held out: errors in gaps are few and large.
GAP_FACTOR = 3.0
# Gaps are copied where they would not lie on gaps again if more of them than this would show.
LEAST_COPIED, TRIES = 0.4, 16
LEAST_BANDS = 3


def choose_entries(problem: Problem, data: Whitened, share: float, seed: int) -> torch.Tensor:
    """(B, h, w) bool, samples to hold out where the grid is the observed one.

    Where whole pixels are to be filled the question is how well that is done: the pattern of the gaps is laid over
    pixels that are there. Elsewhere single samples are drawn, by their place in the scene.
    """
    seen = data.ok.any(0)
    gaps = ~seen
    if problem.task == "inpaint" and bool(gaps.any()) and bool(seen.any()):
        shift = (int(gaps.shape[0] * 0.382) or 1, int(gaps.shape[1] * 0.382) or 1)
        copied = copied_gaps(gaps, seen, torch.Generator().manual_seed(seed), first=shift)
        return _some_whole(copied, int(GAP_FACTOR * share * float(seen.sum())), seed) & data.ok
    drawn = anchored_noise(len(data.ok), problem.place, seed, 3).to(data.ok.device)
    quantile = torch.distributions.Normal(0.0, 1.0).icdf(torch.tensor(share))
    return (drawn < quantile) & data.ok


def choose_bands(bands: int, share: float) -> list[int]:
    """Bands to hold out where the grid is coarser or blurred: evenly spread, and three where there are enough."""
    count = max(round(share * bands), min(LEAST_BANDS, bands // 4))
    return [int((index + 0.5) * bands / count) for index in range(count)]


def copied_gaps(
    gaps: torch.Tensor, seen: torch.Tensor, draws: torch.Generator, first: tuple[int, int] | None = None
) -> torch.Tensor:
    """(H, W) bool, the pattern of the gaps moved over pixels that are there, by a random way.

    Copies that would touch a gap, and make it wider than gaps are, are left out where enough remain.

    first : a way to try before random ones
    """
    alone = seen & (functional.max_pool2d(gaps[None].float(), 3, 1, 1)[0] == 0)
    best, most, total = torch.zeros_like(gaps), -1.0, float(gaps.sum())
    for attempt in range(TRIES):
        drawn = [int(torch.randint(length, (1,), generator=draws, device=draws.device)) for length in gaps.shape]
        way = first if first is not None and attempt == 0 else (drawn[0], drawn[1])
        moved = torch.roll(gaps, way, (0, 1))
        apart = moved & alone
        moved = apart if float(apart.sum()) > LEAST_COPIED * total else moved & seen
        shown = float(moved.sum()) / total
        if shown > most:
            best, most = moved, shown
        if most >= LEAST_COPIED:
            break
    return best


def _some_whole(gaps: torch.Tensor, pixels: int, seed: int) -> torch.Tensor:
    """(H, W) bool, about so many pixels of the gaps: whole ones, for parts of a gap are easier to fill."""
    pieces, count = ndimage.label(gaps.cpu().numpy(), np.ones((3, 3)))
    sizes = np.bincount(pieces.reshape(-1), minlength=count + 1)
    sizes[0] = 0
    order = np.random.default_rng(seed).permutation(np.arange(1, count + 1))
    taken = order[np.cumsum(sizes[order]) <= pixels]
    if taken.size == 0:
        # The smallest, whatever it takes: without any nothing could be judged.
        taken = np.argsort(np.where(sizes > 0, sizes, sizes.max() + 1))[:1]
    return torch.from_numpy(np.isin(pieces, taken) & (pieces > 0)).to(gaps.device)


@dataclass(eq=False)
class Judge:
    """Compares cubes with what was held out, and tells the one to keep.

    Parameters
    ----------
    truth : (n,) held-out samples in half ranges
    entries : (B, H, W) bool where they lie, or None
    operator, bands : what takes a cube to the observed grid, and which of its bands are held out, or None
    patience : updates without a better judgement after which to stop
    slack : standard errors by which a later cube may look worse than the best and still be kept; errors in gaps are few
        and large, and held-out gaps alone cannot tell apart what differs by less
    """

    truth: torch.Tensor
    entries: torch.Tensor | None
    operator: LinearOperator | None
    bands: torch.Tensor | None
    patience: int
    slack: float = 0.0
    curve: list[tuple[int, float]] = field(default_factory=list)
    kept: int = 0
    best: torch.Tensor | None = None

    def seen_of(self, cube: torch.Tensor) -> torch.Tensor:
        """(n,) what a cube says of the held-out samples."""
        if self.entries is not None:
            return cube[self.entries]
        assert self.operator is not None
        assert self.bands is not None
        # Every band is seen alike, so one band more or less changes nothing: zeros stand for the others.
        whole = torch.zeros(self.operator.in_shape, dtype=cube.dtype, device=cube.device)
        whole[self.bands] = cube[self.bands]
        return self.operator.forward(whole)[self.bands].reshape(-1)

    def look(self, update: int, cube: torch.Tensor) -> bool:
        """Judge a cube; True where it is the one to keep so far."""
        if self.truth.numel() == 0:
            # Nobody to ask: the longer it learned the better.
            self.curve.append((update, 0.0))
            self.kept = update
            return True
        errors = self._by_pixel((self.seen_of(cube) - self.truth).square())
        self.curve.append((update, float(errors.sum()) / self.truth.numel()))
        if self.best is None or float(errors.sum()) < float(self.best.sum()):
            self.best = errors
            is_kept = True
        else:
            # The difference of two cubes pixel by pixel: what both find hard does not count (Breiman et al. 1984).
            worse = errors - self.best
            uncertain = float(worse.std()) * len(worse) ** 0.5 if len(worse) > 1 else 0.0
            is_kept = float(worse.sum()) < self.slack * uncertain
        self.kept = update if is_kept else self.kept
        return is_kept

    def _by_pixel(self, errors: torch.Tensor) -> torch.Tensor:
        """Sums over the bands of each pixel that was held out."""
        if self.entries is None:
            count = int(self.bands.sum()) if self.bands is not None else 1
            return errors.reshape(max(count, 1), -1).sum(0)
        pixels = torch.nonzero(self.entries.flatten(1))[:, 1]
        sums = errors.new_zeros(self.entries[0].numel()).index_add_(0, pixels, errors)
        return sums[self.entries.any(0).reshape(-1)]

    @property
    def is_past(self) -> bool:
        """True where the run has gone on for the whole patience without a better judgement."""
        return bool(self.curve) and self.curve[-1][0] - self.kept >= self.patience

    def share_of(self, start: torch.Tensor, found: torch.Tensor) -> float:
        """Weight in [0, 1] of ``found`` against ``start`` that predicts the held-out samples best."""
        before, after = self.seen_of(start) - self.truth, self.seen_of(found) - self.truth
        change = before - after
        power = float(change.square().sum())
        return min(max(float((before * change).sum()) / power, 0.0), 1.0) if power > 0 else 1.0

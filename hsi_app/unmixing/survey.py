"""What a scene looks like before it is unmixed: bad channels, brightness, and the spectra that endmembers come from."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from hsi_app.errors import CubeError
from hsi_app.jobs import Job
from hsi_app.scene import Scene
from hsi_app.subspace import Moments
from hsi_app.unmixing.normalise import CUTOFF, Normalisation, brightness, is_empty
from hsi_app.unmixing.screening import agreement, judge

# Pixels looked at for endmembers; smaller scenes are taken whole.
SAMPLE_PX = 2**14
PIECE_PX = 2**15
# Larger scenes add the pixels at both ends of so many directions: a rare pure pixel must not be missed.
DIRECTIONS = 64
# A band observed in less than half of the pixels takes no part in finding endmembers.
LEAST_OBSERVED = 0.5


@dataclass(frozen=True, eq=False)
class Normaliser:
    """How the spectra of one scene are divided by their brightness.

    kind : 'none', 'l1', 'l2', 'l2-cutoff' or 'max'
    kept : (B,) bool tensor, channels that the brightness is taken from
    typical : (B,) float64 tensor, mean spectrum
    floor : least divisor of 'l2-cutoff'
    """

    kind: Normalisation
    kept: torch.Tensor
    typical: torch.Tensor
    floor: float

    def divisor(self, spectra: torch.Tensor, valid: torch.Tensor | None = None) -> torch.Tensor:
        """(N,) float64 divisors of (B, N) spectra."""
        seen = None if valid is None else valid[self.kept]
        typical = self.typical[self.kept]
        return brightness(spectra[self.kept], self.kind, valid=seen, typical=typical, floor=self.floor)

    def is_empty(self, spectra: torch.Tensor) -> torch.Tensor:
        """(N,) bool, True where nothing was recorded."""
        return is_empty(spectra[self.kept])


@dataclass(frozen=True, eq=False)
class Survey:
    """A scene as seen before unmixing.

    spectra : (B, P) float64 tensor, complete normalised spectra; bands that are not ``live`` hold zeros
    divisors : (P,) float64 tensor, what they were divided by
    places : (P,) int64 array, row * width + col
    live : (B,) bool array, bands observed often enough to be unmixed
    kept : (B,) bool array, live bands that go with their neighbours
    agreement : (B,) float array in [0, 1], how well each goes with its neighbours
    normaliser : for pixels still to come
    """

    spectra: torch.Tensor
    divisors: torch.Tensor
    places: np.ndarray
    live: np.ndarray
    kept: np.ndarray
    agreement: np.ndarray
    normaliser: Normaliser

    def restricted(self, bands: np.ndarray) -> Survey:
        """The same spectra where only the given bands, a (B,) bool array, take part."""
        live, kept = self.live & bands, self.kept & bands
        device = self.spectra.device
        normaliser = replace(self.normaliser, kept=torch.from_numpy(kept).to(device))
        spectra = self.spectra * self.divisors * torch.from_numpy(live).to(device)[:, None]
        divisors = normaliser.divisor(spectra)
        return replace(self, spectra=spectra / divisors, divisors=divisors, live=live, kept=kept, normaliser=normaliser)


def survey_scene(scene: Scene, kind: Normalisation, *, screen: bool, job: Job) -> Survey:
    """Look at a scene twice: once for its moments, once for the spectra.

    Parameters
    ----------
    scene : physical scene (``Scene(..., physical=True)``)
    kind : normalisation
    screen : leave channels out that do not go with their neighbours
    job : for progress, cancelling, notes and the random directions

    Raises
    ------
    CubeError
        If no pixel is complete, or all are empty.
    """
    bands, height, _ = scene.shape
    moments = Moments(bands)
    for window, values, valid in scene.strips():
        job.step(0.5 * window.row / height, "looking at the channels")
        moments.add(values, valid)
    observed = moments.observed
    live = observed >= LEAST_OBSERVED * observed.max()
    agreed, kept = np.zeros(bands), live.copy()
    agreed[live] = agreement(moments.covariance[np.ix_(live, live)])
    if screen:
        kept[live], note = judge(agreed[live])
        if note:
            job.note(note)
    if not live.all():
        job.note(f"{bands - live.sum()} bands are missing in more than half of the pixels and take no part.")

    collected = _collect(scene, live, kept, int(moments.pixels), job.part(0.5, 0.5))
    spectra, places = collected.spectra, collected.places
    if places.size == 0:
        raise CubeError(_why_none(int(live.sum()), collected))
    device = spectra.device
    normaliser = Normaliser(
        kind,
        torch.from_numpy(kept).to(device),
        torch.from_numpy(moments.mean * live).to(device),
        CUTOFF * collected.mean_norm,
    )
    divisors = normaliser.divisor(spectra)
    if collected.empty:
        job.note(f"{collected.empty} pixels hold nothing but zeros and get no abundances.")
    if collected.incomplete:
        job.note(f"{collected.incomplete} pixels have gaps; they had no part in finding endmembers.")
    if places.size < collected.usable:
        job.note(f"endmembers were sought among {places.size} of {collected.usable} pixels.")
    return Survey(spectra / divisors, divisors, places, live, kept, agreed, normaliser)


@dataclass(eq=False)
class _Collected:
    spectra: torch.Tensor
    places: np.ndarray
    mean_norm: float
    usable: int
    empty: int
    incomplete: int


def _collect(scene: Scene, live: np.ndarray, kept: np.ndarray, pixels: int, job: Job) -> _Collected:
    """Every s-th usable pixel, and the extreme ones where that leaves some out."""
    _, height, width = scene.shape
    step = _step(pixels, width)
    on_kept, on_live = (torch.from_numpy(flags).to(scene.device) for flags in (kept, live))
    extremes = _Extremes(int(kept.sum()), job, scene.device) if step > 1 else None
    taken: list[torch.Tensor] = []
    places: list[np.ndarray] = []
    norms = 0.0
    usable = empty = incomplete = 0
    for first, flat, seen in pieces(scene):
        job.step(first / (height * width), "looking at the pixels")
        complete = seen[on_live].all(0)
        blank = complete & is_empty(flat[on_kept])
        usable_here = (complete & ~blank).nonzero()[:, 0]
        empty += int(blank.sum())
        incomplete += int((seen.any(0) & ~complete).sum())
        if not usable_here.numel():
            continue
        spectra = flat[:, usable_here].double() * on_live[:, None]
        norm = spectra[on_kept].square().sum(0).sqrt()
        norms += float(norm.sum())
        where = usable_here.cpu().numpy() + first
        begin = -usable % step
        taken.append(spectra[:, begin::step].clone())
        places.append(where[begin::step])
        usable += len(where)
        if extremes is not None:
            extremes.look(spectra, spectra[on_kept] / norm, where)
    if extremes is not None and places:
        more, at = extremes.beyond(np.concatenate(places))
        taken.append(more)
        places.append(at)
    spectra = torch.cat(taken, 1) if taken else torch.zeros((len(live), 0), dtype=torch.float64, device=scene.device)
    at = np.concatenate(places) if places else np.zeros(0, np.int64)
    return _Collected(spectra, at, norms / max(usable, 1), usable, empty, incomplete)


def pieces(scene: Scene) -> Iterator[tuple[int, torch.Tensor, torch.Tensor]]:
    """A scene as flat spectra: index of the first pixel, (B, n) values and (B, n) validity, in row order."""
    for window, values, valid in scene.strips():
        flat, seen = values.reshape(len(values), -1), valid.reshape(len(valid), -1)
        for start in range(0, flat.shape[1], PIECE_PX):
            part = slice(start, start + PIECE_PX)
            yield window.row * window.width + start, flat[:, part], seen[:, part]


class _Extremes:
    """The pixels at both ends of random directions, over all pieces of a scene."""

    def __init__(self, bands: int, job: Job, device: torch.device) -> None:
        drawn = torch.randn((DIRECTIONS, bands), generator=job.generator("cpu"), dtype=torch.float64)
        drawn = drawn - drawn.mean(1, keepdim=True)
        self._directions = torch.cat([drawn, -drawn]).to(device)
        self._best = [(-math.inf, -1)] * (2 * DIRECTIONS)
        self._spectra: dict[int, torch.Tensor] = {}

    def look(self, spectra: torch.Tensor, normalised: torch.Tensor, places: np.ndarray) -> None:
        """Take in a piece: (B, n) spectra, their (b, n) normalised kept channels, and where they lie."""
        ends = (self._directions @ normalised).max(1)
        for row, (value, at) in enumerate(zip(ends.values.tolist(), ends.indices.tolist(), strict=True)):
            if value > self._best[row][0]:
                self._best[row] = (value, int(places[at]))
                self._spectra[int(places[at])] = spectra[:, at].clone()
        kept = {place for _, place in self._best}
        self._spectra = {place: spectrum for place, spectrum in self._spectra.items() if place in kept}

    def beyond(self, known: np.ndarray) -> tuple[torch.Tensor, np.ndarray]:
        """(B, m) spectra of the extreme pixels that are not among ``known``, and their places."""
        places = sorted(set(self._spectra) - set(known.tolist()))
        columns = [self._spectra[place] for place in places]
        empty = next(iter(self._spectra.values()))[:, None][:, :0]
        return torch.stack(columns, 1) if columns else empty, np.array(places, np.int64)


def _step(pixels: int, width: int) -> int:
    """Every how many pixels are taken: without a factor in common with the width, so that all columns count."""
    step = -(-pixels // SAMPLE_PX)
    while math.gcd(step, width) > 1:
        step += 1
    return step


def _why_none(live: int, collected: _Collected) -> str:
    if collected.empty:
        return f"all {collected.empty} complete pixels hold nothing but zeros; there is nothing to unmix."
    return f"no pixel has all {live} bands; fill the gaps first (hsi-app restore lowrank --task inpaint)."

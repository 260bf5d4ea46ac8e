"""Is there structure in what was removed? Grain, stripes or scene, band by band, without a reference.

Three figures a band, each beside the value that white noise alone would stay under in 99 of 100 whole cubes:

- *stripes*: share of the removed power that is constant along a row or a column and changes from one to the next;
- *structure*: correlation of neighbours in what is left of it without its line means (Moran's I with the four nearest
  neighbours), the smaller of the two directions, because a line has one direction and a scene has both;
- *scene*: multiple correlation of that rest with the scene and its fine detail, as the other half of the bands shows
  them. Noise of different bands is independent; the scene is the same in all. Where the likeness is reversed it is 0:
  what is taken from a dead sample is its value less the scene, and detail that was added is not lost.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np

from hsi_app.jobs import Job
from hsi_app.noise import noise_from_covariance, robust_std
from hsi_app.report.sampling import Spectra

Verdict = Literal["nothing", "grain", "stripes", "scene structure"]

# One cube in a hundred with white noise removed may have a band above the limits.
FALSE_ALARMS = 0.01
# What is less than this says nothing of a loss, however sure it is; calibrated in tests/engine/test_trust.py.
LEAST_STRUCTURE, LEAST_SCENE, LEAST_STRIPES = 0.25, 0.2, 0.1
# Structure below this share of the band's contrast cannot be seen.
LEAST_SHARE = 0.005
# Impulses and dead samples count as this many robust standard deviations; they say nothing of likeness to the scene,
# for what is removed of a dead sample is the scene itself.
CLIP_STD = 4.0
# Images of the scene: so many noise-whitened components, if their power is this many times the noise.
COMPONENTS, LEAST_POWER = 5, 10.0


@dataclass(frozen=True, eq=False)
class RemovedCheck:
    """What was removed, per band: (B,) float64, NaN where nothing was removed or could be measured.

    stripes : share of the removed power in lines, [0, 1]
    structure : correlation of neighbours of the rest, [-1, 1]
    scene : multiple correlation of the rest with the scene, [0, 1]
    lost : size of the structure over the band's contrast, [0, inf), at least: of outliers only a part counts
    structure_limits, scene_limits, stripe_limits : (B,) what a figure must exceed to count
    judged : (B,) bool, bands that were looked at
    verdicts : B words
    """

    stripes: np.ndarray
    structure: np.ndarray
    scene: np.ndarray
    lost: np.ndarray
    structure_limits: np.ndarray
    scene_limits: np.ndarray
    stripe_limits: np.ndarray
    judged: np.ndarray
    verdicts: tuple[Verdict, ...]

    def bands(self, verdict: Verdict) -> list[int]:
        """Indices of the judged bands with that verdict, ascending."""
        return [b for b, (word, is_judged) in enumerate(zip(self.verdicts, self.judged, strict=True))
                if is_judged and word == verdict]  # fmt: skip

    @property
    def worst(self) -> int | None:
        """The band that lost most of its scene, or None where none did."""
        lost = self.bands("scene structure")
        return max(lost, key=lambda b: self.lost[b]) if lost else None

    def is_sound(self) -> bool:
        """True where less than a twentieth of the bands lost scene."""
        return 20 * len(self.bands("scene structure")) < max(int(self.judged.sum()), 1)

    def words(self) -> str:
        """One line for people."""
        judged = int(self.judged.sum())
        lost, striped, grain = (self.bands(word) for word in ("scene structure", "stripes", "grain"))
        if judged == 0 or len(self.bands("nothing")) == judged:
            return "Nothing was removed." if judged else "No band could be judged."
        rest = [f"stripes in {len(striped)}"] if striped else []
        rest += [f"grain in {len(grain)}"] if grain else []
        if not lost:
            return f"Removed: {' and '.join(rest)} of {judged} bands; no scene structure."
        worst = self.worst
        assert worst is not None
        tail = f" ({', '.join(rest)})" if rest else ""
        return (
            f"Scene structure was removed in {len(lost)} of {judged} bands, most in band {worst + 1}:"
            f" at least {100 * self.lost[worst]:.1f} % of its contrast{tail}."
        )


def check_removed(spectra: Spectra, judged: np.ndarray, job: Job | None = None) -> RemovedCheck:
    """Look for structure in the difference of two samples of spectra.

    Parameters
    ----------
    spectra : the same pixels before and after
    judged : (B,) bool, bands to look at
    job : to watch and cancel

    Returns
    -------
    RemovedCheck

    Raises
    ------
    Cancelled
        If the job was asked to stop.

    Source: Moran 1950 for the correlation of neighbours; its spread from the sum of the squared products, which holds
    for independent noise of any and of changing variance (White 1980); maximum noise fraction for the images of the
    scene, Green et al. 1988.
    """
    job = job or Job()
    count = len(spectra.before)
    removed, is_usual = _clipped(spectra.removed.astype(np.float64))
    tests = max(int(judged.sum()), 1)
    z = NormalDist().inv_cdf(1 - FALSE_ALARMS / (3 * tests))
    gathered = _Gathered(count)
    scenes = [_scene_images(spectra, judged, parity) for parity in (0, 1)]
    fits = [_Fit(count, 0 if scene is None else 2 * len(scene)) for scene in scenes]
    for number, (window, piece) in enumerate(spectra.pieces):
        job.step(number / len(spectra.pieces), "looking for structure in what was removed")
        image = removed[:, piece].reshape(count, window.height, window.width)
        rest, seen = gathered.add(image)
        for scene, fit in zip(scenes, fits, strict=True):
            if scene is not None:
                usual = seen & is_usual[:, piece].reshape(seen.shape)
                before = spectra.before[:, piece].reshape(seen.shape)
                fit.add(rest, usual, before, scene[:, piece].reshape(len(scene), window.height, window.width))
    structure, structure_limits = gathered.structure(z)
    # The bands of one half are told by the images of the other one.
    is_even = np.arange(count) % 2 == 0
    (odd_seen, odd_limits), (even_seen, even_limits) = (fit.correlation(z) for fit in fits)
    scene, scene_limits = np.where(is_even, even_seen, odd_seen), np.where(is_even, even_limits, odd_limits)
    stripes, stripe_limits = gathered.stripes(z)
    contrast = np.array([_spread(row) for row in spectra.after])
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.fmax(np.where(structure > structure_limits, np.sqrt(np.clip(structure, 0, 1)), 0), scene)
        lost = np.where(contrast > 0, share * gathered.rest_std() / contrast, np.nan)
    is_scene = ((structure > structure_limits) | (scene > scene_limits)) & (lost > LEAST_SHARE)
    is_striped = stripes > stripe_limits
    is_nothing = ~(gathered.power > 0)
    words: list[Verdict] = [
        "nothing" if n else "scene structure" if s else "stripes" if line else "grain"
        for n, s, line in zip(is_nothing, is_scene, is_striped, strict=True)
    ]
    stripes, structure, scene, lost = (
        np.where(is_nothing, np.nan, column) for column in (stripes, structure, scene, lost)
    )
    return RemovedCheck(
        stripes, structure, scene, lost, structure_limits, scene_limits, stripe_limits, judged.copy(), tuple(words)
    )


class _Gathered:
    """Sums over the windows from which stripes and the correlation of neighbours follow."""

    def __init__(self, count: int) -> None:
        self.power, self._samples, self._rest = (np.zeros(count) for _ in range(3))
        # Down and across: sums of products of neighbours, of their squares, and how many there are.
        self._products, self._squares, self._pairs = (np.zeros((2, count)) for _ in range(3))
        self._steps, self._noise, self._lines = (np.zeros((2, count)) for _ in range(3))

    def add(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Take in a window (B, h, w), NaN where missing; its rest without line means, and what of it is known."""
        seen = np.isfinite(image)
        image = np.where(seen, image - _mean(np.nan_to_num(image), seen, (1, 2)), 0.0)
        self.power += (image**2).sum(axis=(1, 2))
        self._samples += seen.sum(axis=(1, 2))
        rest = image
        for axis in (2, 1):
            rest = np.where(seen, rest - _mean(rest, seen, axis), 0.0)
        self._rest += (rest**2).sum(axis=(1, 2))
        for k, (first, second) in enumerate(_neighbours()):
            a, b = rest[first], rest[second]
            products = a * b
            self._products[k] += products.sum(axis=(1, 2))
            self._squares[k] += (products**2).sum(axis=(1, 2))
            self._pairs[k] += (seen[first] & seen[second]).sum(axis=(1, 2))
        level = (rest**2).sum(axis=(1, 2)) / np.maximum(seen.sum(axis=(1, 2)), 1)
        for k, axis in enumerate((2, 1)):
            number = seen.sum(axis=axis)
            means = _mean(image, seen, axis).squeeze(axis)
            known = number > 0.5 * image.shape[axis]
            both = known[:, 1:] & known[:, :-1]
            steps = np.where(both, np.diff(means, axis=1), 0.0)
            # Half the squared step from line to line is the variance of lines that know nothing of each other.
            self._steps[k] += (steps**2).sum(axis=1) / 2 * image.shape[axis]
            per_line = 1 / np.maximum(number, 1)
            noise = level[:, None] * (per_line[:, 1:] + per_line[:, :-1]) / 2
            self._noise[k] += np.where(both, noise, 0.0).sum(axis=1) * image.shape[axis]
            self._lines[k] += both.sum(axis=1)
        return rest, seen

    def rest_std(self) -> np.ndarray:
        return np.sqrt(self._rest / np.maximum(self._samples, 1))

    def structure(self, z: float) -> tuple[np.ndarray, np.ndarray]:
        with np.errstate(divide="ignore", invalid="ignore"):
            level = self._rest / self._samples
            found = self._products / self._pairs / level
            limits = z * np.sqrt(self._squares) / self._pairs / level
        # A scene is alike down and across, a line in one direction only. Scenes one pixel wide have one direction.
        found = np.where(self._pairs > 0, found, np.inf).min(axis=0)
        limits = np.where(self._pairs > 0, limits, 0).max(axis=0)
        return np.where(np.isfinite(found), found, np.nan), np.fmax(limits, LEAST_STRUCTURE)

    def stripes(self, z: float) -> tuple[np.ndarray, np.ndarray]:
        with np.errstate(divide="ignore", invalid="ignore"):
            share = ((self._steps - self._noise).clip(0) / self.power).sum(axis=0)
            # A sum of n squared steps that overlap has the relative spread sqrt(3 / n); squares have a long tail.
            limits = (1.5 * z * np.sqrt(3 / np.maximum(self._lines, 1)) * self._noise / self.power).sum(axis=0)
        return np.clip(share, 0, 1), np.fmax(limits, LEAST_STRIPES)


class _Fit:
    """Multiple correlation of each band's rest with images of the scene and their fine detail."""

    def __init__(self, count: int, features: int) -> None:
        self._gram = np.zeros((features, features))
        self._cross, self._own = np.zeros((2, features, count))
        self._power, self._samples = np.zeros(count), np.zeros(count)

    def add(self, rest: np.ndarray, seen: np.ndarray, before: np.ndarray, scene: np.ndarray) -> None:
        """Take in a window: the rest (B, h, w) and what of it counts, the bands themselves, and images (K, h, w)."""
        known = np.isfinite(scene).all(axis=0)
        if min(known.shape) < 3 or not known.any():
            return
        level = scene[:, known].mean(axis=1)[:, None, None]
        plain = np.where(known, scene - level, 0.0)
        features = np.concatenate([plain, plain - _box3(plain)])
        for axis in (2, 1):
            features = np.where(known, features - _mean(features, np.broadcast_to(known, features.shape), axis), 0.0)
        flat, both = features.reshape(len(features), -1), (seen & known).reshape(len(seen), -1)
        values = np.where(both, rest.reshape(len(rest), -1), 0.0)
        self._gram += flat @ flat.T
        self._cross += flat @ values.T
        whole = before.reshape(len(seen), -1).astype(np.float64)
        self._own += flat @ np.where(both, whole - _mean(np.where(both, whole, 0.0), both, 1), 0.0).T
        self._power += (values**2).sum(axis=1)
        self._samples += both.sum(axis=1)

    def correlation(self, z: float) -> tuple[np.ndarray, np.ndarray]:
        count, features = self._power.size, len(self._gram)
        if not features or not self._gram.any():
            return np.full(count, np.nan), np.full(count, np.inf)
        spread = np.sqrt(np.maximum(self._gram.diagonal(), np.finfo(float).tiny))
        unit = self._gram / np.outer(spread, spread) + 1e-6 * np.eye(features)
        cross = self._cross / spread[:, None]
        weights = np.linalg.solve(unit, cross)
        with np.errstate(divide="ignore", invalid="ignore"):
            explained = (cross * weights).sum(axis=0) / self._power
            # Noise alone explains a share of chi-squared(features) / samples; Wilson and Hilferty 1931.
            edge = features * (1 - 2 / (9 * features) + z * np.sqrt(2 / (9 * features))) ** 3
            by_chance = features / self._samples
            most = np.where(self._samples > 0, (edge - features) / self._samples, np.inf)
        is_taken = (self._own / spread[:, None] * weights).sum(axis=0) > 0
        scene = np.sqrt(np.clip((explained - by_chance) / (1 - by_chance), 0, 1)) * is_taken
        return scene, np.fmax(np.sqrt(np.clip(most, 0, None)), LEAST_SCENE)


def _scene_images(spectra: Spectra, judged: np.ndarray, parity: int) -> np.ndarray | None:
    """(K, P) images of the scene from every second band before, noise-whitened, NaN where a band is missing."""
    bands = np.flatnonzero(judged & (np.arange(judged.size) % 2 == parity))
    bands = bands[np.isfinite(spectra.before[bands]).mean(axis=1) > 0.9]
    if bands.size < 2:
        return None
    values = spectra.before[bands].astype(np.float64)
    complete = np.isfinite(values).all(axis=0)
    if complete.sum() <= 2 * bands.size:
        return None
    centred = values - values[:, complete].mean(axis=1, keepdims=True)
    covariance = centred[:, complete] @ centred[:, complete].T / complete.sum()
    noise = noise_from_covariance(covariance, int(complete.sum()))
    power, axes = np.linalg.eigh(covariance / np.outer(noise, noise))
    strong = [k for k in np.argsort(power)[::-1][:COMPONENTS] if power[k] > LEAST_POWER]
    return (axes[:, strong] / noise[:, None]).T @ centred if strong else None


def _clipped(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Outliers of each band brought to CLIP_STD, and (B, P) which samples are none; all where most did not change."""
    is_usual = np.isfinite(values)
    for row, usual in zip(values, is_usual, strict=True):
        known = row[np.isfinite(row)]
        spread = float(robust_std(known)) if known.size else 0.0
        if spread > 0:
            middle = float(np.median(known))
            usual &= np.abs(row - middle) < CLIP_STD * spread
            np.clip(row, middle - CLIP_STD * spread, middle + CLIP_STD * spread, out=row)
    return values, is_usual


def _spread(row: np.ndarray) -> float:
    known = row[np.isfinite(row)]
    return float(known.std(dtype=np.float64)) if known.size else float("nan")


def _mean(values: np.ndarray, seen: np.ndarray, axis: int | tuple[int, int]) -> np.ndarray:
    """Mean of what was seen (0 elsewhere) along axes that stay."""
    return np.asarray(values.sum(axis=axis, keepdims=True) / np.maximum(seen.sum(axis=axis, keepdims=True), 1))


def _neighbours() -> Iterator[tuple[tuple[slice, ...], tuple[slice, ...]]]:
    every, later, earlier = slice(None), slice(1, None), slice(None, -1)
    yield (every, later, every), (every, earlier, every)
    yield (every, every, later), (every, every, earlier)


def _box3(images: np.ndarray) -> np.ndarray:
    """Mean over 3 x 3 pixels, edges repeated."""
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1)), mode="edge")
    rows = padded[:, 2:] + padded[:, 1:-1] + padded[:, :-2]
    return np.asarray((rows[..., 2:] + rows[..., 1:-1] + rows[..., :-2]) / 9)

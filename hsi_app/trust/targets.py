"""Is a target still found? Detection with a known spectrum before and after a restoration."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np

from hsi_app.cube import Cube
from hsi_app.errors import CubeError
from hsi_app.jobs import Job
from hsi_app.noise import noise_from_covariance
from hsi_app.tiling import Window, strips

Detector = Literal["mf", "ace"]
DETECTORS: dict[Detector, str] = {"mf": "matched filter", "ace": "adaptive coherence estimator"}

# A pixel counts as found where one background pixel in 10 000 would, were the background normal.
FALSE_ALARM_RATE = 1e-4
# The covariance is loaded with this share of the noise that was there before, on both sides: a restoration draws
# spectra to a subspace, beyond which an unloaded filter would trust digits that mean nothing.
LOADING = 0.1
# Values read at a time, and pixels turned to float64 at a time.
STRIP_VALUES, CHUNK_PX = 2**22, 8192
# A background of fewer pixels for each band says little of its covariance.
LEAST_PIXELS_A_BAND = 2
# Samples of a map for its median and spread.
MAP_SAMPLE = 2**18
# A spectrum this many times off the cube's level is in other units.
OTHER_UNITS = 20.0


@dataclass(frozen=True, eq=False)
class Target:
    """What to look for: a spectrum, or places that have it, or both.

    name : for people
    spectrum : (B,) float64 on the cube's bands, physical units, NaN where unknown; None means the mean of the pixels
    pixels : (n, 2) int, (row, col) from 0 of pixels known to hold the target
    """

    name: str
    spectrum: np.ndarray | None = None
    pixels: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Detection:
    """One cube's answer.

    scores : (H, W) float32, detector output less the background's median, in its robust standard deviations; NaN where
        a sample is missing
    contrast : median score of the target pixels; NaN where there are none
    found : (H, W) bool, scores above the threshold
    """

    scores: np.ndarray
    contrast: float
    found: np.ndarray


@dataclass(frozen=True, eq=False)
class TargetCheck:
    """A target looked for before and after.

    name, detector : what was looked for, and how
    threshold : score from which a pixel counts as found
    bands : number of bands used
    pixels : (n, 2) int, (row, col) of the target pixels that figures refer to
    are_known : True where these were given, False where they are the pixels found before or after
    before, after : Detection; after is None for one cube
    notes : what a user should know
    """

    name: str
    detector: Detector
    threshold: float
    bands: int
    pixels: np.ndarray
    are_known: bool
    before: Detection
    after: Detection | None
    notes: tuple[str, ...]

    def number(self, which: Literal["before", "after", "kept", "lost", "gained"]) -> int:
        """How many of the target pixels were found before, after, both, only before, only after."""
        before = self.before.found[tuple(self.pixels.T)]
        after = before if self.after is None else self.after.found[tuple(self.pixels.T)]
        return int({
            "before": before, "after": after, "kept": before & after, "lost": before & ~after, "gained": after & ~before
        }[which].sum())  # fmt: skip

    def lost_pixels(self) -> np.ndarray:
        """(n, 2) int, (row, col) of target pixels that were found before and are not after."""
        rows, cols = self.pixels.T
        after = self.before.found if self.after is None else self.after.found
        return np.asarray(self.pixels[self.before.found[rows, cols] & ~after[rows, cols]])

    @property
    def is_kept(self) -> bool:
        """True where nine tenths of what was found before are found after, with four fifths of the contrast."""
        if self.after is None:
            return True
        weaker = self.after.contrast < 0.8 * self.before.contrast
        return self.number("kept") >= 0.9 * self.number("before") and not weaker

    def words(self) -> str:
        """One line for people."""
        total = len(self.pixels)
        if self.after is None:
            if not total:
                return f"'{self.name}' was not found in any pixel."
            if not self.are_known:
                return f"'{self.name}' was found in {total} pixels; contrast {self.before.contrast:.1f}."
            return (
                f"'{self.name}': {self.number('before')} of {total} target pixels are found;"
                f" contrast {self.before.contrast:.1f}."
            )
        if not total:
            return f"'{self.name}' was found neither before nor after."
        found_before, found_after = self.number("before"), self.number("after")
        if self.is_kept:
            state = "found better" if found_after > found_before else "kept"
        else:
            state = "weakened" if self.number("kept") else "lost"
        head = f"Target '{self.name}' is {state}"
        contrast = f"contrast {self.before.contrast:.1f} → {self.after.contrast:.1f}"
        if not found_before and not found_after:
            return f"Target '{self.name}' was found neither before nor after; {contrast}."
        if self.are_known:
            return (
                f"{head}: {self.number('after')} of {total} target pixels are found after, {self.number('before')}"
                f" before; {contrast}."
            )
        return (
            f"{head}: of {self.number('before')} pixels found before {self.number('kept')} are still found,"
            f" {self.number('lost')} lost, {self.number('gained')} new; {contrast}."
        )


def check_target(
    before: Cube, after: Cube | None, target: Target, *, detector: Detector = "mf", job: Job | None = None
) -> TargetCheck:
    """Look for a target in two cubes, each against its own background.

    Every pixel is read, strip by strip, twice a cube: for the statistics and for the scores. Bands that the first cube
    marks bad, in which the spectrum is unknown, or that miss more than half of their samples are left out. Known target
    pixels are left out of the background.

    Parameters
    ----------
    before, after : cubes of one shape and scale; ``after`` may be None
    detector : 'mf' finds much of a target however the rest looks, 'ace' demands its shape
    job : to watch and cancel

    Returns
    -------
    TargetCheck; its maps take 5 bytes a pixel and cube

    Raises
    ------
    CubeError
        If the target lies outside the image or is unknown in too many bands, or too few pixels are complete.
    Cancelled
        If the job was asked to stop.

    Source: matched filter and adaptive coherence estimator as in Manolakis and Shaw 2002, "Detection algorithms for
    hyperspectral imaging applications", IEEE Signal Processing Magazine 19(1); matched filtering of spectra, Stocker,
    Reed and Yu 1990. Scores of ACE are its root, with sign, so that the background is about normal.
    """
    job = job or Job()
    _, height, width = before.shape
    pixels = np.zeros((0, 2), int) if target.pixels is None else np.asarray(target.pixels, int).reshape(-1, 2)
    if len(pixels) and ((pixels < 0) | (pixels >= (height, width))).any():
        row, col = pixels[((pixels < 0) | (pixels >= (height, width))).any(axis=1)][0]
        raise CubeError(f"target pixel ({row}, {col}) lies outside the image of {height} x {width}; count from 0.")
    if target.spectrum is None and not len(pixels):
        raise CubeError(f"target '{target.name}' has neither a spectrum nor pixels; give one.")
    is_target = np.zeros((height, width), bool)
    is_target[tuple(pixels.T)] = True
    bands = _usable_bands(before, target)
    shares = (1.0,) if after is None else (0.5, 0.5)
    first = _background(before, bands, is_target, job.part(0.0, 0.5 * shares[0]))
    notes: list[str] = []
    spectrum, own = _spectrum(target, bands, first, notes)
    noise = noise_from_covariance(first.covariance, first.pixels)
    answers = []
    for number, cube in enumerate((before,) if after is None else (before, after)):
        part = job.part(number * shares[0], shares[0])
        found = first if number == 0 else _background(cube, bands, is_target, part.part(0.0, 0.5))
        answers.append(_scores(cube, bands, found, spectrum, noise, detector, part.part(0.5, 0.5)))
        if own:
            # What the noise of a pixel adds to its score with a spectrum that holds that same noise; of the second cube
            # only as much as is left of it.
            left = np.minimum(noise, noise_from_covariance(found.covariance, found.pixels))
            answers[number][is_target] -= np.float32(_self_match(found, spectrum, noise, left, own, detector))
    job.step(1.0, "done")
    threshold = NormalDist().inv_cdf(1 - FALSE_ALARM_RATE)
    scaled = [_in_background_units(scores, is_target) for scores in answers]
    with np.errstate(invalid="ignore"):
        found_maps = [scores > threshold for scores in scaled]
    are_known = bool(len(pixels))
    if not are_known:
        pixels = np.argwhere(np.logical_or.reduce(found_maps))
    detections = [
        Detection(scores, _median(scores[tuple(pixels.T)]), found)
        for scores, found in zip(scaled, found_maps, strict=True)
    ]
    return TargetCheck(
        target.name, detector, threshold, bands.size, pixels, are_known, detections[0],
        detections[1] if after is not None else None, tuple(notes),
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Background:
    """Mean and covariance of complete background pixels, and the mean of the target's."""

    mean: np.ndarray
    covariance: np.ndarray
    pixels: int
    target: np.ndarray
    target_pixels: int


def _usable_bands(cube: Cube, target: Target) -> np.ndarray:
    usable = ~cube.axis.is_bad
    if target.spectrum is not None:
        if target.spectrum.size != cube.shape[0]:
            raise CubeError(
                f"target '{target.name}' has {target.spectrum.size} bands, the cube {cube.shape[0]}; resample it."
            )
        usable &= np.isfinite(target.spectrum)
    _, height, width = cube.shape
    rows = np.unique(np.linspace(0, height - 1, 16).astype(int))
    seen = np.mean([cube.block(Window(int(row), 0, 1, width))[1].mean(axis=(1, 2)) for row in rows], axis=0)
    bands = np.flatnonzero(usable & (seen > 0.5))
    if bands.size < 2:
        raise CubeError(f"target '{target.name}' shares {bands.size} usable bands with the cube; two are needed.")
    return bands


def _pieces(cube: Cube, bands: np.ndarray, job: Job, message: str) -> Iterator[tuple[Window, np.ndarray, np.ndarray]]:
    """Window, (b, n) float32 values in physical units of its pixels, and which of them are complete."""
    count, height, width = cube.shape
    gain, offset = (np.broadcast_to(np.asarray(c, np.float64), count)[bands, None] for c in (cube.gain, cube.offset))
    for window in strips((height, width), max(STRIP_VALUES // (count * width), 1)):
        job.step(window.row / height, message)
        values, valid = cube.block(window)
        complete = valid[bands].all(axis=0).reshape(-1)
        yield window, (values[bands].reshape(bands.size, -1) * gain + offset).astype(np.float32), complete


def _background(cube: Cube, bands: np.ndarray, is_target: np.ndarray, job: Job) -> _Background:
    shift: np.ndarray | None = None
    count = hits = 0
    total, products, target = np.zeros(bands.size), np.zeros((bands.size, bands.size)), np.zeros(bands.size)
    for window, values, complete in _pieces(cube, bands, job, "looking at the background"):
        here = is_target[window.slices].reshape(-1)
        target += values[:, here & complete].sum(axis=1, dtype=np.float64)
        hits += int((here & complete).sum())
        chosen = np.flatnonzero(complete & ~here)
        for start in range(0, chosen.size, CHUNK_PX):
            part = values[:, chosen[start : start + CHUNK_PX]].astype(np.float64)
            # About a typical spectrum: the square of a far mean would drown a small covariance.
            shift = part.mean(axis=1, keepdims=True) if shift is None else shift
            part -= shift
            total += part.sum(axis=1)
            products += part @ part.T
            count += part.shape[1]
    if shift is None or count < LEAST_PIXELS_A_BAND * bands.size:
        raise CubeError(
            f"{count} pixels of '{cube.name}' are complete in {bands.size} bands; a background needs"
            f" {LEAST_PIXELS_A_BAND * bands.size}: fill its gaps, or mark bands bad."
        )
    mean = total / count
    covariance = products / count - np.outer(mean, mean)
    return _Background(mean + shift[:, 0], (covariance + covariance.T) / 2, count, target / max(hits, 1), hits)


def _spectrum(target: Target, bands: np.ndarray, found: _Background, notes: list[str]) -> tuple[np.ndarray, int]:
    """The target's spectrum on the bands used, and how many pixels of the cube it is the mean of; 0 if it was given."""
    if target.spectrum is None:
        if not found.target_pixels:
            raise CubeError(f"no pixel of target '{target.name}' is complete; choose others, or fill the gaps first.")
        return found.target, found.target_pixels
    spectrum = target.spectrum[bands]
    level, own = float(np.abs(found.mean).mean()), float(np.abs(spectrum).mean())
    if level > 0 and own > 0 and not 1 / OTHER_UNITS < own / level < OTHER_UNITS:
        spectrum = spectrum * (level / own)
        notes.append(f"the spectrum of '{target.name}' is in other units than the cube and was scaled to its level.")
    return spectrum, 0


def _filter(found: _Background, noise: np.ndarray) -> np.ndarray:
    """Inverse of the loaded covariance."""
    loaded = found.covariance + np.diag(LOADING * noise**2)
    scale = np.sqrt(loaded.diagonal())
    return np.asarray(np.linalg.inv(loaded / np.outer(scale, scale)) / np.outer(scale, scale))


def _scores(
    cube: Cube, bands: np.ndarray, found: _Background, spectrum: np.ndarray, noise: np.ndarray, detector: Detector,
    job: Job,
) -> np.ndarray:  # fmt: skip
    """(H, W) float32; the matched filter's output is in standard deviations of a normal background."""
    inverse = _filter(found, noise)
    offset = spectrum - found.mean
    weights = inverse @ offset
    norm = float(np.sqrt(max(offset @ weights, np.finfo(float).tiny)))
    scores = np.full(cube.shape[1:], np.nan, np.float32)
    for window, values, complete in _pieces(cube, bands, job, "looking for the target"):
        chosen, line = np.flatnonzero(complete), np.full(values.shape[1], np.nan)
        for start in range(0, chosen.size, CHUNK_PX):
            some = chosen[start : start + CHUNK_PX]
            centred = values[:, some].astype(np.float64) - found.mean[:, None]
            line[some] = weights @ centred / norm
            if detector == "ace":
                power = (centred * (inverse @ centred)).sum(axis=0)
                line[some] /= np.sqrt(np.maximum(power, np.finfo(float).tiny))
        scores[window.slices] = line.reshape(window.height, window.width)
    return scores


def _self_match(
    found: _Background, spectrum: np.ndarray, noise: np.ndarray, left: np.ndarray, own: int, detector: Detector
) -> float:
    """What noise of the level ``left`` gives a pixel against the mean of ``own`` pixels, in units of the scores."""
    inverse = _filter(found, noise)
    offset = spectrum - found.mean
    power = max(float(offset @ inverse @ offset), np.finfo(float).tiny)
    extra = float((inverse.diagonal() * left**2).sum()) / own
    return extra / np.sqrt(power) / (np.sqrt(power) if detector == "ace" else 1.0)


def _in_background_units(scores: np.ndarray, is_target: np.ndarray) -> np.ndarray:
    """Less the median of the background, over its robust standard deviation."""
    known = scores[~is_target & np.isfinite(scores)]
    known = known[:: max(1, known.size // MAP_SAMPLE)]
    if not known.size:
        return scores
    # Half of what lies between -1 and 1 standard deviations of a normal background: unlike the median deviation it is
    # not next to nothing where most of a background scores alike, as on a line between two materials.
    low, middle, high = np.percentile(known, (15.87, 50, 84.13))
    spread = (high - low) / 2 or float(known.std()) or 1.0
    return np.asarray((scores - middle) / spread, np.float32)


def _median(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else float("nan")

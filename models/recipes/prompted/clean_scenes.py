"""Clean scenes to train on: crops of real train cubes, and satellite pictures or fractals given library spectra."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np

from hsi_app.bands import BandAxis
from hsi_app.cube import Cube

SIDE = 96
# Shares of the sources. Real cubes are few; made ones bring variety of spectra and places.
SHARES = {"real": 0.5, "sentinel": 0.22, "tiles": 0.16, "fractal": 0.12}
# Never trained on, to watch training: two scenes with all cubes that show the same ground.
HELD = ("sandiego_airport_b", "muufl_100")
LEFT_OUT = ("muufl_51x88_raw72",)


class Scenes:
    """Draws clean cubes (B, h, w) in about [0, 1], at most ``SIDE`` px a side.

    Parameters
    ----------
    folder : of the real data, with its manifest, ``hsi/``, ``rgb/`` and ``speclib/``
    """

    def __init__(self, folder: Path) -> None:
        facts = json.loads((folder / "manifest.json").read_text())
        self.real, self.held = [], {}
        for name, fact in facts.items():
            if fact.get("split") != "train" or not str(fact.get("file", "")).startswith("hsi/"):
                continue
            if name in HELD:
                self.held[name] = _real(folder, fact)
            elif name not in LEFT_OUT:
                self.real.append(_real(folder, fact))
        self.sentinel = _sentinel(folder / "rgb" / "s2_t33uub.npz")
        self.tiles = _tiles(folder / "rgb" / "eurosat_rgb_train.zip")
        self.libraries = _libraries(folder / "speclib")

    def draw(self, rng: np.random.Generator) -> Cube:
        """A random scene."""
        kind = str(rng.choice(list(SHARES), p=list(SHARES.values())))
        cube = self._real_crop(rng) if kind == "real" else self._lifted(kind, rng)
        values, axis = cube.values, cube.axis
        if rng.random() < 0.5:
            values, axis = _some_bands(values, axis, rng)
        values = np.rot90(values, int(rng.integers(4)), (1, 2))
        if rng.random() < 0.5:
            values = values[:, :, ::-1]
        return Cube(np.ascontiguousarray(values, np.float32), axis, name=kind)

    def _real_crop(self, rng: np.random.Generator) -> Cube:
        areas = np.array([min(c.shape[1], 120) * min(c.shape[2], 120) for c in self.real], float)
        cube = self.real[rng.choice(len(self.real), p=areas / areas.sum())]
        values = _cut(cube.values, SIDE, rng)
        if rng.random() < 0.2 and min(values.shape[1:]) >= 64:
            height, width = (length // 2 * 2 for length in values.shape[1:])
            values = values[:, :height, :width].reshape(len(values), height // 2, 2, width // 2, 2).mean((2, 4))
        return Cube(np.clip(values * rng.uniform(0.6, 1.1), 0, 1.5), cube.axis)

    def _lifted(self, kind: str, rng: np.random.Generator) -> Cube:
        """Abundances from a picture or fractals, spectra from a library."""
        features, light = self._picture(kind, rng)
        count = int(rng.integers(3, 9))
        mixing = rng.normal(size=(count, len(features))) * rng.uniform(1.0, 3.0)
        scores = np.tensordot(mixing, features, 1)
        scores += rng.uniform(0, 1.0) * np.stack([_fractal(features.shape[1:], rng) for _ in range(count)])
        scores = np.exp(scores - scores.max(0))
        abundances = scores / scores.sum(0)
        spectra, centres = self.libraries[rng.integers(len(self.libraries))]
        picked = spectra[rng.choice(len(spectra), count, replace=False)]
        # The same material differs from place to place, a little, and smoothly in wavelength.
        tilt = np.linspace(-1, 1, picked.shape[1])
        cube = np.tensordot(picked.T, abundances, 1)
        cube = cube * (1 + rng.uniform(0, 0.08) * tilt[:, None, None] * _fractal(features.shape[1:], rng))
        cube = cube * light
        return Cube((cube / np.quantile(cube, 0.999)).astype(np.float32), BandAxis(len(cube), centres))

    def _picture(self, kind: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Standardised features (f, h, w) and illumination (h, w) about 1."""
        if kind == "fractal":
            image = np.stack([_fractal((SIDE, SIDE), rng, rng.uniform(1.0, 2.2)) for _ in range(4)])
            if rng.random() < 0.5:
                image = np.where(image > 0.3, image + 1, image)
        elif kind == "sentinel":
            image = _cut(self.sentinel, SIDE, rng)
        else:
            picks = self.tiles[rng.integers(len(self.tiles), size=4)].astype(np.float32) / 255
            whole = np.concatenate([np.concatenate(list(pair), 2) for pair in (picks[:2], picks[2:])], 1)
            # Neighbours averaged: the blocks of the tiles' JPEG coding fade.
            whole = (whole[:, :-1, :-1] + whole[:, 1:, :-1] + whole[:, :-1, 1:] + whole[:, 1:, 1:]) / 4
            image = _cut(whole, SIDE, rng)
        brightness = image.mean(0)
        spread = max(float(brightness.std()), 1e-3)
        light = np.clip(1 + rng.uniform(0.05, 0.35) * (brightness - brightness.mean()) / spread, 0.15, 2.5)
        features = (image - image.mean((1, 2), keepdims=True)) / np.maximum(image.std((1, 2), keepdims=True), 1e-3)
        return features, light


def made_scene(rng: np.random.Generator, bands: int = 40, side: int = 64) -> Cube:
    """A clean cube (bands, side, side) in about [0, 1], without data: fractal abundances of smooth random spectra."""
    count = int(rng.integers(3, 7))
    scores = 2 * np.stack([_fractal((side, side), rng, rng.uniform(1.0, 2.2)) for _ in range(count)])
    scores = np.exp(scores - scores.max(0))
    cube = np.tensordot(_made_spectra(count, bands, rng).T, scores / scores.sum(0), 1)
    cube = cube * np.clip(1 + 0.2 * _fractal((side, side), rng), 0.2, 2.0)
    # As much noise as the cleanest real scenes have.
    values = cube / np.quantile(cube, 0.999) + rng.normal(0, 3e-4, cube.shape)
    return Cube(values.astype(np.float32), BandAxis(bands, np.linspace(420.0, 2400.0, bands)), name="made")


def _made_spectra(count: int, bands: int, rng: np.random.Generator) -> np.ndarray:
    """(count, bands) in about [0, 1]: broad humps, cut by narrower absorptions."""
    place = np.linspace(0, 1, bands)
    spectra = np.repeat(rng.uniform(0.03, 0.2, (count, 1)), bands, 1)
    for spectrum in spectra:
        for _ in range(3):
            spectrum += rng.uniform(0, 0.5) * np.exp(-0.5 * ((place - rng.uniform()) / rng.uniform(0.08, 0.3)) ** 2)
        for _ in range(2):
            notch = np.exp(-0.5 * ((place - rng.uniform()) / rng.uniform(0.02, 0.06)) ** 2)
            spectrum *= 1 - rng.uniform(0, 0.5) * notch
    return spectra


def _real(folder: Path, facts: dict) -> Cube:
    """A train cube without its weak bands, over its 99.9 percentile, clipped to [0, 1]."""
    with np.load(folder / facts["file"], allow_pickle=False) as file:
        values = file["cube"].transpose(2, 0, 1).astype(np.float32)
        centres = file.get("wavelengths_nm")
    kept = np.setdiff1d(np.arange(len(values)), facts.get("low_snr_bands_lt_20dB", []))
    values = values[kept]
    values = np.clip(values / np.quantile(values, 0.999), 0, 1)
    return Cube(values, BandAxis(len(values), None if centres is None else np.asarray(centres, float)[kept]))


def _sentinel(path: Path) -> np.ndarray:
    """The 10 m bands of a Sentinel-2 scene: (4, H, W) in [0, 1]."""
    with np.load(path, allow_pickle=False) as file:
        fine = next(file[key] for key in file.files if file[key].ndim == 3 and min(file[key].shape) == 4)
    bands = fine if fine.shape[0] == 4 else fine.transpose(2, 0, 1)
    low, high = np.quantile(bands, (0.001, 0.999), axis=(1, 2), keepdims=True)
    return np.clip((bands - low) / (high - low), 0, 1).astype(np.float32)


def _tiles(path: Path) -> np.ndarray:
    """Colour tiles: (n, 3, 64, 64) uint8."""
    from PIL import Image

    with zipfile.ZipFile(path) as archive:
        names = sorted(name for name in archive.namelist() if name.lower().endswith((".jpg", ".jpeg")))[::3]
        images = [np.asarray(Image.open(io.BytesIO(archive.read(name))).convert("RGB")) for name in names]
    return np.stack([image for image in images if image.shape == (64, 64, 3)]).transpose(0, 3, 1, 2)


def _libraries(folder: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """Spectra (n, B) of about [0, 1] and their wavelengths (B,) in nm."""
    found = []
    for path in sorted(folder.glob("*.npz")):
        with np.load(path, allow_pickle=False) as file:
            spectra, centres = file["spectra"].astype(np.float32), np.asarray(file["wavelengths_nm"], float)
        if len(centres) > 400:  # a laboratory's 1 nm steps: as a sensor of 10 nm sees them
            step = len(centres) // 210
            count = len(centres) // step
            spectra = spectra[:, : count * step].reshape(len(spectra), count, step).mean(2)
            centres = centres[: count * step].reshape(count, step).mean(1)
        spectra = spectra / (np.quantile(spectra[np.isfinite(spectra)], 0.999))
        good = np.isfinite(spectra).all(1) & (spectra.max(1) > 0.02) & (spectra.min(1) >= -0.02)
        if good.sum() >= 20:
            found.append((np.clip(spectra[good], 0, 1.2), centres))
    return found


def _some_bands(values: np.ndarray, axis: BandAxis, rng: np.random.Generator) -> tuple[np.ndarray, BandAxis]:
    """A run of bands, or every second or third."""
    bands = len(values)
    step = int(rng.choice([1, 1, 2, 3])) if bands >= 120 else 1
    length = int(rng.integers(min(40, bands), bands + 1))
    start = int(rng.integers(bands - length + 1))
    picked = np.arange(start, start + length)[::step]
    centres = None if axis.centres_nm is None else axis.centres_nm[picked]
    return values[picked], BandAxis(len(picked), centres)


def _cut(images: np.ndarray, side: int, rng: np.random.Generator) -> np.ndarray:
    height, width = (min(side, length) for length in images.shape[1:])
    top, left = int(rng.integers(images.shape[1] - height + 1)), int(rng.integers(images.shape[2] - width + 1))
    return images[:, top : top + height, left : left + width]


def _fractal(shape: tuple[int, ...], rng: np.random.Generator, slope: float = 1.6) -> np.ndarray:
    """(h, w) random field of unit variance with spectrum f^-slope."""
    height, width = shape
    spectrum = np.fft.rfft2(rng.normal(size=(height, width)))
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency[0, 0] = np.inf
    field = np.fft.irfft2(spectrum * frequency**-slope, s=(height, width))
    return field / max(float(field.std()), 1e-9)

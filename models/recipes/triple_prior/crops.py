"""Training crops of the triple prior: Sentinel-2 colour tiles, band triples and component triples of train cubes."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

SIDE = 64
# Shares of the sources in a batch. The colour tiles bring variety, the cubes bring what the prior will meet.
SHARES = {"tile": 0.35, "mosaic": 0.12, "sentinel": 0.13, "bands": 0.2, "components": 0.2}
# Most components of a train cube that are kept, and the correlation of neighbouring pixels below which an image is
# taken for noise: a prior that learned noise as content would paint it.
COMPONENTS, LEAST_CORRELATION = 12, 0.65
# Tiles and a cube that training never sees, to watch it.
HELD_TILES, HELD_CUBE = 200, "sandiego_airport_b"


class Crops:
    """Draws crops (3, 64, 64) in about [-1, 1].

    Parameters
    ----------
    folder : of the real data, with ``rgb/`` and ``hsi/`` and its manifest
    """

    def __init__(self, folder: Path) -> None:
        self.tiles = _colour_tiles(folder / "rgb" / "eurosat_rgb_train.zip")
        self.sentinel = _sentinel(folder / "rgb" / "s2_t33uub.npz")
        self.cubes, self.components, self.held = [], [], []
        for name, facts in json.loads((folder / "manifest.json").read_text()).items():
            if facts.get("split") == "train" and str(facts.get("file", "")).startswith("hsi/"):
                cube = _clean_bands(folder / facts["file"], facts)
                if name == HELD_CUBE:
                    self.held = [cube, _components(cube)]
                else:
                    self.cubes.append(cube)
                    self.components.append(_components(cube))

    def draw(self, count: int, rng: np.random.Generator) -> torch.Tensor:
        """``count`` random crops, (count, 3, 64, 64) float32."""
        makers: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
            "tile": self._tile,
            "mosaic": self._mosaic,
            "sentinel": self._sentinel_crop,
            "bands": self._bands,
            "components": self._component_triple,
        }
        kinds = rng.choice(list(SHARES), count, p=list(SHARES.values()))
        return torch.from_numpy(np.stack([_turned(makers[kind](rng), rng) for kind in kinds]).astype(np.float32))

    def watched(self) -> torch.Tensor:
        """Crops held back from training, always the same: (n, 3, 64, 64)."""
        rng = np.random.default_rng(0)
        tiles = [_signed(tile) for tile in self.tiles[-HELD_TILES::4]]
        pairs = [(self.held[0], True), (self.held[1], False)]
        crops = [self._triple(images, rng, is_bands=is_bands) for images, is_bands in pairs for _ in range(25)]
        return torch.from_numpy(np.stack([*tiles, *crops]).astype(np.float32))

    def _tile(self, rng: np.random.Generator) -> np.ndarray:
        tile = _signed(self.tiles[rng.integers(len(self.tiles) - HELD_TILES)])
        return _recoloured(tile, rng) if rng.random() < 0.5 else _toned(tile, rng)

    def _mosaic(self, rng: np.random.Generator) -> np.ndarray:
        # Four tiles at half size: the blocks of their JPEG coding fall below one pixel's error.
        picks = self.tiles[rng.integers(len(self.tiles) - HELD_TILES, size=4)]
        half = _signed(picks).reshape(4, 3, 32, 2, 32, 2).mean((3, 5))
        whole = np.concatenate([np.concatenate([half[0], half[1]], 2), np.concatenate([half[2], half[3]], 2)], 1)
        return _recoloured(whole, rng) if rng.random() < 0.5 else _toned(whole, rng)

    def _sentinel_crop(self, rng: np.random.Generator) -> np.ndarray:
        picked = self.sentinel[rng.permutation(len(self.sentinel))[:3]]
        return _spread(_cut(picked, rng), rng)

    def _bands(self, rng: np.random.Generator) -> np.ndarray:
        return self._triple(self.cubes[rng.integers(len(self.cubes))], rng, is_bands=True)

    def _component_triple(self, rng: np.random.Generator) -> np.ndarray:
        return self._triple(self.components[rng.integers(len(self.components))], rng, is_bands=False)

    def _triple(self, images: np.ndarray, rng: np.random.Generator, *, is_bands: bool) -> np.ndarray:
        picked = rng.choice(len(images), 3, replace=False)
        picked = np.sort(picked) if is_bands or rng.random() < 0.5 else picked
        crop = _cut(images[picked], rng)
        return _spread(crop, rng) if is_bands or rng.random() < 0.5 else _toned(crop, rng)


def _colour_tiles(path: Path) -> np.ndarray:
    """All tiles of a zip of JPEGs: (n, 3, 64, 64) uint8, in a fixed random order."""
    from PIL import Image

    with zipfile.ZipFile(path) as archive:
        names = sorted(name for name in archive.namelist() if name.lower().endswith((".jpg", ".jpeg")))
        images = [np.asarray(Image.open(io.BytesIO(archive.read(name))).convert("RGB")) for name in names]
    stack = np.stack([image for image in images if image.shape == (SIDE, SIDE, 3)]).transpose(0, 3, 1, 2)
    return np.ascontiguousarray(stack[np.random.default_rng(0).permutation(len(stack))])


def _sentinel(path: Path) -> np.ndarray:
    """The 10 m bands of a Sentinel-2 scene: (4, H, W) in [-1, 1]."""
    with np.load(path, allow_pickle=False) as file:
        fine = next(file[key] for key in file.files if file[key].ndim == 3 and min(file[key].shape) == 4)
    bands = fine if fine.shape[0] == 4 else fine.transpose(2, 0, 1)
    low, high = np.quantile(bands, (0.001, 0.999), axis=(1, 2), keepdims=True)
    return np.clip((bands - low) / (high - low), 0, 1).astype(np.float32) * 2 - 1


def _clean_bands(path: Path, facts: dict) -> np.ndarray:
    """Bands of a cube with little noise: (B, H, W) in [-1, 1]."""
    with np.load(path, allow_pickle=False) as file:
        cube = file["cube"].astype(np.float32).transpose(2, 0, 1)
    kept = np.setdiff1d(np.arange(len(cube)), facts.get("low_snr_bands_lt_20dB", []))
    cube = cube[kept]
    low, high = np.quantile(cube, (0.001, 0.999), axis=(1, 2), keepdims=True)
    return _structured(np.clip((cube - low) / np.maximum(high - low, 1e-6), 0, 1) * 2 - 1)


def _components(cube: np.ndarray) -> np.ndarray:
    """Leading principal component images: (COMPONENTS, H, W), the first with values in about [-1, 1]."""
    flat = cube.reshape(len(cube), -1)
    flat = flat - flat.mean(1, keepdims=True)
    _, vectors = np.linalg.eigh(flat @ flat.T)
    images = (vectors[:, ::-1][:, :COMPONENTS].T @ flat).reshape(-1, *cube.shape[1:])
    return _structured((images / np.quantile(np.abs(images), 0.998, axis=(1, 2), keepdims=True)).astype(np.float32))


def _structured(images: np.ndarray) -> np.ndarray:
    """The images whose neighbouring pixels agree, and at least three."""
    centred = images - images.mean((1, 2), keepdims=True)
    power = centred.var((1, 2)).clip(1e-12)
    pairs = (centred[:, 1:] * centred[:, :-1]).mean((1, 2)), (centred[:, :, 1:] * centred[:, :, :-1]).mean((1, 2))
    correlation = (pairs[0] + pairs[1]) / 2 / power
    kept = np.flatnonzero(correlation >= min(LEAST_CORRELATION, np.sort(correlation)[-3]))
    return images[kept]


def _cut(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random 64 x 64 window, mirrored where the image is smaller."""
    grow = [(0, 0)] + [(0, max(SIDE - side, 0)) for side in images.shape[1:]]
    padded = np.pad(images, grow, mode="symmetric")
    top, left = (int(rng.integers(side - SIDE + 1)) for side in padded.shape[1:])
    return padded[:, top : top + SIDE, left : left + SIDE]


def _signed(tile: np.ndarray) -> np.ndarray:
    return tile.astype(np.float32) / 127.5 - 1


def _toned(crop: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Another contrast and brightness, common to the channels."""
    gain = np.exp(rng.uniform(np.log(0.4), np.log(2.5)))
    centre = crop.mean()
    return np.clip((crop - centre) * gain + np.clip(centre + rng.normal(0, 0.2), -0.8, 0.8), -1.2, 1.2)


def _spread(crop: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Stretch each channel to a random part of the range, as scenes of different contrast lie in it."""
    low, high = np.quantile(crop, (0.01, 0.99), axis=(1, 2), keepdims=True)
    reach = np.exp(rng.uniform(np.log(0.15), np.log(1.0)))
    spread = np.maximum(high - low, 0.02)
    unit = (crop - (low + high) / 2) / spread * 2
    # Bands of one scene have much the same contrast; now and then one is faint.
    faint = np.exp(rng.uniform(np.log(0.3), 0, (3, 1, 1)) * (rng.random() < 0.5))
    return np.clip(unit * reach * faint + rng.normal(0, 0.25, (3, 1, 1)), -1.2, 1.2)


def _recoloured(crop: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Turn the colour axes at random: channels then differ as component images do."""
    axes, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    flat = crop.reshape(3, -1)
    centred = flat - flat.mean(1, keepdims=True)
    values, vectors = np.linalg.eigh(centred @ centred.T / centred.shape[1])
    gains = np.exp(rng.uniform(np.log(0.3), 0, (3, 1))) if rng.random() < 0.5 else np.ones((3, 1))
    if rng.random() < 0.5:
        # Principal axes themselves, their weak ones raised.
        axes = vectors[:, ::-1]
        gains = (values[::-1, None].clip(1e-5)) ** -rng.uniform(0.1, 0.4)
    turned = (axes.T @ centred) * gains
    reach = np.exp(rng.uniform(np.log(0.2), np.log(1.0))) / max(float(np.quantile(np.abs(turned), 0.998)), 1e-3)
    return np.clip(turned * reach, -1.2, 1.2).reshape(crop.shape)


def _turned(crop: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    crop = np.rot90(crop, int(rng.integers(4)), (1, 2))
    return crop[:, :, ::-1] if rng.random() < 0.5 else crop

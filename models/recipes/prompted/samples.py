"""Batches from a pool of records, what the network answers them with, and what that gains."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hsi_models.prompted import PromptedNet
from pool import COMPONENTS, GROUP

from hsi_app.methods.mphsir import haze
from hsi_app.methods.mphsir.bands import view_bands
from hsi_app.methods.mphsir.measure import COUNT, haze_prompt, lost_bands_prompt
from hsi_app.methods.mphsir.names import DEGRADATIONS
from hsi_app.methods.mphsir.view import view_components

# Batches by the degradation that leads: what a record costs to make and what it teaches are different things.
SHOWN = {"gauss": 0.19, "complex": 0.18, "blur": 0.1, "sr": 0.13, "inpaint": 0.15, "haze": 0.26, "bandloss": 0.03,
         "motion": 0.02, "poisson": 0.02}  # fmt: skip
# How often the network is told nothing of the task, and nothing of what was measured.
UNTOLD, UNMEASURED = 0.02, 0.05
FLOOR = 1e-9
MOST_BANDS = 330


@dataclass(frozen=True, eq=False)
class Batch:
    """Patches of one kind; tensors that a kind has no use for are None."""

    kind: str
    weights: torch.Tensor
    measured: torch.Tensor
    images: torch.Tensor | None = None
    solved: torch.Tensor | None = None
    error: torch.Tensor | None = None
    share: torch.Tensor | None = None
    lift: torch.Tensor | None = None
    rest: torch.Tensor | None = None
    counted: torch.Tensor | None = None
    relative: torch.Tensor | None = None
    wanted: torch.Tensor | None = None
    thickness: torch.Tensor | None = None
    black: torch.Tensor | None = None
    falls: torch.Tensor | None = None
    light: torch.Tensor | None = None
    doubt: torch.Tensor | None = None

    def to(self, device: torch.device) -> Batch:
        """On a device."""
        parts = {part.name: getattr(self, part.name) for part in fields(self)}
        return replace(self, **{name: part.to(device) for name, part in parts.items() if torch.is_tensor(part)})


class Pool:
    """The records in a folder, kept in memory; ``look`` finds those that came since."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._seen = folder, set[str]()
        self.records: dict[str, list[dict[str, Any]]] = {}
        self.look()

    def look(self) -> None:
        """Read new records."""
        for path in sorted(self.folder.glob("*.pt")):
            if path.name not in self._seen:
                self._seen.add(path.name)
                record = torch.load(path, weights_only=True)
                self.records.setdefault(_kind(record), []).append(record)

    def __len__(self) -> int:
        return len(self._seen)

    @property
    def kinds(self) -> list[str]:
        """The leading degradations that there are."""
        return sorted(self.records)

    def draw(self, rng: np.random.Generator, sides: Sequence[int], pixels: int) -> Batch:
        """Random patches of one kind, about ``pixels`` in all; haze, which changes slowly, is shown in the largest."""
        shares = np.array([SHOWN[kind] for kind in self.kinds])
        kind = str(rng.choice(self.kinds, p=shares / shares.sum()))
        side = max(sides) if kind == "haze" else int(rng.choice(list(sides)))
        count = max(1, pixels // side**2)
        picked = [self.records[kind][rng.integers(len(self.records[kind]))] for _ in range(count)]
        batch = _batch(kind, picked, side, rng, varied=True)
        told = torch.from_numpy((rng.random((count, 1)) >= UNTOLD).astype(np.float32))
        known = torch.from_numpy((rng.random((count, 1)) >= UNMEASURED).astype(np.float32))
        return replace(batch, weights=batch.weights * told, measured=batch.measured * known)

    def each(self, kind: str, side: int, rng: np.random.Generator) -> Iterator[Batch]:
        """Every record of a kind once, its middle."""
        for record in self.records[kind]:
            yield _batch(kind, [record], side, rng, varied=False)


def answer(network: PromptedNet, batch: Batch) -> torch.Tensor:
    """What is left of the error, per sample and band: (N, B) mean squares in units of the data."""
    if batch.kind == "haze":
        falls = batch.falls[:, :, None, None]
        most, first = _bounded(batch)
        start = haze.clear(batch.relative, first[:, 0], batch.falls)
        seen = torch.cat([batch.relative, start, torch.exp(-first * falls)], 1)
        with _fast(seen):
            _, veil = network.correct_bands(seen, batch.weights, batch.measured)
        # Slightly negative thickness is let through in training, so that it can be learned from.
        change = batch.doubt[:, None, None, None] * veil.float()
        thickness = torch.minimum((first + change).clamp(-0.3, haze.THICKEST), most)
        found = haze.clear(batch.relative, thickness[:, 0], batch.falls)
        return _left(found, batch)
    if batch.kind == "bandloss":
        with _fast(batch.images):
            change, _ = network.correct_bands(batch.images, batch.weights, batch.measured)
        found = batch.relative + change.float() * batch.light[:, None, None, None]
        return (found - batch.wanted).square().mean((2, 3))
    view = view_components(batch.images, batch.solved, batch.share, is_soft=batch.kind == "motion")
    measured = torch.cat([batch.measured[:, :COUNT], view.level * batch.measured.any(1, keepdim=True)], 1)
    with _fast(view.seen):
        change = network.correct_components(view.seen, batch.weights, measured)
    return _through(batch.error - view.unit * change.float(), batch)


def _fast(seen: torch.Tensor) -> torch.autocast:
    return torch.autocast(seen.device.type, torch.bfloat16)


def gain_db(batch: Batch, left: torch.Tensor) -> torch.Tensor:
    """(N,) what the PSNR gains over the classical start, mean over the bands, in dB."""
    if batch.kind == "haze":
        before = _left(haze.clear(batch.relative, _bounded(batch)[1][:, 0], batch.falls), batch)
    elif batch.kind == "bandloss":
        before = (batch.relative - batch.wanted).square().mean((2, 3))
    else:
        before = _through(batch.error, batch)
    gains = 10 * ((before + FLOOR).log10() - (left + FLOOR).log10())
    return (gains * batch.counted).sum(1) / batch.counted.sum(1).clamp_min(1)


def _bounded(batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """The most haze that may be, and the first thickness within it: (N, 1, H, W) both."""
    most = haze.most_thickness(batch.relative, batch.falls, batch.black)[:, None]
    return most, torch.minimum(batch.thickness, most)


def _left(found: torch.Tensor, batch: Batch) -> torch.Tensor:
    return ((found - batch.wanted) * batch.light[:, :, None, None]).square().mean((2, 3))


def _through(left: torch.Tensor, batch: Batch) -> torch.Tensor:
    # Mean over the pixels of (lift e)^2 is the diagonal of lift C lift^T with C = mean of e e^T: small matrices only.
    flat = left.flatten(2)
    covariance = flat @ flat.transpose(1, 2) / flat.shape[2]
    return ((batch.lift @ covariance) * batch.lift).sum(2) + batch.rest


def _kind(record: dict[str, Any]) -> str:
    name = str(record["name"])
    if name == "bandloss":
        return name
    kinds = [kind for kind, weight in zip(DEGRADATIONS, record["weights"], strict=True) if weight > 0]
    # Mixtures of noise with something else are counted as the other.
    return next((kind for kind in kinds if kind != "gauss"), "gauss")


def _batch(kind: str, records: list[dict[str, Any]], side: int, rng: np.random.Generator, *, varied: bool) -> Batch:
    weights = torch.stack([record["weights"] for record in records])
    parts = [_PARTS.get(kind, _components)(record, side, rng, varied) for record in records]
    stacked = {key: torch.stack([part[key] for part in parts]) for key in parts[0]}
    return Batch(kind, weights, **stacked)


def _components(record: dict[str, Any], side: int, rng: np.random.Generator, varied: bool) -> dict[str, torch.Tensor]:
    count = len(record["images"])
    whole = torch.cat([record["images"], record["solved"], record["error"], record["share"].float()])
    cut = _cut(whole, side, rng, varied)
    signs = torch.from_numpy(rng.choice([-1.0, 1.0], count).astype(np.float32)) if varied else torch.ones(count)
    images, solved, error = (_grown(part * signs[:, None, None], COMPONENTS) for part in cut[: 3 * count].split(count))
    lift = _grown((record["lift"] * signs).T, COMPONENTS).T
    return {
        "images": images, "solved": solved, "error": error, "share": cut[3 * count :],
        "lift": _grown(lift, MOST_BANDS), "rest": _grown(record["rest"], MOST_BANDS),
        "counted": _grown(torch.ones(len(lift)), MOST_BANDS),
        "measured": torch.cat([record["measured"], torch.zeros(COMPONENTS)]),
    }  # fmt: skip


def _haze(record: dict[str, Any], side: int, rng: np.random.Generator, varied: bool) -> dict[str, torch.Tensor]:
    whole = torch.cat([record["relative"], record["wanted"], record["thickness"][None]]).float()
    cut = _cut(whole, side, rng, varied)
    shared = {"noise_std": record["noise"].numpy(), "mean_thickness": record["thickness"].float().mean().numpy()}
    measured = torch.cat([haze_prompt(shared, is_noisy=bool(record["noise"] > 0)), torch.zeros(COMPONENTS)])
    return {
        "relative": cut[:GROUP], "wanted": cut[GROUP : 2 * GROUP], "thickness": cut[2 * GROUP :],
        "falls": record["falls"].float(), "light": record["light"].float(), "counted": torch.ones(GROUP),
        "measured": measured, "doubt": record["doubt"].float(), "black": record["black"].float(),
    }  # fmt: skip


def _bandloss(record: dict[str, Any], side: int, rng: np.random.Generator, varied: bool) -> dict[str, torch.Tensor]:
    clean = record["clean"]
    first = int(rng.integers(max(1, len(clean) - GROUP + 1)))
    group = _cut(clean[first : first + GROUP].float(), side, rng, varied)
    if len(group) < GROUP:
        index = np.pad(np.arange(len(group)), (0, GROUP - len(group)), "reflect" if len(group) > 1 else "edge")
        group = group[index]
    known = torch.from_numpy(rng.random(GROUP) >= rng.uniform(0.08, 0.35))
    if rng.random() < 0.2:
        run = int(rng.integers(2, 7))
        start = int(rng.integers(GROUP - run))
        known[start : start + run] = False
    known[int(rng.integers(GROUP))] = False
    if int(known.sum()) < 4:
        known[::2] = True
    shown, estimate, unit = view_bands(group, known)
    measured = torch.cat([lost_bands_prompt(1 - float(known.float().mean())), torch.zeros(COMPONENTS)])
    return {
        "images": shown, "relative": estimate, "wanted": group, "light": unit,
        "counted": (~known).float(), "measured": measured,
    }  # fmt: skip


_PARTS = {"haze": _haze, "bandloss": _bandloss}


def _cut(images: torch.Tensor, side: int, rng: np.random.Generator, varied: bool) -> torch.Tensor:
    """A square patch, mirrored where the images are smaller; random and turned, or the middle."""
    height, width = images.shape[1:]
    if min(height, width) < side:
        index = [torch.as_tensor(_mirrored(length, max(side, length))) for length in (height, width)]
        images = images[:, index[0]][:, :, index[1]]
        height, width = images.shape[1:]
    rows, cols = height - side, width - side
    top, left = (int(rng.integers(rows + 1)), int(rng.integers(cols + 1))) if varied else (rows // 2, cols // 2)
    cut = images[:, top : top + side, left : left + side]
    if varied:
        cut = torch.rot90(cut, int(rng.integers(4)), (1, 2))
        cut = cut.flip(2) if rng.random() < 0.5 else cut
    return cut.contiguous()


def _mirrored(length: int, side: int) -> np.ndarray:
    place = np.arange(side) % max(2 * length, 1)
    return np.where(place < length, place, 2 * length - 1 - place)


def _grown(part: torch.Tensor, length: int) -> torch.Tensor:
    """With zeros behind along the first axis."""
    return torch.cat([part, part.new_zeros(length - len(part), *part.shape[1:])])

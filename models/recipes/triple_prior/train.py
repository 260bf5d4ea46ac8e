"""Train the triple prior: predict the noise in three-channel images of any noise level.

    python models/recipes/triple_prior/train.py --work runs/triple_prior --minutes 120 [--threads 1] [--device auto]
    python models/recipes/triple_prior/train.py --work runs/triple_prior --minutes 20 --cooldown
    python models/recipes/triple_prior/train.py --work runs/triple_prior --export models/hsi_models/weights/triple-prior

Stops and goes on at will: the state is written every few minutes, and the same command resumes it. ``--cooldown``
lowers the rate to nothing over its minutes, which is where the last tenths of a decibel come from; do it last.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from pathlib import Path

import numpy as np
import torch
from crops import Crops
from diffusers import DDIMScheduler, UNet2DModel
from hsi_models.store import save_weights

BATCH, RATE = 16, 6e-4
# Memory of the running mean: some 2,000 updates while training, some 300 while the rate falls.
EMA, EMA_COOLDOWN = 0.9995, 0.997
# Noise over signal amplitude, for images in [-1, 1]: most draws where restoration works (1/255 to 200/255 of the
# range), the rest up to pure noise.
COMMON, RARE, RARE_SHARE = (0.015, 1.6), (1.6, 60.0), 0.15
NETWORK = {
    "in_channels": 3, "out_channels": 3, "layers_per_block": 1, "block_out_channels": (32, 64, 128, 192),
    "down_block_types": ("DownBlock2D",) * 4, "up_block_types": ("UpBlock2D",) * 4,
    "norm_num_groups": 8, "attention_head_dim": None, "add_attention": False,
}  # fmt: skip
SCHEDULE = {"num_train_timesteps": 1000, "beta_start": 1e-4, "beta_end": 0.02, "beta_schedule": "linear"}
DATA = (
    "EuroSAT RGB, 9,800 of 10,000 training tiles (MIT; contains modified Copernicus Sentinel data)",
    "Sentinel-2 scene T33UUB, 10 m bands (CC BY 4.0, through DSen2; contains modified Copernicus Sentinel data)",
    "bands and component images of 14 training cubes: AVIRIS (NASA/JPL; ABU crops, California), HyMap Berlin"
    " (CC BY-SA 4.0), EnMAP Potsdam (DLR), HySpex Bavaria (Apache-2.0), MUUFL Gulfport (MIT), ROSIS Pavia",
)
REFERENCES = (
    "P. Helber et al., EuroSAT, IEEE J. Sel. Topics Appl. Earth Observ. Remote Sens. 12(7), 2019.",
    "J. Ho, A. Jain and P. Abbeel, Denoising diffusion probabilistic models, arXiv 2006.11239.",
)
SAVE_EVERY_S, REPORT_EVERY = 180, 200
WATCHED_LEVELS = (5, 15, 30, 50, 100)


def data_folder() -> Path:
    """Folder of real scenes: HSI_TEST_DATA, or ../shared/data beside the project."""
    return Path(os.environ.get("HSI_TEST_DATA", Path(__file__).resolve().parents[4] / "shared" / "data"))


class Levels:
    """Noise levels as the network is told them: places, whole or not, on its training schedule."""

    def __init__(self) -> None:
        alphas = DDIMScheduler(**SCHEDULE).alphas_cumprod.double().numpy()
        self._log_level = 0.5 * np.log((1 - alphas) / alphas)

    def places(self, level: torch.Tensor) -> torch.Tensor:
        """Continuous timesteps of noise-to-signal ratios ``level``."""
        found = np.interp(np.log(level.double().numpy()), self._log_level, np.arange(len(self._log_level)))
        return torch.from_numpy(found).float()


def draw_levels(count: int, rng: np.random.Generator) -> torch.Tensor:
    """(count,) noise-to-signal ratios."""
    common, rare = (np.exp(rng.uniform(*np.log(ends), count)) for ends in (COMMON, RARE))
    return torch.from_numpy(np.where(rng.random(count) < RARE_SHARE, rare, common))


def noisy(clean: torch.Tensor, noise: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
    """Mix so that the variance stays: (clean + level * noise) / sqrt(1 + level^2)."""
    level = level.float()[:, None, None, None]
    return (clean + level * noise) / (1 + level.square()).sqrt()


def watch(network: UNet2DModel, clean: torch.Tensor, levels: Levels) -> dict[int, float]:
    """PSNR in dB of one-pass denoising of held-back crops, by noise level in 1/255 of the range."""
    generator = torch.Generator().manual_seed(0)
    found = {}
    network.train(False)
    with torch.no_grad():
        for grey in WATCHED_LEVELS:
            level = torch.full((len(clean),), 2 * grey / 255, dtype=torch.float64)
            noise = torch.randn(clean.shape, generator=generator)
            device = next(network.parameters()).device
            guess = network(noisy(clean, noise, level).to(device), levels.places(level).to(device)).sample.cpu()
            error = (level.float()[:, None, None, None] * (noise - guess) / 2).square().mean((1, 2, 3))
            found[grey] = float((-10 * error.log10()).mean())
    network.train()
    return found


class Run:
    """A training run on disk: network, its running mean, optimiser and counts."""

    def __init__(self, work: Path, device: torch.device, seed: int) -> None:
        self.path, self.device = work / "state.pt", device
        torch.manual_seed(seed)
        self.network = UNet2DModel(**NETWORK).to(device, memory_format=torch.channels_last)
        self.mean = UNet2DModel(**NETWORK).to(device, memory_format=torch.channels_last)
        self.mean.load_state_dict(self.network.state_dict())
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=RATE, betas=(0.9, 0.99))
        self.step, self.seconds = 0, 0.0
        if self.path.is_file():
            state = torch.load(self.path, map_location=device, weights_only=True)
            self.network.load_state_dict(state["network"])
            self.mean.load_state_dict(state["mean"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.step, self.seconds = state["step"], state["seconds"]

    def save(self) -> None:
        """Write the state beside the old one, then put it in its place."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.path.with_suffix(".new")
        torch.save(
            {
                "network": self.network.state_dict(), "mean": self.mean.state_dict(),
                "optimiser": self.optimiser.state_dict(), "step": self.step, "seconds": self.seconds,
            },
            fresh,
        )  # fmt: skip
        fresh.replace(self.path)

    def update(
        self, clean: torch.Tensor, level: torch.Tensor, places: torch.Tensor, rate: float, memory: float = EMA
    ) -> float:
        """One step on a batch; the loss, 1 where nothing is learned."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate * min(1.0, (self.step + 1) / 300)
        noise = torch.randn_like(clean)
        mixed = noisy(clean, noise, level).to(memory_format=torch.channels_last)
        with torch.autocast(self.device.type, torch.bfloat16):
            guess = self.network(mixed, places).sample
        loss = (guess.float() - noise).square().mean()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        self.step += 1
        keep = min(memory, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.mean.parameters()), list(self.network.parameters()), 1 - keep)
        return float(loss.detach())


def train(run: Run, minutes: float, cooldown: bool, batch: int) -> None:
    """Go on for ``minutes``; every crop and level is drawn anew from the step's own seed."""
    crops, levels = Crops(data_folder()), Levels()
    watched = crops.watched()
    begun, saved, losses = time.monotonic(), time.monotonic(), []
    while (elapsed := time.monotonic() - begun) < 60 * minutes:
        rng = np.random.default_rng([20, run.step])
        torch.manual_seed(run.step)
        level = draw_levels(batch, rng)
        clean, places = crops.draw(batch, rng).to(run.device), levels.places(level).to(run.device)
        share = elapsed / (60 * minutes)
        rate = RATE * (0.5 + 0.5 * math.cos(math.pi * share)) if cooldown else RATE
        memory = EMA_COOLDOWN if cooldown else EMA
        losses.append(run.update(clean, level.to(run.device), places, rate, memory))
        if run.step % REPORT_EVERY == 0:
            print(
                f"step {run.step}  {(run.seconds + elapsed) / 60:.1f} min  loss {np.mean(losses[-REPORT_EVERY:]):.4f}",
                flush=True,
            )
        if time.monotonic() - saved > SAVE_EVERY_S:
            now = time.monotonic()
            run.seconds += now - saved
            run.save()
            curve = watch(run.mean, watched, levels)
            print("held back, dB:", "  ".join(f"{grey}: {psnr:.2f}" for grey, psnr in curve.items()), flush=True)
            saved = time.monotonic()
    run.seconds += time.monotonic() - saved
    run.save()


def export(run: Run, folder: Path) -> None:
    """Write the running mean as a diffusers folder with a card, half precision."""
    facts = {
        "id": folder.name,
        "title": "Prior of three-channel remote-sensing images, any noise level",
        "network": "diffusers:UNet2DModel",
        "hyper": NETWORK,
        "bands": 3,
        "size_multiple": 2 ** (len(NETWORK["block_out_channels"]) - 1),
        "input_range": (-1.0, 1.0),
        "file": "diffusion_pytorch_model.safetensors",
        "licence": "BSD-3-Clause",
        "data": DATA,
        "recipe": "models/recipes/triple_prior",
        "references": REFERENCES,
    }
    texts = {
        "config.json": json.dumps({"_class_name": "UNet2DModel", **NETWORK}, indent=1),
        "scheduler_config.json": json.dumps(
            {"_class_name": "DDIMScheduler", **SCHEDULE, "prediction_type": "epsilon"}, indent=1
        ),
    }
    card = save_weights(folder, {key: value.half() for key, value in run.mean.state_dict().items()}, facts, texts)
    print(f"{folder}: step {run.step}, {run.seconds / 60:.0f} min, {card.path.stat().st_size / 2**20:.1f} MiB")


def main() -> None:
    """Read the command line, then train or export."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder of the state; made if needed")
    parser.add_argument("--minutes", type=float, default=25)
    parser.add_argument("--cooldown", action="store_true", help="lower the rate to nothing over the minutes")
    parser.add_argument("--batch", type=int, default=BATCH)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--export", type=Path, metavar="FOLDER", help="write the weights there instead of training")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    run = Run(given.work, torch.device(given.device), seed=0)
    if given.export is None:
        train(run, given.minutes, given.cooldown, given.batch)
    else:
        export(run, given.export)


if __name__ == "__main__":
    main()

"""Train the prompted network on a pool of degraded scenes.

    python models/recipes/prompted/train.py --work runs/prompted --minutes 120 [--sides 32 64] [--device auto]
    python models/recipes/prompted/train.py --work runs/prompted --minutes 20 --cooldown
    python models/recipes/prompted/train.py --work runs/prompted --export models/hsi_models/weights/prompted

Stops and goes on at will: the state is written every few minutes, and the same command resumes it; ``--from FOLDER``
begins with weights that were exported earlier. ``--cooldown`` lowers the rate to nothing over its minutes.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hsi_models.prompted import PromptedNet
from hsi_models.store import load_card, load_state, save_weights
from pool import COMPONENTS, GROUP
from samples import Batch, Pool, answer, gain_db
from torch import distributed, multiprocessing

from hsi_app.methods.mphsir.measure import COUNT
from hsi_app.methods.mphsir.names import DEGRADATIONS

NETWORK: dict[str, Any] = {
    "components": COMPONENTS, "group": GROUP, "degradations": len(DEGRADATIONS), "measured": COUNT,
    "width": 32, "blocks": (1, 1, 2, 1), "prompt": 64, "tokens": 16, "spectral_prompts": 64, "spectral_rank": 8,
}  # fmt: skip
RATE, DECAY, CLIP, WARM_UP = 1e-3, 1e-4, 1.0, 200
EMA, EMA_COOLDOWN = 0.999, 0.995
PIXELS = 16 * 32 * 32  # of a batch
SAVE_EVERY_S, WATCH_EVERY_S, REPORT_EVERY = 180, 600, 200


class Run:
    """A training run on disk: network, its running mean, optimiser and counts."""

    def __init__(self, work: Path, device: torch.device, seed: int, begin: Path | None) -> None:
        self.path, self.device = work / "state.pt", device
        torch.manual_seed(seed)
        self.network, self.mean = (PromptedNet(**NETWORK).to(device) for _ in range(2))
        if begin is not None:
            self.network.load_state_dict({k: v.float() for k, v in load_state(load_card(begin)).items()})
        self.mean.load_state_dict(self.network.state_dict())
        self.optimiser = torch.optim.AdamW(self.network.parameters(), RATE, betas=(0.9, 0.99), weight_decay=DECAY)
        self.step, self.seconds, self.warm = 0, 0.0, 0
        if self.path.is_file():
            state = torch.load(self.path, map_location=device, weights_only=True)
            self.network.load_state_dict(state["network"])
            self.mean.load_state_dict(state["mean"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.step, self.seconds = state["step"], state["seconds"]

    def save(self) -> None:
        """Write the state under another name, then rename it."""
        making = self.path.with_suffix(".part")
        torch.save({"network": self.network.state_dict(), "mean": self.mean.state_dict(), "step": self.step,
                    "optimiser": self.optimiser.state_dict(), "seconds": self.seconds}, making)  # fmt: skip
        making.rename(self.path)

    def learn(self, batch: Batch, rate: float, decay: float) -> float:
        """One update; the mean gain over the classical start in dB before it."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate * min(1.0, (self.warm + 1) / WARM_UP)
        gain = gain_db(batch, answer(self.network, batch))
        loss = -gain.mean()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self._share()
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), CLIP)
        if bool(norm.isfinite()):
            self.optimiser.step()
        decay = min(decay, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for kept, new in zip(self.mean.parameters(), self.network.parameters(), strict=True):
                kept.lerp_(new, 1 - decay)
        self.step, self.warm = self.step + 1, self.warm + 1
        return float(-loss.detach())

    def _share(self) -> None:
        """Mean gradients over the processes, where there are several: each shows another kind of batch."""
        if not distributed.is_initialized():
            return
        parameters = list(self.network.parameters())
        flat = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in parameters])
        distributed.all_reduce(flat)
        parts = (flat / distributed.get_world_size()).split([p.numel() for p in parameters])
        for parameter, part in zip(parameters, parts, strict=True):
            parameter.grad = part.view_as(parameter)


def watch(network: PromptedNet, held: Pool, side: int = 64) -> dict[str, float]:
    """Mean gain over the classical start in dB by degradation, on records held back."""
    rng, found = np.random.default_rng(0), {}
    with torch.no_grad():
        for kind in held.kinds:
            gains = [gain_db(batch, answer(network, batch)).mean() for batch in held.each(kind, side, rng)]
            found[kind] = round(float(torch.stack(gains).mean()), 3)
    return found


def train(rank: int, given: argparse.Namespace) -> None:
    """Train for some minutes, as one of the processes."""
    torch.set_num_threads(given.threads)
    if given.processes > 1:
        meeting = f"file://{given.work.resolve() / 'meeting'}"
        distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=given.processes)
    device = torch.device("cuda" if given.device == "auto" and torch.cuda.is_available() else
                          "cpu" if given.device == "auto" else given.device)  # fmt: skip
    run = Run(given.work, device, given.seed, given.begin)
    pool, held = Pool(given.work / "pool"), Pool(given.work / "held")
    rng = np.random.default_rng([given.seed, run.step, rank])
    began = last = saved = looked = time.monotonic()
    gains: dict[str, list[float]] = {}
    length = 60 * given.minutes
    while (past := _common(time.monotonic() - began)) < length:
        rate = RATE * given.rate * (0.5 * (1 + math.cos(math.pi * past / length)) if given.cooldown else 1.0)
        batch = pool.draw(rng, given.sides, PIXELS).to(device)
        gain = run.learn(batch, rate, EMA_COOLDOWN if given.cooldown else EMA)
        gains.setdefault(batch.kind, []).append(gain)
        now = time.monotonic()
        run.seconds, last = run.seconds + now - last, now
        if now - saved > SAVE_EVERY_S:
            pool.look()
            saved = now
            if not rank:
                run.save()
        if rank:
            continue
        if run.step % REPORT_EVERY == 0:
            told = " ".join(f"{kind} {np.mean(part):+.2f}" for kind, part in sorted(gains.items()))
            print(f"step {run.step} {run.seconds / 60:.1f} min, {len(pool)} records: {told}", flush=True)
            gains = {}
        if now - looked > WATCH_EVERY_S or run.step == 1:
            print(f"held at {run.step}: {watch(run.mean, held)}", flush=True)
            looked = time.monotonic()
    if not rank:
        run.save()
        print(f"held at {run.step}: {watch(run.mean, held)}", flush=True)


def _common(seconds: float) -> float:
    """The clock of the first process, so that all stop together."""
    if distributed.is_initialized():
        clock = torch.tensor([seconds], dtype=torch.float64)
        distributed.broadcast(clock, 0)
        return float(clock)
    return seconds


def export(given: argparse.Namespace) -> None:
    """The running mean in half precision, with its card."""
    run = Run(given.work, torch.device("cpu"), 0, None)
    facts = json.loads((Path(__file__).parent / "card.json").read_text())
    facts["recipe"] = f"models/recipes/prompted: {run.step} updates, {run.seconds / 3600:.2f} h on two CPU cores"
    state = {name: value.half() for name, value in run.mean.state_dict().items()}
    card = save_weights(given.export, state, {**facts, "hyper": NETWORK})
    print(f"{card.folder}: {card.sha256}")


def main() -> None:
    """Train, cool down or export."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--sides", type=int, nargs="+", default=[32, 64], help="of the patches, px")
    parser.add_argument("--rate", type=float, default=1.0, help="times the usual rate")
    parser.add_argument("--threads", type=int, default=1, help="of a process")
    parser.add_argument("--processes", type=int, default=1, help="that share the work; their gradients are averaged")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--from", dest="begin", type=Path)
    parser.add_argument("--cooldown", action="store_true")
    parser.add_argument("--export", type=Path)
    given = parser.parse_args()
    if given.export:
        export(given)
    elif given.processes > 1:
        (given.work / "meeting").unlink(missing_ok=True)
        multiprocessing.spawn(train, (given,), nprocs=given.processes)
    else:
        train(0, given)


if __name__ == "__main__":
    main()

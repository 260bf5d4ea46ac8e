"""DDS2M against low-rank restoration on the test split: quality, when to stop, time.

    python benchmarks/dds2m.py [quality] [published] [oracle] [time] [--cases gauss-25.5,sr-x2] [--scenes samson]

quality: PSNR and SAM of 'lowrank', of a masked low-rank completion whose rank the truth chooses, and of DDS2M.
published: the same for DDS2M as published: a cold start, ten large networks, untrained spectra, 500 updates.
oracle: PSNR had the run been stopped at each look, against where the held-out samples stopped it.
time: seconds of one update of the published networks, one after the other and side by side, and of a default run.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from published_vs2m import SerialGenerator
from scenes import TEST, reference_for, task_of

from hsi_app.bands import BandAxis
from hsi_app.cube import Cube
from hsi_app.methods.dds2m import fit, run
from hsi_app.methods.dds2m.generator import Generator
from hsi_app.methods.dds2m.spec import Dds2mParameters
from hsi_app.metrics import score
from hsi_app.physics.degrade import degrade
from hsi_app.runner import Result, Settings, restore

CASES = "gauss-25.5,inpaint-0.9+lines-0.1,inpaint-0.7+gauss-25.5,sr-x2,bandloss-0.2"
PUBLISHED = {"generator": "full", "start": "cold", "spectra": "untrained", "rank": 10, "stop": "never"}
FILL_RANKS, FILL_ROUNDS = range(1, 13), 60
TIMED, UPDATES = (60, 128, 128), 12


def undo(given: Any, case: str, method: str, options: dict[str, Any] | None = None) -> Result:
    task, scale = task_of(case)
    task = "inpaint" if case.startswith("bandloss") else task
    settings = Settings(
        task=task, device="cpu", scale=scale if task == "sr" else None,
        keep_observed=False if task == "inpaint" else None,
    )  # fmt: skip
    return restore(given.observed, method, options, settings, mask=given.mask)


def masked_fill(given: Any, truth: Cube) -> np.ndarray:
    """Iterated SVD completion, the rank chosen by the truth: a bar that no user can reach."""
    seen = given.mask.reshape(len(given.mask), -1)
    values = np.where(seen, np.nan_to_num(given.observed.read()).reshape(seen.shape), 0)
    mean = values.sum(1, keepdims=True) / np.maximum(seen.sum(1, keepdims=True), 1)
    clean, best = truth.read().reshape(seen.shape), (-np.inf, values)
    for rank in FILL_RANKS:
        filled = np.where(seen, values, mean)
        for _ in range(FILL_ROUNDS):
            centred = filled - mean
            basis = np.linalg.eigh(centred @ centred.T)[1][:, -rank:]
            low = basis @ (basis.T @ centred) + mean
            filled = np.where(seen, values, low)
        found = float(np.mean(-10 * np.log10(((low - clean) ** 2).mean(1))))
        best = max(best, (found, low), key=lambda pair: pair[0])
    return best[1].reshape(truth.shape).astype(np.float32)


def psnr(values: np.ndarray, truth: Cube) -> float:
    """As ``hsi-app score`` tells it for a reference in [0, 1], without the other figures."""
    clean = truth.read()
    errors = ((values - clean) ** 2).mean((1, 2))
    return float(np.mean(10 * np.log10(clean.max() ** 2 / errors)))


def report(case: str, name: str, scenes: list[str], restorer: Callable[[Any, Cube], np.ndarray]) -> None:
    scores, seconds = [], []
    for scene in scenes:
        truth = reference_for(scene, case)
        given = degrade(truth, case, seed=0)
        began = time.perf_counter()
        values = np.nan_to_num(restorer(given, truth))
        seconds.append(time.perf_counter() - began)
        scores.append(score(truth.replace(values, name), truth))
    mean, sam = (float(np.mean([one[key] for one in scores])) for key in ("psnr", "sam"))
    each = " ".join(f"{one['psnr']:.2f}/{one['sam']:.2f}" for one in scores)
    print(f"{case:22} {name:34} {mean:6.2f} dB {sam:5.2f} deg {np.mean(seconds):6.1f} s   ({each})", flush=True)


def quality(cases: list[str], scenes: list[str], methods: list[str]) -> None:
    for case in cases:
        if case.startswith("inpaint") and "masked" in methods:
            report(case, "masked SVD fill, rank by the truth", scenes, masked_fill)
        for name in (name for name in methods if name != "masked"):
            if not (case.startswith("bandloss") and name == "lowrank"):  # it leaves lost bands missing
                report(case, name, scenes, lambda given, _, name=name, case=case: undo(given, case, name).cube.read())


def published(cases: list[str], scenes: list[str]) -> None:
    for case in cases:
        options = {**PUBLISHED, "eta": 1.0 if case.startswith("gauss") else 0.95}
        report(
            case, "dds2m as published", scenes,
            lambda given, _, case=case, options=options: undo(given, case, "dds2m", options).cube.read(),
        )  # fmt: skip


def oracle(cases: list[str], scenes: list[str]) -> None:
    """What only someone who knows the truth can tell: the result of every look of a run that goes to the end."""
    look, built = fit.Run._look, run._Setting.__init__
    for case in cases:
        for scene in scenes:
            truth = reference_for(scene, case)
            given = degrade(truth, case, seed=0)
            settings: list[Any] = []
            looks: list[tuple[int, torch.Tensor]] = []
            kept: list[tuple[int, int]] = []

            def keep(self: Any, *given: Any, look: Any = look, looks: Any = looks, kept: Any = kept) -> None:
                looks.append((self.update, self.guess.clone()))
                look(self, *given)
                kept.append((self.update, self.judge.kept))

            def remember(self: Any, *given: Any, built: Any = built, settings: Any = settings) -> None:
                built(self, *given)
                settings.append(self)

            fit.Run._look, run._Setting.__init__ = keep, remember  # type: ignore[method-assign]
            try:
                found = undo(given, case, "dds2m", {"patience": 5000})
            finally:
                fit.Run._look, run._Setting.__init__ = look, built  # type: ignore[method-assign]
            setting = settings[0]
            judge = setting.judge_of()
            span = found.record["scaling"]
            curve, results = {}, {}
            for update, guess in looks:
                share = judge.share_of(setting.start, guess)
                values = setting.restoration(setting.with_held_out(guess, share), guess, {}).values.numpy()
                bare = setting.restoration(guess, guess, {}).values.numpy()
                curve[update] = [psnr(v * span["span"] + span["offset"], truth) for v in (values, bare)]
                results[update] = values * span["span"] + span["offset"]
            # What a run would have kept that had stopped by itself.
            patience = Dds2mParameters().patience
            stopped = next((of for at, of in kept if at - of >= patience), kept[-1][1])
            best = max(curve, key=lambda update: curve[update][0])
            last = max(curve)
            chosen, end, top = curve[stopped][0], curve[last], curve[best][0]
            sam = score(truth.replace(results[stopped], ""), truth)["sam"]
            bare = max(pair[1] for pair in curve.values())
            print(
                f"{case:22} {scene:20} kept {stopped:4} {chosen:.2f} dB {sam:.2f} deg"
                f"  oracle {best:4} {top:.2f} dB  end {last:4} {end[0]:.2f} dB;"
                f" the fit alone: best {bare:.2f} dB, end {end[1]:.2f} dB",
                flush=True,
            )


def timing() -> None:
    bands, height, width = TIMED
    target = torch.rand(bands, height, width, generator=torch.Generator().manual_seed(0))
    draws = torch.Generator().manual_seed(0)
    serial = SerialGenerator(10, bands, height, width)
    basis = torch.linalg.qr(torch.randn(bands, 10, generator=draws))[0]
    params = Dds2mParameters(**PUBLISHED)
    grouped = Generator(params, basis, torch.ones(10), torch.zeros(bands), draws)
    images = grouped.noise_images(height, width, draws)
    rivals: dict[str, tuple[torch.nn.Module, Callable[[], torch.Tensor], bool]] = {
        "10 published networks, serial": (serial, serial.forward, False),
        "10 networks, grouped": (grouped, lambda: grouped(images, None), True),
    }
    optimisers = {
        name: torch.optim.Adam(network.parameters(), lr=5e-4, fused=fused)
        for name, (network, _, fused) in rivals.items()
    }
    seconds: dict[str, list[float]] = {name: [] for name in rivals}
    # In turns, so that whatever else the machine does slows both.
    for _ in range(UPDATES):
        for name, (_, cube, _) in rivals.items():
            began = time.perf_counter()
            loss = (cube() - target).square().mean()
            optimisers[name].zero_grad()
            loss.backward()
            optimisers[name].step()
            seconds[name].append(time.perf_counter() - began)
    for name, taken in seconds.items():
        print(f"{name:32} {min(taken):.3f} s an update (median {np.median(taken[1:]):.3f})", flush=True)
    rng = np.random.default_rng(0)
    maps = np.stack([np.kron(rng.random((16, 16)), np.ones((8, 8))) for _ in range(6)])
    clean = np.tensordot(rng.random((bands, 6)), maps, 1) / 6
    for case in ("gauss-25.5", "inpaint-0.9+lines-0.1"):
        given = degrade(Cube(clean.astype(np.float32), BandAxis(bands)), case, seed=0)
        began = time.perf_counter()
        found = undo(given, case, "dds2m", {"patience": 5000})
        print(f"default run, {case:20} {time.perf_counter() - began:.0f} s, {found.record['trace']['updates']} updates")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=["quality", "oracle", "time"])
    parser.add_argument("--cases", default=CASES)
    parser.add_argument("--scenes", default=",".join(TEST))
    parser.add_argument("--methods", default="masked,lowrank,dds2m", help="rows of the part 'quality'")
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    cases, scenes = given.cases.split(","), given.scenes.split(",")
    for part in given.parts:
        if part == "time":
            timing()
        elif part == "quality":
            quality(cases, scenes, given.methods.split(","))
        else:
            {"published": published, "oracle": oracle}[part](cases, scenes)


if __name__ == "__main__":
    main()

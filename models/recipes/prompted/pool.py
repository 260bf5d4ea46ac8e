"""Degraded scenes with their classical starts, worked out beforehand: what the network learns to correct.

    python models/recipes/prompted/pool.py --out runs/prompted/pool --first 0 --count 500

Each record is a file of its own, made from its number alone, so several processes fill one pool side by side and a
stopped one goes on where it was.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

import numpy as np
import torch
from clean_scenes import Scenes

from hsi_app.cube import Cube
from hsi_app.jobs import Job
from hsi_app.methods.lowrank.observation import whiten
from hsi_app.methods.lowrank.prepare import survey
from hsi_app.methods.mphsir import haze
from hsi_app.methods.mphsir.measure import measured_prompt
from hsi_app.methods.mphsir.names import DEGRADATIONS
from hsi_app.methods.mphsir.start import classical_start
from hsi_app.optics import optics_of
from hsi_app.physics.degrade import degrade
from hsi_app.problem import Problem
from hsi_app.scene import Scene
from hsi_app.tiling import Window

COMPONENTS, GROUP = 12, 32
# How often each setting is drawn, and the ranges of their numbers. What costs most to start (gaps) is drawn less often
# than it deserves and shown more often.
WEIGHTS = {"gauss": 0.18, "complex": 0.17, "blur": 0.13, "sr": 0.13, "inpaint": 0.1, "haze": 0.17,
           "bandloss": 0.04, "motion": 0.04, "poisson": 0.04}  # fmt: skip
BLUR_SIDES, SCALES = (7, 9, 11, 13, 15, 17, 19, 21), (2, 2, 3, 4, 4, 8)
# What the width of a blur is misjudged by (standard deviation of its logarithm).
WIDTH_ERROR = 0.05


def main() -> None:
    """Fill the pool."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--held", action="store_true", help="make records of the scenes held back instead")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    given.out.mkdir(parents=True, exist_ok=True)
    scenes = Scenes(data_folder())
    for number in range(given.first, given.first + given.count):
        path = given.out / f"{number:06d}.pt"
        if path.is_file():
            continue
        began = time.process_time()
        rng = np.random.default_rng([number, int(given.held)])
        if given.held:
            clean = list(scenes.held.values())[number % len(scenes.held)]
            kind = sorted(WEIGHTS)[number // len(scenes.held) % len(WEIGHTS)]
        else:
            clean, kind = scenes.draw(rng), str(rng.choice(list(WEIGHTS), p=_shares()))
        try:
            found = make_record(clean, kind, rng, seed=number)
        except Exception as error:  # one odd draw must not stop a night's work
            print(f"{number}: {kind} on {clean.name}: {error}", flush=True)
            continue
        temporary = path.with_suffix(f".{os.getpid()}")
        torch.save(found, temporary)
        temporary.rename(path)
        spent = time.process_time() - began
        print(f"{number}: {found['name']} on {clean.name} {clean.shape} {spent:.1f} s", flush=True)


def data_folder() -> Path:
    """Folder of real scenes: HSI_TEST_DATA, or ../shared/data beside the project."""
    return Path(os.environ.get("HSI_TEST_DATA", Path(__file__).resolve().parents[4] / "shared" / "data"))


def draw_name(kind: str, rng: np.random.Generator) -> tuple[str, dict[str, float]]:
    """A degradation's name and how much of each prompt it is."""
    mixed = rng.random() < 0.25
    extra = f"gauss-{np.exp(rng.uniform(np.log(3), np.log(40))):.3g}"
    if kind == "gauss":
        return f"gauss-{np.exp(rng.uniform(np.log(1), np.log(80))):.3g}", {"gauss": 1.0}
    if kind == "complex":
        case = int(rng.choice([1, 2, 3, 4, 5]))
        return f"mixed-{case}", {"complex": 1.0}
    if kind == "poisson":
        return f"poisson-{np.exp(rng.uniform(np.log(5), np.log(200))):.3g}", {"poisson": 1.0}
    if kind == "blur":
        name = f"blur-{rng.choice(BLUR_SIDES)}"
    elif kind == "motion":
        name = f"motion-{rng.integers(5, 19)}"
    elif kind == "sr":
        name = f"sr-x{rng.choice(SCALES)}"
    elif kind == "inpaint":
        style = rng.random()
        share = rng.uniform(0.4, 0.93)
        name = f"inpaint-{share:.2f}"
        if style > 0.7:
            name = f"pixels-{rng.uniform(0.05, 0.5):.2f}" if style < 0.85 else f"lines-{rng.uniform(0.05, 0.3):.2f}"
            if rng.random() < 0.3:
                name = f"{name}+inpaint-{rng.uniform(0.2, 0.8):.2f}"
    else:
        # Now and then hardly any: the network must not find haze where there is none.
        strength = rng.uniform(0.3, 1) if rng.random() < 0.85 else rng.uniform(0, 0.1)
        name, mixed, extra = f"haze-{strength:.2f}", rng.random() < 0.3, f"gauss-{rng.uniform(1, 15):.2g}"
    return (f"{name}+{extra}", {kind: 0.5, "gauss": 0.5}) if mixed else (name, {kind: 1.0})


def make_record(clean: Cube, kind: str, rng: np.random.Generator, seed: int) -> dict[str, torch.Tensor | str]:
    """Degrade a scene, work out its classical start, and keep what the network is shown and should answer."""
    if kind == "bandloss":  # which bands are lost is drawn anew whenever the record is shown
        return {"name": kind, "weights": _prompt({kind: 1.0}), "clean": torch.from_numpy(clean.read()).half()}
    name, prompt = draw_name(kind, rng)
    scale = int(name.partition("+")[0].removeprefix("sr-x")) if kind == "sr" else 1
    height, width = (length // scale * scale for length in clean.shape[1:])
    clean = clean.crop(Window(0, 0, height, width))
    degraded = degrade(clean, name, seed=seed)
    weights = _prompt(prompt)
    task = {"sr": "sr", "blur": "deblur", "inpaint": "inpaint"}.get(kind, "denoise")
    fwhm = None
    if kind == "blur":
        side = int(name.partition("+")[0].removeprefix("blur-"))
        fwhm = 2.3548 * (0.3 * ((side - 1) / 2 - 1) + 0.8) * float(np.exp(rng.normal() * WIDTH_ERROR))
    optics = optics_of(task, scale if task == "sr" else None, fwhm)
    scene = Scene(degraded.observed, np.arange(clean.shape[0]), torch.device("cpu"), budget=2**33)
    span, offset = scene.scaling.span, scene.scaling.offset
    truth = torch.from_numpy((clean.read() - offset) / span)
    if kind == "haze" and "+" not in name:
        values = scene.tensors()[0]
        return {"name": name, "weights": weights, **_haze_record(values, values, truth, clean, 0.0, -offset / span)}
    shared = survey(scene, task, Job(), rank=None, outliers="auto")
    observed, valid = scene.tensors()
    problem = Problem(observed, valid, task, scene.wavelengths_nm, Window(0, 0, *observed.shape[1:]),
                      optics.operator((len(observed), *observed.shape[1:])), shared)  # fmt: skip
    with torch.no_grad():
        data = whiten(problem)
        start = classical_start(problem, data, optics.psf_fwhm)
        if kind == "haze":
            values = (data.basis @ start.images.flatten(1)).reshape(problem.shape_out) * data.std + data.mean
            noise = float(np.median(shared["noise_std"]))
            return {"name": name, "weights": weights,
                    **_haze_record(observed, values, truth, clean, noise, -offset / span)}  # fmt: skip
        wanted = ((truth - data.mean) / data.std).flatten(1)
        images = start.images.nan_to_num(0.0)
        target = (data.basis.T @ wanted).reshape(images.shape)
        count = min(COMPONENTS, len(images))
        lift = data.std[:, :, 0] * data.basis * span
        # What no answer can mend: spectra outside the subspace, and components that the network is not shown.
        rest = (wanted * data.std[:, :, 0] * span - lift @ images.flatten(1)) - lift[:, :count] @ (
            target - images)[:count].flatten(1)  # fmt: skip
    return {
        "name": name,
        "weights": weights,
        "measured": measured_prompt(shared, optics),
        "images": _of(images, count),
        "solved": _of(start.solved.nan_to_num(0.0), count),
        "error": _of(target - images, count),
        "share": start.share.half(),
        "lift": lift[:, :count].float().contiguous(),
        "rest": rest.square().mean(1).float(),
    }


def _prompt(shares: dict[str, float]) -> torch.Tensor:
    return torch.tensor([shares.get(one, 0.0) for one in DEGRADATIONS])


def _of(images: torch.Tensor, count: int) -> torch.Tensor:
    return images[:count].float().contiguous()


def _haze_record(
    observed: torch.Tensor, values: torch.Tensor, truth: torch.Tensor, clean: Cube, noise: float, zero: float
) -> dict[str, torch.Tensor]:
    """Means over bins of bands, in units of the airlight; ``values`` are denoised, ``zero`` is no light at all."""
    bands = len(values)
    falls = haze.exponents(clean.axis.centres_nm, bands)
    light = haze.airlight(values, torch.ones_like(values, dtype=torch.bool))
    edges = haze.bin_edges(bands, GROUP)
    noisy, relative, wanted = (haze.in_bins(haze.veiled(part, light), edges) for part in (observed, values, truth))
    falls = haze.in_bins(falls, edges)
    first = haze.first_thickness(noisy, falls)
    return {
        "thickness": torch.from_numpy(first.values),
        "doubt": torch.tensor(first.error),
        "black": haze.in_bins(zero / light, edges),
        "relative": relative.half(),
        "wanted": wanted.half(),
        "falls": falls,
        "light": haze.in_bins(light, edges),
        "noise": torch.tensor(noise),
    }


def _shares() -> np.ndarray:
    weights = np.array(list(WEIGHTS.values()))
    return weights / weights.sum()


if __name__ == "__main__":
    sys.exit(main())

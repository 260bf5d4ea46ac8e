"""What the shipped diffusion prior is worth, on the test split.

    python benchmarks/prior.py [curve] [matters] [maps] [time] [--scenes samson] [--prior NAME]

curve: PSNR of one look at noisy colour images against a classical denoiser, by noise level.
matters: HIR-Diff with this prior, with its weights shuffled, with a Gaussian blur, and with none.
maps: rank correlation (Spearman) of spread and hallucination with the true error, pixel by pixel.
time: seconds for 256 x 256 x 60, in both modes of guidance.
"""

from __future__ import annotations

import argparse
import io
import json
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np
import torch
from hsi_models.store import load_card, load_state
from PIL import Image
from safetensors.torch import save_file
from scenes import TEST, data_folder, reference, reference_for, task_of
from scipy.stats import spearmanr

from hsi_app.bands import BandAxis
from hsi_app.cube import Cube
from hsi_app.diffusion.load import load_prior
from hsi_app.diffusion.prior import VIEWS
from hsi_app.methods.lowrank.denoise import denoise_components
from hsi_app.metrics import score
from hsi_app.physics.degrade import degrade
from hsi_app.runner import Result, Settings, restore

GREY_LEVELS = (5, 15, 25, 50, 75, 100)
CASES = ("inpaint-0.8+gauss-10", "sr-x4")
TILES, SIDE = 10, 64


def colour_images() -> dict[str, torch.Tensor]:
    """Held-out images (n, 3, H, W) in [0, 1]: satellite tiles, a satellite scene, and colour pictures of cubes."""
    with zipfile.ZipFile(data_folder() / "rgb" / "eurosat_rgb_test.zip") as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))[:: 1000 // (10 * TILES)]
        tiles = [np.asarray(Image.open(io.BytesIO(archive.read(name)))) / 255.0 for name in names]
    with np.load(data_folder() / "rgb" / "s2_t49jgm.npz", allow_pickle=False) as file:
        scene = next(file[key] for key in file.files if file[key].ndim == 3 and file[key].shape[-1] == 4)
    scene = scene[..., :3] / np.quantile(scene[..., :3], 0.999, axis=(0, 1))
    crops = [scene[r : r + SIDE, c : c + SIDE] for r in range(0, 512, 2 * SIDE) for c in range(0, 512, 2 * SIDE)]
    pictures = []
    for name in TEST:
        values = reference(name).read()
        for triple in np.array_split(np.arange(len(values)), 3 * (len(values) // 60))[::3]:
            picked = values[triple[[0, len(triple) // 2, -1]], :SIDE, :SIDE].transpose(1, 2, 0)
            pictures.append(picked)
    found = {"EuroSAT test": tiles, "Sentinel-2 T49JGM": crops, "bands of test cubes": pictures}
    return {
        name: torch.as_tensor(np.clip(np.stack(images), 0, 1), dtype=torch.float32).permute(0, 3, 1, 2).contiguous()
        for name, images in found.items()
    }


def classical(noisy: torch.Tensor, sigma: float) -> torch.Tensor:
    """Groups of similar patches on brightness and colour differences, as ``lowrank`` filters component images."""
    turn = torch.tensor([[1.0, 1, 1], [1, 0, -1], [1, -2, 1]])
    turn = turn / torch.linalg.vector_norm(turn, dim=1, keepdim=True)
    found = [
        turn.T @ denoise_components((turn @ image.flatten(1)).reshape(image.shape), sigma, "collaborative").flatten(1)
        for image in noisy
    ]
    return torch.stack(found).reshape(noisy.shape)


def curve(prior_name: str) -> None:
    prior, rng = load_prior(prior_name), torch.Generator().manual_seed(0)
    for name, clean in colour_images().items():
        for grey in GREY_LEVELS:
            sigma = grey / 255
            noisy = clean + sigma * torch.randn(clean.shape, generator=rng)
            views = [prior.denoise(2 * noisy - 1, 2 * sigma, view) for view in range(VIEWS)]
            tries = {
                "classical": classical(noisy, sigma),
                "one look": views[0] / 2 + 0.5,
                f"{VIEWS} views": torch.stack(views).mean(0) / 2 + 0.5,
            }
            figures = {
                key: float((-10 * torch.log10((image.clamp(0, 1) - clean).square().mean((1, 2, 3)))).mean())
                for key, image in tries.items()
            }
            text = "  ".join(f"{key} {figure:.2f}" for key, figure in figures.items())
            print(f"{name} ({len(clean)})  sigma {grey:3}/255  {text} dB", flush=True)


def shuffled(prior_name: str, place: Path) -> Path:
    """The prior with the values of every tensor in another order, as a folder of diffusers."""
    card, rng = load_card(prior_name), torch.Generator().manual_seed(0)
    state = {
        name: tensor.flatten()[torch.randperm(tensor.numel(), generator=rng)].reshape(tensor.shape).float()
        for name, tensor in load_state(card).items()
    }
    save_file(state, place / card.file)
    for name in ("config.json", "scheduler_config.json"):
        (place / name).write_bytes((card.path.parent / name).read_bytes())
    return place


def restored(scene: str, case: str, options: dict[str, object]) -> tuple[Result, Cube]:
    truth, (task, scale) = reference_for(scene, case), task_of(case)
    given = degrade(truth, case, seed=0)
    settings = Settings(
        task=task, device="cpu", scale=scale if task == "sr" else None,
        keep_observed=False if task == "inpaint" else None,
    )  # fmt: skip
    return restore(given.observed, "hirdiff", options, settings, mask=given.mask), truth


def matters(scenes: list[str], prior_name: str) -> None:
    with tempfile.TemporaryDirectory() as place:
        priors = {prior_name: prior_name, "its weights shuffled": str(shuffled(prior_name, Path(place)))}
        for case in CASES:
            for name, prior in {**priors, "blur": "blur", "none": "none"}.items():
                scores = []
                for scene in scenes:
                    result, truth = restored(scene, case, {"prior": prior})
                    scores.append(score(truth.replace(result.cube.read(), name), truth))
                psnr, sam = (float(np.mean([one[key] for one in scores])) for key in ("psnr", "sam"))
                print(f"{case:22} {name:22} PSNR {psnr:6.2f} dB  SAM {sam:5.2f} deg", flush=True)


def maps(scenes: list[str], prior_name: str) -> None:
    for case in ("inpaint-0.8", *CASES):
        found: dict[str, list[float]] = {"spread": [], "hallucination": []}
        for scene in scenes:
            result, truth = restored(scene, case, {"prior": prior_name, "samples": 4})
            error = np.sqrt(np.square(result.cube.read() - truth.read()).mean(0))
            for name, values in found.items():
                image = np.asarray(result.extras[name])
                image = np.sqrt(np.square(image).mean(0)) if image.ndim == 3 else image
                values.append(float(spearmanr(image.ravel(), error.ravel()).statistic))
        for name, values in found.items():
            each = " ".join(f"{value:.2f}" for value in values)
            print(f"{case:22} {name:14} rank correlation with the error {np.mean(values):.2f}   ({each})", flush=True)


def clock() -> None:
    small = reference(TEST[0]).read()[:60]
    wide = np.pad(small, ((0, 0), (0, 256 - small.shape[1]), (0, 256 - small.shape[2])), "symmetric")
    truth = Cube(wide, BandAxis(60))
    given = degrade(truth, CASES[0], seed=0)
    for guidance in ("proximal", "gradient"):
        began, cpu = time.perf_counter(), time.process_time()
        settings = Settings(task="inpaint", device="cpu", keep_observed=False)
        result = restore(given.observed, "hirdiff", {"guidance": guidance}, settings, mask=given.mask)
        wall, cpu = time.perf_counter() - began, time.process_time() - cpu
        psnr = score(truth.replace(result.cube.read(), guidance), truth)["psnr"]
        rank = result.record["trace"]["rank"] if "trace" in result.record else "?"
        print(f"256 x 256 x 60, {CASES[0]}, 20 steps, {rank} images, {guidance}: {wall:.1f} s, {cpu:.1f} CPU-s,"
              f" PSNR {psnr:.2f} dB", flush=True)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=["curve", "matters", "maps", "time"])
    parser.add_argument("--scenes", default=",".join(TEST))
    parser.add_argument("--prior", default="triple-prior")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    print(json.dumps({"prior": given.prior, "sha256": load_card(given.prior).sha256[:12], "threads": given.threads}))
    scenes = given.scenes.split(",")
    if "curve" in given.parts:
        curve(given.prior)
    if "matters" in given.parts:
        matters(scenes, given.prior)
    if "maps" in given.parts:
        maps(scenes, given.prior)
    if "time" in given.parts:
        clock()


if __name__ == "__main__":
    main()

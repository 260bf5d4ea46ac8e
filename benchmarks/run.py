"""Quality, CPU seconds and peak memory of every method against simple baselines, on the test split.

    python benchmarks/run.py [--cases gauss-50,sr-x4] [--scenes samson] [--methods 'lowrank;hirdiff'] [--json FILE]

Each row is the mean over the scenes. Baselines: the observation; plain SVD truncation with the rank that the
*reference* says is best (a bar no user can reach); spectral MNF; and, where the package hyde-images and what it
needs are installed, its FastHyDe with the rank given. CPU seconds are of one run in this process after a
warm-up, so only their ratios within one table mean anything.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from scenes import TEST, reference_for, task_of

from hsi_app.cube import Cube
from hsi_app.device import format_bytes, peak_memory
from hsi_app.metrics import score
from hsi_app.physics.degrade import degrade
from hsi_app.runner import Settings, restore

RANKS = range(1, 13)
Restorer = Callable[[Cube, Cube, np.ndarray | None], np.ndarray]


def observation(observed: Cube, truth: Cube, mask: np.ndarray | None) -> np.ndarray:
    return np.nan_to_num(observed.read())


def best_svd(observed: Cube, truth: Cube, mask: np.ndarray | None) -> np.ndarray:
    values, clean = np.nan_to_num(observed.read()), truth.read()
    u, s, v = np.linalg.svd(values.reshape(len(values), -1), full_matrices=False)
    candidates = [((u[:, :k] * s[:k]) @ v[:k]).reshape(values.shape) for k in RANKS]
    return max(candidates, key=lambda c: np.mean(-np.log10(((c - clean) ** 2).mean((1, 2)))))


def mnf(observed: Cube, truth: Cube, mask: np.ndarray | None) -> np.ndarray:
    import spectral

    image = np.nan_to_num(observed.read()).transpose(1, 2, 0)
    transform = spectral.mnf(spectral.calc_stats(image), spectral.noise_from_diffs(image))
    return np.asarray(transform.denoise(image, num=6)).transpose(2, 0, 1)


def fasthyde(observed: Cube, truth: Cube, mask: np.ndarray | None) -> np.ndarray:
    import hyde

    image = torch.as_tensor(np.nan_to_num(observed.read()).transpose(1, 2, 0).copy())
    found = hyde.FastHyDe()(image, noise_type="additive", iid=True, k_subspace=8)
    return np.asarray(found[0] if isinstance(found, (tuple, list)) else found).transpose(2, 0, 1)


def method(name: str, case: str, options: dict[str, object] | None = None) -> Restorer:
    task, scale = task_of(case)

    def run(observed: Cube, truth: Cube, mask: np.ndarray | None) -> np.ndarray:
        keep = False if task == "inpaint" else None
        settings = Settings(task=task, device="cpu", keep_observed=keep, scale=scale if task == "sr" else None)
        return restore(observed, name, options, settings, mask=mask).cube.read()

    return run


def rivals(case: str) -> dict[str, Restorer]:
    task, _ = task_of(case)
    learned: dict[str, Restorer] = {
        "lowrank": method("lowrank", case),
        "hirdiff": method("hirdiff", case),
    }
    if task in ("denoise", "inpaint"):
        learned["lowrank, prior as denoiser"] = method("lowrank", case, {"denoiser": "prior"})
    if task == "denoise":
        learned["hirdiff, without faint components"] = method("hirdiff", case, {"faint": 0})
        learned["hirdiff, chain"] = method("hirdiff", case, {"mode": "chain", "start": 0.1})
    else:
        learned["hirdiff, gradient mode"] = method("hirdiff", case, {"guidance": "gradient"})
        learned["hirdiff, 4 samples"] = method("hirdiff", case, {"samples": 4})
    if task == "sr":
        return learned
    table: dict[str, Restorer] = {
        "observation": observation,
        "SVD, best rank by the truth": best_svd,
        "spectral MNF, 6": mnf,
        "lowrank, projection only": method("lowrank", case, {"strength": 0.0, "denoiser": "none"}),
        "lowrank, dct": method("lowrank", case, {"denoiser": "dct"}),
        **learned,
    }
    try:
        import hyde  # noqa: F401
    except ImportError as error:
        print(f"FastHyDe left out: {error}")
    else:
        table["FastHyDe (hyde-images), rank given"] = fasthyde
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", default="gauss-50,mixed-4,inpaint-0.8")
    parser.add_argument("--scenes", default=",".join(TEST))
    parser.add_argument("--methods", help="only rows that begin like this; several with ';' between")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    rows, scenes = [], given.scenes.split(",")
    warmed: set[str] = set()
    for case in given.cases.split(","):
        for name, run in rivals(case).items():
            if given.methods and not name.startswith(tuple(given.methods.split(";"))):
                continue
            scores, seconds = [], []
            for scene in scenes:
                truth = reference_for(scene, case)
                degraded = degrade(truth, case, seed=given.seed)
                if name not in warmed:
                    run(degraded.observed, truth, degraded.mask)  # imports and caches are not the method's
                    warmed.add(name)
                start = time.process_time()
                values = run(degraded.observed, truth, degraded.mask)
                seconds.append(time.process_time() - start)
                scores.append(score(truth.replace(np.ascontiguousarray(values), name), truth))
            mean = {key: float(np.mean([s[key] for s in scores])) for key in ("psnr", "ssim", "sam")}
            rows.append({"case": case, "method": name, **mean, "cpu_s": float(np.mean(seconds))})
            each = " ".join(f"{s['psnr']:.2f}" for s in scores)
            print(
                f"{case:12} {name:36} PSNR {mean['psnr']:6.2f} dB  SSIM {mean['ssim']:.3f}  SAM {mean['sam']:5.2f} deg"
                f"  {np.mean(seconds):6.2f} CPU-s   ({each})",
                flush=True,
            )
    print(f"peak memory of the whole run {format_bytes(peak_memory())}")
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()

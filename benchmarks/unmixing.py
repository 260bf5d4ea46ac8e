"""Unmixing over random seeds: spectral angle and abundance error of every method, mean and standard deviation.

    python benchmarks/unmixing.py [--scenes Samson,Jasper198,Sim1] [--seeds 10] [--threads 2] [--json FILE]
    python benchmarks/unmixing.py --spoilt [--seeds 3]     channels replaced by noise and salt
    python benchmarks/unmixing.py --speed                  exact FCLS of 512 x 512 x 198, RRLbS of Samson

Materials are paired with the true ones by spectral angle (Hungarian assignment). SAD in rad, RMSE over all entries of
the abundances, seconds of the whole run. The settings are the defaults.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from materials import KNOWN, KnownScene, spoilt

from hsi_app.jobs import Job
from hsi_app.methods.unmixing.factors import objective_of
from hsi_app.methods.unmixing.spec import NmfParameters, RrlbsParameters
from hsi_app.runner import Settings
from hsi_app.unmixing.abundances import solve_abundances
from hsi_app.unmixing.factorise import factorise
from hsi_app.unmixing.matching import match
from hsi_app.unmixing.runner import unmix
from hsi_app.unmixing.vertices import vca

# Title, method, where the endmembers come from.
METHODS = (
    ("VCA + FCLS", "fcls", "vca"),
    ("N-FINDR + FCLS", "fcls", "nfindr"),
    ("NMF from VCA", "nmf", "vca"),
    ("l1/2-NMF from VCA", "l12-nmf", "vca"),
    ("RRLbS from VCA", "rrlbs", "vca"),
    ("EDAA + FCLS", "fcls", "edaa"),
    ("EDAA then RRLbS", "rrlbs", "edaa"),
)


def run(scene: KnownScene, method: str, source: str, seed: int, good: np.ndarray | None = None) -> dict[str, object]:
    options = {"endmembers": scene.count, "endmembers-from": source, "normalise": scene.normalise}
    result = unmix(scene.cube, method, options, Settings(seed=seed, device="cpu"))
    rows = np.arange(scene.cube.shape[0]) if good is None else good
    figures = match(
        result.endmembers.spectra[rows], scene.endmembers[rows], np.asarray(result.abundances.read()), scene.abundances
    ).plain()
    trace = result.record["trace"]
    return {
        "sad": figures["sad_rad"], "rmse": figures["rmse"], "seconds": result.record["seconds"],
        "seed": seed, "options": result.record["options"], "penalties": trace.get("penalties"),
        "stop": trace.get("stop", ""),
    }  # fmt: skip


def table(scenes: list[str], seeds: int) -> list[dict[str, object]]:
    rows = []
    for name in scenes:
        scene = KNOWN[name]()
        print(f"\n{name}: truth {scene.truth}, normalise {scene.normalise}, {scene.count} materials, {seeds} seeds")
        print(f"{'':<20} {'SAD, rad':>17} {'RMSE':>17} {'seconds':>9}")
        for title, method, source in METHODS:
            runs = [run(scene, method, source, seed) for seed in range(seeds)]
            sad, rmse, seconds = (np.array([r[key] for r in runs], float) for key in ("sad", "rmse", "seconds"))
            print(
                f"{title:<20} {sad.mean():>8.4f} +-{sad.std():>6.4f} {rmse.mean():>8.4f} +-{rmse.std():>6.4f}"
                f" {seconds.mean():>9.2f}",
                flush=True,
            )
            truth = {"scene": name, "truth": scene.truth, "normalise": scene.normalise}
            rows.append({**truth, "method": title, "seeds": seeds, "runs": runs})
    return rows


def oracle(scene: KnownScene) -> float:
    """RMSE of exact FCLS with the true endmembers: what the truth itself leaves."""
    spectra = torch.from_numpy(scene.cube.read().reshape(scene.cube.shape[0], -1)).double()
    known = torch.from_numpy(scene.endmembers)
    if scene.normalise == "l2":
        spectra, known = spectra / spectra.norm(dim=0), known / known.norm(dim=0)
    found = solve_abundances(spectra, known).numpy().reshape(scene.abundances.shape)
    return float(np.sqrt(((found - scene.abundances) ** 2).mean()))


def spoilt_table(seeds: int) -> list[dict[str, object]]:
    """Samson with spoilt channels: the loss alone from a clean start, and the whole pipeline."""
    scene = KNOWN["Samson"]()
    clean = torch.from_numpy(scene.cube.read().reshape(scene.cube.shape[0], -1)).double()
    clean = clean / clean.norm(dim=0)
    # The best of five VCA runs by its residual, as a user would choose.
    starts = [vca(clean, scene.count, torch.Generator().manual_seed(s))[1] for s in range(5)]
    fits = [solve_abundances(clean, start) for start in starts]
    best = min(range(5), key=lambda k: float((clean - starts[k] @ fits[k]).abs().mean()))
    rows = []
    print("\nSamson, k of 156 channels spoilt; RMSE (SAD of the good channels)")
    titles = ("NMF, clean start", "RRLbS, clean start", "NMF, pipeline", "RRLbS, pipeline", "no screening")
    print(f"{'k':>4} " + " ".join(f"{title:>20}" for title in titles))
    for channels in (0, 5, 20, 40):
        figures: dict[str, list[tuple[float, float]]] = {title: [] for title in titles}
        for seed in range(seeds):
            cube, bad = spoilt(scene.cube, channels, seed)
            good = np.setdiff1d(np.arange(cube.shape[0]), bad)
            noisy = clean.clone()
            values = torch.from_numpy(cube.read().reshape(cube.shape[0], -1)).double()
            # The loss alone: corruption after normalisation, half as strong again as the brightest sample.
            noisy[bad] = values[bad] * 1.5 * float(clean.max()) / float(scene.cube.read().max())
            for title, params in (("NMF, clean start", NmfParameters()), ("RRLbS, clean start", RrlbsParameters())):
                # The published weights, set on the clean channels; the loss must cope with the others.
                objective = objective_of(params, clean[good])
                found = factorise(noisy, starts[best], fits[best], objective, Job())
                shares = (found.abundances / found.abundances.sum(0)).numpy().reshape(scene.abundances.shape)
                m = match(found.endmembers.numpy()[good], scene.endmembers[good], shares, scene.abundances)
                figures[title].append((m.rmse, float(m.angles.mean())))
            for title, method, screen in (
                ("NMF, pipeline", "nmf", True), ("RRLbS, pipeline", "rrlbs", True), ("no screening", "rrlbs", False),
            ):  # fmt: skip
                options = {"endmembers": scene.count, "normalise": "l2", "screen": screen}
                result = unmix(cube, method, options, Settings(seed=seed, device="cpu"))
                m = match(
                    result.endmembers.spectra[good], scene.endmembers[good], np.asarray(result.abundances.read()),
                    scene.abundances,
                )  # fmt: skip
                figures[title].append((m.rmse, float(m.angles.mean())))
        means = {title: np.mean(values, axis=0) for title, values in figures.items()}
        print(f"{channels:>4} " + " ".join(f"{means[t][0]:>11.4f} ({means[t][1]:.4f})" for t in titles), flush=True)
        rows.append({"channels": channels, **figures})
    return rows


def speed() -> list[dict[str, object]]:
    generator = torch.Generator().manual_seed(0)
    endmembers = torch.rand((198, 6), generator=generator, dtype=torch.float64)
    shares = -torch.rand((6, 512 * 512), generator=generator, dtype=torch.float64).log()
    # A tenth of the fractions are missing, so that all supports occur.
    shares *= torch.rand(shares.shape, generator=generator) > 0.1
    shares /= shares.sum(0).clamp(min=1e-9)
    spectra = (endmembers @ shares + 0.01 * torch.randn((198, 512 * 512), generator=generator)).float()
    start, cpu = time.perf_counter(), time.process_time()
    solve_abundances(spectra, endmembers)
    fcls, fcls_cpu = time.perf_counter() - start, time.process_time() - cpu
    print(f"exact FCLS, 512 x 512 x 198, 6 materials: {fcls:.2f} s ({1e6 * fcls_cpu / 512**2:.1f} us of CPU a pixel)")
    scene = KNOWN["Samson"]()
    clean = torch.from_numpy(scene.cube.read().reshape(156, -1)).double()
    clean = clean / clean.norm(dim=0)
    first = vca(clean, 3, torch.Generator().manual_seed(1))[1]
    abundances = solve_abundances(clean, first)
    start = time.perf_counter()
    found = factorise(clean, first, abundances, objective_of(RrlbsParameters(), clean), Job(), tolerance=0.0)
    rrlbs = time.perf_counter() - start
    print(f"RRLbS, Samson, {found.iterations} iterations: {rrlbs:.2f} s")
    return [{"fcls_s": fcls, "rrlbs_s": rrlbs}]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", default="Samson,Jasper198,Sim1")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--spoilt", action="store_true")
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    if given.speed:
        rows = speed()
    elif given.spoilt:
        rows = spoilt_table(min(given.seeds, 3))
    else:
        for name in given.scenes.split(","):
            print(f"{name}: exact FCLS with the true endmembers leaves RMSE {oracle(KNOWN[name]()):.4f}")
        rows = table(given.scenes.split(","), given.seeds)
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()

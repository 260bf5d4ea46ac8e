"""How soon a run can be stopped: the longest time between two steps of every method, on a scene of 256 x 256 x 100.

    python benchmarks/cancel.py [METHOD ...] [--seconds 60] [--size 256]

A job is asked at each step whether to stop, so a cancelled run ends within the time between two of them. What is loaded
once (torch, weights) is loaded before. Runs that take longer than --seconds are stopped then.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter

from hsi_app.bands import BandAxis
from hsi_app.cube import Cube
from hsi_app.errors import Cancelled
from hsi_app.fusion.runner import FusionSettings, fuse
from hsi_app.jobs import Job, Progress
from hsi_app.methods.registry import methods
from hsi_app.runner import Settings, restore
from hsi_app.unmixing.runner import unmix

BANDS, MATERIALS = 100, 5


def scene(size: int) -> tuple[Cube, np.ndarray]:
    """Five materials in patches with noise, and their spectra (B, K)."""
    rng = np.random.default_rng(0)
    spectra = gaussian_filter(rng.random((MATERIALS, BANDS)), (0, 6)).astype(np.float32)
    shares = np.exp(30 * np.stack([gaussian_filter(rng.normal(size=(size, size)), 6) for _ in range(MATERIALS)]))
    values = np.tensordot(spectra.T, (shares / shares.sum(0)).astype(np.float32), 1)
    values += rng.normal(0, 0.02, values.shape).astype(np.float32)
    return Cube(values, BandAxis(BANDS, np.linspace(400, 2400, BANDS), np.full(BANDS, 20.0))), spectra.T


def pair(cube: Cube) -> tuple[Cube, Cube]:
    """A quarter of the grid in all bands, and the grid itself in four broad ones."""
    values = cube.read()
    _, height, width = values.shape
    coarse = values.reshape(BANDS, height // 4, 4, width // 4, 4).mean((2, 4))
    broad = values.reshape(4, BANDS // 4, height, width).mean(1)
    centres = np.asarray(cube.axis.centres_nm).reshape(4, -1).mean(1)
    return Cube(coarse, cube.axis), Cube(broad, BandAxis(4, centres, np.full(4, 500.0)))


def longest(run: Callable[[Job], Any], seconds: float) -> tuple[float, str, float]:
    """Longest time between two steps, what was done in it, and how long was looked at."""
    began = time.perf_counter()
    worst, during, last, doing = 0.0, "", began, "starting"

    def step(progress: Progress) -> None:
        nonlocal worst, during, last, doing
        now = time.perf_counter()
        if now - last > worst:
            worst, during = now - last, doing
        last, doing = now, progress.message
        if now - began > seconds:
            job.cancel()

    job = Job(seed=0, on_progress=step)
    with suppress(Cancelled):
        run(job)
    return worst, during, time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="METHOD", help="only these")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--size", type=int, default=256)
    given = parser.parse_args()
    cube, spectra = scene(given.size)
    hsi, msi = pair(cube)
    with TemporaryDirectory() as folder:
        library = Path(folder) / "library.npz"
        np.savez(library, spectra=spectra.T, wavelengths_nm=cube.axis.centres_nm, names=[f"m{k}" for k in range(5)])
        runs: dict[str, Callable[[Job], Any]] = {}
        for name, spec in methods("restore").items():
            spec.load_run()
            task = "denoise" if "denoise" in spec.tasks else spec.tasks[0]
            runs[name] = lambda job, n=name, t=task: restore(cube, n, {}, Settings(task=t, device="cpu"), job=job)
        for name, spec in methods("unmix").items():
            spec.load_run()
            more = {"library": str(library)} if name == "sunsal" else {"endmembers": MATERIALS}
            runs[name] = lambda job, n=name, m=more: unmix(cube, n, m, Settings(device="cpu"), job=job)
        for name, spec in methods("fuse").items():
            spec.load_run()
            runs[name] = lambda job, n=name: fuse(hsi, msi, n, settings=FusionSettings(device="cpu"), job=job)
        for name, run in runs.items():
            if not given.names or name in given.names:
                longest(run, 3)  # what is loaded at the first use
                worst, during, watched = longest(run, given.seconds)
                print(
                    f"{name:10s} {worst:6.2f} s between two steps, in '{during}' ({watched:.0f} s watched)", flush=True
                )


if __name__ == "__main__":
    main()

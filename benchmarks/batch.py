"""Batches: memory and time of one large scene, workers against one, and what the driver itself takes.

    python benchmarks/batch.py [large] [workers] [overhead] [--gigabytes 0.5 2 8] [--memory 3G] [--folder FOLDER]

large: a cube made on disk (224 bands, float32, BIL) goes through ``lowrank`` with ``hsi-app batch``: seconds per
megapixel-band and the largest resident memory of the whole process tree, read ten times a second.
workers: the same scenes with one process and with two, one thread each: throughput as a ratio, equal files.
overhead: units that only sleep: what starting, journal and counting cost per unit, and as a share of 10 s units.
"""

from __future__ import annotations

import argparse
import filecmp
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
from scipy.ndimage import gaussian_filter

from hsi_app.bands import BandAxis
from hsi_app.cube import Cube
from hsi_app.device import format_bytes, parse_memory
from hsi_app.io import create_cube
from hsi_app.tiling import Window

BANDS, WIDTH, MATERIALS = 224, 1024, 6
RECIPE = '[[steps]]\nmethod = "lowrank"\n'
NOISE = 0.02


def make_scene(path: Path, height: int, width: int = WIDTH, bands: int = BANDS, seed: int = 0) -> None:
    """Smooth abundances of smooth spectra with white noise, written strip by strip."""
    rng = np.random.default_rng(seed)
    spectra = gaussian_filter(rng.random((MATERIALS, bands)), (0, 8)).astype(np.float32)
    like = Cube(np.broadcast_to(np.float32(0), (bands, height, width)), BandAxis(bands, np.linspace(400, 2400, bands)))
    with create_cube(path, like, overwrite=True) as writer:
        for top in range(0, height, 128):
            rows = min(128, height - top)
            fields = np.stack([gaussian_filter(rng.normal(size=(rows, width)), 6) for _ in range(MATERIALS)])
            shares = np.exp(12 * fields)
            shares = (shares / shares.sum(0)).astype(np.float32)
            block = np.tensordot(spectra.T, shares, 1)
            block += rng.normal(0, NOISE, block.shape).astype(np.float32)
            writer.write(Window(top, 0, rows, width), block)


def run_watched(arguments: list[str], threads: int | None = None) -> tuple[float, int]:
    """Seconds of a command, and the largest sum of resident memory of it and its children, in bytes."""
    environment = {**os.environ, **({} if threads is None else {"OMP_NUM_THREADS": str(threads)})}
    began, largest = time.monotonic(), 0
    command = [sys.executable, "-c", "from hsi_app.cli.main import main; main()"]
    process = subprocess.Popen([*command, *arguments], env=environment)
    while process.poll() is None:
        try:
            tree = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
            largest = max(largest, sum(one.memory_info().rss for one in tree))
        except psutil.Error:
            pass
        time.sleep(0.1)
    if process.returncode:
        raise SystemExit(f"hsi-app {' '.join(arguments)}: exit code {process.returncode}")
    return time.monotonic() - began, largest


def large(given: argparse.Namespace) -> None:
    """Time and memory against size."""
    recipe = given.folder / "lowrank.toml"
    recipe.write_text(RECIPE)
    limit = parse_memory(given.memory)
    for gigabytes in given.gigabytes:
        height = round(gigabytes * 1e9 / (4 * BANDS * WIDTH))
        scene, out = given.folder / "large.bil", given.folder / "out"
        make_scene(scene.with_suffix(".bil"), height)
        shutil.rmtree(out, ignore_errors=True)
        seconds, peak = run_watched(
            ["batch", str(recipe), str(scene.with_suffix(".hdr")), "-o", str(out), "--memory", given.memory,
             "--threads", str(given.threads), "-q"],
        )  # fmt: skip
        samples = BANDS * height * WIDTH
        print(
            f"{gigabytes:5.1f} GB ({BANDS} x {height} x {WIDTH}): {seconds:7.1f} s, {1e6 * seconds / samples:.3f} s per"
            f" megapixel-band, peak {format_bytes(peak)} of {format_bytes(limit)} ({peak / limit:.0%})", flush=True,
        )  # fmt: skip
        shutil.rmtree(out, ignore_errors=True)
        for path in given.folder.glob("large.*"):
            path.unlink()


def workers(given: argparse.Namespace) -> None:
    """Throughput of two processes against one, each with one thread."""
    recipe, scenes = given.folder / "lowrank.toml", given.folder / "scenes"
    recipe.write_text(RECIPE)
    scenes.mkdir(exist_ok=True)
    for number in range(given.scenes):
        make_scene(scenes / f"scene{number}.bil", 192, 192, 128, seed=number)
    took = {}
    for count in (1, 2):
        out = given.folder / f"out{count}"
        shutil.rmtree(out, ignore_errors=True)
        took[count], _ = run_watched(
            ["batch", str(recipe), str(scenes), "-o", str(out), "--pattern", "*.hdr", "--workers", str(count),
             "--executor", "processes", "--threads", "1", "-q"], threads=1,
        )  # fmt: skip
    names = [path.name for path in scenes.glob("*.hdr")] + [path.name for path in scenes.glob("*.bil")]
    written = [path.name for path in (given.folder / "out1").iterdir() if path.name.startswith("scene")]
    same, other, lost = filecmp.cmpfiles(given.folder / "out1", given.folder / "out2", written, shallow=False)
    print(
        f"{given.scenes} scenes ({len(names)} files): one process {took[1]:.1f} s, two {took[2]:.1f} s, ratio"
        f" {took[1] / took[2]:.2f}; {len(same)} files equal, {len(other) + len(lost)} not", flush=True,
    )  # fmt: skip


def overhead(given: argparse.Namespace) -> None:
    """Seconds that the driver adds to units that do nothing."""
    from hsi_app.batch import driver
    from hsi_app.batch.executors import Backend, InlineExecutor
    from hsi_app.batch.items import Item
    from hsi_app.batch.lease import Shard
    from hsi_app.batch.planning import Planned
    from hsi_app.batch.unit import Outcome, Unit
    from hsi_app.recipe import parse_recipe

    def nothing(unit: Unit) -> Outcome:
        return Outcome("done", facts={"seconds": 0.0})

    recipe, out = parse_recipe(RECIPE), given.folder / "nothing"
    shutil.rmtree(out, ignore_errors=True)
    planned = [Planned(Item("scene.hdr", f"{n}.hdr"), recipe, "to do") for n in range(1000)]
    driver.carry_out = nothing
    with driver.opened(out, Shard()) as (lease, journal):
        backend = Backend("inline", 1, lambda: (InlineExecutor(), lambda: None))
        began = time.perf_counter()
        driver.drive(planned, out, lease, journal, backend, driver.Rules())
        each = (time.perf_counter() - began) / len(planned)
    print(f"driver: {1000 * each:.2f} ms a unit, {each / 10:.3%} of units of 10 s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    actions = {"large": large, "workers": workers, "overhead": overhead}
    parser.add_argument("what", nargs="*", default=["overhead", "workers"], metavar="|".join(actions))
    parser.add_argument("--gigabytes", type=float, nargs="+", default=[0.5, 2, 8])
    parser.add_argument("--memory", default="3G")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--scenes", type=int, default=12)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "hsi-batch")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    for one in given.what:
        actions[one](given)


if __name__ == "__main__":
    main()

"""Batches that take a moment: tiny scenes, what they left, and the command in a process that can be killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from click.testing import CliRunner, Result

from hsi_app.bands import BandAxis
from hsi_app.batch.driver import Tally
from hsi_app.batch.items import HIDDEN
from hsi_app.batch.planning import Planned
from hsi_app.batch.run import Batch, carry_out_batch
from hsi_app.cli.main import cli
from hsi_app.cube import Cube
from hsi_app.io import save_cube
from hsi_app.recipe import Recipe, Step

RECIPE = Recipe((Step("lowrank"),))
MEMORY = 3 * 2**30
# What a test waits for at most, on a machine that has much else to do.
PATIENCE_S = 120.0


def scene(path: Path, seed: int = 0, *, bands: int = 20, size: int = 16) -> Path:
    """A noisy cube of three spectra in a file."""
    rng = np.random.default_rng(seed)
    clean = rng.random((bands, 3)) @ rng.random((3, size * size))
    noisy = clean.reshape(bands, size, size) + rng.normal(0, 0.02, (bands, size, size))
    path.parent.mkdir(parents=True, exist_ok=True)
    cube = Cube(noisy.astype(np.float32), BandAxis(bands, np.linspace(420, 2380, bands)))
    return save_cube(cube, path, overwrite=True)


def scenes(folder: Path, count: int, **size: int) -> Path:
    """``count`` of them in a folder: 's00.hdr', ..."""
    for number in range(count):
        scene(folder / f"s{number:02d}.hdr", number, **size)
    return folder


def asked(folder: Path, *inputs: Path | str, **more: Any) -> Batch:
    """A batch with the recipe of one step."""
    return Batch(**{"steps": RECIPE, "inputs": tuple(map(str, inputs)), "folder": folder, "memory": MEMORY, **more})


def done(batch: Batch, **more: Any) -> Tally:
    """What became of it, carried out in this process."""
    return carry_out_batch(batch, **more)[1]


def ends(tally: Tally) -> list[str]:
    """State of each outcome, in the order of the names."""
    return [outcome.state for _, outcome in sorted(tally.outcomes.items())]


def states(planned: Sequence[Planned]) -> dict[str, str]:
    """State of each by name of the result."""
    return {one.item.out: one.state for one in planned}


def contents(folder: Path) -> dict[str, bytes]:
    """The results and their records, by name; neither the summary nor what is hidden."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and HIDDEN not in path.relative_to(folder).parts and not path.name.startswith("batch")
    }


def left_overs(folder: Path) -> list[str]:
    """Everything unfinished beneath a folder."""
    found = [path for path in folder.rglob("*") if path.name.endswith((".partial", ".part"))]
    work = folder / HIDDEN / "work"
    return [str(path.relative_to(folder)) for path in (*found, *([work] if work.exists() else []))]


def write_recipe_file(path: Path, recipe: Recipe = RECIPE) -> Path:
    """The recipe as the command reads it."""
    path.write_text(recipe.to_toml())
    return path


def run(*arguments: Path | str) -> Result:
    """The command 'hsi-app batch', here."""
    return CliRunner().invoke(cli, ["batch", *_with_memory(arguments)])


def _with_memory(arguments: Sequence[Path | str]) -> list[str]:
    given = list(map(str, arguments))
    return given if "--memory" in given else [*given, "--memory", f"{MEMORY}"]


# Processes


def environment() -> dict[str, str]:
    """One thread a process, and the project importable."""
    root = Path(__file__).resolve().parents[2]
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{root}{os.pathsep}{root / 'models'}"}


def start(*arguments: Path | str) -> subprocess.Popen[str]:
    """The command 'hsi-app batch' in a process of its own."""
    program = [sys.executable, "-c", "from hsi_app.cli.main import main; main()", "batch"]
    return subprocess.Popen(
        [*program, *_with_memory(arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(),
    )  # fmt: skip


def until(holds: Callable[[], Any], seconds: float = PATIENCE_S) -> bool:
    """Wait until something holds; False if it never does."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.02)
    return bool(holds())


def begun(folder: Path) -> int:
    """How many scenes its journals say were begun."""
    return sum(path.read_bytes().count(b'"started"') for path in (folder / HIDDEN).glob("journal*.jsonl"))


def descendants(pid: int) -> list[psutil.Process]:
    """Processes that a process has begun, and they."""
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def are_gone(processes: Sequence[psutil.Process], seconds: float = 15.0) -> bool:
    """True once none of them runs; a zombie does not run."""
    return until(lambda: not any(_runs(process) for process in processes), seconds)


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def kill(process: psutil.Process | subprocess.Popen[str]) -> None:
    """With -9, if it is still there."""
    with suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGKILL)

"""Kills at any moment: of the driver, of a worker, of a cluster; the same command goes on to the same bytes."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from tiny_batches import (
    PATIENCE_S,
    RECIPE,
    are_gone,
    begun,
    contents,
    descendants,
    environment,
    kill,
    left_overs,
    run,
    scene,
    scenes,
    start,
    until,
    write_recipe_file,
)  # fmt: skip

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")

# A dask cluster of two workers that says where it is, until it is killed.
_CLUSTER = """
import time
from distributed import LocalCluster
if __name__ == "__main__":
    cluster = LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, memory_limit=None)
    print(cluster.scheduler_address, flush=True)
    time.sleep(3600)
"""


class Night:
    """Scenes and a recipe of a few seconds, and what they come to undisturbed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        scenes(folder / "in", 5, bands=16, size=40)
        scene(folder / "in" / "wide.hdr", 9, bands=16, size=96)
        write_recipe_file(folder / "quiet.toml", replace(RECIPE, tile=24))
        began = time.monotonic()
        assert self.run(folder / "whole").exit_code == 0
        self.seconds = time.monotonic() - began
        self.expected = contents(folder / "whole")

    def arguments(self, out: Path, *more: str) -> tuple[Path | str, ...]:
        return self.folder / "quiet.toml", self.folder / "in", "-o", out, *more

    def run(self, out: Path):  # type: ignore[no-untyped-def]
        """The batch in this process, to its end."""
        return run(*self.arguments(out, "--workers", "1"))

    def check(self, out: Path) -> None:
        """All is there as it should be, and nothing else."""
        assert contents(out) == self.expected
        assert left_overs(out) == []


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Night:
    return Night(tmp_path_factory.mktemp("night"))


def workers_of(pid: int) -> list[psutil.Process]:
    """Processes of a pool."""
    found = []
    for process in descendants(pid):
        with suppress(psutil.Error):
            if "spawn_main" in " ".join(process.cmdline()):
                found.append(process)
    return found


def kill_driver(night: Night, out: Path, moment: float, *, more: tuple[str, ...] = ("--workers", "2")) -> str:
    """Kill it some time after its first scene began; its workers end too, and the same command goes on."""
    with start(*night.arguments(out, *more)) as driver:
        assert until(lambda: begun(out) or driver.poll() is not None)
        time.sleep(moment)
        workers = descendants(driver.pid)
        was_running = driver.poll() is None
        kill(driver)
        driver.wait()
    try:
        assert are_gone(workers)
    finally:
        for worker in filter(psutil.Process.is_running, workers):
            kill(worker)
    there = len(list(out.glob("*.hdr")))
    assert contents(out).items() <= night.expected.items()
    assert night.run(out).exit_code == 0
    night.check(out)
    return f"{'killed' if was_running else 'ended before'} with {there} of 6 there"


def kill_worker(night: Night, out: Path, moment: float) -> str:
    """Kill one some time after the first scene began: the batch itself ends well."""
    with start(*night.arguments(out, "--workers", "2")) as driver:
        assert until(lambda: begun(out) or driver.poll() is not None)
        time.sleep(moment)
        workers = workers_of(driver.pid)
        for worker in workers[:1]:
            kill(worker)
        _, told = driver.communicate(timeout=PATIENCE_S)
    assert driver.returncode == 0, told
    assert "Traceback" not in told
    night.check(out)
    return f"{len(workers[:1])} killed, {told.count('trying again')} tries again"


def kill_cluster(night: Night, out: Path, moment: float) -> str:
    """Kill the scheduler of a cluster: the batch ends, and goes on without it."""
    with subprocess.Popen([sys.executable, "-c", _CLUSTER], stdout=subprocess.PIPE, text=True,
                          stderr=subprocess.DEVNULL, env=environment()) as cluster:  # fmt: skip
        workers = []
        try:
            assert cluster.stdout is not None
            address = cluster.stdout.readline().strip()
            with start(*night.arguments(out, "--scheduler", address)) as driver:
                assert until(lambda: begun(out) or driver.poll() is not None)
                time.sleep(moment)
                workers = descendants(cluster.pid)
                kill(cluster)
                _, told = driver.communicate(timeout=2 * PATIENCE_S)
        finally:
            kill(cluster)
    assert driver.returncode in (0, 1), told
    assert are_gone(workers, 60.0)
    if driver.returncode:
        assert "the cluster has gone; the same command goes on from there." in told
        assert 'Traceback (most recent call last)\n  File "<string>"' not in told
    assert night.run(out).exit_code == 0
    night.check(out)
    return f"the batch ended with {driver.returncode}"


def kill_driver_of_cluster(night: Night, out: Path, moment: float) -> str:
    """Kill the driver while a cluster works for it: its workers stop, and another driver uses them."""
    with subprocess.Popen([sys.executable, "-c", _CLUSTER], stdout=subprocess.PIPE, text=True,
                          stderr=subprocess.DEVNULL, env=environment()) as cluster:  # fmt: skip
        try:
            assert cluster.stdout is not None
            address = cluster.stdout.readline().strip()
            with start(*night.arguments(out, "--scheduler", address)) as driver:
                assert until(lambda: begun(out) or driver.poll() is not None)
                time.sleep(moment)
                kill(driver)
                driver.communicate()
            with start(*night.arguments(out, "--scheduler", address)) as driver:
                _, told = driver.communicate(timeout=2 * PATIENCE_S)
            assert driver.returncode == 0, told
        finally:
            workers = descendants(cluster.pid)
            kill(cluster)
    assert are_gone(workers, 60.0)
    night.check(out)
    return "followed by another"


def test_a_killed_driver_takes_its_workers_along_and_is_resumed(night: Night, tmp_path: Path) -> None:
    kill_driver(night, tmp_path / "out", random.Random(1).uniform(0.2, 2.0))


def test_a_killed_worker_is_replaced(night: Night, tmp_path: Path) -> None:
    kill_worker(night, tmp_path / "out", random.Random(2).uniform(0.2, 1.0))


def soak(night: Night, folder: Path, count: int, seed: int) -> list[str]:
    """Kill at ``count`` seeded moments, of each kind in turn; what happened, a line a moment."""
    rng = random.Random(seed)
    kinds: tuple[tuple[Callable[[Night, Path, float], str], float], ...] = (
        (kill_driver, 4.0), (kill_worker, 3.0), (kill_driver, 8.0), (kill_cluster, 4.0), (kill_worker, 6.0),
        (kill_driver_of_cluster, 4.0),
    )  # fmt: skip
    told = []
    for number in range(count):
        act, longest = kinds[number % len(kinds)]
        moment = rng.uniform(0.0, longest)
        began = time.monotonic()
        happened = act(night, folder / f"{number:02d}", moment)
        told.append(f"{number:2d} {act.__name__} after {moment:.2f} s: {happened}; {time.monotonic() - began:.1f} s")
        print(told[-1], flush=True)
    return told


@pytest.mark.slow
def test_thirty_kills_at_any_moment(night: Night, tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    assert len(soak(night, tmp_path, int(os.environ.get("HSI_KILLS", "30")), 7)) > 0

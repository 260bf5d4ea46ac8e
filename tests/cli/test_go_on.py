"""``--checkpoint``: a run that was killed, or stopped, goes on with the same command."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hsi_app.cube import Cube
from hsi_app.io import open_cube, save_cube

# The command as installed; after the third tile it sends itself a signal.
_PROGRAM = """
import os, sys
from hsi_app.cli import progress
from hsi_app.cli.main import main
reported = progress.Log.on_progress

def on_progress(self, step):
    reported(self, step)
    if {number} and step.message.startswith("tile 3 of"):
        os.kill(os.getpid(), {number})

progress.Log.on_progress = on_progress
main()
"""

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")


def called(folder: Path, out: str, number: int, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", _PROGRAM.format(number=number), "restore", "lowrank", "scene.hdr", out, "--tile", "32",
         "--seed", "3", *more],
        cwd=folder, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False,
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, make_cube: Callable[..., Cube]) -> Path:
    save_cube(make_cube(16, 96, 96, sigma=0.02), tmp_path / "scene.hdr")
    return tmp_path


def test_the_same_command_goes_on_after_a_kill_to_the_same_bits(folder: Path) -> None:
    assert called(folder, "whole.hdr", 0).returncode == 0
    killed = called(folder, "out.hdr", signal.SIGKILL, "--checkpoint", "state")
    assert killed.returncode == -signal.SIGKILL
    assert list(folder.glob(".out.hdr.*.partial"))
    again = called(folder, "out.hdr", 0, "--checkpoint", "state")
    assert again.returncode == 0, again.stderr
    assert "went on from a checkpoint: 3 of" in again.stderr
    np.testing.assert_array_equal(open_cube(folder / "out.hdr").read(), open_cube(folder / "whole.hdr").read())
    # Neither the state nor what the killed process had written is left.
    assert sorted(path.name for path in folder.iterdir()) == [
        "out.bsq", "out.hdr", "scene.bsq", "scene.hdr", "whole.bsq", "whole.hdr",
    ]  # fmt: skip


def test_a_stopped_run_says_how_to_go_on(folder: Path) -> None:
    stopped = called(folder, "out.hdr", signal.SIGINT, "--checkpoint", "state")
    assert stopped.returncode == 130
    assert stopped.stderr == "stopped: the same command with --checkpoint state goes on from there.\n"
    again = called(folder, "out.hdr", 0, "--checkpoint", "state")
    assert again.returncode == 0, again.stderr
    assert not (folder / "state").exists()


def test_another_run_is_refused_in_one_line(folder: Path) -> None:
    called(folder, "out.hdr", signal.SIGKILL, "--checkpoint", "state")
    refused = called(folder, "out.hdr", 0, "--checkpoint", "state", "--strength", "2")
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: 'state' holds the state of another run (option strength ")
    assert refused.stderr.count("\n") == 1
    assert not (folder / "out.hdr").exists()


def test_the_checkpoint_cannot_be_the_output(folder: Path) -> None:
    refused = called(folder, "out.zarr", 0, "--checkpoint", "out.zarr")
    assert refused.returncode == 2
    assert "the same name" in refused.stderr

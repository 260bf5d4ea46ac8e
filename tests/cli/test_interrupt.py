"""Ctrl-C and SIGTERM: exit code 130, one line, and nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hsi_app.cube import Cube
from hsi_app.io import save_cube

# The command as installed; once the job is well into its tiles it sends itself the signal a user would.
_PROGRAM = """
import os, sys
from hsi_app.cli import progress
from hsi_app.cli.main import main
reported = progress.Log.on_progress

def on_progress(self, step):
    reported(self, step)
    if step.fraction > 0.4:
        os.kill(os.getpid(), {number})

progress.Log.on_progress = on_progress
main()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_run_leaves_nothing_and_exits_with_130(
    tmp_path: Path, make_cube: Callable[..., Cube], number: signal.Signals
) -> None:
    source = save_cube(make_cube(16, 96, 96, sigma=0.02), tmp_path / "scene.hdr")
    before = sorted(tmp_path.iterdir())
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM.format(number=int(number)), "restore", "lowrank", str(source),
         str(tmp_path / "out.hdr"), "--tile", "32", "--report", str(tmp_path / "out.html")],
        capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False,
    )  # fmt: skip
    assert done.returncode == 130, done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("stopped: ")
    assert sorted(tmp_path.iterdir()) == before

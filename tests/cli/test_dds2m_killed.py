"""``hsi-app restore dds2m``: its options, and a kill in the middle of a tile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from hsi_app.cli.main import cli
from hsi_app.cube import Cube
from hsi_app.io import open_cube, save_cube
from hsi_app.methods.dds2m.spec import Dds2mParameters
from hsi_app.states import read_state

# The command as installed, but every state is kept; in the middle of a tile it kills itself.
_PROGRAM = """
import os, signal
from hsi_app import checkpoint
from hsi_app.cli import progress
from hsi_app.cli.main import main
checkpoint.INTERVAL_S = 0.0

def on_progress(self, step):
    if step.message.startswith("update 21 of"):
        os.kill(os.getpid(), signal.SIGKILL)

progress.Log.on_progress = on_progress
main()
"""


def command(out: str, *more: str) -> list[str]:
    return ["restore", "dds2m", "scene.hdr", out, "--updates", "30", "--stop", "never", "--seed", "3", *more]


def run(*arguments: str) -> Result:
    """Outcome of a command that must succeed."""
    outcome = CliRunner().invoke(cli, list(arguments))
    assert outcome.exit_code == 0, outcome.output
    return outcome


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_a_run_that_was_killed_within_a_tile_goes_on_to_the_same_bits(
    tmp_path: Path, make_cube: Callable[..., Cube], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save_cube(make_cube(8, 24, 32, sigma=0.03), tmp_path / "scene.hdr")
    run(*command("whole.hdr"))
    killed = subprocess.run(
        [sys.executable, "-c", _PROGRAM, *command("out.hdr", "--checkpoint", "state")],
        capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False,
    )  # fmt: skip
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    (state,) = (tmp_path / "state").glob("tile-*-state.safetensors")
    assert int(read_state(state)[0]["update"]) == 20
    assert "went on from a checkpoint" in run(*command("out.hdr", "--checkpoint", "state")).stderr
    np.testing.assert_array_equal(open_cube(tmp_path / "out.hdr").read(), open_cube(tmp_path / "whole.hdr").read())
    # Neither the state nor what the killed process had written is left.
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "out.bsq", "out.hdr", "scene.bsq", "scene.hdr", "whole.bsq", "whole.hdr",
    ]  # fmt: skip


def test_help_names_every_option() -> None:
    text = run("restore", "dds2m", "--help").stdout
    for name in Dds2mParameters.model_fields:
        assert f"--{name.replace('_', '-')}" in text


def test_help_names_what_was_published() -> None:
    text = run("restore", "dds2m", "--help").stdout
    for choice in ("full", "cold", "untrained", "never", "2303.06682"):
        assert choice in text

"""A night of two hundred scenes out of real ones, five of them damaged."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scenes as benchmark_scenes
from tiny_batches import RECIPE, contents, left_overs, run, write_recipe_file

from hsi_app.io import save_cube
from hsi_app.tiling import Window

COUNT, SIDE = 200, 20


def without_the_end(header: Path) -> None:
    data = header.with_suffix(".bsq").read_bytes()
    header.with_suffix(".bsq").write_bytes(data[:-1000])


def nonsense(header: Path) -> None:
    header.write_text("ENVI\nsamples = \xff\nlines = lines\nbands = -1\n")


def no_cube(header: Path) -> None:
    header.with_suffix(".bsq").unlink()
    header.write_text("Dear diary,\n")


def all_nan(header: Path) -> None:
    data = header.with_suffix(".bsq")
    data.write_bytes(np.full(data.stat().st_size // 4, np.nan, "<f4").tobytes())


def missing(header: Path) -> None:
    header.unlink()
    header.with_suffix(".bsq").unlink()


DAMAGES: dict[int, Callable[[Path], None]] = {
    11: without_the_end, 57: nonsense, 99: no_cube, 140: all_nan, 199: missing,
}  # fmt: skip


def cut(folder: Path) -> list[Path]:
    """Noisy pieces of the test scenes."""
    folder.mkdir()
    cubes = [benchmark_scenes.reference(name) for name in benchmark_scenes.TEST]
    rng = np.random.default_rng(0)
    paths = []
    for number in range(COUNT):
        cube = cubes[number % len(cubes)]
        row, col = (int(rng.integers(0, length - SIDE + 1)) for length in cube.shape[1:])
        piece = cube.crop(Window(row, col, SIDE, SIDE))
        values = np.asarray(piece.read()) + rng.normal(0, 0.03, piece.shape)
        paths.append(save_cube(replace(piece, values=values.astype(np.float32)), folder / f"s{number:03d}.hdr"))
    return paths


@pytest.mark.slow
@pytest.mark.usefixtures("real_data")
def test_two_hundred_scenes_with_five_damaged(tmp_path: Path) -> None:
    paths = cut(tmp_path / "in")
    for number, damage in DAMAGES.items():
        damage(paths[number])
    (tmp_path / "night.txt").write_text("".join(f"{path}\n" for path in paths))
    recipe, out = write_recipe_file(tmp_path / "quiet.toml", RECIPE), tmp_path / "out"
    arguments = (recipe, tmp_path / "night.txt", "-o", out, "--workers", "2")

    first = run(*arguments, "--json")
    assert first.exit_code == 3, first.stderr
    told = json.loads(first.stdout)
    assert (told["done"], told["failed"], told["not_reached"]) == (195, 5, 0)
    rows = json.loads((out / "batch.json").read_text())["scenes"]
    reasons = {int(row["out"][1:4]): row["reason"] for row in rows if row["state"] == "failed"}
    assert set(reasons) == set(DAMAGES)
    assert len(set(reasons.values())) == 5
    page = (out / "batch.html").read_text()
    for number, reason in reasons.items():
        assert reason
        assert "\n" not in reason
        assert f"s{number:03d}.hdr: {reason}" in first.stderr
        assert f"s{number:03d}" in page
    assert len(list(out.glob("*.hdr"))) == 195
    assert left_overs(out) == []

    before = contents(out)
    stamps = {path: path.stat().st_mtime_ns for path in out.glob("s*")}
    second = run(*arguments)
    assert second.exit_code == 3
    assert second.stdout.startswith(f"{out}: 195 as before, 5 failed, ")
    assert contents(out) == before
    assert {path: path.stat().st_mtime_ns for path in out.glob("s*")} == stamps

    # Of the good ones alone there is nothing to do.
    good = [path for number, path in enumerate(paths) if number not in DAMAGES]
    (tmp_path / "night.txt").write_text("".join(f"{path}\n" for path in good))
    third = run(*arguments)
    assert third.exit_code == 0
    assert "nothing to do: all 195 results are there" in third.stdout

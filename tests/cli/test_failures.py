"""Every foreseen failure: the documented exit code, one line on stderr, nothing on stdout, nothing left behind."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from hsi_app.cli.main import cli
from hsi_app.cube import Cube
from hsi_app.io import save_cube

Run = Callable[..., Result]


@pytest.fixture
def run() -> Run:
    return lambda *arguments: CliRunner().invoke(cli, [str(a) for a in arguments])


@pytest.fixture
def scene(tmp_path: Path, make_cube: Callable[..., Cube]) -> Path:
    return save_cube(make_cube(8, 12, 12, sigma=0.02), tmp_path / "scene.hdr")


def expect_failure(outcome: Result, code: int, *words: str) -> None:
    """One line 'error: ...' with ``words`` in it, and the exit code."""
    assert outcome.exit_code == code, outcome.output
    assert outcome.stdout == ""
    assert outcome.stderr.count("\n") == 1
    assert outcome.stderr.startswith("error: ")
    for word in words:
        assert word in outcome.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["restore", "lowrnk", "in.hdr", "out.hdr"], ["lowrnk", "lowrank"]),
        (["restore", "lowrank", "in.hdr", "out.hdr", "--rank", "many"], ["--rank"]),
        (["restore", "lowrank", "in.hdr", "out.hdr", "--task", "dance"], ["--task"]),
        (["restore", "lowrank", "in.hdr", "out.hdr", "--nonsense"], ["--nonsense"]),
        (["restore", "lowrank", "in.hdr"], ["OUT"]),
        (["restore", "lowrank", "in.hdr", "out.hdr", "--memory", "plenty"], ["plenty", "8G"]),
        (["restore", "lowrank", "in.hdr", "out.hdr", "--memory", "0"], ["'0'"]),
        (["restore", "lowrank", "in.hdr", "out.hdr", "--memory", "-1G"], ["-1G"]),
        (["restore", "lowrank", "in.hdr", "out.hdr", "--report", "report.pdf"], ["report.pdf", ".html"]),
        (["restore", "lowrank", "in.hdr", "out.hdr", "--removed", "out.hdr"], ["same name"]),
        (["cite", "lowrnk"], ["lowrnk"]),
        (["frobnicate"], ["frobnicate"]),
    ],
)
def test_wrong_call_exits_with_2(run: Run, arguments: list[str], words: list[str]) -> None:
    expect_failure(run(*arguments), 2, *words)


def test_option_out_of_range_exits_with_2_and_says_the_bound(run: Run, scene: Path, tmp_path: Path) -> None:
    expect_failure(run("restore", "lowrank", scene, tmp_path / "out.hdr", "--strength", 9), 2, "strength", "4")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--scale", 4], ["scale 4", "'denoise'", "'sr'"]),
        (["--psf-fwhm", 2], ["psf-fwhm 2", "'denoise'"]),
        (["--task", "sr", "--scale", 1], ["scale is 1", "2 to 16"]),
        (["--task", "sr", "--scale", 17], ["scale is 17", "2 to 16"]),
        (["--task", "sr", "--scale", 2.5], ["--scale"]),
        (["--task", "sr", "--scale", 2, "--psf-fwhm", 0], ["psf-fwhm is 0"]),
        (["--task", "sr", "--scale", 2, "--psf-fwhm", "nan"], ["psf-fwhm is nan"]),
    ],
)
def test_optics_that_do_not_suit_the_task_exit_with_2(
    run: Run, scene: Path, tmp_path: Path, given: list[object], words: list[str]
) -> None:
    expect_failure(run("restore", "lowrank", scene, tmp_path / "out.hdr", *given), 2, *words)
    assert not (tmp_path / "out.hdr").exists()


@pytest.mark.parametrize("command", [["info"], ["restore", "lowrank"], ["score"], ["convert"]])
def test_missing_file_exits_with_4(run: Run, tmp_path: Path, command: list[str]) -> None:
    out = [] if command == ["info"] else [tmp_path / "out.hdr"]
    expect_failure(run(*command, tmp_path / "absent.hdr", *out), 4, "absent.hdr")


def test_damaged_header_exits_with_4(run: Run, scene: Path) -> None:
    scene.write_text(scene.read_text().replace("bands", "bonds", 1))
    expect_failure(run("info", scene), 4, "scene.hdr")


def test_cube_without_a_valid_sample_exits_with_1(run: Run, tmp_path: Path, make_cube: Callable[..., Cube]) -> None:
    empty = make_cube(8, 12, 12, values=np.full((8, 12, 12), np.nan, np.float32))
    source = save_cube(empty, tmp_path / "empty.hdr")
    expect_failure(run("restore", "lowrank", source, tmp_path / "out.hdr"), 1)
    assert not (tmp_path / "out.hdr").exists()


def test_one_band_cube_ends_without_a_trace_of_the_program(
    run: Run, tmp_path: Path, make_cube: Callable[..., Cube]
) -> None:
    source = save_cube(make_cube(1, 12, 12, sigma=0.02), tmp_path / "one.hdr")
    outcome = run("restore", "lowrank", source, tmp_path / "out.hdr")
    assert "unexpected" not in outcome.stderr
    assert (tmp_path / "out.hdr").exists() == (outcome.exit_code == 0)


@pytest.mark.parametrize("extra", [(), ("--report", "taken.html"), ("--removed", "taken.html")])
def test_existing_output_is_refused_before_any_work(
    run: Run, scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, extra: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("taken.html").write_text("mine")
    outcome = run("restore", "lowrank", scene, "out.hdr" if extra else "taken.html", *extra)
    expect_failure(outcome, 1, "taken.html", "--overwrite")
    assert Path("taken.html").read_text() == "mine"
    assert not Path("out.hdr").exists()


def test_missing_output_folder_is_refused(run: Run, scene: Path, tmp_path: Path) -> None:
    expect_failure(run("restore", "lowrank", scene, tmp_path / "nowhere" / "out.hdr"), 1, "nowhere")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_unwritable_output_folder_is_refused(run: Run, scene: Path, tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    expect_failure(run("restore", "lowrank", scene, locked / "out.hdr"), 1, "locked")


def test_input_is_never_the_output(run: Run, scene: Path) -> None:
    before = scene.read_bytes()
    expect_failure(run("restore", "lowrank", scene, scene, "--overwrite"), 1, "scene.hdr")
    assert scene.read_bytes() == before


def test_memory_that_the_program_itself_fills_exits_with_5(run: Run, scene: Path, tmp_path: Path) -> None:
    expect_failure(run("restore", "lowrank", scene, tmp_path / "out.hdr", "--memory", "16M"), 5, "--memory")
    assert sorted(p.suffix for p in tmp_path.iterdir()) == sorted({".hdr", scene.with_suffix(".bsq").suffix})


def test_gpu_that_is_not_there_exits_with_2(run: Run, scene: Path, tmp_path: Path) -> None:
    expect_failure(run("restore", "lowrank", scene, tmp_path / "out.hdr", "--device", "cuda:99"), 2, "cuda:99")


def test_unforeseen_failure_is_one_line_that_offers_the_traceback(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> dict[str, str]:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr("hsi_app.cli.methods.usable_methods", fail)
    expect_failure(run("methods"), 1, "unexpected ZeroDivisionError", "planted", "--traceback")


def test_traceback_is_shown_wherever_the_flag_stands(run: Run, tmp_path: Path) -> None:
    outcome = run("info", tmp_path / "absent.hdr", "--traceback")
    assert outcome.exit_code == 4
    assert "Traceback" in outcome.stderr


def test_recipe_with_an_unknown_key_exits_with_2(run: Run, scene: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('sead = 1\n[[steps]]\nmethod = "lowrank"\n')
    expect_failure(run("restore", recipe, scene, tmp_path / "out.hdr"), 2, "sead")

"""``hsi-app fuse``: what it writes and says, and every foreseen failure in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import hsi_sample_data
import numpy as np
import pytest
from click.testing import CliRunner, Result

from hsi_app.bands import BandAxis
from hsi_app.cli.main import cli
from hsi_app.cube import Cube
from hsi_app.fusion.choice import Choice
from hsi_app.fusion.pair import Pair
from hsi_app.fusion.sensors import SENSORS
from hsi_app.io import open_cube, save_cube
from hsi_app.io.spectral_library import write_library
from hsi_app.library import SpectralLibrary
from hsi_app.tiling import Window

Run = Callable[..., Result]
RATIO = 4


@pytest.fixture
def run() -> Run:
    return lambda *arguments: CliRunner().invoke(cli, [str(a) for a in arguments])


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A corner of the bundled scene, coarse and sharp."""
    folder = tmp_path_factory.mktemp("images")
    hsi, msi = (open_cube(hsi_sample_data.path(name)) for name in ("scene_clean", "scene_msi"))
    coarse, sharp = hsi.crop(Window(0, 0, 20, 24)), msi.crop(Window(0, 0, 20 * RATIO, 24 * RATIO))
    return save_cube(coarse, folder / "hsi.hdr"), save_cube(sharp, folder / "msi.hdr")


def expect_failure(outcome: Result, code: int, *words: str) -> None:
    assert outcome.exit_code == code, outcome.output
    assert outcome.stdout == ""
    lines = [line for line in outcome.stderr.splitlines() if not line.startswith("note: ")]
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    for word in words:
        assert word in lines[0], lines[0]


def test_the_bundled_images_give_a_sharp_cube_and_one_line(run: Run, images: tuple[Path, Path], tmp_path: Path) -> None:
    hsi, msi = images
    out, doubt = tmp_path / "sharp.hdr", tmp_path / "doubt.hdr"
    done = run("fuse", "ridge", hsi, msi, out, "--doubt", doubt)
    assert done.exit_code == 0, done.output
    cube, coarse, sharp = open_cube(out), open_cube(hsi), open_cube(msi)
    assert cube.shape == (coarse.shape[0], *sharp.shape[1:])
    assert cube.georef == sharp.georef
    assert open_cube(doubt).shape == (1, *sharp.shape[1:])
    assert open_cube(doubt).georef == sharp.georef
    assert len(done.stdout.splitlines()) == 1
    for words in (f"{out}: {coarse.shape[0]} bands", "with ridge", "registration", "of the pixels in doubt", "on cpu"):
        assert words in done.stdout
    assert {path.stem for path in tmp_path.iterdir()} == {"sharp", "doubt"}


def test_the_json_record(run: Run, images: tuple[Path, Path], tmp_path: Path) -> None:
    options = ("--degree", 1, "--seed", 4, "--json", "--registration", "frame", "--tile", 32)
    record = json.loads(run("fuse", "ridge", *images, tmp_path / "sharp.hdr", *options).stdout)
    assert (record["method"], record["seed"], record["tiles"] > 1) == ("ridge", 4, True)
    assert record["options"]["degree"] == 1
    assert record["pair"]["registration"]["how"] == "corner to corner"
    assert record["pair"]["response"]["origin"]
    assert record["reasons"] == []


def test_auto_says_why_on_stderr(
    run: Run, images: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def chosen(_pair: Pair) -> Choice:
        return Choice("ridge", {"degree": 1}, ("Because it is quick.",))

    monkeypatch.setattr("hsi_app.fusion.runner.choose", chosen)
    done = run("fuse", "auto", *images, tmp_path / "sharp.hdr")
    assert done.exit_code == 0, done.output
    assert "Because it is quick." in done.stderr.splitlines()
    assert "with ridge" in done.stdout


def table_of_response(path: Path, cube: Cube, bands: int) -> Path:
    """A triangle of 100 nm around each of so many wavelengths."""
    assert cube.axis.centres_nm is not None
    at = np.linspace(cube.axis.centres_nm[0], cube.axis.centres_nm[-1], 200)
    middles = np.linspace(470, 800, bands)
    spectra = np.clip(1 - np.abs(at[:, None] - middles) / 100, 0, None)
    write_library(SpectralLibrary(spectra, tuple(f"r{k}" for k in range(bands)), at), path)
    return path


@pytest.mark.parametrize(
    ("srf", "origin"), [("sentinel-2:B2,B3,B4,B8", "sentinel-2"), ("planetscope-dove", "planetscope"), ("estimate", "")]
)
def test_a_response_by_sensor(run: Run, images: tuple[Path, Path], tmp_path: Path, srf: str, origin: str) -> None:
    out = tmp_path / "sharp.hdr"
    done = run("fuse", "ridge", *images, out, "--srf", srf, "--json", "--registration", "frame")
    assert done.exit_code == 0, done.output
    assert origin in json.loads(done.stdout)["pair"]["response"]["origin"]


def test_a_response_from_a_table(run: Run, images: tuple[Path, Path], tmp_path: Path) -> None:
    table = table_of_response(tmp_path / "camera.csv", open_cube(images[0]), 4)
    done = run("fuse", "ridge", *images, tmp_path / "sharp.hdr", "--srf", table, "--json", "--registration", "frame")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["pair"]["response"]["origin"] == "table camera.csv"


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--srf", "kodak"], 2, ["'kodak'", "sentinel-2"]),
        (["--srf", "sentinel-2:B2,B3"], 2, ["sentinel-2", "4"]),
        (["--srf", "sentinel-2:B2,B3,B4,B99"], 2, ["B99"]),
        (["--degree", 3], 2, ["degree"]),
        (["--psf-fwhm", 9], 2, ["psf-fwhm", "0.3 to 3"]),
        (["--registration", "loud"], 2, ["loud", "estimate"]),
        (["--mask", "gone.hdr"], 4, ["gone.hdr"]),
        (["--doubt", "{out}"], 2, ["same name"]),
        (["--report", "page.txt"], 2, ["page.txt", ".html"]),
        (["--report", "{folder}/sharp.html", "--doubt", "{folder}/sharp.json"], 2, ["same name"]),
    ],
)
def test_bad_input_gives_one_line_and_leaves_nothing(
    run: Run, images: tuple[Path, Path], tmp_path: Path, options: list[object], code: int, words: list[str]
) -> None:
    out = tmp_path / "sharp.hdr"
    filled = [str(option).format(out=out, folder=tmp_path) for option in options]
    expect_failure(run("fuse", "ridge", *images, out, *filled), code, *words)
    assert list(tmp_path.iterdir()) == []


def test_images_that_cannot_be_used(run: Run, images: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "out" / "sharp.hdr"
    out.parent.mkdir()
    hsi, msi = images
    (tmp_path / "words.hdr").write_text("no header\n")
    expect_failure(run("fuse", "ridge", "gone.hdr", msi, out), 4, "gone.hdr")
    expect_failure(run("fuse", "ridge", hsi, "gone.hdr", out), 4, "gone.hdr")
    expect_failure(run("fuse", "ridge", hsi, tmp_path / "words.hdr", out), 4, "words.hdr")
    expect_failure(run("fuse", "ridge", msi, hsi, out), 1, "give the hyperspectral image first")
    expect_failure(run("fuse", "gsa", hsi, msi, out, "--registration", "none"), 2, "--registration estimate")
    expect_failure(run("fuse", "ridge", hsi, msi, hsi, "--overwrite"), 1, "is the input itself")
    expect_failure(run("fuse", "ridge", hsi, msi, msi, "--overwrite"), 1, "is the input itself")
    expect_failure(run("fuse", "ridge", hsi, msi, tmp_path / "no" / "sharp.hdr"), 1, "does not exist")
    assert list(out.parent.iterdir()) == []


def test_an_unknown_response_without_registration(run: Run, images: tuple[Path, Path], tmp_path: Path) -> None:
    sharp = open_cube(images[1])
    bare = save_cube(Cube(np.asarray(sharp.read()), BandAxis(sharp.shape[0])), tmp_path / "bare.hdr")
    outcome = run("fuse", "ridge", images[0], bare, tmp_path / "sharp.hdr", "--registration", "none")
    expect_failure(outcome, 2, "--srf", "--registration frame")
    assert not list(tmp_path.glob("sharp*"))


def test_files_are_replaced_only_on_request(run: Run, images: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "sharp.hdr"
    command = ("fuse", "ridge", *images, out, "--registration", "frame")
    assert run(*command).exit_code == 0
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    expect_failure(run(*command), 1, "--overwrite")
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert run(*command, "--overwrite").exit_code == 0


def test_methods_of_another_kind_are_sent_to_their_command(run: Run, images: tuple[Path, Path], tmp_path: Path) -> None:
    expect_failure(run("fuse", "lowrank", *images, tmp_path / "x.hdr"), 2, "hsi-app restore lowrank")
    expect_failure(run("restore", "ridge", images[0], tmp_path / "x.hdr"), 2, "hsi-app fuse ridge")
    expect_failure(run("fuse", "rige", *images, tmp_path / "x.hdr"), 2, "'ridge'")


def test_the_sensors_are_listed_with_their_bands(run: Run) -> None:
    done = run("fuse", "--list-sensors")
    assert (done.exit_code, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == len(SENSORS)
    assert any(line.startswith("sentinel-2") and "B8A 864.7 nm" in line for line in done.stdout.splitlines())


def test_help_names_every_method_and_its_options(run: Run) -> None:
    text = run("fuse", "--help").stdout
    for name in ("auto", "joint", "u2mdn", "ridge", "gsa", "cnmf", "--list-sensors"):
        assert name in text
    text = run("fuse", "ridge", "--help").stdout
    for name in ("--degree", "--strength", "--srf", "--registration", "--doubt"):
        assert name in text
    assert "--degree" not in run("fuse", "auto", "--help").stdout


def test_without_arguments_the_help_is_shown(run: Run) -> None:
    bare, asked = run("fuse"), run("fuse", "--help")
    assert (bare.exit_code, bare.stdout, bare.stderr) == (0, asked.stdout, "")


@pytest.mark.parametrize("arguments", [("fuse", "--help"), ("fuse", "ridge", "--help"), ("fuse", "--list-sensors")])
def test_help_loads_no_heavy_package(arguments: tuple[str, ...]) -> None:
    from test_startup import HEAVY, modules_after

    assert modules_after(*arguments).isdisjoint(HEAVY)

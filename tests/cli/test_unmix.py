"""``hsi-app unmix`` and the scores of what it keeps: folders, notes, every foreseen failure."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from hsi_app.bands import BandAxis
from hsi_app.cli.main import cli
from hsi_app.cube import Cube
from hsi_app.io import open_cube, save_cube
from hsi_app.io.spectral_library import read_library, write_library
from hsi_app.library import SpectralLibrary

Run = Callable[..., Result]


@pytest.fixture
def run() -> Run:
    return lambda *arguments: CliRunner().invoke(cli, [str(a) for a in arguments])


@pytest.fixture
def known() -> SpectralLibrary:
    x = np.linspace(400, 1000, 30)
    spectra = np.stack([0.1 + 4e-4 * (x - 400), 0.5 - 4e-4 * (x - 400), 0.3 + 0.2 * np.sin(x / 60)], axis=1)
    return SpectralLibrary(spectra, ("soil", "snow", "paint"), x)


@pytest.fixture
def scene(tmp_path: Path, known: SpectralLibrary) -> Path:
    """28 x 25 px of three materials, the first row pure."""
    generator = np.random.default_rng(2)
    shares = generator.dirichlet(np.ones(3), (28, 25)).transpose(2, 0, 1)
    shares[:, 0, :3] = np.eye(3)
    values = np.tensordot(known.spectra, shares, axes=1) + generator.normal(0, 0.001, (30, 28, 25))
    np.savez(tmp_path / "truth.npz", endmembers=known.spectra, abundances=shares.transpose(1, 2, 0))
    return save_cube(Cube(values.astype(np.float32), BandAxis(30, known.centres_nm)), tmp_path / "scene.hdr")


def expect_failure(outcome: Result, code: int, *words: str) -> None:
    assert outcome.exit_code == code, outcome.output
    assert outcome.stdout == ""
    lines = [line for line in outcome.stderr.splitlines() if not line.startswith("note: ")]
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    for word in words:
        assert word in lines[0], lines[0]


def test_a_run_fills_its_folder_and_is_scored(run: Run, scene: Path, tmp_path: Path) -> None:
    out = tmp_path / "found"
    done = run("unmix", "fcls", scene, out, "--endmembers", 3, "--endmembers-from", "nfindr", "--normalise", "none")
    assert done.exit_code == 0, done.output
    assert "3 materials with fcls" in done.stdout
    assert {path.name for path in out.iterdir()} >= {"abundances.hdr", "endmembers.sli", "report.html", "report.json"}
    assert open_cube(out / "abundances.hdr").axis.names == ("material 1", "material 2", "material 3")
    scores = json.loads(run("score", out, tmp_path / "truth.npz", "--json").stdout)
    assert scores["sad_rad"] < 0.02
    assert scores["rmse"] < 0.02
    assert scores["sad_deg"] == pytest.approx(np.degrees(scores["sad_rad"]))
    assert "SAD" in run("score", out, out).stdout


def test_the_json_record_holds_what_decided_the_score(run: Run, scene: Path, tmp_path: Path) -> None:
    done = run("unmix", "rrlbs", scene, tmp_path / "found", "--endmembers", 3, "--starts", 2, "--json", "--seed", 4)
    record = json.loads(done.stdout)
    assert record["seed"] == 4
    assert record["options"]["normalise"] == record["trace"]["normalise"] == "l2"
    assert record["options"]["endmembers_from"] == "edaa"
    assert record["options"]["least_exponent"] == 0.3
    assert len(record["trace"]["penalties"]) == 2
    assert record["trace"]["stop"]
    assert record["seconds"] > 0


def test_the_number_of_materials_is_estimated_and_told(run: Run, scene: Path, tmp_path: Path) -> None:
    done = run("unmix", "fcls", scene, tmp_path / "found", "--endmembers-from", "vca", "--normalise", "none")
    assert "3 materials, estimated" in done.stderr


def test_chosen_pixels(run: Run, scene: Path, tmp_path: Path) -> None:
    out = tmp_path / "found"
    options = ("--endmembers-from", "pixels", "--pixels", "0,0 0,2", "--normalise", "none")
    assert run("unmix", "fcls", scene, out, *options).exit_code == 0
    library = read_library(out / "endmembers.sli")
    assert library.names == ("pixel 0;0", "pixel 0;2")
    np.testing.assert_allclose(library.spectra, np.asarray(open_cube(scene).read())[:, 0, [0, 2]], rtol=1e-5)


def test_regions_of_a_label_image(run: Run, scene: Path, tmp_path: Path) -> None:
    labels = np.zeros((1, 28, 25), np.uint8)
    labels[0, 4:8, 4:8], labels[0, 20:24, 10:20] = 1, 3
    save_cube(Cube(labels), tmp_path / "labels.hdr")
    out = tmp_path / "found"
    options = ("--endmembers-from", "rois", "--rois", tmp_path / "labels.hdr", "--normalise", "none")
    assert run("unmix", "fcls", scene, out, *options).exit_code == 0
    library = read_library(out / "endmembers.sli")
    assert library.names == ("region 1", "region 3")
    values = np.asarray(open_cube(scene).read())
    np.testing.assert_allclose(library.spectra[:, 0], values[:, 4:8, 4:8].mean(axis=(1, 2)), rtol=1e-5)


@pytest.mark.parametrize("method", ["fcls", "sunsal"])
def test_a_library_on_other_wavelengths_is_resampled_with_a_note(
    run: Run, scene: Path, tmp_path: Path, known: SpectralLibrary, method: str
) -> None:
    x = np.linspace(350, 2500, 600)
    spectra = np.stack([np.interp(x, known.centres_nm, s) for s in known.spectra.T], axis=1)
    write_library(SpectralLibrary(spectra, known.names, x), tmp_path / "field.csv")
    options = ("--library", tmp_path / "field.csv", "--normalise", "none", "--materials", "paint, soil, snow")
    if method == "fcls":
        options = (*options, "--endmembers-from", "library")
    done = run("unmix", method, scene, tmp_path / "found", *options)
    assert done.exit_code == 0, done.output
    assert "the library's 600 bands were read at the cube's 30" in done.stderr
    assert open_cube(tmp_path / "found" / "abundances.hdr").axis.names == ("paint", "soil", "snow")
    scores = json.loads(run("score", tmp_path / "found", tmp_path / "truth.npz", "--json").stdout)
    assert scores["rmse"] < 0.05


def test_a_library_that_covers_half_leaves_the_rest_out(
    run: Run, scene: Path, tmp_path: Path, known: SpectralLibrary
) -> None:
    part = SpectralLibrary(known.spectra[:20], known.names, known.centres_nm[:20])
    write_library(part, tmp_path / "part.sli")
    options = ("--endmembers-from", "library", "--library", tmp_path / "part.sli", "--normalise", "none")
    done = run("unmix", "fcls", scene, tmp_path / "found", *options)
    assert done.exit_code == 0, done.output
    assert "10 bands beyond the library take no part" in done.stderr
    scores = json.loads(run("score", tmp_path / "found", tmp_path / "truth.npz", "--json").stdout)
    assert scores["rmse"] < 0.02


def test_a_library_elsewhere_is_refused(run: Run, scene: Path, tmp_path: Path) -> None:
    write_library(SpectralLibrary(np.ones((50, 2)), ("a", "b"), np.linspace(3000, 5000, 50)), tmp_path / "far.csv")
    options = ("--endmembers-from", "library", "--library", tmp_path / "far.csv")
    outcome = run("unmix", "fcls", scene, tmp_path / "found", *options)
    expect_failure(outcome, 1, "3000-5000 nm", "400-1000 nm")
    assert not (tmp_path / "found").exists()


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--endmembers", 40], 1, ["40 endmembers", "or fewer"]),
        (["--endmembers", 65], 2, ["endmembers", "64"]),
        (["--endmembers-from", "library"], 2, ["--library"]),
        (["--endmembers-from", "library", "--library", "gone.sli"], 4, ["gone.sli"]),
        (["--endmembers-from", "rois"], 2, ["--rois"]),
        (["--endmembers-from", "rois", "--rois", "gone.hdr"], 4, ["gone.hdr"]),
        (["--endmembers-from", "pixels"], 2, ["row,col"]),
        (["--endmembers-from", "pixels", "--pixels", "1,2,3"], 2, ["1,2,3", "row,col"]),
        (["--endmembers-from", "pixels", "--pixels", "99,0"], 2, ["99,0", "28 x 25"]),
        (["--normalise", "loud"], 2, ["loud", "l2-cutoff"]),
        (["--mask", "gone.hdr"], 4, ["gone.hdr"]),
    ],
)
def test_bad_input_gives_one_line_and_leaves_nothing(
    run: Run, scene: Path, tmp_path: Path, options: list[object], code: int, words: list[str]
) -> None:
    expect_failure(run("unmix", "fcls", scene, tmp_path / "found", *options), code, *words)
    assert not (tmp_path / "found").exists()
    assert not list(tmp_path.glob(".*"))


def test_more_materials_than_the_data_hold(run: Run, tmp_path: Path, known: SpectralLibrary) -> None:
    shares = np.random.default_rng(0).dirichlet(np.ones(3), (20, 20)).transpose(2, 0, 1)
    values = np.tensordot(known.spectra, shares, axes=1)
    path = save_cube(Cube(values), tmp_path / "exact.hdr")
    outcome = run("unmix", "fcls", path, tmp_path / "found", "--endmembers", 9, "--endmembers-from", "vca")
    expect_failure(outcome, 1, "9 endmembers", "3 dimensions", "--endmembers 3")


def test_methods_of_the_other_kind_are_sent_to_their_command(run: Run, scene: Path, tmp_path: Path) -> None:
    expect_failure(run("unmix", "lowrank", scene, tmp_path / "x"), 2, "hsi-app restore lowrank")
    expect_failure(run("restore", "fcls", scene, tmp_path / "x.hdr"), 2, "hsi-app unmix fcls")
    expect_failure(run("unmix", "rrlb", scene, tmp_path / "x"), 2, "rrlbs")


def test_folders_are_replaced_only_where_they_are_ours_and_on_request(run: Run, scene: Path, tmp_path: Path) -> None:
    def unmix(out: Path, *more: object) -> Result:
        return run("unmix", "fcls", scene, out, "--endmembers", 3, "--endmembers-from", "vca", *more)

    out = tmp_path / "found"
    assert unmix(out).exit_code == 0
    before = (out / "report.json").read_bytes()
    expect_failure(unmix(out), 1, "--overwrite")
    assert (out / "report.json").read_bytes() == before
    assert unmix(out, "--overwrite", "--seed", 1).exit_code == 0
    assert json.loads((out / "report.json").read_text())["record"]["seed"] == 1
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"meow")
    expect_failure(unmix(tmp_path / "photos", "--overwrite"), 1, "other things")
    expect_failure(unmix(tmp_path / "no" / "such"), 1, "does not exist")
    (tmp_path / "empty").mkdir()
    assert unmix(tmp_path / "empty").exit_code == 0
    assert not list(tmp_path.glob(".*"))


def test_scoring_tells_what_does_not_fit(run: Run, scene: Path, tmp_path: Path) -> None:
    out = tmp_path / "found"
    run("unmix", "fcls", scene, out, "--endmembers", 2, "--endmembers-from", "vca")
    expect_failure(run("score", out, tmp_path / "truth.npz"), 1, "2 materials found for 3", "--endmembers 3")
    expect_failure(run("score", out, scene), 4, "no unmixing")
    np.savez(tmp_path / "other.npz", spectra=np.ones((4, 3)))
    expect_failure(run("score", out, tmp_path / "other.npz"), 4, "'endmembers'")


def test_help_names_every_method_and_its_options(run: Run) -> None:
    text = run("unmix", "--help").stdout
    for name in ("rrlbs", "fcls", "nmf", "l12-nmf", "sunsal"):
        assert name in text
    assert "--least-exponent" in run("unmix", "rrlbs", "--help").stdout

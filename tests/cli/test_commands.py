"""What each command prints and writes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from hsi_app.bands import BandAxis
from hsi_app.cli.convert import parse_bands
from hsi_app.cli.main import cli
from hsi_app.cube import Cube
from hsi_app.errors import ParameterError
from hsi_app.io import open_cube, save_cube
from hsi_app.methods.registry import method
from hsi_app.params import options

CubeFactory = Callable[..., Cube]


def run(*arguments: object) -> Result:
    """Outcome of a command that must succeed."""
    outcome = CliRunner().invoke(cli, [str(a) for a in arguments])
    assert outcome.exit_code == 0, outcome.output
    return outcome


@pytest.fixture
def scene(tmp_path: Path, make_cube: CubeFactory) -> Path:
    cube = make_cube(12, 24, 20, sigma=0.02)
    return save_cube(Cube(cube.values, cube.axis.marked([3]), georef=cube.georef, name="scene"), tmp_path / "scene.hdr")


def test_info_gives_the_facts_as_json(scene: Path) -> None:
    facts = json.loads(run("info", scene, "--json", "--bands").stdout)
    assert facts["shape"] == {"bands": 12, "rows": 24, "cols": 20}
    assert facts["wavelengths_nm"] == pytest.approx([420.0, 2380.0])
    assert facts["bad_bands"] == [4]
    assert facts["map_frame"]["crs"] == "EPSG:32633"
    assert facts["map_frame"]["pixel_size"] == [30.0, 30.0]
    assert len(facts["per_band"]) == 12


def test_info_counts_missing_samples(tmp_path: Path, make_cube: CubeFactory) -> None:
    values = make_cube(4, 10, 10).values.copy()
    values[:, :2] = np.nan  # two of ten rows
    path = save_cube(make_cube(4, 10, 10, values=values), tmp_path / "gaps.hdr")
    assert json.loads(run("info", path, "--json").stdout)["missing_share"] == pytest.approx(0.2)


def test_info_opens_every_real_file(real_data: Path) -> None:
    paths = [p for p in sorted((real_data / "files").iterdir()) if p.suffix in (".hdr", ".tif", ".mat")]
    outcomes = {p.name: CliRunner().invoke(cli, ["info", str(p), "--no-noise"]).exit_code for p in paths}
    assert set(outcomes.values()) == {0}, outcomes


def test_restore_prints_its_record_as_json_and_writes_what_was_asked(scene: Path, tmp_path: Path) -> None:
    out, removed, recipe = tmp_path / "out.hdr", tmp_path / "removed.hdr", tmp_path / "run.toml"
    outcome = run("restore", "lowrank", scene, out, "--rank", 3, "--denoiser", "dct", "--seed", 7, "--json",
                  "--removed", removed, "--save-recipe", recipe)  # fmt: skip
    record = json.loads(outcome.stdout)
    assert (record["method"], record["task"], record["seed"]) == ("lowrank", "denoise", 7)
    assert record["options"]["rank"] == 3
    before, after = open_cube(scene), open_cube(out)
    np.testing.assert_array_equal(open_cube(removed).read(), before.read() - after.read())
    assert after.georef is not None
    assert before.georef is not None
    assert after.georef.transform == before.georef.transform
    assert 'denoiser = "dct"' in recipe.read_text()


def test_bad_bands_pass_through_unless_they_are_to_be_restored(scene: Path, tmp_path: Path) -> None:
    run("restore", "lowrank", scene, tmp_path / "kept.hdr")
    run("restore", "lowrank", scene, tmp_path / "restored.hdr", "--bad-bands", "restore")
    before = open_cube(scene).read()[3]
    np.testing.assert_array_equal(open_cube(tmp_path / "kept.hdr").read()[3], before)
    assert (open_cube(tmp_path / "restored.hdr").read()[3] != before).any()


def test_saved_recipe_replays_to_the_same_array(scene: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "run.toml"
    run("restore", "lowrank", scene, tmp_path / "first.hdr", "--strength", 1.5, "--save-recipe", recipe)
    run("restore", recipe, scene, tmp_path / "second.hdr")
    np.testing.assert_array_equal(open_cube(tmp_path / "first.hdr").read(), open_cube(tmp_path / "second.hdr").read())


def test_mask_says_what_to_fill(tmp_path: Path, make_cube: CubeFactory) -> None:
    clean = make_cube(12, 24, 20)
    values = clean.values.copy()
    values[:, 8:11, 5:9] = 0.0
    mask = np.ones((1, 24, 20), np.uint8)
    mask[:, 8:11, 5:9] = 0
    source = save_cube(make_cube(12, 24, 20, values=values), tmp_path / "holes.hdr")
    flags = save_cube(Cube(mask, georef=clean.georef), tmp_path / "mask.hdr")
    run("restore", "lowrank", source, tmp_path / "out.hdr", "--task", "inpaint", "--mask", flags)
    found = open_cube(tmp_path / "out.hdr").read()
    np.testing.assert_array_equal(found[:, :8], values[:, :8])  # observed samples come back as they were
    # The clean scene lies within [0.05, 0.95]; a hole left at 0 would be off by 0.05 at least, most by far more.
    assert np.abs(found - clean.values)[:, 8:11, 5:9].mean() < 0.05


def test_auto_names_its_choice_and_why_on_stderr(scene: Path, tmp_path: Path) -> None:
    outcome = run("restore", "auto", scene, tmp_path / "out.hdr")
    assert "signal-to-noise" in outcome.stderr
    assert "chosen: denoise with lowrank" in outcome.stderr
    assert (tmp_path / "out.hdr").exists()


def test_json_log_is_one_object_a_line(scene: Path, tmp_path: Path) -> None:
    outcome = run("restore", "lowrank", scene, tmp_path / "out.hdr", "--log-format", "json", "-v")
    entries = [json.loads(line) for line in outcome.stderr.splitlines()]
    assert entries
    assert entries[-1]["fraction"] == 1.0


def test_quiet_run_says_nothing_on_stderr(scene: Path, tmp_path: Path) -> None:
    assert run("restore", "auto", scene, tmp_path / "out.hdr", "-q").stderr == ""


def test_help_of_a_method_lists_every_option_with_range_and_source() -> None:
    spec = method("lowrank")
    text = " ".join(run("restore", "lowrank", "--help").stdout.split())
    for option in options(spec.parameters):
        assert f"--{option.cli_name}" in text
        # click wraps long help at hyphens too, so compare without spaces
        assert option.source.replace(" ", "") in text.replace(" ", "")
        assert option.kind == "choice" or option.range_text in text


def test_methods_lists_options_and_broken_methods_as_json() -> None:
    listed = json.loads(run("methods", "--json").stdout)
    lowrank = next(m for m in listed["methods"] if m["id"] == "lowrank")
    assert {"rank", "strength"} <= {option["name"] for option in lowrank["options"]}
    assert "broken" in listed


def test_cite_prints_every_reference_with_its_identifier() -> None:
    text = run("cite", "lowrank").stdout
    for reference in method("lowrank").references:
        assert reference.text in text
        assert f"doi = {{{reference.identifier.removeprefix('doi:')}}}" in text


def test_doctor_reports_device_and_methods() -> None:
    findings = json.loads(run("doctor", "--json").stdout)["findings"]
    assert {"versions", "device", "memory", "disk", "GDAL", "sample data", "methods"} <= {f["topic"] for f in findings}


def test_score_of_a_cube_with_itself_has_no_error(scene: Path) -> None:
    found = json.loads(run("score", scene, scene, "--json", "--bands").stdout)
    assert found["rmse"] == 0
    assert found["ssim"] == pytest.approx(1)
    assert len(found["bands"]) >= 11  # without the bad one


def test_convert_writes_bands_in_the_order_they_are_named(scene: Path, tmp_path: Path) -> None:
    count = open_cube(scene).shape[0]
    run("convert", scene, tmp_path / "turned.hdr", "--bands", f"2,1,3-{count}")
    turned, whole = open_cube(tmp_path / "turned.hdr"), open_cube(scene)
    assert np.array_equal(turned.read(), whole.read()[[1, 0, *range(2, count)]])


def test_convert_keeps_the_chosen_part_and_its_place_on_the_map(scene: Path, tmp_path: Path) -> None:
    run("convert", scene, tmp_path / "part.tif", "--bands", "1-4,9", "--drop-bad", "--crop", "2,3,10,12")
    part, whole = open_cube(tmp_path / "part.tif"), open_cube(scene)
    np.testing.assert_array_equal(part.read(), whole.read()[[0, 1, 2, 8], 2:12, 3:15])
    assert part.georef is not None
    assert whole.georef is not None
    assert part.georef.xy(0, 0) == pytest.approx(whole.georef.xy(2, 3))


AXIS = BandAxis(12, np.arange(400.0, 520.0, 10.0))


@pytest.mark.parametrize("text", ["0", "13", "3-2", "x", "", "1,,2", "1-2-3", "2,1-3", "401-409 nm", "1-3, 420-440 nm"])
def test_band_list_that_names_no_band_is_refused(text: str) -> None:
    with pytest.raises(ParameterError, match="--bands"):
        parse_bands(text, AXIS)


def test_bands_are_kept_in_the_order_given_wavelengths_among_them() -> None:
    assert parse_bands("9, 420-440 nm,1-2", AXIS).tolist() == [8, 2, 3, 4, 0, 1]
    with pytest.raises(ParameterError, match=r"--bands: .* wavelengths"):
        parse_bands("1, 420-440 nm", BandAxis(12))


def test_degrade_writes_cube_mask_and_record(scene: Path, tmp_path: Path) -> None:
    pytest.importorskip("hsi_app.physics.degrade", reason="degradations are not part of this build")
    run("degrade", scene, tmp_path / "spoilt.hdr", "--as", "inpaint-0.5", "--seed", 3)
    record = json.loads((tmp_path / "spoilt_degradation.json").read_text())
    assert record["seed"] == 3
    mask = open_cube(tmp_path / "spoilt_mask.hdr").read()
    observed = open_cube(tmp_path / "spoilt.hdr")
    _, valid = observed.block()
    np.testing.assert_array_equal(valid, np.broadcast_to(mask == 1, valid.shape))


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script_names_the_program(shell: str) -> None:
    assert "_HSI_APP_COMPLETE" in run("completion", shell).stdout


def test_a_coarsened_cube_is_restored_to_the_grid_of_the_truth_and_scored(scene: Path, tmp_path: Path) -> None:
    coarse, fine, recipe = tmp_path / "coarse.tif", tmp_path / "fine.tif", tmp_path / "run.toml"
    run("degrade", scene, coarse, "--as", "sr-x2")
    outcome = run("restore", "lowrank", coarse, fine, "--task", "sr", "--scale", 2, "--psf-fwhm", 2, "--json",
                  "--removed", tmp_path / "removed.hdr", "--report", tmp_path / "page.html",
                  "--save-recipe", recipe)  # fmt: skip
    record = json.loads(outcome.stdout)
    assert (record["task"], record["settings"]["scale"], record["settings"]["psf_fwhm"]) == ("sr", 2, 2.0)
    truth, restored = open_cube(scene), open_cube(fine)
    assert restored.shape == truth.shape
    assert restored.georef is not None
    assert truth.georef is not None
    assert restored.georef.transform == truth.georef.transform
    assert json.loads(run("score", fine, scene, "--json").stdout)["psnr"] > 25
    # What was removed is the interpolated input less the result.
    assert open_cube(tmp_path / "removed.hdr").shape == truth.shape
    run("restore", recipe, coarse, tmp_path / "again.hdr")
    np.testing.assert_array_equal(open_cube(tmp_path / "again.hdr").read(), restored.read())


def test_a_scale_that_was_not_given_is_told(scene: Path, tmp_path: Path) -> None:
    outcome = run("restore", "lowrank", scene, tmp_path / "fine.hdr", "--task", "sr")
    assert "2 times finer" in outcome.stderr
    assert open_cube(tmp_path / "fine.hdr").shape == (12, 48, 40)


def test_only_methods_that_sharpen_take_a_scale() -> None:
    from hsi_savgol.spec import SPEC

    from hsi_app.cli.restore import _optics_options

    assert "--scale" in run("restore", "lowrank", "--help").stdout
    assert _optics_options(SPEC) == []
